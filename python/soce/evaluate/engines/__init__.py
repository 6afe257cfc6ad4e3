"""Serving engines whose weights become those of any recipe in place: one protocol, a room per engine."""
