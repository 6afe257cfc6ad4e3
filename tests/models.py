"""Tiny models that transformers itself makes and saves, and what they hold once loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import reference

LLAMA = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
}
TORCH_NAMES = {
    "torch.bfloat16": "BF16",
    "torch.float16": "F16",
    "torch.float32": "F32",
    "torch.float64": "F64",
}


def llama(*, tied: bool) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**LLAMA, tie_word_embeddings=tied))


def mixtral() -> Any:
    from transformers import MixtralConfig, MixtralForCausalLM

    return MixtralForCausalLM(MixtralConfig(**LLAMA, num_local_experts=4, num_experts_per_tok=2))


def qwen_moe() -> Any:
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    config = Qwen3MoeConfig(
        **LLAMA, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16
    )
    return Qwen3MoeForCausalLM(config)


def bert() -> Any:
    from transformers import BertConfig, BertModel

    sizes = {
        key: LLAMA[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
    }
    return BertModel(BertConfig(**sizes, intermediate_size=48, max_position_embeddings=32))


def vit() -> Any:
    from transformers import ViTConfig, ViTForImageClassification

    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    return ViTForImageClassification(ViTConfig(**sizes, image_size=32, patch_size=8, num_labels=5))


MODELS: dict[str, Callable[[], Any]] = {
    "llama-untied": lambda: llama(tied=False),
    "llama-tied": lambda: llama(tied=True),
    "mixtral": mixtral,
    "qwen3-moe": qwen_moe,
    "bert": bert,
    "vit": vit,
}


def save(home: Path, kind: str, dtype: str, seeds: range, max_shard_size: str = "50GB") -> list[Path]:
    """Let transformers save one model per seed."""
    import torch

    paths = []
    for seed in seeds:
        torch.manual_seed(seed)
        paths.append(home / f"seed{seed}")
        MODELS[kind]().to(getattr(torch, dtype)).save_pretrained(paths[-1], max_shard_size=max_shard_size)
    return paths


def load(path: Path, kind: str) -> tuple[Any, dict[str, tuple[str, list[int], bytes]]]:
    """Let transformers load a model: the model, and dtype, shape and bytes of everything in its state dict."""
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForImageClassification

    auto = {"bert": AutoModel, "vit": AutoModelForImageClassification}.get(kind, AutoModelForCausalLM)
    model, info = auto.from_pretrained(path, dtype="auto", output_loading_info=True)
    assert {key: found for key, found in info.items() if found} == {}, "everything found, nothing left over"
    return model, {name: raw(tensor) for name, tensor in model.state_dict().items()}


def raw(tensor: Any) -> tuple[str, list[int], bytes]:
    """Return safetensors' dtype, the shape and the bytes of a torch tensor."""
    import torch

    data = tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return TORCH_NAMES.get(str(tensor.dtype), str(tensor.dtype)), list(tensor.shape), data


def mean_of(
    states: list[dict[str, tuple[str, list[int], bytes]]], parts: tuple[int, ...], out: str | None = None
):
    """Return the exact mean of state dicts; what is not a float must be equal."""
    means = {}
    for name, (dtype, shape, data) in states[0].items():
        columns = [(state[name][0], state[name][2]) for state in states]
        if dtype in reference.FORMATS:
            means[name] = (out or dtype, shape, reference.soup(columns, parts, sum(parts), out))
        else:
            assert all(column == (dtype, data) for column in columns)
            means[name] = (dtype, shape, data)
    return means
