"""Tiny experts made on the spot: what `soce demo` and the tests have to average.

Deliberately not here: evaluation, search and merging, which treat these models like any others.
"""
