"""Ingredients that are somewhere else: found, signed, fetched; nothing here reads a tensor."""
