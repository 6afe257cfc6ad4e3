"""Drawings of the report: matplotlib draws, the page's style sheet colours. One file per kind of drawing."""
