"""One number from a row of scores, larger is better."""
