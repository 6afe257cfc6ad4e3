"""Time BFCL's harness alone: its categories on a model that answers at once.

    python benches/bfcl.py TOKENIZER [--bfcl-python PYTHON] [--categories all_scoring] [--json FILE]

TOKENIZER is a checkpoint directory, of which only tokenizer and chat template are read. The model makes one
call at each turn of a user, and then says that it is done. Time of the processors is that of all processes of
BFCL; on a machine that does other things it says more than the clock.
"""

import argparse
import json
import os
import platform
import resource
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from soce.evaluate.bfcl.categories import chosen_categories
from soce.evaluate.bfcl.process import Exam, ask, describe

CALL, DONE = "[f(x=1)]", "Done."


class Model:
    """Answers at once, and counts what it is asked."""

    def __init__(self) -> None:
        self.n_requests = 0
        self._lock = threading.Lock()

    def post(self, path: str, body: Any) -> dict[str, Any]:  # noqa: ANN401
        """Return a call, or that it was done, in the form of OpenAI's completions."""
        del path
        with self._lock:
            self.n_requests += 1
        text = DONE if "f(x=1)" in body["prompt"].rpartition("user")[2] else CALL
        return {
            "id": "1",
            "object": "text_completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "text": text, "finish_reason": "stop", "logprobs": None}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }


def main() -> None:
    """Measure, and print it."""
    cache = Path.home() / ".cache/soce/bfcl/bin/python"
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--bfcl-python", default=str(cache))
    parser.add_argument("--categories", default="all_scoring")
    parser.add_argument("--threads", type=int, default=16)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    categories = chosen_categories(given.categories.split(","))
    with Timed() as opening:
        told = describe(given.bfcl_python, categories=categories, handler=None, ingredients=[[]])
    items = {name: list(found) for name, found in told["items"].items()}
    model = Model()
    with Timed() as scoring:
        exam = Exam(items, None, 4096, 1 << 30)
        ask(
            given.bfcl_python,
            exam,
            client=model,
            model="none",
            tokenizer=given.tokenizer,
            threads=given.threads,
        )
    first = {name: ids[:1] for name, ids in items.items() if name == categories[0]}
    with Timed() as least:
        exam = Exam(first, None, 4096, 1 << 30)
        ask(given.bfcl_python, exam, client=model, model="none", tokenizer=given.tokenizer, threads=1)
    found = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors",
        "load": list(os.getloadavg()),
        "categories": len(items),
        "items": sum(map(len, items.values())),
        "requests": model.n_requests - 1,
        "open": opening.told,
        "score": scoring.told,
        "score_one_item": least.told,
    }
    print(json.dumps(found, indent=1))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=1) + "\n")


class Timed:
    """Seconds by the clock, and of processors in processes that ended."""

    told: Mapping[str, float]

    def __enter__(self) -> Self:
        self._begin = time.perf_counter(), _processors()
        return self

    def __exit__(self, *_: object) -> None:
        clock, processors = self._begin
        self.told = {
            "seconds": round(time.perf_counter() - clock, 1),
            "processor_seconds": round(_processors() - processors, 1),
        }


def _processors() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
