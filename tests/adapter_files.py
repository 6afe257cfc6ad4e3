"""LoRA adapters written without any library."""

from __future__ import annotations

import json
from pathlib import Path

from tests.checkpoints import Tensors, f32, write_file


def adapter(path: Path, tensors: Tensors | None = None, **settings: object) -> Path:
    """Write an adapter of one module `x.y` of rank 1, of a base of 2 × 3."""
    start = "base_model.model.x.y"
    given = {
        f"{start}.lora_A.weight": ("F32", [1, 3], f32(1, 2, 3)),
        f"{start}.lora_B.weight": ("F32", [2, 1], f32(1, -1)),
    }
    write_file(path / "adapter_model.safetensors", given if tensors is None else tensors)
    config = {
        "peft_type": "LORA",
        "r": 1,
        "lora_alpha": 2,
        "target_modules": ["y"],
        "base_model_name_or_path": "org/base",
    }
    (path / "adapter_config.json").write_text(json.dumps(config | settings))
    return path
