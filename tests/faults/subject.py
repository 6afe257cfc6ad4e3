"""What the faults are injected into: three small ingredients of six shards, and the soups made of them."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.checkpoints import Tensors, checkpoint, state_of
from tests.faults import inject
from tests.faults.decisions import Call, Decision, Kill

SHARDS = 6
MUCH = 1 << 28
"""Bytes of inputs that are not read after every run: their times tell."""
STATE = ".soce-partial"
COMMON = ("--num-threads", "1", "--chunk-bytes", "8192")


@dataclass(frozen=True)
class Scenario:
    """A command, and what it makes. Paths are relative to the home of a subject, outputs to `out/` in it."""

    name: str
    arguments: tuple[str, ...]
    outputs: tuple[str, ...]
    replaces: bool = False
    """A soup of other weights lies at the output before."""
    begun: bool = False
    """An earlier run was killed when it had finished some shards."""


_ONE = ("in/A=1", "in/B=2", "in/C=3", "-o", "out/soup", *COMMON)
PLAIN = Scenario("plain", _ONE, ("soup",))
FULL = Scenario("full", (*_ONE, "--digests", "full"), ("soup",))
OVERWRITE = Scenario("overwrite", (*_ONE, "--overwrite"), ("soup",), replaces=True)
RECIPES = Scenario(
    "recipes", ("--recipes", "in/grid.json", "-o", "out/soups", *COMMON), ("soups/left", "soups/right")
)
BEGUN = Scenario("begun", _ONE, ("soup",), begun=True)
FOUR = Scenario("four threads", (*_ONE[:-4], "--num-threads", "4", "--chunk-bytes", "4096"), ("soup",))
FAST = Scenario("fast", _ONE[:-4], ("soup",))
PARTS = Scenario("parts", ("in/parts/A=1", "in/parts/B=2", "-o", "out/soup", *COMMON), ("soup",))
_OLD = Scenario("old", ("in/A", "in/B", "in/C", "-o", "out/soup"), ("soup",))
_GRID = {
    "ingredients": {name: name for name in "ABC"},
    "recipes": {"left": {"A": 1, "B": 2, "C": 3}, "right": {"A": 5, "B": 1, "C": 1}},
}


def ingredient(path: Path, seed: int, *, elements: int = 4096, shards: int = SHARDS) -> Path:
    """Write one ingredient: each shard has a tensor of F32, one of BF16 and, the same in all, one of I64."""
    random = np.random.default_rng(seed)
    files: list[Tensors] = []
    for shard in range(shards):
        wide = random.standard_normal(elements, dtype=np.float32)
        narrow = random.standard_normal(elements, dtype=np.float32).view(np.uint32) >> 16
        files.append(
            {
                f"layer.{shard}.wide": ("F32", [64, elements // 64], wide.tobytes()),
                f"layer.{shard}.narrow": ("BF16", [elements], narrow.astype("<u2").tobytes()),
                f"layer.{shard}.ids": ("I64", [16], np.arange(16, dtype="<i8").tobytes()),
            }
        )
    checkpoint(path, *files)
    (path / "tokenizer_config.json").write_text("{}")
    return path


def parted(path: Path, seed: int, *, elements: int = 4096) -> Path:
    """Write an ingredient of three parts: one of two shards, one of as many in a folder, and one without tensors."""
    ingredient(path, seed, elements=elements, shards=2)
    ingredient(path / "2_Dense", seed + 1, elements=elements, shards=2)
    (path / "1_Pooling").mkdir()
    (path / "1_Pooling/config.json").write_text("{}")
    folders = {"": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense"}
    modules = [{"path": folder, "type": f"x.{kind}"} for folder, kind in folders.items()]
    (path / "modules.json").write_text(json.dumps(modules))
    return path


class Subject:
    """A home with ingredients in `in/`, room in `out/`, and what undisturbed runs make of each scenario."""

    def __init__(self, home: Path, scenarios: Collection[Scenario], **size: int) -> None:
        self.home = home
        for seed, name in enumerate("ABC"):
            ingredient(home / "in" / name, seed, **size)
        if PARTS in scenarios:
            for seed, name in enumerate("AB"):
                parted(home / "in/parts" / name, seed)
        (home / "in/grid.json").write_text(json.dumps(_GRID))
        (home / "out").mkdir()
        for scenario in (_OLD, *scenarios):
            self.begin(scenario)
            done = inject.command([*scenario.arguments, "--quiet"], cwd=home)
            assert (done.code, done.out, done.err) == (0, "", ""), done
            shutil.copytree(home / "out", home / "references" / scenario.name)
            if scenario.begun:
                self._begin_and_die(scenario)
        self._inputs = self._look()

    def begin(self, scenario: Scenario) -> None:
        """Put `out/` in the state before the command."""
        shutil.rmtree(self.home / "out")
        (self.home / "out").mkdir()
        if scenario.replaces:
            shutil.copytree(self.old, self.home / "out/soup")
        if scenario.begun and self._begun.exists():
            shutil.copytree(self._begun, self.home / "out", dirs_exist_ok=True)

    @property
    def _begun(self) -> Path:
        return self.home / "begun"

    def _begin_and_die(self, scenario: Scenario) -> None:
        """Keep what a run leaves that is killed after the third shard."""
        self.begin(scenario)
        (output,) = self.outputs(scenario)

        def decide(call: Call) -> Decision:
            return Kill() if len(finished(output)) == 3 else None

        died = inject.run(scenario.arguments, decide, cwd=self.home, places=[self.home / "out"])
        assert died.code == -signal.SIGKILL, died
        shutil.copytree(self.home / "out", self._begun)

    @property
    def old(self) -> Path:
        """The soup that is replaced."""
        return self.home / "references/old/soup"

    def outputs(self, scenario: Scenario) -> dict[Path, Path]:
        """Return each output with its reference."""
        return {
            self.home / "out" / name: self.home / "references" / scenario.name / name
            for name in scenario.outputs
        }

    def inputs_changed(self) -> list[str]:
        """Return the files below `in/` that are not as they were made: size, mode, time of change, bytes."""
        now = self._look()
        return sorted(name for name in now.keys() | self._inputs if now.get(name) != self._inputs.get(name))

    def _look(self) -> dict[str, tuple[object, ...]]:
        files = [path for path in (self.home / "in").rglob("*") if path.is_file()]
        if sum(file.stat().st_size for file in files) < MUCH:
            return dict(state_of(self.home / "in"))
        stats = [(file, file.stat()) for file in files]
        return {str(f): (s.st_size, s.st_mode, s.st_mtime_ns, s.st_ctime_ns) for f, s in stats}


def state(output: Path) -> Path:
    """Return the directory in which an output grows."""
    return output.with_name(output.name + STATE)


def finished(output: Path) -> dict[str, int]:
    """Return the shards that a journal calls finished, by name, with the inodes of their files."""
    journal = state(output) / "journal.jsonl"
    names = []
    if journal.exists():
        for line in journal.read_bytes().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break  # cut short: never finished
            entry = json.loads(line)["entry"]
            if entry["entry"] == "shard":
                names.append(entry["name"])
    files = {name: state(output) / "payload" / name for name in names}
    return {name: file.stat().st_ino for name, file in files.items() if file.exists()}
