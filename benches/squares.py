"""Time what methods read first, `Mixer.squares`, beside the plain mean of the same inputs.

    python benches/squares.py [--mib 64] [--rounds 15] [--threads 1] [--dtypes BF16 F32] [--json FILE]

Makes random tensors of that size, one for each of up to 4 inputs, in a temporary folder: they stay in the
page cache, so what is timed is arithmetic and reading memory. Rounds go through all in turn, the first
unmeasured:

mean       `Mixer.mix` with equal parts into memory
squares    `Mixer.squares`: n own squares and n(n-1)/2 squared differences
filters    the same for each row of 4,096

The ratio is the median of those of the rounds, so that a machine shared with others disturbs it little.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import soce

COLUMNS = 4096
SIZES = {"BF16": 2, "F16": 2, "F32": 4, "F64": 8}


def inputs(folder: Path, dtype: str, mib: int, count: int) -> list[str]:
    """Write models of one tensor, near each other as trainings of one base are."""
    random = np.random.default_rng(0)
    shape = ((mib << 20) // SIZES[dtype] // COLUMNS, COLUMNS)
    base = random.normal(0, 0.02, shape)
    paths = []
    for number in range(count):
        values = base + random.normal(0, 0.001, shape)
        path = folder / f"{dtype}-{number}.safetensors"
        if dtype == "BF16":
            bits = (values.astype("<f4").view("<u4") >> 16).astype("<u2")
            header = {"w": {"dtype": "BF16", "shape": shape, "data_offsets": [0, bits.nbytes]}}
            text = json.dumps(header).encode()
            path.write_bytes(len(text).to_bytes(8, "little") + text + bits.tobytes())
        else:
            save_file({"w": values.astype({"F16": "<f2", "F32": "<f4", "F64": "<f8"}[dtype])}, path)
        paths.append(str(path))
    return paths


def one_round(mixer: soce.Mixer, n: int, rows: int, out: bytearray, threads: int) -> tuple[float, ...]:
    """Return the seconds of all three."""
    sums, filters = np.empty(n * (n + 1) // 2), np.empty((rows, n * (n + 1) // 2))
    start = time.perf_counter()
    mixer.mix("w", [1] * n, max(2, n), out, num_threads=threads)  # a whole of 1 would be a copy
    averaged = time.perf_counter()
    mixer.squares("w", sums, num_threads=threads)
    measured = time.perf_counter()
    mixer.squares("w", filters, filters=True, num_threads=threads)
    return averaged - start, measured - averaged, time.perf_counter() - measured


def main() -> None:
    """Print a line for each dtype and number of inputs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtypes", nargs="+", choices=SIZES, default=["BF16", "F32"])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    print("dtype   n      mean   squares  ratio   filters  ratio")
    for dtype in options.dtypes:
        with tempfile.TemporaryDirectory() as scratch:
            paths = inputs(Path(scratch), dtype, options.mib, 4)
            mixers = {n: soce.Mixer(paths[:n]) for n in range(1, 5)}
            rows = (options.mib << 20) // SIZES[dtype] // COLUMNS
            out = bytearray(options.mib << 20)
            rounds: dict[int, list[tuple[float, ...]]] = {n: [] for n in mixers}
            for _ in range(options.rounds + 1):
                for n, mixer in mixers.items():
                    rounds[n].append(one_round(mixer, n, rows, out, options.threads))
        for n, (_, *times) in rounds.items():
            mean, whole, filters = map(statistics.median, zip(*times, strict=True))
            ratio, of_filters = (statistics.median(row[k] / row[0] for row in times) for k in (1, 2))
            print(f"{dtype:5} {n:3} {mean:9.4f} {whole:9.4f}  {ratio:5.2f} {filters:9.4f}  {of_filters:5.2f}")
            line = {"dtype": dtype, "inputs": n, "threads": options.threads, "mean_seconds": mean}
            line |= {"squares_seconds": whole, "squares_over_mean": ratio}
            found.append(line | {"filters_seconds": filters, "filters_over_mean": of_filters})
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
