"""Live models of FP8 ingredients: equal to what is published, or refused in one line."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from tests import fp8
from tests.checkpoints import read_directory, write_file
from tests.tiny_models import save_models

import soce
from soce.exceptions import EvaluationError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from soce.evaluate.live.soup_model import SoupModel  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers' own


def as_fp8(path: Path) -> None:
    """Put codes and scales in the place of a model's linear layers, whatever they were."""
    random_ = random.Random(5)
    tensors = read_directory(path)
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        shape = tensors[name][1]
        tensors[name] = fp8.codes(random_, shape)
        grid = [-(-n // 16) for n in shape]
        tensors[f"{name}_scale_inv"] = fp8.scales(random_, grid, "BF16")
    write_file(path / "model.safetensors", tensors)
    config = json.loads((path / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8", "weight_block_size": [16, 16]}
    (path / "config.json").write_text(json.dumps(config))


def test_a_live_model_is_the_published_soup_of_fp8_and_bf16(tmp_path: Path) -> None:
    a, b = save_models(tmp_path, dtype="bfloat16")
    as_fp8(Path(b))
    recipe = soce.Recipe.of({a: 1, b: 2})
    soce.merge(recipe, output=tmp_path / "soup", options=soce.MergeOptions(sync=False))
    published = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "soup").state_dict()
    live = SoupModel([a, b], device="cpu")
    live.set(recipe)
    got = live.model.state_dict()
    assert got.keys() == published.keys()
    for name, tensor in published.items():
        assert tensor.dtype == torch.bfloat16
        assert torch.equal(got[name].view(torch.int16), tensor.view(torch.int16)), name


def test_a_live_model_made_of_codes_is_refused(tmp_path: Path) -> None:
    a, b = save_models(tmp_path, dtype="bfloat16")
    as_fp8(Path(b))
    with pytest.raises(EvaluationError, match="is FP8, and the live model is made of the first") as caught:
        SoupModel([b, a], device="cpu")
    assert f"soce-merge {b} --output {b}-bf16" in (caught.value.problems[0].hint or "")
