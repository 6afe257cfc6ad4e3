"""Adapters as they are found: what is read of them, and what is refused, with its reason."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests import lora
from tests.adapter_files import adapter
from tests.checkpoints import Tensors, f32

from soce.adapters.adapter import read_adapter
from soce.adapters.soup import merge_adapters, plan_adapters
from soce.adapters.stored import read_header
from soce.exceptions import CheckpointError, IncompatibleError, SoceError, UnsupportedDtypeError


def told(act: Callable[[], object], kind: type[SoceError] = CheckpointError) -> str:
    with pytest.raises(kind) as caught:
        act()
    assert type(caught.value) is kind
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"use_dora": True}, "DoRA"),
        ({"lora_bias": True}, "its B has a bias"),
        ({"kasa_config": {"beta": 0.1}}, "KaSA"),
        ({"bias": "all"}, "it trains biases of its base"),
        ({"bias": "lora_only"}, "it trains biases of its base"),
        ({"peft_type": "IA3"}, "a PEFT adapter of type `IA3`"),
        ({"peft_type": None}, "no `peft_type`"),
        ({"init_lora_weights": "pissa_niter_16"}, "it began as `pissa_niter_16`"),
        ({"init_lora_weights": "loftq"}, "path_initial_model_for_weight_conversion"),
        ({"target_parameters": ["experts.gate_up_proj"]}, "stacked experts"),
        ({"trainable_token_indices": [1]}, "single tokens"),
        ({"layer_replication": [[0, 1]]}, "repeats layers"),
        ({"use_of_tomorrow": 3}, "not known here: `use_of_tomorrow`"),
        ({"r": 0}, "no positive integer"),
        ({"r": 1.5}, "no positive integer"),
        ({"lora_alpha": "2"}, "adapter_config.json`: `lora_alpha`: not a number"),
        ({"r": None}, "adapter_config.json`: `r`: not a number"),
        ({"use_rslora": "yes"}, "neither true nor false"),
        ({"rank_pattern": {"(": 1}}, "no regular expression"),
        ({"rank_pattern": {"y": 2}}, "its rank is 1, the settings of `x.y` say 2"),
        ({"modules_to_save": "head"}, "not a list of names"),
    ],
)
def test_what_is_no_plain_lora_is_refused(tmp_path: Path, settings: dict[str, object], reason: str) -> None:
    assert reason in told(lambda: read_adapter(str(adapter(tmp_path, **settings))))


def test_everything_in_the_way_is_told_at_once(tmp_path: Path) -> None:
    a, b = adapter(tmp_path / "a", use_dora=True, bias="all"), adapter(tmp_path / "b", use_qalora=True)
    said = told(lambda: plan_adapters([str(a), str(b)], output=tmp_path / "soup"))
    assert all(word in said for word in ("DoRA", "biases", "QA-LoRA", "merge_and_unload"))


@pytest.mark.parametrize(
    "settings",
    [{"init_lora_weights": start} for start in (True, False, "gaussian", "eva", "orthogonal", "mica")]
    + [{"use_of_tomorrow": None}, {"lora_dropout": 0.1}, {"peft_version": "9.0"}, {"megatron_core": "x"}],
)
def test_what_changes_nothing_is_accepted(tmp_path: Path, settings: dict[str, object]) -> None:
    assert list(read_adapter(str(adapter(tmp_path, **settings))).factors) == ["x.y"]


def test_every_setting_that_this_peft_writes_is_known(tmp_path: Path) -> None:
    base = lora.base_model(tmp_path)
    path = lora.save_adapter(base, tmp_path / "a", 1, rank_pattern={"q_proj": 2}, alpha_pattern={"q_proj": 3})
    found = read_adapter(path)
    q, down = (found.factors[f"model.layers.0.{name}"] for name in ("self_attn.q_proj", "mlp.down_proj"))
    assert (q.rank, q.scale.times(Fraction(1))) == (2, 1.5)
    assert (down.rank, down.scale.times(Fraction(1, 2))) == (4, 1.0)


def test_real_dora_and_real_biases_are_refused(tmp_path: Path) -> None:
    base = lora.base_model(tmp_path)
    assert "DoRA" in told(lambda: read_adapter(lora.save_adapter(base, tmp_path / "a", 1, use_dora=True)))
    lora.change_config(str(tmp_path / "a"), use_dora=False)  # the tensors tell as well
    assert "neither A nor B" in told(lambda: read_adapter(str(tmp_path / "a")))
    assert "bias" in told(lambda: read_adapter(lora.save_adapter(base, tmp_path / "b", 1, bias="all")))


def test_a_pattern_is_of_the_end_of_a_name(tmp_path: Path) -> None:
    """As PEFT matches them: `y` is x.y, and no x.zy."""
    from peft.utils.other import get_pattern_key

    for patterns in ({"y": 5}, {"zy": 5}, {"x": 5}, {"^x.y": 5}, {"x.*": 5, "y": 6}, {"^y": 5}):
        chosen = get_pattern_key(list(patterns), "x.y")
        path = adapter(tmp_path / str(patterns), alpha_pattern=patterns)
        scale = read_adapter(str(path)).factors["x.y"].scale
        assert scale.alpha == patterns.get(chosen, 2)


def test_a_folder_of_something_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "it has no `adapter_config.json`" in told(lambda: read_adapter(str(tmp_path / "empty")))
    path = adapter(tmp_path / "a")
    (path / "adapter_model.safetensors").rename(path / "adapter_model.bin")
    said = told(lambda: read_adapter(str(path)))
    assert "it has no `adapter_model.safetensors`, only `adapter_model.bin`" in said
    with pytest.raises(FileNotFoundError):
        read_adapter(str(tmp_path / "nothing"))


START = "base_model.model.x.y"
A, B = f"{START}.lora_A.weight", f"{START}.lora_B.weight"


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({A: ("F32", [1, 3], f32(1, 2, 3))}, "only one of the two factors"),
        ({A: ("F32", [3], f32(1, 2, 3)), B: ("F32", [2, 1], f32(1, 2))}, "a factor of shape [3]"),
        ({A: ("F32", [1, 3], f32(1, 2, 3)), B: ("F32", [1, 2], f32(1, 2))}, "expected 1 columns"),
        ({"x.y.lora_A.weight": ("F32", [1, 1], f32(1))}, "does not begin with"),
        ({f"{START}.lora_magnitude_vector": ("F32", [1], f32(1))}, "neither A nor B"),
        ({"base_model.model.z.weight": ("F32", [1], f32(1))}, "no module of the adapter has it"),
        ({"base_model.model.lm_head.weight": ("F32", [1], f32(1))}, "no factors"),
        ({}, "no factors"),
    ],
)
def test_tensors_that_make_no_adapter_are_refused(tmp_path: Path, tensors: Tensors, reason: str) -> None:
    assert reason in told(lambda: read_adapter(str(adapter(tmp_path, tensors))))


def test_other_dtypes_are_refused(tmp_path: Path) -> None:
    tensors: Tensors = {A: ("F64", [1, 1], bytes(8)), B: ("F64", [1, 1], bytes(8))}
    path = str(adapter(tmp_path, tensors))
    assert "its dtype is `F64`" in told(lambda: read_adapter(path), UnsupportedDtypeError)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content[:-1], "expected a file of 260 bytes, got 259"),
        (lambda content: content + b"\0", "expected a file of 260 bytes, got 261"),
        (lambda content: content[:5], "expected at least 8 bytes, got 5"),
        (lambda content: struct.pack("<Q", 1 << 60) + content[8:], "expected a header of at most 100000000"),
        (lambda content: content.replace(b"[1, 3]", b"[1, 2]"), "expected 8 bytes for F32 [1, 2], got 12"),
        (lambda content: content.replace(b"{", b"[", 1), "expected an object, got an array"),
        (lambda content: content.replace(b"lora_B", b"lora_A"), "is there twice"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, damage: Callable[[bytes], bytes], reason: str) -> None:
    path = adapter(tmp_path)
    file = path / "adapter_model.safetensors"
    file.write_bytes(damage(file.read_bytes()))
    assert reason in told(lambda: read_adapter(str(path)))


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    import os

    path = adapter(tmp_path)
    (path / "adapter_model.safetensors").unlink()
    os.mkfifo(path / "adapter_model.safetensors")
    assert "it has no `adapter_model.safetensors`" in told(lambda: read_adapter(str(path)))


def souped(tmp_path: Path, *paths: Path) -> Callable[[], object]:
    return lambda: merge_adapters([str(path) for path in paths], output=tmp_path / "soup")


def test_adapters_of_other_bases_are_refused(tmp_path: Path) -> None:
    a = adapter(tmp_path / "a")
    other = adapter(tmp_path / "b", base_model_name_or_path="org/other")
    said = told(souped(tmp_path, a, other), IncompatibleError)
    assert "an adapter of `org/other`" in said
    assert "`base_model_name_or_path`" in said
    cached = f"/cache/models--org--base/snapshots/{40 * 'a'}"
    for same, n_remarks in (("/data/base", 1), ("base", 1), (cached, 0), (None, 0)):
        c = adapter(tmp_path / "c", base_model_name_or_path=same)
        made = merge_adapters([str(a), str(c)], output=tmp_path / "soup").manifest
        assert len(made["warnings"]) == n_remarks
        shutil.rmtree(c)
        shutil.rmtree(tmp_path / "soup")
    wide: Tensors = {A: ("F32", [1, 4], f32(1, 2, 3, 4)), B: ("F32", [2, 1], f32(1, 2))}
    said = told(souped(tmp_path, a, adapter(tmp_path / "d", wide)), IncompatibleError)
    assert "A [1, 4] and B [2, 1] of `x.y` do not go with A [1, 3] and B [2, 1]" in said


def test_what_only_some_replace_is_refused(tmp_path: Path) -> None:
    base = lora.base_model(tmp_path)
    a = lora.save_adapter(base, tmp_path / "a", 1, modules_to_save=["lm_head"])
    b = lora.save_adapter(base, tmp_path / "b", 2)
    said = told(souped(tmp_path, Path(a), Path(b)), IncompatibleError)
    assert "base_model.model.lm_head.weight" in said
    assert "merge_and_unload" in said
    c = lora.save_adapter(base, tmp_path / "c", 1, target_modules=["embed_tokens"], embeddings=True)
    d = lora.save_adapter(base, tmp_path / "d", 1, target_modules=["embed_tokens"])
    assert "save_embedding_layers=False" in told(souped(tmp_path, Path(c), Path(d)), IncompatibleError)


def test_embeddings_of_a_changed_vocabulary_are_averaged(tmp_path: Path) -> None:
    base = lora.base_model(tmp_path)
    both = [
        lora.save_adapter(base, tmp_path / name, 1, dtype=torch.bfloat16, embeddings=True) for name in "ab"
    ]
    made = merge_adapters(both, output=tmp_path / "soup").manifest
    assert made["replaced"] == ["lm_head.weight", "model.embed_tokens.weight"]


@given(st.data())
def test_what_is_read_of_a_header_the_format_s_own_library_reads_as_well(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Headers that are cut, spliced and mistyped: either refused, or of the same tensors for both."""
    from safetensors import deserialize

    path = adapter(tmp_path_factory.mktemp("header")) / "adapter_model.safetensors"
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    text = bytearray(content[8 : 8 + length])
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from(
                [b"", b"0", b"1", b"9", b"-", b'"', b",", b"[", b"]", b"}", b" ", b"e", b".", b"\xff"]
            )
        )
    written = struct.pack("<Q", len(text)) + bytes(text) + content[8 + length :]
    path.write_bytes(written)
    try:
        found = read_header(str(path))
    except SoceError:
        return
    theirs = {name: (one["dtype"], tuple(one["shape"])) for name, one in deserialize(written)}
    assert {name: (one.dtype, one.shape) for name, one in found.items()} == theirs
    for name, one in deserialize(written):
        tensor = found[name]
        assert written[tensor.begin : tensor.begin + tensor.size] == bytes(one["data"])
