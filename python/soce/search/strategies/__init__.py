"""Strategies: each proposes weights and hears their values."""
