"""Model cards: the README.md of a soup says what it is, from its manifest and the run that chose it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import OutputError, Problem, shown
from soce.files.atomic import write_text
from soce.merging.origins.front_matter import README, read_text
from soce.merging.origins.licences import Licence, agreed, licence_warnings, licences_differ
from soce.merging.origins.origin import read_origins
from soce.merging.origins.warnings import origins_differ
from soce.report.card.choice import find_choice
from soce.report.card.metadata import eval_results, head_text, make_head, require_hub
from soce.report.card.readme import YAML, assemble, is_sealed, read_card, seal
from soce.report.card.soup import read_soup
from soce.report.card.text import card_text

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

EVAL_RESULTS: Final = ".eval_results/soce.yaml"


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
    of_plan: tuple[str, ...]
    """Those of them that a plan of the soup tells as well, in names of its own."""
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
    """Return the card of a soup without writing it; parameters and errors are those of `write_card`."""
    require_hub()
    found = read_soup(soup)
    choice = find_choice(found, run)
    found = found.named({} if choice is None else choice.names, hub_ids or {})
    path = found.folder / README
    own = read_card(path, overwrite=overwrite)
    origins = read_origins([(one.name, one.path) for one in found.ingredients])
    licences = [*dict.fromkeys(one for origin in origins for one in origin.licences)]
    remarks, warnings = origins_differ(origins), list(licence_warnings(licences))
    licence = agreed(licences) if license is None else Licence("", "whoever wrote the card", license.lower())
    head = make_head(found, licence=licence, kept=own.head)
    if licence is not None and head["license"] != licence.identifier:
        said = "the caller says" if license else "the ingredients say"
        warnings.append(
            f"the card's head says license `{shown(str(head['license']))}` and {said} "
            f"`{licence.identifier}`: the head was written by hand and is kept"
        )
    has_title = any(line.startswith("# ") for line in own.above.splitlines())
    block = card_text(
        found,
        choice,
        remarks=remarks,
        licences=licences,
        warnings=warnings,
        title=None if has_title else found.folder.resolve().name,
    )
    text = assemble(head_text(head), block, own)
    entries = eval_results(None if choice is None else choice.result, benchmarks or {})
    differ = licences_differ([one for one in licences if one.identifier is not None])
    return Card(
        path=path,
        text=text,
        front_matter=head,
        eval_results=tuple(entries),
        warnings=(*remarks, *warnings),
        of_plan=(*remarks, *([] if differ is None else [differ])),
        has_scores=choice is not None,
        is_edited=not is_sealed(text),
    )


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

    Raises
    ------
    CheckpointError
        The directory holds no soup; a Hub id that is none.
    StudyError
        The run is that of another soup, or not finished.
    OutputError
        A README.md that soce did not write; huggingface_hub is not installed.
    EvaluationError
        A benchmark that is none, or whose score was not held out.
    OSError
        Reading or writing failed.

    Notes
    -----
    Rewriting a card keeps what a user wrote into it: text above and below the marked block, and whatever the
    head says (``base_model`` and ``tags`` are added to). Only what stands inside the block is lost.
    """
    made = make_card(
        soup, run=run, hub_ids=hub_ids, license=license, benchmarks=benchmarks, overwrite=overwrite
    )
    if made.eval_results:
        _write_eval_results(made, overwrite=overwrite)
    write_text(made.path, made.text)
    return made


def _write_eval_results(made: Card, *, overwrite: bool) -> None:
    import yaml

    path = made.path.parent / EVAL_RESULTS
    if path.exists() and not (overwrite or is_sealed(read_text(path))):
        message = "was not written by soce, or was changed since"
        hint = "move it elsewhere, or replace it with `--overwrite`"
        raise OutputError.of([Problem("output", str(path), None, message, hint)])
    path.parent.mkdir(exist_ok=True)
    entries = [dict(entry) for entry in made.eval_results]
    write_text(path, seal(yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=110), YAML))
