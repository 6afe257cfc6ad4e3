"""The model card of a soup: its README.md."""
