"""LoRA adapters as PEFT saves them, of a tiny model, and what PEFT makes of them."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import torch
from tests.tiny_models import save_models

QUIET = ("`is_gradient_checkpointing`", "Setting `save_embedding_layers`", "Could not find a config file")


def quietly() -> None:
    """Ignore what PEFT and transformers say of their own affairs."""
    for text in QUIET:
        warnings.filterwarnings("ignore", message=text)


def base_model(home: Path, dtype: str = "float32") -> str:
    """Save the base, a Llama of one layer."""
    return save_models(home, 1, dtype=dtype)[0]


def load(base: str, dtype: torch.dtype = torch.float32):
    """Load the base."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(base, dtype=dtype)


def save_adapter(
    base: str,
    path: Path,
    seed: int,
    *,
    dtype: torch.dtype = torch.float32,
    embeddings: bool = False,
    **settings,
) -> str:
    """Save an adapter of random factors, none of them zero."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    given = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "down_proj"], "task_type": "CAUSAL_LM"}
    with warnings.catch_warnings():
        quietly()
        model = get_peft_model(load(base), LoraConfig(**{**given, **settings}))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if "lora_" in name:
                    parameter.normal_(std=0.3)
                elif "modules_to_save" in name:
                    parameter.add_(torch.randn_like(parameter))
        model.to(dtype).save_pretrained(path, save_embedding_layers=embeddings)
    return str(path)


def loaded(base: str, adapter: str, dtype: torch.dtype = torch.float64):
    """Load an adapter on its base with PEFT, which must find every tensor at its place."""
    from peft import PeftModel

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quietly()
        model = PeftModel.from_pretrained(load(base), adapter, autocast_adapter_dtype=False)
    return model.to(dtype).eval()


def deltas(base: str, adapter: str) -> dict[str, torch.Tensor]:
    """Return what PEFT adds to the weight of each module, in doubles."""
    from peft.tuners.lora import LoraLayer

    model = loaded(base, adapter).base_model.model
    return {
        name: module.get_delta_weight("default").detach()
        for name, module in model.named_modules()
        if isinstance(module, LoraLayer)
    }


def merged(base: str, adapter: str, path: Path, dtype: torch.dtype = torch.float64) -> str:
    """Save the base with the adapter merged into it by PEFT."""
    loaded(base, adapter, dtype).merge_and_unload().save_pretrained(path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (path / name).write_bytes((Path(base) / name).read_bytes())
    return str(path)


def change_config(adapter: str, **settings: object) -> None:
    """Write settings into an adapter."""
    path = Path(adapter, "adapter_config.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
