"""A soup by the names of a pool's models: parts, and what is made of them if that is not their average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeAlias

from soce.exceptions import shown
from soce.recipes.methods import Method
from soce.recipes.model import Ingredient, Recipe
from soce.recipes.parts import weights_text
from soce.recipes.wire import method_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Parts: TypeAlias = Mapping[str, int]
"""Model → integer parts; models that are left out have none. A plain mapping is their average."""


@dataclass(frozen=True, slots=True)
class MadeSoup(Mapping[str, int]):
    """Parts of models that are made into something else than their average."""

    parts: Mapping[str, int]
    method: Method | None = None
    """Its base is the name of a model."""
    divisor: int | None = None
    """What the parts are divided by where they are coefficients of a method; else only proportions count."""

    def __getitem__(self, name: str) -> int:
        """Return the parts of a model."""
        return self.parts[name]

    def __iter__(self) -> Iterator[str]:
        """Give the models."""
        return iter(self.parts)

    def __len__(self) -> int:
        """Return how many models there are."""
        return len(self.parts)


def method_of(parts: Parts) -> Method | None:
    """Return what is done with the models; None of an average."""
    return parts.method if isinstance(parts, MadeSoup) else None


def whole_of(parts: Parts) -> int:
    """Return what the parts are divided by: their sum, unless they are coefficients."""
    divisor = parts.divisor if isinstance(parts, MadeSoup) else None
    return sum(parts.values()) if divisor is None else divisor


def without_zeros(parts: Parts) -> Parts:
    """Return the same soup of the models that have a part."""
    used = {name: part for name, part in parts.items() if part}
    return replace(parts, parts=used) if isinstance(parts, MadeSoup) else used


def soup_text(parts: Parts, *, called: Callable[[str], str] = shown) -> str:
    """Return a soup as people read it; models are `called` so where it is no average.

    Examples
    --------
    >>> soup_text({"a": 1, "b": 3})
    '1/4 a + 3/4 b'
    >>> soup_text(MadeSoup({"a": 1, "b": 1}, Method("task_arithmetic", "zero", {"lambda": "0.3"})))
    'task_arithmetic (lambda 0.3) of a, b on zero'
    """
    method = method_of(parts)
    if method is None:
        return weights_text(parts)
    texts = method.parameter_texts
    chosen = ", ".join(f"{name} {texts[name]}" for name in dict(method.parameters))
    used = {name: part for name, part in parts.items() if part}
    is_equal = len(set(used.values())) == 1 and whole_of(parts) in (1, sum(used.values()))
    of = ", ".join(map(called, used)) if is_equal else _weighted(used, whole_of(parts), called)
    base = "" if method.base is None else f" on {called(method.base)}"
    return f"{method.name}{f' ({chosen})' if chosen else ''} of {of}{base}"


def _weighted(used: Mapping[str, int], whole: int, called: Callable[[str], str]) -> str:
    return " + ".join(f"{Fraction(part, whole)} {called(name)}" for name, part in used.items())


def recipe_of(parts: Parts, paths: Mapping[str, str], names: Iterable[str]) -> Recipe:
    """Return the recipe of a soup over these models, whose checkpoints lie at these paths."""
    method, whole = method_of(parts), 1
    if method is not None:
        whole = whole_of(parts)
        if method.base is not None:
            method = replace(
                method, base=paths.get(method.base, method.base), base_name=method.base_name or method.base
            )
    weights = {name: Fraction(parts.get(name, 0), whole) for name in names}
    return Recipe(
        tuple(Ingredient(paths[name], weight, name) for name, weight in weights.items()), method=method
    )


def soup_to_json(parts: Parts) -> dict[str, object]:
    """Return parts, whole, and the method if there is one."""
    method = method_of(parts)
    asked = {} if method is None else {"method": method_to_json(method)}
    return {"parts": dict(parts), "whole": whole_of(parts), **asked}


def soup_from_json(data: Mapping[str, Any]) -> Parts:
    """Return what `soup_to_json` described."""
    parts = {str(name): int(part) for name, part in data["parts"].items()}
    if min(parts.values()) < 0 or not any(parts.values()):
        message = f"a soup of {parts}"
        raise ValueError(message)
    asked = data.get("method")
    if asked is None:
        return parts
    method = Method(str(asked["name"]), asked["base"], dict(asked["parameters"]))
    is_coefficients = method.definition.weights == "coefficients"
    return MadeSoup(parts, method, int(data["whole"]) if is_coefficients else None)
