"""Recipes to checkpoints: plan, merge, verify, and whether checkpoints belong together."""
