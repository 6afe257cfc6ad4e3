"""The six candidates: an expert of each family, and two that should not be in a soup.

`shuffled` was trained for a few steps on questions with the answers of others; `noisy` is the base with noise
on every weight.
"""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING

from data import FAMILIES
from train import mixture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from train import Trainer

    Say = Callable[[str], object]

CANDIDATES = (*FAMILIES, "shuffled", "noisy")
N_OF_OTHERS = 40
"""Examples of each other family that an expert learns."""
N_SHUFFLED = 60
NOISE = 0.2
"""In standard deviations of a tensor."""


def prepare_families(trainer: Trainer, data: Path, names: Sequence[str], say: Say) -> None:
    """Compute what comes out of the frozen layers for the families of these candidates, once for all."""
    for name in names:
        if name in FAMILIES:
            trainer.read_family(data / f"{name}.jsonl", say)


def make_candidates(trainer: Trainer, folder: Path, names: Sequence[str], seed: int, say: Say) -> None:
    """Make these candidates in FOLDER's `candidates/`, apart from those that are there."""
    data, output = folder / "data", folder / "candidates"
    output.mkdir(exist_ok=True)
    for name in names:
        if (output / name).exists():
            continue
        if name == "noisy":
            trainer.save_noisy(output / name, NOISE, seed)
        elif name == "shuffled":
            family = trainer.read_family(_shuffled(data), say)
            trainer.train(output / name, [(family, range(N_SHUFFLED))], seed=seed, say=say)
        else:
            families = {one: trainer.read_family(data / f"{one}.jsonl", say) for one in FAMILIES}
            sizes = {one: len(family.examples) for one, family in families.items()}
            places = mixture(name, sizes, N_OF_OTHERS, seed)
            trainer.train(
                output / name, [(families[one], places[one]) for one in FAMILIES], seed=seed, say=say
            )


def _shuffled(data: Path) -> Path:
    """Write questions of the first family, each with the answer to the next."""
    path = data / "shuffled.jsonl"
    lines = (data / f"{FAMILIES[0]}.jsonl").read_text().splitlines()[: N_SHUFFLED + 1]
    examples = [json.loads(line) for line in lines]
    mixed = [{**one, "answer": other["answer"]} for one, other in pairwise(examples)]
    path.write_text("".join(json.dumps(example) + "\n" for example in mixed))
    return path
