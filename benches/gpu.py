"""What only a machine with a CUDA device can tell, in less than ten minutes: `make gpu`.

    python benches/gpu.py [--seconds 600] [--engines ~/.cache/soce] [--output gpu.json] [--dry-run]

Runs in turn, each within its share of the time, and goes on after one that fails:

environment     vLLM's wheel for CUDA in an environment of its own, unless it is there already
devices         tests marked `gpu`: soups on a device, and a model laid over devices and the CPU, bit for bit
in process      a Llama of 1.2 billion parameters in BF16 in this process: time to the next soup, its bits
canary          tests of the canary on vLLM
swaps           vLLM's swap table: soups in place against fresh engines on what a merge publishes, bit for bit
one billion     a Llama of 1.2 billion parameters in BF16: start, time to the next soup, its bits on return
two devices     the same with tensor parallelism of 2, if there are two devices

What was found goes to standard output as JSON, and into the file. `--dry-run` runs nothing: it prints what
would be run after looking whether all of it is there. `--shape tiny --engine transformers` tries the steps of
a model out where there is no device.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VLLM = "vllm==0.32.*"
SHAPES: dict[str, dict[str, int]] = {
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128256,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "vocab_size": 256,
    },
}
TESTS: dict[str, tuple[str, list[str]]] = {
    "devices": ("gpu", ["tests/evaluate", "tests/engines"]),
    "canary": ("vllm", ["tests/engines/test_vllm_canary.py"]),
    "swaps": ("vllm", ["tests/engines/test_vllm_weights.py"]),
}
"""Step → marker, files."""
CASES = "llama-tied bfloat16,qwen2 bfloat16,mixtral bfloat16,llama-tied compiled"
"""Of the swap table: four of its eleven, as each starts an engine four times."""
SHARES = {
    "environment": 240,
    "devices": 90,
    "in process": 60,
    "canary": 90,
    "swaps": 240,
    "one billion": 120,
    "two devices": 120,
}
"""The most seconds of each."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--engines", type=Path, default=Path("~/.cache/soce"))
    parser.add_argument("--output", type=Path)
    parser.add_argument("--dry-run", action="store_true")
    parser.add_argument("--engine", choices=["vllm", "transformers", "in process"], default="vllm")
    parser.add_argument("--shape", choices=sorted(SHAPES))
    given = parser.parse_args()
    python = given.engines.expanduser() / "vllm-cuda" / "bin" / "python"
    if given.shape:
        if given.engine == "in process":
            print(json.dumps(soups_in_process(given.shape), indent=1))
        else:
            print(json.dumps(soups(given.engine, python, given.shape, n_devices=1), indent=1))
        return 0
    told = "\n".join(f"{name}: {' '.join(map(str, words))}" for name, words in commands(python).items())
    if given.dry_run:
        print(told)
        return max(map(collect, TESTS))
    found: dict[str, Any] = {"devices": devices(), "versions": versions(), "steps": {}}
    if not found["devices"]:
        print("there is no CUDA device here", file=sys.stderr)
        return 1
    end = time.monotonic() + given.seconds
    for name, words in commands(python).items():
        limit = min(SHARES[name], end - time.monotonic())
        found["steps"][name] = step(name, words, python, limit, len(found["devices"]))
        print(f"{name}: {found['steps'][name]['outcome']}", file=sys.stderr)
    text = json.dumps(found, indent=1)
    print(text)
    if given.output is not None:
        given.output.write_text(text + "\n")
    return int(any(one["outcome"] == "failed" for one in found["steps"].values()))


def commands(python: Path) -> dict[str, list[str]]:
    """Return what each step runs."""
    pip = shutil.which("uv")
    made = [pip, "pip", "install", "--python", str(python)] if pip else [str(python), "-m", "pip", "install"]
    soup = [sys.executable, __file__, "--engines", str(python.parent.parent.parent), "--shape", "1b"]
    tests = {
        name: [sys.executable, "-m", "pytest", "-q", "-m", marker, *files]
        for name, (marker, files) in TESTS.items()
    }
    in_process = [*soup, "--engine", "in process"]
    before, after = {"devices": tests.pop("devices")}, {"one billion": soup, "two devices": soup}
    return {"environment": [*made, VLLM], **before, "in process": in_process, **tests, **after}


def step(name: str, words: list[str], python: Path, seconds: float, n_devices: int) -> dict[str, Any]:
    """Run one step and return what came of it."""
    needs_vllm = name not in {"environment", "devices", "in process"}
    if name == "environment" and is_installed(python):
        return {"outcome": "there already"}
    if name == "two devices" and n_devices < 2:
        return {"outcome": "left out: there is one device"}
    if needs_vllm and not is_installed(python):
        return {"outcome": "left out: there is no vLLM"}
    if seconds < 10:
        return {"outcome": "left out: the time is up"}
    if name == "environment":
        subprocess.run([sys.executable, "-m", "venv", python.parent.parent], check=True)
    told = {**os.environ, "SOCE_VLLM_PYTHON": str(python), "SOCE_VLLM_CASES": CASES}
    told["SOCE_DEVICES"] = "2" if name == "two devices" else "1"
    begin = time.monotonic()
    try:
        done = subprocess.run(
            words, cwd=ROOT, env=told, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return {"outcome": "failed", "seconds": round(seconds, 1), "why": "it did not end in time"}
    took = {"seconds": round(time.monotonic() - begin, 1)}
    if done.returncode:
        return {"outcome": "failed", **took, "why": (done.stdout + done.stderr)[-2000:]}
    if "--shape" in words:
        return {"outcome": "done", **took, "found": json.loads(done.stdout)}
    return {"outcome": "done", **took, "last": done.stdout.strip().splitlines()[-1:]}


def is_installed(python: Path) -> bool:
    return (
        python.exists()
        and not subprocess.run(
            [python, "-c", "import importlib.metadata as m; m.version('vllm')"],
            capture_output=True,
            check=False,
        ).returncode
    )


def collect(name: str) -> int:
    """Return 0 if a step's tests are there."""
    marker, files = TESTS[name]
    words = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-m", marker, *files]
    return subprocess.run(words, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode


def devices() -> list[dict[str, Any]]:
    import torch

    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [{"name": one.name, "bytes": one.total_memory} for one in found]


def versions() -> dict[str, str]:
    import torch
    import transformers

    import soce

    return {
        "soce": soce.__version__,
        "torch": str(torch.__version__),
        "transformers": transformers.__version__,
    }


def soups(engine: str, python: Path, shape: str, *, n_devices: int) -> dict[str, Any]:
    """Start an engine on two models of a shape, and time its soups."""
    from soce import Recipe
    from soce.evaluate.engines.engine import EngineOptions
    from soce.evaluate.served.model import ServedModel

    n_devices = int(os.environ.get("SOCE_DEVICES", n_devices))
    with tempfile.TemporaryDirectory() as home:
        paths = make_models(Path(home), SHAPES[shape])
        arguments = ["--tensor-parallel-size", str(n_devices), "--max-model-len", "1024"]
        options = EngineOptions() if engine != "vllm" else EngineOptions(str(python), tuple(arguments))
        model, start_seconds = timed(lambda: ServedModel.start(paths, engine, options))  # type: ignore[arg-type]
        try:
            first, second = (Recipe.of({path: 1}) for path in paths)
            mixes = [Recipe.of({paths[0]: i, paths[1]: 7 - i}) for i in range(1, 7)]
            model.set(first)
            said = answer(model)
            seconds = [timed(lambda mix=mix: model.set(mix))[1] for mix in (*mixes, second, first)]  # type: ignore[misc]
            if answer(model) != said:
                message = "back at the first model it answers otherwise"
                raise SystemExit(message)
            return {
                "engine": dict(model.identity),
                "bytes": model.nbytes,
                "start_seconds": round(start_seconds, 2),
                "mixing_once_seconds": round(mixing_seconds(paths), 3),
                "swap_seconds": [round(one, 3) for one in seconds],
                "canary": model.client.get("/recipe")["canary"],
            }
        finally:
            model.close()


def soups_in_process(shape: str) -> dict[str, Any]:
    """Time soups of two models of a shape in this process, and compare one with what is mixed on the CPU."""
    import torch

    from soce import Recipe
    from soce.evaluate.live.mixing import torch_dtype
    from soce.evaluate.live.soup_model import SoupModel

    with tempfile.TemporaryDirectory() as home:
        paths = make_models(Path(home), SHAPES[shape])
        model, start_seconds = timed(lambda: SoupModel(paths))
        device = next(model.model.parameters()).device

        def swap(recipe: Recipe) -> None:
            model.set(recipe)
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        mixes = [Recipe.of({paths[0]: i, paths[1]: 7 - i}) for i in range(1, 7)]
        seconds = [timed(lambda mix=mix: swap(mix))[1] for mix in mixes]  # type: ignore[misc]
        rows, mixer = model._mixer.rows(mixes[-1]), model._mixer
        for name, parameter in model.model.named_parameters():
            if name in mixer.tensors:
                mixed = torch.empty(parameter.shape, dtype=torch_dtype(mixer.published(name)))
                mixer.mix(name, rows[name], mixed)
                if not torch.equal(mixed.view(torch.uint8), parameter.detach().cpu().view(torch.uint8)):
                    message = f"`{name}` is not what is mixed on the CPU"
                    raise SystemExit(message)
        return {
            "device": str(device),
            "bytes": model.nbytes,
            "resident_bytes": model._residents.nbytes if model._residents else 0,
            "start_seconds": round(start_seconds, 2),
            "mixing_once_seconds": round(mixing_seconds(paths), 3),
            "swap_seconds": [round(one, 3) for one in seconds],
        }


def timed(act: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    made = act()
    return made, time.perf_counter() - begin


def answer(model: Any) -> object:  # noqa: ANN401 - a ServedModel
    body = {"model": model.model, "prompt": list(range(5, 200, 3)), "max_tokens": 8, "temperature": 0}
    return model.client.post("/v1/completions", {**body, "logprobs": 1, "prompt_logprobs": 0})["choices"]


def mixing_seconds(paths: list[str]) -> float:
    """Return what mixing every tensor once into memory takes, which no swap can be faster than."""
    import torch

    from soce import MergeOptions, Recipe
    from soce.evaluate.live.mixing import SoupMixer, torch_dtype

    mixer = SoupMixer(paths, MergeOptions())
    rows = mixer.rows(Recipe.of(paths))
    room = torch.zeros(max(map(mixer.size, mixer.tensors)), dtype=torch.uint8)

    def mix() -> None:
        for name in mixer.tensors:
            mixer.mix(name, rows[name], room[: mixer.size(name)].view(torch_dtype(mixer.published(name))))

    return min(timed(mix)[1] for _ in range(3))


def make_models(home: Path, shape: dict[str, int]) -> list[str]:
    """Save two models with random tensors, and a tokenizer of characters."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from soce.demo.training import make_tokenizer

    tokenizer = make_tokenizer()
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    config = AutoConfig.for_model(
        "llama", **shape, **ends, tie_word_embeddings=True, max_position_embeddings=2048
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    auto: Any = AutoModelForCausalLM
    paths = []
    for seed in range(2):
        torch.manual_seed(seed)
        with torch.device(device):
            model = auto.from_config(config, dtype=torch.bfloat16)
        paths.append(str(home / f"model{seed}"))
        model.save_pretrained(paths[-1])
        tokenizer.save_pretrained(paths[-1])
        del model
    if device == "cuda":
        torch.cuda.empty_cache()
    return paths


if __name__ == "__main__":
    sys.exit(main())
