"""Plan and make soups: thin over the compiled core."""

from __future__ import annotations

import json
import os
import platform
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, cast

import soce._core as _core
from soce.exceptions import Problem, RecipeError, shown
from soce.recipes.files import looks_like_recipe, read_recipes
from soce.recipes.mergekit_file import mergekit_yaml
from soce.recipes.model import Ingredients, Recipe, RecipeFile, same_path_key
from soce.recipes.parts import HOLDS, parse_dtype, parse_size, refuse

if TYPE_CHECKING:
    from typing import Unpack

PathText: TypeAlias = "str | os.PathLike[str]"
Progress: TypeAlias = Callable[[int, int], object]


class PlanOptions(TypedDict, total=False):
    """Options that decide what is written, of `plan`, `plan_all`, `merge` and `merge_all`."""

    dtype: str | None
    """Output dtype of averaged tensors (``"bfloat16"``, ``"f32"``); the first ingredient's otherwise, tensor
    by tensor."""
    max_shard_size: int | str | None
    """Re-cut shards to at most this many bytes (``"5GB"``); the first ingredient's layout otherwise."""
    config_from: str | None
    """Path or name of the ingredient that gives config and tokenizer; the first one otherwise."""
    overwrite: bool
    """Replace an existing soup. A directory that holds anything else is refused all the same."""
    allow_different_tokenizers: bool
    """Accept ingredients that map tokens to different ids."""
    copy_code: bool | None
    """True copies ``*.py`` files beside the config, False leaves them out; None refuses if it needs them."""
    follow_links: bool
    """Follow links that leave an ingredient's directory."""
    ignore_unreferenced: bool
    """Accept shards that an ingredient's index does not name."""
    preflight: bool
    """False skips the comparison of free space with what will be written."""


class ExecuteOptions(TypedDict, total=False):
    """Options that change no output byte but where said, of `MergePlan.execute`, `merge` and `merge_all`."""

    on_progress: Progress | None
    """Called with bytes done and bytes in all, on the caller's thread; raising from it cancels the merge."""
    num_threads: int | None
    """Worker threads; as many as the machine offers otherwise."""
    chunk_bytes: int | None
    """A thread's unit of work, in bytes."""
    io: Literal["auto", "mmap", "pread"]
    """How ingredients are read."""
    cache: Literal["auto", "keep", "drop"]
    """Whether the page cache keeps what was read and written."""
    kernels: str | None
    """Kernel set by name; the fastest this CPU runs otherwise."""
    sync: bool
    """False skips fsync: a power cut may then lose or damage the soup."""
    digests: Literal["none", "tensors", "full"]
    """``"tensors"`` records a digest of every tensor in the manifest; ``"full"`` also of every input tensor
    and every shard, which is read back. With ``"none"`` an interrupted merge begins anew."""
    differences: bool
    """Record per tensor the largest absolute difference between the soup and each ingredient."""
    nonfinite: Literal["error", "warn"]
    """Whether NaN and infinities in the data stop the merge or are counted and reported."""
    restart: bool
    """Discard what an interrupted merge has finished instead of going on from there."""
    command: Sequence[str] | None
    """The command line to record in the manifest."""
    notes: Mapping[str, object] | None
    """JSON to record in the manifest under `run`, such as the scores that chose the recipe."""


class MergeOptions(PlanOptions, ExecuteOptions, total=False):
    """All options of `merge` and `merge_all`."""


@dataclass(frozen=True, slots=True)
class NonFinite:
    """Non-finite values met in one tensor."""

    tensor: str
    ingredient: str | None
    """Where they were; None for the output."""
    nan: int
    pos_inf: int
    neg_inf: int
    created: int
    """Outputs that are not finite although all their inputs are."""


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What a merge did."""

    outputs: tuple[Path, ...]
    """The soups, in the recipes' order."""
    seconds: float
    bytes_read: int
    bytes_written: int
    num_threads: int
    kernels: str
    """Name of the kernel set used."""
    counts: Mapping[str, int]
    """Tensors averaged, copied, tied and refused (always 0)."""
    nonfinite: tuple[NonFinite, ...]
    warnings: tuple[str, ...]
    result_digests: tuple[str, ...]
    """One per output, equal for equal results."""
    reused_shards: int
    """Shards that an interrupted merge had finished, over all outputs."""
    complete_before: tuple[Path, ...]
    """Outputs that an interrupted merge had already published."""
    json: str
    """The core's report, as one JSON object."""

    @property
    def output(self) -> Path:
        """The soup, if there is one only.

        Raises
        ------
        ValueError
            There are several: see `outputs`.
        """
        (output,) = self.outputs
        return output

    @classmethod
    def from_json(cls, text: str, outputs: Sequence[Path] | None = None) -> MergeReport:
        """Return the report that the core wrote as `text`; `outputs` may have names that JSON cannot hold."""
        data: dict[str, Any] = json.loads(text)
        written = data["outputs"]
        outputs = tuple(Path(output) for output in written) if outputs is None else tuple(outputs)
        return cls(
            outputs=outputs,
            seconds=float(data["seconds"]),
            bytes_read=data["bytes_read"],
            bytes_written=data["bytes_written"],
            num_threads=data["num_threads"],
            kernels=data["kernels"],
            counts=data["counts"],
            nonfinite=tuple(
                NonFinite(
                    tensor=found["tensor"],
                    ingredient=found.get("ingredient"),
                    nan=found.get("nan", 0),
                    pos_inf=found.get("pos_inf", 0),
                    neg_inf=found.get("neg_inf", 0),
                    created=found.get("created", 0),
                )
                for found in data["nonfinite"]
            ),
            warnings=tuple(data["warnings"]),
            result_digests=tuple(data["result_digests"]),
            reused_shards=data["reused_shards"],
            complete_before=tuple(outputs[written.index(output)] for output in data["complete_before"]),
            json=text,
        )


class MergePlan:
    """Everything decided about one or more soups, nothing done yet; made by `plan` and `plan_all`."""

    def __init__(
        self,
        core: _core.Plan,
        recipes: Sequence[Recipe],
        paths: Sequence[Sequence[str]],
        source: RecipeFile | None,
        outputs: Sequence[Path],
    ) -> None:
        self._core = core
        self._outputs = tuple(outputs)
        self._recipes = tuple(recipes)
        self._paths = paths
        self._source = source
        self._parents: tuple[str, ...] = ()

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipes, one per output."""
        return self._recipes

    def to_json(self) -> str:
        """Return the plan as one JSON object."""
        return self._core.to_json()

    @cached_property
    def data(self) -> dict[str, Any]:
        """The plan as dictionaries and lists."""
        return cast("dict[str, Any]", json.loads(self.to_json()))

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The directories to be made."""
        return self._outputs

    def execute(self, **options: Unpack[ExecuteOptions]) -> MergeReport:
        """Read the ingredients once and write every soup, or go on where an interrupted merge stopped.

        Parameters
        ----------
        **options
            See `ExecuteOptions`.

        Returns
        -------
        MergeReport

        Raises
        ------
        CheckpointError
            An ingredient changed since it was planned, or has non-finite values that `nonfinite` forbids.
        OutputError
            The output can no longer be put where it was asked for.
        OSError
            Reading or writing failed.

        Notes
        -----
        Shards that are finished when a merge fails are kept beside the output, as a note on the exception
        says, and used by the next merge of the same plan.
        """
        return self._execute(**options)

    def finished_shards(self, *, digests: str = "tensors", differences: bool = False) -> dict[Path, int]:
        """Return how many shards an interrupted merge with these options has finished, where it has any."""
        counts = self._core.finished_shards(digests=digests, differences=differences)
        return {output: count for output, count in zip(self.outputs, counts, strict=True) if count}

    def _execute(
        self,
        *,
        on_progress: Progress | None = None,
        num_threads: int | None = None,
        chunk_bytes: int | None = None,
        io: str = "auto",
        cache: str = "auto",
        kernels: str | None = None,
        sync: bool = True,
        digests: str = "tensors",
        differences: bool = False,
        nonfinite: str = "error",
        restart: bool = False,
        command: Sequence[str] | None = None,
        notes: Mapping[str, object] | None = None,
    ) -> MergeReport:
        if num_threads is not None and num_threads < 1:
            refuse(f"`num_threads` is {num_threads}", "leave it out to use all cores")
        for parent in self._parents:
            _make_folder(Path(parent), sync=sync)
        dtype = self._output_dtype()
        texts = [
            _utf8(mergekit_yaml(recipe, paths, dtype))
            for recipe, paths in zip(self._recipes, self._paths, strict=True)
        ]
        return MergeReport.from_json(
            self._core.execute(
                on_progress=on_progress,
                num_threads=num_threads,
                chunk_bytes=chunk_bytes,
                io=io,
                cache=cache,
                kernels=kernels,
                sync=sync,
                digests=digests,
                differences=differences,
                nonfinite=nonfinite,
                restart=restart,
                recipe_texts=texts,
                run_info=_run_info(self._source, command, notes),
            ),
            self._outputs,
        )

    def _output_dtype(self) -> str:
        """Return the dtype that most averaged tensors are written in."""
        counts = Counter(tensor["dtype"] for tensor in self.data["tensors"] if tensor["fate"] == "averaged")
        return next((dtype for dtype, _ in counts.most_common() if dtype in HOLDS), "F32")


def plan(
    ingredients: Ingredients | Recipe | RecipeFile | PathText,
    *,
    output: PathText,
    **options: Unpack[PlanOptions],
) -> MergePlan:
    """Check everything that can be checked before a soup is written, and lay it out.

    Parameters
    ----------
    ingredients : mapping of path to weight, sequence of paths, Recipe, RecipeFile, or path of a recipe file
        See `merge`.
    output : path-like
        The directory to be made.
    **options
        See `PlanOptions`.

    Returns
    -------
    MergePlan
        `MergePlan.execute` carries it out.

    Raises
    ------
    SoceError
        Everything that is wrong, in `SoceError.problems`.
    OSError
        A file cannot be read.

    Notes
    -----
    Reads headers and side files, and data only of tensors that must be equal; writes nothing.
    """
    recipe, source = _one(ingredients)
    return _plan([(os.fspath(output), recipe)], source, **options)


def plan_all(
    recipes: Mapping[str, Recipe | Ingredients] | RecipeFile | PathText,
    *,
    output: PathText,
    **options: Unpack[PlanOptions],
) -> MergePlan:
    """Plan many soups that one pass over the ingredients makes; see `merge_all` and `plan`."""
    if isinstance(recipes, Mapping):
        named = [
            (name, recipe if isinstance(recipe, Recipe) else Recipe.of(recipe))
            for name, recipe in recipes.items()
        ]
        source = None
    else:
        source = recipes if isinstance(recipes, RecipeFile) else read_recipes(recipes)
        named = [(name, recipe) for name, recipe in source.recipes if name is not None]
    if not named:
        where = None if source is None else source.path
        hint = "list them under `recipes:`, or give a single recipe as the argument of `merge`"
        refuse("there are no named recipes", hint, where)
    folder = os.fspath(output)
    with _folder_for_planning(folder):
        made = _plan([(str(Path(folder, name)), recipe) for name, recipe in named], source, **options)
    made._parents = (folder,)
    return made


def _make_folder(folder: Path, *, sync: bool) -> None:
    """Make a folder and those above it; with `sync`, a power cut cannot take it away again."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        if sync:
            descriptor = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextmanager
def _folder_for_planning(folder: str) -> Iterator[None]:
    """Make the folder of many soups while they are planned, because targets are checked against it."""
    try:
        Path(folder).mkdir()
    except (FileExistsError, FileNotFoundError, NotADirectoryError):  # the plan says what is wrong
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            Path(folder).rmdir()


def merge(
    ingredients: Ingredients | Recipe | RecipeFile | PathText,
    *,
    output: PathText,
    **options: Unpack[MergeOptions],
) -> MergeReport:
    """Average checkpoints exactly, round once, and write the soup.

    Parameters
    ----------
    ingredients : mapping of path to weight, sequence of paths, Recipe, RecipeFile, or path of a recipe file
        Paths are directories of safetensors shards or single ``.safetensors`` files. Weights are str, int,
        `fractions.Fraction` or `decimal.Decimal`, in any unit: ``"5"``, ``"2"``, ``"3"`` and ``"0.5"``,
        ``"0.2"``, ``"0.3"`` are the same recipe. A sequence of paths, or weights that are all None, is
        equal parts.
    output : path-like
        The directory to be made. It appears complete or not at all.
    **options
        See `PlanOptions` and `ExecuteOptions`.

    Returns
    -------
    MergeReport

    Raises
    ------
    RecipeError
        Weights that make no sense, among them every float: 0.1 is not one tenth.
    CheckpointError, IncompatibleError, UnsupportedDtypeError
        Ingredients that are malformed or cannot be averaged.
    OutputError
        The output exists, or is an ingredient, or does not fit.
    OSError
        Reading or writing failed.

    Notes
    -----
    Each output element is the weighted mean, rounded once to the output dtype: exact for F16 and BF16, within
    0.500001 ulp for F32 and F64. No bit of it depends on the order of ingredients, the number of threads or
    the machine.

    Examples
    --------
    >>> soce.merge({"path/A": "0.5", "path/B": "0.2", "path/C": "0.3"}, output="soup")  # doctest: +SKIP
    """
    plan_options, execute_options = _split(options)
    return plan(ingredients, output=output, **plan_options).execute(**execute_options)


def merge_all(
    recipes: Mapping[str, Recipe | Ingredients] | RecipeFile | PathText,
    *,
    output: PathText,
    **options: Unpack[MergeOptions],
) -> MergeReport:
    """Write many soups from one pass over their ingredients.

    Parameters
    ----------
    recipes : mapping of name to recipe, RecipeFile, or path of a recipe file with ``recipes:``
        An ingredient that a recipe does not name has no part in it.
    output : path-like
        The directory that gets one directory per name.
    **options
        See `PlanOptions` and `ExecuteOptions`.

    Returns
    -------
    MergeReport

    Raises
    ------
    SoceError, OSError
        As `merge`.
    """
    plan_options, execute_options = _split(options)
    return plan_all(recipes, output=output, **plan_options).execute(**execute_options)


def _split(options: MergeOptions) -> tuple[PlanOptions, ExecuteOptions]:
    """Return the options of the plan and those of its execution; the plan refuses unknown ones."""
    late = ExecuteOptions.__annotations__
    plan_options = {key: value for key, value in options.items() if key not in late}
    execute_options = {key: value for key, value in options.items() if key in late}
    return cast("PlanOptions", plan_options), cast("ExecuteOptions", execute_options)


def _one(ingredients: Ingredients | Recipe | RecipeFile | PathText) -> tuple[Recipe, RecipeFile | None]:
    if isinstance(ingredients, Recipe):
        return ingredients, None
    if isinstance(ingredients, str | os.PathLike):
        path = os.fspath(ingredients)
        if not looks_like_recipe(path):
            hint = "pass a mapping of path to weight, a sequence of paths, or a .yaml, .yml or .json recipe"
            refuse("a single path that is not a recipe file", hint, path)
        ingredients = read_recipes(path)
    if isinstance(ingredients, RecipeFile):
        return ingredients.recipe, ingredients
    return Recipe.of(ingredients), None


def _plan(
    recipes: Sequence[tuple[str, Recipe]],
    source: RecipeFile | None,
    *,
    dtype: str | None = None,
    max_shard_size: int | str | None = None,
    config_from: str | None = None,
    overwrite: bool = False,
    allow_different_tokenizers: bool = False,
    copy_code: bool | None = None,
    follow_links: bool = False,
    ignore_unreferenced: bool = False,
    preflight: bool = True,
) -> MergePlan:
    places: dict[str, int] = {}
    paths: list[str] = []
    names: list[str] = []
    for _, recipe in recipes:
        for ingredient in recipe.ingredients:
            if places.setdefault(same_path_key(ingredient.path), len(paths)) == len(paths):
                paths.append(ingredient.path)
                names.append(ingredient.name)
    tables = [(output, _over(recipe, places)) for output, recipe in recipes]
    if dtype is not None:
        dtype = parse_dtype(dtype)
    elif source is not None:
        dtype = source.dtype
    if max_shard_size is None and source is not None:
        max_shard_size = source.max_shard_size
    if isinstance(max_shard_size, str):
        max_shard_size = parse_size(max_shard_size)
    if max_shard_size is not None and not 0 < max_shard_size < 1 << 63:
        refuse(f"`max_shard_size` is {max_shard_size}", "5GB is usual")
    if config_from is None and source is not None:
        config_from = source.config_from
    core = _core.plan(
        paths,
        tables,
        dtype=dtype,
        max_shard_size=max_shard_size,
        config_from=0 if config_from is None else _donor(config_from, paths, names),
        overwrite=overwrite,
        allow_different_tokenizers=allow_different_tokenizers,
        copy_code=copy_code,
        follow_links=follow_links,
        ignore_unreferenced=ignore_unreferenced,
        skip_space_check=not preflight,
    )
    if source is not None and source.must_hold is not None:
        _check_holds(source, paths, follow_links=follow_links, ignore_unreferenced=ignore_unreferenced)
    return MergePlan(
        core,
        [recipe for _, recipe in recipes],
        [[ingredient.path for ingredient in recipe.ingredients] for _, recipe in recipes],
        source,
        [Path(output) for output, _ in recipes],
    )


def _over(recipe: Recipe, places: Mapping[str, int]) -> list[tuple[str, list[int], int]]:
    """Return the recipe's rows with one numerator for each of the ingredients of all recipes."""
    where = [places[same_path_key(ingredient.path)] for ingredient in recipe.ingredients]
    rows = []
    for row in recipe.table:
        numerators = [0] * len(places)
        for place, numerator in zip(where, row.numerators, strict=True):
            numerators[place] = numerator
        rows.append((row.pattern, numerators, row.whole))
    return rows


def _donor(wanted: str, paths: Sequence[str], names: Sequence[str]) -> int:
    if wanted in names:
        return names.index(wanted)
    keys = [same_path_key(path) for path in paths]
    if same_path_key(wanted) in keys:
        return keys.index(same_path_key(wanted))
    hint = f"ingredients: {', '.join(shown(name) for name in names)}"
    refuse(f"`config_from` names `{shown(wanted)}`, which is not an ingredient", hint)


def _check_holds(
    source: RecipeFile, paths: Sequence[str], *, follow_links: bool, ignore_unreferenced: bool
) -> None:
    """Refuse a mergekit `dtype` that would round an input before averaging."""
    assert source.must_hold is not None
    held = HOLDS[source.must_hold]
    problems = []
    for path in paths:
        mixer = _core.Mixer([path], follow_links=follow_links, ignore_unreferenced=ignore_unreferenced)
        dtypes = {dtype for _, dtype, _ in mixer.tensors()}
        lost = sorted((dtypes & HOLDS.keys()) - held)
        if lost:
            problems.append(
                Problem(
                    "recipe",
                    source.path,
                    None,
                    f"`dtype` {source.must_hold} would round the {' and '.join(lost)} tensors of "
                    f"`{shown(path)}` before averaging",
                    "write it as `out_dtype` instead: soce rounds once, at the end",
                )
            )
    if problems:
        raise RecipeError.of(problems)


def _run_info(
    source: RecipeFile | None, command: Sequence[str] | None, notes: Mapping[str, object] | None
) -> str:
    from soce import __version__

    run: dict[str, object] = {
        "soce": __version__,
        "python": platform.python_version(),
        "recipe_text": None if source is None else source.text,
        "command": None if command is None else [_utf8(word) for word in command],
    }
    if notes is not None:
        run["notes"] = dict(notes)
    return _utf8(json.dumps(run, allow_nan=False))


def _utf8(text: str) -> str:
    """Return `text` with unpaired surrogates (names that are not UTF-8) spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()
