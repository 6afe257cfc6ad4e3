"""What tests of ingredients that are somewhere else share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.checkpoints import bf16, checkpoint
from tests.hubs import Hub, hub


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A Hub with two models, an empty cache, and an empty working directory."""
    for name in ("HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no token"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name, value in (("a", 1.0), ("b", 3.0)):
        two = [{f"w{i}": ("BF16", [2], bf16(value, i))} for i in range(2)]
        checkpoint(tmp_path / "repositories/org" / name, *two)
        (tmp_path / "repositories/org" / name / "tokenizer_config.json").write_text("{}")
        (tmp_path / "repositories/org" / name / "pytorch_model.bin").write_bytes(b"x")
    with hub(tmp_path / "repositories") as found:
        monkeypatch.setenv("HF_ENDPOINT", found.endpoint)
        yield found
