"""A soup by the names of a pool's models: parts, and what is made of them if that is not their average."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from soce.exceptions import shown
from soce.recipes.methods import Method
from soce.recipes.model import Ingredient, Recipe
from soce.recipes.parts import weights_text
from soce.recipes.rows import Row
from soce.recipes.wire import method_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Parts: TypeAlias = Mapping[str, int]
"""Model → integer parts; models that are left out have none. A plain mapping is their average."""
_ROWS: Final = 4
"""That are told."""


@dataclass(frozen=True, slots=True)
class MadeSoup(Mapping[str, int]):
    """Parts of models that are made into something else than their average."""

    parts: Mapping[str, int]
    method: Method | None = None
    """Its base is the name of a model."""
    divisor: int | None = None
    """What the parts are divided by where they are coefficients of a method; else only proportions count."""
    rows: tuple[tuple[str, Mapping[str, int]], ...] = ()
    """Patterns of tensor names with parts of their own, tried first, in order."""

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


def rows_of(parts: Parts) -> tuple[tuple[str, Parts], ...]:
    """Return the patterns of tensors that have parts of their own."""
    return parts.rows if isinstance(parts, MadeSoup) else ()


def is_plain(parts: Parts) -> bool:
    """Whether it is an average of the same weights in every tensor."""
    return method_of(parts) is None and not rows_of(parts)


def whole_of(parts: Parts) -> int:
    """Return what the parts are divided by: their sum, unless they are coefficients."""
    divisor = parts.divisor if isinstance(parts, MadeSoup) else None
    return sum(parts.values()) if divisor is None else divisor


def without_zeros(parts: Parts) -> Parts:
    """Return the same soup of the models that have a part in some tensor."""
    if rows_of(parts):
        return parts
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
    method, rows = method_of(parts), rows_of(parts)
    if is_plain(parts):
        return weights_text(parts)
    if rows:
        most = [f"`{pattern}` {_of(one, whole_of(parts), called)}" for pattern, one in rows[:_ROWS]]
        more = [f"{len(rows) - _ROWS} more"] if len(rows) > _ROWS else []
        weights = "; ".join([*most, *more, f"else {_of(parts, whole_of(parts), called)}"])
    else:
        weights = _of(parts, whole_of(parts), called)
    if method is None:
        return weights
    texts = method.parameter_texts
    chosen = ", ".join(f"{name} {texts[name]}" for name in dict(method.parameters))
    base = "" if method.base is None else f" on {called(method.base)}"
    return f"{method.name}{f' ({chosen})' if chosen else ''} of {weights}{base}"


def _of(parts: Parts, whole: int, called: Callable[[str], str]) -> str:
    """Return weights; equal ones are not told."""
    used = {name: part for name, part in parts.items() if part}
    if len(set(used.values())) == 1 and whole in (next(iter(used.values())), sum(used.values())):
        return ", ".join(map(called, used))
    total = sum(used.values()) if whole == sum(parts.values()) else whole
    return " + ".join(f"{Fraction(part, total)} {called(name)}" for name, part in used.items())


def recipe_of(parts: Parts, paths: Mapping[str, str], names: Iterable[str]) -> Recipe:
    """Return the recipe of a soup over these models, whose checkpoints lie at these paths."""
    method, names = method_of(parts), list(names)
    divisor = parts.divisor if isinstance(parts, MadeSoup) else None
    if method is not None and method.base is not None:
        path, name = paths.get(method.base, method.base), method.base_name or method.base
        method = replace(method, base=path, base_name=name)

    def weights(of: Parts) -> list[Fraction]:
        return [Fraction(of.get(name, 0), divisor or 1) for name in names]

    rows = [
        Row.of_weights(pattern, weights(of))
        if method is None
        else Row.of_method(pattern, weights(of), method)
        for pattern, of in rows_of(parts)
    ]
    given = zip(names, weights(parts), strict=True)
    return Recipe(tuple(Ingredient(paths[name], weight, name) for name, weight in given), tuple(rows), method)


def soup_to_json(parts: Parts) -> dict[str, object]:
    """Return parts and whole, and method and rows if there are any."""
    method = method_of(parts)
    asked = {} if method is None else {"method": method_to_json(method)}
    rows = [{"pattern": pattern, "parts": dict(one)} for pattern, one in rows_of(parts)]
    return {
        "parts": dict(parts),
        "whole": whole_of(parts),
        **asked,
        **({"rows": rows} if rows else {}),
    }


def soup_from_json(data: Mapping[str, Any]) -> Parts:
    """Return what `soup_to_json` described."""
    parts = _parts_of(data)
    asked = data.get("method")
    rows = tuple((str(one["pattern"]), _parts_of(one)) for one in data.get("rows", ()))
    if asked is None and not rows:
        return parts
    if asked is None:
        return MadeSoup(parts, rows=rows)
    method = Method(str(asked["name"]), asked["base"], dict(asked["parameters"]))
    is_coefficients = method.definition.weights == "coefficients"
    return MadeSoup(parts, method, int(data["whole"]) if is_coefficients else None, rows)


def _parts_of(data: Mapping[str, Any]) -> dict[str, int]:
    parts = {str(name): int(part) for name, part in data["parts"].items()}
    if min(parts.values()) < 0 or not any(parts.values()):
        message = f"a soup of {parts}"
        raise ValueError(message)
    return parts
