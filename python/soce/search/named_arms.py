"""Arms that are asked for by name: what a method makes of the experts, beside what every search compares."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.words import counted, nearest
from soce.recipes.methods import METHODS, Definition, Method, Parameter, value_text
from soce.recipes.parts import refuse
from soce.search.soup import MadeSoup

if TYPE_CHECKING:
    from collections.abc import Iterable

    from soce.search.pool import Pool

KIND: Final = "method"
"""Of an arm that is what a method makes."""
_HOW: Final = (
    Parameter("by", "tensor", choices=("tensor", "model")),
    Parameter("steps", 0, "[0, inf)"),
    Parameter("learning_rate", Fraction(0), "[0, inf)"),
    Parameter("seed", 0),
)
"""Of a fit: 0 steps and a rate of 0 are those of its paper."""
FITTED: Final = {
    "learned": Definition("learned", "equal", fewest=2, parameters=_HOW),
    "adamerging": Definition("adamerging", "equal", "needed", parameters=_HOW),
}
"""Arms whose coefficients are fitted on the items to choose on; see `soce.search.fitted_arms`."""


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
    def definition(self) -> Definition:
        """What it takes."""
        return FITTED.get(self.method) or METHODS[self.method]

    @property
    def needs_base(self) -> bool:
        """Whether there is no such arm without a base."""
        return self.definition.base == "needed"


def parse_arm(text: str) -> NamedArm:
    """Return the arm that a text names; raises RecipeError.

    Examples
    --------
    >>> str(parse_arm("task_arithmetic:lambda=0.30"))
    'task_arithmetic:lambda=0.3'
    """
    name, colon, told = text.partition(":")
    kind = _find(name.strip())
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


def _find(name: str) -> Definition:
    known = {**METHODS, **FITTED}
    if name not in known:
        refuse(f"there is no method `{shown(name)}`", nearest(name, known, "methods"))
    return known[name]


def named_soups(pool: Pool, arms: Iterable[NamedArm]) -> list[tuple[str, MadeSoup]]:
    """Return what arms are called, and their soups over a pool's experts; not of those that are fitted.

    Raises
    ------
    RecipeError
        An arm is named twice; there is no base, or it is an expert; more or fewer experts than it takes.
    """
    found: dict[str, MadeSoup] = {}
    seen: set[str] = set()
    for arm in arms:
        if str(arm) in seen:
            refuse(f"the arm `{shown(str(arm))}` is named twice")
        seen.add(str(arm))
        kind = arm.definition
        base = usable_base(f"the arm `{shown(str(arm))}`", kind, pool)
        if arm.method in FITTED:
            continue
        method = Method(arm.method, base, dict(arm.parameters))
        divisor = 1 if kind.weights == "coefficients" else None
        found[str(arm)] = MadeSoup(dict.fromkeys(pool.experts, 1), method, divisor)
    return list(found.items())


def usable_base(what: str, kind: Definition, pool: Pool) -> str | None:
    """Return the base that a method takes; raises RecipeError if it can make nothing of a pool's experts."""
    base, n = None if kind.base == "none" else pool.base, len(pool.experts)
    if base is None and kind.base == "needed":
        refuse(f"{what} needs a base", "name it: `--base`, a candidate or the path of a checkpoint")
    if base is not None and base in pool.experts:
        refuse(f"{what} has the base `{shown(base)}`, which is one of the experts", "name another base")
    if n < kind.fewest or (kind.most is not None and n > kind.most):
        least = "" if kind.fewest == kind.most else "at least " if kind.most is None else "at most "
        wanted = kind.fewest if n < kind.fewest else kind.most or 0
        refuse(f"{what} takes {least}{counted(wanted, 'expert')}, and there are {n}", "leave it out")
    return base
