"""mergekit's settings of a weight: one number, a list over the layers, values by parts of tensors' names."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import AfterValidator, Field, Tag

from soce.exceptions import shown
from soce.files.validation import BY_KIND, LIST, MAPPING, SINGLE, Strict
from soce.recipes.native import SignedWeight
from soce.recipes.parts import over_their_sum, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from soce.files.documents import Place
    from soce.recipes.layers import Layers


def _no_pattern(text: str) -> str:
    if text != "*" and not {"*", "?", "["}.isdisjoint(text):
        hint = "mergekit takes it for a part of a tensor's name, such as `mlp`; only `*` alone is every name"
        refuse(f"the filter `{shown(text)}` is a pattern, which no name contains", hint)
    return text


def _one_kind(entries: tuple[Fraction | Condition, ...]) -> tuple[Fraction | Condition, ...]:
    if len({isinstance(entry, Condition) for entry in entries}) > 1:
        refuse("numbers and `value`s in one list", "write numbers alone, or a `value` for each `filter`")
    return entries


Gradient: TypeAlias = Annotated[tuple[SignedWeight, ...], Field(min_length=1)]


class Condition(Strict):
    """A value for the tensors whose names contain a text."""

    value: Annotated[Annotated[SignedWeight, Tag(SINGLE)] | Annotated[Gradient, Tag(LIST)], BY_KIND]
    filter: Annotated[str, Field(min_length=1), AfterValidator(_no_pattern)] = "*"


_Entry: TypeAlias = Annotated[
    Annotated[SignedWeight, Tag(SINGLE)] | Annotated[Condition, Tag(MAPPING)], BY_KIND
]
_Entries: TypeAlias = Annotated[tuple[_Entry, ...], Field(min_length=1), AfterValidator(_one_kind)]
Setting: TypeAlias = Annotated[
    Annotated[SignedWeight, Tag(SINGLE)]
    | Annotated[Condition, Tag(MAPPING)]
    | Annotated[_Entries, Tag(LIST)],
    BY_KIND,
]
"""A number, numbers over the layers, or conditions of which the first that applies counts."""


@dataclass(frozen=True, slots=True)
class NamedWeight:
    """What some tensors get."""

    text: str
    """In their names; empty is in all."""
    anchors: tuple[Fraction, ...]
    """Values at evenly spaced points from the first layer to the last."""


def choices(setting: Setting | None) -> tuple[NamedWeight, ...]:
    """Return what a setting says, the first choice that applies counts."""
    entries = () if setting is None else setting if isinstance(setting, tuple) else (setting,)
    numbers = tuple(entry for entry in entries if isinstance(entry, Fraction))
    if numbers:
        return (NamedWeight("", numbers),)
    return tuple(
        NamedWeight(
            "" if entry.filter == "*" else entry.filter,
            (entry.value,) if isinstance(entry.value, Fraction) else entry.value,
        )
        for entry in entries
        if isinstance(entry, Condition)
    )


def numbers_of(setting: Setting | None) -> Iterator[tuple[Place, Fraction]]:
    """Give every number of a setting with its place there."""
    entries: Iterable[tuple[Place, Fraction | Condition]] = [] if setting is None else [((), setting)]  # type: ignore[list-item]
    if isinstance(setting, tuple):
        entries = (((i,), entry) for i, entry in enumerate(setting))
    for place, entry in entries:
        if isinstance(entry, Fraction):
            yield place, entry
        elif isinstance(entry.value, Fraction):
            yield (*place, "value"), entry.value
        else:
            yield from (((*place, "value", i), one) for i, one in enumerate(entry.value))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive layers, and what is set for each model there."""

    start: int
    end: int
    settings: tuple[tuple[NamedWeight, ...], ...]
    """For each model; the first choice that applies counts."""
    normalize: bool = True
    factor: tuple[NamedWeight, ...] | None = None
    """What weights are multiplied by, after they are divided by their sum with `normalize`."""

    def weights(self, name: str, layer: int | None) -> list[Fraction | None]:
        """Return each model's weight of a tensor; None for the layer is outside of all layers.

        Anchors span the layers of this stretch. What lies outside of all layers gets the first of them.
        """
        at = Fraction(0)
        if layer is not None:
            count = self.end - self.start
            at = Fraction(layer - self.start, count - 1) if count > 1 else Fraction(1)
        found = [_value_of(own, name, at) for own in self.settings]
        if self.factor is None:
            return found
        known = [weight for weight in found if weight is not None]
        if len(known) < len(found):
            return found  # which is refused
        factor = _value_of(self.factor, name, at)
        each = over_their_sum(known) if self.normalize else known
        return [weight if factor is None else factor * weight for weight in each]

    @property
    def _all(self) -> Iterator[tuple[NamedWeight, ...]]:
        yield from self.settings
        yield self.factor or ()

    @property
    def texts(self) -> set[str]:
        """What is looked for in names."""
        return {choice.text for own in self._all for choice in own} - {""}

    @property
    def has_lists(self) -> bool:
        """Whether a value depends on the layer."""
        return any(len(choice.anchors) > 1 for own in self._all for choice in own)

    @property
    def is_plain(self) -> bool:
        """Whether one number for each model is all that counts."""
        return all(not own[0].text and len(own[0].anchors) == 1 for own in self._all if own)

    def gives_as(self, other: Stretch) -> bool:
        """Whether one number for each model is the same in another."""
        mine, others = (
            (one.settings, one.factor, one.normalize or one.factor is None) for one in (self, other)
        )
        return mine == others


def _value_of(choices: Iterable[NamedWeight], name: str, at: Fraction) -> Fraction | None:
    """Return the value of the first choice that applies to a tensor."""
    return next((_between(choice.anchors, at) for choice in choices if choice.text in name), None)


def _between(anchors: Sequence[Fraction], at: Fraction) -> Fraction:
    """Return the value between evenly spaced anchors, of which the first is at 0 and the last at 1."""
    place = at * (len(anchors) - 1)
    left = floor(place)
    right = min(left + 1, len(anchors) - 1)
    return anchors[left] + (place - left) * (anchors[right] - anchors[left])


Weights: TypeAlias = "tuple[Fraction, ...]"


def as_rows(
    mixes: Mapping[str, Weights], default: Weights | None, texts: Sequence[str], layers: Layers
) -> list[tuple[str, Weights]]:
    """Return patterns with weights, of which the first that matches gives each tensor its mix.

    The patterns are those of layers, of texts in names, and of both, as far as all tensors that are left for
    one have the same mix; what no pattern can say stands by its name. What no row matches gets the default.
    """
    prefixes = [f"{layers.stack}{i}." for i in range(layers.count)]
    candidates = [
        *(("", text) for text in texts),
        *((prefix, text) for text in texts for prefix in prefixes),
        *((prefix, "") for prefix in prefixes),
    ]
    left = dict(mixes)
    rows: list[tuple[str, str, list[str], Weights]] = []
    for prefix, text in candidates:
        names = [name for name in left if _matches(prefix, text, name)]
        if len({left[name] for name in names}) == 1:
            rows.append((prefix, text, names, left[names[0]]))
            for name in names:
                del left[name]
    needed = []
    for i, (prefix, text, names, mix) in enumerate(rows):
        others = (_matches(*later[:2], name) for later in rows[i + 1 :] for name in names)
        if mix != default or any(others):
            needed.append((f"{prefix}*{text}*" if text else f"{prefix}*", mix))
    return needed + [(name, mix) for name, mix in left.items() if mix != default]


def _matches(prefix: str, text: str, name: str) -> bool:
    return name.startswith(prefix) and text in name[len(prefix) :]
