"""Categories for a benchmark that has none: items that the same models solve stand together."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.analysis.answers import Answers
from soce.analysis.item_clusters import (
    FEW_STARTS,
    FOLDS,
    Clustering,
    adjusted_rand_index,
    cluster_directions,
    explained_aside,
    n_directions,
)
from soce.evaluate.evaluation import refuse
from soce.files.plain import Plain
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.scores.table import Floats


CAUTION: Final = (
    "these categories were found in the answers of the same models whose scores they give: correlations "
    "between them are further from each other than between categories named beforehand"
)
"""What every clustering says about itself."""
_FEW: Final = 8
_DIGITS: Final = 12
_NEAR: Final = 0.05
"""Share of the largest R² that a smaller number of clusters may lack."""
_NOTHING: Final = 0.01
"""An R² below it is as good as none."""


@dataclass(frozen=True, slots=True)
class Stability(Plain):
    """How alike the clusters are if something else had been drawn; adjusted Rand index, 1 is the same."""

    resampled: str
    """``models`` or ``items``: what was drawn with replacement."""
    mean: float | None
    """Mean over draws; None if no draw could be clustered."""
    low: float | None
    high: float | None
    """Percentiles 2.5 and 97.5 over draws."""
    draws: int
    n_skipped: int
    """Draws among which too few different answers were left."""


@dataclass(frozen=True, slots=True)
class ClusterChoice(Plain):
    """What speaks for a number of clusters."""

    clusters: int
    explained: float | None
    """Adjusted R² of the answers of models that took no part in the clustering, mean over models. None if
    there are too few models."""


@dataclass(frozen=True, eq=False, slots=True)
class ItemCategories:
    """Items in categories.

    Attributes
    ----------
    labels : mapping of item to category
        ``cluster 1`` is the largest. Items in `alike` have none.
    table : ScoreTable of shape (n_models, n_clusters)
        Mean answer of each model in each category, with the number of items: a score table like any other.
    """

    labels: Mapping[str, str]
    table: ScoreTable
    alike: tuple[str, ...]
    """Items to which all models gave the same answer: no model is better or worse for them."""
    choices: tuple[ClusterChoice, ...]
    """Of the numbers that were tried; one if it was given."""
    stability: tuple[Stability, ...]
    """With other models, and with other items."""
    seed: int
    notes: tuple[str, ...]
    """The caution first."""
    _sizes: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Count the items of each category."""
        sizes = dict.fromkeys(self.table.categories, 0)
        for name in self.labels.values():
            sizes[name] += 1
        object.__setattr__(self, "_sizes", sizes)

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categories, the largest first."""
        return self.table.categories

    @property
    def sizes(self) -> dict[str, int]:
        """Items of each category."""
        return dict(self._sizes)

    def members(self, category: str) -> tuple[str, ...]:
        """Return the items of a category, in order of name."""
        self.table.place(category)
        return tuple(sorted(item for item, name in self.labels.items() if name == category))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python."""
        return {
            "categories": self.sizes,
            "models": list(self.table.models),
            "scores": {
                model: dict(zip(self.categories, row, strict=True))
                for model, row in zip(self.table.models, self.table.values.tolist(), strict=True)
            },
            "labels": dict(self.labels),
            "alike": list(self.alike),
            "choices": [choice.to_json() for choice in self.choices],
            "stability": [found.to_json() for found in self.stability],
            "seed": self.seed,
            "notes": list(self.notes),
        }


def cluster_items(
    answers: Answers | Mapping[str, Mapping[str, float]],
    *,
    clusters: int | None = None,
    most: int = 10,
    draws: int = 100,
    seed: int = 0,
    on_progress: Callable[[int, int], object] | None = None,
) -> ItemCategories:
    """Return categories of items that the same models solve.

    Parameters
    ----------
    answers : Answers, or mapping of model to mapping of item to outcome
        0 or 1, or graded; larger is better.
    clusters : int, optional
        Number of categories; chosen among 2, 3, … `most` if left out, see the notes.
    most : int
        Largest number that is tried.
    draws : int
        Resamples for each kind of stability; 0 for none.
    seed : int
        Of `numpy.random.default_rng`.
    on_progress : callable, optional
        Called with steps done and in all; thousands of items of a hundred models take a minute.

    Returns
    -------
    ItemCategories

    Raises
    ------
    EvaluationError
        Fewer than two models or items, holes, all models answered every item alike, or fewer different items
        than clusters.

    Notes
    -----
    The answers to an item are centred and scaled to length 1 over models, so that the inner product of two
    items is their correlation and difficulty plays no part; k-means from 20 seeded starts. Items to
    which all models gave one answer have no direction: they are left out and listed.

    The number of clusters: models are put aside in turn (in ten groups if they are more than ten), items are
    clustered by the others, and the answers of those put aside are explained by the clusters, as adjusted R².
    The smallest number is taken whose mean R² is at most a twentieth below the largest, or at most one
    standard error (of the paired difference over models).

    The stability: models or items are drawn with replacement and clustered anew into as many clusters; the
    adjusted Rand index compares both partitions of the items that have a direction among the models drawn.
    No order of items or models changes the result.

    References
    ----------
    .. [1] Maiti et al., "Souper-Model", arXiv:2511.13254v1; clusters of items are not in the paper, whose
       benchmarks have categories.
    .. [2] L. Hubert and P. Arabie, "Comparing partitions", 1985.

    Examples
    --------
    >>> solved = {"a": "11110000", "b": "11110000", "c": "00001111", "d": "00001101"}
    >>> outcomes = {name: {f"q{i}": int(bit) for i, bit in enumerate(bits)} for name, bits in solved.items()}
    >>> found = cluster_items(outcomes, clusters=2, draws=0)
    >>> found.members("cluster 1"), found.members("cluster 2")
    (('q0', 'q1', 'q2', 'q3'), ('q4', 'q5', 'q6', 'q7'))
    """
    given = answers if isinstance(answers, Answers) else Answers.of(answers)
    if clusters is not None and clusters < 2:
        refuse(
            f"the number of clusters is {clusters}", "two categories at least are needed to choose experts"
        )
    if most < 2:
        refuse(f"the largest number of clusters to try is {most}", "give 2 or more")
    if draws < 0:
        refuse(f"the number of draws is {draws}", "give 0 for no stability, or 100")
    models = sorted(range(len(given.models)), key=given.models.__getitem__)
    order = sorted(range(len(given.items)), key=given.items.__getitem__)
    values = given.values[np.ix_(order, models)]  # (n_items, n_models), in order of names
    names = [given.items[place] for place in order]
    varies = values.min(axis=1) < values.max(axis=1)
    if not varies.any():
        refuse(
            f"all {len(given.models)} models gave the same answer to each of the {len(names)} items",
            "clusters are found by differences between models: give models that differ, or harder items",
        )
    patterns, which, counts = np.unique(values[varies], axis=0, return_inverse=True, return_counts=True)
    which = which.reshape(-1)
    n_different = n_directions(patterns)
    wanted = range(2, min(most, n_different) + 1) if clusters is None else [clusters]
    if n_different < max([2, *([] if clusters is None else [clusters])]):
        refuse(
            f"the items have {n_different} different direction(s) of answers, fewer than "
            f"{clusters or 2} clusters",
            "ask for fewer clusters, or give more models" if n_different > 1 else "give more models or items",
        )
    total = min(FOLDS, len(models)) + draws
    ticks = itertools.count(1)

    def tick() -> None:
        if on_progress is not None:
            on_progress(next(ticks), total)

    tried = explained_aside(patterns, counts, wanted, seed=seed, on_done=tick)  # number → R² of each model
    best = cluster_directions(patterns, counts, _best_number(tried), seed=seed)
    choices = tuple(
        ClusterChoice(number, math.fsum(found) / len(found) if found else None)
        for number, found in tried.items()
    )
    labels = best.labels[which]  # (n_varying,)
    varying = [name for name, one in zip(names, varies.tolist(), strict=True) if one]
    called = _names(labels.tolist(), varying)
    table = _table(given, values[varies], labels, called, models)
    by_item = {name: called[label] for name, label in zip(varying, labels.tolist(), strict=True)}
    return ItemCategories(
        {item: by_item[item] for item in given.items if item in by_item},
        table,
        tuple(name for name, one in zip(names, varies.tolist(), strict=True) if not one),
        choices,
        _stabilities(patterns, counts, best, draws=draws, seed=seed, on_done=tick),
        seed,
        _notes(given, int((~varies).sum()), choices),
    )


def _best_number(tried: Mapping[int, Sequence[float]]) -> int:
    """Return the smallest number of clusters that explains models put aside as well as the best one."""
    usable = {number: found for number, found in tried.items() if found}
    if not usable:
        return min(tried)
    best = min(usable, key=lambda number: (-round(math.fsum(usable[number]), _DIGITS), number))
    most = math.fsum(usable[best]) / len(usable[best])
    for number in sorted(usable):
        less = [one - other for one, other in zip(usable[best], usable[number], strict=True)]
        mean = math.fsum(less) / len(less)
        spread = math.fsum((one - mean) ** 2 for one in less)
        if mean <= max(_NEAR * most, math.sqrt(spread / max(len(less) - 1, 1) / len(less))):
            return number
    return best


def _names(labels: Sequence[int], items: Sequence[str]) -> dict[int, str]:
    """Return a name for each label: by descending size, then the first item by name."""
    members: dict[int, list[str]] = {}
    for label, item in zip(labels, items, strict=True):
        members.setdefault(label, []).append(item)
    ranked = sorted(members, key=lambda label: (-len(members[label]), members[label][0]))
    return {label: f"cluster {number}" for number, label in enumerate(ranked, 1)}


def _table(
    given: Answers,
    values: Floats,
    labels: np.ndarray[Any, np.dtype[np.intp]],
    called: Mapping[int, str],
    models: Sequence[int],
) -> ScoreTable:
    """Return mean answers, models in the order given."""
    is_share = bool((values >= 0).all() and (values <= 1).all())
    back = np.argsort(models)
    means, counts = [], []
    for label in called:
        mine = values[labels == label]
        means.append([math.fsum(column) / len(mine) for column in mine.T.tolist()])
        counts.append([float(len(mine))] * len(models))
    return ScoreTable(
        given.models,
        tuple(Column(name, scale="unit" if is_share else None) for name in called.values()),
        np.array(means).T[back],
        counts=np.array(counts).T,
        source="clusters of items",
        kind="clusters",
    )


def _stabilities(
    patterns: Floats,
    counts: np.ndarray[Any, np.dtype[np.intp]],
    reference: Clustering,
    *,
    draws: int,
    seed: int,
    on_done: Callable[[], object],
) -> tuple[Stability, ...]:
    """Return how alike the clusters of resampled models and of resampled items are to the reference."""
    if not draws:
        return ()
    rng = np.random.default_rng([seed, 1])
    n_models, clusters = patterns.shape[1], len(reference.centres)
    n_items = int(counts.sum())
    found: dict[str, list[float]] = {"models": [], "items": []}
    for draw in range(draws):
        columns = np.sort(rng.integers(n_models, size=n_models))
        drawn = patterns[:, columns]
        usable = drawn.min(axis=1) < drawn.max(axis=1)
        if usable.any() and n_directions(drawn[usable]) >= clusters:
            other = cluster_directions(drawn[usable], counts[usable], clusters, seed=draw, starts=FEW_STARTS)
            index = adjusted_rand_index(reference.labels[usable], other.labels, counts[usable])
            found["models"].append(index)
        times = rng.multinomial(n_items, counts / n_items)
        kept = times > 0
        if n_directions(patterns[kept]) >= clusters:
            other = cluster_directions(patterns[kept], times[kept], clusters, seed=draw, starts=FEW_STARTS)
            # Items that were not drawn go to the nearest cluster.
            index = adjusted_rand_index(reference.labels, other.nearest(patterns), counts)
            found["items"].append(index)
        on_done()
    return tuple(_stability(what, indices, draws) for what, indices in found.items())


def _stability(what: str, indices: list[float], draws: int) -> Stability:
    if not indices:
        return Stability(what, None, None, None, draws, draws)
    low, high = np.percentile(indices, [2.5, 97.5]).tolist()
    return Stability(what, math.fsum(indices) / len(indices), low, high, draws, draws - len(indices))


def _notes(given: Answers, n_alike: int, choices: Sequence[ClusterChoice]) -> tuple[str, ...]:
    notes = [CAUTION]
    n_models = len(given.models)
    if n_models < _FEW:
        notes.append(
            f"{n_models} models tell at most {2**n_models - 2} kinds of right or wrong answers apart"
        )
    explained = [choice.explained for choice in choices if choice.explained is not None]
    if not explained:
        notes.append(
            "too few models to put some aside: nobody knows whether other models show these clusters"
        )
    elif max(explained) < _NOTHING:
        notes.append("the clusters explain nothing of models that were put aside: they may be chance alone")
    if n_alike:
        notes.append(f"{n_alike} item(s) that all models answered alike are in no category")
    return tuple(notes)
