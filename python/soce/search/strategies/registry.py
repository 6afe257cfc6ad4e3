"""The strategies by name."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.extras import install
from soce.files.words import listed
from soce.search.refusal import refuse
from soce.search.strategies.greedy import Greedy
from soce.search.strategies.grid import Grid
from soce.search.strategies.halving import SuccessiveHalving
from soce.search.strategies.proposals import DEFAULT_BUDGET
from soce.search.strategies.samplers import Bayesian, CmaEs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from soce.search.strategies.space import Strategy


@dataclass(frozen=True, slots=True)
class StrategyKind:
    """A strategy that can be asked for by name."""

    help: str
    make: Callable[[int | None, int], Strategy]
    """Takes the budget and the seed; strategies without the one or the other leave it."""
    needs: tuple[str, ...] = ()
    """Packages, of the extras `search` and `torch`."""


def _race(budget: int | None, seed: int) -> Strategy:
    from soce.search.strategies.race.race import Race  # imports numpy, which the help of a command need not

    return Race(budget=budget, seed=seed)


STRATEGIES: Final[Mapping[str, StrategyKind]] = {
    "grid": StrategyKind("every point of the grid, as in the paper", lambda budget, _: Grid(budget)),
    "greedy": StrategyKind(
        "models by score, each kept if the uniform soup gets better", lambda _, __: Greedy()
    ),
    "cmaes": StrategyKind(
        "evolution of the weights, for more experts than a grid can hold",
        lambda budget, seed: CmaEs(_sampled(budget), seed),
        needs=("cmaes",),
    ),
    "gp": StrategyKind(
        "a Gaussian process proposes weights",
        lambda budget, seed: Bayesian("gp", _sampled(budget), seed),
        needs=("optuna", "torch"),
    ),
    "tpe": StrategyKind(
        "a tree of Parzen estimators proposes weights",
        lambda budget, seed: Bayesian("tpe", _sampled(budget), seed),
        needs=("optuna",),
    ),
    "successive-halving": StrategyKind(
        "the grid on few items first, the better points on more",
        lambda budget, seed: SuccessiveHalving(budget=budget, seed=seed),
    ),
    "race": StrategyKind(
        "the grid on few items first; only what is proved worse is dropped",
        _race,
    ),
}
"""What `strategy_of` knows."""


def strategy_of(name: str, *, budget: int | None = None, seed: int = 0) -> Strategy:
    """Return a strategy of `STRATEGIES` with its usual settings.

    The budget is the most different soups; if left out, 100 for strategies that sample, none for the others.
    """
    if name not in STRATEGIES:
        refuse(f"`{shown(name)}` is not a strategy", f"strategies: {listed(STRATEGIES)}")
    # Looked for now: a strategy begins only after all ingredients have been scored.
    if missing := [package for package in STRATEGIES[name].needs if find_spec(package) is None]:
        extras = ("search", "torch") if "torch" in missing else ("search",)
        refuse(f"the strategy {name} needs {listed(missing)}, not installed here", install(*extras))
    return STRATEGIES[name].make(budget, seed)


def _sampled(budget: int | None) -> int:
    return DEFAULT_BUDGET if budget is None else budget
