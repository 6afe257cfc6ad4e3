"""Publish what a search found: merge its best soup, record why, and write its model card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import OutputError, Problem
from soce.merging.merge import merge
from soce.merging.options import MergeOptions
from soce.report.card.card import Card, write_card
from soce.search.identity import digest_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from soce.merging.report import MergeReport
    from soce.search.result import SearchResult
    from soce.selection.experts import Selection

_MANIFEST: Final = "soce.json"
_UNPUBLISHED: Final = ("ranked", "tied", "trace")
"""Parts of a result that the search's folder keeps, and that a soup has no need of."""


@dataclass(frozen=True, slots=True)
class Published:
    """A soup that lies where it was asked for."""

    path: Path
    report: MergeReport | None
    """None: it was there already."""
    card: Card | None
    """None: a README.md that soce did not write was left as it is."""


def publish_soup(
    result: SearchResult,
    target: str | os.PathLike[str],
    *,
    selection: Selection | None = None,
    run: str | os.PathLike[str] | None = None,
    dtype: str | None = None,
    overwrite: bool = False,
    command: Sequence[str] | None = None,
    on_progress: Callable[[int, int], object] | None = None,
) -> Published:
    """Write the best soup of a search and its model card, unless the soup is there already.

    Parameters
    ----------
    result : SearchResult
    target : path-like
        The soup's directory. It may be there if it holds this soup.
    selection : Selection, optional
        How the experts were chosen, for the card.
    run : path-like, optional
        The search's folder, which knows the names of the checkpoints.
    dtype : str, optional
        Output dtype.
    overwrite : bool
        Replace another soup.
    command : sequence of str, optional
        The command line, for the manifest.
    on_progress : callable, optional
        Called with bytes done and bytes in all.

    Returns
    -------
    Published

    Raises
    ------
    OutputError
        The target holds another soup, or something else.
    SoceError, OSError
        As `merge`.
    """
    place = Path(target)
    check_publishable(place)
    notes = notes_of(result, selection)
    report = None
    is_there = (place / _MANIFEST).is_file()
    if is_there and _noted(place) != notes["result"] and not overwrite:
        hint = "choose another directory, or remove it"
        raise OutputError.of([Problem("output", str(target), None, "it holds another soup", hint)])
    if not is_there or _noted(place) != notes["result"]:
        report = merge(
            result.best.recipe,
            output=place,
            options=MergeOptions(dtype=dtype, overwrite=is_there, notes=notes, command=command),
            on_progress=on_progress,
        )
    try:
        card = write_card(place, run=run)
    except OutputError:
        card = None
    return Published(place, report, card)


def check_publishable(target: str | os.PathLike[str]) -> None:
    """Raise `OutputError` if something lies at the target that is no soup: to be known before a search."""
    place = Path(target)
    if place.exists() and not (place / _MANIFEST).is_file():
        problem = Problem("output", str(target), None, "it exists and is no soup", "choose another directory")
        raise OutputError.of([problem])


def notes_of(result: SearchResult, selection: Selection | None = None) -> dict[str, Any]:
    """Return what a soup's manifest keeps of the search that chose it.

    That is the result without the soups that were not chosen, a digest of the whole result, and in
    ``selected_by`` the rule and the experts.
    """
    data = result.to_json()
    kept = {name: value for name, value in data.items() if name not in _UNPUBLISHED}
    notes: dict[str, Any] = {"result": digest_of(data), **kept}
    if selection is not None:
        notes["selected_by"] = {
            "rule": str(selection.rule),
            "scores": selection.digest,
            "candidates": list(selection.candidates),
            "experts": [
                {"model": expert.model, "categories": list(expert.categories)} for expert in selection.experts
            ],
        }
    return notes


def _noted(soup: Path) -> object:
    """Return the digest of the result that a soup's manifest names, or None."""
    try:
        manifest = json.loads((soup / _MANIFEST).read_text(encoding="utf-8"))
        return manifest["run"]["notes"]["result"]
    except (KeyError, TypeError, ValueError):
        return None
