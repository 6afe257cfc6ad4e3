"""transformers as a serving engine, seen from soce."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import cached_property
from http.client import HTTPException
from typing import TYPE_CHECKING, Final

from soce.evaluate.engines.limits import change_seconds
from soce.evaluate.engines.process import EngineProcess
from soce.evaluate.engines.transformers.arguments import EngineArguments
from soce.evaluate.engines.unix_http import ask
from soce.evaluate.evaluation import refuse, told
from soce.evaluate.http.refusals import refusal_of
from soce.exceptions import EngineLostError, Problem
from soce.merging.options import DECISIONS
from soce.recipes.wire import recipe_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.engines.engine import EngineName, EngineOptions
    from soce.recipes.model import Recipe

_MERGING: Final = DECISIONS | {"nonfinite", "num_threads"}
"""Options of a merge that mean something to a live model."""

_ENDING_SECONDS: Final = 3.0
"""How long its process may take to end after it broke off."""
_HEALTH_SECONDS: Final = 60.0
"""How long it may take to say that it is well."""

MODEL: Final = "soup"
"""What requests call the model."""


class TransformersEngine:
    """A `SoupModel` in a process of its own, for models and machines that no faster engine serves.

    It answers greedily and refuses what else it is asked.
    """

    name: EngineName = "transformers"
    model = MODEL

    def __init__(self, ingredients: Sequence[str], options: EngineOptions) -> None:
        if options.python not in {None, sys.executable}:
            hint = "install soce with `soce[torch]` there, and run it from there"
            refuse("the engine transformers runs in soce's own environment", hint)
        self._ingredients = tuple(ingredients)
        self._options = options
        self._arguments = EngineArguments.of(options.arguments)
        self._process: EngineProcess | None = None

    @property
    def socket(self) -> str | None:
        """Path of the Unix socket on which it answers."""
        return None if self._process is None else self._process.socket

    @cached_property
    def identity(self) -> Mapping[str, object]:
        """What answers depend on besides recipe and tensors."""
        from soce.evaluate.live.outline import ModelOutline

        given = self._arguments
        outline = ModelOutline(
            self._ingredients,
            device=given.device,
            device_map=given.device_map,
            compute_dtype=given.compute_dtype,
            merge=self._options.merge,
        )
        told_of = outline.identity
        outline.close()
        own = {"batch_invariant": given.batch_size == 1, "engine_max_length": given.max_length}
        return {"engine": self.name, **told_of, **own}

    def start(self) -> None:
        """Start the process, and return when it answers."""
        self._process = EngineProcess(self.name)
        settings = self._process.folder / "settings.json"
        merge = self._options.merge.changed()
        content = {
            "ingredients": self._ingredients,
            "merge": {name: value for name, value in merge.items() if name in _MERGING},
            "arguments": asdict(self._arguments),
            "socket": self._process.socket,
        }
        settings.write_text(json.dumps(content, default=list), encoding="utf-8")
        module = "soce.evaluate.engines.transformers.serve"
        self._process.start(
            [sys.executable, "-m", module, str(settings)],
            environment={},
            seconds=self._options.start_seconds,
        )

    def open(self, ingredients: Sequence[str]) -> None:
        """Check that these are the ingredients it was started with, which it has read."""
        if tuple(ingredients) != self._ingredients:
            refuse("the engine transformers was started with other ingredients")

    def become(self, recipe: Recipe) -> None:
        """Take the weights of the soup."""
        process = self._running()
        seconds = self._options.change_seconds or change_seconds(recipe)
        try:
            told_of = recipe_to_json(recipe)
            status, answer = ask(process.socket, "/recipe", told_of, timeout_seconds=seconds)
        except TimeoutError:
            process.end_late("become a soup", seconds)
        except (OSError, HTTPException) as error:
            process.lose(f"broke off: {told(error)}", wait_seconds=_ENDING_SECONDS)
        if status != 200:
            raise refusal_of(answer, status, "/recipe")

    def check(self) -> None:
        """Raise EngineLostError if it does not answer any more."""
        process = self._running()
        try:
            ask(process.socket, "/health", timeout_seconds=_HEALTH_SECONDS)
        except (OSError, HTTPException) as error:
            process.lose(f"does not answer: {told(error)}", wait_seconds=_ENDING_SECONDS)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.close()

    def _running(self) -> EngineProcess:
        if self._process is None:
            message = f"{self.name} is not running"
            raise EngineLostError.of([Problem("engine", None, None, message, None)])
        self._process.check()
        return self._process
