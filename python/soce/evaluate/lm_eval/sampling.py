"""Arguments of generation as an endpoint takes them: the harness's own are those of transformers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.evaluation import refuse
from soce.evaluate.lm_eval.model import lm_eval
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_GEN_TOKS: Final = 256
"""The tokens that a task gives a text if it says nothing, as in the harness."""

_SAME: Final = frozenset({
    "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
})  # fmt: skip
"""Arguments that endpoints call by the same names and take for the same."""

_RENAMED: Final = {"min_new_tokens": "min_tokens"}


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a text is written."""

    most: int
    """Tokens that it may have."""
    stops: tuple[str, ...]
    """Where it ends, apart from end tokens."""
    arguments: Mapping[str, Any]
    """All else, by the endpoint's names; of the likeliest tokens if the temperature is 0."""

    @classmethod
    def of(cls, gen_kwargs: Mapping[str, Any], task: str) -> Sampling:
        """Read a request's arguments; raises EvaluationError for those that no endpoint knows."""
        held = dict(lm_eval("models.utils").normalize_gen_kwargs(gen_kwargs, MAX_GEN_TOKS))
        most, stops = held.pop("max_gen_toks"), tuple(filter(None, held.pop("until")))
        does_sample, arguments = held.pop("do_sample"), {"temperature": 0.0}
        for name, value in held.items():
            known = _RENAMED.get(name, name if name in _SAME else None)
            if known is None:
                message = f"task `{shown(task)}` generates with `{shown(name)}`, which engines do not know"
                refuse(message, "score it in this process, without an engine")
            if value is not None:
                arguments[known] = value
        if does_sample and not arguments["temperature"]:
            refuse(f"task `{shown(task)}` samples without a temperature", "say it in `gen_kwargs`")
        return cls(most, stops, arguments)

    def arguments_of(self, seed: int | None, *asked: object) -> dict[str, Any]:
        """Return the arguments of one text; one that is drawn has a seed that follows from what is asked.

        So it is the same whatever else is asked.
        """
        if seed is None or not self.arguments["temperature"]:
            return {**self.arguments}
        drawn = hashlib.sha256(json.dumps([seed, *asked], default=str).encode()).digest()
        return {**self.arguments, "seed": int.from_bytes(drawn[:4], "big") >> 1}
