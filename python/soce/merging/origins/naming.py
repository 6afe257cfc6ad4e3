"""What the words of a model's name say of it. Whole words only: `italian`, `chatty` and `git` say nothing."""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable


class Stage(IntEnum):
    """How far a model was trained, in the order of trainings."""

    BASE = 0
    TUNED = 1
    """To follow instructions or to chat; nothing is said of how."""
    SUPERVISED = 2
    PREFERENCE = 3
    REINFORCED = 4

    def differs_from(self, other: Stage) -> bool:
        """Whether the two cannot be one: a model that was tuned may be tuned in any way."""
        return self != other and (Stage.BASE in (self, other) or Stage.TUNED not in (self, other))


_STAGES: Final = {
    **dict.fromkeys(("base", "pretrained", "pt"), Stage.BASE),
    **dict.fromkeys(("instruct", "chat", "it"), Stage.TUNED),
    "sft": Stage.SUPERVISED,
    **dict.fromkeys(("dpo", "ipo", "kto", "cpo", "orpo", "simpo", "ppo", "rlhf", "rlaif"), Stage.PREFERENCE),
    **dict.fromkeys(("grpo", "rlvr"), Stage.REINFORCED),
}
_LANGUAGES: Final = frozenset({"it", "pt"})
"""Words that are codes of languages as well: they are stages in names of Gemma only, whose own they are."""
_TAGS: Final = {
    **{word: stage for word, stage in _STAGES.items() if word not in _LANGUAGES},
    **dict.fromkeys(
        ("finetuned", "fine-tuned", "instruction-tuned", "instruct-tuned", "conversational"), Stage.TUNED
    ),
}
_UNALIGNED: Final = frozenset(
    {"uncensored", "decensored", "abliterated", "abliteration", "heretic", "unaligned", "jailbroken"}
)
_QUANTISED: Final = frozenset({"gptq", "awq", "hqq", "exl2"})
_MIRRORED: Final = frozenset({"meta", "hf"})
"""Words that one model has in one repository and lacks in another: ``Meta-Llama-3-8B``, ``Llama-2-7b-hf``."""
_ROUNDED: Final = _QUANTISED | {"bnb", "4bit", "8bit", "int4", "int8", "fp8", "nf4", "w4a16", "w8a8"}
"""Words of rounded copies; some also say how a model of whole values was trained."""
_NOT: Final = frozenset({"no", "non", "not", "without", "pre", "before"})
_SIZE: Final = re.compile(r"(\d+x)?\d+[bm]")

Words: TypeAlias = "tuple[str, ...]"


def words_of(name: str) -> Words:
    """Return the words of a name in small letters; a word and its ``non`` or ``pre`` are one.

    Examples
    --------
    >>> words_of("Mistral-7B-Instruct-v0.3"), words_of("x_non-chat")
    (('mistral', '7b', 'instruct', 'v0', '3'), ('x', 'non-chat'))
    """
    found: list[str] = []
    for word in re.findall(r"[a-z0-9]+", name.lower()):
        if found and found[-1] in _NOT:
            found[-1] += f"-{word}"
        else:
            found.append(word)
    return tuple(found)


def stem_of(name: str) -> Words:
    """Return the words that say which model it is, whatever its stage, repository and rounding.

    Examples
    --------
    >>> stem_of("Meta-Llama-3.1-8B-Instruct") == stem_of("Llama-3.1-8B")
    True
    """
    words = words_of(name)
    without = _MIRRORED | _UNALIGNED | _ROUNDED | _stage_words(words).keys()
    return tuple(word for word in words if word not in without)


def stage_of(name: str) -> tuple[str, Stage] | None:
    """Return the word of a name that says the furthest stage, and this; None if none does.

    `base` is a size in names such as ``bert-base``, and a stage beside a number of parameters or alone.
    """
    words = words_of(name)
    found = _stage_words(words)
    if not (has_size(words) or set(words) <= {"base", "model"}):
        found.pop("base", None)
    return _furthest(found)


def word_that_lacks(name: str, bare: str) -> str | None:
    """Return the word of a stage that `bare` lacks, if that is all in which the two names differ.

    Examples
    --------
    >>> word_that_lacks("Mistral-7B-Instruct-v0.3", bare="Mistral-7B-v0.3")
    'instruct'
    """
    words, without = identity_of(name), identity_of(bare)
    extra = {word: stage for word, stage in _stage_words(words).items() if word not in without}
    found = _furthest(extra)
    return found[0] if found and without and tuple(w for w in words if w not in extra) == without else None


def stage_of_tags(tags: Iterable[str]) -> tuple[str, Stage] | None:
    """Return the tag that says the furthest stage, and this; None if none does."""
    return _furthest({tag: _TAGS[tag.lower()] for tag in tags if tag.lower() in _TAGS})


def unaligned_in(words: Iterable[str]) -> str | None:
    """Return the word that says that a model was made to refuse nothing."""
    return next((word for word in words if word.lower() in _UNALIGNED), None)


def quantised_in(words: Iterable[str]) -> str | None:
    """Return the word that says that the parameters were rounded to few values."""
    return next((word for word in words if word.lower() in _QUANTISED), None)


def has_size(words: Words) -> bool:
    """Whether a name has a number of parameters: ``8B``, ``160m``, ``8x7B``."""
    return any(_SIZE.fullmatch(word) for word in words)


def identity_of(name: str) -> Words:
    """Return the words that are the same in every repository of one model."""
    return tuple(word for word in words_of(name) if word not in _MIRRORED)


def _stage_words(words: Words) -> dict[str, Stage]:
    is_gemma = any("gemma" in word for word in words)
    return {word: _STAGES[word] for word in words if word in _STAGES and (is_gemma or word not in _LANGUAGES)}


def _furthest(found: dict[str, Stage]) -> tuple[str, Stage] | None:
    return max(found.items(), key=lambda one: one[1], default=None)
