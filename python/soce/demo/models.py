"""A base, four experts and two bad candidates, trained on the CPU within minutes or taken from a cache."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeAlias

from soce.demo.data import CATEGORIES, CLUSTERS, write_tasks
from soce.demo.machine import this_machine
from soce.demo.training import TrainingPlan
from soce.demo.workers import Job, WorkerError, Workers, run_here
from soce.exceptions import OutputError, Problem, SoceError
from soce.files.cache import cache_folder
from soce.files.extras import install

OnProgress: TypeAlias = Callable[[str, int, int], object]

BASE = "base"
BAD = ("hot", "narrow")
_SOURCES = ("data.py", "numerals.py", "training.py")
_PACKAGES = ("torch", "transformers", "tokenizers", "safetensors", "numpy")


@dataclass(frozen=True, slots=True)
class Steps:
    """How long each kind of model is trained, in batches of 64; the defaults take about two minutes."""

    base: int = 280
    expert: int = 100
    hot: int = 60
    narrow: int = 50


@dataclass(frozen=True, slots=True)
class DemoModels:
    """Where the checkpoints and the task files are."""

    base: Path
    experts: Mapping[str, Path]
    """One per cluster of categories."""
    bad: Mapping[str, Path]
    """What should not be in a soup: *hot* (a learning rate too high) and *narrow* (one category only)."""
    dev: Path
    """Tasks to choose on."""
    test: Path
    """Tasks to report, with no prompt of `dev` among them."""

    @classmethod
    def at(cls, folder: Path) -> DemoModels:
        """Return the paths of what `make_models` puts into a folder."""
        return cls(
            base=folder / BASE,
            experts={name: folder / name for name in CLUSTERS},
            bad={name: folder / name for name in BAD},
            dev=folder / "dev.jsonl",
            test=folder / "test.jsonl",
        )

    @property
    def candidates(self) -> dict[str, Path]:
        """All seven models by name, the base first."""
        return {BASE: self.base, **self.experts, **self.bad}


def make_models(
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    steps: Steps = Steps(),
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
    workers: int | None = None,
) -> DemoModels:
    """Train the demo's models and write its benchmarks.

    Parameters
    ----------
    folder : path
        Where to put them: a directory per model, ``dev.jsonl`` and ``test.jsonl``. Appears when all is done.
    seed : int
        The same seed gives the same bits (same versions, same processor), in any number of processes.
        The benchmarks are the same for every seed.
    steps : Steps
    cache : Path, optional
        Where trained models are kept, each from when it is done, such as `user_cache`. A cache that cannot be
        written is done without.
    on_progress : callable, optional
        Called with a model's name, its steps done and its steps in all; once, all done, for a model from the
        cache.
    workers : int, optional
        Processes to train in, with one thread each; by default as many as there are processors to use. One
        means this process.

    Raises
    ------
    OutputError
        `folder` is there and not empty.
    SoceError
        torch or transformers is not installed.
    """
    _require_packages()
    folder = Path(folder)
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        message = "exists and is not an empty directory"
        raise OutputError.of([Problem("output", str(folder), None, message, "choose another directory")])
    plans = make_plans(seed, steps)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        made = Path(scratch, "models")
        made.mkdir()
        kept = None if cache is None else _Cache(cache)
        _fill(made, plans, kept, on_progress or (lambda *_: None), workers or _processors())
        write_tasks("dev", made / "dev.jsonl")
        write_tasks("test", made / "test.jsonl")
        made.rename(folder)
    return DemoModels.at(folder)


def make_plans(seed: int, steps: Steps) -> dict[str, TrainingPlan]:
    """Return how each model is trained, the base first; all others start from it."""
    plans = [TrainingPlan(BASE, seed, steps.base, 2e-3, CATEGORIES, general=1.0)]
    for name, categories in CLUSTERS.items():
        # Half of the batches from everywhere: experts that forget the rest do not average well.
        plans.append(TrainingPlan(name, seed, steps.expert, 1.5e-3, categories, general=0.5))
    plans.append(TrainingPlan("hot", seed, steps.hot, 8e-3, CLUSTERS["tool"], general=0.0))
    plans.append(TrainingPlan("narrow", seed, steps.narrow, 3e-3, ("sort",), general=0.0))
    return {plan.name: plan for plan in plans}


def _fill(
    made: Path, plans: Mapping[str, TrainingPlan], cache: _Cache | None, on_progress: OnProgress, workers: int
) -> None:
    """Put every model into `made`: from the cache, or trained and put into the cache."""
    keys = _cache_keys(plans)
    jobs = []
    for name, plan in plans.items():
        if cache is not None and cache.fetch(keys[name], made / name):
            on_progress(name, plan.steps, plan.steps)
        else:
            jobs.append(Job(plan, None if name == BASE else made / BASE, made / name))
    done: set[str] = set()

    def on_step(job: Job, step: int) -> None:
        on_progress(job.plan.name, step, job.plan.steps)

    def on_done(job: Job) -> None:
        done.add(job.plan.name)
        if cache is not None:
            cache.keep(job.output, keys[job.plan.name])

    first = [job for job in jobs if job.base is None]
    rest = [job for job in jobs if job.base is not None]
    if workers > 1 and len(rest) > 1:
        with suppress(WorkerError), closing(Workers(min(workers, len(rest)))) as children:
            children.run(first, on_step=on_step, on_done=on_done)
            children.run(rest, on_step=on_step, on_done=on_done)
    left = [job for job in (*first, *rest) if job.plan.name not in done]
    run_here(left, on_step=on_step, on_done=on_done)


def user_cache() -> Path:
    """Return where a user's demos keep the models that they trained."""
    return cache_folder("demo")


def _processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _require_packages() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("torch", "transformers") if find_spec(name) is None]
    if missing:
        names = " and ".join(f"`{name}`" for name in missing)
        message = f"the demo trains models and needs {names}"
        raise SoceError.of([Problem("soce", None, None, message, install("torch", "search"))])


def _cache_keys(plans: Mapping[str, TrainingPlan]) -> dict[str, str]:
    """Return a name for each model that is another one whenever its bits may be."""
    from importlib.metadata import version
    from importlib.resources import files

    source = hashlib.sha256(
        b"".join((files("soce.demo") / name).read_bytes() for name in _SOURCES)
    ).hexdigest()
    versions = [version(package) for package in _PACKAGES]
    setting = [source, sys.version, platform.machine(), *versions, this_machine()]
    base = asdict(plans[BASE])
    return {
        name: f"{name}-{hashlib.sha256(json.dumps([setting, base, asdict(plan)]).encode()).hexdigest()[:20]}"
        for name, plan in plans.items()
    }


@dataclass(frozen=True, slots=True)
class _Cache:
    """Trained models by key. Only ever a help: what goes wrong in it is a model not found."""

    root: Path

    def fetch(self, key: str, into: Path) -> bool:
        """Copy a model if it is there and whole."""
        entry = self.root / key
        try:
            shutil.copytree(entry / "model", into)
            if (entry / "sha256").read_text(encoding="ascii") == _digest(into):
                return True
        except OSError:
            pass
        shutil.rmtree(into, ignore_errors=True)
        return False

    def keep(self, model: Path, key: str) -> None:
        """Put a copy of a model in, all of it at once."""
        with suppress(OSError):
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".new-", dir=self.root) as scratch:
                entry = Path(scratch, "entry")
                shutil.copytree(model, entry / "model")
                (entry / "sha256").write_text(_digest(entry / "model"), encoding="ascii")
                # Only now: what is there was not fetched, so it is damaged, or another run's and the same.
                shutil.rmtree(self.root / key, ignore_errors=True)
                entry.rename(self.root / key)


def _digest(model: Path) -> str:
    """Return a digest of the names and contents of a directory's files."""
    found: Sequence[Path] = sorted(path for path in model.iterdir() if path.is_file())
    parts = [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in found]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
