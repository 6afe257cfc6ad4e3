"""Recipes: exact weights from text, soce's own format, and mergekit's `linear` YAML."""
