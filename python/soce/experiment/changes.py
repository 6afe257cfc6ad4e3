"""``SECTION.KEY=VALUE``: what the command line changes in an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from soce.exceptions import ExperimentError
from soce.experiment.experiment import Spot
from soce.experiment.values import Statements
from soce.files.documents import ParsedFile
from soce.files.parsing import Bare, MalformedError, parse_yaml

if TYPE_CHECKING:
    from soce.experiment.keys import Keys
    from soce.files.parsing import Value


def parse_change(text: str, keys: Keys) -> Statements:
    """Return a change as the file would say it.

    What follows the name of a key is a key of its mapping, whatever is in it: ``models.org/a.b=path``.
    """
    words = f"--set {text}"
    place, equals, written = text.partition("=")
    top, *names = place.split(".", 1 if place.split(".")[0] in keys.sections.get("", {}) else 2)
    if not equals or not top or (not names and top in keys.sections and keys.short(top) is None):
        hint = "write `--set select.threshold=0.2`, say"
        raise ExperimentError.of([Spot(0, 0, words, None).problem("it is not SECTION.KEY=VALUE", hint)])
    tree = _value(written.strip(), words)
    for name in reversed([top, *names]):
        tree = {name: tree}
    return Statements(ParsedFile("", "", tree, ExperimentError), Path(), words)


def _value(text: str, words: str) -> Value:
    if not text.startswith(("[", "{", '"', "'")):
        return Bare(text)
    try:
        return parse_yaml(text)[0]
    except MalformedError as wrong:
        raise ExperimentError.of([Spot(0, 0, words, None).problem(wrong.message, wrong.hint)]) from None
