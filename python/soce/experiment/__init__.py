"""Experiments: one file that says what is asked, and what it means."""
