"""Random merges in one process for as long as wanted, in little memory, every soup verified bit for bit.

    python -m tests.faults.soak --minutes 60 --memory 256M

Prints one JSON object. Exit code 1 if a soup was wrong, a merge failed, or memory or descriptors grew.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
from tests.faults import groups
from tests.faults.soak_models import (
    LARGEST_WHOLE,
    Architecture,
    differences,
    plain_architecture,
    transformers_architectures,
    write,
)

import soce

MIB = 1 << 20
GROWTH = 8 * MIB
"""Private memory that the trend of an hour may add. The C library keeps some megabytes a thread for the next time, and
how many depends on the largest merges so far: steps, ever rarer."""
USED_GROWTH = 2 * MIB
"""What is allocated and not freed may grow by so much in an hour, thousands of merges: Python's own bookkeeping."""
STATE_SUFFIX = ".soce-partial"
COMMAND = [sys.executable, "-c", "from soce.cli import main_merge; main_merge()"]
DTYPES = (["BF16"], ["F16"], ["F32"], ["F64"], ["BF16", "F32"], ["F16", "F32", "F64"])


@dataclass
class Sample:
    """This process at one moment."""

    minute: float
    anonymous: int
    resident: int
    used: int | None
    """Allocated by malloc and not freed; None where the C library does not tell."""
    descriptors: int
    threads: int
    merges: int


@dataclass
class Record:
    """What was done, and what was found."""

    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    mismatches: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)

    def sample(self, started: float) -> None:
        """Look at this process."""
        gc.collect()
        words = Path("/proc/self/status").read_text().split()
        anonymous, resident = (int(words[words.index(key) + 1]) << 10 for key in ("RssAnon:", "VmRSS:"))
        minute = (time.monotonic() - started) / 60
        count = self.counts["soups"]
        found = (sum(1 for _ in Path("/proc/self", kind).iterdir()) for kind in ("fd", "task"))
        self.samples.append(Sample(round(minute, 2), anonymous, resident, allocated(), *found, count))

    def settled(self) -> list[Sample]:
        """Return the samples after a sixth of the time."""
        return [sample for sample in self.samples if sample.minute >= self.samples[-1].minute / 6]

    def an_hour(self, name: str) -> float:
        """Return by how much something grows in an hour, by the line through the samples."""
        points = [(s.minute / 60, float(getattr(s, name) or 0)) for s in self.settled()]
        return float(np.polyfit(*np.transpose(points), 1)[0]) if len(points) > 2 else 0.0


@dataclass(frozen=True)
class Family:
    """Ingredients that fit each other."""

    architecture: str
    paths: tuple[Path, ...]
    bytes: int


class Soak:
    """One long run."""

    def __init__(self, home: Path, architectures: Sequence[Architecture], seed: int) -> None:
        self.home, self.architectures = home, architectures
        self.record = Record(seed)
        self.families: list[Family] = []
        self.step = 0

    def run(self, seconds: float, every: float, steps: int | None) -> None:
        """Merge until the time is up, or the steps are done."""
        started = last = time.monotonic()
        while time.monotonic() - started < seconds and self.step != steps:
            self.one()
            if time.monotonic() - last >= every or not self.record.samples:
                last = time.monotonic()
                self.record.sample(started)
                print(json.dumps(asdict(self.record.samples[-1])), file=sys.stderr, flush=True)
        self.record.sample(started)

    def one(self) -> None:
        """Do one random thing; everything about it follows from the seed and its number."""
        self.step += 1
        chance = random.Random(f"{self.record.seed}:{self.step}")
        if len(self.families) < min(4, len(self.architectures)) or chance.random() < 0.04:
            self.new_family(chance)
        family = chance.choice(self.families)
        kind = chance.choices(["merge", "merge_all", "killed", "refused", "stopped"], [50, 15, 20, 8, 7])[0]
        self.record.counts[kind] += 1
        try:
            getattr(self, kind)(family, chance)
        except Exception as error:  # whatever it is, it is a finding
            self.record.failures.append(f"step {self.step}, {kind}: {type(error).__name__}: {error}")
        for found in self.home.iterdir():
            if "soup" in found.name and not (found.name == "soup" and chance.random() < 0.3):
                shutil.rmtree(found)

    def new_family(self, chance: random.Random) -> None:
        """Write new ingredients; the oldest go."""
        architecture = chance.choice(self.architectures)
        home = self.home / f"family{self.step}"
        dtypes = chance.choice(DTYPES)
        paths = tuple(
            write(home / f"seed{n}", architecture, dtypes, chance.choice([1, 1, 2, 3, 7]), chance)
            for n in range(chance.randint(2, 5))
        )
        size = sum(file.stat().st_size for path in paths for file in path.iterdir())
        self.families.append(Family(architecture.name, paths, size))
        self.record.counts[f"ingredients of {architecture.name}"] += len(paths)
        if len(self.families) > 6:
            shutil.rmtree(self.families.pop(0).paths[0].parent)

    # ---- what can be done

    def merge(self, family: Family, chance: random.Random) -> None:
        """Merge in this process."""
        parts = random_parts(len(family.paths), chance)
        late = self.late(chance)
        plan = self.early(chance)
        soce.merge(
            weights(family.paths, parts), output=self.home / "soup", options=soce.MergeOptions(**plan, **late)
        )
        self.verify(self.home / "soup", family, parts, plan.get("dtype"), chance)

    def merge_all(self, family: Family, chance: random.Random) -> None:
        """Merge by several recipes at once."""
        recipes = {f"r{n}": random_parts(len(family.paths), chance) for n in range(chance.randint(2, 4))}
        plan = self.early(chance)
        given = {name: weights(family.paths, parts) for name, parts in recipes.items()}
        soce.merge_all(
            given, output=self.home / "soups", options=soce.MergeOptions(**plan, **self.late(chance))
        )
        for name, parts in recipes.items():
            self.verify(self.home / "soups" / name, family, parts, plan.get("dtype"), chance)

    def killed(self, family: Family, chance: random.Random) -> None:
        """Kill a process that merges, up to three times, and let the next one finish."""
        parts = random_parts(len(family.paths), chance)
        plan, late = self.early(chance), self.late(chance)
        output = self.home / "soup"
        old = fingerprint(output)
        command = [*COMMAND, *(f"{path}={part}" for path, part in zip(family.paths, parts, strict=True))]
        command += ["-o", str(output), "-q", *as_options(plan | late)]
        done = False
        for _ in range(chance.randint(1, 3)):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            state = self.home / ("soup" + STATE_SUFFIX)
            while process.poll() is None and not state.exists():
                time.sleep(0.001)
            time.sleep(chance.random() ** 2 * (0.01 + family.bytes / 4e8))
            process.kill()
            _, err = process.communicate()
            if process.returncode == 0:
                done = True
                break
            if process.returncode != -signal.SIGKILL:
                raise RuntimeError(f"exit code {process.returncode}: {err}")
            self.record.counts["kills"] += 1
            now = fingerprint(output)
            if now != old:  # killed after the rename: then it must be whole
                self.record.counts["kills after the commit"] += 1
                break
        if not done:
            report = soce.merge(
                weights(family.paths, parts),
                output=output,
                options=soce.MergeOptions(**plan | {"overwrite": True}, **late),
            )
            reused = json.loads(report.json).get("reused_shards", 0)
            self.record.counts["shards reused"] += reused
            self.record.counts["resumed"] += reused > 0
        self.verify(output, family, parts, plan.get("dtype"), chance)

    def refused(self, family: Family, chance: random.Random) -> None:
        """Ask for what cannot be done."""
        recipe = weights(family.paths, [1] * len(family.paths))
        try:
            match chance.randrange(3):
                case 0:
                    soce.merge(recipe | {str(self.home / "nowhere"): "1"}, output=self.home / "soup2")
                case 1:
                    soce.merge(recipe, output=family.paths[0] / "soup")
                case _:
                    soce.merge(recipe, output=self.home / "nowhere/soup")
        except soce.SoceError:
            return
        raise RuntimeError("it was done")

    def stopped(self, family: Family, chance: random.Random) -> None:
        """Let the callback end a merge, then go on."""
        parts = random_parts(len(family.paths), chance)
        plan, late = self.early(chance) | {"overwrite": True}, self.late(chance)

        class Enough(Exception):
            pass

        def stop(done: int, total: int) -> None:
            if done < total:
                raise Enough

        recipe = weights(family.paths, parts)
        try:
            soce.merge(
                recipe, output=self.home / "soup", on_progress=stop, options=soce.MergeOptions(**plan, **late)
            )
        except Enough:
            self.record.counts["stopped in time"] += 1
            soce.merge(recipe, output=self.home / "soup", options=soce.MergeOptions(**plan, **late))
        self.verify(self.home / "soup", family, parts, plan.get("dtype"), chance)

    # ---- how

    def early(self, chance: random.Random) -> dict[str, Any]:
        """Return random options that decide what is written."""
        options: dict[str, Any] = {}
        if (self.home / "soup").exists() or chance.random() < 0.1:
            options["overwrite"] = True
        if chance.random() < 0.4:
            options["dtype"] = chance.choice(["BF16", "F16", "F32", "F64"])
        if chance.random() < 0.5:
            options["max_shard_size"] = 1 << chance.randint(14, 25)
        return options

    def late(self, chance: random.Random) -> dict[str, Any]:
        """Return random options that decide how it is done, such that their buffers stay far below the limit."""
        threads = chance.choice([1, 2, 3, 8])
        return {
            "num_threads": threads,
            "chunk_bytes": chance.choice([None, 4096, 65536, 1 << 18, 4 << 20 >> threads.bit_length()]),
            "io": chance.choice(["auto", "mmap", "pread"]),
            "cache": chance.choice(["auto", "keep", "drop"]),
            "sync": chance.random() < 0.2,
            "digests": chance.choice(digest_levels()),
            "differences": chance.random() < 0.2,
        }

    def verify(
        self, soup: Path, family: Family, parts: Sequence[int], dtype: str | None, chance: random.Random
    ) -> None:
        """Compare a soup with its ingredients; nothing else may lie beside it."""
        self.record.counts["soups"] += 1
        self.record.counts[f"soups of {family.architecture}"] += 1
        found = differences(soup, family.paths, parts, dtype, chance)
        found += [f"left behind: {path.name}" for path in soup.parent.iterdir() if "soce-" in path.name]
        self.record.counts["bytes verified"] += sum(file.stat().st_size for file in soup.iterdir())
        if chance.random() < 0.25:
            looked = soce.verify(soup, recompute=family.paths, io=chance.choice(["mmap", "pread"]))
            found += [f"soce verify: {finding}" for finding in looked.findings]
            self.record.counts["soups through soce verify"] += 1
            self.record.counts["tensors recomputed"] += looked.checked.get("recomputed", 0)
        self.record.mismatches += [f"step {self.step}: {what}" for what in found]


def allocated() -> int | None:
    """Return what malloc has given out and not got back, as glibc counts it over all threads."""
    try:
        ask = ctypes.CDLL(None).mallinfo2
    except AttributeError:
        return None
    fields = (
        "arena",
        "ordblks",
        "smblks",
        "hblks",
        "hblkhd",
        "usmblks",
        "fsmblks",
        "uordblks",
        "fordblks",
        "keepcost",
    )

    class Information(ctypes.Structure):
        _fields_ = tuple((name, ctypes.c_size_t) for name in fields)

    ask.restype = Information
    found = ask()
    return int(found.uordblks + found.hblkhd)


def digest_levels() -> list[str]:
    """Return the levels that this version knows."""
    return list(get_args(get_type_hints(soce.MergeOptions)["digests"]))


def random_parts(count: int, chance: random.Random) -> list[int]:
    """Return parts whose sum the arithmetic of the verification bears; some may be 0."""
    while True:
        parts = [chance.choice([0, 1, 1, 2, 5, chance.randint(1, LARGEST_WHOLE // 8)]) for _ in range(count)]
        if 0 < sum(parts) <= LARGEST_WHOLE:
            return parts


def weights(paths: Sequence[Path], parts: Sequence[int]) -> dict[str, str]:
    """Return a recipe, its weights as text."""
    return {str(path): str(Fraction(part, 1)) for path, part in zip(paths, parts, strict=True)}


def as_options(options: dict[str, Any]) -> list[str]:
    """Return options of Python as options of the command."""

    def words() -> Iterator[str]:
        for name, value in options.items():
            flag = name.replace("_", "-")
            if isinstance(value, bool):
                if name == "sync":
                    yield "--sync" if value else "--no-sync"
                elif value:
                    yield f"--{flag}"
            elif value is not None:
                yield from (f"--{flag}", str(value))

    return list(words())


def fingerprint(soup: Path) -> object:
    """Return what tells one soup at a path from another."""
    manifest = soup / "soce.json"
    return (soup.stat().st_ino, manifest.read_bytes()) if manifest.exists() else None


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument(
        "--memory", default="256M", help="limit of the control group, in M; `none` for no group"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--steps", type=int, help="stop after so many steps, if the time is not up before")
    parser.add_argument(
        "--plain", action="store_true", help="no architectures of transformers: they take time to make"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soce-soak-") as home, ExitStack() as stack:
        here = Path(home)
        medium = (
            4 if given.steps is None else 1
        )  # some 40 MB in BF16; what only a few steps use need not be so large
        architectures = [
            plain_architecture("plain-small", 24, 2, 99),
            plain_architecture("plain-odd", 17, 3, 31),
            plain_architecture("plain-medium", 512, medium, 4000),
        ]
        if not given.plain:
            architectures += transformers_architectures(here / "architectures")
        group = None
        if given.memory != "none":
            limit = int(given.memory.removesuffix("M")) * MIB
            version = next((v for v in (2, 1) if groups.unavailable(v) is None), None)
            if version is None:
                parser.error(f"{groups.unavailable(1)}; {groups.unavailable(2)}; or give `--memory none`")
            group = stack.enter_context(groups.made(version, limit, "soce-soak"))
            group.enter()
        work = here / "work"
        work.mkdir()
        soak = Soak(work, architectures, given.seed)
        soak.run(60 * given.minutes, min(60.0, 60 * given.minutes / 12), given.steps)
        summary = summarised(soak.record, group)
        print(json.dumps(summary, indent=2))
    return 0 if summary["passed"] else 1


def summarised(record: Record, group: groups.Group | None) -> dict[str, Any]:
    """Return the result as it is printed."""
    first, last = record.settled()[0], record.settled()[-1]
    kills = group.kills() if group else 0
    grown = {name: round(record.an_hour(name)) for name in ("anonymous", "used", "descriptors", "threads")}
    # In a few minutes a trend says nothing about an hour: then only what was really added counts.
    long = last.minute >= 10
    flat = {
        "anonymous": grown["anonymous"] <= GROWTH or not long,
        "used": grown["used"] <= USED_GROWTH or not long,
        "descriptors": last.descriptors <= first.descriptors,
        "threads": last.threads <= first.threads,
    }
    return {
        "seed": record.seed,
        "minutes": last.minute,
        "counts": dict(record.counts),
        "mismatches": record.mismatches,
        "failures": record.failures,
        "killed_for_memory": kills,
        "group_peak": group.peak() if group else None,
        "from_to": {name: [getattr(first, name), getattr(last, name)] for name in grown},
        "growth_an_hour": grown,
        "flat": flat,
        "passed": not (record.mismatches or record.failures or kills) and all(flat.values()),
        "samples": [asdict(sample) for sample in record.samples],
    }


if __name__ == "__main__":
    sys.exit(main())
