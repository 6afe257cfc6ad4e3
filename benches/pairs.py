"""Time the soups of all pairs of some checkpoints: one merge after the other, and all in one pass.

    python benches/pairs.py FOLDER [--models 5] [--megabytes 300] [--cache auto]

Says why an evaluator that is a command writes one soup at a time (docs/study.md): what counts is what is read
from the disk, which Linux tells of a process. FOLDER gets the checkpoints, F32, and the soups; they stay out
of the page cache for the rows that say so.
"""

import argparse
import json
import os
import shutil
import time
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file

import soce

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS, TENSORS = 2_500, 10


def checkpoints(folder: Path, count: int, megabytes: int) -> list[str]:
    """Return checkpoints of so many megabytes, made where they are missing."""
    rows = megabytes * 1_000_000 // (4 * COLUMNS * TENSORS)
    paths = [folder / f"{megabytes}-{place}" for place in range(count)]
    for place, path in enumerate(paths):
        if not path.exists():
            path.mkdir(parents=True)
            draw = np.random.default_rng(place)
            tensors = {
                f"layer.{i}": draw.standard_normal((rows, COLUMNS), dtype=np.float32) for i in range(TENSORS)
            }
            save_file(tensors, path / "model.safetensors")
            (path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return [str(path) for path in paths]


def set_cached(paths: list[str], *, cached: bool) -> None:
    """Bring the checkpoints into the page cache, or take them out of it."""
    os.sync()
    for path in paths:
        with Path(path, "model.safetensors").open("rb") as file:
            if cached:
                while file.read(1 << 24):
                    pass
            else:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_bytes() -> int:
    """Return what this process has had read from disks."""
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes"))


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=300)
    parser.add_argument("--cache", choices=["auto", "keep", "drop"], default="keep")
    given = parser.parse_args()
    paths = checkpoints(given.folder, given.models, given.megabytes)
    recipes = [soce.Recipe.of(pair) for pair in combinations(paths, 2)]
    options = soce.MergeOptions(sync=False, cache=given.cache)
    output = given.folder / "soups"

    def one_by_one(*, forget: bool = False) -> float:
        seconds = 0.0
        for recipe in recipes:
            if forget:
                set_cached(paths, cached=False)
            start = time.perf_counter()
            soce.merge(recipe, output=output, options=options)
            seconds += time.perf_counter() - start
            shutil.rmtree(output)
        return seconds

    def one_pass() -> float:
        start = time.perf_counter()
        named = {f"soup-{place}": recipe for place, recipe in enumerate(recipes)}
        soce.merge_all(named, output=output, options=options)
        seconds = time.perf_counter() - start
        shutil.rmtree(output)
        return seconds

    ways: list[tuple[str, Callable[[], float], bool]] = [
        ("one by one, cached", one_by_one, True),
        ("one pass, cached", one_pass, True),
        ("one by one, not cached", one_by_one, False),
        ("one pass, not cached", one_pass, False),
        ("one by one, forgotten before each", lambda: one_by_one(forget=True), False),
    ]
    for name, run, cached in ways:
        set_cached(paths, cached=cached)
        before = read_bytes()
        seconds = run()
        print(f"{name:34} {seconds:6.1f} s {(read_bytes() - before) / 1e9:6.2f} GB read")


if __name__ == "__main__":
    main()
