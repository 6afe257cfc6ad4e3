"""The canary sees what vLLM keeps of older weights where soce's repairs are switched off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.engines.patched_modules import patch_module
from tests.engines.served_models import save_family

from soce.evaluate.engines.canary import Canary
from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.engines.vllm.engine import VllmEngine
from soce.exceptions import EngineLostError

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(3000)]  # an engine starts in minutes on a busy machine

# While a file is there, no head that is tied is packed again.
WITHOUT_HEADS = """
pack = module.pack_beside
module.pack_beside = lambda layers: None if os.path.exists({file!r}) else pack(layers)
"""


@pytest.fixture(scope="module")
def checked(
    vllm_python: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Canary, VllmEngine, Path]]:
    home = tmp_path_factory.mktemp("vllm")
    switch = home / "off"
    patch_module(home, "soce.evaluate.engines.vllm.packing", WITHOUT_HEADS.format(file=str(switch)))
    paths = save_family(home / "models", "llama-tied", "float32", count=2)
    arguments = ("--dtype", "float32", "--enforce-eager", "--max-model-len", "256")
    options = EngineOptions(python=vllm_python, arguments=arguments)
    engine = VllmEngine(paths, options)
    canary = Canary(engine, paths, options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(home))
        canary.prepare()
        engine.start()
    try:
        engine.open(paths)
        canary.check(at_start=True)
        yield canary, engine, switch
    finally:
        engine.close()


def test_it_passes(checked: Any) -> None:
    canary, _, _ = checked
    report = canary.report
    assert report.judge == "transformers"
    assert report.is_conclusive
    assert report.distance < 1e-4
    assert report.tokens == 252


def test_a_tied_head_that_is_not_packed_again(checked: Any) -> None:
    canary, engine, switch = checked
    if engine.identity["platform"] != "cpu":
        pytest.skip("vLLM packs heads on a CPU alone")
    switch.touch()
    try:
        with pytest.raises(EngineLostError, match=r"after it became .* nats from transformers"):
            canary.check()
    finally:
        switch.unlink()
    canary.check()


def test_a_prefix_cache_that_is_kept(checked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    canary, engine, _ = checked
    post = engine._post

    def kept(route: str, *body: Any, **limit: Any) -> Any:
        return post(f"{route}&clear_cache=false" if route.startswith("/pause") else route, *body, **limit)

    monkeypatch.setattr(engine, "_post", kept)
    with pytest.raises(EngineLostError, match=r"nats from transformers|a prompt is remembered"):
        canary.check()
    monkeypatch.undo()
    canary.check()
