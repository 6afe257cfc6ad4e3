"""Weights saved as a variant (`variant="fp16"`): read by either spelling, and called in the soup what they were."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.checkpoints import Tensors, f32, read_directory, write_file

from soce import MergeOptions, merge, verify
from soce.exceptions import CheckpointError
from soce.merging.plan import plan

NEWER = "{stem}.fp16-{i:05}-of-00002.safetensors"
OLDER = "{stem}-{i:05}-of-00002.fp16.safetensors"


def variant(path: Path, spelling: str, stem: str, *, index: bool = True) -> Path:
    """Write a model of two shards."""
    weight_map = {}
    for i in (1, 2):
        name = spelling.format(stem=stem, i=i)
        write_file(path / name, {f"w{i}": ("F32", [2], f32(i, 2 * i))})
        weight_map[f"w{i}"] = name
    if index:
        text = json.dumps({"weight_map": weight_map})
        (path / f"{stem}.safetensors.index.fp16.json").write_text(text)
    (path / "config.json").write_text("{}")
    return path


def names(path: Path) -> list[str]:
    return sorted(found.name for found in path.iterdir() if "safetensors" in found.name)


@pytest.mark.parametrize("stem", ["model", "diffusion_pytorch_model"])
@pytest.mark.parametrize("spelling", [NEWER, OLDER])
def test_index_of_a_variant_is_read_and_written_under_its_name(
    tmp_path: Path, spelling: str, stem: str
) -> None:
    path = variant(tmp_path / "a", spelling, stem)
    merge([str(path), str(path)], output=tmp_path / "soup")
    assert names(tmp_path / "soup") == names(path)
    index = json.loads((tmp_path / "soup" / f"{stem}.safetensors.index.fp16.json").read_text())
    assert index["weight_map"] == {f"w{i}": spelling.format(stem=stem, i=i) for i in (1, 2)}
    assert read_directory(tmp_path / "soup") == read_directory(path)
    assert verify(tmp_path / "soup").ok


def test_shards_of_a_variant_without_an_index_get_the_one_that_loaders_look_for(tmp_path: Path) -> None:
    path = variant(tmp_path / "a", NEWER, "model", index=False)
    merge([str(path), str(path)], output=tmp_path / "soup")
    assert "model.safetensors.index.fp16.json" in names(tmp_path / "soup")


def test_variants_that_are_cut_anew_keep_the_variant(tmp_path: Path) -> None:
    path = variant(tmp_path / "a", OLDER, "model")
    options = MergeOptions(max_shard_size=8)
    merge([str(path), str(path)], output=tmp_path / "many", options=options)
    assert names(tmp_path / "many") == [
        "model.fp16-00001-of-00002.safetensors",
        "model.fp16-00002-of-00002.safetensors",
        "model.safetensors.index.fp16.json",
    ]
    merge([str(path), str(path)], output=tmp_path / "one", options=MergeOptions(max_shard_size="1GB"))
    assert "model.fp16.safetensors" in names(tmp_path / "one")


def test_plain_model_beside_a_variant_is_the_model(tmp_path: Path) -> None:
    path = variant(tmp_path / "a", NEWER, "model")
    write_file(path / "model.safetensors", {"w": ("F32", [1], f32(1))})
    made = plan([str(path), str(path)], output=tmp_path / "soup")
    assert [shard["name"] for shard in made.data["shards"]] == ["model.safetensors"]
    assert any("model.fp16-00001-of-00002.safetensors" in said for said in made.data["warnings"])


def test_two_variants_alone_are_a_question(tmp_path: Path) -> None:
    tensors: Tensors = {"w": ("F32", [1], f32(1))}
    for name in ("model.fp16.safetensors", "model.bf16.safetensors"):
        write_file(tmp_path / "a" / name, tensors)
    with pytest.raises(CheckpointError, match="several files"):
        plan([str(tmp_path / "a")] * 2, output=tmp_path / "soup")
