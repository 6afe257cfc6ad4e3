"""A LoRA adapter as PEFT saves it: which modules it changes, by which factors, and which it replaces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.adapters.config import CONFIG, MERGE_FIRST, read_config
from soce.adapters.stored import read_header
from soce.exceptions import CheckpointError, Problem, shown
from soce.files.words import listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.adapters.config import AdapterConfig, Scale
    from soce.adapters.stored import StoredTensor

TENSORS: Final = "adapter_model.safetensors"
PREFIX: Final = "base_model.model."
"""What PEFT writes in front of the names of the base."""

_FACTOR: Final = re.compile(r"(?P<module>.+)\.lora_(?P<kind>embedding_)?(?P<which>[AB])(?(kind)|\.weight)")
EMBEDDINGS: Final = frozenset({"embed_tokens", "lm_head"})
"""Modules that PEFT saves whole where the vocabulary was changed, without naming them in the settings."""
BESIDE_FACTORS: Final = ".base_layer.weight"
"""End of the name of an embedding or head that is saved whole beside its factors."""


@dataclass(frozen=True, slots=True)
class Factors:
    """What an adapter adds to the weight of one module: scale × B·A."""

    module: str
    """Its name in the base."""
    a: StoredTensor
    """Of shape (rank, in, ...); of an embedding, (rank, tokens)."""
    b: StoredTensor
    """Of shape (out, rank, ...)."""
    scale: Scale
    is_embedding: bool
    """Then B·A is the transpose of what is added."""

    @property
    def rank(self) -> int:
        """How many rows A has."""
        return self.a.shape[0]


@dataclass(frozen=True, slots=True)
class Adapter:
    """A LoRA adapter that can be souped."""

    path: str
    config: AdapterConfig
    factors: Mapping[str, Factors]
    """By module."""
    replaced: Mapping[str, StoredTensor]
    """Tensors of the base that the adapter has whole, by their names in its file without `PREFIX`."""


def read_adapter(folder: str) -> Adapter:
    """Return the adapter in a folder that PEFT saved: settings and header are read, no number is.

    Raises
    ------
    CheckpointError
        It is damaged, or of a kind that is no sum of a base and s·B·A for each module.
    """
    config = read_config(folder)
    path = Path(folder) / TENSORS
    if not path.is_file():
        others = sorted(one.name for one in Path(folder).glob("adapter_model*"))
        told = f", only {listed(others)}" if others else ""
        hint = "save it with a PEFT that writes safetensors: load it and call `save_pretrained`"
        raise CheckpointError.of([Problem("checkpoint", folder, None, f"it has no `{TENSORS}`{told}", hint)])
    halves: dict[str, dict[str, StoredTensor]] = {}
    embeddings: set[str] = set()
    replaced: dict[str, StoredTensor] = {}
    for tensor in read_header(str(path)).values():
        name = tensor.name.removeprefix(PREFIX)
        if name == tensor.name:
            tensor.refuse(f"its name does not begin with `{PREFIX}`", "save the adapter with PEFT")
        if match := _FACTOR.fullmatch(name):
            halves.setdefault(match["module"], {})[match["which"]] = tensor
            if match["kind"]:
                embeddings.add(match["module"])
        elif ".lora_" in name:
            tensor.refuse("it is neither A nor B of a module: this is no plain LoRA", MERGE_FIRST)
        else:
            replaced[name] = tensor
    factors = {
        module: _factors(module, found, config, is_embedding=module in embeddings)
        for module, found in sorted(halves.items())
    }
    for name, tensor in replaced.items():
        if not _is_known(name, config, factors):
            hint = f"name its module in `modules_to_save` of `{CONFIG}` if the adapter replaces it"
            tensor.refuse("no module of the adapter has it", hint)
    if not factors:
        raise CheckpointError.of([Problem("checkpoint", str(path), None, "it has no factors A and B", None)])
    return Adapter(folder, config, factors, dict(sorted(replaced.items())))


def _factors(
    module: str, found: Mapping[str, StoredTensor], config: AdapterConfig, *, is_embedding: bool
) -> Factors:
    """Return the factors of a module, whose shapes must fit each other and the settings."""
    if found.keys() != {"A", "B"}:
        (present,) = found.values()
        present.refuse("its module has only one of the two factors", "fetch or copy the adapter again")
    a, b = found["A"], found["B"]
    scale = config.scale_of(module)
    for tensor in (a, b):
        if len(tensor.shape) < 2 or 0 in tensor.shape:
            hint = "it was saved from a sharded model whose parts were not gathered: save it again"
            tensor.refuse(f"a factor of shape {list(tensor.shape)}", hint)
    if a.shape[0] != b.shape[1]:
        b.refuse(f"expected {a.shape[0]} columns, as A has rows, got shape {list(b.shape)}", MERGE_FIRST)
    if a.shape[0] != scale.rank:
        message = f"its rank is {a.shape[0]}, the settings of `{shown(module)}` say {scale.rank}"
        a.refuse(message, f"mend `r` or `rank_pattern` in `{CONFIG}`: the scale depends on it")
    return Factors(module, a, b, scale, is_embedding)


def _is_known(name: str, config: AdapterConfig, factors: Mapping[str, Factors]) -> bool:
    """Whether a tensor is of a module that adapters may replace."""
    if name.endswith(BESIDE_FACTORS):
        return name.removesuffix(BESIDE_FACTORS) in factors
    parts = name.split(".")[:-1]
    within = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return any(module.endswith(wanted) for module in within for wanted in config.modules_to_save) or bool(
        parts and parts[-1] in EMBEDDINGS
    )
