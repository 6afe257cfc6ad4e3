"""Results as plain Python, ready for JSON: what every result does alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar


class Plain:
    """A dataclass that tells its content as JSON: its fields by name, then the properties in `TOLD`."""

    __slots__ = ()
    TOLD: ClassVar[tuple[str, ...]] = ()

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python: sequences as lists, a number that is none as None."""
        names = [field.name for field in fields(self) if not field.name.startswith("_")]  # type: ignore[arg-type]
        return {name.removeprefix("is_"): to_plain(getattr(self, name)) for name in (*names, *self.TOLD)}


def to_plain(value: Any) -> Any:  # noqa: ANN401 - any result
    """Return a value of a result as plain Python.

    Examples
    --------
    >>> to_plain({"a": (1, float("nan")), "b": frozenset({"x"})})
    {'a': [1, None], 'b': ['x']}
    """
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, Mapping):
        return {name: to_plain(inner) for name, inner in value.items()}
    if isinstance(value, (frozenset, set)):
        return sorted(value)
    if isinstance(value, (tuple, list)):
        return [to_plain(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
