"""From a score table to experts and the weights to try: correlation, rules, experts, the grid, the file."""
