"""Whether an engine answers as the weights that it was given: asked when it starts, and at any time.

An engine may keep what it derived from older weights, such as a packed head or keys and values of a prompt,
and answer with it without a sign. So it becomes another ingredient than the one it was started with, is
compared with transformers there, becomes the first again, and must answer as at its start, bit for bit.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from soce.evaluate.engines.judge import is_loaded, judge
from soce.evaluate.engines.saying import asked_engine, distance
from soce.exceptions import EngineLostError, Problem, shown
from soce.recipes.model import Recipe, same_path_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.evaluate.engines.engine import Engine, EngineOptions
    from soce.evaluate.engines.judge import Judgement
    from soce.evaluate.engines.saying import Saying

_log = logging.getLogger(__name__)

_MOST_NOISE: Final = 1.0
"""Nats. bfloat16 is some 0.05 from float32, quantised weights a few times that; what is farther away with
what it loaded itself computes another model."""


@dataclass(frozen=True, slots=True)
class CanaryReport:
    """What was compared, in an engine that passed."""

    ingredient: str
    """What it became between."""
    judge: str | None
    """What it was compared with there; None: with nothing, and only its return was."""
    tokens: int
    """Of the text that it was asked about."""
    noise: float
    """Root mean square of differences from the judge, in nats, at its start: that of its dtype."""
    distance: float
    """The same after the change."""
    allowed: float
    apart: float
    """How far the first ingredient is from the judge: what a change that did nothing would be seen as."""
    seconds: float
    """What it took, with the judge."""

    @property
    def is_conclusive(self) -> bool:
        """Whether an engine that had kept the weights of old would have been noticed."""
        return self.apart > self.allowed

    def to_json(self) -> dict[str, object]:
        """Return it as JSON."""
        return {**asdict(self), "is_conclusive": self.is_conclusive}


class Canary:
    """Asks one engine about a fixed text, before and after its weights change.

    Call `prepare` before the engine is started, as a judge may need its memory, and `check` after `open`
    while nobody else asks; again at any time. At its start an engine is not checked if one of the same
    identity and ingredients passed in this process before. Of a single ingredient nothing can be checked.

    Notes
    -----
    Cost: two or three changes of weights and six requests of at most 256 tokens; and the judge, once: an
    ingredient loaded and changed as float32 on the CPU with three passes there. Where there is no memory for
    that, or transformers does not know the model, an engine started on the other ingredient, whose bits must
    be equal.
    """

    _passed: ClassVar[dict[str, CanaryReport]] = {}

    def __init__(self, engine: Engine, ingredients: Sequence[str], options: EngineOptions) -> None:
        self.engine = engine
        self.report: CanaryReport | None = None
        """What was found last; None before, and of a single ingredient."""
        self._ingredients = tuple(ingredients)
        self._options = options
        self._judgement: Judgement | None = None
        self._at_start: Saying | None = None
        self._seconds = 0.0
        known = [engine.identity, options.merge.decisions(), [*map(same_path_key, ingredients)]]
        self._key = json.dumps(known, sort_keys=True, default=str)

    def prepare(self) -> None:
        """Ask the judge."""
        if len(self._ingredients) > 1 and self._key not in self._passed:
            with self._timed():
                self._judgement = judge(self.engine.name, self._ingredients, self._options)

    def check(self, *, at_start: bool = False) -> None:
        """Compare, and leave the engine with the first ingredient.

        At its start it still holds what it loaded itself. Raises EngineLostError if it answers otherwise than
        its weights say, and what `Engine.become` does.
        """
        if len(self._ingredients) == 1:
            return
        if at_start and self._key in self._passed:
            self.report = self._passed[self._key]
            return
        with self._timed():
            told = self._judgement
            if told is None:
                told = self._judgement = judge(self.engine.name, self._ingredients, self._options)
            first, other = (Recipe.of({path: 1}) for path in (self._ingredients[0], told.ingredient))
            if self._at_start is None:
                if not at_start or not is_loaded(self._ingredients[0], self._options):
                    self.engine.become(first)
                self._at_start = asked_engine(self.engine, told.tokens)
            start = self._at_start
            self.engine.become(other)
            changed = asked_engine(self.engine, told.tokens)
            self.engine.become(first)
            again = asked_engine(self.engine, told.tokens)
        noise = told.noise(start)
        report = CanaryReport(
            ingredient=told.ingredient,
            judge=told.name,
            tokens=len(start.prompt) + 1,
            noise=noise,
            distance=0.0 if told.other is None else distance(changed, told.other),
            allowed=told.allowed(noise),
            apart=0.0 if told.other is None else distance(start, told.other),
            seconds=self._seconds,
        )
        self._seconds = 0.0
        self._refuse_stale(report, start, changed, again)
        self.report = self._passed[self._key] = report
        _log.info("the canary of %s passed: %s", self.engine.name, report)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begin = time.monotonic()
        yield
        self._seconds += time.monotonic() - begin

    def _refuse_stale(self, report: CanaryReport, start: Saying, changed: Saying, again: Saying) -> None:
        """Raise EngineLostError for an engine that keeps something of weights that it has no more."""
        other, by = shown(report.ingredient), report.judge
        found = None
        if report.noise > _MOST_NOISE:
            found = f"at its start it is {report.noise:.2g} nats from {by}"
        elif not report.distance <= report.allowed:
            nats = f"{report.distance:.2g} nats from {by}, where {report.allowed:.2g} are allowed"
            found = f"after it became `{other}` it is {nats}"
        elif start.written == start.rewritten and changed.written != changed.rewritten:
            found = f"after it became `{other}` a prompt is remembered that older weights had read"
        elif again != start:
            found = "back at the first ingredient it does not answer as it did at its start"
        if found is not None:
            message = f"{self.engine.name} does not answer as its weights say: {found}"
            hint = "no score of it would mean anything: take another engine, or another version of it"
            raise EngineLostError.of([Problem("engine", None, None, message, hint)])
