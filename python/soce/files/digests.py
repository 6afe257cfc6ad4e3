"""Digests of plain JSON, by which things are told apart."""

from __future__ import annotations

import hashlib
import json


def digest_of(value: object) -> str:
    """Return the SHA-256 of plain JSON, the same for every order of keys.

    Examples
    --------
    >>> digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
