"""What the dataclasses of a selection file have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


class Record:
    """A dataclass that pydantic reads from files: a key too many is refused, like a number that is none."""

    __slots__ = ()
    __pydantic_config__: ClassVar = {"extra": "forbid", "allow_inf_nan": False}


class _TrueOrFalse:
    """Has pydantic read the words `true` and `false` only, not also `yes` and `1`."""

    def __get_pydantic_core_schema__(self, *_: Any) -> CoreSchema:  # noqa: ANN401 - pydantic's
        from pydantic_core import core_schema

        def parse(value: object) -> object:
            return value == "true" if value in ("true", "false") else value

        return core_schema.no_info_before_validator_function(parse, core_schema.bool_schema(strict=True))


Flag: TypeAlias = Annotated[bool, _TrueOrFalse()]
