"""How often a race misses the grid's winner, and what it costs: replayed from grids that are fully evaluated.

    python benches/race.py [RUN ...] [--orders 2000] [--output results]

A RUN is a folder of `soce demo` or `soce run` whose search went through the whole grid; its outcomes by item
are replayed in so many random orders of the selection items. So are those of made-up worlds, which are hard
on purpose: three experts, 36 soups, four categories. Nothing is evaluated: a replay is the elimination of
`--strategy race` itself, on known outcomes.

A failure is an order in which the winner is worse than the best by more than epsilon. The bound is the upper
end of its one-sided 95 % interval (Clopper and Pearson), to be below delta. Cost is what is asked for of
the grid's outcomes. Beside it stands how often successive halving, and a random subset of the items at the
race's own cost in the same order, choose one that is worse by more than epsilon.

One core: set OPENBLAS_NUM_THREADS=1, for threads that share so small matrices make it ten times slower.
"""

import argparse
import itertools
import json
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import beta

import soce
from soce.search.open import open_run
from soce.search.scoring import score_weights
from soce.search.strategies.halving import SuccessiveHalving
from soce.search.strategies.race.elimination import Elimination, rung_sizes
from soce.search.strategies.race.race import Race, shares_of
from soce.search.strategies.space import distinct, preference

Floats = np.ndarray
Random = np.random.Generator
DELTA = 0.05


class Grid(NamedTuple):
    """A grid that is fully evaluated, soups in the order of preference."""

    name: str
    shares: Floats
    """Weights, shape (n_soups, n_experts)."""
    outcomes: Floats
    """Between 0 and 1, shape (n_soups, n_items)."""
    category: Floats
    """Of each item, an integer."""

    @property
    def weights(self) -> Floats:
        """What each item counts in the mean of categories."""
        counts = np.bincount(self.category)
        weights: Floats = 1 / (len(counts) * counts[self.category])
        return weights


def grid_of(folder: Path) -> Grid:
    """Return the grid of a run."""
    run = open_run(folder)
    assert run.selection is not None, f"{folder}: nothing was selected"
    assert run.objective is not None, f"{folder}: the objective has no name"
    pool, items = run.pool, run.items("selection")
    assert items is not None, f"{folder}: there are no outcomes by item"
    soups = distinct(pool.soup(parts) for parts in run.selection.grid)
    soups.sort(key=lambda soup: preference(soup, pool.experts))
    rows = []
    for soup in soups:
        found = run.evaluation(pool.recipe(soup), on="selection", with_answers=False)
        assert found is not None, f"{folder}: the grid is not fully evaluated"
        assert len({*(score_weights(run.objective, found) or {}).values()}) == 1, "not the mean of categories"
        rows.append([(found.items or {})[name][item] for name, ids in items.items() for item in ids])
    category = np.repeat(np.arange(len(items)), [len(ids) for ids in items.values()])
    return Grid(run.name, shares_of(soups, pool.experts), np.array(rows), category)


def worlds(rng: Random) -> list[Grid]:
    """Return grids that are hard on purpose."""
    parts = [one for one in itertools.product(range(1, 9), repeat=3) if sum(one) == 10]
    soups = [dict(zip("abc", one, strict=True)) for one in parts]
    soups.sort(key=lambda soup: preference(soup, "abc"))
    shares = shares_of(soups, "abc")
    n_soups, n_items = len(soups), 1000
    category = np.repeat(np.arange(4), 250)
    few = np.repeat(np.arange(4), [700, 200, 70, 30])

    def drawn(spread: float, categories: Floats) -> Floats:
        """Return by how much soups exceed what items ask of them."""
        strength = rng.normal(0, spread, (3, 4))[:, categories] + rng.normal(0, 1, (3, n_items))
        above: Floats = shares @ strength - rng.normal(0, 1, n_items)
        return above

    def solved(above: Floats) -> Floats:
        return (above > 0).astype(float)

    base = solved(rng.normal(0, 1, n_items))
    equal = np.array([rng.permutation(base) for _ in range(n_soups)])
    one_category = np.tile(base, (n_soups, 1))
    one_category[20, np.flatnonzero((category == 3) & (base == 0))[:20]] = 1
    graded = np.clip(0.5 + drawn(0.5, category) / 4, 0, 1)
    two = solved(drawn(0.5, category))
    best = int((two @ Grid("", shares, two, category).weights).argmax())
    two[(best + 7) % n_soups] = rng.permutation(two[best].reshape(4, 250), axis=1).ravel()
    return [
        Grid("differing soups", shares, solved(drawn(1.0, category)), category),
        Grid("unequal categories", shares, solved(drawn(1.0, few)), few),
        Grid("all equal in score", shares, equal, category),
        Grid("all alike", shares, np.tile(base, (n_soups, 1)), category),
        Grid("best by one category", shares, one_category, category),
        Grid("graded outcomes", shares, graded, category),
        Grid("two equal best", shares, two, category),
    ]


class Replay(NamedTuple):
    """One order."""

    regret: float
    cost: float


def race(grid: Grid, values: Floats, epsilon: float) -> tuple[int, float]:
    """Return the winner of a race over these columns, and its share of the grid's outcomes."""
    n_items = values.shape[1]
    elimination = Elimination(
        grid.shares, n_items=n_items, bound=float(n_items * grid.weights.max()), epsilon=epsilon, delta=DELTA
    )
    asked = 0
    for size in rung_sizes(n_items, Race().fewest)[:-1]:
        alive = elimination.alive
        asked += len(alive) * (size - elimination.n_seen)
        elimination.hear(values[alive, elimination.n_seen : size])
        if elimination.is_decided:
            winner = next(one for one in elimination.alive if elimination.is_near_all(one))
            return winner, (asked + n_items - elimination.n_seen) / values.size
    asked += len(elimination.alive) * (n_items - elimination.n_seen)
    left = np.array(elimination.alive)
    return int(left[best_of(values[left].mean(axis=1))]), asked / values.size


def best_of(means: Floats) -> int:
    """Return the first of the best: what differs by rounding is equal."""
    return int(np.flatnonzero(means >= means.max() - 1e-9)[0])


def halving(grid: Grid, order: Floats) -> tuple[int, float]:
    """Return the winner of successive halving whose items come in this order, and its share."""
    n_soups, n_items = grid.outcomes.shape
    names = [str(one) for one in grid.category[order]]
    items = {name: [str(i) for i in np.flatnonzero(np.array(names) == name)] for name in dict.fromkeys(names)}
    strategy = SuccessiveHalving()
    left, asked, before = np.arange(n_soups), 0, 0
    for rung in strategy.rungs(items, n_soups):
        columns = order[[int(one) for ids in rung.values() for one in ids]]
        asked += len(left) * (len(columns) - before)
        before = len(columns)
        columns_of = [columns[grid.category[columns] == one] for one in np.unique(grid.category)]
        per = np.array([grid.outcomes[left][:, own].mean(axis=1) for own in columns_of])
        means = per.mean(axis=0)
        keep = 1 if before == n_items else -(-len(left) // strategy.factor)
        left = np.sort(left[np.lexsort((np.arange(len(left)), -means.round(9)))[:keep]])
    return int(left[0]), asked / grid.outcomes.size


def upper(n_failed: int, n: int) -> float:
    """Return the upper end of the one-sided 95 % interval of a share."""
    return 1.0 if n_failed == n else float(beta.ppf(0.95, n_failed + 1, n - n_failed))


def replayed(grid: Grid, epsilon: float, n_orders: int, seed: int) -> dict[str, object]:
    """Return what so many orders came to."""
    rng = np.random.default_rng(seed)
    n_items = grid.outcomes.shape[1]
    values = grid.outcomes * grid.weights * n_items
    truth = values.mean(axis=1)
    failed = {"race": 0, "halving": 0, "subset": 0}
    costs, halving_costs = [], []
    for _ in range(n_orders):
        order = rng.permutation(n_items)
        shuffled = values[:, order]
        winner, cost = race(grid, shuffled, epsilon)
        costs.append(cost)
        n_subset = max(1, round(cost * n_items))
        other, its_cost = halving(grid, order)
        halving_costs.append(its_cost)
        chosen = {"race": winner, "halving": other, "subset": best_of(shuffled[:, :n_subset].mean(axis=1))}
        for name, one in chosen.items():
            failed[name] += bool(truth.max() - truth[one] > epsilon + 1e-9)
    return {
        "world": grid.name,
        "soups": len(values),
        "items": n_items,
        "epsilon_pp": 100 * epsilon,
        "orders": n_orders,
        "failed": failed["race"] / n_orders,
        "upper": upper(failed["race"], n_orders),
        "median_cost": float(np.median(costs)),
        "cost_90": float(np.quantile(costs, 0.9)),
        "halving_failed": failed["halving"] / n_orders,
        "halving_cost": float(np.median(halving_costs)),
        "subset_failed": failed["subset"] / n_orders,
    }


COLUMNS = (
    *("world", "soups", "items", "epsilon", "missed", "at most", "median cost", "90 % cost"),
    *("halving missed", "its cost", "subset missed"),
)
HEAD = [f"| {' | '.join(COLUMNS)} |", "|---|" + "---:|" * (len(COLUMNS) - 1)]


def row(found: dict[str, object]) -> str:
    """Return a row of the table."""

    def percent(name: str, digits: int = 1) -> str:
        return f"{100 * float(str(found[name])):.{digits}f} %"

    cells = [
        str(found["world"]),
        str(found["soups"]),
        str(found["items"]),
        f"{found['epsilon_pp']:g} pp",
        percent("failed", 2),
        percent("upper", 2),
        percent("median_cost", 0),
        percent("cost_90", 0),
        percent("halving_failed"),
        percent("halving_cost", 0),
        percent("subset_failed"),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Replay, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--orders", type=int, default=2000)
    parser.add_argument("--epsilon", type=float, nargs="*", default=[0.0, 1.0], help="percentage points")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="PATH.json and PATH.md")
    given = parser.parse_args()
    grids = [*map(grid_of, given.runs), *worlds(np.random.default_rng(given.seed))]
    lines, found = [*HEAD], []
    print(*lines, sep="\n", flush=True)
    began = time.monotonic()
    for grid, points in itertools.product(grids, given.epsilon):
        found.append(replayed(grid, points / 100, given.orders, given.seed))
        lines.append(row(found[-1]))
        print(lines[-1], flush=True)
    if given.output is not None:
        about = {"soce": soce.__version__, "numpy": np.__version__, "delta": DELTA, "seed": given.seed}
        about["seconds"] = round(time.monotonic() - began)
        given.output.with_suffix(".json").write_text(
            json.dumps({"about": about, "rows": found}, indent=1) + "\n"
        )
        given.output.with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
