"""Scores of models: a table, its readers, what looks wrong in it, and one number from a row."""
