"""A model without weights says who would score, and what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.models import save
from tests.tiny_models import save_models

from soce.evaluate.kinds import open_evaluator, outline_of
from soce.evaluate.options import EvaluatorOptions
from soce.exceptions import EvaluationError, SoceError
from soce.merging.options import MergeOptions
from soce.recipes.model import Recipe

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("torch")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "options",
    [{}, {"merge": MergeOptions(dtype="f16")}, {"compute_dtype": "f32"}, {"model_class": "LlamaForCausalLM"}],
    ids=["plain", "merge", "compute", "class"],
)
def test_it_is_known_by_the_name_of_the_model_itself(
    tmp_path: Path, dtype: str, options: dict[str, Any]
) -> None:
    from soce.evaluate.live.outline import ModelOutline
    from soce.evaluate.live.soup_model import SoupModel

    paths = save_models(tmp_path, 2, dtype=dtype, tied=dtype == "bfloat16")
    outline, model = ModelOutline(paths, **options), SoupModel(paths, **options)
    assert outline.identity == model.identity
    assert {tensor.device.type for tensor in outline.model.state_dict().values()} == {"meta"}
    held = [*model.model.parameters(), *model.model.buffers()]
    assert outline.memory_bytes == sum(tensor.nbytes for tensor in held)


def test_so_is_a_mixture_whose_tensors_are_fused_on_load(tmp_path: Path) -> None:
    from soce.evaluate.live.outline import ModelOutline
    from soce.evaluate.live.soup_model import SoupModel

    paths = list(map(str, save(tmp_path, "qwen3-moe", "bfloat16", range(2))))
    assert ModelOutline(paths).identity == SoupModel(paths).identity


def test_evaluators_on_it_are_those_on_the_model(tmp_path: Path) -> None:
    paths = save_models(tmp_path / "models", 2)
    tasks = tmp_path / "tasks.jsonl"
    items = [
        {"category": "math", "kind": "exact_match", "prompt": "1 + 1 =", "answer": "2"},
        {"category": "code", "kind": "multiple_choice", "prompt": "a", "choices": ["b", "c"], "answer": 0},
    ]
    tasks.write_text("".join(json.dumps(item) + "\n" for item in items))
    options = EvaluatorOptions()
    outline = outline_of([str(tasks)], paths, options)
    assert outline is not None
    seen, made = (open_evaluator(str(tasks), model, options) for model in (outline, paths))
    assert seen.identity == made.identity
    assert seen.item_ids() == made.item_ids()
    assert seen.item_keys() == made.item_keys()  # type: ignore[attr-defined]
    seen.close()


def test_a_program_needs_no_model() -> None:
    assert outline_of([["python", "{checkpoint}"]], ["nowhere"], EvaluatorOptions()) is None


def test_what_does_not_fit_is_refused_as_by_the_model(tmp_path: Path) -> None:
    from soce.evaluate.live.outline import ModelOutline

    paths = save_models(tmp_path, 2)
    with pytest.raises(SoceError, match="nowhere"):
        ModelOutline([*paths, "nowhere"])
    with pytest.raises(EvaluationError, match="no model class `Nothing`"):
        ModelOutline(paths, model_class="Nothing")


def test_it_can_be_no_soup(tmp_path: Path) -> None:
    from soce.evaluate.live.outline import ModelOutline

    paths = save_models(tmp_path, 2)
    with pytest.raises(EvaluationError, match="without its weights"):
        ModelOutline(paths).set(Recipe.of(paths))


@pytest.mark.parametrize(("device", "told"), [("gpu", "`gpu` is no device"), ("mps", "cannot be used here")])
def test_a_device_that_is_none_is_refused(tmp_path: Path, device: str, told: str) -> None:
    import torch

    from soce.evaluate.live.soup_model import SoupModel

    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("it is here")
    with pytest.raises(EvaluationError, match=told):
        SoupModel(save_models(tmp_path, 2), device=device)
