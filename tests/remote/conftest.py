"""What tests of ingredients that are somewhere else share."""

from __future__ import annotations

import urllib.request
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


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """An S3 with a bucket `models`."""
    moto = pytest.importorskip("moto.server")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    urllib.request.urlopen(urllib.request.Request(f"{url}/models", method="PUT")).close()
    yield url
    server.stop()


@pytest.fixture
def bucket(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The bucket of that S3, with who may use it in the environment."""
    pytest.importorskip("obstore")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return "s3://models"
