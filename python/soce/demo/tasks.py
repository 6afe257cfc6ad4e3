"""The demo's two benchmarks as task files, in the format every evaluator of soce reads."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from soce.demo.data import benchmark

if TYPE_CHECKING:
    from pathlib import Path


def write_tasks(split: str, path: Path) -> None:
    r"""Write the items of ``dev`` or ``test``, one JSON object per line.

    Each has ``kind`` (``teacher_forced``: right if every token of the answer is the likeliest one after the
    right ones before it), ``category``, ``id`` (unique in its category over both splits), ``prompt`` and
    ``answer``. The answer ends with ``</s>``: knowing when to stop is part of it.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "dev.jsonl")
    ...     write_tasks("dev", path)
    ...     print(path.read_text(encoding="utf-8").splitlines()[0][:58])
    {"kind": "teacher_forced", "category": "num_en", "id": "de
    """
    lines = []
    numbers: Counter[str] = Counter()
    for item in benchmark(split):
        numbers[item.category] += 1
        task = {
            "kind": "teacher_forced",
            "category": item.category,
            "id": f"{split}-{numbers[item.category]:03}",
            "prompt": item.prompt,
            "answer": f"{item.answer}</s>",
        }
        lines.append(json.dumps(task, ensure_ascii=False) + "\n")
    path.write_text("".join(lines), encoding="utf-8", newline="\n")
