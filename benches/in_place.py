"""Time until the next candidate of a search can be evaluated: in place, or written and loaded.

    python benches/in_place.py DIR [--size 1.2b] [--ingredients 3] [--candidates 5] [--device cpu] [--json]

Makes the checkpoints of `make_checkpoints.py` in DIR if they are not there. Three ways to the same model:

in place        `SoupModel.set` on a model that is already loaded
one process     `soce.merge` without fsync and `from_pretrained`, in a process that has imported torch
two commands    `soce-merge` as it is, and a new process that loads what it wrote: what an evaluator pays that
                is a command

Loading includes touching every page, because `from_pretrained` only maps the file. Ingredients are in the
page cache. The last candidate in place is compared with the loaded one bit for bit.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import make_checkpoints
import soce
from measure import proc_fields
from soce.evaluate.live.placement import same_bits
from soce.evaluate.live.soup_model import SoupModel

LOAD = """
import sys, torch, transformers
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype="auto").to(sys.argv[2])
for tensor in model.state_dict().values():
    tensor.flatten().view(torch.uint8)[::4096].max()
"""


def recipes(paths: list[str], count: int) -> list[soce.Recipe]:
    """Return different mixes in which every ingredient takes part."""
    return [
        soce.Recipe.of({path: 1 + (i + place) % (count + len(paths)) for place, path in enumerate(paths)})
        for i in range(count)
    ]


def private() -> int:
    """Return the bytes of this process that no file backs."""
    return proc_fields("/proc/self/status")["RssAnon"]


def in_place(paths: list[str], mixes: list[soce.Recipe], device: str) -> tuple[SoupModel, list[float], int]:
    from torch import cuda

    model = SoupModel(paths, device=device)
    model.set(mixes[-1])  # the page cache is warm for all
    before = private()
    seconds = []
    for mix in mixes:
        start = time.perf_counter()
        model.set(mix)
        if model.device.type == "cuda":
            cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return model, seconds, private() - before


def one_process(
    target: Path, mixes: list[soce.Recipe], device: str
) -> tuple[dict[str, Any], list[float], list[float]]:
    import torch
    import transformers

    hub: Any = transformers
    hub.utils.logging.disable_progress_bar()
    write, load = [], []
    state: dict[str, Any] = {}
    for mix in mixes:
        state.clear()
        shutil.rmtree(target, ignore_errors=True)
        start = time.perf_counter()
        soce.merge(mix, output=target, options=soce.MergeOptions(sync=False))
        write.append(time.perf_counter() - start)
        start = time.perf_counter()
        state |= hub.AutoModelForCausalLM.from_pretrained(target, dtype="auto").to(device).state_dict()
        for tensor in state.values():
            tensor.flatten().view(torch.uint8)[::4096].max()
        load.append(time.perf_counter() - start)
    shutil.rmtree(target)
    return state, write, load


def two_commands(target: Path, mixes: list[soce.Recipe], device: str) -> tuple[list[float], list[float]]:
    write, load = [], []
    main = "from soce.cli import main_merge; main_merge()"
    for mix in mixes:
        assert mix.parts is not None
        weights = [f"{found.path}={part}" for found, part in zip(mix.ingredients, mix.parts, strict=True)]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", main, *weights, "-o", target, "-q"], check=True)
        write.append(time.perf_counter() - start)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", LOAD, target, device], check=True, capture_output=True)
        load.append(time.perf_counter() - start)
        shutil.rmtree(target)
    return write, load


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", type=Path)
    parser.add_argument("--size", choices=make_checkpoints.SIZES, default="tiny")
    parser.add_argument("--ingredients", type=int, default=3)
    parser.add_argument("--candidates", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    home = arguments.target / arguments.size
    folders = make_checkpoints.make(home, arguments.size, ingredients=arguments.ingredients)
    mixes = recipes([str(folder) for folder in folders], arguments.candidates)
    model, swap, grown = in_place([str(folder) for folder in folders], mixes, arguments.device)
    state, *together = one_process(home / "soup", mixes, arguments.device)
    differing = [name for name, live in model.model.state_dict().items() if not same_bits(live, state[name])]
    if differing:
        parser.exit(1, f"error: in place and loaded differ: {', '.join(differing)}\n")
    apart = two_commands(home / "soup", mixes[:3], arguments.device)
    ready = statistics.median(swap)
    seconds = {
        "in place": (ready,),
        "one process": tuple(statistics.median(column) for column in together),
        "two commands": tuple(statistics.median(column) for column in apart),
    }
    ratios = {name: sum(found) / ready for name, found in seconds.items()}
    if arguments.json:
        result = {
            "size": arguments.size,
            "device": arguments.device,
            "model_bytes": model.nbytes,
            "ingredients": len(folders),
            "seconds": seconds,
            "ratios": ratios,
            "private_bytes_grown": grown,
            "soce": soce.build_info(),
        }
        print(json.dumps(result, indent=2, default=str))
        return
    print(f"{arguments.size}: {len(folders)} ingredients of {model.nbytes / 1e6:,.1f} MB, {arguments.device}")
    for name, found in seconds.items():
        parts = " = " + " + ".join(f"{part:.4f}" for part in found) if len(found) > 1 else ""
        print(f"{name:14}{sum(found):10.4f} s {ratios[name]:8.1f} ×{parts}")
    print(f"private memory grew by {grown / 1e6:.1f} MB while candidates were swapped")


if __name__ == "__main__":
    main()
