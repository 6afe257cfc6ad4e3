"""Executors as users name them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.search.executors.executor import Executor
from soce.search.executors.inline import InlineExecutor
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNTS: Final = {"inline": "none", "processes": "one"}
"""Kind → whether a number stands behind it: none, one or perhaps one."""
_FORMS: Final = "`inline` or `processes:N`"
_MOST: Final = 10_000


def parse_executor(text: str) -> str:
    """Return the name of an executor as it is; raises StudyError if there is none of that name.

    Examples
    --------
    >>> parse_executor("processes:8")
    'processes:8'
    """
    kind, sign, number = text.partition(":")
    counts = _COUNTS.get(kind)
    if counts is None:
        refuse(f"`{shown(text)}` is no executor", f"name {_FORMS}")
    if sign and counts == "none":
        refuse(f"`{shown(text)}` is no executor", f"there is one `{kind}`, without a number")
    if not sign and counts == "one":
        refuse(f"`{shown(text)}` does not say how many", f"write `{kind}:4`, say")
    if sign and not (number.isascii() and number.isdecimal() and 0 < int(number) <= _MOST):
        hint = f"it is a whole number from 1 to {_MOST:,}, as in `{kind}:4`"
        refuse(f"`{shown(number)}` in `{shown(text)}` is no number of replicas", hint)
    return text


def count_of(executor: Executor | str) -> int | None:
    """Return how many evaluations are made at once; None if only an executor that was opened knows.

    Examples
    --------
    >>> count_of("inline"), count_of("processes:8")
    (1, 8)
    """
    if isinstance(executor, Executor):
        return executor.capacity
    kind, _, number = parse_executor(executor).partition(":")
    return 1 if kind == "inline" else int(number) if number else None


def open_executor(text: str) -> Executor:
    """Return the executor of a name; raises StudyError if there is none of that name.

    It starts nothing before it gets its first job.
    """
    kind, _, number = parse_executor(text).partition(":")
    if kind == "processes":
        from soce.search.executors.processes import ProcessExecutor

        return ProcessExecutor(int(number))
    return InlineExecutor()


@contextmanager
def opened(executor: Executor | str) -> Iterator[Executor]:
    """Give an executor: one that is named is closed afterwards, one that is there stays open."""
    if isinstance(executor, Executor):
        yield executor
        return
    with open_executor(executor) as made:
        yield made
