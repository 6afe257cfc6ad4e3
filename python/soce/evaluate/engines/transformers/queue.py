"""Requests that wait, answered together by the one thread that asks the model."""

from __future__ import annotations

import logging
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Lock, Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soce.evaluate.engines.transformers.asked import Ask, Reply

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Waiting:
    asks: tuple[Ask, ...]
    is_wanted: Callable[[], bool]
    """Whether somebody still waits for it."""
    said: Future[list[Reply]] = field(default_factory=Future)


class AskQueue:
    """Takes all requests that wait and answers them at once, again and again."""

    def __init__(self, answers: Callable[[Sequence[Ask]], list[Reply]]) -> None:
        self._answers = answers
        self._condition = Condition()
        self._waiting: list[_Waiting] = []
        self.model_lock = Lock()
        """Held while the model is asked; who changes it must hold it, too."""
        Thread(target=self._work, name="soce-asking", daemon=True).start()

    def ask(self, asks: tuple[Ask, ...], is_wanted: Callable[[], bool]) -> list[Reply]:
        """Return what the model says; raises what asking it raised."""
        one = _Waiting(asks, is_wanted)
        with self._condition:
            self._waiting.append(one)
            self._condition.notify()
        return one.said.result()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._waiting)
            with self.model_lock:
                with self._condition:  # only now: while the model changed, more have come
                    found, self._waiting = self._waiting, []
                self._answer(found)

    def _answer(self, found: Sequence[_Waiting]) -> None:
        wanted = [one for one in found if one.is_wanted()]
        for one in found:
            if one not in wanted:
                one.said.cancel()
        try:
            said = iter(self._answers([ask for one in wanted for ask in one.asks]))
            for one in wanted:
                one.said.set_result([next(said) for _ in one.asks])
        except Exception as error:
            for one in wanted:
                if not one.said.done():
                    one.said.set_exception(error)
