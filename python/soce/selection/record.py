"""What the dataclasses of a selection file have in common."""

from __future__ import annotations

from typing import ClassVar


class Record:
    """A dataclass that pydantic reads from files: a key too many is refused, like a number that is none."""

    __slots__ = ()
    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}
