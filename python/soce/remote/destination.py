"""Where a soup goes that does not stay on this disk, whoever keeps it there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Protocol

from soce.exceptions import OutputError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import NoReturn

    from soce.recipes.names import RemoteName

MANIFEST: Final = "soce.json"
"""What makes a soup of files: where files come one after the other, it comes last."""
AGAIN: Final = "run this again: what was sent is not sent again"
"""The mend of what may pass."""


class Destination(Protocol):
    """A place where a soup appears complete or not at all, and replaces nothing."""

    @property
    def name(self) -> RemoteName:
        """What it is called."""

    def standing(self, plan: str) -> str | None:
        """Refuse what is in the way; return the `result_digest` of this plan's soup if it is there already.

        Nothing is changed there.
        """

    def prepare(self) -> None:
        """Make the place, so that whoever may not write there learns it before there is any work."""

    def still_there(self, sent: Sequence[tuple[str, str]]) -> list[bool]:
        """Return which files are there still, each given by its name and what `send` returned."""

    def send(self, name: str, file: Path, on_bytes: Callable[[int], object]) -> str:
        """Take a file there; return what it is known by. `on_bytes` is told how many bytes went."""

    def complete(
        self,
        files: Sequence[tuple[str, Path]],
        sent: Sequence[tuple[str, str]],
        on_bytes: Callable[[int], object],
    ) -> None:
        """Take the other files there, the manifest last, and make a soup of all that is there."""


def of_this_plan(manifest: bytes, plan: str) -> str | None:
    """Return the `result_digest` of a manifest, if it is that of a plan."""
    try:
        found = json.loads(manifest)
        return str(found["result_digest"]) if found["plan_digest"] == plan else None
    except (ValueError, KeyError, TypeError):
        return None


def refuse_output(name: object, message: str, hint: str | None = None) -> NoReturn:
    """Raise an `OutputError` of one problem with where a soup is to go."""
    raise OutputError.of([Problem("output", str(name), None, message, hint)])
