"""Choose experts among small classifiers, search their weights, and publish the soup: all steps, in seconds.

    python examples/choose_and_search.py [FOLDER]        needs soce[search], and no torch

A base network learns six categories of points in the plane a little, and three fine-tuned copies go on with
two of them each. Their scores are correlated, the experts are chosen, every soup of a grid is scored on one
half of the items, and the best one is compared with everything on the other half. FOLDER gets the models, the
search, the soup with its card, and `tables.html` with what a notebook would show.

The evaluator below is the part to replace: any object with these four methods can score soups.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

import soce
from soce.report.publish import publish_soup

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.evaluate.evaluation import OnProgress
    from soce.search.result import SearchResult

CATEGORIES = ("disc", "ring", "left", "right", "stripes", "waves")
EXPERTS = {"round": ("disc", "ring"), "sides": ("left", "right"), "lines": ("stripes", "waves")}
HIDDEN = 48
BASE_STEPS, EXPERT_STEPS = 60, 150
SHAPES = {"inner": (2 + len(CATEGORIES), HIDDEN), "middle": (HIDDEN, HIDDEN), "outer": (HIDDEN, 1)}

Array = NDArray[np.float32]
Network = dict[str, Array]


def draw(category: str, n: int, seed: int) -> tuple[Array, Array]:
    """Return inputs of shape (n, 8), points and one-hot categories, and labels of shape (n, 1)."""
    points = np.random.default_rng([seed, CATEGORIES.index(category)]).uniform(-1, 1, (n, 2))
    x, y = points.T
    radius = np.hypot(x, y)
    labels = {
        "disc": radius < 0.75,
        "ring": (radius > 0.4) & (radius < 0.9),
        "left": x + 0.4 * np.sin(6 * y) < 0,
        "right": x - 0.4 * np.cos(6 * y) > 0,
        "stripes": np.sin(5 * (x + y)) > 0,
        "waves": y > 0.5 * np.sin(4 * x),
    }[category]
    marks = np.tile(np.eye(len(CATEGORIES))[CATEGORIES.index(category)], (n, 1))
    return np.hstack([points, marks]).astype("f4"), labels[:, None].astype("f4")


def answer(network: Mapping[str, Array], inputs: Array) -> tuple[Array, Array, Array]:
    """Return the logits, and the two layers before them."""
    first = np.tanh(inputs @ network["inner"])
    second = np.tanh(first @ network["middle"])
    return second @ network["outer"], second, first


def train(network: Network, categories: Sequence[str], *, steps: int, rate: float, seed: int) -> Network:
    """Return a copy that was trained on categories, by Adam on the logistic loss."""
    network = {name: values.copy() for name, values in network.items()}
    slow = {name: np.zeros_like(values) for name, values in network.items()}
    fast = {name: np.zeros_like(values) for name, values in network.items()}
    for step in range(1, steps + 1):
        drawn = [draw(category, 24, seed * 100_000 + step) for category in categories]
        inputs, labels = (np.vstack(part) for part in zip(*drawn, strict=True))
        logits, second, first = answer(network, inputs)
        error = (1 / (1 + np.exp(-logits)) - labels) / len(labels)
        back = (error @ network["outer"].T) * (1 - second**2)
        below = (back @ network["middle"].T) * (1 - first**2)
        gradients = {"outer": second.T @ error, "middle": first.T @ back, "inner": inputs.T @ below}
        for name, gradient in gradients.items():
            slow[name] += 0.1 * (gradient - slow[name])
            fast[name] += 0.01 * (gradient**2 - fast[name])
            move = slow[name] / (1 - 0.9**step) / (np.sqrt(fast[name] / (1 - 0.99**step)) + 1e-8)
            network[name] -= (rate * move).astype("f4")
    return network


def save(network: Network, folder: Path) -> Path:
    """Write a network as a safetensors checkpoint, which is a header in JSON and the numbers."""
    import json

    header, end = {}, 0
    for name, values in network.items():
        header[name] = {
            "dtype": "F32",
            "shape": list(values.shape),
            "data_offsets": [end, end + values.nbytes],
        }
        end += values.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    folder.mkdir(parents=True)
    data = b"".join(values.tobytes() for values in network.values())
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    (folder / "config.json").write_text('{"model_type": "points"}\n')
    return folder


class Points:
    """An evaluator: which share of a category's points a soup classifies rightly."""

    def __init__(self, paths: Sequence[str], n_items: int) -> None:
        self.paths = list(paths)
        self.mixer = soce.Mixer(self.paths)
        self.items = {name: draw(name, n_items, 0) for name in CATEGORIES}
        self.ids = {name: tuple(f"{name}-{i}" for i in range(n_items)) for name in CATEGORIES}
        self.network = {name: np.empty(shape, "f4") for name, shape in SHAPES.items()}

    @property
    def identity(self) -> Mapping[str, object]:
        """Say what the scores depend on besides the recipe: here the points."""
        digest = hashlib.sha256(b"".join(x.tobytes() + y.tobytes() for x, y in self.items.values()))
        return {"points": digest.hexdigest()}

    def item_ids(self) -> Mapping[str, tuple[str, ...]]:
        """Name the items, so that a search can choose on some and report on the others."""
        return self.ids

    def score(
        self,
        recipe: soce.Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: OnProgress | None = None,  # noqa: ARG002 - a soup takes a millisecond
    ) -> soce.Evaluation:
        """Mix the soup into the network's arrays, and look which points it gets right."""
        parts = dict.fromkeys(self.paths, 0)
        for ingredient, part in zip(recipe.ingredients, recipe.parts or (), strict=True):
            parts[ingredient.path] = part
        for name, values in self.network.items():
            self.mixer.mix(name, list(parts.values()), sum(parts.values()), values)
        outcomes = {}
        for category, wanted in (self.ids if items is None else items).items():
            inputs, labels = self.items[category]
            right = ((answer(self.network, inputs)[0] > 0) == (labels > 0.5))[:, 0]
            places = {name: place for place, name in enumerate(self.ids[category])}
            outcomes[category] = {name: float(right[places[name]]) for name in wanted}
        return soce.Evaluation.of_items(outcomes)

    def close(self) -> None:
        """Let go of nothing."""


def make_models(folder: Path) -> dict[str, str]:
    """Train and save all candidates; return their paths by name."""
    generator = np.random.default_rng(0)
    start = {
        name: (generator.standard_normal(shape) / np.sqrt(shape[0]) * 1.5).astype("f4")
        for name, shape in SHAPES.items()
    }
    base = train(start, CATEGORIES, steps=BASE_STEPS, rate=0.01, seed=1)
    models = {"base": base}
    for seed, (name, own) in enumerate(EXPERTS.items(), 2):
        models[name] = train(base, [*own, *own, *CATEGORIES], steps=EXPERT_STEPS, rate=0.003, seed=seed)
    return {name: str(save(network, folder / name)) for name, network in models.items()}


def main(folder: Path, show: Callable[[str], object] = print) -> SearchResult:
    """Go through all steps in a folder that is empty."""
    paths = make_models(folder / "models")
    evaluator = Points(list(paths.values()), n_items=2000)
    rows = {
        name: [100 * found.score for found in evaluator.score(soce.Recipe.of({path: 1})).categories.values()]
        for name, path in paths.items()
    }
    lines = [",".join(["model", *CATEGORIES])]
    lines += [",".join([name, *(f"{score:.2f}" for score in scores)]) for name, scores in rows.items()]
    (folder / "scores.csv").write_text("\n".join(lines) + "\n")

    scores = soce.read_scores(folder / "scores.csv")
    correlation = soce.correlate_categories(scores)
    selection = soce.select_experts(scores, soce.Clusters(3), soce.SelectionOptions(candidates=list(paths)))
    show(f"experts: {', '.join(selection.models)}; {selection.grid.count} soups to try")

    soce.write_selection(selection, folder / "selection.yaml", paths=paths)
    found = soce.read_selection(folder / "selection.yaml")
    result = soce.search_soups(found, evaluator, folder=folder / "search", candidates=paths)
    show(result.verdict)
    published = publish_soup(result, folder / "soup", selection=selection, run=folder / "search")
    show(
        f"published {published.path.name}/ with {', '.join(sorted(p.name for p in published.path.iterdir()))}"
    )

    tables = {
        "Scores": scores._repr_html_(),
        "Correlation": correlation._repr_html_(),
        "Selection": selection._repr_html_(),
        "Search": result._repr_html_(),
    }
    html = "".join(f"<h2>{title}</h2>{table}" for title, table in tables.items())
    (folder / "tables.html").write_text(f"<!doctype html><meta charset=utf-8><title>soce</title>{html}\n")
    return result


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
