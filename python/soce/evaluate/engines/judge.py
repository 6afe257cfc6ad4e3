"""Who says what an ingredient answers: transformers, or an engine that holds nothing else."""

from __future__ import annotations

from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.evaluate.engines.open import open_engine
from soce.evaluate.engines.saying import asked_engine, asked_model, distance, text_tokens
from soce.exceptions import CheckpointError, EvaluationError
from soce.merging.options import CHANGE_TENSORS
from soce.recipes.model import Recipe
from soce.recipes.names import base_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.evaluate.engines.engine import EngineName, EngineOptions
    from soce.evaluate.engines.saying import Saying

LEAST_ALLOWED: Final = 1e-3
"""Nats. In float32 sums in another order are some 1e-5 apart, another fine-tune is 1e-2 away at least."""
_TIMES: Final = 3.0
"""How much farther an engine may be after a change than with what it loaded itself. The noise of its dtype is
taken from there: a constant would have to allow for bfloat16, quantised weights and the model's own scale."""
_SHARE: Final = 0.7
"""Of the memory that is free, which the model may take as float32."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the first ingredient and another one say, as far as somebody knows."""

    name: str | None
    """Who says it; None: nobody can."""
    ingredient: str
    """The other one."""
    tokens: tuple[int, ...]
    """Of the text."""
    first: Saying | None
    other: Saying | None

    def noise(self, start: Saying) -> float:
        """Return how far an engine is, with the first ingredient that it loaded itself, from what is said."""
        return 0.0 if self.first is None else distance(start, self.first)

    def allowed(self, noise: float) -> float:
        """Return how far it may be, in nats, after a change. An engine is as its own kind, exactly."""
        return 0.0 if self.first is None else max(LEAST_ALLOWED, _TIMES * noise)


def judge(engine_name: EngineName, ingredients: Sequence[str], options: EngineOptions) -> Judgement:
    """Return what is said of the first ingredient, and of the next one that a merge accepts.

    By transformers, in float32 on the CPU, if it knows the model and there is memory for it; otherwise by an
    engine started on the other ingredient; by nobody if no engine loads that as it is.
    """
    from soce.evaluate.live.loading import load_tokenizer

    tokens = text_tokens(load_tokenizer(ingredients[0]))
    name: str | None = "transformers"
    ingredient, first, other = ingredients[1], None, None
    found = _by_transformers(ingredients, options, tokens)
    if found is not None:
        ingredient, first, other = found
    elif not is_loaded(ingredient, options):
        name = None
    else:
        name = f"a {engine_name} started on it"
        with closing(open_engine(engine_name, [ingredient], options)) as engine:
            engine.start()
            other = asked_engine(engine, tokens)
    return Judgement(name, ingredient, tokens, first, other)


def is_loaded(ingredient: str, options: EngineOptions) -> bool:
    """Whether an engine that starts on an ingredient holds it as it is in soups.

    It does not if these are of a merge that changes tensors, nor if the ingredient has an adapter on top.
    """
    return base_of(ingredient) == ingredient and not options.merge.changed().keys() & CHANGE_TENSORS


def _by_transformers(
    ingredients: Sequence[str], options: EngineOptions, tokens: Sequence[int]
) -> tuple[str, Saying, Saying] | None:
    from soce.evaluate.live.outline import ModelOutline
    from soce.evaluate.live.soup_model import SoupModel

    for path in ingredients[1:]:
        both = [ingredients[0], path]
        try:
            with closing(
                ModelOutline(both, device="cpu", compute_dtype="float32", merge=options.merge)
            ) as outline:
                if outline.memory_bytes > _SHARE * _free_bytes():
                    return None
            with closing(
                SoupModel(both, device="cpu", compute_dtype="float32", merge=options.merge)
            ) as model:
                said: list[Saying] = []
                for one in both:
                    model.set(Recipe.of({one: 1}))
                    said.append(asked_model(model, tokens, n_written=2 if said else 1))
                return path, said[0], said[1]
        except CheckpointError:  # a search will tell of it if it comes to this one
            continue
        except EvaluationError:  # transformers cannot load it
            return None
    return None


def _free_bytes() -> float:
    """Return how much memory may still be taken; none where nobody says."""
    free = [0.0]
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = [1024.0 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])]
    with suppress(OSError, ValueError):  # a container's own limit
        group = Path("/sys/fs/cgroup")
        most, taken = (int((group / f"memory.{name}").read_text()) for name in ("max", "current"))
        free.append(float(most - taken))
    return min(free)
