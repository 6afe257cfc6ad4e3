"""Measure the memory of a fit, `soce.fit`, for 2, 4 and 8 experts.

    python benches/fit.py [--layers 4] [--steps 2] [--experts 2 4 8] [--json FILE]

Makes Llamas of random BF16 weights, all different, in a temporary folder, and for each number of experts a
process that fits a row for each tensor. What stands in a column is above what the process took after imports:

peak       the most resident memory; pages of mapped files count, which the page cache lends and takes back
private    the most of it that is its own
second     wall seconds of a step, on this machine as it is
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

VOCABULARY, WIDTH = 8192, 1024


def make(home: Path, count: int, layers: int) -> None:
    """Write the experts and a few items."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = {"<s>": 0, "</s>": 1, "<unk>": 2, **{str(i): i + 3 for i in range(100)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=2816,
        num_hidden_layers=layers,
        num_attention_heads=16,
        max_position_embeddings=256,
    )
    for seed in range(count):
        torch.manual_seed(seed)
        model: Any = LlamaForCausalLM(config)
        model.to(torch.bfloat16).save_pretrained(home / f"expert{seed}")
        wrapped.save_pretrained(home / f"expert{seed}")
    items = [
        {"category": "a", "kind": "teacher_forced", "prompt": f"{i} {i + 1}", "answer": f" {i + 2} {i + 3}"}
        for i in range(8)
    ]
    (home / "tasks.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))


def status(key: str) -> int:
    """Return a number of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{key}:"))


def one(home: Path, count: int, steps: int) -> dict[str, float]:
    """Fit in this process, and return what it took."""
    import torch
    import transformers  # noqa: F401 - so that the baseline has it

    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.tasks.items import read_tasks
    from soce.fit.fit import Fit
    from soce.fit.options import FitOptions

    torch.ones(8, 8) @ torch.ones(8, 8)
    before, private = status("VmHWM"), status("RssAnon")
    most, done = [private], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            most.append(max(most.pop(), status("RssAnon")))

    watcher = threading.Thread(target=watch)
    watcher.start()
    experts = {f"expert{i}": str(home / f"expert{i}") for i in range(count)}
    soup = SoupModel([*experts.values()])
    begun = Fit(
        soup,
        experts,
        read_tasks(home / "tasks.jsonl"),
        home / f"fit{count}",
        FitOptions(steps=steps, batch=2),
    )
    times: list[float] = []
    begun.run(on_step=lambda *_: times.append(time.perf_counter()))
    done.set()
    watcher.join()
    return {
        "model": soup.nbytes,
        "peak": status("VmHWM") - before,
        "private": most[0] - private,
        "second": (times[-1] - times[0]) / steps,
    }


def main() -> None:
    """Print a line for each number of experts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--experts", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(Path(given.one[0]), int(given.one[1]), given.steps)))
        return
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), max(given.experts), given.layers)
        print("experts  model MB  all experts MB  peak MB  private MB  s/step")
        for count in given.experts:
            words = [__file__, "--steps", str(given.steps), "--one", folder, str(count)]
            told = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
            row = found[str(count)] = json.loads(told.stdout.splitlines()[-1])
            sizes = [row["model"], count * row["model"], row["peak"], row["private"]]
            print(f"{count:7}", *(f"{size / 1e6:9.0f}" for size in sizes), f"{row['second']:9.2f}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
