"""Which scores chose a soup and what it scored: from the run, or from the notes in the soup's manifest."""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import Problem, StudyError, shown

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

_RESULT: Final = "result.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """An objective on one set of items."""

    value: float
    categories: Mapping[str, float]
    n_items: int | None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Measured:
        """Read what `soce.search.Scored.to_json` wrote."""
        count = data["n_items"]
        categories = {str(name): float(score) for name, score in data["categories"].items()}
        return cls(float(data["value"]), categories, None if count is None else int(count))


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
    def of(cls, data: Mapping[str, Any]) -> Results:
        """Read a result in JSON.

        Raises
        ------
        KeyError, TypeError, ValueError, AttributeError
            It is none.
        """
        arms = tuple(
            Compared(
                str(arm["arm"]),
                str(arm["label"]),
                {str(name): int(part) for name, part in arm["parts"].items()},
                Measured.of(arm["selection"]),
                Measured.of(arm["report"]),
            )
            for arm in data["arms"]
        )
        best_single = str(data["best_single"]["on_report"])
        if best_single not in {arm.label for arm in arms}:
            raise KeyError(best_single)
        selection = data.get("selected_by")
        return cls(
            str(data["objective"]),
            data["scale"],
            str(data["strategy"]["name"]),
            int(data["n_candidates"]),
            bool(data["optimistic"]),
            arms,
            best_single,
            tuple(dict(one) for one in data["comparisons"]),
            tuple(str(note) for note in data["notes"]),
            str(data["verdict"]),
            dict(selection) if isinstance(selection, dict) else None,
        )


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
        folder = Path(run)
        path = next((one for one in _places(folder) if one.exists()), None)
        if path is None:
            _refuse(
                folder, "holds no `result.json`", "give the folder of a finished `soce run` or `soce search`"
            )
        results = _read(path)
        if results is None:
            _refuse(path, "is no result that this version reads", "search again with this version")
        if _parts_of(results) != (None if parts is None else tuple(parts)):
            found = ", ".join(f"{part} {shown(name)}" for name, part in results.soup.parts.items())
            _refuse(path, f"its best soup is another one: {found}", "give the run that chose this soup")
        return Found(results, _names(path.parent))
    beside = Path(soup).absolute().parent / "search" / _RESULT
    try:
        return Found(Results.of(notes), _names(beside.parent))
    except (KeyError, TypeError, ValueError, AttributeError):
        pass
    results = _read(beside) if beside.is_file() else None
    if results is None or parts is None or _parts_of(results) != tuple(parts):
        return None
    return Found(results, _names(beside.parent))


def _places(folder: Path) -> tuple[Path, ...]:
    return (folder / _RESULT, folder / "search" / _RESULT)


def _read(path: Path) -> Results | None:
    try:
        return Results.of(json.loads(path.read_text(encoding="utf-8")))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return None


def _parts_of(results: Results) -> tuple[int, ...]:
    found = [part for part in results.soup.parts.values() if part]
    divisor = gcd(*found) or 1
    return tuple(sorted((part // divisor for part in found), reverse=True))


def _names(folder: Path) -> dict[str, str]:
    """Return which name the study in a folder gave to which path; nothing if it does not say."""
    try:
        study = json.loads((folder / "study.json").read_text(encoding="utf-8"))
        found = study["identity"]["ingredients"]
        return {str(one["path"]): str(name) for name, one in found.items()}
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}


def _refuse(path: Path, message: str, hint: str) -> NoReturn:
    raise StudyError.of([Problem("study", str(path), None, message, hint)])
