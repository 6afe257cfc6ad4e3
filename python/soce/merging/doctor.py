"""Whether checkpoints can be souped: what a merge would refuse, and whether they belong together."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soce._core import config_differences
from soce.exceptions import Problem, SoceError, shown
from soce.files.arguments import expect_paths
from soce.files.words import counted, listed
from soce.merging.distances import INDEPENDENT, Distance, Distances, measure_distances
from soce.merging.ingredients import open_mixer
from soce.merging.options import MergeOptions
from soce.merging.origins.warnings import origin_warnings
from soce.merging.plan import plan
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.model import Ingredient, Recipe, same_path_key
from soce.recipes.names import base_of
from soce.recipes.parts import refuse
from soce.remote.here import bring

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from soce._core import Mixer
    from soce.merging.distances import NonFiniteTensor
    from soce.merging.options import OnProgress

FAR = 0.5
"""Cosine below which two checkpoints are far apart for trainings of one base; docs/doctor.md has examples."""

_LISTED = 3
_LISTED_NOT_FINITE = 20


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What one checkpoint holds."""

    path: str
    n_tensors: int
    n_parameters: int
    dtypes: tuple[str, ...]
    """The most frequent first."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Whether checkpoints can be souped, and what speaks against it."""

    ingredients: tuple[str, ...]
    base: str | None
    checkpoints: tuple[Checkpoint, ...]
    """Those that can be read, the base last."""
    distances: Distances
    problems: tuple[Problem, ...]
    """Why they cannot be souped; empty if they can."""
    warnings: tuple[str, ...]

    @property
    def soupable(self) -> bool:
        """Whether nothing speaks against averaging them."""
        return not self.problems

    @property
    def verdict(self) -> str:
        """The outcome in one line."""
        if self.problems:
            return f"not soupable: {counted(len(self.problems), 'problem')}"
        cosines = [cosine for pair in self.distances.pairs if (cosine := _telling(pair)) is not None]
        n = len(self.ingredients)
        text = "soupable: " + (f"{n} checkpoints agree" if n > 1 else "nothing speaks against it")
        if cosines:
            text += f", lowest cosine {_three(min(cosines))}"
        return text + (f"; {counted(len(self.warnings), 'warning')}" if self.warnings else "")

    def __repr__(self) -> str:
        """Return the outcome on one line."""
        return f"Diagnosis({self.verdict})"

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain dictionaries and lists."""
        return {
            "soupable": self.soupable,
            "verdict": self.verdict,
            "ingredients": list(self.ingredients),
            "base": self.base,
            "checkpoints": [asdict(checkpoint) for checkpoint in self.checkpoints],
            **asdict(self.distances),
            "problems": [asdict(problem) for problem in self.problems],
            "warnings": list(self.warnings),
        }


def diagnose(
    ingredients: Sequence[str | os.PathLike[str]],
    *,
    base: str | os.PathLike[str] | None = None,
    n_worst: int = 10,
    options: MergeOptions = MergeOptions(),
    on_progress: OnProgress | None = None,
) -> Diagnosis:
    """Say whether checkpoints can be souped: what a merge would refuse, and how far apart they are.

    Parameters
    ----------
    ingredients : sequence of path-like
        Two checkpoints or more; one is enough with a base.
    base : path-like, optional
        The checkpoint that they were trained from. It is measured against, never refused for being different.
    n_worst : int
        How many tensors to name for each pair.
    options : MergeOptions
        Those of the merge that is meant: what it accepts is accepted here.
    on_progress : callable, optional
        Called with bytes done and bytes in all; raising from it stops the work.

    Returns
    -------
    Diagnosis
        Problems are returned, not raised.

    Raises
    ------
    RecipeError
        Fewer than two different checkpoints.

    Notes
    -----
    Reads every parameter once, in pieces; writes nothing.

    Cosines are judged without tensors of one dimension: the gains of norms begin at one in every training,
    and in a small model they alone make a cosine of 0.9 between strangers.
    """
    expect_paths(ingredients, "ingredients")
    names = [os.fspath(path) for path in ingredients]
    found = [find_checkpoint(path) for path in (*names, *([] if base is None else [base]))]
    found = bring(found)  # every parameter is read
    # One of two paths to a checkpoint is enough.
    named = zip(found, names, strict=False)
    recipe = Recipe(tuple(Ingredient(path, Fraction(1), name) for path, name in named))
    paths = tuple(ingredient.path for ingredient in recipe.ingredients)
    if base is not None:  # it may be an ingredient too, by whatever path
        base_path = found[-1]
        key = same_path_key(base_path)
        base = next((path for path in paths if same_path_key(path) == key), base_path)
    if len(paths) < 2 and base is None:
        refuse("there is one checkpoint only", "give two or more, or one and its base")
    problems: list[Problem] = []
    warnings: list[str] = []
    with tempfile.TemporaryDirectory(prefix="soce-") as scratch:
        try:
            planned = plan(
                recipe,
                output=Path(scratch, "soup"),
                # Code is a question for the merge, which asks it.
                options=replace(options, copy_code=False, preflight=False),
            )
            warnings += planned.data["warnings"]
        except SoceError as error:
            problems += error.problems
            warnings += origin_warnings([(one.name, one.path) for one in recipe.ingredients])
            bases = [*dict.fromkeys(map(base_of, paths))]
            warnings += config_differences(bases, options.follow_links, options.ignore_unreferenced)
    readable: list[Checkpoint] = []
    for path in dict.fromkeys((*paths, *([] if base is None else [base]))):
        try:
            mixer = open_mixer(
                [path], follow_links=options.follow_links, ignore_unreferenced=options.ignore_unreferenced
            )
        except SoceError as error:
            problems += [problem for problem in error.problems if problem not in problems]
        else:
            readable.append(_look(path, mixer))
    readable_paths = {checkpoint.path for checkpoint in readable}
    distances = measure_distances(
        [path for path in paths if path in readable_paths],
        base=base if base in readable_paths else None,
        n_worst=n_worst,
        follow_links=options.follow_links,
        ignore_unreferenced=options.ignore_unreferenced,
        on_progress=on_progress,
    )
    problems += _problems(distances, paths)
    warnings += _warnings(distances, paths)
    return Diagnosis(paths, base, tuple(readable), distances, tuple(problems), tuple(warnings))


def _look(path: str, mixer: Mixer) -> Checkpoint:
    tensors = mixer.tensors()
    dtypes = Counter(dtype for _, dtype, _ in tensors)
    parameters = sum(prod(shape) for _, _, shape in tensors)
    return Checkpoint(path, len(tensors), parameters, tuple(dtype for dtype, _ in dtypes.most_common()))


def _telling(distance: Distance) -> float | None:
    """Return the cosine to be judged by; None if there is none."""
    return distance.cosine if distance.matrix_cosine is None else distance.matrix_cosine


def _problems(distances: Distances, paths: Sequence[str]) -> list[Problem]:
    """Return what a look at the values says against averaging."""
    hint = "`--nonfinite warn` merges them all the same, and the soup is not finite there"
    problems = []
    told: list[tuple[str | None, str]]
    for path in paths:
        found = dict.fromkeys(tensor for tensor in distances.not_finite if tensor.path == path)
        told = [(tensor.tensor, _not_finite(tensor)) for tensor in [*found][:_LISTED_NOT_FINITE]]
        if more := len(found) - len(told):
            told.append(
                (None, f"{counted(more, 'more tensor has', 'more tensors have')} values that are not finite")
            )
        problems += [Problem("checkpoint", path, tensor, message, hint) for tensor, message in told]
    strangers = _strangers(distances.pairs)
    if len(strangers) > 1:
        between = [cosine for pair in distances.pairs if (cosine := _telling(pair)) is not None]
        groups = " | ".join(map(listed, strangers))
        message = f"these look like independent trainings: {groups} (lowest cosine {_three(min(between))})"
        hint = "averaging them will not work: average checkpoints that were trained from one base"
        problems.append(Problem("incompatible", None, None, message, hint))
    return problems


def _not_finite(found: NonFiniteTensor) -> str:
    count = found.nan + found.infinite
    return (
        f"{count} of {found.elements} values are not finite ({found.nan} NaN, {found.infinite} infinite); "
        "they count as zero in the distances"
    )


def _strangers(pairs: Iterable[Distance]) -> list[list[str]]:
    """Return the checkpoints in groups, joined wherever a cosine does not speak against it."""
    group: dict[str, list[str]] = {}
    for pair in pairs:
        for path in (pair.first, pair.second):
            group.setdefault(path, [path])
        cosine = _telling(pair)
        if (cosine is None or cosine >= INDEPENDENT) and group[pair.first] is not group[pair.second]:
            joined = group[pair.first] + group[pair.second]
            group |= dict.fromkeys(joined, joined)
    return sorted({id(found): sorted(found) for found in group.values()}.values())


def _warnings(distances: Distances, paths: Sequence[str]) -> list[str]:
    """Return what is odd about the distances, but no reason to refuse."""
    warnings = []
    independent: Counter[str] = Counter()
    for pair in distances.pairs:
        names = f"`{shown(pair.first)}` and `{shown(pair.second)}`"
        cosine = _telling(pair)
        if pair.is_equal:
            warnings.append(f"{names} hold the same values: souping both only adds to their weight")
        elif cosine is not None and INDEPENDENT <= cosine < FAR:
            warnings.append(
                f"{names}: a cosine of {_three(cosine)} is low for trainings of one base, which mostly have "
                "more than 0.9: their average may be worse than either"
            )
        if cosine is None or cosine >= INDEPENDENT:
            independent.update(pair.independent)
    if independent:
        names = listed(sorted(independent), limit=_LISTED)
        warnings.append(
            f"{names}: cosines below {INDEPENDENT} look like independent beginnings, as of new heads"
        )
    for found in distances.to_base:
        name = f"`{shown(found.second)}`"
        cosine = _telling(found)
        if found.n_unshared:
            warnings.append(
                f"{name} and the base `{shown(found.first)}` share {counted(found.n_tensors, 'tensor')}; "
                f"{found.n_unshared} more are in one of them only, or in another shape"
            )
        if found.is_equal and found.first != found.second:
            warnings.append(f"{name} holds the values of the base: it was not trained")
        elif cosine is not None and cosine < INDEPENDENT:
            warnings.append(f"{name} does not look trained from the base: its cosine is {_three(cosine)}")
    bad = [found for found in distances.not_finite if found.path not in paths]
    warnings += [f"`{shown(b.path)}`: tensor `{shown(b.tensor)}`: {_not_finite(b)}" for b in bad]
    return warnings


def _three(cosine: float) -> str:
    return f"{round(cosine, 3) + 0.0:.3f}"  # the sum has no minus before zero
