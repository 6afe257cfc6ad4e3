"""The scorers that an item may name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.evaluate.tasks.item import written
from soce.evaluate.tasks.scorers.choices import ChoiceScorer
from soce.evaluate.tasks.scorers.functions import FunctionScorer
from soce.evaluate.tasks.scorers.numbers import NumberScorer
from soce.evaluate.tasks.scorers.structures import JsonScorer
from soce.evaluate.tasks.scorers.texts import ContainsScorer, ExactScorer, RegexScorer
from soce.evaluate.tasks.scorers.translations import BleuScorer, ChrfScorer, TerScorer
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.evaluate.tasks.item import AnswerScorer

_ALL: Final[tuple[type[AnswerScorer], ...]] = (
    ExactScorer,
    ContainsScorer,
    RegexScorer,
    NumberScorer,
    ChoiceScorer,
    JsonScorer,
    BleuScorer,
    ChrfScorer,
    TerScorer,
    FunctionScorer,
)
SCORERS: Final[Mapping[str, type[AnswerScorer]]] = {kind.name: kind for kind in _ALL}
"""Every scorer by its name."""


def read_scorer(given: object) -> AnswerScorer:
    """Return the scorer that JSON or a command line names; raises ValueError.

    It is a name (``exact``), the name of a function (``my_scorers:is_right``), or an object that has settings
    beside its ``name``.

    Examples
    --------
    >>> read_scorer("exact")
    ExactScorer(after=None, ignore_case=False, ignore_punctuation=False)
    >>> read_scorer({"name": "number", "tolerance": 0.01})
    NumberScorer(after=None, tolerance=0.01)
    """
    settings = {"name": given} if isinstance(given, str) else given
    name = settings.get("name") if isinstance(settings, dict) else None
    if not isinstance(settings, dict) or not isinstance(name, str):
        message = f"`scorer` is {written(given)}, not a name, nor an object with a `name`"
        raise ValueError(message)  # noqa: TRY004 - as for all else that is wrong in a line
    rest = {key: value for key, value in settings.items() if key != "name"}
    if ":" in name:
        name, rest = FunctionScorer.name, {**rest, "function": name}
    if name not in SCORERS:
        message = f"`scorer` is {written(name)}; {nearest(name, SCORERS, 'scorers')}"
        raise ValueError(message)
    try:
        return SCORERS[name].read(rest)
    except TypeError:  # the only setting that must be given
        message = f"`scorer` `{name}` lacks its `{'pattern' if name == 'regex' else 'function'}`"
        raise ValueError(message) from None
