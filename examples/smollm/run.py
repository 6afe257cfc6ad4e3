"""Experts of a small language model, and the whole of SoCE on them: see README.md.

    python examples/smollm/run.py [STEP ...] [--folder FOLDER] [--bfcl-python PYTHON] [--vllm-python PYTHON]

Steps that are done are not done again, and one that was stopped goes on. Without a STEP all of them run.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from base import make_base
from candidates import CANDIDATES, make_candidates, prepare_families
from data import make_data
from train import Trainer

if TYPE_CHECKING:
    from collections.abc import Callable

from results import keep_results

HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "soce"
SEED = 0
SOCE = Path(sys.executable).with_name("soce")


def main() -> None:
    """Run the steps that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("steps", nargs="*", metavar="STEP", help=f"{', '.join(STEPS)}; else all")
    parser.add_argument("--folder", type=Path, default=CACHE / "smollm", help="gets all that is made")
    parser.add_argument("--bfcl-python", type=Path, default=CACHE / "bfcl/bin/python")
    parser.add_argument("--vllm-python", type=Path, default=CACHE / "vllm/bin/python")
    parser.add_argument("--only", nargs="+", default=CANDIDATES, help="candidates to train")
    parser.add_argument("--threads", type=int, help="of training; else torch's choice")
    given = parser.parse_args()
    if strange := [step for step in given.steps if step not in STEPS]:
        parser.error(f"there is no step `{strange[0]}`: {', '.join(STEPS)}")
    given.folder.mkdir(parents=True, exist_ok=True)
    for name in given.steps or STEPS:
        begin = time.monotonic()
        STEPS[name](given)
        say(f"{name}: done in {time.monotonic() - begin:.0f} s")


def say(text: str) -> None:
    """Print a line with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _data(given: argparse.Namespace) -> None:
    if not (given.folder / "data").exists():
        make_data(given.folder / "data", given.bfcl_python, SEED)


def _trainer(given: argparse.Namespace) -> Trainer:
    import torch

    if given.threads is not None:
        torch.set_num_threads(given.threads)
    return Trainer(given.folder / "base")


def _prepare(given: argparse.Namespace) -> None:
    prepare_families(_trainer(given), given.folder / "data", given.only, say)


def _train(given: argparse.Namespace) -> None:
    make_candidates(_trainer(given), given.folder, given.only, SEED, say)


def _soce(given: argparse.Namespace) -> None:
    """Do what soce.yaml says, or the rest of it."""
    shutil.copyfile(HERE / "soce.yaml", given.folder / "soce.yaml")
    pythons = [f"evaluate.engine-python={given.vllm_python}", f"evaluate.bfcl-python={given.bfcl_python}"]
    said = [word for python in pythons for word in ("--set", python)]
    subprocess.run([str(SOCE), "run", *said], check=True, cwd=given.folder)


STEPS: dict[str, Callable[[argparse.Namespace], object]] = {
    "base": lambda given: make_base(given.folder),
    "data": _data,
    "prepare": _prepare,
    "train": _train,
    "soce": _soce,
    "results": lambda given: keep_results(given.folder, HERE / "results", SOCE),
}

if __name__ == "__main__":
    main()
