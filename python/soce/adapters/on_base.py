"""An adapter on top of a base: which tensors of the base it changes, and how, as the core takes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NotRequired, TypedDict

from soce.adapters.adapter import BESIDE_FACTORS, EMBEDDINGS
from soce.adapters.agreement import NOT_SAVED, is_same_base
from soce.adapters.config import CONFIG, MERGE_FIRST
from soce.exceptions import IncompatibleError, Problem, shown
from soce.files.words import listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soce.adapters.adapter import Adapter, Factors
    from soce.adapters.stored import StoredTensor

_FLOATS: Final = frozenset({"F64", "F32", "F16", "BF16"})
_NAMED: Final = 3
"""Tensors that a message names of those that the base lacks: of another base it lacks all."""


class Change(TypedDict):
    """What an adapter makes of a tensor W of its base: W + scale × B·A, or another tensor in the place of W.

    Of one tensor there may be both: then something is added to the other tensor.
    """

    ingredient: int
    """Which of those that the core is given has the base."""
    tensor: str
    """Its name in the base."""
    path: str
    """The adapter's file."""
    a: NotRequired[str]
    b: NotRequired[str]
    scale: NotRequired[float]
    transposed: NotRequired[bool]
    """Whether the base has it transposed, so that (B·A)ᵀ is added."""
    replacement: NotRequired[str]


@dataclass(frozen=True)
class Base:
    """A checkpoint that an adapter is put on, as far as its header and its config tell."""

    path: str
    tensors: Mapping[str, tuple[str, Sequence[int]]]
    """Name → dtype and shape."""
    names: tuple[str, ...] = ()
    """What else it is called."""

    @property
    def called(self) -> str:
        """What messages call it: not the folder of the cache that holds what is somewhere else."""
        return (*self.names, self.path)[0]

    @cached_property
    def _config(self) -> Mapping[str, Any]:
        """What its ``config.json`` says of its language model; nothing where there is none."""
        folder = Path(self.path)
        try:
            found = json.loads(((folder.parent if folder.is_file() else folder) / "config.json").read_bytes())
            inner = found.get("text_config")
            return {**found, **(inner if isinstance(inner, dict) else {})}
        except (OSError, ValueError, AttributeError, RecursionError):
            return {}

    def holds_tokens(self, tensor: str) -> bool:
        """Whether a tensor is an embedding of tokens, or a head over them, by its name or its size."""
        _, shape = self.tensors[tensor]
        size = self._config.get("vocab_size")
        return not EMBEDDINGS.isdisjoint(tensor.split(".")[-2:-1]) or (len(shape) == 2 and shape[0] == size)

    def ties(self, tensor: str) -> bool:
        """Whether head and embedding are one: its config says so, or no other tensor is of that shape."""
        told = self._config.get("tie_word_embeddings")
        if isinstance(told, bool):
            return told
        shape = [*self.tensors[tensor][1]]
        return not any([*other] == shape for name, (_, other) in self.tensors.items() if name != tensor)


def changes_on(adapter: Adapter, base: Base, *, ingredient: int = 0) -> list[Change]:
    """Return what an adapter changes of a base, tensor by tensor.

    Parameters
    ----------
    adapter : Adapter
    base : Base
    ingredient : int
        What to write into the changes.

    Raises
    ------
    IncompatibleError
        The base lacks tensors that are changed, has them in other shapes or quantised, or ties what the
        adapter changes on one side.
    """
    found = _Fitting(adapter, base, ingredient)
    changes = [*found.replacements(), *found.additions()]
    if found.problems:
        raise IncompatibleError.of(found.problems)
    return changes


def base_remark(adapter: Adapter, base: Base) -> str | None:
    """Return what to say of an adapter whose settings name another base than the one it is put on."""
    told = adapter.config.base
    if told is None or any(is_same_base(told, name) for name in (base.path, *base.names)):
        return None
    return (
        f"`{shown(adapter.path)}` is an adapter of `{shown(told)}` by its `{CONFIG}`, and is put on "
        f"`{shown(base.called)}`, whose tensors it fits"
    )


class _Fitting:
    """An adapter laid over a base; problems are gathered, so that all are told at once."""

    def __init__(self, adapter: Adapter, base: Base, ingredient: int) -> None:
        self._adapter = adapter
        self._base = base
        self._ingredient = ingredient
        self.problems: list[Problem] = []
        changed = {f"{module}.weight": factors.a for module, factors in adapter.factors.items()}
        changed |= {_replaced_name(name): tensor for name, tensor in adapter.replaced.items()}
        self._known = self._check_names(changed)
        self._directions = {
            transposed
            for module, factors in adapter.factors.items()
            if (transposed := self._by_shape(f"{module}.weight", factors)) is not None
        }
        """Whether modules are stored transposed, as far as shapes tell."""

    def replacements(self) -> Iterator[Change]:
        for own, stored in self._adapter.replaced.items():
            name = _replaced_name(own)
            if name not in self._known or self._is_one_sided(name, stored):
                continue
            shape = [*self._base.tensors[name][1]]
            if shape != [*stored.shape]:
                hint = f"a changed vocabulary is another one: {MERGE_FIRST}"
                self._add(stored, f"expected shape {shape} of the base, got {[*stored.shape]}", hint)
            else:
                yield Change(
                    ingredient=self._ingredient, tensor=name, path=stored.path, replacement=stored.name
                )

    def additions(self) -> Iterator[Change]:
        for module, factors in self._adapter.factors.items():
            name = f"{module}.weight"
            if name not in self._known or self._is_one_sided(name, factors.a):
                continue
            if any(size != 1 for size in factors.b.shape[2:]):
                shape = [*factors.b.shape]
                self._add(factors.b, f"a B of shape {shape} is convolved with A, not multiplied", MERGE_FIRST)
                continue
            transposed, scale = self._transposed(name, factors), self._scale(factors)
            if transposed is not None and scale is not None:
                yield Change(
                    ingredient=self._ingredient,
                    tensor=name,
                    path=factors.a.path,
                    a=factors.a.name,
                    b=factors.b.name,
                    scale=scale,
                    transposed=transposed,
                )

    def _add(self, stored: StoredTensor, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem("incompatible", stored.path, stored.name, message, hint))

    def _check_names(self, changed: Mapping[str, StoredTensor]) -> set[str]:
        """Return those of the tensors to be changed that the base has, as numbers; note the others."""
        missing = [name for name in changed if name not in self._base.tensors]
        if missing:
            end = f".{missing[0]}"
            same = next((name for name in self._base.tensors if name.endswith(end)), None)
            if same is not None:
                hint = f"it is called `{shown(same)}` there: {MERGE_FIRST}"
            elif (told := self._adapter.config.base) is None:
                hint = "it is an adapter of another base: put it on that one"
            else:
                hint = f"put it on the base that its `{CONFIG}` names, `{shown(told)}`"
            message = f"`{shown(self._base.called)}` has no tensor {listed(missing, limit=_NAMED)}"
            self._add(changed[missing[0]], message, hint)
        known = {name for name in changed if name in self._base.tensors}
        for name in sorted(known):
            if (dtype := self._base.tensors[name][0]) not in _FLOATS:
                message = (
                    f"`{shown(name)}` of `{shown(self._base.called)}` is {dtype}: nothing is added to that"
                )
                self._add(changed[name], message, "put it on the model itself, not on a quantised copy")
                known.discard(name)
        return known

    def _is_one_sided(self, name: str, stored: StoredTensor) -> bool:
        """Note, if it is so, that a change of an embedding would change the head that is tied to it."""
        is_embedding = ".lora_embedding_" in stored.name or self._base.holds_tokens(name)
        if not is_embedding or not self._base.ties(name):
            return False
        message = f"it changes `{shown(name)}`, which is both embedding and head of the base"
        hint = "untie them in the base first: `tie_word_embeddings` false, and a tensor for each"
        if ".lora_" not in stored.name:
            hint = f"{NOT_SAVED}; else {hint}"
        self._add(stored, message, hint)
        return True

    def _by_shape(self, name: str, factors: Factors) -> bool | None:
        """Return whether a module is stored transposed; None if both ways or none would be of its shape.

        Convolutions never are.
        """
        if name not in self._known or factors.is_embedding:
            return None
        product, shape = _product(factors), [*self._base.tensors[name][1]]
        ways = [way for way in (False, True) if shape == (product[::-1] if way else product)]
        if len(shape) != 2:
            ways = ways[:1] if shape == product else []
        return ways[0] if len(ways) == 1 else None

    def _transposed(self, name: str, factors: Factors) -> bool | None:
        """Return whether the base has the transpose of B·A; None, and a problem, if that is not known.

        Of what is square the settings tell it, if they are right about the modules that tell by their shapes.
        """
        product, shape = _product(factors), [*self._base.tensors[name][1]]
        if factors.is_embedding and shape == product[::-1]:
            return True
        if (found := self._by_shape(name, factors)) is not None:
            return found
        if factors.is_embedding or shape != product:
            message = f"B·A is {product}, and `{shown(name)}` of the base is {shape}"
            self._add(factors.a, message, "it is an adapter of another base: take that one")
            return None
        told = self._adapter.config.fan_in_fan_out
        if self._directions <= {told}:
            return told
        message = f"`{shown(name)}` is square, and stored transposed or not: other modules are not all as "
        message += f"`fan_in_fan_out` says, which is {str(told).lower()}"
        self._add(factors.a, message, MERGE_FIRST)
        return None

    def _scale(self, factors: Factors) -> float | None:
        """Return s, rounded as PEFT rounds it; None, and a problem, if it is out of bounds."""
        try:
            return factors.scale.times(Fraction(1))
        except OverflowError:
            self._add(factors.a, "its scale, alpha by rank, is no double", f"mend `lora_alpha` in `{CONFIG}`")
            return None


def _product(factors: Factors) -> list[int]:
    """Return the shape of B·A, (out, in); of a convolution (out, in, ...), of an embedding (size, tokens)."""
    return [factors.b.shape[0], *factors.a.shape[1:]]


def _replaced_name(own: str) -> str:
    """Return what the base calls a tensor that an adapter has whole."""
    return f"{own.removesuffix(BESIDE_FACTORS)}.weight" if own.endswith(BESIDE_FACTORS) else own
