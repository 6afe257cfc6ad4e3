"""Arms that are asked for by name: what a method makes of the experts, beside what every search compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from soce.exceptions import Problem, RecipeError, shown
from soce.files.words import counted
from soce.recipes.methods import METHODS, Method, find_method, value_text
from soce.recipes.parts import refuse
from soce.search.soup import MadeSoup

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

    from soce.search.pool import Pool

KIND: Final = "method"
"""Of an arm that is what a method makes."""


@dataclass(frozen=True, slots=True)
class NamedArm:
    """A method with parameters, to be tried on the experts."""

    method: str
    parameters: tuple[tuple[str, str], ...] = ()
    """By name; those that are the default are left out."""

    def __str__(self) -> str:
        """Return how it is written: ``ties:density=0.3``."""
        chosen = ",".join(f"{name}={value}" for name, value in self.parameters)
        return f"{self.method}:{chosen}" if chosen else self.method

    @property
    def needs_base(self) -> bool:
        """Whether there is no such arm without a base."""
        return METHODS[self.method].base == "needed"


def parse_arm(text: str) -> NamedArm:
    """Return the arm that a text names; raises RecipeError.

    Examples
    --------
    >>> str(parse_arm("task_arithmetic:lambda=0.30"))
    'task_arithmetic:lambda=0.3'
    """
    name, colon, told = text.partition(":")
    kind = find_method(name.strip())
    if kind.name == "linear":
        refuse("`linear` is no arm of its own", "equal parts of the experts are compared always")
    read = {}
    for piece in told.split(",") if colon else ():
        parameter, equals, value = (word.strip() for word in piece.partition("="))
        if not (parameter and equals and value):
            refuse(f"`{shown(piece)}` is not PARAMETER=VALUE", f"write `{kind.name}:PARAMETER=VALUE,...`")
        if parameter in read:
            refuse(f"parameter `{shown(parameter)}` is given twice")
        read[parameter] = kind.parameter(parameter).read(value)
    chosen = {one: value for one, value in read.items() if value != kind.parameter(one).default}
    return NamedArm(kind.name, tuple((one, value_text(value)) for one, value in sorted(chosen.items())))


def named_soups(pool: Pool, arms: Iterable[NamedArm]) -> list[tuple[str, MadeSoup]]:
    """Return what arms are called, and their soups over a pool's experts.

    Raises
    ------
    RecipeError
        An arm is named twice; there is no base, or it is an expert; more or fewer experts than it takes.
    """
    found: dict[str, MadeSoup] = {}
    for arm in arms:
        if str(arm) in found:
            _refuse(arm, "is named twice")
        kind = METHODS[arm.method]
        base = None if kind.base == "none" else pool.base
        if base is None and arm.needs_base:
            _refuse(arm, "needs a base", "name it: `--base`, a candidate or the path of a checkpoint")
        if base in pool.experts:
            _refuse(
                arm, f"has the base `{shown(base or '')}`, which is one of the experts", "name another base"
            )
        n = len(pool.experts)
        if n < kind.fewest or (kind.most is not None and n > kind.most):
            least = "" if kind.fewest == kind.most else "at least " if kind.most is None else "at most "
            wanted = kind.fewest if n < kind.fewest else kind.most or 0
            _refuse(arm, f"takes {least}{counted(wanted, 'expert')}, and there are {n}", "leave the arm out")
        method = Method(arm.method, base, dict(arm.parameters))
        divisor = 1 if kind.weights == "coefficients" else None
        found[str(arm)] = MadeSoup(dict.fromkeys(pool.experts, 1), method, divisor)
    return list(found.items())


def _refuse(arm: NamedArm, message: str, hint: str | None = None) -> NoReturn:
    raise RecipeError.of([Problem("recipe", None, None, f"the arm `{shown(str(arm))}` {message}", hint)])
