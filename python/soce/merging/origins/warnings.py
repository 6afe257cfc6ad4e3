"""Warnings about ingredients whose origins differ, one sentence of each kind, with its sources.

The paper souped finished and aligned models of one pretrained checkpoint. It advises against souping other
stages of training, and unaligned models with aligned ones. Where nothing tells, nothing is said; nor is what
holds for all ingredients alike.

References
----------
.. [1] Maiti et al., "Souper-Model", arXiv:2511.13254, section 7.1 (limitations).
"""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, TypeAlias

from soce.exceptions import shown
from soce.files.words import grouped
from soce.merging.origins.front_matter import README
from soce.merging.origins.licences import licences_differ
from soce.merging.origins.naming import (
    Stage,
    quantised_in,
    stem_of,
    unaligned_in,
    word_that_lacks,
    words_of,
)
from soce.merging.origins.origin import read_origins
from soce.recipes.model import same_path_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from soce.merging.origins.origin import Origin

Claim: TypeAlias = "tuple[Origin, str]"
"""An ingredient, and what is said of it: its source, with the word or value that stands there."""


def origin_warnings(ingredients: Sequence[tuple[str, str]]) -> list[str]:
    """Return what to say of ingredients, each given as what it is called and its path, before a merge."""
    if len(ingredients) < 2:
        return []
    origins = read_origins(ingredients)
    licences = licences_differ([*dict.fromkeys(one for origin in origins for one in origin.licences)])
    return [*origins_differ(origins), *([] if licences is None else [licences])]


def origins_differ(origins: Sequence[Origin]) -> list[str]:
    """Return a sentence on each kind of difference but that of licences."""
    kinds = (_stages, _moments, _unaligned, _bases, _quantised, _twice)
    return [text for kind in kinds if (text := kind(origins)) is not None]


def _stages(origins: Sequence[Origin]) -> str | None:
    """Return the sentence on bases beside models that were tuned, and on trainings that went less far."""
    claims = (*_by_words(origins), *_by_siblings(origins), *_by_ancestry(origins), *_by_templates(origins))
    found = {one.path: text for one, text in reversed(claims)}  # the first of each is kept
    return _sentence(
        "the ingredients look like different stages of training",
        [(one, found.get(one.path)) for one in origins],
        "the paper souped finished models only, and advises against mixing stages",
    )


def _stage_pairs(origins: Sequence[Origin]) -> Iterator[tuple[Origin, Origin]]:
    """Yield pairs both ways, but no model with an adapter on top of it: that mean is a smaller adapter."""
    for one, other in permutations(origins, 2):
        if not (one.is_on(other) or other.is_on(one)):
            yield one, other


def _by_words(origins: Sequence[Origin]) -> Iterator[Claim]:
    for one, other in _stage_pairs(origins):
        if one.stage and other.stage and one.stage.stage.differs_from(other.stage.stage):
            yield one, one.stage.text


def _by_siblings(origins: Sequence[Origin]) -> Iterator[Claim]:
    """Yield models whose names differ in the word of a stage only, which one of them lacks."""
    for one, other in _stage_pairs(origins):
        if other.stage is not None:
            continue
        for (source, name), (there, bare) in product(one.names, other.names):
            if word := word_that_lacks(name, bare):
                yield one, f"({source}: `{word}`)"
                yield other, f"({there}: that of `{shown(one.label)}` without `{word}`)"


def _by_ancestry(origins: Sequence[Origin]) -> Iterator[Claim]:
    """Yield models beside the one that they were trained from; what was merely changed is no stage."""
    for one, other in _stage_pairs(origins):
        base = one.trained_from
        if base is not None and other.is_called(base):
            stages = {origin.stage.stage if origin.stage else None for origin in (one, other)}
            stems = {stem_of(origin.names[0][1]) for origin in (one, other)}
            if len(stages) > 1 or len(stems) > 1:
                yield one, f"({one.bases_source}: `{shown(base)}`)"
                yield other, f"({one.bases_source}, of `{shown(one.label)}`)"


def _by_templates(origins: Sequence[Origin]) -> Iterator[Claim]:
    """Yield models that have no chat template and are not said to be tuned, and those that have one."""
    having = [one for one in origins if one.has_template]
    lacking = [
        one
        for one in origins
        if one.has_template is False and (one.stage is None or one.stage.stage == Stage.BASE)
    ]
    if having and lacking:
        for one in (*having, *lacking):
            word = "there" if one.has_template else "none"
            yield one, one.stage.text if one.stage else f"({one.template_source}: {word})"


def _moments(origins: Sequence[Origin]) -> str | None:
    """Return the sentence on checkpoints that were saved on the way beside others of their training."""
    found = {}
    for one, other in permutations(origins, 2):
        if one.moment and other.moment and one.moment.differs_from(other.moment):
            found[one.path] = one.moment.source
        if not one.moment and other.moment and not other.moment.is_last and _holds(one, other):
            found[one.path] = f"(path: holds `{shown(other.label)}`)"
            found.setdefault(other.path, other.moment.source)
    return _sentence(
        "the ingredients were saved at different moments of training",
        [(one, found.get(one.path)) for one in origins],
        "the paper souped finished models only",
    )


def _holds(one: Origin, other: Origin) -> bool:
    return Path(same_path_key(one.path)) == Path(same_path_key(other.path)).parent


def _unaligned(origins: Sequence[Origin]) -> str | None:
    """Return the sentence on models that were made to refuse nothing, beside others."""
    return _some(
        "uncensored or unaligned models stand beside others",
        [(one, _word(one, unaligned_in, with_bases=True)) for one in origins],
        "a soup may inherit their risks, so the paper advises against it",
    )


def _quantised(origins: Sequence[Origin]) -> str | None:
    """Return the sentence on models whose values were rounded to few, beside others."""
    by_card = "(README.md, base_model_relation: `quantized`)"
    return _some(
        "quantised models stand beside others",
        [
            (one, by_card if one.relation == "quantized" else _word(one, quantised_in, with_bases=False))
            for one in origins
        ],
        "their values were rounded: take the originals",
    )


def _word(one: Origin, find: Callable[[Iterable[str]], str | None], *, with_bases: bool) -> str | None:
    """Return the first word that `find` knows in names, tags or bases, with where it stands."""
    places = [(source, words_of(name)) for source, name in one.names]
    places.append(("README.md, tags", one.tags))
    places += [(one.bases_source, words_of(base)) for base in one.bases if with_bases]
    found = ((source, find(words)) for source, words in places)
    return next((f"({source}: `{shown(word)}`)" for source, word in found if word), None)


def _bases(origins: Sequence[Origin]) -> str | None:
    """Return the sentence on ingredients whose cards name different models as the one they come from."""
    roots = [(one, _root(one, origins)) for one in origins]
    if len({stem_of(PurePath(root).name) for _, root in roots if root}) < 2:
        return None
    return _sentence(
        "the ingredients name different base models",
        [(one, root and f"from `{shown(root)}` (README.md, base_model)") for one, root in roots],
        "the paper souped models of one pretrained checkpoint; `soce doctor` says how far they lie apart",
    )


def _root(one: Origin, origins: Sequence[Origin]) -> str | None:
    """Return the model that an ingredient was trained from, through the cards of other ingredients."""
    root, left = None, [other for other in origins if other is not one]
    while one.trained_from is not None and one.bases_source.startswith(README):
        root = one.trained_from
        parent = next((other for other in left if other.is_called(root)), None)
        if parent is None:
            break
        one, left = parent, [other for other in left if other is not parent]
    return root


def _twice(origins: Sequence[Origin]) -> str | None:
    """Return the sentence on ingredients that hold other ingredients."""
    found = {
        one.path: f"({one.bases_source}: `{shown(base)}`)"
        for one in origins
        for base in one.bases
        if one.is_merge or one.relation == "quantized"
        if any(other is not one and other.is_called(base) for other in origins)
    }
    return _sentence(
        "ingredients that hold other ingredients already",
        [(one, found.get(one.path)) for one in origins],
        "what is in both gets more than its weight",
    )


def _some(what: str, claims: Sequence[tuple[Origin, str | None]], advice: str) -> str | None:
    """Return the sentence unless it holds for all."""
    return None if all(text for _, text in claims) else _sentence(what, claims, advice)


def _sentence(what: str, claims: Sequence[tuple[Origin, str | None]], advice: str) -> str | None:
    said = [(one.label, text) for one, text in claims if text is not None]
    return f"{what}: {grouped(said)}; {advice}" if said else None
