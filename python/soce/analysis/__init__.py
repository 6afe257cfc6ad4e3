"""What a soup did to scores, and what each ingredient is worth. Tables and outcomes in, plain results out.

Every result is a frozen dataclass with `to_json`. Names are loaded when first used; only what evaluates soups
(`ShapleyPlan.evaluate`) needs more than the core of the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soce.analysis.ablation import Ablation, AblationRow, Difference, ablation_of_scores, ablation_table
    from soce.analysis.consistency import (
        ConsistencyComparison,
        ConsistencyInterval,
        ConsistencySummary,
        compare_correlations,
    )
    from soce.analysis.gains import CategoryGain, CategoryGains, Gain, category_gains
    from soce.analysis.games import ShapleyPlan, SoupGame, plan_shapley, soup_game, soup_players
    from soce.analysis.item_categories import (
        Answers,
        ClusterChoice,
        ItemCategories,
        Stability,
        adjusted_rand_index,
        cluster_items,
    )
    from soce.analysis.kept import KeptScores, open_run
    from soce.analysis.overfit import BenchmarkCheck, OverfitCheck, check_overfit
    from soce.analysis.parents import Family, FamilyCounts, NetGain, ParentCounts, compare_with_parents
    from soce.analysis.shapley import ShapleyValues, shapley_values
    from soce.analysis.wins import Rate, WinRates, outcomes_of_failures, win_rates

__all__ = [
    "Ablation",
    "AblationRow",
    "Answers",
    "BenchmarkCheck",
    "CategoryGain",
    "CategoryGains",
    "ClusterChoice",
    "ConsistencyComparison",
    "ConsistencyInterval",
    "ConsistencySummary",
    "Difference",
    "Family",
    "FamilyCounts",
    "Gain",
    "ItemCategories",
    "KeptScores",
    "NetGain",
    "OverfitCheck",
    "ParentCounts",
    "Rate",
    "ShapleyPlan",
    "ShapleyValues",
    "SoupGame",
    "Stability",
    "WinRates",
    "ablation_of_scores",
    "ablation_table",
    "adjusted_rand_index",
    "category_gains",
    "check_overfit",
    "cluster_items",
    "compare_correlations",
    "compare_with_parents",
    "open_run",
    "outcomes_of_failures",
    "plan_shapley",
    "shapley_values",
    "soup_game",
    "soup_players",
    "win_rates",
]

_NAMES = {
    "ablation": "Ablation AblationRow Difference ablation_of_scores ablation_table",
    "consistency": "ConsistencyComparison ConsistencyInterval ConsistencySummary compare_correlations",
    "gains": "CategoryGain CategoryGains Gain category_gains",
    "item_categories": "Answers ClusterChoice ItemCategories Stability adjusted_rand_index cluster_items",
    "kept": "KeptScores open_run",
    "overfit": "BenchmarkCheck OverfitCheck check_overfit",
    "parents": "Family FamilyCounts NetGain ParentCounts compare_with_parents",
    "shapley": "ShapleyValues shapley_values",
    "games": "ShapleyPlan SoupGame plan_shapley soup_game soup_players",
    "wins": "Rate WinRates outcomes_of_failures win_rates",
}
_HOMES = {name: f"soce.analysis.{module}" for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for."""
    if name not in _HOMES:
        message = f"module 'soce.analysis' has no attribute {name!r}"
        raise AttributeError(message)
    from importlib import import_module

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
