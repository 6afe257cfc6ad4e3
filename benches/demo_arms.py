"""Methods and fitted coefficients as arms, on the models of several demos: the table of docs/demo.md.

For each seed the demo trains its models and searches the grid, and the same search is asked again with more
arms, of which only these are scored. Prints a Markdown table: means over the seeds, and each seed's held-out
scores.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

ARMS = (
    "task_arithmetic:lambda=0.3",
    "model_stock",
    "ties",
    "ties:density=0.5",
    "dare_linear:lambda=0.3",
    "breadcrumbs:lambda=0.3",
    "learned",
    "learned:by=model",
    "adamerging",
)


def run(*words: str) -> None:
    """Run a command of soce beside this Python; what it says goes to stderr."""
    subprocess.run([str(Path(sys.executable).with_name("soce")), *words], check=True, stdout=sys.stderr)


def searched(home: Path, seed: int) -> dict[str, object]:
    """Return the result of a search with all arms on one demo's models."""
    demo, folder = home / f"seed-{seed}", home / f"arms-{seed}"
    run("demo", "--seed", str(seed), "--output", str(demo))
    if not folder.exists():
        shutil.copytree(demo / "search", folder)
    models = demo / "models"
    arms = [word for arm in ARMS for word in ("--arm", arm)]
    run(
        *("search", str(demo / "selection.yaml"), "--output", str(folder), "--base", str(models / "base")),
        *("--evaluator", str(models / "dev.jsonl"), "--held-out", str(models / "test.jsonl"), *arms),
    )
    found: dict[str, object] = json.loads((folder / "result.json").read_bytes())
    return found


def table(results: list[dict[str, object]]) -> list[str]:
    """Return what the arms scored on the held-out items, in percent, and how much more than equal parts."""
    scores: dict[str, list[float]] = {}
    for result in results:
        arms = {arm["label"]: arm for arm in result["arms"]}  # type: ignore[attr-defined]
        best = max(arm["report"]["value"] for arm in arms.values() if arm["arm"] == "single")
        told = {"best single model": best}
        told |= {label: arm["report"]["value"] for label, arm in arms.items() if arm["arm"] != "single"}
        for label, value in told.items():
            scores.setdefault(label, []).append(100 * value)
    equal = scores["uniform-selected"]
    seeds = " | ".join(f"seed {seed}" for seed in range(len(results)))
    lines = [
        f"| arm | mean | less equal parts | {seeds} |",
        f"| --- | ---: | ---: |{' ---: |' * len(results)}",
    ]
    for label, values in scores.items():
        differences = [value - other for value, other in zip(values, equal, strict=True)]
        mean = statistics.fmean(differences)
        error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else 0.0
        above = "" if label == "uniform-selected" else f"{mean:+.2f} ± {error:.2f}".replace("-", "−")
        each = " | ".join(f"{value:.2f}" for value in values)
        lines.append(f"| `{label}` | {statistics.fmean(values):.2f} | {above} | {each} |")
    return lines


def main() -> None:
    """Read the arguments, run, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many demos")
    parser.add_argument("--output", type=Path, default=Path("demo-arms"), help="where they are kept")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    print("\n".join(table([searched(given.output, seed) for seed in range(given.seeds)])))


if __name__ == "__main__":
    main()
