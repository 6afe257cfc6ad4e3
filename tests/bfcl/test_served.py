"""BFCL on a model that is really served: a tiny one, by the engine transformers."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bfcl.stand_ins import BFCL_PYTHON, needs_bfcl, save_tokenizer

from soce.evaluate.bfcl.evaluator import BfclEvaluator, BfclOptions
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.kinds import open_evaluator, outline_of
from soce.evaluate.options import EvaluatorOptions
from soce.evaluate.served.model import ServedModel
from soce.recipes.model import Recipe

pytestmark = [pytest.mark.bfcl, needs_bfcl]
CATEGORIES = ("simple_python", "simple_java", "parallel_multiple", "live_irrelevance", "multi_turn_base")
MAX_LENGTH = 8192


def save_models(home: Path) -> list[str]:
    """Save two tiny Llamas of bytes that answer at random, and differently."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    paths = []
    for seed in range(2):
        folder = home / f"model{seed}"
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=258,
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=MAX_LENGTH,
            eos_token_id=1,
            bos_token_id=None,
            pad_token_id=None,
        )
        model = LlamaForCausalLM(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(4)
        model.save_pretrained(folder)
        written = (folder / "config.json").read_bytes()
        save_tokenizer(folder)
        (folder / "config.json").write_bytes(written)
        paths.append(str(folder))
    return paths


def test_soups_are_asked_one_after_another_and_leave_no_state(tmp_path: Path) -> None:
    paths = save_models(tmp_path)
    recipes = [Recipe.of({paths[0]: "1"}), Recipe.of(paths)]
    with_limit = BfclOptions(python=BFCL_PYTHON, max_tokens=8)
    scored = BfclEvaluator(ServedModel.start(paths, "transformers", EngineOptions()), CATEGORIES, with_limit)
    try:
        items = {name: ids[:2] for name, ids in scored.item_ids().items()}
        first, second, again = (scored.score(recipe, items=items) for recipe in (*recipes, recipes[0]))
    finally:
        scored.close()
    assert first == again
    assert first.answers != second.answers
    assert first.item_ids() == items
    assert first.categories["live_irrelevance"].score == 1  # what is random is no call
    assert first.categories["simple_python"].score == 0
    # Functions of several turns do not fit into what this model sees.
    assert any(note.startswith("2 items had prompts that the model cannot see") for note in first.notes)
    told = [answer for name in CATEGORIES[:4] for answer in first.answers[name].values()]
    assert {answer.ending for answer in told} <= {"length", "stop"}
    assert all(answer.text for answer in told)


def test_an_outline_says_what_would_be_asked_and_as_whom(tmp_path: Path) -> None:
    paths = save_models(tmp_path)
    options = EvaluatorOptions(engine="transformers", bfcl_python=BFCL_PYTHON, max_new_tokens=8)
    outline = outline_of(["bfcl:non_python"], paths, options)
    assert outline is not None
    told = open_evaluator("bfcl:non_python", outline, options)
    assert {name: len(ids) for name, ids in (told.item_ids() or {}).items()} == {
        "simple_java": 100,
        "simple_javascript": 50,
    }
    assert told.identity["max_tokens"] == 8
    assert told.identity["engine"]
    told.close()
