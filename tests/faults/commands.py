"""`soce-merge` in a process of its own: as whom it runs, what it prints, and what lies around it before and after."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from tests.checkpoints import Tensors, checkpoint

NOBODY = 65534
"""A user and a group without any rights, on every Linux."""
STATE_SUFFIX = ".soce-partial"
# A test run in the background of a shell ignores SIGINT, and so would its children.
_HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{_HEED}; from soce.cli.merge import main; main()"]
# The interpreter may lie where only its owner can read, so everything is loaded before the rights are given up.
_AS_NOBODY = f"""
import encodings.ascii, encodings.idna, importlib, os, pkgutil, sys
import soce.cli.merge, soce.merging, soce.recipes, yaml
for found in pkgutil.iter_modules(soce.recipes.__path__):
    importlib.import_module("soce.recipes." + found.name)
for name in soce.__all__:
    if name in ("merge", "merge_all", "OutputError"):
        getattr(soce, name)
from importlib import metadata
metadata.version("numpy"), metadata.version("soce") if [*metadata.distributions(name="soce")] else None
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
soce.cli.merge.main()
"""


def ingredient(path: Path, seed: int, *, shards: int = 6, elements: int = 100_000) -> Path:
    """Write an ingredient with a BF16 and an F32 tensor in every shard, 6 bytes an element together."""
    random = np.random.default_rng(seed)
    files: list[Tensors] = []
    for shard in range(shards):
        wide = random.standard_normal(elements, dtype=np.float32)
        narrow = (random.standard_normal(elements, dtype=np.float32).view(np.uint32) >> 16).astype("<u2")
        files.append(
            {
                f"layers.{shard}.wide": ("F32", [elements], wide.tobytes()),
                f"layers.{shard}.narrow": ("BF16", [elements], narrow.tobytes()),
            }
        )
    checkpoint(path, *files)
    (path / "tokenizer_config.json").write_text("{}")
    return path


def run(*arguments: object, nobody: bool = False, **options: object) -> subprocess.CompletedProcess[str]:
    """Run `soce-merge` to its end; `nobody` takes all rights from it."""
    command = [sys.executable, "-c", _AS_NOBODY] if nobody else COMMAND
    options = {"timeout": 200, "check": False} | options
    return subprocess.run(
        [*command, *(os.fsencode(os.fspath(word)) if isinstance(word, Path) else str(word) for word in arguments)],
        capture_output=True,
        text=True,
        errors="surrogateescape",
        **options,
    )  # fmt: skip


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the error lines of a run that failed as it should: exit code 1, nothing on stdout, no traceback."""
    assert (done.returncode, done.stdout) == (1, ""), done
    assert "Traceback" not in done.stderr
    control = [c for c in done.stderr if (c < " " and c != "\n") or "\x7f" <= c <= "\x9f"]
    assert control == [], done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert all(line.startswith(("error: ", "hint: ", "warning: ", "averaging ", "continuing ")) for line in lines), lines
    return [line for line in lines if line.startswith("error: ")]


def error(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one error line of a run that failed as it should."""
    (line,) = errors(done)
    return line


Picture = dict[str, tuple[object, ...]]


def picture(*roots: Path) -> Picture:
    """Return all that can be seen below some paths: kind, mode, owner, size, time of change, links, content."""
    found: Picture = {}
    for root in roots:
        below = [os.path.join(at, name) for at, *names in os.walk(root) for name in (*names[0], *names[1])]
        for path in (os.fspath(root), *below):
            status = os.lstat(path)
            content: object = None
            if stat.S_ISLNK(status.st_mode):
                content = os.readlink(path)
            elif stat.S_ISREG(status.st_mode):
                content = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            found[path] = (
                *(status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns),
                *(status.st_ino, status.st_nlink, content),
            )
    return found


@contextmanager
def untouched(*roots: Path) -> Iterator[None]:
    """Assert that nothing below these paths changes meanwhile."""
    before = picture(*roots)
    yield
    assert picture(*roots) == before


def whole(soup: Path) -> dict[str, object]:
    """Return what two equal soups have in common: the bytes of every file, of the manifest only its result."""
    files = {path.name: path.read_bytes() for path in soup.iterdir() if path.is_file()}
    return files | {"soce.json": json.loads(files["soce.json"])["result"]}


def beside(output: Path) -> list[str]:
    """Return what runs have left in the directory of an output."""
    return sorted(name for name in os.listdir(output.parent) if "soce-" in name)


def journaled(output: Path) -> int:
    """Return how many shards the journal beside an output says are finished; 0 without one."""
    journal = output.with_name(output.name + STATE_SUFFIX) / "journal.jsonl"
    if not journal.exists():
        return 0
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return sum("shard" in line for line in lines)


def equal(one: Path, others: Sequence[Path]) -> bool:
    """Whether soups are equal."""
    return all(whole(one) == whole(other) for other in others)
