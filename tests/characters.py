"""A tokenizer of single characters, as small as the models of the tests, and tasks in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \n.,:;=+-*/?!()[]<>'"


def save_characters(path: Path, *, start: bool = True) -> Any:
    """Save beside a model, and return, a tokenizer of characters that puts ``<s>`` in front of a text."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<s>", "</s>"] if start else ["<pad>"]
    words = {word: i for i, word in enumerate([*special, *CHARACTERS, "<unk>"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    named = {"pad_token": "<pad>", "unk_token": "<unk>"}
    if start:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
        named |= {"bos_token": "<s>", "eos_token": "</s>"}
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)
    wrapped.save_pretrained(path)
    return wrapped


def save_choices(path: Path) -> None:
    """Save tasks: twelve items of three choices in each of two categories."""
    items = [
        {
            "id": f"{category}{i}",
            "kind": "multiple_choice",
            "category": category,
            "prompt": f"{category} {i}=",
            "choices": ["abc", "bcd", "cde"],
            "answer": i % 3,
        }
        for category in ("math", "code")
        for i in range(12)
    ]
    path.write_text("".join(json.dumps(item) + "\n" for item in items))
