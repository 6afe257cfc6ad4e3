"""Score files of every known format, read into score tables."""
