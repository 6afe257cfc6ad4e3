"""Vocabularies of slow tokenizers that differ: rows of the embeddings mean other tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.checkpoints import directory

import soce
from soce.exceptions import IncompatibleError
from soce.merging.doctor import diagnose

X, Y = b"\x0a\x03\x0a\x01x", b"\x0a\x03\x0a\x01y"
ALLOWED = soce.MergeOptions(allow_different_tokenizers=True, sync=False)


def two(tmp_path: Path, a: dict[str, object], b: dict[str, object]) -> list[str]:
    """Write two checkpoints with these files: bytes, text, or JSON."""
    for name, value, files in (("A", 1.0, a), ("B", 1.5, b)):
        made = directory(tmp_path / name, value, 2.0)
        for file, content in files.items():
            if isinstance(content, bytes):
                (made / file).write_bytes(content)
            else:
                (made / file).write_text(content if isinstance(content, str) else json.dumps(content))
    return [str(tmp_path / name) for name in "AB"]


def decoder(id: int) -> dict[str, object]:
    return {"added_tokens_decoder": {str(id): {"content": "<|im_end|>", "special": True}}}


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ({"added_tokens.json": {"<|im_end|>": 15}}, {"added_tokens.json": {"[PLAN]": 15}}),
        ({"tokenizer_config.json": decoder(14)}, {"tokenizer_config.json": decoder(15)}),
        ({"vocab.txt": "x\ny\n"}, {"vocab.txt": "y\nx\n"}),
        ({"vocab.json": {"x": 0, "y": 1}}, {"vocab.json": {"y": 0, "x": 1}}),
        *(({file: X}, {file: Y}) for file in ("tokenizer.model", "spiece.model", "source.spm", "target.spm")),
        ({"qwen.tiktoken": "eA== 0\neQ== 1\n"}, {"qwen.tiktoken": "eQ== 0\neA== 1\n"}),
        ({"vocab.json": {"x": 0, "y": 1}}, {"vocab.txt": "y\nx\n"}),
        ({"tokenizer.json": {"model": {"vocab": {"x": 0, "y": 1}}}}, {"vocab.json": {"x": 1, "y": 0}}),
        (
            {"tokenizer.json": {"model": {"vocab": {"x": 0}}, "added_tokens": [{"id": 1, "content": "<a>"}]}},
            {"tokenizer.model": X, "added_tokens.json": {"<b>": 1}},
        ),
    ],
)
def test_other_ids_are_refused_by_merge_and_doctor(
    tmp_path: Path, a: dict[str, object], b: dict[str, object]
) -> None:
    paths = two(tmp_path, a, b)
    with pytest.raises(IncompatibleError, match="maps tokens to other ids"):
        soce.merge(paths, output=tmp_path / "soup")
    assert any("other ids" in problem.message for problem in diagnose(paths).problems)
    report = soce.merge(paths, output=tmp_path / "soup", options=ALLOWED)
    assert any("other ids" in warning for warning in report.warnings)
    assert diagnose(paths, options=ALLOWED).soupable


@pytest.mark.parametrize(
    "b",
    [
        {"vocab.txt": "x\ny\n"},
        {"vocab.json": {"x": 0, "y": 1}},
        {"tokenizer.json": {"model": {"vocab": [["x", -1], ["y", -2]]}}},
    ],
)
def test_equal_ids_in_other_files_are_no_difference(tmp_path: Path, b: dict[str, object]) -> None:
    paths = two(tmp_path, {"vocab.json": {"x": 0, "y": 1}}, b)
    assert soce.merge(paths, output=tmp_path / "soup").warnings == ()


def test_what_cannot_be_compared_is_told(tmp_path: Path) -> None:
    paths = two(tmp_path, {"tokenizer.json": {"model": {"vocab": {"x": 0}}}}, {"tokenizer.model": X})
    warnings = soce.merge(paths, output=tmp_path / "soup").warnings
    assert [warning.count("not compared") for warning in warnings] == [1, 1]
