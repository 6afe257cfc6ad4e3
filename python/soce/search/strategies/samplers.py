"""Samplers for more experts than a grid can hold: they propose reals, which become parts of the grid's whole.

What is scored, recorded and kept is the parts; a proposal that rounds to a known recipe costs nothing. Every
sampler is seeded and sees values only, so a search that is run again makes the same proposals and finds their
scores already there: that is how it resumes, and how several workers follow one search.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal

from soce.search.strategies.space import Found, Tried, best_of, refuse, same_soup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.search.strategies.space import Parts, Space
    from soce.selection.weights import WeightGrid

_PATIENCE: Final = 20
"""Proposals in a row that bring nothing new before a sampler is stopped: on a coarse grid all repeat some."""

_RANDOM_FIRST: Final = 5
"""Random proposals before a Gaussian process has something to go by."""


def round_to_parts(shares: Sequence[float], grid: WeightGrid) -> tuple[int, ...]:
    """Return the parts of the grid nearest to these shares, by largest remainder.

    Parameters
    ----------
    shares : sequence of float
        Not negative, in any unit; all zero means equal shares.
    grid : WeightGrid
        Its whole, and the fewest and most parts of one model.

    Notes
    -----
    What is above the most goes to the others in proportion. Equal remainders go to the first.

    Examples
    --------
    >>> from soce.selection.weights import WeightGrid
    >>> round_to_parts([0.56, 0.25, 0.19], WeightGrid(3))
    (6, 2, 2)
    """
    n = len(shares)
    if n == 1:
        return (1,)
    wanted = [Fraction(max(share, 0.0)) for share in shares]
    if not any(wanted):
        wanted = [Fraction(1)] * n
    free = grid.whole - n * grid.minimum
    width = (grid.whole if grid.maximum is None else grid.maximum) - grid.minimum
    # Shares below the least are raised to it, so what is shared out is what lies above.
    above = [max(share / sum(wanted) * grid.whole - grid.minimum, Fraction(0)) for share in wanted]
    if not any(above):
        above = [Fraction(1)] * n
    quotas = [Fraction(0)] * n
    open_places = set(range(n))
    left = Fraction(free)
    while open_places and left:
        total = sum(above[i] for i in open_places)
        scale = {i: above[i] / total if total else Fraction(1, len(open_places)) for i in open_places}
        full = {i for i in open_places if scale[i] * left >= width}
        if not full:
            for i in open_places:
                quotas[i] = scale[i] * left
            break
        for i in full:
            quotas[i] = Fraction(width)
        left -= width * len(full)
        open_places -= full
    parts = [int(quota) for quota in quotas]
    order = sorted(range(n), key=lambda i: (parts[i] - quotas[i], i))
    for i in [i for i in order if parts[i] < width][: free - sum(parts)]:
        parts[i] += 1
    return tuple(part + grid.minimum for part in parts)


@dataclass(frozen=True, slots=True)
class CmaEs:
    """Evolution of a normal distribution over the shares, generation by generation.

    Parameters
    ----------
    budget : int
        Different soups to score, the uniform one among them.
    seed : int
    population : int, optional
        Proposals of a generation, which workers share out; 4 + 3 ln(n) otherwise.
    sigma : float
        Standard deviation of the first generation; shares before scaling lie between 0 and 1.

    References
    ----------
    .. [1] Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772.
    """

    budget: int = 100
    seed: int = 0
    population: int | None = None
    sigma: float = 0.25

    @property
    def name(self) -> str:
        """``cmaes``."""
        return "cmaes"

    def to_json(self) -> dict[str, object]:
        """Return the name and the settings."""
        return {"name": self.name, **asdict(self)}

    def run(self, space: Space) -> Found:
        """Evolve until the budget is spent."""
        book = _Book(space, self.budget)
        if len(book.names) > 1:
            try:
                import numpy as np
                from cmaes import CMA  # type: ignore[import-untyped]
            except ImportError as error:
                refuse(f"the package cmaes cannot be imported: {error}", "pip install 'soce[search]'")
            n = len(book.names)
            optimizer = CMA(
                mean=np.full(n, 0.5),
                sigma=self.sigma,
                bounds=np.array([[0.0, 1.0]] * n),
                seed=self.seed,
                population_size=self.population,
            )
            while book.goes_on and not optimizer.should_stop():
                proposals = [optimizer.ask() for _ in range(optimizer.population_size)]
                values = book.score([proposal.tolist() for proposal in proposals])
                if len(values) < len(proposals):
                    break
                optimizer.tell(
                    [(proposal, -value) for proposal, value in zip(proposals, values, strict=True)]
                )
        return book.found()


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
    budget: int = 100
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

    def run(self, space: Space) -> Found:
        """Propose until the budget is spent."""
        import warnings

        book = _Book(space, self.budget)
        if len(book.names) == 1:
            return book.found()
        try:
            import optuna
        except ImportError as error:
            refuse(f"Optuna cannot be imported: {error}", "pip install 'soce[search]'")
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # experimental samplers; torch's own deprecations
                self._run(book, optuna)
        except ImportError as error:
            refuse(f"the strategy {self.kind} needs a package: {error}", "pip install 'soce[search,torch]'")
        finally:
            optuna.logging.set_verbosity(before)
        return book.found()

    def _run(self, book: _Book, optuna: Any) -> None:  # noqa: ANN401 - the module
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
        distributions = dict.fromkeys(book.names, distribution)
        while book.goes_on:
            trials = [model.ask(distributions) for _ in range(self.batch)]
            values = book.score([[trial.params[name] for name in book.names] for trial in trials])
            if len(values) < len(trials):
                break
            for trial, value in zip(trials, values, strict=True):
                model.tell(trial, value)


class _Book:
    """Rounds proposals, scores what is new, and knows when the budget is spent."""

    def __init__(self, space: Space, budget: int) -> None:
        if budget < 1:
            refuse(f"the budget is {budget}", "one soup at least must be scored")
        self.names = sorted(space.experts)  # proposals do not depend on the experts' order
        self._space = space
        self._budget = min(budget, space.grid.count)
        self._known: dict[object, Tried] = {}
        self._n_proposals = self._n_repeated = 0
        self._add([dict.fromkeys(self.names, 1)])

    @property
    def goes_on(self) -> bool:
        """Whether there is something left to try."""
        return len(self._known) < self._budget and self._n_repeated < _PATIENCE

    def score(self, proposals: Sequence[Sequence[float]]) -> list[float]:
        """Return the value of each proposal, of the first ones only if the budget ends in between."""
        soups: list[Parts] = []
        new: set[object] = set()
        for proposal in proposals:
            parts = round_to_parts(proposal, self._space.grid)
            soup = dict(zip(self.names, parts, strict=True))
            key = same_soup(soup)
            if key not in self._known and key not in new:
                if len(self._known) + len(new) >= self._budget:
                    break
                new.add(key)
            soups.append(soup)
        self._n_proposals += len(soups)
        self._n_repeated = 0 if new else self._n_repeated + len(soups)
        self._add(soups)
        return [self._known[same_soup(soup)].value for soup in soups]

    def _add(self, soups: Sequence[Parts]) -> None:
        fresh = {same_soup(soup): soup for soup in soups if same_soup(soup) not in self._known}
        values = self._space.values(list(fresh.values())) if fresh else []
        for key, value in zip(fresh, values, strict=True):
            self._known[key] = Tried(fresh[key], value)

    def found(self) -> Found:
        tried = tuple(self._known.values())
        best, tied = best_of(tried, self._space.experts)
        trace = {"proposals": self._n_proposals, "different": len(tried)}
        return Found(tried, best, tied, len(tried), trace)
