"""Strategies that sample, for more experts than a grid can hold: evolution, and models of the objective."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from soce.files.extras import install
from soce.search.optional import quiet_optuna
from soce.search.refusal import refuse
from soce.search.strategies.proposals import DEFAULT_BUDGET, Proposals
from soce.search.strategies.space import Strategy

if TYPE_CHECKING:
    from soce.search.strategies.space import Space, StrategyOutcome

_RANDOM_FIRST: Final = 5
"""Random proposals before a Gaussian process has something to go by."""


@dataclass(frozen=True, slots=True)
class CmaEs(Strategy):
    """Evolution of a normal distribution over the shares: Hansen, arXiv:1604.00772."""

    name: ClassVar[str] = "cmaes"

    budget: int = DEFAULT_BUDGET
    """Different soups to score, the uniform one among them."""
    seed: int = 0
    population: int | None = None
    """Proposals of a generation, which workers share out; 4 + 3 ln(n) otherwise."""
    sigma: float = 0.25
    """Standard deviation of the first generation; shares before scaling lie between 0 and 1."""

    def run(self, space: Space) -> StrategyOutcome:
        """Evolve until the budget is spent."""
        found = Proposals(space, self.budget)
        if len(found.names) == 1:
            what = f"only `{found.names[0]}` varies, and evolution takes two things at least"
            refuse(what, "take another strategy, such as tpe or gp")
        if found.names:
            try:
                import numpy as np
                from cmaes import CMA  # type: ignore[import-untyped]
            except ImportError as error:
                refuse(f"the package cmaes cannot be imported: {error}", install("search"))
            n = len(found.names)
            optimizer = CMA(
                mean=np.full(n, 0.5),
                sigma=self.sigma,
                bounds=np.array([[0.0, 1.0]] * n),
                seed=self.seed,
                population_size=self.population,
            )
            while found.goes_on and not optimizer.should_stop():
                proposals = [optimizer.ask() for _ in range(optimizer.population_size)]
                values = found.score([proposal.tolist() for proposal in proposals])
                if len(values) < len(proposals):
                    break
                optimizer.tell(
                    [(proposal, -value) for proposal, value in zip(proposals, values, strict=True)]
                )
        return found.outcome()


@dataclass(frozen=True, slots=True)
class Bayesian(Strategy):
    """A model of the objective proposes what to try next: Gaussian process or tree of Parzen estimators."""

    kind: Literal["gp", "tpe"]
    """``gp`` needs torch as well."""
    budget: int = DEFAULT_BUDGET
    """Different soups to score, the uniform one among them."""
    seed: int = 0
    batch: int = 1
    """Proposals made at once, which workers share out. It changes the proposals."""

    @property
    def name(self) -> str:
        """The kind."""
        return self.kind

    def to_json(self) -> dict[str, object]:
        """Return the name and the settings."""
        settings = asdict(self)
        return {"name": settings.pop("kind"), **settings}

    def run(self, space: Space) -> StrategyOutcome:
        """Propose until the budget is spent."""
        if self.batch < 1:
            refuse(f"the batch is {self.batch}", "one proposal at least must be made at once")
        proposals = Proposals(space, self.budget)
        if proposals.names:
            try:
                with quiet_optuna() as optuna:
                    self._run(proposals, optuna)
            except ImportError as error:
                hint = install("search", "torch")
                refuse(f"the strategy {self.kind} needs a package: {error}", hint, cause=error)
        return proposals.outcome()

    def _run(self, proposals: Proposals, optuna: Any) -> None:  # noqa: ANN401 - the module
        sampler = (
            optuna.samplers.GPSampler(
                seed=self.seed, n_startup_trials=_RANDOM_FIRST, deterministic_objective=True
            )
            if self.kind == "gp"
            else optuna.samplers.TPESampler(seed=self.seed, multivariate=True, constant_liar=self.batch > 1)
        )
        # A model in memory: the storage keeps the parts that were scored, not the reals that led to them.
        model = optuna.create_study(direction="maximize", sampler=sampler)
        distribution = optuna.distributions.FloatDistribution(0.0, 1.0)
        distributions = dict.fromkeys(proposals.names, distribution)
        while proposals.goes_on:
            trials = [model.ask(distributions) for _ in range(self.batch)]
            values = proposals.score([[trial.params[name] for name in proposals.names] for trial in trials])
            if len(values) < len(trials):
                break
            for trial, value in zip(trials, values, strict=True):
                model.tell(trial, value)
