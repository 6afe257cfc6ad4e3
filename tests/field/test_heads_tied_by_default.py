"""Model types that tie their embeddings where the config says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.checkpoints import Tensors, checkpoint, f32, read_directory

import soce
from soce.exceptions import IncompatibleError

EMBEDDING = "model.embed_tokens.weight"


def model(path: Path, start: int, config: dict[str, object], head: int | None = None) -> Path:
    values = f32(*range(start, start + 4))
    tensors: Tensors = {EMBEDDING: ("F32", [2, 2], values)}
    if head is not None:
        tensors["lm_head.weight"] = ("F32", [2, 2], f32(*range(head, head + 4)))
    return checkpoint(path, tensors, config=config)


def soup(home: Path, config: dict[str, object], *, head: int = 2, other: Any = None) -> soce.MergeReport:
    paths = [model(home / "A", 0, config), model(home / "B", 2, config if other is None else other, head)]
    return soce.merge(paths, output=home / "soup", options=soce.MergeOptions(sync=False))


@pytest.mark.parametrize(
    "config",
    [
        *({"model_type": name} for name in ("gemma", "gemma2", "gemma3_text", "cohere", "opt", "gpt2", "t5")),
        {"model_type": "gemma3", "text_config": {"model_type": "gemma3_text"}},
        {"model_type": "llama", "tie_word_embeddings": True},
    ],
)
def test_an_equal_head_is_left_out_with_a_word(tmp_path: Path, config: dict[str, object]) -> None:
    report = soup(tmp_path, config)
    assert set(read_directory(report.output)) == {EMBEDDING}
    assert report.counts["tied"] == 1
    (warning,) = report.warnings
    assert "tied alias" in warning
    assert soce.verify(report.output, recompute=True).ok


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "llama"},
        {"model_type": "unheard-of"},
        {},
        {"model_type": "gemma2", "tie_word_embeddings": False},
        {"model_type": "mistral3", "text_config": {"model_type": "mistral"}},
    ],
)
def test_elsewhere_it_is_a_missing_head(tmp_path: Path, config: dict[str, object]) -> None:
    with pytest.raises(IncompatibleError, match=r"lm_head.weight"):
        soup(tmp_path, config)


def test_a_head_that_differs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError) as caught:
        soup(tmp_path, {"model_type": "gemma2"}, head=3)
    assert "is not the embedding" in str(caught.value)


def test_a_default_against_a_statement_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError) as caught:
        soup(tmp_path, {"model_type": "gemma2"}, other={"model_type": "gemma2", "tie_word_embeddings": False})
    assert "default of `gemma2`" in str(caught.value)


def test_shared_embeddings_are_aliases_too(tmp_path: Path) -> None:
    config: dict[str, object] = {"model_type": "t5"}
    shared: Tensors = {"shared.weight": ("F32", [2], f32(0, 2))}
    alias: Tensors = {"decoder.embed_tokens.weight": ("F32", [2], f32(0, 2))}
    paths = [checkpoint(tmp_path / "A", shared, config=config)]
    paths.append(checkpoint(tmp_path / "B", shared | alias, config=config))
    report = soce.merge(paths, output=tmp_path / "soup", options=soce.MergeOptions(sync=False))
    assert set(read_directory(report.output)) == {"shared.weight"}
