"""Files that come at the same time: a few at once, told of as they come, ended together."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Final, TypeAlias, TypeVar

Result = TypeVar("Result")
OnBytes: TypeAlias = Callable[[int, int], object]
"""Called with bytes done and bytes in all."""
AT_ONCE: Final = 4
_TELL_SECONDS: Final = 0.1


class Transfer:
    """Work on the network in a few threads, none of which outlives `run`.

    Parameters
    ----------
    total : int
        Bytes that are expected.
    on_progress : callable, optional
        Called on the thread that waits; raising from it ends the work.
    """

    def __init__(self, total: int = 0, on_progress: OnBytes | None = None) -> None:
        self._total = total
        self._on_progress = on_progress
        self._done = 0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._ends: set[Callable[[], object]] = set()

    def run(self, jobs: Sequence[Callable[[], Result]], *, at_once: int = AT_ONCE) -> list[Result]:
        """Return what each job returns; the first that fails, or an interrupt, ends the others."""
        with ThreadPoolExecutor(at_once) as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                left = set(futures)
                while left:
                    done, left = wait(left, _TELL_SECONDS, FIRST_EXCEPTION)
                    for future in done:
                        future.result()
                    if self._on_progress is not None:
                        self._on_progress(self._done, self._total)
            except BaseException:
                self._end()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
            return [future.result() for future in futures]

    def came(self, count: int) -> None:
        """Count bytes; raise if nobody wants more."""
        with self._lock:
            self._done += count
        self._check()

    def sleep(self, seconds: float) -> None:
        """Wait; raise if nobody waits any more."""
        self._ended.wait(seconds)
        self._check()

    @contextmanager
    def ended_by(self, end: Callable[[], object]) -> Iterator[None]:
        """Call `end`, on another thread, if the work is ended while the block runs."""
        with self._lock:
            self._ends.add(end)
        try:
            self._check()
            yield
        finally:
            with self._lock:
                self._ends.discard(end)

    def _check(self) -> None:
        if self._ended.is_set():
            message = "nobody waits for this any more"
            raise InterruptedError(message)

    def _end(self) -> None:
        self._ended.set()
        with self._lock:
            for end in self._ends:
                end()


def seconds_asked(retry_after: str | None, date: str | None) -> float | None:
    """Return how long a busy server asks to be left alone: seconds, or a time by its own clock.

    Examples
    --------
    >>> seconds_asked("7", None)
    7.0
    >>> seconds_asked("Fri, 31 Dec 1999 23:59:50 GMT", "Fri, 31 Dec 1999 23:59:00 GMT")
    50.0
    >>> seconds_asked("soon", None) is None
    True
    """
    from email.utils import parsedate_to_datetime

    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        now = time.time() if date is None else parsedate_to_datetime(date).timestamp()
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except (ValueError, OverflowError):
        return None
