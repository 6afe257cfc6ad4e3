"""The methods around the plain average: a few numbers found for each tensor, then exact rows."""
