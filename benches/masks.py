"""Time methods that drop elements beside the plain mean of the same inputs.

    python benches/masks.py [--mib 64] [--rounds 9] [--threads 1] [--inputs 3] [--dtype BF16] [--json FILE]

Makes random tensors of that size, a base and fine-tunes of it, in a temporary folder: they stay in the page
cache, so what is timed is arithmetic and reading memory. Rounds go through all in turn, the first unmeasured:

mean       `Mixer.mix` with parts of the base and of all inputs
ties       the same where each keeps a fifth of its elements by size and a sign is elected
dare       the same where each keeps half of its elements at random
edges      `Mixer.edges`: where that fifth begins, once for all inputs
contents   `Mixer.contents`: digests and largest differences, once for all inputs

Ratios are medians of those of the rounds, so that a machine shared with others disturbs them little.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import soce
from soce.recipes.masks import Masks
from squares import SIZES, inputs


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print a line for each kind of work."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=3)
    parser.add_argument("--dtype", choices=SIZES, default="BF16")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    n, size = options.inputs, (options.mib << 20) // SIZES[options.dtype]
    with tempfile.TemporaryDirectory() as scratch:
        mixer = soce.Mixer(inputs(Path(scratch), options.dtype, options.mib, n + 1))
        ranks = [(i, size // 5) for i in range(1, n + 1)]
        edges, _ = mixer.edges("w", 0, ranks)
        ones, out = (0, *[1] * n), bytearray(options.mib << 20)
        by_size = Masks(ones, 0, ones, elects=True, keeps=(None, *((edge, None) for edge in edges)))
        at_random = Masks(ones, 0, None, elects=False, keeps=(None, *((i, i, 1 << 31) for i in range(n))))

        def mix(numerators: tuple[int, ...] | Masks, whole: int) -> Callable[[], None]:
            return lambda: mixer.mix("w", numerators, whole, out, num_threads=options.threads)

        work: dict[str, Callable[[], object]] = {
            "mean": mix((3, *[1] * n), n + 3),
            "ties": mix(by_size, n),
            "dare": mix(at_random, n),
            "edges": lambda: mixer.edges("w", 0, ranks, num_threads=options.threads),
            "contents": lambda: mixer.contents("w", 0, num_threads=options.threads),
        }
        rounds = [[timed(one) for one in work.values()] for _ in range(options.rounds + 1)][1:]
    found = []
    print(f"{options.dtype}, {n} inputs and a base, {options.mib} MiB each, {options.threads} threads")
    for place, name in enumerate(work):
        seconds = statistics.median(row[place] for row in rounds)
        ratio = statistics.median(row[place] / row[0] for row in rounds)
        print(f"{name:9} {seconds:8.4f} s  {ratio:6.2f} of the mean  {1e9 * seconds / size:6.2f} ns/element")
        found.append({"work": name, "seconds": seconds, "over_mean": ratio})
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
