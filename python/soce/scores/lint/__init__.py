"""What looks wrong in a score table or a selection: one module for each theme."""
