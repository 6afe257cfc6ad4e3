"""Which search chose a soup, and what it found: from the run, or from the notes in the soup's manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soce.exceptions import Problem, SoceError, StudyError, shown
from soce.report.card.soup import lowest_terms, real_path
from soce.search.open import open_run
from soce.search.result import SearchResult
from soce.search.soup import is_plain
from soce.search.strategies.space import same_soup

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from soce.report.card.soup import Soup
    from soce.search.run import Run
    from soce.selection.experts import Selection


@dataclass(frozen=True, slots=True)
class Choice:
    """How a soup was chosen."""

    result: SearchResult
    selected_by: Mapping[str, Any] | None
    """How the experts were chosen, as `selection_notes` says it; None if nobody knows."""
    names: Mapping[str, str]
    """What the run calls the checkpoints, by path without links."""


def selection_notes(selection: Selection) -> dict[str, Any]:
    """Return what a soup's manifest keeps of the choice of its experts."""
    experts = [{"model": one.model, "categories": list(one.categories)} for one in selection.experts]
    return {
        "rule": str(selection.rule),
        "scores": selection.digest,
        "candidates": list(selection.candidates),
        "experts": experts,
    }


def find_choice(soup: Soup, run: str | os.PathLike[str] | None = None) -> Choice | None:
    """Return how a soup was chosen.

    The result is that of `run` if it is given; else the one in the manifest's notes; else the one beside the
    soup, as `soce run` lays it down, provided that its best soup has the same parts.
    """
    if run is not None:
        finished = _finished(run, soup)
        assert finished.result is not None
        return _choice(soup, finished.result, finished)
    try:
        beside = open_run(soup.folder.absolute().parent)
    except (SoceError, OSError):
        beside = None
    try:
        return _choice(soup, SearchResult.from_json(soup.notes), beside)
    except StudyError:  # a soup that no search has published
        if beside is None or beside.result is None or not _chose(beside, beside.result, soup):
            return None
        return _choice(soup, beside.result, beside)


def _choice(soup: Soup, result: SearchResult, run: Run | None) -> Choice:
    selected_by = soup.notes.get("selected_by")
    if not isinstance(selected_by, dict):
        selection = None if run is None else run.selection
        selected_by = None if selection is None else selection_notes(selection)
    return Choice(result, selected_by, _names(run))


def _names(run: Run | None) -> dict[str, str]:
    """Return what a run calls its checkpoints, by path without links."""
    known = None if run is None else run.known_pool
    if known is None:
        return {}
    located = {name: path for name, path in known.paths.items() if name not in known.without_path}
    return {real_path(path): name for name, path in located.items()}


def _finished(folder: str | os.PathLike[str], soup: Soup) -> Run:
    """Return the run of a folder if it chose that soup."""
    place, hint = str(folder), "give the folder of a finished `soce run` or `soce search`"
    try:
        run = open_run(folder)
        why = run.missing.get("result")
    except (SoceError, OSError):
        why = "there is no run in it"
    if why is not None:
        message = f"holds no `result.json` that this version reads: {why}"
        raise StudyError.of([Problem("study", place, None, message, hint)])
    if run.result is not None and not _chose(run, run.result, soup):
        found = ", ".join(f"{part} {shown(name)}" for name, part in run.result.best.parts.items())
        message, hint = f"its best soup is another one: {found}", "give the run that chose this soup"
        raise StudyError.of([Problem("study", str(run.search), None, message, hint)])
    return run


def _chose(run: Run, result: SearchResult, soup: Soup) -> bool:
    """Whether the best soup has the parts of this one; tensors may be taken from one ingredient.

    Which checkpoint has which part is known where all lie at paths that the run knows.
    """
    best = result.best.parts
    chosen = soup.notes.get("best")
    if isinstance(chosen, dict) and chosen.get("recipe") == result.best.recipe.id:
        return True
    if not is_plain(best) or not soup.is_plain or lowest_terms(best.values()) != soup.parts:
        return False
    parts = {one.name: one.parts[-1] for one in soup.named(_names(run), {}).averaged}
    known = {arm.label for arm in result.singles}
    return not parts.keys() <= known or same_soup(parts) == same_soup(best)
