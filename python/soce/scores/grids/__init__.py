"""Files and data frames as grids of text: a module for each kind of file."""
