"""Which scores chose a soup and what it scored: from the run, or from the notes in the soup's manifest."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soce.exceptions import Problem, SoceError, StudyError, shown
from soce.search.open import open_run
from soce.search.result import SearchResult

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from soce.search.result import Scored
    from soce.search.run import Run


@dataclass(frozen=True, slots=True)
class Measured:
    """An objective on one set of items."""

    value: float
    categories: Mapping[str, float]
    n_items: int | None


@dataclass(frozen=True, slots=True)
class Compared:
    """A model or soup of the comparison."""

    kind: str
    label: str
    parts: Mapping[str, int]
    chosen: Measured
    """On the items that the search saw."""
    reported: Measured
    """On the held-out items; the same again if nothing was held out."""


@dataclass(frozen=True, slots=True)
class Results:
    """What a search found, as its ``result.json`` or a manifest's notes say it."""

    objective: str
    scale: str | None
    strategy: str
    n_candidates: int
    is_optimistic: bool
    arms: tuple[Compared, ...]
    """The soup last."""
    best_single: str
    """Label of the single model that is best on the reported items."""
    comparisons: tuple[Mapping[str, Any], ...]
    notes: tuple[str, ...]
    verdict: str
    selection: Mapping[str, Any] | None
    """How the experts were chosen, where the soup's manifest says it."""

    @property
    def soup(self) -> Compared:
        """The soup."""
        return self.arms[-1]

    @property
    def singles(self) -> tuple[Compared, ...]:
        """The single models."""
        return tuple(arm for arm in self.arms if arm.kind == "single")

    @property
    def times(self) -> float:
        """What turns scores into percent, where they are shares of 1."""
        return 100.0 if self.scale == "unit" else 1.0

    @classmethod
    def of(cls, result: SearchResult, selected_by: object = None) -> Results:
        """Return what the card says of a result."""
        return cls(
            result.objective,
            result.scale,
            str(result.strategy["name"]),
            result.n_candidates,
            result.is_optimistic,
            tuple(
                Compared(arm.kind, arm.label, arm.parts, _measured(arm.selection), _measured(arm.report))
                for arm in result.arms
            ),
            result.best_single_report,
            tuple(one.to_json() for one in result.comparisons),
            result.notes,
            result.verdict,
            dict(selected_by) if isinstance(selected_by, dict) else None,
        )


def _measured(scored: Scored) -> Measured:
    return Measured(scored.value, scored.categories, scored.n_items)


@dataclass(frozen=True, slots=True)
class Found:
    """A result and the names that the run gave to checkpoints."""

    results: Results
    names: Mapping[str, str]
    """Path to name."""


def find_results(
    soup: str | os.PathLike[str],
    notes: Mapping[str, Any],
    parts: Sequence[int] | None,
    *,
    run: str | os.PathLike[str] | None = None,
) -> Found | None:
    """Return the result of the search that chose a soup.

    That is the one of `run` if it is given; else the one in the manifest's notes; else the one beside the
    soup, as `soce run` lays it down, provided that its best soup has the same parts.

    Parameters
    ----------
    soup : path-like
        The soup's directory.
    notes : mapping
        Of its manifest.
    parts : sequence of int, optional
        Parts of the soup in lowest terms, largest first; None if they differ from tensor to tensor.
    run : path-like, optional
        A folder of `soce run`, `soce search` or `soce demo`.

    Returns
    -------
    Found or None

    Raises
    ------
    StudyError
        `run` holds no result, or that of another soup.
    """
    if run is not None:
        return _of_run(run, parts)
    beside = _opened(Path(soup).absolute().parent)
    names = {} if beside is None else _names(beside)
    try:
        return Found(Results.of(SearchResult.from_json(notes), notes.get("selected_by")), names)
    except StudyError:  # a soup that no search has chosen
        pass
    if beside is None or beside.result is None or parts is None:
        return None
    results = Results.of(beside.result)
    return Found(results, names) if _parts_of(results) == tuple(parts) else None


def _of_run(folder: str | os.PathLike[str], parts: Sequence[int] | None) -> Found:
    run = _opened(folder)
    if run is None or run.result is None:
        why = f": {run.missing['result']}" if run is not None else ""
        hint = "give the folder of a finished `soce run` or `soce search`"
        _refuse(Path(folder), f"holds no `result.json` that this version reads{why}", hint)
    results = Results.of(run.result)
    if _parts_of(results) != (None if parts is None else tuple(parts)):
        found = ", ".join(f"{part} {shown(name)}" for name, part in results.soup.parts.items())
        _refuse(run.search, f"its best soup is another one: {found}", "give the run that chose this soup")
    return Found(results, _names(run))


def _opened(folder: str | os.PathLike[str]) -> Run | None:
    try:
        return open_run(folder)
    except (SoceError, OSError):
        return None


def _parts_of(results: Results) -> tuple[int, ...]:
    found = [part for part in results.soup.parts.values() if part]
    divisor = gcd(*found) or 1
    return tuple(sorted((part // divisor for part in found), reverse=True))


def _names(run: Run) -> dict[str, str]:
    """Return which name the study of a run gave to which path; nothing if it does not say."""
    known = {} if run.identity is None else run.identity.ingredients
    return {str(one["path"]): name for name, one in known.items() if "path" in one}


def _refuse(path: Path, message: str, hint: str) -> NoReturn:
    raise StudyError.of([Problem("study", str(path), None, message, hint)])
