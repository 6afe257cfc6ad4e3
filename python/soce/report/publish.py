"""Publish what a search found: merge its best soup, record why, and write its model card."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import CheckpointError, OutputError, Problem, SoceError
from soce.files.arguments import expect, expect_path
from soce.files.digests import digest_of
from soce.merging.merge import merge
from soce.merging.options import CHANGE_FILES, MergeOptions
from soce.merging.plan import plan
from soce.report.card.card import Card, write_card
from soce.report.card.choice import selection_notes
from soce.report.card.metadata import require_hub
from soce.report.card.soup import MANIFEST, read_soup
from soce.search.history import read_history
from soce.search.result import SearchResult

if TYPE_CHECKING:
    import os

    from soce.merging.options import OnProgress
    from soce.merging.report import MergeReport
    from soce.selection.experts import Selection

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
    options: MergeOptions = MergeOptions(),
    on_progress: OnProgress | None = None,
) -> Published:
    """Write the best soup of a search and its model card, unless the soup is there already.

    Parameters
    ----------
    result : SearchResult
    target : path-like
        The soup's directory. It may be there if it holds this soup, in the same dtype and shards.
    selection : Selection, optional
        How the experts were chosen, for the card.
    run : path-like, optional
        The search's folder, which knows the names of the checkpoints. The soup of an earlier question that
        was asked there is replaced.
    options : MergeOptions
        Of the merge; its `notes` become what the search found, and its `digests` are full. With `overwrite`,
        another soup is replaced.
    on_progress : callable, optional
        Called with bytes done and bytes in all.

    Raises
    ------
    OutputError
        The target holds another soup, or something else; huggingface_hub is not installed.
    SoceError, OSError
        As `merge`.
    """
    expect(result, SearchResult, "result", "a SearchResult, which `soce.search_soups` returns")
    expect_path(target, "target")
    place = Path(target)
    check_publishable(place)
    # Full digests: a card that says what was published must tell its ingredients apart.
    options = replace(options, digests="full", notes=notes_of(result, selection))
    is_there = (place / MANIFEST).is_file()
    other = _other_soup(place, result, options) if is_there else None
    report = None
    if other and not options.overwrite and not _is_earlier(place, run):
        hint = "choose another directory, or replace it with `--overwrite`"
        raise OutputError.of([Problem("output", str(target), None, f"it holds {other}", hint)])
    if other or not is_there:
        options = replace(options, overwrite=is_there)
        report = merge(result.best.recipe, output=place, options=options, on_progress=on_progress)
    try:
        card = write_card(place, run=run)
    except OutputError:
        card = None
    return Published(place, report, card)


def check_publishable(target: str | os.PathLike[str]) -> None:
    """Raise `OutputError` if nothing can be published there, as is to be known before a search.

    That is if something lies there that is no soup, or no card can be written.
    """
    require_hub()
    place = Path(target)
    if place.exists() and not (place / MANIFEST).is_file():
        problem = Problem("output", str(target), None, "it exists and is no soup", "choose another directory")
        raise OutputError.of([problem])


def notes_of(result: SearchResult, selection: Selection | None = None) -> dict[str, Any]:
    """Return what a soup's manifest keeps of the search that chose it.

    That is the result without the soups that were not chosen, a digest of the whole result, and in
    ``selected_by`` the rule and the experts.
    """
    data = result.to_json()
    # What a merge only accepts is not part of the result: a later run that accepts more finds its soup.
    decided = {name: value for name, value in result.merge.items() if name in CHANGE_FILES}
    notes: dict[str, Any] = {"result": digest_of(replace(result, merge=decided).to_json())}
    notes |= {name: value for name, value in data.items() if name not in _UNPUBLISHED}
    if "certificate" in result.trace:
        notes["trace"] = {"certificate": result.trace["certificate"]}
    if selection is not None:
        notes["selected_by"] = selection_notes(selection)
    return notes


def _is_earlier(place: Path, run: str | os.PathLike[str] | None) -> bool:
    """Whether the soup that lies there is what an earlier question of the run was answered with."""
    if run is None:
        return False
    with suppress(SoceError, OSError):
        published = read_soup(place).notes.get("result")
        results = (past.result for past in read_history(run))
        return any(notes_of(result)["result"] == published for result in results if result is not None)
    return False


def _other_soup(place: Path, result: SearchResult, options: MergeOptions) -> str | None:
    """Return which other soup lies there than the one to be published; None if it is this one."""
    try:
        soup = read_soup(place)
    except CheckpointError:
        return "a soup whose manifest is damaged"
    assert options.notes is not None
    if soup.notes.get("result") != options.notes["result"]:
        before = soup.notes.get("best")
        is_earlier = isinstance(before, dict) and before.get("parts") == result.best.to_json()["parts"]
        return "a soup of these parts with another result" if is_earlier else "another soup"
    # Only a plan knows what dtype and shards are, where nothing is said of them; it is not for this place.
    elsewhere = place.with_name(f".{place.name}.plan")
    wanted = plan(
        result.best.recipe, output=elsewhere, options=replace(options, overwrite=False, preflight=False)
    ).data
    tensors = {name: one["dtype"] for name, one in soup.manifest["result"]["tensors"].items()}
    if tensors != {one["name"]: one["dtype"] for one in wanted["tensors"]}:
        return f"this soup in other dtypes ({', '.join(soup.dtypes)})"
    shards = [(one["name"], one["size"]) for one in soup.manifest["result"]["shards"]]
    is_same = shards == [(one["name"], one["size"]) for one in wanted["shards"]]
    return None if is_same else "this soup in other shards"
