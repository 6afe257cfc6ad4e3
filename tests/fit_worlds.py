"""Tiny models and items that coefficients can be fitted on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from tests.checkpoints import read_file, write_file
from tests.tiny_models import save_models

Head = Literal["untied", "tied", "both stored"]


def save_experts(home: Path, count: int = 3, *, head: Head = "untied", dtype: str = "float64") -> list[str]:
    """Save models with a tensor of integers that is none of theirs; a tied head may be stored twice.

    They are GPT-2, which computes in one dtype throughout: Llama has float32 inside.
    """
    import torch
    from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

    (llama,) = save_models(home / "llama", 1)
    tokenizer = AutoTokenizer.from_pretrained(llama)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=128,
        n_embd=32,
        n_layer=1,
        n_head=2,
        tie_word_embeddings=head != "untied",
        bos_token_id=1,
        eos_token_id=2,
    )
    paths = []
    for seed in range(count):
        torch.manual_seed(seed)
        model = GPT2LMHeadModel(config)
        with torch.no_grad():
            for parameter in model.parameters():  # far from uniform predictions
                parameter.mul_(4)
        path = home / f"model{seed}"
        model.to(getattr(torch, dtype)).save_pretrained(path)
        tokenizer.save_pretrained(path)
        file = path / "model.safetensors"
        tensors = {**read_file(file), "ids": ("I64", [2], bytes(16))}
        if head == "both stored":
            tensors["lm_head.weight"] = tensors["transformer.wte.weight"]
        write_file(file, tensors)
        paths.append(str(path))
    return paths


def write_items(path: Path, *, kinds: bool = True) -> Path:
    """Write items of every kind in categories of different sizes, or only of answers to prompts."""
    lines: list[dict[str, object]] = [
        {
            "category": "sums",
            "id": f"s{i}",
            "kind": "teacher_forced",
            "prompt": f"{i}?",
            "answer": f"{2 * i}ab",
        }
        for i in range(7)
    ]
    lines += [
        {
            "category": "said",
            "id": f"w{i}",
            "kind": "exact_match",
            "prompt": f"say {'abc'[i]}",
            "answer": f" {i}",
        }
        for i in range(3)
    ]
    if kinds:
        lines += [
            {
                "category": "chosen",
                "id": f"c{i}",
                "kind": "multiple_choice",
                "prompt": f"{i} is ",
                "choices": ["odd", "even", "no"],
                "answer": i % 3,
            }
            for i in range(4)
        ]
        lines += [
            {"category": "texts", "id": f"t{i}", "kind": "perplexity", "text": "the cat sat"[i:]}
            for i in range(2)
        ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path
