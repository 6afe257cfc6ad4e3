"""Scorers: what turns an answer into an outcome, by the name that an item gives."""
