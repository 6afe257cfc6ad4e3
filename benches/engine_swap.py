"""Time until a live vLLM is the next candidate, against mixing its bytes once and against a new engine.

    python benches/engine_swap.py DIR --python VLLM/bin/python --base MODEL [--rounds 6] [--out FILE]

Makes perturbed copies of SmolLM2-135M at `--base` in DIR, and for two ranks a model of about its shape.
Every way to load a soup, in turn, in one worker; the same with two ranks; and the engine as `soce serve`
starts it, with its memory, for two and for six ingredients. Linux.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from in_place import recipes
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.engines.process import link_soce
from soce.evaluate.engines.vllm.engine import VllmEngine
from soce.evaluate.engines.watchdog import descendants
from soce.recipes.wire import recipe_to_json

COUNT = 6
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",  # else two ranks need two memory nodes
}


def checkpoints(home: Path, base: Path | None, *, heads: int = 9, key_heads: int = 3) -> list[str]:
    """Make checkpoints of SmolLM2-135M's shape, or as near as so many heads allow."""
    from safetensors.torch import load_file, save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    home.mkdir(exist_ok=True)
    if base is None:
        base = home / "base"
        if not base.exists():
            config = LlamaConfig(
                hidden_size=64 * heads,
                intermediate_size=1536,
                num_hidden_layers=30,
                num_attention_heads=heads,
                num_key_value_heads=key_heads,
                vocab_size=49152,
                tie_word_embeddings=True,
                dtype="bfloat16",
            )
            model = LlamaForCausalLM._from_config(config)  # type: ignore[no-untyped-call]
            model.save_pretrained(base)
    paths = [home / f"m{i}" for i in range(COUNT)]
    for i, path in enumerate(paths):
        if not path.exists():
            shutil.copytree(base, path)
            tensors = load_file(base / "model.safetensors")
            changed = {name: tensor * (1 + i / 64) for name, tensor in tensors.items()}
            save_file(changed, path / "model.safetensors", metadata={"format": "pt"})
    return list(map(str, paths))


def ways(home: Path, python: str, specification: dict[str, Any]) -> dict[str, Any]:
    """Run the worker's program, see there."""
    packages = home / "packages"
    if not packages.exists():
        link_soce(home)
    asked, told = home / "specification.json", home / "told.json"
    asked.write_text(json.dumps(specification))
    here = Path(__file__).parent
    environment = {
        **os.environ,
        **QUIET,
        "PYTHONPATH": os.pathsep.join([str(packages), str(here)]),
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }
    program = str(here / "engine_swap_worker.py")
    subprocess.run([python, program, str(asked), str(told)], env=environment, check=True)
    found: dict[str, Any] = json.loads(told.read_text())
    return found


def anonymous_bytes() -> int:
    """Return the bytes of this process's descendants that no file backs, shared ones counted once."""
    total = 0
    for process in descendants(os.getpid()):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Pss_Anon:", "Pss_Shmem:")):
                total += int(line.split()[1]) * 1024
    return total


def engine(python: str, paths: list[str], mixed: int, rounds: int) -> dict[str, Any]:
    """Time soups of the first ingredients over a socket, pause and drop of the cache included."""
    os.environ.update(QUIET)
    words = ("--enforce-eager", "--max-model-len", "512", "--max-num-seqs", "4")
    served = VllmEngine(paths, EngineOptions(python=python, arguments=words))
    try:
        begin = time.perf_counter()
        served.start()
        started = time.perf_counter() - begin
        served.open(paths)
        for recipe in recipes(paths, 3):
            served.become(recipe)
        seconds = []
        for recipe in recipes(paths[:mixed], rounds):
            begin = time.perf_counter()
            served.become(recipe)
            seconds.append(time.perf_counter() - begin)
        memory = anonymous_bytes()
    finally:
        served.close()
    median = statistics.median(seconds)
    return {"start": started, "seconds": seconds, "median": median, "anonymous_bytes": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--python", required=True)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--mixed", type=int, default=3, help="ingredients of the soups that are timed")
    parser.add_argument("--only", choices=("one", "two", "engine"), action="append")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.directory.mkdir(exist_ok=True)
    paths = checkpoints(options.directory / "smol", options.base)
    only = options.only or ("one", "two", "engine")
    result: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "cpus": os.cpu_count(),
        "load_average_before": os.getloadavg(),
        "ingredients": options.mixed,
    }

    def keep(name: str, found: dict[str, Any]) -> None:
        result[name] = found
        if options.out:
            options.out.write_text(json.dumps(result, indent=1) + "\n")

    for name, ranks in (("one", 1), ("two", 2)):
        if name in only:
            # Nine heads cannot be shared by two ranks.
            mixed = (
                paths if ranks == 1 else checkpoints(options.directory / "even", None, heads=8, key_heads=4)
            )
            mixed = mixed[: options.mixed]
            told = [recipe_to_json(recipe) for recipe in recipes(mixed, options.rounds + 1)]
            asked = {"ingredients": mixed, "recipes": told, "ranks": ranks}
            keep(f"ranks_{ranks}", ways(options.directory, options.python, asked))
    if "engine" in only:
        for count in (2, COUNT):
            found = engine(options.python, paths[:count], options.mixed, options.rounds)
            keep(f"engine_of_{count}_ingredients", found)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
