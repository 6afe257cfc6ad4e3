"""What the gain of a soup is overstated by if its experts were chosen on the reported items as well.

    python benches/leakage.py [--worlds 1000] [--seed 0]

A row is a kind of world: M candidates, K categories of n items, half of them held out. In each world models
draw an ability in each category and luck with each item; one solves an item if ability and luck exceed its
difficulty, and a soup has the weighted mean of its experts' abilities and lucks. The best of each category
is an expert, by all items or by the selection part. Equal weights and 50 random ones are tried on the
selection part in both cases, so all that differs is where the experts were chosen. The gain is that over the
single model that is best on the selection part; its bias is the gain on the held-out items minus the true
one, which is known in closed form. Points are percentage points, ± is one standard error over worlds. One
core, a minute.
"""

import argparse
import itertools
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

LUCK = 1.0  # standard deviation, as is that of difficulties
SPREAD = {"close": 0.15, "apart": 0.5}  # of abilities between models, within a category
N_WEIGHTS = 50

Floats = np.ndarray
Random = np.random.Generator


class World(NamedTuple):
    """Candidates and items."""

    ability: Floats
    """Shape (n_models, n_categories)."""
    luck: Floats
    """Of each model with each item, shape (n_models, n_categories, n_items)."""
    difficulty: Floats
    """Shape (n_categories, n_items)."""

    @classmethod
    def drawn(cls, rng: Random, n_models: int, n_categories: int, n_items: int, spread: float) -> "World":
        """Draw a world."""
        ability = rng.normal(0, spread, (n_models, n_categories))
        luck = rng.normal(0, LUCK, (n_models, n_categories, n_items))
        return cls(ability, luck, rng.normal(0, 1, (n_categories, n_items)))

    def outcomes(self, weights: Floats) -> Floats:
        """Return who solves what, shape (n_soups, n_categories, n_items), by weights (n_soups, n_models)."""
        strength = np.einsum("sm,mki->ski", weights, self.ability[..., None] + self.luck)
        solved: Floats = strength > self.difficulty
        return solved

    def truth(self, weights: Floats) -> Floats:
        """Return the mean of categories over endlessly many items, shape (n_soups,)."""
        noise = np.sqrt(1 + LUCK**2 * (weights**2).sum(axis=1))
        chances: Floats = ndtr(weights @ self.ability / noise[:, None])
        means: Floats = chances.mean(axis=1)
        return means


def bias(world: World, rng: Random, *, on_all: bool) -> float:
    """Return the reported gain minus the true one, in points."""
    n_models, _, n_items = world.luck.shape
    chosen, held_out = slice(None, n_items // 2), slice(n_items // 2, None)
    singles = world.outcomes(np.eye(n_models))
    seen = singles if on_all else singles[..., chosen]
    experts = np.unique(seen.mean(axis=2).argmax(axis=0))
    weights = np.zeros((N_WEIGHTS + 1, n_models))
    weights[:, experts] = np.vstack(
        [np.full(len(experts), 1 / len(experts)), rng.dirichlet(np.ones(len(experts)), N_WEIGHTS)]
    )
    soup = weights[world.outcomes(weights)[..., chosen].mean(axis=(1, 2)).argmax()]
    single = np.eye(n_models)[singles[..., chosen].mean(axis=(1, 2)).argmax()]
    both = np.array([soup, single])
    reported = world.outcomes(both)[..., held_out].mean(axis=(1, 2))
    true = world.truth(both)
    return float(100 * ((reported[0] - reported[1]) - (true[0] - true[1])))


def told(values: list[float]) -> str:
    """Return a mean with its standard error."""
    return f"{np.mean(values):+6.2f} ± {np.std(values) / len(values) ** 0.5:.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--worlds", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("models     M   K    n   experts by all items   by the selection part")
    for spread, n_models, n_categories, n_items in itertools.product(
        SPREAD, (6, 30), (4, 10), (20, 100, 400)
    ):
        rng = np.random.default_rng([given.seed, n_models, n_categories, n_items])
        found: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(given.worlds):
            world = World.drawn(rng, n_models, n_categories, n_items, SPREAD[spread])
            for on_all, values in found.items():
                values.append(bias(world, rng, on_all=on_all))
        by_all, by_part = map(told, found.values())
        sizes = f"{n_models:>3} {n_categories:>3} {n_items:>4}"
        print(f"{spread:<8} {sizes}   {by_all:>20}   {by_part:>21}", flush=True)


if __name__ == "__main__":
    main()
