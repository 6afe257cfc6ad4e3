"""Time step 1 on a large table: soce against numpy and pandas, in one process, on the same numbers.

    python benches/analyze.py [--models 1000] [--categories 500] [--rounds 7] [--json FILE]

Rounds go through all programs in turn, so that a busy moment of the machine meets each of them.
`numpy.corrcoef` is the floor: one matrix product, no holes, no constant columns, bits that depend on threads.
The whole command runs as a process of its own; what it takes beyond importing is its time less that of the
same command on a table of 8 × 3.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import scipy

from soce.scores.table import Column, ScoreTable
from soce.selection.correlation import correlate_categories
from soce.selection.lint import lint_scores
from soce.selection.sweep import sweep_thresholds
from soce.selection.weights import WeightGrid

SEED = 0
HOLES = 0.05


def make_table(n_models: int, n_categories: int, holes: float) -> ScoreTable:
    """Return percentages of two decimals: some skills that models share, and noise."""
    random = np.random.default_rng(SEED)
    skills = random.normal(size=(n_models, 12)) @ random.normal(size=(12, n_categories))
    scores = np.clip(50 + 8 * (skills / 3 + random.normal(size=skills.shape)), 0, 100).round(2)
    scores[random.random(scores.shape) < holes] = np.nan
    return ScoreTable(
        tuple(f"model-{row:05}" for row in range(n_models)),
        tuple(Column(f"category-{place:05}", scale="percent", decimals=2) for place in range(n_categories)),
        scores,
        source="benchmark",
    )


def programs(table: ScoreTable) -> dict[str, Callable[[], object]]:
    """Return what is timed, each a call without arguments."""
    frame = table.to_frame()
    correlation = correlate_categories(table)
    found: dict[str, Callable[[], object]] = {
        "soce correlate_categories": lambda: correlate_categories(table),
        "pandas DataFrame.corr(min_periods=3)": lambda: frame.corr(min_periods=3),
    }
    if not table.n_missing:
        found["numpy.corrcoef"] = lambda: np.corrcoef(table.values, rowvar=False)
    found |= {
        "soce weakest (walk order)": correlation.weakest,
        "soce pairs (all, sorted)": correlation.pairs,
        "soce pairs (first 20)": lambda: correlation.pairs(limit=20),
        "soce order (clusters)": correlation.order,
        "soce interval (Fisher)": correlation.interval,
        "soce lint_scores": lambda: lint_scores(table, correlation=correlation),
        "soce sweep_thresholds": lambda: sweep_thresholds(table, correlation=correlation),
    }
    return found


def time_all(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():  # once unmeasured: imports, pages, threads
        call()
    for _ in range(rounds):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def time_command(table: ScoreTable, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of `soce analyze`, as a process, on the table and on a tiny one."""
    tiny = table.take(models=table.models[:8], columns=[column.name for column in table.columns[:3]])
    with tempfile.TemporaryDirectory() as folder:
        calls: dict[str, Callable[[], object]] = {}
        for name, given in (("soce analyze", table), ("soce analyze, 8 × 3", tiny)):
            path = Path(folder, f"{len(given.models)}.csv")
            given.to_frame().to_csv(path, index_label="model", float_format="%.2f")
            command = [sys.executable, "-c", "from soce.cli import main; main()", "analyze", str(path)]
            calls[name] = partial(subprocess.run, command, check=True, capture_output=True)
        return time_all(calls, rounds)


def largest_difference(table: ScoreTable) -> float:
    """Return how far soce and pandas lie apart."""
    theirs = table.to_frame().corr(min_periods=3).to_numpy()
    return float(np.nanmax(np.abs(theirs - correlate_categories(table).rho)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--categories", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write all timings here")
    wanted = parser.parse_args()
    report: dict[str, object] = {
        "machine": platform.processor() or platform.machine(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pandas": pd.__version__,
        "scipy": scipy.__version__,
        "seed": SEED,
        "models": wanted.models,
        "categories": wanted.categories,
    }
    print(f"{wanted.models} models × {wanted.categories} categories, {wanted.rounds} rounds, seed {SEED}")
    for label, holes in (("complete", 0.0), ("holes", HOLES)):
        table = make_table(wanted.models, wanted.categories, holes)
        seconds = time_all(programs(table), wanted.rounds)
        ours = statistics.median(seconds["soce correlate_categories"])
        difference = largest_difference(table)
        print(
            f"\n{label}: {table.n_missing} of {table.values.size} cells missing; "
            f"soce and pandas differ by at most {difference:.1e}"
        )
        print(f"{'':38} {'best':>9} {'median':>9} {'soce takes':>11}")
        for name, times in seconds.items():
            ratio = f"{ours / statistics.median(times):.2f} ×" if not name.startswith("soce") else ""
            print(
                f"{name:38} {min(times) * 1e3:6.1f} ms {statistics.median(times) * 1e3:6.1f} ms {ratio:>11}"
            )
        command = time_command(table, wanted.rounds)
        whole, imports = (statistics.median(times) for times in command.values())
        print(
            f"{'the command soce analyze':38} {whole:.2f} s, {whole - imports:.2f} s of it beyond importing"
        )
        seconds |= command
        report[label] = {"seconds": seconds, "largest_difference_to_pandas": difference}
    start = time.perf_counter()
    points = sum(1 for _ in WeightGrid(6, whole=20))
    report["grid"] = {"points": points, "seconds": time.perf_counter() - start}
    print(
        f"\ngrid of 6 experts by 1/20: {points} points listed in {(time.perf_counter() - start) * 1e3:.1f} ms"
    )
    if wanted.json:
        wanted.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    else:
        json.dump(report, sys.stdout)
        print()


if __name__ == "__main__":
    main()
