"""Coverage and width of paired intervals, and size of the sign-flip test, in simulated worlds.

    python benches/coverage.py [--worlds 2000] [--seed 0]

A row is a kind of world and a number of items: K categories of n, for K of 4, 6, 10 and n of 5 to 100. Each
world draws what two models named beforehand can do, then the items. Intervals are of the mean of categories
(of a weighted sum where said) and cover if they hold the true difference. Width is relative to the ideal
interval, ± 1.96 true standard errors, which nobody can know. Designs:

soce            `soce.evidence.interval`: two items added to all categories together
t               the same without them: unbiased variances, Satterthwaite's degrees of freedom
t, degenerate   with them only in categories that show no spread
pooled          one variance for all categories, N - K degrees of freedom
bootstrap       percentiles of items resampled within categories, what soce gave at first

Coverage of 2000 worlds has a standard error of 0.5 points at 95 %. One core, some minutes.
"""

import argparse
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy.special import expit

from soce.evaluate.evaluation import Evaluation
from soce.evidence.interval import score_interval, t_quantile, variance_of_difference
from soce.evidence.sign_flip import sign_flip

Floats: TypeAlias = np.ndarray
Random: TypeAlias = np.random.Generator
Unlike: TypeAlias = tuple[list[int], list[float]]
"""Items and weight of every category."""
LEVEL = 0.95
DRAWS, BOOTSTRAPPED = 1000, 500  # draws of the bootstrap, which few worlds are enough to judge
GRID = list(itertools.product((4, 6, 10), (5, 8, 10, 20, 50, 100)))
TARGET = 0.93


class Sample(NamedTuple):
    """Differences of the items of many worlds, and what is true of them."""

    items: list[Floats]
    """For each category, shape (n_worlds, n_items)."""
    mean: Floats
    """Shape (n_worlds, n_categories)."""
    variance: Floats


World: TypeAlias = Callable[[Random, int, Sequence[int]], Sample]


# ---- worlds


def solved(rng: Random, only_first: Floats, only_second: Floats, sizes: Sequence[int]) -> Sample:
    """Draw outcomes of 0 and 1 from the chances that only one of the models solves an item."""
    items = []
    for place, size in enumerate(sizes):
        chance = rng.random((len(only_first), size))
        up, down = only_first[:, place, None], only_second[:, place, None]
        items.append(np.where(chance < up, 1.0, np.where(chance < up + down, -1.0, 0.0)))
    mean = only_first - only_second
    return Sample(items, mean, only_first + only_second - mean**2)


def logistic(*, level: float = 0.0, gap: float = 0.0, together: float = 0.0) -> World:
    """Set ability against difficulty; in a share of cases, `together`, both models have the same luck."""
    nodes, shares = np.polynomial.hermite_e.hermegauss(15)
    shares = shares / shares.sum()

    def world(rng: Random, worlds: int, sizes: Sequence[int]) -> Sample:
        shape = (worlds, len(sizes))
        second = level + rng.normal(0, 1, (worlds, 1)) + rng.normal(0, 0.7, shape)
        first = second + gap + rng.normal(0, 0.5, (worlds, 1)) + rng.normal(0, 0.3, shape)
        one, other = (expit(ability[..., None] - 1.5 * nodes) for ability in (first, second))
        apart = one * (1 - other), other * (1 - one)
        alike = np.maximum(one - other, 0), np.maximum(other - one, 0)
        up, down = (((1 - together) * a + together * b) @ shares for a, b in zip(apart, alike, strict=True))
        return solved(rng, up, down, sizes)

    return world


def chances(only_first: float | list[float], only_second: float | list[float]) -> World:
    """Give all worlds the same chances, of all categories or of one after the other."""

    def world(rng: Random, worlds: int, sizes: Sequence[int]) -> Sample:
        up, down = (
            np.broadcast_to(np.resize(chance, len(sizes)), (worlds, len(sizes)))
            for chance in (only_first, only_second)
        )
        return solved(rng, up, down, sizes)

    return world


def expected(count: float) -> World:
    """Expect so many items in all to tell the models apart, all of them for the first."""

    def world(rng: Random, worlds: int, sizes: Sequence[int]) -> Sample:
        return chances(count / sum(sizes), 0.0)(rng, worlds, sizes)

    return world


def graded(
    first: list[float], second: list[float], kinds: list[float], *, sharp: float, steps: int = 0
) -> World:
    """Draw items of several kinds, on which the models' outcomes have these means.

    Outcomes are of a beta distribution, the more alike the sharper, or take `steps` + 1 values.
    """

    def world(rng: Random, worlds: int, sizes: Sequence[int]) -> Sample:
        shift = rng.uniform(-0.04, 0.04, (worlds, len(sizes), 1))
        means = [
            np.clip(np.array(one) + sign * shift, 0.005, 0.995) for one, sign in ((first, 1), (second, -1))
        ]
        items = []
        for place, size in enumerate(sizes):
            kind = rng.choice(len(kinds), p=kinds, size=(worlds, size))
            here = [np.take_along_axis(one[:, place], kind, 1) for one in means]
            one, other = (
                rng.binomial(steps, mean) / steps if steps else rng.beta(sharp * mean, sharp * (1 - mean))
                for mean in here
            )
            items.append(one - other)
        apart = means[0] - means[1]
        noise = sum(mean * (1 - mean) for mean in means) / (steps or sharp + 1)
        mean = apart @ kinds
        return Sample(items, mean, (noise + apart**2) @ kinds - mean**2)

    return world


def symmetric(inner: World) -> World:
    """Let a coin decide for every item which model is which: there is no difference."""

    def world(rng: Random, worlds: int, sizes: Sequence[int]) -> Sample:
        items, mean, variance = inner(rng, worlds, sizes)
        turned = [one * rng.choice([-1.0, 1.0], one.shape) for one in items]
        return Sample(turned, 0 * mean, variance + mean**2)

    return world


def one_equal(inner: World) -> World:
    """Let both models solve every item of the first category."""

    def world(rng: Random, worlds: int, sizes: Sequence[int]) -> Sample:
        items, mean, variance = inner(rng, worlds, sizes)
        mean, variance = mean.copy(), variance.copy()
        mean[:, 0] = variance[:, 0] = 0
        return Sample([np.zeros_like(items[0]), *items[1:]], mean, variance)

    return world


WORLDS: dict[str, World] = {
    "ability × difficulty": logistic(),
    "the same, models alike": logistic(gap=0.3, together=0.8),
    "nearly all solved": logistic(level=4, gap=0.3, together=0.3),
    "nearly none solved": logistic(level=-4.5, gap=0.3, together=0.3),
    "no difference": chances(0.2, 0.2),
    "no difference, 1 % apart": chances(0.01, 0.01),
    "a large difference": chances(0.7, 0.02),
    "first nearly always": chances(0.95, 0.0),
    "10 % for the first": chances(0.1, 0.0),
    "6 items for the first": expected(6),
    "4.4 items for the first": expected(4.4),
    "unlike spread": chances([0.3, 0.01], [0.3, 0.005]),
    "one differs": chances([0.15, 0, 0, 0], [0.05, 0, 0, 0]),
    "one category all equal": one_equal(logistic()),
    "graded": graded([0.2, 0.6, 0.9], [0.3, 0.5, 0.85], [0.3, 0.4, 0.3], sharp=6),
    "graded, models alike": graded([0.1, 0.5, 0.9], [0.12, 0.5, 0.88], [0.3, 0.4, 0.3], sharp=60),
    "graded, skewed": graded([0.05, 0.95], [0.02, 0.9], [0.9, 0.1], sharp=2),
    "graded, five values": graded([0.1, 0.9], [0.2, 0.9], [0.5, 0.5], sharp=0, steps=4),
    "graded, three values, skewed": graded([0.97, 0.3], [0.985, 0.05], [0.9, 0.1], sharp=0, steps=2),
}
UNSEEN = {
    "graded, 5 % fail utterly": graded([0.8, 0.05], [0.8, 0.8], [0.95, 0.05], sharp=200),
}
"""What few graded items may not show at all; of outcomes of 0 and 1 it is known how far they can differ."""
UNLIKE: dict[str, Unlike] = {
    "2000/40": ([2000, 40], [1, 1]),
    "200/20/20": ([200, 20, 20], [1, 1, 1]),
    "5 to 160": ([5, 10, 20, 40, 80, 160], [1] * 6),
    "weights 8:4:2:1": ([20] * 4, [8, 4, 2, 1]),
    "weights 20:1, 6 × 10": ([10] * 6, [20, 1, 1, 1, 1, 1]),
    "one lower is better": ([20] * 4, [1, 1, 1, -1]),
}
"""Sizes and weights that are not on the grid."""


# ---- intervals


def own_scores(rng: Random, worlds: int, truth: float, sharp: float, sizes: Sequence[int]) -> Sample:
    """Draw outcomes of one model in place of differences: of 0 and 1, or graded, the sharper the more alike.

    The truth of a category is up to 0.04 to either side.
    """
    shape, means = (worlds, len(sizes)), np.clip(truth + rng.uniform(-0.04, 0.04, (worlds, len(sizes))), 0, 1)
    items = []
    for place, size in enumerate(sizes):
        mean = means[:, place, None]
        if sharp:
            drawn = rng.beta(sharp * mean + 1e-9, sharp * (1 - mean) + 1e-9, (worlds, size))
        else:
            drawn = (rng.random((worlds, size)) < mean).astype(float)
        items.append(drawn)
    return Sample(items, means, np.broadcast_to(means * (1 - means) / (sharp + 1), shape))


def score_rows(rng: Random, worlds: int) -> Iterator[tuple[str, str, float, float, float]]:
    """Yield truth, items, coverage and mean width of intervals of one score, and coverage of ± 1.96 s.e."""
    designs = {
        "1 × 20": [20],
        "4 × 5": [5] * 4,
        "4 × 20": [20] * 4,
        "10 × 20": [20] * 10,
        "2000/40": [2000, 40],
    }
    chances = {f"{share:g}": (share, 0.0) for share in (0.02, 0.1, 0.5, 0.9, 0.98)}
    kinds = {**chances, "0.7, graded": (0.7, 2.0), "0.95, graded": (0.95, 5.0)}
    for (kind, (truth, sharp)), (name, sizes) in itertools.product(kinds.items(), designs.items()):
        sample = own_scores(rng, worlds, truth, sharp, sizes)
        weights = {str(place): Fraction(1, len(sizes)) for place in range(len(sizes))}
        mean = sample.mean.mean(axis=1)
        held, normal, width = 0, 0, 0.0
        for row in range(worlds):
            found = {str(place): outcomes(items[row]) for place, items in enumerate(sample.items)}
            evaluation = Evaluation.of_items(found)
            interval = score_interval(evaluation, weights=weights)
            errors = [one.stderr or 0.0 for one in evaluation.categories.values()]
            reach = 1.96 * math.hypot(*errors) / len(sizes)
            held += interval.low <= mean[row] + 1e-9 and mean[row] - 1e-9 <= interval.high
            normal += abs(interval.score - mean[row]) <= reach
            width += interval.high - interval.low
        yield kind, name, held / worlds, width / worlds, normal / worlds


def moments(sample: Sample) -> tuple[Floats, Floats, Floats]:
    """Return means, sums of squared deviations and largest deviations, each (n_worlds, n_categories)."""
    means = np.stack([one.mean(axis=1) for one in sample.items], axis=1)
    deviations = [one - means[:, place, None] for place, one in enumerate(sample.items)]
    squares = np.stack([(one**2).sum(axis=1) for one in deviations], axis=1)
    largest = np.stack([np.abs(one).max(axis=1) for one in deviations], axis=1)
    is_spread = largest > 1e-9  # equal differences have deviations of rounding
    return means, squares * is_spread, largest * is_spread


def intervals(rng: Random, sample: Sample, weights: Floats) -> Iterator[tuple[str, Floats, Floats]]:
    """Yield name, low and high of each design."""
    means, squares, largest = moments(sample)
    counts = np.array([one.shape[1] for one in sample.items])
    difference = means @ weights
    top = largest.max(axis=1, keepdims=True)
    reaches = np.broadcast_to(np.where(top > 0, top, 1.0), squares.shape)
    for name, reach in (("soce", reaches), ("t", 0 * reaches), ("t, degenerate", reaches * (squares == 0))):
        variance, degrees = variance_of_difference(weights, counts, squares, reach)
        half = t_quantile(LEVEL, degrees) * np.sqrt(variance)
        yield name, difference - half, difference + half
    spare = counts.sum() - len(counts)
    pooled = squares.sum(axis=1) / spare * (weights**2 / counts).sum()
    half = t_quantile(LEVEL, np.array(float(spare))) * np.sqrt(pooled)
    yield "pooled", difference - half, difference + half
    resampled = np.zeros((min(len(means), BOOTSTRAPPED), DRAWS))
    for place, items in enumerate(sample.items):
        times = rng.multinomial(counts[place], np.full(counts[place], 1 / counts[place]), size=DRAWS)
        resampled += weights[place] / counts[place] * (items[:BOOTSTRAPPED] @ times.T)
    low, high = np.percentile(resampled, [2.5, 97.5], axis=1)
    yield "bootstrap", low, high


class Row(NamedTuple):
    """What one design does in one kind of world with so many items."""

    world: str
    items: str
    design: str
    coverage: float
    width: float
    """Mean width relative to that of the ideal interval."""
    worlds: int


def measure(rng: Random, worlds: int, name: str, items: str, design: Unlike) -> list[Row]:
    """Return what every design of an interval does in a kind of world."""
    sizes, weights = design
    sample = (WORLDS | UNSEEN)[name](rng, worlds, sizes)
    shares = np.array(weights) / np.abs(weights).sum()
    truth = sample.mean @ shares
    ideal = 2 * 1.96 * np.sqrt(sample.variance @ (shares**2 / np.array(sizes))).mean()
    return [
        Row(
            name,
            items,
            kind,
            float(((low <= truth[: len(low)] + 1e-9) & (truth[: len(low)] - 1e-9 <= high)).mean()),
            float((high - low).mean() / ideal),
            len(low),
        )
        for kind, low, high in intervals(rng, sample, shares)
    ]


# ---- the sign-flip test


def rejections(rng: Random, worlds: int) -> Iterator[tuple[str, str, float]]:
    """Yield kind of world, items, and how often p is at most 5 % where there is no difference."""
    kinds = {
        "0 and 1, 20 % apart": symmetric(chances(0.2, 0.2)),
        "0 and 1, 2 % apart": symmetric(chances(0.02, 0.02)),
        "graded, skewed": symmetric(WORLDS["graded, skewed"]),
    }
    designs = {"4 × 5": [5] * 4, "4 × 20": [20] * 4, "10 × 20": [20] * 10, "200/20/20": [200, 20, 20]}
    for (kind, world), (items, sizes) in itertools.product(kinds.items(), designs.items()):
        weights = {str(place): Fraction(1, len(sizes)) for place in range(len(sizes))}
        sample, count = world(rng, worlds, sizes), 0
        for row in range(worlds):
            first = {str(place): outcomes(items[row]) for place, items in enumerate(sample.items)}
            second = {name: dict.fromkeys(found, 0.0) for name, found in first.items()}
            pair = Evaluation.of_items(first), Evaluation.of_items(second)
            count += sign_flip(*pair, weights=weights, draws=999, seed=row).p <= 0.05
        yield kind, items, count / worlds


def outcomes(values: Floats) -> dict[str, float]:
    """Return values as outcomes of items."""
    return {str(place): value for place, value in enumerate(values.tolist())}


# ---- tables


def table(header: str, rows: Iterable[Sequence[str]]) -> None:
    """Print a table of Markdown; all columns but the first are numbers."""
    print(f"| {header} |\n|---{'|--:' * header.count(' | ')}|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def percent(share: float, worlds: int) -> str:
    """Return a share with its standard error."""
    return f"{100 * share:.1f} ± {100 * (share * (1 - share) / worlds) ** 0.5:.1f}"


def designs_table(rows: list[Row]) -> None:
    """Print the worst and the mean of each design over all rows."""
    table(
        "interval | rows | least coverage | rows below 93 % | mean width | largest",
        (
            (
                kind,
                str(len(own)),
                f"{100 * min(row.coverage for row in own):.1f}",
                str(sum(row.coverage < TARGET for row in own)),
                f"{np.mean([row.width for row in own]):.2f}",
                f"{max(row.width for row in own):.2f}",
            )
            for kind in dict.fromkeys(row.design for row in rows)
            for own in [[row for row in rows if row.design == kind]]
        ),
    )


def worlds_table(rows: list[Row]) -> None:
    """Print the least coverage over the grid in each kind of world, and widths at some of its points."""
    shown = ("4 × 5", "10 × 5", "4 × 20", "10 × 20", "10 × 100")
    table(
        f"world | soce covers | where | bootstrap covers | {' | '.join(f'width {at}' for at in shown)}",
        (
            (
                name,
                f"{100 * least.coverage:.1f}",
                least.items,
                f"{100 * min(row.coverage for row in here if row.design == 'bootstrap'):.1f}",
                *(f"{row.width:.2f}" for at in shown for row in own if row.items == at),
            )
            for name in dict.fromkeys(row.world for row in rows)
            for here in [[row for row in rows if row.world == name]]
            for own in [[row for row in here if row.design == "soce"]]
            for least in [min(own, key=lambda row: row.coverage)]
        ),
    )


def rows_table(rows: list[Row]) -> None:
    """Print every row, soce beside the bootstrap and the t interval without added items."""
    by_kind = {(row.world, row.items, row.design): row for row in rows}
    designs = ("soce", "t", "bootstrap")
    table(
        f"world | items | {' | '.join(f'{kind} covers | width' for kind in designs)}",
        (
            (
                name,
                items,
                *(
                    text
                    for kind in designs
                    for row in [by_kind[name, items, kind]]
                    for text in (percent(row.coverage, row.worlds), f"{row.width:.2f}")
                ),
            )
            for name, items in dict.fromkeys((row.world, row.items) for row in rows)
        ),
    )


def main() -> None:
    """Simulate and print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--worlds", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    grid: list[Row] = []
    unlike: list[Row] = []
    for name in WORLDS:
        for k, n in GRID:
            grid += measure(rng, given.worlds, name, f"{k} × {n}", ([n] * k, [1.0] * k))
        for items, design in UNLIKE.items():
            unlike += measure(rng, given.worlds, name, items, design)
    print("## Intervals, K categories of n items\n")
    designs_table(grid)
    worlds_table(grid)
    print("## Intervals, unlike sizes and weights\n")
    designs_table(unlike)
    print("## The sign-flip test at 5 %\n")
    tests = rejections(np.random.default_rng([given.seed, 1]), given.worlds // 4)
    table(
        "world without a difference | items | rejects",
        ((kind, items, percent(share, given.worlds // 4)) for kind, items, share in tests),
    )
    print("## Intervals of one score\n")
    scores = score_rows(np.random.default_rng([given.seed, 3]), given.worlds // 4)
    table(
        "score | items | soce covers | width (pp) | ± 1.96 standard errors covers",
        (
            (kind, items, percent(held, given.worlds // 4), f"{100 * width:.1f}", f"{100 * normal:.1f}")
            for kind, items, held, width, normal in scores
        ),
    )
    rng = np.random.default_rng([given.seed, 2])
    unseen = [
        row
        for name in UNSEEN
        for k, n in GRID
        for row in measure(rng, given.worlds, name, f"{k} × {n}", ([n] * k, [1.0] * k))
    ]
    print("## Every row\n")
    rows_table(grid + unlike)
    print("## What few items do not show\n")
    rows_table(unseen)


if __name__ == "__main__":
    main()
