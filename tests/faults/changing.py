"""A subject whose inputs get changed while, or between when, they are merged."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.checkpoints import state_of
from tests.faults import inject
from tests.faults.compare import differences
from tests.faults.decisions import Call, Decision, Kill
from tests.faults.inject import Outcome
from tests.faults.subject import PLAIN, SHARDS, Subject, finished, ingredient

NAMES = inject.OUTPUT_SIDE | {"read", "pread64", "getdents64", "mmap"}
Change = Callable[[Path, Path], None]
"""Does something to a shard; the second path is a valid shard of the same layout with other bytes."""


def cut(shard: Path, spare: Path) -> None:
    os.truncate(shard, shard.stat().st_size // 3)


def empty(shard: Path, spare: Path) -> None:
    os.truncate(shard, 0)


def replace(shard: Path, spare: Path) -> None:
    shutil.copy(spare, shard.with_name("new"))
    shard.with_name("new").replace(shard)


def delete(shard: Path, spare: Path) -> None:
    shard.unlink()


def rewrite(shard: Path, spare: Path) -> None:
    """Write other bytes into the file and put the time of its last change back."""
    before = shard.stat()
    with shard.open("r+b") as file:
        file.write(spare.read_bytes())
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))


def close_off(shard: Path, spare: Path) -> None:
    shard.chmod(0)


CHANGES: list[Change] = [cut, empty, replace, delete, rewrite, close_off]


class Changing:
    """A subject whose inputs get changed and put back."""

    def __init__(self, home: Path, **size: int) -> None:
        (home / "subject").mkdir(parents=True)
        self.subject = Subject(home / "subject", (PLAIN,), **size)
        self.pristine = home / "pristine"
        shutil.copytree(self.subject.home / "in", self.pristine)
        self.spare = ingredient(home / "spare", 99, **size)
        self.counts: Counter[str] = Counter()

    def put_back(self) -> None:
        """Give the inputs their bytes, modes and times again; inode and ctime are new, as after any repair."""
        for file in self.pristine.rglob("*"):
            if file.is_file():
                path = self.subject.home / "in" / file.relative_to(self.pristine)
                if not path.exists() or state_of(path) != {str(path): (*state_of(file)[str(file)],)}:
                    path.unlink(missing_ok=True)
                    shutil.copy2(file, path)
        assert self.subject.inputs_changed() == []

    def run(self, arguments: list[str], **options: object) -> Outcome:
        return inject.run([*PLAIN.arguments, *arguments], cwd=self.subject.home, **options)

    def check(
        self, change: Change, shard: str, run: Callable[[Callable[[], None]], Outcome], io: str
    ) -> None:
        """Have a run meet a change, and see what comes of it, of the next run, and of one after a repair."""
        path = self.subject.home / "in" / shard
        self.subject.begin(PLAIN)
        changed: list[bool] = []

        def now() -> None:
            if not changed:
                changed.append(True)
                change(path, self.spare / path.name)

        try:
            outcome = run(now)
            self.counts["runs"] += 1
            if not changed:  # it was over before
                now()
            self._first(outcome, path)
            self._second(path, io)
        finally:
            self.put_back()
        self._third(io)

    def check_between(self, change: Change, shard: str, number: int, options: list[str]) -> None:
        """Have a run killed, an input changed, and the command run again."""
        path = self.subject.home / "in" / shard
        self.subject.begin(PLAIN)
        self.made_of = "nothing"

        def kill(call: Call) -> Decision:
            return Kill() if call.number == number else None

        killed = self.run(options, decide=kill, places=[self.subject.home / "out"])
        assert killed.code == -signal.SIGKILL, killed
        self.counts["kills"] += 1
        self.counts["shards finished before"] += len(finished(self.output))
        try:
            change(path, self.spare / path.name)
            self._second(path, "auto", *options)
        finally:
            self.put_back()
        self._third("auto", *options)

    def _third(self, io: str, *options: str) -> None:
        """Run once more after the inputs were repaired."""
        if not self.output.exists():
            outcome = self.run(["--io", io, *options, "--restart"])
            assert outcome.code == 0, outcome
        if self.made_of != "inputs as they are now":
            assert differences(self.output, self.reference) == []

    @property
    def output(self) -> Path:
        return self.subject.home / "out/soup"

    @property
    def reference(self) -> Path:
        return self.subject.outputs(PLAIN)[self.output]

    def _first(self, outcome: Outcome, path: Path) -> None:
        """Judge the run that met the change."""
        assert outcome.code >= 0, f"died by {signal.Signals(-outcome.code).name}: {outcome}"
        assert outcome.code in {0, 1}, outcome
        assert "Traceback" not in outcome.err, outcome
        if outcome.code == 0:
            self.made_of = self._made_of()
            self.counts[f"a soup of {self.made_of}"] += 1
        else:
            self.made_of = "nothing"
            self.counts["an error"] += 1
            assert not self.output.exists(), outcome
            assert f"in/{path.parent.name}" in outcome.err, outcome
            assert path.name in outcome.err, outcome

    def _second(self, path: Path, io: str, *options: str) -> None:
        """Run again with the inputs as they are now: old and new bytes never meet."""
        if self.output.exists():
            return
        outcome = self.run(["--io", io, *options])
        assert outcome.code in {0, 1}, outcome
        if outcome.code == 0:
            self.made_of = self._made_of()
            self.counts[f"then a soup of {self.made_of}"] += 1
        else:
            self.counts["then refused"] += 1
            assert path.name in outcome.err or "--restart" in outcome.err, outcome

    def _made_of(self) -> str:
        """Return of which inputs the soup was made; fail if of none that ever were there together."""
        if not differences(self.output, self.reference):
            return "inputs as they were"
        fresh = self.subject.home / "out/fresh"
        again = inject.run(["in/A=1", "in/B=2", "in/C=3", "-o", "out/fresh"], cwd=self.subject.home)
        assert again.code == 0, f"a soup was made, but cannot be: {again}"
        wrong = [found for found in differences(self.output, fresh) if "plan_digest" not in found]
        shutil.rmtree(fresh)
        assert wrong == [], f"a wrong soup: {wrong}"
        return "inputs as they are now"


def all_shards() -> list[str]:
    return [f"{name}/model-{i:05}-of-{SHARDS:05}.safetensors" for name in "ABC" for i in range(1, SHARDS + 1)]


def at_call(changing: Changing, number: int, io: str) -> Callable[[Callable[[], None]], Outcome]:
    """Return a run in which the change happens while a call waits."""

    def run(now: Callable[[], None]) -> Outcome:
        def decide(call: Call) -> None:
            if call.number == number:
                now()

        home = changing.subject.home
        return changing.run(["--io", io], decide=decide, places=[home / "in", home / "out"], names=NAMES)

    return run


def count_calls(changing: Changing, io: str) -> int:
    changing.subject.begin(PLAIN)
    outcome = at_call(changing, -1, io)(lambda: None)
    assert outcome.code == 0, outcome
    return len(outcome.calls)
