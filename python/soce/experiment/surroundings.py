"""What an experiment can begin with: the table, checkpoints and tasks that are there, and what they say."""

from __future__ import annotations

import difflib
import tempfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.evaluate.bfcl.categories import chosen_categories
from soce.evaluate.kinds import check_evaluator, kind_of
from soce.evaluate.tasks.items import read_tasks
from soce.exceptions import Problem, RecipeError, ScoreTableError, SoceError, shown
from soce.experiment.checkpoints import find_checkpoints, match_names
from soce.files.words import counted, listed
from soce.merging.options import MergeOptions
from soce.merging.plan import plan
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.files import looks_like_recipe, read_model_paths
from soce.recipes.model import Recipe
from soce.recipes.names import HubName, parts_of, remote_name
from soce.scores.formats.options import ReadOptions
from soce.scores.read import read_scores
from soce.search.verdict import FEWEST_ITEMS
from soce.selection.correlation import correlate_categories, critical_correlation
from soce.selection.lint import lint_scores
from soce.selection.options import SelectionOptions
from soce.selection.rehearsal import rehearse_selection
from soce.selection.rules import Threshold
from soce.selection.sweep import sweep_thresholds, threshold_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.scores.table import ScoreTable
    from soce.selection.sweep import SweepStep

_TABLES: Final = tuple(f"scores.{suffix}" for suffix in ("csv", "tsv", "xlsx", "parquet", "json", "md"))
_MODELS: Final = ("models.yaml", "models")
_TASKS: Final = ("tasks.jsonl",)
_SIBLINGS: Final = 5
"""Files beside the tasks that are looked into."""


@dataclass(frozen=True, slots=True)
class FoundScores:
    """A score table as a user names it."""

    sources: tuple[str, ...]
    table: ScoreTable | None
    """None if it cannot be read without an option."""
    refusal: str | None = None
    """Why it cannot be read, or why nothing can be selected by it."""
    steps: tuple[SweepStep, ...] = ()
    """What each threshold would select among the candidates."""
    threshold: float | None = None
    """The smallest one that selects two experts."""
    critical: float | None = None
    """|rho| that chance exceeds once in twenty over these models."""


@dataclass(frozen=True, slots=True)
class FoundModels:
    """Checkpoints, told apart by whether the table knows them."""

    source: str
    is_file: bool
    """Whether a file maps names to them."""
    paths: Mapping[str, str]
    """Candidate → path as it is written."""
    strangers: Mapping[str, tuple[str, str | None]] = field(default_factory=dict)
    """Name of a checkpoint that the table does not know → its path, and the model that may be meant."""
    adapters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundTasks:
    """What scores soups, as a user names it."""

    name: str
    key: str
    """What the experiment file calls this kind."""
    value: str
    """What stands behind the key."""
    counts: Mapping[str, int] | None = None
    """Category → number of its items, where that is known without a model."""
    categories: tuple[str, ...] | None = None
    other: str | None = None
    """A file beside it with items of the same categories: it may be meant to report on."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """All that was found."""

    scores: FoundScores | None
    models: FoundModels | None
    tasks: FoundTasks | None
    warnings: tuple[str, ...]
    """What speaks against going on with it, one sentence each."""

    @property
    def lacking(self) -> tuple[str, ...]:
        """Models of the table without a checkpoint."""
        if self.scores is None or self.scores.table is None or self.models is None:
            return ()
        return tuple(name for name in self.scores.table.models if name not in self.models.paths)

    @property
    def is_complete(self) -> bool:
        """Whether nothing but a wish is left to be written."""
        return self.tasks is not None and self.models is not None and len(self.models.paths) > 1


def look_around(
    *, scores: Sequence[str] = (), models: Sequence[str] = (), tasks: str | None = None
) -> Surroundings:
    """Return what is there for an experiment in the current folder, looked at as far as no model is needed.

    What is not named is looked for by the usual names: ``scores.csv``, ``models.yaml`` or ``models/``,
    ``tasks.jsonl``. Headers of checkpoints on this disk are read, no tensor; of models by other names than
    paths nothing is asked.

    Raises
    ------
    SoceError, OSError
        Something that was named is not there; a task file or a list of models is damaged.
    """
    warnings: list[str] = []
    sources = tuple(scores) or tuple(filter(None, [_usual(_TABLES)]))
    models = tuple(models) or tuple(filter(None, [_usual(_MODELS)]))
    tasks = tasks or _usual(_TASKS)
    table, refusal = _read(sources) if sources else (None, None)
    found = _models(models, table) if models else None
    if found is not None:
        warnings += _doubts(found, table)
    measured = _measured(sources, table, refusal, found) if sources else None
    if measured is not None and measured.refusal is not None:
        warnings.append(f"{listed(sources)}: {measured.refusal}")
    scored_by = None if tasks is None else _tasks(tasks)
    if scored_by is not None:
        warnings += _doubts_of_tasks(scored_by, table, found)
    return Surroundings(measured, found, scored_by, tuple(warnings))


def _usual(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if Path(name).exists()), None)


def _read(sources: Sequence[str]) -> tuple[ScoreTable | None, str | None]:
    """Return the table, or why it cannot be read as it stands: an option may mend that."""
    try:
        return read_scores(sources, options=ReadOptions(items=True)), None
    except ScoreTableError as error:
        return None, _first(error)


def _first(error: SoceError) -> str:
    problem = error.problems[0]
    return f"{problem.message}: {problem.hint}" if problem.hint else problem.message


def _measured(
    sources: tuple[str, ...], table: ScoreTable | None, refusal: str | None, models: FoundModels | None
) -> FoundScores:
    """Return what thresholds select by a table, among the candidates that were found."""
    if table is None:
        return FoundScores(sources, None, refusal)
    candidates = [*models.paths] if models is not None and len(models.paths) > 1 else None
    options = SelectionOptions(candidates=candidates)
    critical = critical_correlation(len(table.models)) if len(table.models) > 2 else None
    try:
        correlation = correlate_categories(table)
        for finding in lint_scores(table, candidates=candidates, correlation=correlation):
            if finding.severity == "error":
                return FoundScores(sources, table, finding.message, critical=critical)
        steps = sweep_thresholds(table, options, correlation=correlation)
    except ScoreTableError as error:
        return FoundScores(sources, table, _first(error), critical=critical)
    return FoundScores(sources, table, None, steps, threshold_for(steps), critical)


def _models(sources: Sequence[str], table: ScoreTable | None) -> FoundModels:
    """Return the checkpoints of folders, names or one file, by the names that the table has for them."""
    source = ", ".join(sources)
    is_file = len(sources) == 1 and looks_like_recipe(source) and not Path(source).is_dir()
    there: dict[str, str] = {}
    adapters: tuple[str, ...] = ()
    for one in () if is_file else sources:
        if (called := _called(one)) is not None:
            there[one if called in there else called] = one
            continue
        found, others = _in_folder(one)
        there |= {name: str(path) for name, path in found.items()}
        adapters += others
    if is_file:
        there = read_model_paths(source)
    if table is None:
        return FoundModels(source, is_file, there, adapters=adapters)
    known = {name: name for name in table.models if name in there}
    matched = known if is_file else match_names(table.models, [*there])
    paths = {model: there[name] for model, name in matched.items()}
    strange = [name for name in there if name not in matched.values()]
    left = [name for name in table.models if name not in matched]
    strangers = {name: (there[name], _like(name, left)) for name in strange}
    return FoundModels(source, is_file, paths, strangers, adapters)


def _called(source: str) -> str | None:
    """Return what a model is called that is no folder to be looked into; None for a path.

    With an adapter on top it is called as that.
    """
    own = parts_of(source)[-1]
    name = remote_name(own)
    if name is not None:
        return name.id if isinstance(name, HubName) else name.url.partition("://")[2]
    return None if own == source else Path(own).name


def _in_folder(source: str) -> tuple[dict[str, Path], tuple[str, ...]]:
    """Return the checkpoints in a folder by name, and the names of adapters."""
    folder = Path(find_checkpoint(source))
    if not folder.is_dir():
        folder.stat()
        _refuse(source, "neither a directory of checkpoints nor a YAML file of them")
    found, adapters = find_checkpoints(folder)
    if not found:
        also = f", only adapters: {listed(adapters)}" if adapters else ""
        _refuse(source, f"no checkpoint was found in it{also}", "a checkpoint has safetensors files")
    return found, adapters


def _like(name: str, models: list[str]) -> str | None:
    """Return the model whose name is nearest, if one is near."""
    by_last = {model.rpartition("/")[2].casefold(): model for model in models}
    near = difflib.get_close_matches(name.rpartition("/")[2].casefold(), by_last, n=1, cutoff=0.6)
    return by_last[near[0]] if near else None


def _doubts(found: FoundModels, table: ScoreTable | None) -> list[str]:
    """Return what speaks against these checkpoints: too few of them, or they cannot be averaged."""
    where = f"`{shown(found.source)}`"
    if len(found.paths) < 2:
        which = "checkpoint" if table is None else "model of the table"
        had = counted(len(found.paths), which, which.replace("model", "models"))
        return [f"{where} has {had}; a soup needs two"]
    here = [
        path for path in found.paths.values() if not any(map(remote_name, parts_of(find_checkpoint(path))))
    ]
    if len(here) < 2:
        return []
    every = Recipe.of(here)
    options = MergeOptions(preflight=False, copy_code=False)
    with tempfile.TemporaryDirectory(prefix="soce-") as scratch:
        try:
            plan(every, output=Path(scratch, "soup"), options=options)
        except SoceError as error:
            return [f"{problem}; leave out what does not fit" for problem in error.problems]
    return []


def _tasks(name: str) -> FoundTasks:
    """Return what is known of tasks without a model."""
    kind = kind_of(name).name
    key, value = {
        "tasks.jsonl": ("tasks", name),
        "lm-eval": ("lm-eval", name.removeprefix("lm-eval:")),
        "bfcl": ("bfcl", name.removeprefix("bfcl:")),
    }.get(kind, ("function", name))
    if key == "tasks":
        counts = _counts(name)
        return FoundTasks(name, key, value, counts, tuple(counts), _sibling(Path(name), counts))
    # Which engine asks, and where BFCL is, the experiment will say.
    categories = chosen_categories(value.split(",")) if key == "bfcl" else check_evaluator(name)
    return FoundTasks(name, key, value, None, None if categories is None else tuple(categories))


def _counts(name: str) -> Counter[str]:
    return Counter(item.category for item in read_tasks(name).items)


def _sibling(tasks: Path, counts: Mapping[str, int]) -> str | None:
    """Return the first other file of tasks beside these that has the same categories."""
    for path in sorted(tasks.parent.glob("*.jsonl"))[:_SIBLINGS]:
        with suppress(SoceError, OSError):
            if path != tasks and _counts(str(path)).keys() == counts.keys():
                return str(path)
    return None


def _doubts_of_tasks(tasks: FoundTasks, table: ScoreTable | None, models: FoundModels | None) -> list[str]:
    """Return what speaks against these tasks: other categories, too few items, nothing to correlate."""
    doubts = []
    name = f"`{shown(tasks.name)}`"
    if table is not None and tasks.categories is not None and {*tasks.categories} != {*table.categories}:
        only = sorted({*table.categories} - {*tasks.categories})
        other = sorted({*tasks.categories} - {*table.categories})
        lacks = f"has no items of {listed(only, limit=5)}" if only else ""
        more = f"has {listed(other, limit=5)}, which the table lacks" if other else ""
        doubts.append(
            f"{name} {' and '.join(filter(None, (lacks, more)))}: soups are chosen by its categories"
        )
    thin = [] if tasks.counts is None else [c for c, n in tasks.counts.items() if n < 2 * FEWEST_ITEMS]
    if thin:
        doubts.append(
            f"{name} has fewer than {2 * FEWEST_ITEMS} items in {listed(thin, limit=5)}: half of them are "
            f"too few for a verdict, which needs {FEWEST_ITEMS}"
        )
    if table is None and tasks.categories is not None and models is not None and len(models.paths) > 1:
        try:
            rehearse_selection([*models.paths], tasks.categories, Threshold(0.5), SelectionOptions())
        except ScoreTableError as error:
            doubts.append(f"without a table the candidates themselves are scored, but {_first(error)}")
    return doubts


def _refuse(source: str, message: str, hint: str | None = None) -> None:
    raise RecipeError.of([Problem("recipe", source, None, message, hint)])
