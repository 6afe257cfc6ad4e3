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
    kind, sign, number, address = _parts(text)
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
    if address is not None:
        if kind != "ray":
            refuse(
                f"`{shown(text)}` is no executor", f"`{kind}` is on this machine: only `ray` has an address"
            )
        from soce.search.executors.ray_cluster import parse_address

        parse_address(address)
    return text


def at_address(executor: str, address: str | None) -> str:
    """Return the name of an executor on the cluster at an address, if there is one.

    Examples
    --------
    >>> at_address("ray:8", "10.0.0.1:6379"), at_address("inline", None)
    ('ray:8@10.0.0.1:6379', 'inline')
    """
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
    kind, _, number, _ = _parts(parse_executor(executor))
    return 1 if kind == "inline" else int(number) if number else None


def open_executor(text: str) -> Executor:
    """Return the executor of a name; raises StudyError if there is none of that name.

    It starts nothing before it gets its first job.
    """
    kind, _, number, address = _parts(parse_executor(text))
    if kind == "processes":
        from soce.search.executors.processes import ProcessExecutor

        return ProcessExecutor(int(number))
    if kind == "ray":
        from soce.search.executors.ray import RayExecutor

        return RayExecutor(int(number) if number else None, address=address)
    return InlineExecutor()


def _parts(text: str) -> tuple[str, str, str, str | None]:
    """Return kind, colon, number and address of ``ray:8@HOST:PORT``; without one, the address is None."""
    name, at, address = text.partition("@")
    return *name.partition(":"), address if at else None


@contextmanager
def opened(executor: Executor | str) -> Iterator[Executor]:
    """Give an executor: one that is named is closed afterwards, one that is there stays open."""
    if isinstance(executor, Executor):
        yield executor
        return
    with open_executor(executor) as made:
        yield made
