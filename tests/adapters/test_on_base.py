"""What adapters change of a base, tensor by tensor, judged by PEFT; and what does not fit."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests import lora
from tests.adapter_files import adapter
from tests.checkpoints import Tensors, checkpoint, f32, read_directory, read_file

from soce._core import Mixer
from soce.adapters.adapter import read_adapter
from soce.adapters.on_base import Base, Change, base_remark, changes_on
from soce.exceptions import IncompatibleError

START = "base_model.model"


def base_of(path: Path | str, *names: str) -> Base:
    tensors = {name: (dtype, shape) for name, dtype, shape in Mixer([str(path)]).tensors()}
    return Base(str(path), tensors, names)


def changes(base: Path | str, path: Path | str) -> list[Change]:
    return changes_on(read_adapter(str(path)), base_of(base))


def doubles(tensors: Tensors) -> dict[str, np.ndarray]:
    codes = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
    return {
        name: np.frombuffer(data, codes[dtype]).astype(float).reshape(shape)
        for name, (dtype, shape, data) in tensors.items()
        if dtype in codes
    }


def applied(base: dict[str, np.ndarray], made: Sequence[Change]) -> dict[str, np.ndarray]:
    """Carry changes out in doubles, replacements first."""
    found = dict(base)
    for change in made:
        stored = doubles(read_file(Path(change["path"])))
        if "replacement" in change:
            found[change["tensor"]] = stored[change["replacement"]]
            continue
        a, b = stored[change["a"]], stored[change["b"]]
        product = b.reshape(len(b), -1) @ a.reshape(len(a), -1)
        before = found[change["tensor"]]
        added = product.T if change["transposed"] else product
        found[change["tensor"]] = before + change["scale"] * added.reshape(before.shape)
    return found


def check(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-12, atol=1e-13, err_msg=name)


SETTINGS = (
    {"r": 4, "lora_alpha": 6},
    {"r": 3, "lora_alpha": 5, "use_rslora": True, "target_modules": ["q_proj", "v_proj"]},
    {"rank_pattern": {"down_proj": 5}, "alpha_pattern": {"^model.layers.0.self_attn.q_proj": 7}},
    {"target_modules": ["q_proj", "embed_tokens"], "modules_to_save": ["lm_head"]},
    {"target_modules": ["embed_tokens"], "embeddings": True},
)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return lora.base_model(tmp_path_factory.mktemp("base"))


@pytest.mark.parametrize("settings", SETTINGS)
def test_changes_are_those_of_peft(llama: str, tmp_path: Path, settings: dict[str, object]) -> None:
    path = lora.save_adapter(llama, tmp_path / "lora", 1, **settings)
    found = applied(doubles(read_directory(Path(llama))), changes(llama, path))
    lora.merged(llama, path, tmp_path / "merged")
    check(found, doubles(read_directory(tmp_path / "merged")))


class Odd(torch.nn.Module):
    """Modules of all kinds that PEFT puts factors on; square ones tell nothing by their shapes."""

    def __init__(self) -> None:
        from transformers.pytorch_utils import Conv1D

        super().__init__()
        self.wide = torch.nn.Linear(3, 5)
        self.square = torch.nn.Linear(4, 4)
        self.turned = Conv1D(6, 4)
        self.turned_square = Conv1D(4, 4)
        self.image = torch.nn.Conv2d(2, 3, (2, 3))
        self.sound = torch.nn.Conv1d(2, 4, 3)
        self.words = torch.nn.Embedding(7, 3)


@pytest.mark.parametrize(
    "targets",
    [
        ["wide", "square", "image", "sound"],
        ["turned", "turned_square"],
        ["turned", "wide", "image"],
        ["words", "wide"],
    ],
)
def test_of_every_kind_of_module(tmp_path: Path, targets: list[str]) -> None:
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import save_file

    torch.manual_seed(3)
    model = Odd()
    (tmp_path / "base").mkdir()
    save_file(model.state_dict(), tmp_path / "base" / "model.safetensors")
    (tmp_path / "base" / "config.json").write_text('{"model_type": "odd", "tie_word_embeddings": false}')
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned = get_peft_model(model, LoraConfig(r=2, lora_alpha=3, target_modules=targets))
        with torch.no_grad():
            for name, parameter in tuned.named_parameters():
                if "lora_" in name:
                    parameter.normal_()
        tuned.save_pretrained(tmp_path / "lora", save_embedding_layers=False)
    found = applied(doubles(read_directory(tmp_path / "base")), changes(tmp_path / "base", tmp_path / "lora"))
    merged = tuned.double().merge_and_unload()
    check(found, {name: tensor.numpy() for name, tensor in merged.state_dict().items()})


def told(base: Path | str, path: Path | str) -> str:
    with pytest.raises(IncompatibleError) as caught:
        changes(base, path)
    assert all("\n" not in f"{problem}" for problem in caught.value.problems)
    return str(caught.value)


def base(path: Path, shape: Sequence[int] = (2, 3), name: str = "x.y.weight", **config: object) -> Path:
    count = int(np.prod(shape))
    return checkpoint(path, {name: ("F32", [*shape], f32(*range(count)))}, config=config)


def test_another_base_is_refused(tmp_path: Path) -> None:
    path = adapter(tmp_path / "a")
    assert changes(base(tmp_path / "right"), path)[0]["tensor"] == "x.y.weight"
    said = told(base(tmp_path / "other", name="x.z.weight"), path)
    assert "has no tensor `x.y.weight`" in said
    assert "put it on the base that its `adapter_config.json` names, `org/base`" in said
    assert "merge_and_unload" not in said
    said = told(base(tmp_path / "inner", name="model.x.y.weight"), path)
    assert "it is called `model.x.y.weight` there" in said
    assert "B·A is [2, 3], and `x.y.weight` of the base is [2, 4]" in told(base(tmp_path / "w", (2, 4)), path)
    assert "B·A is [2, 3]" in told(base(tmp_path / "deep", (2, 3, 1)), path)


def test_a_base_of_elsewhere_is_called_by_its_name(tmp_path: Path) -> None:
    on = base_of(base(tmp_path / "cache", name="x.z.weight"), "org/elsewhere")
    with pytest.raises(IncompatibleError, match=r"`org/elsewhere` has no tensor `x.y.weight`"):
        changes_on(read_adapter(str(adapter(tmp_path / "a"))), on)


def test_a_quantised_base_is_refused(tmp_path: Path) -> None:
    quantised = checkpoint(tmp_path / "q", {"x.y.weight": ("I8", [2, 3], bytes(6))})
    said = told(quantised, adapter(tmp_path / "a"))
    assert "is I8: nothing is added to that" in said
    assert "not on a quantised copy" in said


def square(**settings: object) -> dict[str, object]:
    return {"r": 1, "lora_alpha": 1, "target_modules": ["y", "z"], **settings}


def factors(module: str, inner: int, outer: int) -> Tensors:
    return {
        f"{START}.{module}.lora_A.weight": ("F32", [1, inner], f32(*range(inner))),
        f"{START}.{module}.lora_B.weight": ("F32", [outer, 1], f32(*range(outer))),
    }


@pytest.mark.parametrize("told_so", [False, True])
@pytest.mark.parametrize("is_turned", [False, True])
def test_of_what_is_square_the_settings_tell_the_direction_if_they_are_right_elsewhere(
    tmp_path: Path, told_so: bool, is_turned: bool
) -> None:
    on = checkpoint(
        tmp_path / "base",
        {
            "x.y.weight": ("F32", [2, 2], f32(*range(4))),
            "x.z.weight": ("F32", [2, 3] if is_turned else [3, 2], f32(*range(6))),
        },
    )
    both = {**factors("x.y", 2, 2), **factors("x.z", 2, 3)}
    path = adapter(tmp_path / "a", both, **square(fan_in_fan_out=told_so))
    if told_so == is_turned:
        assert [one["transposed"] for one in changes(on, path)] == [is_turned, is_turned]
    else:
        said = told(on, path)
        assert "`x.y.weight` is square" in said
        assert f"which is {str(told_so).lower()}" in said


EMBEDDING: Tensors = {
    f"{START}.embed_tokens.lora_embedding_A": ("F32", [1, 3], f32(1, 2, 3)),
    f"{START}.embed_tokens.lora_embedding_B": ("F32", [2, 1], f32(1, -1)),
}
WHOLE: Tensors = {**factors("x.y", 3, 2), f"{START}.embed_tokens.weight": ("F32", [3, 2], f32(*range(6)))}


@pytest.mark.parametrize("tensors", [EMBEDDING, WHOLE])
@pytest.mark.parametrize(
    ("config", "has_head", "is_tied"),
    [
        ({"tie_word_embeddings": True}, False, True),
        ({"tie_word_embeddings": True}, True, True),
        ({"text_config": {"tie_word_embeddings": True}}, True, True),
        ({"tie_word_embeddings": False}, True, False),
        ({}, False, True),
        ({}, True, False),
    ],
)
def test_an_embedding_that_is_tied_is_not_changed_alone(
    tmp_path: Path, tensors: Tensors, config: dict[str, object], has_head: bool, is_tied: bool
) -> None:
    held: Tensors = {"x.y.weight": ("F32", [2, 3], f32(*range(6)))}
    for name in ("embed_tokens", "head")[: 1 + has_head]:
        held[f"{name}.weight"] = ("F32", [3, 2], f32(*range(6)))
    on = checkpoint(tmp_path / "base", held, config=config)
    path = adapter(tmp_path / "a", tensors, modules_to_save=None)
    if is_tied:
        said = told(on, path)
        assert "it changes `embed_tokens.weight`, which is both embedding and head" in said
        assert "untie them in the base first" in said
        assert ("save_embedding_layers=False" in said) == (tensors is WHOLE)
    else:
        assert "embed_tokens.weight" in [one["tensor"] for one in changes(on, path)]


def test_a_vocabulary_that_grew_is_refused(tmp_path: Path) -> None:
    held: Tensors = {
        "x.y.weight": ("F32", [2, 3], f32(*range(6))),
        "embed_tokens.weight": ("F32", [2, 2], f32(*range(4))),
    }
    on = checkpoint(tmp_path / "base", held, config={"tie_word_embeddings": False})
    said = told(on, adapter(tmp_path / "a", WHOLE))
    assert "expected shape [2, 2] of the base, got [3, 2]" in said
    assert "a changed vocabulary" in said


def test_everything_that_does_not_fit_is_told_at_once(tmp_path: Path) -> None:
    both = {**factors("x.y", 3, 2), **factors("x.z", 2, 3), **factors("x.q", 2, 3)}
    on = checkpoint(
        tmp_path / "base",
        {
            "x.y.weight": ("F32", [2, 4], f32(*range(8))),
            "x.z.weight": ("F32", [3, 3], f32(*range(9))),
        },
    )
    said = told(on, adapter(tmp_path / "a", both))
    assert all(name in said for name in ("`x.q.weight`", "`x.y.weight`", "`x.z.weight`"))


def test_another_name_of_the_base_is_told(tmp_path: Path) -> None:
    on = base(tmp_path / "tuned")
    for called, names, is_told in (
        ("org/base", (), True),
        ("org/base", ("org/base",), False),
        ("elsewhere/tuned", (), False),
        (None, (), False),
    ):
        found = read_adapter(str(adapter(tmp_path / "a", base_model_name_or_path=called)))
        remark = base_remark(found, base_of(on, *names))
        assert (remark is not None) == is_told
        assert remark is None or "is an adapter of `org/base` by its `adapter_config.json`" in remark


def test_a_scale_that_no_double_holds_is_refused(tmp_path: Path) -> None:
    path = adapter(tmp_path / "a")
    settings = json.loads((path / "adapter_config.json").read_text())
    text = json.dumps(settings).replace('"lora_alpha": 2', f'"lora_alpha": {"9" * 60}e99')
    text = text.replace('"r": 1', '"r": 1, "alpha_pattern": {"y": 1e99}')
    (path / "adapter_config.json").write_text(text)
    assert changes(base(tmp_path / "b"), path)[0]["scale"] == 1e99


@given(st.data())
def test_any_shapes_either_fit_or_are_told(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """What fits is of the base's shape, and what does not is told with both shapes."""
    home = tmp_path_factory.mktemp("any")
    sizes = st.lists(st.integers(1, 3), min_size=1, max_size=3)
    held, inner, outer = data.draw(sizes), data.draw(sizes), data.draw(sizes)
    on = base(home / "base", held)
    made: Tensors = {
        f"{START}.x.y.lora_A.weight": ("F32", [1, *inner], f32(*range(int(np.prod(inner))))),
        f"{START}.x.y.lora_B.weight": (
            "F32",
            [outer[0], 1, *outer[1:]],
            f32(*range(int(np.prod(outer)))),
        ),
    }
    path = adapter(home / "a", made, fan_in_fan_out=data.draw(st.booleans()))
    plain = [outer[0], *inner]
    if any(size > 1 for size in outer[1:]):
        assert "is convolved with A" in told(on, path)
    elif held == plain or (len(held) == 2 and held == plain[::-1]):
        (found,) = changes(on, path)
        assert "transposed" in found
        assert held == (plain[::-1] if found["transposed"] else plain)
    else:
        assert f"B·A is {plain}, and `x.y.weight` of the base is {held}" in told(on, path)
