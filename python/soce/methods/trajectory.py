"""Averages over the checkpoints of one run: their order, and the weights of a scheme."""

from __future__ import annotations

import math
import re
from fractions import Fraction
from itertools import pairwise
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from soce.exceptions import shown
from soce.files.words import nearest
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.model import Ingredient, Recipe
from soce.recipes.parts import refuse, signed_parts

if TYPE_CHECKING:
    from collections.abc import Sequence

Scheme: TypeAlias = Literal["sma", "ema", "wma", "minus-sqrt"]
"""Equal weights, exponential, rising linearly, or the drops of a learning rate that decays as 1 - √x."""

ALPHA: Final = Fraction(1, 5)
_STEP: Final = re.compile(r"(?:step|checkpoint|ckpt|iter|iteration)[-_=.]?([0-9]+)", re.ASCII | re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]+", re.ASCII)


def trajectory(paths: Sequence[str], scheme: Scheme, *, alpha: Fraction | None = None) -> Recipe:
    """Return the average of the checkpoints of a run, which are put in the order of their steps.

    Parameters
    ----------
    paths : sequence of str
        Checkpoints whose names tell their step: ``checkpoint-500``, ``iter_0000500``.
    scheme : str
        ``"sma"``: equal parts. ``"ema"``: each checkpoint moves the mean of those before it by `alpha`.
        ``"wma"``: parts 1, 2, …, N. ``"minus-sqrt"``: the parts that a learning rate decaying as 1 - √x gives
        to what was learned before each checkpoint.
    alpha : Fraction, optional
        Of `ema`, in (0, 1]; one fifth if left out.

    Raises
    ------
    RecipeError
        A step that cannot be read or is there twice, an `alpha` out of range or beside another scheme.

    Examples
    --------
    >>> trajectory(["run/checkpoint-20", "run/checkpoint-10", "run/checkpoint-30"], "ema").parts
    (16, 4, 5)
    """
    if not paths:
        refuse("a trajectory needs checkpoints")
    if scheme not in get_args(Scheme):
        refuse(f"there is no scheme `{shown(scheme)}`", nearest(scheme, get_args(Scheme), "schemes"))
    if alpha is not None and scheme != "ema":
        refuse(f"`alpha` is for `ema`, not for `{scheme}`", "leave it out")
    steps: dict[int, str] = {}
    for path in paths:
        step = step_of(path)
        if step in steps:
            message = f"`{shown(steps[step])}` and `{shown(path)}` are both of step {step}"
            refuse(message, "give each checkpoint once")
        steps[step] = path
    ordered = [steps[step] for step in sorted(steps)]
    weights = scheme_weights(scheme, len(ordered), ALPHA if alpha is None else alpha)
    pairs = zip(ordered, weights, strict=True)
    return Recipe(tuple(Ingredient(find_checkpoint(path), weight, path) for path, weight in pairs))


def spacing_remark(paths: Sequence[str]) -> str | None:
    """Return what to say of checkpoints that are not evenly spaced, as every scheme takes them to be."""
    steps = sorted(map(step_of, paths))
    gaps = {after - before for before, after in pairwise(steps)}
    if len(gaps) < 2:
        return None
    return f"the steps are {min(gaps)} to {max(gaps)} apart: the scheme takes them for evenly spaced"


def step_of(path: str) -> int:
    """Return the step that the name of a checkpoint tells.

    It is the number behind a word for it, else the last number of the last part of the path.

    Examples
    --------
    >>> step_of("run/checkpoint-1500"), step_of("iter_0002000/"), step_of("a/epoch2-step40-loss1.5")
    (1500, 2000, 40)
    """
    name = PurePath(path).name.removesuffix(".safetensors")
    found = _STEP.findall(name) or _NUMBER.findall(name)
    if not found:
        hint = "its name must have the step as a number, such as `checkpoint-500`"
        refuse(f"which step `{shown(path)}` is of cannot be read", hint)
    return int(found[-1])


def scheme_weights(scheme: Scheme, count: int, alpha: Fraction = ALPHA) -> tuple[Fraction, ...]:
    """Return the weights of `count` checkpoints, the earliest first; they sum to 1.

    Examples
    --------
    >>> [str(one) for one in scheme_weights("wma", 4)]
    ['1/10', '1/5', '3/10', '2/5']
    """
    if not 0 < alpha <= 1:
        refuse(f"`alpha` is {shown(str(alpha))}: expected a number in (0, 1]")
    if scheme == "sma":
        return (Fraction(1, count),) * count
    if scheme == "wma":
        return tuple(Fraction(2 * i, count * (count + 1)) for i in range(1, count + 1))
    if scheme == "ema":
        later = [alpha * (1 - alpha) ** (count - i) for i in range(2, count + 1)]
        return ((1 - alpha) ** (count - 1), *later)
    kept = [Fraction(math.sqrt(Fraction(i, count))) for i in range(count + 1)]
    drops = [after - before for before, after in pairwise(kept)]
    parts, whole = signed_parts(drops, [f"{i:09}" for i in range(count)])
    return tuple(Fraction(part, whole) for part in parts)
