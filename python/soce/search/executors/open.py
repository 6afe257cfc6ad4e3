"""Executors as users name them."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from soce.exceptions import shown
from soce.search.executors.executor import Executor
from soce.search.executors.inline import InlineExecutor
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNTS: Final = {"inline": "none", "processes": "one", "ray": "perhaps"}
"""Kind → whether a number stands behind it: none, one or perhaps one."""
_FORMS: Final = "`inline`, `processes:N`, `ray` or `ray:N`"
_MOST: Final = 10_000


def parse_executor(text: str) -> str:
    """Return the name of an executor as it is; raises StudyError if there is none of that name.

    Examples
    --------
    >>> parse_executor("processes:8")
    'processes:8'
    >>> parse_executor("ray:8@10.0.0.1:6379")
    'ray:8@10.0.0.1:6379'
    """
    named = _Named.of(text)
    kind, number = named.kind, named.number
    counts = _COUNTS.get(kind)
    if counts is None:
        refuse(f"`{shown(text)}` is no executor", f"name {_FORMS}")
    if number is not None and counts == "none":
        refuse(f"`{shown(text)}` is no executor", f"there is one `{kind}`, without a number")
    if number is None and counts == "one":
        refuse(f"`{shown(text)}` does not say how many", f"write `{kind}:4`, say")
    if number is not None and not (number.isascii() and number.isdecimal() and 0 < int(number) <= _MOST):
        hint = f"it is a whole number from 1 to {_MOST:,}, as in `{kind}:4`"
        refuse(f"`{shown(number)}` in `{shown(text)}` is no number of replicas", hint)
    if named.address is not None:
        if kind != "ray":
            refuse(
                f"`{shown(text)}` is no executor", f"`{kind}` is on this machine: only `ray` has an address"
            )
        from soce.search.executors.ray_cluster import parse_address

        parse_address(named.address)
    return text


def with_settings(executor: str, *, address: str | None, timeout_seconds: float | None) -> str:
    """Return the name of an executor on the cluster at an address, if there is one; check its limit of time.

    Examples
    --------
    >>> with_settings("ray:8", address="10.0.0.1:6379", timeout_seconds=None)
    'ray:8@10.0.0.1:6379'
    """
    _check_limit(executor, timeout_seconds)
    return executor if address is None else parse_executor(f"{executor}@{address}")


def count_of(executor: Executor | str) -> int | None:
    """Return how many evaluations are made at once; None if only an executor that was opened knows.

    Examples
    --------
    >>> count_of("inline"), count_of("processes:8")
    (1, 8)
    """
    if isinstance(executor, Executor):
        return executor.capacity
    named = _Named.of(parse_executor(executor))
    return 1 if named.kind == "inline" else None if named.number is None else int(named.number)


def open_executor(text: str, *, timeout_seconds: float | None = None) -> Executor:
    """Return the executor of a name; raises StudyError if there is none of that name.

    It starts nothing before it gets its first job. A replica that gives no word of its soup for
    `timeout_seconds` is ended.
    """
    named = _Named.of(parse_executor(text))
    _check_limit(text, timeout_seconds)
    count = None if named.number is None else int(named.number)
    if named.kind == "ray":
        from soce.search.executors.ray import RayExecutor

        return RayExecutor(count, address=named.address, timeout_seconds=timeout_seconds)
    if count is not None:
        from soce.search.executors.processes import ProcessExecutor

        return ProcessExecutor(count, timeout_seconds=timeout_seconds)
    return InlineExecutor()


def _check_limit(executor: str, timeout_seconds: float | None) -> None:
    if timeout_seconds is None:
        return
    if not 0 < timeout_seconds < math.inf:
        refuse(f"{timeout_seconds:g} seconds are no limit for a replica", "leave it out to wait for ever")
    if executor == "inline":
        hint = "name `processes:1`: what evaluates in this process cannot be ended without it"
        refuse("the executor `inline` has no limit of time", hint)


class _Named(NamedTuple):
    """What stands in ``ray:8@HOST:PORT``; None what does not."""

    kind: str
    number: str | None
    address: str | None

    @classmethod
    def of(cls, text: str) -> _Named:
        """Return the parts of a text, which may be wrong."""
        name, at, address = text.partition("@")
        kind, sign, number = name.partition(":")
        return cls(kind, number if sign else None, address if at else None)


@contextmanager
def opened(executor: Executor | str) -> Iterator[Executor]:
    """Give an executor: one that is named is closed afterwards, one that is there stays open."""
    if isinstance(executor, Executor):
        yield executor
        return
    with open_executor(executor) as made:
        yield made
