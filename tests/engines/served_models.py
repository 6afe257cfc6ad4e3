"""Tiny models of several architectures that vLLM serves on a CPU: heads of at least 32 elements."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.tiny_models import CHARACTERS, save_models

SHAPE: dict[str, Any] = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "vocab_size": len(CHARACTERS) + 4,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}


def save_family(home: Path, kind: str, dtype: str, *, count: int = 3, **changes: Any) -> list[str]:
    """Save models of one architecture (``llama``, ``llama-tied``, ``qwen2`` or ``mixtral``) far from each other."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    kind, _, tied = kind.partition("-")
    shape = {**SHAPE, "tie_word_embeddings": bool(tied) or kind == "qwen2", **changes}
    if kind == "mixtral":
        shape |= {"num_local_experts": 4, "num_experts_per_tok": 2}
    config = AutoConfig.for_model(kind, **shape)
    [tokenized] = save_models(home / "tokenizer", 1)
    paths = []
    for seed in range(count):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3)
                if parameter.ndim == 1:
                    parameter.add_(torch.randn_like(parameter), alpha=0.1)
        path = home / f"{kind}{seed}"
        model.to(getattr(torch, dtype)).save_pretrained(path)
        for file in Path(tokenized).glob("*token*"):
            shutil.copy(file, path)
        paths.append(str(path))
    return paths


def with_nan(path: str, home: Path) -> str:
    """Save a copy of a model with a value in the middle that is none."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(path, home)
    tensors = load_file(home / "model.safetensors")
    tensors["model.layers.1.input_layernorm.weight"][3] = float("nan")
    save_file(tensors, home / "model.safetensors", metadata={"format": "pt"})
    return str(home)
