"""What the engine can be told, as words like those of other engines."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class EngineArguments:
    """The arguments of the engine.

    Examples
    --------
    >>> EngineArguments.of(["--device", "cpu", "--batch-size=1"])
    EngineArguments(device='cpu', device_map=None, compute_dtype=None, batch_size=1, max_length=None)
    """

    device: str = "auto"
    device_map: str | None = None
    """How a model that one device does not hold is laid over several; see `SoupModel`."""
    compute_dtype: str | None = None
    """What parameters are cast to; what the config says otherwise."""
    batch_size: int | None = None
    """Rows at once; as many as fit otherwise. With one, no answer depends on what is asked beside it."""
    max_length: int | None = None
    """Tokens that the model sees at once; what config and tokenizer say otherwise."""

    @classmethod
    def of(cls, words: Sequence[str]) -> EngineArguments:
        """Return the arguments that words like ``--device cpu`` give; raises EvaluationError for others."""
        known = {f"--{field.name.replace('_', '-')}": field for field in fields(cls)}
        found: dict[str, str | int] = {}
        rest = list(words)
        while rest:
            name, equals, value = rest.pop(0).partition("=")
            if name not in known:
                hint = nearest(name, [*known], "arguments")
                refuse(f"the engine transformers has no argument `{shown(name)}`", hint)
            if not equals:
                if not rest:
                    refuse(f"the engine's argument `{name}` has no value")
                value = rest.pop(0)
            field = known[name]
            if "int" not in str(field.type):
                found[field.name] = value
            elif value.isascii() and value.isdecimal() and int(value) > 0:
                found[field.name] = int(value)
            else:
                refuse(f"the engine's argument `{name}` is `{shown(value)}`", "it is a number from 1 on")
        return cls(**found)  # type: ignore[arg-type] # by the kinds of the fields
