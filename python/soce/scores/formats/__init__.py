"""One module for each source of scores."""
