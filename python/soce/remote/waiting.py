"""Waiting for clients that hear no signals: they work on a thread of their own, until one comes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    T = TypeVar("T")

_TICK: Final = 0.05
_PATIENCE: Final = 0.5
"""Seconds in which work that was given up may end; then it is left to itself."""


def waited_for(
    work: Callable[[], T], *, give_up: Callable[[], object], on_tick: Callable[[], object] | None = None
) -> T:
    """Return what `work` does on another thread, while this one heeds signals and calls `on_tick`.

    If either raises, `give_up` tells the work to end.
    """
    outcome: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # raised on the other thread
            failure.append(error)

    thread = threading.Thread(target=run, name="soce-sending", daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            thread.join(_TICK)
            if on_tick is not None:
                on_tick()
    except BaseException:
        give_up()
        if thread.ident is not None:  # else it has not begun
            thread.join(_PATIENCE)
        raise
    if failure:
        raise failure[0]
    return outcome[0]
