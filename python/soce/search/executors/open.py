"""Executors as users name them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.words import nearest
from soce.search.executors.executor import Executor
from soce.search.executors.inline import InlineExecutor
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

_KINDS: Final = ("inline",)


def open_executor(text: str) -> Executor:
    """Return the executor of a name; raises StudyError if there is none of that name.

    It starts nothing before it gets its first job.
    """
    if text not in _KINDS:
        refuse(f"`{shown(text)}` is no executor", nearest(text, _KINDS, "executors"))
    return InlineExecutor()


@contextmanager
def opened(executor: Executor | str) -> Iterator[Executor]:
    """Give an executor: one that is named is closed afterwards, one that is there stays open."""
    if isinstance(executor, Executor):
        yield executor
        return
    with open_executor(executor) as made:
        yield made
