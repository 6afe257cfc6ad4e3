"""Evaluators: recipe in, scores out."""
