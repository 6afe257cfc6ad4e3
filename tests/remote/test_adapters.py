"""Bases and adapters of which one or both are somewhere else."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.adapter_files import adapter
from tests.checkpoints import bf16, checkpoint, shards
from tests.hubs import Hub
from tests.remote.test_web import web  # noqa: F401 - a fixture

import soce
from soce.cli.merge import merge as command
from soce.exceptions import CheckpointError
from soce.merging.merge import merge
from soce.merging.options import MergeOptions
from soce.merging.plan import plan
from soce.remote.here import bring
from soce.report.card.soup import read_soup

pytest.importorskip("huggingface_hub")

W = "x.y.weight"


def base_in(folder: Path) -> Path:
    tensors = [
        {W: ("BF16", [2, 3], bf16(*range(6)))},
        {"norm": ("BF16", [1], bf16(7))},
    ]
    return checkpoint(folder, *tensors)


@pytest.fixture
def hub(served: Hub) -> Hub:
    """A Hub with a base and an adapter, which lie in the working directory too."""
    base_in(served.root / "org" / "base")
    adapter(served.root / "org" / "lora")
    for name in ("base", "lora"):
        shutil.copytree(served.root / "org" / name, name)
    merge({"base+lora": 1, "base": 3}, output="expected")
    return served


def kept() -> list[str]:
    """Return the files of tensors in the Hub's cache."""
    return sorted(path.name for path in Path(os.environ["HF_HOME"]).rglob("*.safetensors"))


@pytest.mark.parametrize("name", ["org/base+org/lora", "hf://org/base@main+hf://org/lora@main"])
def test_a_base_is_streamed_and_its_adapter_kept(hub: Hub, name: str) -> None:
    result = CliRunner().invoke(command, [f"{name}=1", "base=3", "-o", "soup"])
    assert result.exit_code == 0, result.output
    assert shards(Path("soup")) == shards(Path("expected"))
    assert kept() == ["adapter_model.safetensors"]
    run = json.loads(Path("soup/soce.json").read_text())["run"]
    first, second = run["ingredients"]
    assert second == "base"
    base, adapter = run["origins"][first].split("+")
    assert base.startswith("hf://org/base@")
    assert adapter.startswith("hf://org/lora@")
    assert f"averaging 1 x `{name}`" in result.stderr
    assert '"org/base' in Path("soup/mergekit_config.yml").read_text()
    sources = read_soup("soup").sources
    assert [one.name for one in sources] == ["org/base+org/lora", "base"]
    commits = [part.partition("@")[2] for part in (base, adapter)]
    assert [one.revision for one in sources] == ["+".join(commits), None]
    found = soce.verify("soup", recompute=True)
    assert found.ok, found.findings
    assert found.checked["recomputed"] == 2
    assert kept() == ["adapter_model.safetensors"]


def test_either_may_be_here(hub: Hub) -> None:
    for number, name in enumerate(("base+org/lora", "org/base+lora", "./base+hf://org/lora")):
        merge({name: 1, "base": 3}, output=f"soup{number}")
        assert shards(Path(f"soup{number}")) == shards(Path("expected"))
    merge({"org/base+lora": 1, "org/base": 3}, output="streamed")
    assert shards(Path("streamed")) == shards(Path("expected"))
    run = json.loads(Path("streamed/soce.json").read_text())["run"]
    assert [run["origins"][path].partition("@")[0] for path in run["ingredients"]] == ["hf://org/base"] * 2
    assert soce.verify("streamed", recompute=True).ok


def test_what_is_whole_in_the_cache_needs_no_hub(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    here = bring(["org/base+org/lora"])
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    merge({"org/base+org/lora": 1, "org/base": 3}, output="soup")
    assert shards(Path("soup")) == shards(Path("expected"))
    assert plan(["org/base+org/lora"], output="other").recipes[0].ingredients[0].path == here[0]
    shutil.rmtree(Path(os.environ["HF_HOME"]) / "hub" / "models--org--lora")
    with pytest.raises(CheckpointError, match="`hf://org/lora`: is not whole in the cache"):
        merge(["org/base+org/lora"], output="third")


def test_what_is_normal_is_no_warning(hub: Hub) -> None:
    (hub.root / "org" / "lora" / "README.md").write_text("---\nbase_model: org/base\nlicense: mit\n---\n")
    (hub.root / "org" / "base" / "README.md").write_text("---\nlicense: mit\n---\n")
    result = CliRunner().invoke(command, ["org/base+org/lora=1", "org/base=3", "-o", "soup"])
    assert result.exit_code == 0, result.output
    assert "warning" not in result.stderr


def test_people_read_the_names_of_both(hub: Hub) -> None:
    bring(["org/base+org/lora"])
    for words in ([], ["--plan"]):
        result = CliRunner().invoke(command, ["org/base+org/lora", "base", "-o", "soup", *words])
        assert result.exit_code == 0, result.output
        assert "snapshots" not in result.output
        both = r"org/base@[0-9a-f]{7}…\+org/lora@[0-9a-f]{7}…"
        assert re.search(both, result.output), result.output
    assert re.search(rf"^adapted  1 of {both}: W \+ s·B·A", result.stdout, re.MULTILINE)


def test_the_size_of_a_download_counts_the_base_alone(hub: Hub) -> None:
    found = plan(["org/base+org/lora"], output="soup", options=MergeOptions(remote="stream")).data
    assert found["bytes_to_fetch"] == 14
    merge({"org/base+org/lora": 1, "base": 3}, output="soup", options=MergeOptions(remote="download"))
    assert shards(Path("soup")) == shards(Path("expected"))
    assert len(kept()) == 3


def test_on_a_web_server(web: str, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    base_in(tmp_path / "base")
    adapter(tmp_path / "lora")
    merge({"base+lora": 1, "base": 3}, output="expected")
    for name in (f"{web}/base+{web}/lora", f"base+{web}/lora"):
        merge({name: 1, "base": 3}, output=tmp_path / "soup", options=MergeOptions(overwrite=True))
        assert shards(tmp_path / "soup") == shards(Path("expected"))
    run = json.loads((tmp_path / "soup" / "soce.json").read_text())["run"]
    assert run["origins"][run["ingredients"][0]] == f"base+{web}/lora"


def test_an_adapter_that_is_none_is_told(hub: Hub) -> None:
    (hub.root / "org" / "lora" / "adapter_config.json").unlink()
    with pytest.raises(CheckpointError, match=r"it has no `adapter_config.json`"):
        merge(["org/base+org/lora"], output="soup")
