"""A fault at every step of a merge: killed, starved, lied to, or with its inputs changed under it."""
