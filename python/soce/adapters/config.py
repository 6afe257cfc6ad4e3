"""What `adapter_config.json` of a LoRA adapter says, and what of it cannot be souped."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import CheckpointError, Problem, shown
from soce.files.documents import read_document
from soce.files.numbers import exact_number
from soce.files.parsing import Bare
from soce.files.words import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from fractions import Fraction

    from soce.files.documents import ParsedFile
    from soce.files.parsing import Value

CONFIG: Final = "adapter_config.json"

MERGE_FIRST: Final = "merge it into its model with PEFT (`merge_and_unload`), and soup the models"

_REFUSED: Final = {
    "use_dora": "DoRA: magnitudes make of W + s·B·A what is no sum of a base and a delta",
    "lora_bias": "its B has a bias (`lora_bias`)",
    "kasa_config": "KaSA: it cuts singular values of the base off",
    "alora_invocation_tokens": "aLoRA: it acts on some tokens only",
    "arrow_config": "Arrow: it routes between adapters",
    "ensure_weight_tying": "its tied layers share factors (`ensure_weight_tying`)",
    "layer_replication": "it repeats layers of its base (`layer_replication`)",
    "monteclora_config": "MonteCLoRA: its factors are random",
    "target_parameters": "it is of parameters, such as stacked experts (`target_parameters`)",
    "trainable_token_indices": "it trains single tokens (`trainable_token_indices`)",
    "use_bdlora": "BD-LoRA: its factors are block-diagonal",
    "use_qalora": "QA-LoRA: it pools what goes into its factors",
}
"""Settings that make of an adapter something else than s·B·A for each module, and what to say of them."""

_BASE_CHANGES: Final = ("pissa", "olora", "corda", "loftq", "lora_ga")
"""Beginnings of `init_lora_weights` after which PEFT subtracts the first factors from the base."""

_WHERE: Final = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern")
_READ: Final = frozenset(
    {
        *("peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "fan_in_fan_out"),
        *("bias", "init_lora_weights", "modules_to_save", "base_model_name_or_path", "revision", "task_type"),
        *("auto_mapping", *_WHERE),
    }
)
_OF_TRAINING: Final = frozenset(
    {
        *("peft_version", "inference_mode", "lora_dropout", "qalora_group_size", "megatron_core"),
        *("loftq_config", "eva_config", "corda_config", "lora_ga_config", "runtime_config"),
    }
)
"""Settings that change nothing of what a trained adapter does."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What B·A of a module is multiplied by: alpha over the rank, or over its root."""

    alpha: Fraction
    rank: int
    has_root: bool
    """Rank-stabilised: alpha over the square root of the rank."""

    def times(self, weight: Fraction) -> float:
        """Return weight × scale, rounded once; with a root, to within a few units in the last place.

        Examples
        --------
        >>> from fractions import Fraction
        >>> Scale(Fraction(16), 8, has_root=False).times(Fraction(1, 2))
        1.0
        >>> from fractions import Fraction
        >>> Scale(Fraction(8), 16, has_root=True).times(Fraction(1))
        2.0
        """
        if self.has_root:
            return float(weight * self.alpha) / math.sqrt(self.rank)
        return float(weight * self.alpha / self.rank)


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """The settings of a LoRA adapter that say what it adds to its base."""

    path: str
    base: str | None
    """The name of its base, as whoever trained it gave it."""
    rank: int
    alpha: Fraction
    ranks: Mapping[str, int]
    """By regular expressions of modules, the first that matches; so are the alphas."""
    alphas: Mapping[str, Fraction]
    has_root: bool
    fan_in_fan_out: bool
    modules_to_save: tuple[str, ...]
    where: Mapping[str, Any]
    """The settings that say which modules have factors."""
    carried: Mapping[str, Any]
    """Settings for whoever loads it: ``task_type``, ``auto_mapping``, ``revision`` of the base."""

    def scale_of(self, module: str) -> Scale:
        """Return the scale of a module, as PEFT finds it."""
        rank = _by_pattern(self.ranks, module, self.rank)
        return Scale(_by_pattern(self.alphas, module, self.alpha), rank, self.has_root)


def read_config(folder: str) -> AdapterConfig:
    """Return the settings of the adapter in a folder.

    Raises
    ------
    CheckpointError
        The folder has none, they are no LoRA adapter's, or they are of a kind that cannot be souped.
    """
    path = Path(folder) / CONFIG
    path.parent.stat()
    if not path.is_file():
        hint = "an adapter is a folder that PEFT saved"
        raise CheckpointError.of([Problem("checkpoint", folder, None, f"it has no `{CONFIG}`", hint)])
    file = read_document(path, error=CheckpointError)
    if not isinstance(file.tree, dict):
        file.refuse((), "not a mapping")
    _refuse_others(file, file.tree)
    reader = _Reader(file, file.tree)
    return AdapterConfig(
        path=file.path,
        base=reader.text("base_model_name_or_path"),
        rank=reader.rank(file.tree.get("r", Bare("8")), ("r",)),
        alpha=reader.number(file.tree.get("lora_alpha", Bare("8")), ("lora_alpha",)),
        ranks=reader.patterns("rank_pattern", reader.rank),
        alphas=reader.patterns("alpha_pattern", reader.number),
        has_root=reader.flag("use_rslora"),
        fan_in_fan_out=reader.flag("fan_in_fan_out"),
        modules_to_save=tuple(reader.names("modules_to_save")),
        where={key: _plain(file.tree[key]) for key in _WHERE if file.tree.get(key)},
        carried={
            key: _plain(file.tree[key])
            for key in ("task_type", "auto_mapping", "revision")
            if file.tree.get(key)
        },
    )


def _by_pattern(table: Mapping[str, Any], module: str, otherwise: Any) -> Any:  # noqa: ANN401 - rank or alpha
    """Return the value of the first pattern that matches the end of a module's name, by PEFT's rule."""
    found = (value for pattern, value in table.items() if re.match(rf"(.*\.)?({pattern})$", module))
    return next(found, otherwise)


def _refuse_others(file: ParsedFile, tree: Mapping[str, Value]) -> None:
    """Refuse what is no plain LoRA, with everything in the way of it at once."""
    kind = tree.get("peft_type")
    if kind != "LORA":
        told = "no `peft_type`" if kind is None else f"a PEFT adapter of type `{shown(str(kind))}`, not LORA"
        file.refuse(("peft_type",), told, MERGE_FIRST)
    problems = [
        file.problem((key,), reason, MERGE_FIRST)
        for key, reason in _REFUSED.items()
        if not _is_off(tree.get(key))
    ]
    if not _is_off(tree.get("bias")) and tree["bias"] != "none":
        problems.append(file.problem(("bias",), "it trains biases of its base (`bias`)", MERGE_FIRST))
    start = str(tree.get("init_lora_weights") or "").lower()
    if start.startswith(_BASE_CHANGES):
        message = f"it began as `{shown(start)}`, which changes its base"
        hint = "save it as plain LoRA: `save_pretrained(..., path_initial_model_for_weight_conversion=...)`"
        problems.append(file.problem(("init_lora_weights",), message, hint))
    known = _READ | _OF_TRAINING | _REFUSED.keys()
    unknown = [key for key, value in tree.items() if key not in known and not _is_off(value)]
    if unknown:
        message = f"settings of PEFT that are not known here: {listed(unknown)}"
        problems.append(file.problem((), message, MERGE_FIRST))
    if problems:
        raise CheckpointError.of(problems)


def _is_off(value: Value) -> bool:
    """Whether a setting is left at what PEFT writes where nobody asked for it."""
    return not value or (isinstance(value, Bare) and value == "false")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Single settings of a file, each refused with its place."""

    file: ParsedFile
    tree: Mapping[str, Value]

    def text(self, key: str) -> str | None:
        value = self.tree.get(key)
        if value is not None and (not isinstance(value, str) or isinstance(value, Bare)):
            self.file.refuse((key,), "not a text")
        return value or None

    def flag(self, key: str) -> bool:
        value = self.tree.get(key)
        if value is not None and (not isinstance(value, Bare) or value not in {"true", "false"}):
            self.file.refuse((key,), "neither true nor false")
        return value == "true"

    def names(self, key: str) -> list[str]:
        value = self.tree.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            self.file.refuse((key,), "not a list of names")
        names = [name for name in value if isinstance(name, str) and not isinstance(name, Bare)]
        if len(names) < len(value):
            self.file.refuse((key,), "not a list of names")
        return names

    def number(self, value: Value, place: tuple[str, ...]) -> Fraction:
        if not isinstance(value, Bare):
            self.file.refuse(place, "not a number")
        try:
            return exact_number(value, signed=True)
        except ValueError as reason:
            self.file.refuse(place, f"`{shown(str(value))}` {reason}")

    def rank(self, value: Value, place: tuple[str, ...]) -> int:
        number = self.number(value, place)
        if number.denominator != 1 or number < 1:
            self.file.refuse(place, f"the rank {shown(str(value))} is no positive integer")
        return number.numerator

    def patterns(self, key: str, read: Callable[[Value, tuple[str, ...]], Any]) -> dict[str, Any]:
        value = self.tree.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.file.refuse((key,), "not a mapping of modules")
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as damage:
                message = f"`{shown(pattern)}` is no regular expression: {damage}"
                self.file.refuse((key, pattern), message)
        return {pattern: read(one, (key, pattern)) for pattern, one in value.items()}


def _plain(value: Value) -> Any:  # noqa: ANN401 - any tree
    from soce.files.documents import as_json

    return as_json(value)
