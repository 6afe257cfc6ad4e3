"""Options that name candidates and their checkpoints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from soce.cli.command import usage
from soce.cli.options.files import CHECKPOINTS, NAME_FILES
from soce.cli.options.group import OptionGroup
from soce.cli.options.types import MODELS
from soce.exceptions import Problem, ScoreTableError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.cli.options.group import Decorator
    from soce.scores.table import ScoreTable


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates as options name them."""

    given: tuple[str, ...]
    """``NAME``, ``NAME=PATH`` or ``@FILE`` with one of these a line."""
    models: str | Mapping[str, str] | None = None
    """Names and their paths, or a file that maps them."""

    def among(self, table: ScoreTable) -> dict[str, str | None]:
        """Return the candidates, those of the file if none is given, with their paths where there are any.

        The name of a model of the table is a name, whatever it contains.
        """
        from soce.recipes.checkpoint_paths import find_checkpoint

        paths = self._paths()
        found: dict[str, str | None] = {}
        named = {*table.models, *dict(table.no_models)}
        for text in names_of(self.given) or list(paths):
            name, path = text, None
            if text not in table.models:
                ends = [end for end, letter in enumerate(text) if letter == "=" and text[:end] in named]
                if ends:
                    name, path = text[: ends[-1]], text[ends[-1] + 1 :]
            if name in found:
                table.refuse(f"the candidate `{shown(name)}` is named twice", "name every candidate once")
            found[name] = find_checkpoint(path) if path else paths.get(name)
        return found

    def paths_of(self, candidates: Sequence[str]) -> dict[str, str]:
        """Return the paths of a selection's candidates that are named; the file may name others as well."""
        from soce.recipes.checkpoint_paths import find_checkpoint

        known = self._paths()
        found = {name: path for name, path in known.items() if name in candidates}
        for text in self.given:
            if text in known:
                continue
            name = next((one for one in candidates if text.startswith(f"{one}=")), None)
            if name is None:
                usage(f"`--candidate {shown(text)}` is not NAME=PATH with a candidate of the selection")
            found[name] = find_checkpoint(text[len(name) + 1 :])
        return found

    def paths(self) -> dict[str, str]:
        """Return the paths of all models that are named; each is a candidate.

        Of the models that have paths already, those that are named too, if any is.
        """
        from soce.recipes.checkpoint_paths import find_checkpoint

        known = self._paths()
        chosen = [text for text in self.given if text in known]
        found = {name: path for name, path in known.items() if name in chosen or not chosen}
        for text in self.given:
            if text in known:
                continue
            name, equals, path = text.partition("=")
            if not (name and equals and path):
                usage(f"`--candidate {shown(text)}` is not NAME=PATH")
            found[name] = find_checkpoint(path)
        return found

    def _paths(self) -> dict[str, str]:
        from soce.recipes.files import read_model_paths

        if isinstance(self.models, str):
            if Path(self.models).is_dir():
                message = "`models` is a directory: its checkpoints have no names yet"
                hint = "give lines `NAME: PATH`, or a file of them; `soce init --models DIR` writes them"
                problem = Problem("models", self.models, None, message, hint)
                raise ScoreTableError.of([problem])
            return read_model_paths(self.models)
        return dict(self.models or {})


_option = OptionGroup("candidates", Candidates).option


def candidate_option(metavar: str, text: str) -> Decorator:
    """Declare `--candidate`."""
    return _option(
        "--candidate",
        "-c",
        "given",
        section="select",
        key="candidates",
        names="models",
        files=NAME_FILES,
        multiple=True,
        metavar=metavar,
        help=text,
    )


def models_option(what: str, *, opened: bool) -> Decorator:
    """Declare `--models`, a file of something; of an experiment, the paths themselves."""
    return _option(
        "--models",
        type=MODELS,
        key="models",
        names="models",
        files=CHECKPOINTS if opened else replace(CHECKPOINTS, check=None),
        metavar="FILE",
        help=f"YAML of {what}: lines `NAME: PATH`.",
    )


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
