"""Repositories that hold the same model twice: the one that loaders read is taken, and the other is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.checkpoints import checkpoint, f32, read_directory, write_file

from soce import merge
from soce.exceptions import CheckpointError
from soce.merging.plan import plan

MODEL = {"model.norm.weight": ("F32", [1], f32(1.0))}
FOREIGN = {"norm.weight": ("F32", [1], f32(9.0))}


def indexed(path: Path, stem: str, *files: dict[str, tuple[str, list[int], bytes]]) -> None:
    names = [f"{stem}-{i:05}-of-{len(files):05}.safetensors" for i in range(1, len(files) + 1)]
    for name, tensors in zip(names, files, strict=True):
        write_file(path / name, tensors)
    weight_map = {tensor: name for name, tensors in zip(names, files, strict=True) for tensor in tensors}
    (path / f"{stem}.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def souped(path: Path, tmp_path: Path) -> tuple[set[str], str]:
    """Return the tensors of a soup of a checkpoint with itself, and what was said."""
    report = merge([str(path), str(path)], output=tmp_path / "soup")
    return set(read_directory(tmp_path / "soup")), "\n".join(report.warnings)


def test_consolidated_index_beside_the_one_of_loaders(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a", MODEL, {"head": ("F32", [1], f32(2.0))})
    indexed(path, "consolidated", FOREIGN, {"output.weight": ("F32", [1], f32(8.0))})
    tensors, said = souped(path, tmp_path)
    assert tensors == {"model.norm.weight", "head"}
    assert "consolidated-00001-of-00002.safetensors" in said
    assert "consolidated.safetensors.index.json" in said
    assert "`model.safetensors.index.json`" in said


@pytest.mark.parametrize("files", [(MODEL,), (MODEL, {"head": ("F32", [1], f32(2.0))})])
def test_consolidated_file_beside_the_model(
    tmp_path: Path, files: tuple[dict[str, tuple[str, list[int], bytes]], ...]
) -> None:
    path = checkpoint(tmp_path / "a", *files)
    write_file(path / "consolidated.safetensors", FOREIGN)
    tensors, said = souped(path, tmp_path)
    assert tensors == {name for tensors in files for name in tensors}
    assert "`consolidated.safetensors`" in said


def test_what_is_left_is_listed_in_the_plan_and_the_manifest(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a", MODEL)
    write_file(path / "consolidated.safetensors", FOREIGN)
    write_file(path / "original" / "consolidated.00.safetensors", FOREIGN)
    (path / "pytorch_model.bin").write_bytes(b"PK")
    made = plan([str(path), str(path)], output=tmp_path / "soup")
    left = ["consolidated.safetensors", "original/", "pytorch_model.bin"]
    assert made.data["left_out"] == left
    made.execute()
    manifest = json.loads((tmp_path / "soup" / "soce.json").read_text())
    assert manifest["result"]["donor"]["left_out"] == left


def test_consolidated_alone_is_the_model(tmp_path: Path) -> None:
    path = tmp_path / "a"
    indexed(path, "consolidated", FOREIGN, {"output.weight": ("F32", [1], f32(8.0))})
    tensors, said = souped(path, tmp_path)
    assert tensors == {"norm.weight", "output.weight"}
    assert "left aside" not in said


def test_two_indexes_that_loaders_read_are_a_question(tmp_path: Path) -> None:
    path = tmp_path / "a"
    indexed(path, "model", MODEL, {"head": ("F32", [1], f32(2.0))})
    indexed(path, "diffusion_pytorch_model", FOREIGN, {"output.weight": ("F32", [1], f32(8.0))})
    with pytest.raises(CheckpointError, match="expected one index"):
        plan([str(path), str(path)], output=tmp_path / "soup")


def test_shards_of_an_older_model_are_still_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path / "a", MODEL, {"head": ("F32", [1], f32(2.0))})
    write_file(path / "model-00003-of-00003.safetensors", FOREIGN)
    with pytest.raises(CheckpointError, match="that the index does not mention"):
        plan([str(path), str(path)], output=tmp_path / "soup")
