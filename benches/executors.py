"""Time what an executor costs beside the evaluations: 36 soups of a second each, on several replicas.

    python benches/executors.py [EXECUTOR ...] [--seconds 1] [--json FILE]

Without names: inline, processes:1, processes:2 and processes:4. Ray (ray:2) is the cluster in RAY_ADDRESS, or
one of this machine. The evaluator sleeps, so any number of
replicas is at work on any number of cores. First as many soups as there are replicas are scored, which starts
these; that time is told apart. Then 36 others are, by the `Scorer` of a search: leases are taken, scores
kept. The overhead of an evaluation is what a replica took for one beyond its sleep. Its CPU is what the
process that searches computed for it, whatever else the machine does.
"""

import argparse
import hashlib
import importlib
import json
import os
import struct
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from soce.evaluate.evaluation import Evaluation
from soce.recipes.model import Recipe
from soce.search.executors.open import open_executor
from soce.search.identity import ingredient_identities
from soce.search.pool import Pool
from soce.search.scoring import Scorer

SOUPS = 36
NAMES = ("inline", "processes:1", "processes:2", "processes:4")
ITEMS = {name: tuple(f"{name}{number}" for number in range(100)) for name in ("math", "code")}


class Sleeper:
    """Sleeps, and gives outcomes that follow from the soup and the item."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.identity = {"sleeper": 1}

    def item_ids(self) -> Mapping[str, tuple[str, ...]]:
        return ITEMS

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: object = None,  # noqa: ARG002 - as every evaluator
    ) -> Evaluation:
        time.sleep(self.seconds)
        return Evaluation.of_items(outcomes(recipe.id, items or ITEMS))

    def close(self) -> None:
        pass


def outcomes(recipe: str, items: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    return {
        name: {item: float(hashlib.sha256(f"{recipe} {item}".encode()).digest()[0] < 128) for item in ids}
        for name, ids in items.items()
    }


def checkpoint(path: Path, value: float) -> None:
    """Write a checkpoint of one number."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    header += b" " * (-len(header) % 8)
    path.mkdir()
    content = struct.pack("<Q", len(header)) + header + struct.pack("<f", value)
    (path / "model.safetensors").write_bytes(content)
    (path / "config.json").write_text('{"model_type": "none"}\n')


def measure(name: str, seconds: float) -> dict[str, object]:
    """Return what an executor took to start, and for each evaluation."""
    with tempfile.TemporaryDirectory(prefix="soce-bench-") as place, open_executor(name) as executor:
        paths = {model: str(Path(place, model)) for model in "ab"}
        for value, path in enumerate(paths.values()):
            checkpoint(Path(path), float(value))
        pool = Pool(paths, ("a", "b"))
        # By its module, not as part of this program: replicas import it.
        evaluator = importlib.import_module("executors").Sleeper(seconds)
        scorer = Scorer.of(
            evaluator, Path(place, "run"), ingredients=ingredient_identities(paths), executor=executor
        )

        def recipes(first: int, count: int) -> list[Recipe]:
            return [pool.recipe({"a": n, "b": 1000 - n}) for n in range(first, first + count)]

        began = time.monotonic()
        n_replicas = executor.capacity
        scorer.score(recipes(1, n_replicas), ITEMS)
        started, cpu = time.monotonic(), time.process_time()
        found = scorer.score(recipes(500, SOUPS), ITEMS)
        took, cpu = time.monotonic() - started, time.process_time() - cpu
        for recipe, one in zip(recipes(500, SOUPS), found, strict=True):
            assert one.items == outcomes(recipe.id, ITEMS)
        return {
            "executor": name,
            "start_seconds": max(0.0, started - began - seconds),
            "seconds": took,
            "cpu_milliseconds": 1000 * cpu / SOUPS,
            "overhead_milliseconds": 1000 * (took * n_replicas / SOUPS - seconds),
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("executors", nargs="*", default=NAMES)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    rows = []
    print(f"{'executor':14}{'start':>9}{'36 soups':>11}{'overhead of one':>18}{'its CPU':>11}{'load':>8}")
    for name in chosen.executors:
        row = {**measure(name, chosen.seconds), "load": os.getloadavg()[0], "cores": os.cpu_count()}
        rows.append(row)
        print(
            f"{name:14}{row['start_seconds']:7.1f} s{row['seconds']:9.1f} s"
            f"{row['overhead_milliseconds']:15.0f} ms"
            f"{row['cpu_milliseconds']:8.0f} ms{row['load']:8.1f}",
            flush=True,
        )
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
