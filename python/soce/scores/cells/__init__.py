"""What a cell of a score file says."""
