"""Categories for a benchmark that has none: items that the same models solve stand together."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.analysis.answers import Answers
from soce.analysis.checks import at_least
from soce.analysis.item_clusters import (
    FOLDS,
    Clustering,
    adjusted_rand_index,
    cluster_directions,
    explained_aside,
    n_directions,
    varying,
)
from soce.evaluate.evaluation import refuse
from soce.files.plain import Plain
from soce.files.words import counted
from soce.scores.table import Column, ScoreTable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.analysis.item_clusters import Labels
    from soce.scores.table import Floats

CAUTION: Final = (
    "these categories were found in the answers of the same models whose scores they give: correlations "
    "between them are further from each other than between categories named beforehand"
)
"""What every clustering says about itself."""
_FEW: Final = 8
_DIGITS: Final = 12
_STARTS: Final = 20
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
class ItemCategories(Plain):
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

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of the categories, the largest first."""
        return self.table.categories

    @property
    def sizes(self) -> dict[str, int]:
        """Items of each category."""
        sizes = Counter(self.labels.values())
        return {name: sizes[name] for name in self.categories}

    def members(self, category: str) -> tuple[str, ...]:
        """Return the items of a category, in order of name."""
        self.table.place(category)
        return tuple(sorted(item for item, name in self.labels.items() if name == category))

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain Python, scores by model and category."""
        content = Plain.to_json(self)
        del content["table"]
        scores = [dict(zip(self.categories, row, strict=True)) for row in self.table.values.tolist()]
        return {
            "categories": self.sizes,
            "models": list(self.table.models),
            "scores": dict(zip(self.table.models, scores, strict=True)),
            **content,
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
    if clusters is not None:
        at_least(2, clusters, "number of clusters", "two categories at least are needed to choose experts")
    at_least(2, most, "largest number of clusters to try", "give 2 or more")
    at_least(0, draws, "number of draws", "give 0 for no stability, or 100")
    models = sorted(given.models)
    values = given.values[:, [given.models.index(name) for name in models]]  # (n_items, n_models)
    has_direction = varying(values)
    if not has_direction.any():
        refuse(
            f"all {len(given.models)} models gave the same answer to each of the {len(given.items)} items",
            "clusters are found by differences between models: give models that differ, or harder items",
        )
    order = np.lexsort(values.T[::-1])  # by the answers themselves, so that the order given does not count
    order = order[has_direction[order]]
    items, rows = [given.items[place] for place in order], values[order]
    n_different = n_directions(rows)
    if n_different < (clusters or 2):
        refuse(
            f"the items have {counted(n_different, 'different direction')} of answers, fewer than "
            f"{clusters or 2} clusters",
            "ask for fewer clusters, or give more models" if n_different > 1 else "give more models or items",
        )
    total = min(FOLDS, len(given.models)) + draws
    steps = itertools.count(1)

    def tick() -> None:
        if on_progress is not None:
            on_progress(next(steps), total)

    numbers = range(2, min(most, n_different) + 1) if clusters is None else [clusters]
    explained = explained_aside(rows, numbers, seed=seed, on_done=tick)  # number → R² of each model
    clustering = cluster_directions(rows, _best_number(explained), seed=seed, starts=_STARTS)
    assert clustering is not None, "there are as many directions"
    choices = tuple(
        ClusterChoice(number, math.fsum(values) / len(values) if values else None)
        for number, values in explained.items()
    )
    names = _names(clustering.labels, items)
    label_of = dict(zip(items, clustering.labels.tolist(), strict=True))
    return ItemCategories(
        {item: names[label_of[item]] for item in given.items if item in label_of},
        table=_table(tuple(models), rows, clustering.labels, names).take(models=given.models),
        alike=tuple(sorted(compress(given.items, ~has_direction))),
        choices=choices,
        stability=_stabilities(rows, clustering, draws=draws, seed=seed, on_done=tick) if draws else (),
        seed=seed,
        notes=_notes(len(given.models), len(given.items) - len(items), choices),
    )


def _best_number(explained: Mapping[int, Sequence[float]]) -> int:
    """Return the smallest number of clusters that explains models put aside as well as the best one."""
    usable = {number: np.array(values) for number, values in sorted(explained.items()) if values}
    if not usable:
        return min(explained)
    means = {number: math.fsum(values) / len(values) for number, values in usable.items()}
    best = max(usable, key=lambda number: round(means[number], _DIGITS))
    for number, values in usable.items():
        less = usable[best] - values
        error = less.std(ddof=1) / math.sqrt(len(less)) if len(less) > 1 else 0.0
        if means[best] - means[number] <= max(_NEAR * means[best], error):
            return number
    return best


def _names(labels: Labels, items: Sequence[str]) -> dict[int, str]:
    """Return a name for each label: by descending size, then the first item by name."""
    members = {label: sorted(compress(items, labels == label)) for label in set(labels.tolist())}
    ranked = sorted(members, key=lambda label: (-len(members[label]), members[label][0]))
    return {label: f"cluster {number}" for number, label in enumerate(ranked, 1)}


def _table(models: tuple[str, ...], rows: Floats, labels: Labels, names: Mapping[int, str]) -> ScoreTable:
    """Return the mean answer of each model in each cluster."""
    is_share = bool((rows >= 0).all() and (rows <= 1).all())
    members = [rows[labels == label] for label in names]
    return ScoreTable(
        models,
        tuple(Column(name, scale="unit" if is_share else None) for name in names.values()),
        np.array([[math.fsum(column) / len(mine) for column in mine.T.tolist()] for mine in members]).T,
        counts=np.array([[float(len(mine)) for mine in members]] * len(models)),
        source="clusters of items",
        kind="clusters",
    )


def _stabilities(
    rows: Floats, clustering: Clustering, *, draws: int, seed: int, on_done: Callable[[], object]
) -> tuple[Stability, ...]:
    """Return how alike the clusters of resampled models and of resampled items are to these."""
    rng = np.random.default_rng([seed, 1])
    n_items, n_models = rows.shape
    clusters = len(clustering.centres)
    patterns, counts = np.unique(rows, axis=0, return_counts=True)
    by_models, by_items = [], []
    for draw in range(draws):
        drawn = rows[:, np.sort(rng.integers(n_models, size=n_models))]
        has_direction = varying(drawn)
        again = cluster_directions(drawn[has_direction], clusters, seed=draw)
        if again is not None:
            by_models.append(adjusted_rand_index(clustering.labels[has_direction], again.labels))
        drawn = np.repeat(patterns, rng.multinomial(n_items, counts / n_items), axis=0)
        again = cluster_directions(drawn, clusters, seed=draw)
        if again is not None:  # items that were not drawn go to the nearest cluster
            by_items.append(adjusted_rand_index(clustering.labels, again.nearest(rows)))
        on_done()
    return _stability("models", by_models, draws), _stability("items", by_items, draws)


def _stability(what: str, indices: list[float], draws: int) -> Stability:
    if not indices:
        return Stability(what, None, None, None, draws, draws)
    low, high = np.percentile(indices, [2.5, 97.5]).tolist()
    return Stability(what, math.fsum(indices) / len(indices), low, high, draws, draws - len(indices))


def _notes(n_models: int, n_alike: int, choices: Sequence[ClusterChoice]) -> tuple[str, ...]:
    notes = [CAUTION]
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
        notes.append(
            f"{counted(n_alike, 'item is', 'items are')} in no category, as all models answered alike"
        )
    return tuple(notes)
