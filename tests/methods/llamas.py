"""Tiny Llamas of three layers as arrays, as files, and how far apart two of them are."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from tests.checkpoints import checkpoint, read_directory

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

Arrays: TypeAlias = "dict[str, NDArray[np.float32]]"

LAYERS = 3
IN_LAYER = {
    **dict.fromkeys([f"self_attn.{one}_proj" for one in "qkvo"], (16, 16)),
    **dict.fromkeys(["mlp.gate_proj", "mlp.up_proj"], (24, 16)),
    "mlp.down_proj": (16, 24),
    **dict.fromkeys(["input_layernorm", "post_attention_layernorm"], (16,)),
}
SHAPES: dict[str, tuple[int, ...]] = {
    "model.embed_tokens.weight": (64, 16),
    **{f"model.layers.{i}.{part}.weight": shape for i in range(LAYERS) for part, shape in IN_LAYER.items()},
    "model.norm.weight": (16,),
    "lm_head.weight": (64, 16),
}
CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "vocab_size": 64,
    "tie_word_embeddings": False,
}


def drawn(seed: int) -> Arrays:
    """Return normal values of a size that weights have, each a float32."""
    rng = np.random.default_rng(seed)
    return {name: (0.05 * rng.normal(size=shape)).astype(np.float32) for name, shape in SHAPES.items()}


def moved(base: Arrays, step: float, *deltas: Arrays) -> Arrays:
    """Return the base with `step` times the sum of deltas added."""
    return {
        name: (start + step * sum(delta[name] for delta in deltas)).astype(np.float32)
        for name, start in base.items()
    }


def write(folder: Path, arrays: Arrays) -> Path:
    """Write a checkpoint."""
    tensors = {
        name: ("F32", list(array.shape), array.astype("<f4").tobytes()) for name, array in arrays.items()
    }
    return checkpoint(folder, tensors, config=CONFIG)


def load(folder: Path) -> Arrays:
    """Return what `write` wrote."""
    return {
        name: np.frombuffer(data, "<f4").reshape(shape)
        for name, (_, shape, data) in read_directory(folder).items()
    }


def apart(one: Arrays, other: Arrays) -> float:
    """Return the largest difference, in units in the last place of the largest element of its tensor."""
    assert one.keys() == other.keys()
    return max(_units(one[name], other[name]) for name in one)


def _units(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    difference = np.abs(one.astype(np.float64) - other).max()
    return float(difference / np.spacing(np.abs(one).max()))
