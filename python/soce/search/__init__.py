"""Search the weights of a soup: strategies, the study that keeps every score, and the result."""
