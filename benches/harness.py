"""Time lm-evaluation-harness per candidate: in process on a live model, or its command line on a checkpoint.

    python benches/harness.py [--rounds 5] [--json FILE]

Makes three tiny checkpoints of the demo's shape, untrained, and six tasks of 25 questions with four choices:
600 log-likelihoods. Rounds go through both ways in turn, with a new candidate each; the first is unmeasured.

in process      `LmEvalEvaluator.score`: sets the weights and evaluates, in a process that has loaded model
                and tasks. What loading took, imports included, is told apart: a search pays it once.
command line    `soce.merge` without fsync, then `lm_eval run` on what it wrote, a new process for each

Nothing is shown unless both give the same scores, of every task and every candidate. Both run on the CPU, on
as many threads as torch takes by itself, and find the tasks' data in the cache of `datasets`. Models this
small are faster on one: set OMP_NUM_THREADS=1, which both heed. What a new process pays does not depend on
the number of questions, so the ratio is one of short evaluations: it falls towards one as they grow, while
the seconds saved stay.
"""

import argparse
import importlib.metadata
import importlib.util
import json
import math
import multiprocessing
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import soce
from in_place import recipes
from soce.demo.data import CATEGORIES, benchmark
from soce.demo.training import make_config, make_tokenizer

SEED = 0
INGREDIENTS = 3
TASKS = CATEGORIES[:6]
QUESTIONS, CHOICES = 25, 4
BATCH_SIZE = 16
# A score of 25 questions right or wrong hides much; the Brier score moves with every log-likelihood.
METRICS = {task: "brier_score" if place % 2 else "acc" for place, task in enumerate(TASKS)}
OFFLINE = {
    "CUDA_VISIBLE_DEVICES": "",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_OFFLINE": "1",
}
TOLERANCE = 1e-12  # relative; both run the same batches


def make_models(home: Path) -> list[str]:
    """Save untrained models, far enough from uniform predictions to answer differently."""
    import torch
    import transformers

    hub: Any = transformers
    hub.utils.logging.disable_progress_bar()
    paths = []
    for place in range(INGREDIENTS):
        torch.manual_seed(SEED + place)
        model = hub.LlamaForCausalLM(make_config())
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(4)
        path = home / f"ingredient-{place}"
        model.save_pretrained(path)
        make_tokenizer().save_pretrained(path)
        paths.append(str(path))
    return paths


def write_tasks(home: Path) -> None:
    """Write questions of the demo as tasks of the harness; wrong choices are answers to other questions."""
    draw = random.Random(SEED)
    items = benchmark("dev")
    for task, metric in METRICS.items():
        mine = [item for item in items if item.category == task]
        rows = []
        for item in mine[:QUESTIONS]:
            others = sorted({other.answer for other in mine} - {item.answer})
            choices = draw.sample(others, CHOICES - 1)
            gold = draw.randrange(CHOICES)
            choices.insert(gold, item.answer)
            rows.append({"prompt": item.prompt, "choices": choices, "gold": gold})
        data = home / f"{task}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        config = {
            "task": f"bench_{task}",
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{prompt}}",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "{{gold}}",
            "target_delimiter": "",
            "metric_list": [
                {
                    "metric": metric,
                    "aggregation": "mean" if metric == "acc" else metric,
                    "higher_is_better": metric == "acc",
                }
            ],
        }
        (home / f"{task}.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML


def command_line(checkpoint: Path, tasks: Path, output: Path) -> dict[str, float]:
    """Let the harness's own program score a checkpoint; return the score of each task."""
    options = {
        "--model": "hf",
        "--model_args": f"pretrained={checkpoint}",
        "--tasks": ",".join(f"bench_{task}" for task in TASKS),
        "--include_path": str(tasks),
        "--batch_size": str(BATCH_SIZE),
        "--device": "cpu",
        "--output_path": str(output),
    }
    words = [word for option in options.items() for word in option]
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"error: `lm_eval run` ended with status {done.returncode}:\n{done.stderr[-2000:]}")
    (path,) = output.rglob("results_*.json")
    found = json.loads(path.read_text(encoding="utf-8"))["results"]
    return {f"bench_{task}": found[f"bench_{task}"][f"{metric},none"] for task, metric in METRICS.items()}


def check_same(ours: Mapping[str, float], theirs: Mapping[str, float]) -> None:
    for task, score in theirs.items():
        if not math.isclose(ours[task], score, rel_tol=TOLERANCE):
            sys.exit(f"error: `{task}` scores {ours[task]!r} in process and {score!r} on the command line")


def run(home: Path, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every part of every measured round."""
    tasks = home / "tasks"
    tasks.mkdir()
    write_tasks(tasks)
    # In a process of its own: set-up is to find nothing imported.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        models = pool.submit(make_models, home).result()

    start = time.perf_counter()
    from soce.evaluate.lm_eval.evaluator import LmEvalEvaluator
    from soce.evaluate.lm_eval.options import LmEvalOptions

    options = LmEvalOptions(include_path=tasks, metric="acc brier_score", batch_size=BATCH_SIZE)
    evaluator = LmEvalEvaluator(models, [f"bench_{task}" for task in TASKS], options)
    seconds: dict[str, list[float]] = {"set-up": [time.perf_counter() - start]}
    seconds |= {"in process": [], "merge": [], "lm_eval run": []}
    different = set()
    checkpoint, output = home / "soup", home / "output"
    for recipe in recipes(models, rounds + 1):
        times = [time.perf_counter()]
        found = evaluator.score(recipe)
        times.append(time.perf_counter())
        soce.merge(recipe, output=checkpoint, options=soce.MergeOptions(sync=False))
        times.append(time.perf_counter())
        theirs = command_line(checkpoint, tasks, output)
        times.append(time.perf_counter())
        ours = {name: category.score for name, category in found.categories.items()}
        check_same(ours, theirs)
        different.add(tuple(theirs.values()))
        for name, before, after in zip(list(seconds)[1:], times, times[1:], strict=False):
            seconds[name].append(after - before)
        shutil.rmtree(checkpoint)
        shutil.rmtree(output)
    evaluator.close()
    if len(different) < rounds + 1:
        sys.exit("error: two candidates score the same, so equal scores prove nothing")
    for name in list(seconds)[1:]:
        del seconds[name][0]  # unmeasured: pages, caches
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write all timings here")
    wanted = parser.parse_args()
    if wanted.rounds < 1:
        parser.error("--rounds is at least 1")
    missing = [name for name in ("lm_eval", "torch", "transformers") if not importlib.util.find_spec(name)]
    if missing:
        parser.exit(1, f"error: {', '.join(missing)} not installed: pip install 'soce[lm-eval]'\n")
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="soce-bench-") as folder:
        # Before anything of Hugging Face is imported, and for all children.
        os.environ |= {**OFFLINE, "HF_HOME": str(Path(folder, "hugging-face"))}
        seconds = run(Path(folder), wanted.rounds)
    whole = [sum(pair) for pair in zip(seconds["merge"], seconds["lm_eval run"], strict=True)]
    ours = statistics.median(seconds["in process"])
    ratio = statistics.median(whole) / ours
    print(
        f"{len(TASKS) * QUESTIONS * CHOICES} log-likelihoods, {wanted.rounds} rounds, "
        f"{len(os.sched_getaffinity(0))} CPUs, OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', '')}, "
        f"load average {load:.1f} before; all scores equal"
    )
    print(f"set-up, once {seconds['set-up'][0]:16.2f} s")
    print(f"{'per candidate':14} {'best':>10} {'median':>12}")
    for name, times in {
        "in process": seconds["in process"],
        "command line": whole,
        "  merge": seconds["merge"],
        "  lm_eval run": seconds["lm_eval run"],
    }.items():
        print(f"{name:14} {min(times):8.3f} s {statistics.median(times):10.3f} s")
    saved = statistics.median(whole) - ours
    print(f"medians: in process is {ratio:.1f} × as fast and saves {saved:.2f} s per candidate")
    if wanted.json:
        report = {
            "machine": platform.processor() or platform.machine(),
            "cpus": len(os.sched_getaffinity(0)),
            "omp_num_threads": os.environ.get("OMP_NUM_THREADS"),
            "load_average": {"before": load, "after": os.getloadavg()[0]},
            "python": platform.python_version(),
            "versions": {
                name: importlib.metadata.version(name) for name in ("lm_eval", "torch", "transformers")
            },
            "soce": soce.build_info(),
            "seed": SEED,
            "log_likelihoods": len(TASKS) * QUESTIONS * CHOICES,
            "batch_size": BATCH_SIZE,
            "seconds": seconds,
            "ratio": ratio,
        }
        wanted.json.write_text(json.dumps(report, indent=1, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
