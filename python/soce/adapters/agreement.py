"""Whether adapters can be souped with each other: one base, and the same modules in the same shapes."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from soce.adapters.adapter import BESIDE_FACTORS
from soce.adapters.config import CONFIG, MERGE_FIRST
from soce.exceptions import IncompatibleError, Problem, shown
from soce.files.words import listed
from soce.recipes.checkpoint_paths import cached_repository

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.adapters.adapter import Adapter, Factors

NOT_SAVED: Final = "if it is as in the base, save the adapter with `save_embedding_layers=False`"


def check_agreement(adapters: Sequence[Adapter]) -> None:
    """Raise `IncompatibleError` with every reason why adapters cannot be souped."""
    problems = [*_bases(adapters), *_shapes(adapters), *_replaced(adapters)]
    if problems:
        raise IncompatibleError.of(problems)


def is_same_base(one: str, other: str) -> bool:
    """Whether two names may be of one model: the same folder, or the same last part of a path or an id.

    Examples
    --------
    >>> is_same_base("org/model-8B", "/data/models/model-8B"), is_same_base("org/a", "org/b")
    (True, False)
    >>> is_same_base("org/model", f"/cache/models--org--model/snapshots/{40 * 'a'}")
    True
    """
    return _is_surely_same(one, other) or PurePath(_known(one)).name == PurePath(_known(other)).name


def base_remarks(adapters: Sequence[Adapter]) -> list[str]:
    """Return what to say of bases that are taken for one only because their names end alike."""
    called = [(one.path, one.config.base) for one in adapters if one.config.base is not None]
    return [
        f"`{shown(path)}` calls its base `{shown(base)}`, and `{shown(called[0][0])}` calls it "
        f"`{shown(called[0][1])}`: they are taken for one model"
        for path, base in called[1:]
        if not _is_surely_same(called[0][1], base)
    ]


def _is_surely_same(one: str, other: str) -> bool:
    if os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other):  # noqa: PTH110, PTH121
        return True
    return _known(one) == _known(other)


def _known(name: str) -> str:
    """Return the id of a model that lies in the Hub's cache, any other name as it is."""
    return cached_repository(name)[0] or name


def outside(factors: Factors) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of the factors of a module without their ranks."""
    return factors.a.shape[1:], (factors.b.shape[0], *factors.b.shape[2:])


def _bases(adapters: Sequence[Adapter]) -> Iterator[Problem]:
    called = [(one.path, one.config.base) for one in adapters if one.config.base is not None]
    for path, base in called[1:]:
        first, expected = called[0]
        if not is_same_base(expected, base):
            message = f"an adapter of `{shown(base)}`, but `{shown(first)}` is one of `{shown(expected)}`"
            hint = f"if both are one model, write one `base_model_name_or_path` into each `{CONFIG}`"
            yield Problem("incompatible", path, None, message, hint)


def _shapes(adapters: Sequence[Adapter]) -> Iterator[Problem]:
    firsts: dict[str, tuple[Adapter, Factors]] = {}
    for adapter in adapters:
        for module, factors in adapter.factors.items():
            first, expected = firsts.setdefault(module, (adapter, factors))
            if (outside(factors), factors.is_embedding) != (outside(expected), expected.is_embedding):
                message = (
                    f"A {list(factors.a.shape)} and B {list(factors.b.shape)} of `{shown(module)}` do not go "
                    f"with A {list(expected.a.shape)} and B {list(expected.b.shape)} of `{shown(first.path)}`"
                )
                hint = "they are adapters of different bases, which have no soup"
                yield Problem("incompatible", adapter.path, factors.a.name, message, hint)


def _replaced(adapters: Sequence[Adapter]) -> Iterator[Problem]:
    for name in sorted({name for adapter in adapters for name in adapter.replaced}):
        first, *others = [one for one in adapters if name in one.replaced]
        stored = first.replaced[name]
        if without := [one.path for one in adapters if name not in one.replaced]:
            message = f"the adapter replaces what is as the base has it in {listed(without)}"
            hint = f"{NOT_SAVED}, or {MERGE_FIRST}" if name.endswith(BESIDE_FACTORS) else MERGE_FIRST
            yield Problem("incompatible", first.path, stored.name, message, hint)
        for other in others:
            if (shape := other.replaced[name].shape) != stored.shape:
                message = f"shape {list(shape)}, but {list(stored.shape)} in `{shown(first.path)}`"
                yield Problem("incompatible", other.path, stored.name, message, None)
