"""What no score could mend is refused without scores, and nothing else is."""

from __future__ import annotations

from fractions import Fraction

import pytest

from soce.exceptions import ScoreTableError
from soce.scores.objective import Weighted, parse_objective
from soce.selection.options import SelectionOptions
from soce.selection.rehearsal import rehearse_selection
from soce.selection.rules import Clusters, Explicit, Pairs, Rule, Threshold

MODELS, CATEGORIES = ("a", "b", "c"), ("math", "code")


@pytest.mark.parametrize(
    ("rule", "options"),
    [
        (Threshold(1e-9), {}),
        (Threshold(-0.99, signed=True), {}),
        (Pairs(7), {}),
        (Clusters(n_clusters=2), {}),
        (Clusters(min_correlation=0.9), {}),
        (Explicit(("code",)), {"max_experts": 1}),
        (Threshold(0.2), {"min_overall": 1000.0, "min_items": 10**9, "tie_within": 3.0}),
        (Threshold(0.2), {"objective": parse_objective("column:math"), "population": ["c", "b", "a"]}),
    ],
)
def test_what_depends_on_scores_is_left_to_them(rule: Rule, options: dict[str, object]) -> None:
    rehearse_selection(MODELS, CATEGORIES, rule, SelectionOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rule", "options", "message"),
    [
        (Explicit(("math", "cod")), {}, "there is no category `cod`"),
        (Clusters(n_clusters=3), {}, "cannot make 3 clusters of 2 categories"),
        (Threshold(0.2), {"population": ["a", "b", "z"]}, "there is no model `z`"),
        (Threshold(0.2), {"population": ["a", "b"]}, "the population is 2 models"),
        (Threshold(0.2), {"objective": Weighted({"chat": Fraction(1)}, source="w")}, "chat"),
        (Threshold(0.2), {"step": "0.3"}, "0.3"),
    ],
)
def test_what_no_score_could_mend_is_refused(rule: Rule, options: dict[str, object], message: str) -> None:
    with pytest.raises(ScoreTableError, match=message):
        rehearse_selection(MODELS, CATEGORIES, rule, SelectionOptions(**options))  # type: ignore[arg-type]


def test_correlations_need_three_models_and_two_categories() -> None:
    with pytest.raises(ScoreTableError, match="the population is 2 models"):
        rehearse_selection(MODELS[:2], CATEGORIES, Threshold(0.2), SelectionOptions())
    with pytest.raises(ScoreTableError, match="there is one category"):
        rehearse_selection(MODELS, CATEGORIES[:1], Threshold(0.2), SelectionOptions())
    rehearse_selection(MODELS[:2], CATEGORIES[:1], Explicit(("math",)), SelectionOptions())
