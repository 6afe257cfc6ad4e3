"""Model cards: the README.md of a soup says what it is, from its manifest and the run that chose it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from soce.exceptions import OutputError, Problem, shown
from soce.report.card.body import body_lines
from soce.report.card.eval_results import FILE, FOLDER, eval_result_entries, eval_results_text
from soce.report.card.files import CARD, assemble, is_sealed, read_card, replace_file
from soce.report.card.front_matter import make_front_matter, to_yaml
from soce.report.card.licences import Licence, agreed, licences_of, read_text, warnings_of
from soce.report.card.results import find_results
from soce.report.card.soup import read_soup

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from soce.report.card.files import Handwritten


@dataclass(frozen=True, slots=True)
class Card:
    """A model card, written or not."""

    path: Path
    """The README.md."""
    text: str
    """All of it."""
    front_matter: Mapping[str, Any]
    """Its head."""
    eval_results: tuple[Mapping[str, Any], ...]
    """Entries of ``.eval_results/soce.yaml``; empty: there is no such file."""
    warnings: tuple[str, ...]
    """What whoever publishes the soup should know, such as licences that differ."""
    has_scores: bool
    """Whether the result of a search was found."""
    is_edited: bool
    """Whether it holds what a user wrote."""

    def to_json(self) -> dict[str, object]:
        """Return everything but the text."""
        return {
            "path": str(self.path),
            "front_matter": dict(self.front_matter),
            "eval_results": [dict(entry) for entry in self.eval_results],
            "warnings": list(self.warnings),
            "has_scores": self.has_scores,
            "is_edited": self.is_edited,
        }


def make_card(
    soup: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str] | None = None,
    hub_ids: Mapping[str, str] | None = None,
    license: str | None = None,
    benchmarks: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Card:
    """Return the card of a soup without writing it. No tensor is read.

    Parameters
    ----------
    soup : path-like
        A directory that holds ``soce.json``.
    run : path-like, optional
        Folder of the `soce run`, `soce search` or `soce demo` that chose the soup; else the scores in the
        manifest, or those of a run that the soup lies in.
    hub_ids : mapping of ingredient to str, optional
        Ids on the Hub of ingredients that were local directories. Without them ``base_model`` names only
        those that the manifest or the Hub's cache tells.
    license : str, optional
        Licence of the soup. Else that of the ingredients if all say the same, and none otherwise.
    benchmarks : mapping of category to str, optional
        Which categories are benchmarks on the Hub, as ``DATASET`` or ``DATASET:TASK``: their held-out scores
        become ``.eval_results/soce.yaml``.
    overwrite : bool
        Replace a README.md that soce did not write.

    Returns
    -------
    Card

    Raises
    ------
    CheckpointError
        The directory holds no soup; a Hub id that is none.
    StudyError
        The run is that of another soup, or not finished.
    OutputError
        A README.md that soce did not write.
    EvaluationError
        A benchmark that is none, or whose score was not held out.
    OSError
        Reading failed.

    Notes
    -----
    Rewriting a card keeps what a user wrote into it: text above and below the marked block, and whatever the
    head says (``base_model`` and ``tags`` are added to). Only what stands inside the block is lost.
    """
    first = read_soup(soup)
    found = find_results(soup, first.notes, first.parts if first.is_plain else None, run=run)
    made = read_soup(soup, names=found.names if found else None, hub_ids=hub_ids)
    path = made.folder / CARD
    own = read_card(path, overwrite=overwrite)
    licences = licences_of(made.ingredients)
    warnings = list(warnings_of(licences))
    licence = agreed(licences)
    if license is not None:
        licence = Licence("", license.lower(), None, None, "whoever wrote the card")
    head = make_front_matter(made, licence=licence, kept=own.head)
    if licence is not None and head["license"] != licence.identifier:
        said = "the caller says" if license else "the ingredients say"
        warnings.append(
            f"the card's head says license `{shown(str(head['license']))}` and {said} "
            f"`{licence.identifier}`: the head was written by hand and is kept"
        )
    results = found.results if found else None
    title = None if _has_heading(own) else made.folder.resolve().name
    block = body_lines(made, results=results, licences=licences, warnings=warnings, title=title)
    text = assemble(to_yaml(head), "\n".join(block) + "\n", own)
    entries = tuple(eval_result_entries(results, benchmarks or {}))
    return Card(path, text, head, entries, tuple(warnings), results is not None, not is_sealed(text))


def write_card(
    soup: str | os.PathLike[str],
    *,
    run: str | os.PathLike[str] | None = None,
    hub_ids: Mapping[str, str] | None = None,
    license: str | None = None,
    benchmarks: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> Card:
    """Write the README.md of a soup, and its ``.eval_results`` if benchmarks are named; no tensor is touched.

    Parameters, returns and errors are those of `make_card`; besides, writing may fail.
    """
    made = make_card(
        soup, run=run, hub_ids=hub_ids, license=license, benchmarks=benchmarks, overwrite=overwrite
    )
    entries = made.path.parent / FOLDER / FILE
    if made.eval_results:
        before = read_text(entries)
        if entries.exists() and not (overwrite or (before is not None and is_sealed(before))):
            problem = Problem(
                "output",
                str(entries),
                None,
                "was not written by soce, or was changed since",
                "move it elsewhere, or replace it with `--overwrite`",
            )
            raise OutputError.of([problem])
        replace_file(entries, eval_results_text([dict(entry) for entry in made.eval_results]))
    replace_file(made.path, made.text)
    return made


def _has_heading(own: Handwritten) -> bool:
    return any(line.startswith("# ") for line in own.above.splitlines())
