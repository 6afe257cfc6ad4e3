"""Scores, each filed under what it measured: the mix by content and the item by content."""
