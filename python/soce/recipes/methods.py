"""The methods around the plain average: what they are called, what each takes, and what is asked of one.

What they compute stands in the room `methods`; formulas and sources are in docs/methods.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from soce.exceptions import shown
from soce.files.numbers import HOW_TO_WRITE, exact_number
from soce.files.words import counted, listed, nearest
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.parts import exact_weight, refuse, weight_text

if TYPE_CHECKING:
    from soce.files.atomic import PathText

Value: TypeAlias = "Fraction | int | bool | str"
"""What a parameter can be."""
Given: TypeAlias = "Mapping[str, object] | tuple[tuple[str, Value], ...]"

_RANGE: Final = re.compile(r"([\[(])(\S+), (\S+)([\])])")


@dataclass(frozen=True, slots=True)
class Parameter:
    """Something that can be chosen about a method."""

    name: str
    default: Value
    """Its type is the parameter's: a truth value, a whole number, an exact number, or one of the choices."""
    within: str = ""
    """The range of a number, as ``(0, 1]``; any number is possible otherwise."""
    choices: tuple[str, ...] = ()
    elsewhere: str | None = None
    """What to do instead, for a hint, where a number is out of the range."""

    def read(self, given: object) -> Value:
        """Return the exact value of what was given; raises RecipeError.

        Examples
        --------
        >>> Parameter("alpha", Fraction(3, 4), "[0, 1]").read("0.25")
        Fraction(1, 4)
        """
        text = str(given).lower() if isinstance(given, bool) else given
        if isinstance(self.default, str):
            if text not in self.choices:
                refuse(f"{self._is(text)}, which it cannot be", nearest(str(text), self.choices, "choices"))
            return str(text)
        if isinstance(self.default, bool):
            if text not in {"true", "false"}:
                refuse(f"{self._is(text)}, not a truth value", "write true or false")
            return text == "true"
        value = self._number(text)
        if isinstance(self.default, int) and value.denominator != 1:
            refuse(f"{self._is(text)}, not a whole number")
        if not self._is_inside(value):
            refuse(f"{self._is(text)}: expected a number in {self.within}", self.elsewhere)
        return int(value) if isinstance(self.default, int) else value

    def _is(self, given: object) -> str:
        return f"parameter `{self.name}` is `{shown(str(given))}`"

    def _number(self, given: object) -> Fraction:
        if not isinstance(given, str):
            return exact_weight(given)  # type: ignore[arg-type] # which tells what else it refuses
        try:
            return exact_number(given, signed=True)
        except ValueError as reason:
            refuse(f"parameter `{self.name}`: `{shown(given)}` {reason}", HOW_TO_WRITE)

    def _is_inside(self, value: Fraction) -> bool:
        found = _RANGE.fullmatch(self.within)
        if found is None:
            return True
        opening, least, most, closing = found.groups()
        is_above = least == "-inf" or value > Fraction(least) or (opening == "[" and value == Fraction(least))
        is_below = most == "inf" or value < Fraction(most) or (closing == "]" and value == Fraction(most))
        return is_above and is_below


@dataclass(frozen=True, slots=True)
class Definition:
    """What a method takes."""

    name: str
    weights: Literal["parts", "coefficients", "equal"]
    """What a weight means: a part of their sum, the coefficient itself, or nothing: all count the same."""
    base: Literal["none", "optional", "needed"] = "none"
    fewest: int = 1
    """Ingredients beside the base."""
    most: int | None = None
    parameters: tuple[Parameter, ...] = ()
    reads: bool = True
    """Whether what it does depends on the tensors, so that they are read once before they are averaged."""
    by_filter: str = ""
    """The parameter with which it does so for each index of the first axis, of tensors of two or more."""

    def parameter(self, name: str) -> Parameter:
        """Return a parameter by its name; raises RecipeError with the nearest names."""
        for one in self.parameters:
            if one.name == name:
                return one
        known = [one.name for one in self.parameters]
        hint = nearest(name, known, "parameters") if known else f"`{self.name}` has no parameters"
        refuse(f"`{self.name}` has no parameter `{shown(name)}`", hint)


_LAMBDA: Final = Parameter("lambda", Fraction(1))
_COMBINE: Final = ("mean", "sum")
_NORMALIZE: Final = Parameter("normalize", default=False)
_BY_CHANCE: Final = (
    _LAMBDA,
    Parameter("density", Fraction(1, 2), "(0, 1]"),
    Parameter("seed", 0, "[0, 18446744073709551615]"),
    Parameter("rescale", "inverse", choices=("inverse", "none")),
)
_OF_THE_MIDDLE: Final = (
    _LAMBDA,
    Parameter("density", Fraction(9, 10), "(0, 1]"),
    Parameter("gamma", Fraction(1, 100), "[0, 1)"),
)
_ANY: Final = "task_arithmetic with that weight goes beyond the two"

METHODS: Final = {
    one.name: one
    for one in (
        Definition("linear", "parts", reads=False),
        Definition(
            "task_arithmetic",
            "coefficients",
            "needed",
            parameters=(_LAMBDA, _NORMALIZE),
            reads=False,
        ),
        Definition(
            "interpolate",
            "equal",
            "needed",
            most=1,
            parameters=(Parameter("alpha", Fraction(3, 4), "[0, 1]", elsewhere=_ANY),),
            reads=False,
        ),
        Definition("slerp", "parts", fewest=2, most=2),
        Definition(
            "nuslerp",
            "parts",
            "optional",
            fewest=2,
            most=2,
            parameters=(Parameter("row_wise", default=False),),
            by_filter="row_wise",
        ),
        Definition("multislerp", "parts", "optional", fewest=2),
        Definition(
            "karcher",
            "parts",
            fewest=2,
            parameters=(
                Parameter("max_iter", 10, "[1, 1000]"),
                Parameter("tol", Fraction(1, 100_000), "(0, 1)"),
            ),
        ),
        Definition(
            "model_stock",
            "equal",
            "needed",
            fewest=2,
            parameters=(
                Parameter("average", "cos", choices=("cos", "angle")),
                Parameter("clamp", default=True),
                Parameter("filter_wise", default=False),
            ),
            by_filter="filter_wise",
        ),
        Definition(
            "ties",
            "coefficients",
            "needed",
            parameters=(
                _LAMBDA,
                Parameter("density", Fraction(1, 5), "(0, 1]"),
                Parameter("combine", "mean", choices=_COMBINE),
            ),
        ),
        Definition("dare_linear", "coefficients", "needed", parameters=(*_BY_CHANCE, _NORMALIZE)),
        Definition(
            "dare_ties",
            "coefficients",
            "needed",
            parameters=(*_BY_CHANCE, Parameter("combine", "sum", choices=_COMBINE)),
        ),
        Definition("breadcrumbs", "coefficients", "needed", parameters=(*_OF_THE_MIDDLE, _NORMALIZE)),
        Definition(
            "breadcrumbs_ties",
            "coefficients",
            "needed",
            parameters=(*_OF_THE_MIDDLE, Parameter("combine", "sum", choices=_COMBINE)),
        ),
    )
}
"""All methods by name."""


def find_method(name: str) -> Definition:
    """Return what a method takes; raises RecipeError with the nearest names."""
    found = METHODS.get(name)
    if found is None:
        refuse(f"there is no method `{shown(name)}`", nearest(name, METHODS, "methods"))
    return found


@dataclass(frozen=True, slots=True)
class Method:
    """A method with its base and parameters, as a recipe asks for it.

    Parameters
    ----------
    name : str
        One of `METHODS`.
    base : str, optional
        Path of the checkpoint that deltas are taken to.
    parameters : mapping of name to value, optional
        Numbers as text, int, `Fraction` or `decimal.Decimal`; a float is refused, as for weights.

    Raises
    ------
    RecipeError
        No such method or parameter, a value out of range, no base where one is needed, or one where none is.

    Examples
    --------
    >>> method = Method("task_arithmetic", "path/base", {"lambda": "0.3"})
    >>> method.value("lambda"), method.value("normalize")
    (Fraction(3, 10), False)
    """

    name: str
    base: str | None = None
    parameters: Given = ()
    """By name; those that are the default are left out."""
    base_name: str = field(default="", compare=False)
    """What messages and the recipe's id call the base; its path if left out."""

    def __post_init__(self) -> None:
        """Check everything that can be checked without ingredients, and read the parameters exactly."""
        kind = find_method(self.name)
        if self.base is None and kind.base == "needed":
            refuse(f"`{self.name}` needs a base", "give it: `--base PATH`, or `base:` in a recipe")
        if self.base is not None and kind.base == "none":
            refuse(f"`{self.name}` takes no base", "leave it out, or give it as an ingredient")
        given = self.parameters.items() if isinstance(self.parameters, Mapping) else self.parameters
        read = {name: kind.parameter(name).read(value) for name, value in given}
        chosen = {name: value for name, value in read.items() if value != kind.parameter(name).default}
        object.__setattr__(self, "parameters", tuple(sorted(chosen.items())))

    def found(self, folder: PathText = "") -> Method:
        """Return the same with the path of the base, where it begins in `folder`; see `find_checkpoint`."""
        if self.base is None:
            return self
        return replace(
            self, base=find_checkpoint(self.base, folder=folder), base_name=self.base_name or self.base
        )

    @property
    def definition(self) -> Definition:
        """What the method takes."""
        return METHODS[self.name]

    def value(self, name: str) -> Value:
        """Return the value of a parameter, given or default."""
        return dict(self.parameters).get(name, self.definition.parameter(name).default)  # type: ignore[return-value]

    def number(self, name: str) -> Fraction:
        """Return the value of a parameter that is a number."""
        return Fraction(self.value(name))

    @property
    def is_by_filter(self) -> bool:
        """Whether numbers are found for each index of the first axis, of tensors of two or more."""
        return bool(self.definition.by_filter) and bool(self.value(self.definition.by_filter))

    @property
    def parameter_texts(self) -> dict[str, str]:
        """Every parameter with its value, as text."""
        return {one.name: value_text(self.value(one.name)) for one in self.definition.parameters}

    def check_count(self, given: int, taking: int) -> None:
        """Refuse too few or too many ingredients: of all that are given, those with a weight; no base."""
        kind = self.definition
        if given and not taking and kind.weights == "coefficients":
            refuse(f"`{self.name}`: the weights of all ingredients are 0", "give one another weight")
        count = taking if kind.weights == "equal" else given
        if count >= kind.fewest and (kind.most is None or taking <= kind.most):
            return
        few = counted(kind.fewest, "ingredient")
        beside = " beside its base" if self.base is not None else ""
        at_least = "" if kind.fewest == kind.most else "at least "
        refuse(f"`{self.name}` takes {at_least}{few}{beside}, got {count if count < kind.fewest else taking}")


def value_text(value: Value) -> str:
    """Return a parameter's value as it is written in a recipe.

    Examples
    --------
    >>> value_text(True), value_text(Fraction(1, 4)), value_text("cos")
    ('true', '0.25', 'cos')
    """
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else weight_text(Fraction(value))


def methods_text() -> str:
    """Return the names of all methods, for a help text."""
    return listed(METHODS, limit=len(METHODS)).replace("`", "")
