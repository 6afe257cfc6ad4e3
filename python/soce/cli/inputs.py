"""What commands are given: score tables, names from files, candidates and their checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from soce.exceptions import Problem, ScoreTableError, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.scores.formats.options import ReadOptions
    from soce.scores.table import ScoreTable


def read_table(sources: Sequence[str], options: ReadOptions) -> ScoreTable:
    """Return the table that a command is about; an option that has no effect on it is refused."""
    from soce.scores.formats.options import ReadOptions
    from soce.scores.formats.registry import FORMATS
    from soce.scores.read import read_scores

    table = read_scores(sources[0] if len(sources) == 1 else list(sources), options=options)
    kinds, unset = set(table.kind.split(" + ")), ReadOptions()
    for name in dict.fromkeys(name for kind in FORMATS.values() for name in kind.options):
        readers = {kind for kind, found in FORMATS.items() if name in found.options}
        if getattr(options, name) != getattr(unset, name) and not kinds & readers:
            table.refuse(
                f"`--{name}` has no effect: the table is {table.kind}, the option is for "
                f"{', '.join(sorted(readers))}",
                "leave it out",
            )
    return table


def read_second_table(source: str, options: ReadOptions) -> ScoreTable:
    """Return a table with other scores of the same models.

    The options are meant for the first table: this one may be of a format where some have no effect, and may
    have the new names already.
    """
    from soce.scores.read import read_scores

    table = read_scores(source, options=replace(options, rename={}))
    return table.renamed({old: new for old, new in options.rename.items() if old in table.models})


def names_of(given: Sequence[str]) -> list[str] | None:
    """Return names from the command line, ``@FILE`` replaced by the file's lines; None if there are none."""
    found: list[str] = []
    for name in given:
        if not name.startswith("@"):
            found.append(name)
            continue
        try:
            lines = Path(name[1:]).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            problem = Problem("scores", name[1:], None, "the list of names is not UTF-8 text", None)
            raise ScoreTableError.of([problem]) from None
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return found or None


def candidates_of(given: Sequence[str], models_file: str | None, table: ScoreTable) -> dict[str, str | None]:
    """Return the candidates, each with the path of its checkpoint where one was given.

    Parameters
    ----------
    given : sequence of str
        ``NAME``, ``NAME=PATH`` or ``@FILE`` with one of these a line. The name of a model of the table is a
        name, whatever it contains.
    models_file : str or None
        A YAML or JSON mapping of model to path; its models are the candidates where none is given.
    table : ScoreTable
        The models there are.
    """
    from soce.recipes.files import read_model_paths

    paths = {} if models_file is None else read_model_paths(models_file)
    found: dict[str, str | None] = {}
    for text in names_of(given) or list(paths):
        name, path = text, None
        if text not in table.models:
            ends = [end for end, letter in enumerate(text) if letter == "=" and text[:end] in table.models]
            if ends:
                name, path = text[: ends[-1]], text[ends[-1] + 1 :]
        if name in found:
            table.refuse(f"the candidate `{shown(name)}` is named twice", "name every candidate once")
        found[name] = path or paths.get(name)
    return found
