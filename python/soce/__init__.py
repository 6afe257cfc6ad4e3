"""Soup Of Category Experts: from benchmark scores to experts, and their exact averages.

Names are loaded when first used, so importing soce imports no torch, pandas, matplotlib or click.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from soce._core import Mixer, build_info
    from soce.card import Card, make_card, write_card
    from soce.correlation import Correlation, cluster_categories, correlate_categories, critical_correlation
    from soce.doctor import Diagnosis, diagnose
    from soce.evaluate import CategoryScore, Evaluation, Evaluator
    from soce.evaluate.soup_model import SoupModel
    from soce.evaluate.tasks import Tasks, read_tasks
    from soce.evaluate.torch_evaluator import TorchEvaluator
    from soce.exceptions import (
        CheckpointError,
        EvaluationError,
        IncompatibleError,
        OutputError,
        Problem,
        RecipeError,
        ScoreTableError,
        SoceError,
        StudyError,
        UnsupportedDtypeError,
    )
    from soce.experts import Expert, Selection, Winner, select_experts
    from soce.lint import Finding, Findings, lint_pair, lint_scores, raise_errors
    from soce.manifest import manifest_schema
    from soce.merging import MergePlan, MergeReport, NonFinite, merge, merge_all, plan, plan_all
    from soce.objective import (
        Formula,
        Mean,
        NamedColumn,
        Objective,
        Weighted,
        objective_stderr,
        parse_objective,
    )
    from soce.paper import paper_roles, paper_table
    from soce.plots import plot_correlation
    from soce.readers import ReadOptions, read_scores, write_scores
    from soce.recipes import Ingredient, Recipe, RecipeFile, Row, read_recipes
    from soce.rules import Clusters, Explicit, Pairs, Rule, Threshold
    from soce.scores import Column, ScoreTable
    from soce.search import Pool, SearchResult, search_soups, strategy_of
    from soce.selections import SelectionFile, read_selection, write_selection
    from soce.splits import Split, split_items
    from soce.statistics import McNemar, PairedInterval, mcnemar, paired_bootstrap
    from soce.sweep import SweepStep, sweep_at, sweep_thresholds
    from soce.verifying import Verification, verify
    from soce.weights import WeightGrid, count_weights, enumerate_weights

__all__ = [
    "Card",
    "CategoryScore",
    "CheckpointError",
    "Clusters",
    "Column",
    "Correlation",
    "Diagnosis",
    "Evaluation",
    "EvaluationError",
    "Evaluator",
    "Expert",
    "Explicit",
    "Finding",
    "Findings",
    "Formula",
    "IncompatibleError",
    "Ingredient",
    "McNemar",
    "Mean",
    "MergePlan",
    "MergeReport",
    "Mixer",
    "NamedColumn",
    "NonFinite",
    "Objective",
    "OutputError",
    "PairedInterval",
    "Pairs",
    "Pool",
    "Problem",
    "ReadOptions",
    "Recipe",
    "RecipeError",
    "RecipeFile",
    "Row",
    "Rule",
    "ScoreTable",
    "ScoreTableError",
    "SearchResult",
    "Selection",
    "SelectionFile",
    "SoceError",
    "SoupModel",
    "Split",
    "StudyError",
    "SweepStep",
    "Tasks",
    "Threshold",
    "TorchEvaluator",
    "UnsupportedDtypeError",
    "Verification",
    "WeightGrid",
    "Weighted",
    "Winner",
    "__version__",
    "build_info",
    "cluster_categories",
    "correlate_categories",
    "count_weights",
    "critical_correlation",
    "diagnose",
    "enumerate_weights",
    "lint_pair",
    "lint_scores",
    "make_card",
    "manifest_schema",
    "mcnemar",
    "merge",
    "merge_all",
    "objective_stderr",
    "paired_bootstrap",
    "paper_roles",
    "paper_table",
    "parse_objective",
    "plan",
    "plan_all",
    "plot_correlation",
    "raise_errors",
    "read_recipes",
    "read_scores",
    "read_selection",
    "read_tasks",
    "search_soups",
    "select_experts",
    "split_items",
    "strategy_of",
    "sweep_at",
    "sweep_thresholds",
    "verify",
    "write_card",
    "write_scores",
    "write_selection",
]

_NAMES = {
    "soce._core": "Mixer build_info",
    "soce.card": "Card make_card write_card",
    "soce.correlation": "Correlation cluster_categories correlate_categories critical_correlation",
    "soce.doctor": "Diagnosis diagnose",
    "soce.evaluate": "CategoryScore Evaluation Evaluator",
    "soce.evaluate.soup_model": "SoupModel",
    "soce.evaluate.tasks": "Tasks read_tasks",
    "soce.evaluate.torch_evaluator": "TorchEvaluator",
    "soce.exceptions": "CheckpointError EvaluationError IncompatibleError OutputError Problem "
    "RecipeError ScoreTableError SoceError StudyError UnsupportedDtypeError",
    "soce.experts": "Expert Selection Winner select_experts",
    "soce.lint": "Finding Findings lint_pair lint_scores raise_errors",
    "soce.manifest": "manifest_schema",
    "soce.merging": "MergePlan MergeReport NonFinite merge merge_all plan plan_all",
    "soce.objective": "Formula Mean NamedColumn Objective Weighted objective_stderr parse_objective",
    "soce.paper": "paper_roles paper_table",
    "soce.plots": "plot_correlation",
    "soce.readers": "ReadOptions read_scores write_scores",
    "soce.recipes": "Ingredient Recipe RecipeFile Row read_recipes",
    "soce.rules": "Clusters Explicit Pairs Rule Threshold",
    "soce.scores": "Column ScoreTable",
    "soce.search": "Pool SearchResult search_soups strategy_of",
    "soce.selections": "SelectionFile read_selection write_selection",
    "soce.splits": "Split split_items",
    "soce.statistics": "McNemar PairedInterval mcnemar paired_bootstrap",
    "soce.sweep": "SweepStep sweep_at sweep_thresholds",
    "soce.verifying": "Verification verify",
    "soce.weights": "WeightGrid count_weights enumerate_weights",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

__version__: str


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for."""
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            value: object = version("soce")
        except PackageNotFoundError:  # run from a source tree
            value = "0+unknown"
    elif name in _HOMES:
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
    else:
        message = f"module 'soce' has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
