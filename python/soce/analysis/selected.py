"""Whether the candidates that a selection chose make better soups than the others."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from soce.evaluate.evaluation import refuse
from soce.evidence.interval import paired_interval
from soce.exceptions import EvaluationError
from soce.files.plain import Plain
from soce.search.scoring import exact_objective, score_weights

if TYPE_CHECKING:
    from soce.evidence.interval import PairedInterval
    from soce.search.run import ItemSet, Run
    from soce.search.verdict import ExpertsSaw


@dataclass(frozen=True, slots=True)
class SelectedAgainstOthers(Plain):
    """The uniform soup of the selected candidates, and that of all others."""

    selected: tuple[str, ...]
    others: tuple[str, ...]
    value: float
    """Objective of the uniform soup of the selected ones."""
    value_of_others: float
    difference: float
    """The first minus the second: one difference, of one selection from one list of candidates."""
    interval: PairedInterval | None
    """Over items; None without outcomes by item, or if the objective is no sum of scores."""
    experts_saw: ExpertsSaw
    """On which items the experts were chosen, as against these."""


def compare_selected(run: Run, *, on: ItemSet = "report") -> SelectedAgainstOthers:
    """Return what the experts' uniform soup is worth against that of the candidates that are no experts.

    Raises
    ------
    EvaluationError
        All candidates are experts, or one of the two soups was not scored on these items.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1, section 4.2.3: candidates that are selected
       "contributed more significantly".
    """
    selected = tuple(sorted(run.pool.experts))
    others = tuple(sorted(set(run.pool.names) - set(selected)))
    if not others:
        why = "nothing was selected" if run.kind == "study" else "all candidates are experts"
        refuse(why, "give a run whose experts are some of its candidates")
    soups = [run.pool.recipe(dict.fromkeys(names, 1)) for names in (selected, others)]
    value, value_of_others = (run.value(recipe, on=on) for recipe in soups)  # refuses what is not known
    one, other = (run.evaluation(recipe, on=on) for recipe in soups)
    assert one is not None
    assert other is not None
    assert run.objective is not None
    difference = exact_objective(run.objective, one) - exact_objective(run.objective, other)
    weights = score_weights(run.objective, one)
    interval = None
    with suppress(EvaluationError):  # there are no outcomes by item
        interval = None if weights is None else paired_interval(one, other, weights=weights)
    is_reported = run.result is not None and (on == "report" or run.result.is_optimistic)
    saw = run.result.experts_saw if run.result is not None and is_reported else "unknown"
    return SelectedAgainstOthers(selected, others, value, value_of_others, float(difference), interval, saw)
