"""Bayesian optimisation: a model of the objective proposes weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from soce.search.strategies.proposals import DEFAULT_BUDGET, Proposals
from soce.search.strategies.space import refuse

if TYPE_CHECKING:
    from soce.search.strategies.space import Space, StrategyOutcome

_RANDOM_FIRST: Final = 5
"""Random proposals before a Gaussian process has something to go by."""


@dataclass(frozen=True, slots=True)
class Bayesian:
    """A model of the objective proposes what to try next: Gaussian process or tree of Parzen estimators.

    Parameters
    ----------
    kind : {"gp", "tpe"}
        ``gp`` needs torch as well.
    budget : int
        Different soups to score, the uniform one among them.
    seed : int
    batch : int
        Proposals made at once, which workers share out. It changes the proposals.
    """

    kind: Literal["gp", "tpe"]
    budget: int = DEFAULT_BUDGET
    seed: int = 0
    batch: int = 1

    @property
    def name(self) -> str:
        """``gp`` or ``tpe``."""
        return self.kind

    def to_json(self) -> dict[str, object]:
        """Return the name and the settings."""
        settings = asdict(self)
        return {"name": settings.pop("kind"), **settings}

    def run(self, space: Space) -> StrategyOutcome:
        """Propose until the budget is spent."""
        import warnings

        if self.batch < 1:
            refuse(f"the batch is {self.batch}", "one proposal at least must be made at once")
        proposals = Proposals(space, self.budget)
        if len(proposals.names) == 1:
            return proposals.outcome()
        try:
            import optuna
        except ImportError as error:
            refuse(f"Optuna cannot be imported: {error}", "pip install 'soce[search]'")
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # experimental samplers; torch's own deprecations
                self._run(proposals, optuna)
        except ImportError as error:
            refuse(f"the strategy {self.kind} needs a package: {error}", "pip install 'soce[search,torch]'")
        finally:
            optuna.logging.set_verbosity(before)
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
