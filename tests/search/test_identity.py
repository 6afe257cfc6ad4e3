"""What tells ingredients apart: their content, wherever it lies and whenever it was written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from tests.checkpoints import directory

from soce.evaluate.side_files import side_files_digest
from soce.exceptions import CheckpointError
from soce.search.identity import ingredient_identities, ingredient_identity


def test_copies_are_one_ingredient_and_every_byte_counts(tmp_path: Path) -> None:
    one, two = directory(tmp_path / "one", 1.0, 2.0), tmp_path / "two"
    shutil.copytree(one, two)
    before = ingredient_identity(one)
    assert ingredient_identity(two) == before
    for file in one.iterdir():
        os.utime(file, (1, 1))
    assert ingredient_identity(one) == before, "touched"
    one.rename(tmp_path / "moved")
    assert ingredient_identity(tmp_path / "moved") == before
    (shard,) = two.glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-1] + b"?")
    assert ingredient_identity(two) != before


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer.json",
        "tokenizer.model.v3",
        "merges.txt",
        "chat_template.jinja",
        "train_me.py",
        "additional_chat_templates/rag.jinja",
        "generation_config.json",
        "qwen.tiktoken",
    ],
)
def test_what_a_loader_reads_counts(tmp_path: Path, name: str) -> None:
    one = directory(tmp_path / "one", 1.0, 2.0)
    before = ingredient_identity(one)
    (one / name).parent.mkdir(exist_ok=True)
    (one / name).write_text("{}")
    assert ingredient_identity(one) != before
    assert side_files_digest(str(one), [name]) != side_files_digest(str(one), [])


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "README.txt",
        "LICENSE.txt",
        ".gitattributes",
        "soce.json",
        "trainer_state.json",
        "plot.png",
        "all_results.json",
        "training_args.bin",
        "model.safetensors.index.json",
        "pytorch_model.bin",
        "checkpoint-500/model.safetensors",
        "checkpoint-500/config.json",
        ".cache/model.safetensors",
    ],
)
def test_what_no_loader_reads_does_not(tmp_path: Path, name: str) -> None:
    one = directory(tmp_path / "one", 1.0, 2.0)
    before = ingredient_identity(one)
    (one / name).parent.mkdir(exist_ok=True)
    (one / name).write_text("{}")
    assert ingredient_identity(one) == before
    if "checkpoint-" not in name:  # which no merge copies
        assert side_files_digest(str(one), [name]) == side_files_digest(str(one), [])


def test_where_a_config_comes_from_does_not_count_and_its_values_do(tmp_path: Path) -> None:
    one = directory(tmp_path / "one", 1.0, 2.0)
    base = {"hidden_size": 8, "text_config": {"layers": 2, "_name_or_path": "base"}}

    def told(config: object) -> tuple[object, str]:
        (one / "config.json").write_text(json.dumps(config))
        return ingredient_identity(one), side_files_digest(str(one), ["config.json"])

    first = told({**base, "_name_or_path": "runs/math", "transformers_version": "4.57.0"})
    assert told({"_name_or_path": "runs/code", **base}) == first
    assert told({**base, "text_config": {"layers": 2}}) == first
    other = told({**base, "hidden_size": 16})
    assert other[0] != first[0]
    assert other[1] != first[1]
    assert told([1]) != told([2])
    (one / "config.json").write_text("{")
    assert ingredient_identity(one) != first[0], "what is no JSON counts by its bytes"


def test_folders_that_are_loaded_together_count(tmp_path: Path) -> None:
    one = directory(tmp_path / "one", 1.0, 2.0)
    (one / "modules.json").write_text("[]")
    directory(one / "2_Dense", 3.0)
    identity = ingredient_identity(one)
    assert "2_Dense/model.safetensors" in identity["shards"]  # type: ignore[operator]


def test_several_are_read_at_once_and_progress_counts_bytes(tmp_path: Path) -> None:
    paths = {name: directory(tmp_path / name, 1.0, 2.0) for name in "ab"}
    seen: list[tuple[int, int]] = []
    found = ingredient_identities(paths, on_progress=lambda done, total: seen.append((done, total)))
    assert found["a"] == found["b"] == ingredient_identity(paths["a"])
    size = sum(file.stat().st_size for path in paths.values() for file in path.glob("*.safetensors"))
    assert seen[-1] == (size, size)


def test_what_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no safetensors shard"):
        ingredient_identity(tmp_path)
    (tmp_path / "words.txt").touch()
    with pytest.raises(CheckpointError, match="it is no shard"):
        ingredient_identity(tmp_path / "words.txt")
    with pytest.raises(FileNotFoundError):
        ingredient_identity(tmp_path / "nowhere")
