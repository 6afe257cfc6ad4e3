"""Models of the Hub as ingredients: the real client, on a small Hub of ours."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from tests.checkpoints import directory, read_directory, shards
from tests.hubs import SIGNATURE, TOKEN, Hub

import soce
from soce.cli.merge import merge as command
from soce.exceptions import CheckpointError, SoceError
from soce.merging.doctor import diagnose
from soce.merging.merge import merge
from soce.merging.plan import plan
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.files import read_recipes
from soce.remote.here import bring
from soce.remote.hub_errors import quiet_client

pytest.importorskip("huggingface_hub")


def refused(name: str) -> tuple[str, str]:
    """Return message and hint of the one problem with a name."""
    with pytest.raises(SoceError) as caught:
        bring([name])
    (problem,) = caught.value.problems
    assert SIGNATURE not in str(caught.value)
    assert TOKEN not in str(caught.value)
    return str(problem), problem.hint or ""


def test_a_model_of_the_hub_is_merged_as_one_of_this_disk(served: Hub) -> None:
    local = [served.root / "org" / name for name in "ab"]
    merge([*map(str, local)], output="expected")
    result = CliRunner().invoke(command, ["org/a", "hf://org/b@main", "-o", "soup", "--remote", "download"])
    assert result.exit_code == 0, result.output
    assert shards(Path("soup")) == shards(Path("expected"))
    assert result.stderr.startswith("information: ")
    assert "downloaded" in result.stderr
    manifest = json.loads(Path("soup/soce.json").read_text())
    assert [source["hub"]["id"] for source in manifest["sources"]] == ["org/a", "org/b"]
    assert SIGNATURE not in Path("soup/soce.json").read_text()
    assert soce.verify("soup", recompute=True).ok
    assert soce.verify("soup", recompute=["org/a", "org/b@main"]).ok


def test_only_what_a_checkpoint_needs_is_fetched(served: Hub) -> None:
    (served.root / "org/a/onnx").mkdir()
    (served.root / "org/a/onnx/model.onnx").write_bytes(b"x")
    directory(served.root / "org/a/onnx", 1.0)
    shutil.copy(served.root / "org/a/onnx/model.safetensors", served.root / "org/a/consolidated.safetensors")
    (folder,) = map(Path, bring(["org/a"]))
    assert sorted(str(one.relative_to(folder)) for one in folder.rglob("*")) == [
        "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "model.safetensors.index.json", "tokenizer_config.json",
    ]  # fmt: skip


def test_what_is_whole_in_the_cache_is_asked_of_nobody(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder,) = bring(["org/a"])
    assert read_directory(Path(folder)) == read_directory(served.root / "org/a")
    served.asked.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in (
        "org/a",
        "org/a@main",
        f"org/a@{Path(folder).name}",
        "hf://org/a",
        f"hf://org/a@{Path(folder).name}",
    ):
        assert find_checkpoint(name) == folder
        assert bring([find_checkpoint(name)]) == [folder]
    assert not served.asked


def test_a_model_in_another_format_is_told(served: Hub) -> None:
    for shard in (served.root / "org/a").glob("*.safetensors"):
        shard.unlink()
    message, hint = refused("org/a")
    assert message == "`hf://org/a`: no safetensors files are there"
    assert "another format" in hint


def test_a_folder_that_a_cached_model_lacks_is_told(served: Hub) -> None:
    bring(["org/a"])
    message, hint = refused(find_checkpoint("hf://org/a/none"))
    assert message == "`hf://org/a/none`: `org/a` has no folder `none`"
    assert hint == "check the spelling"


def test_what_is_missing_in_the_cache_is_fetched(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder,) = bring(["org/a"])
    (Path(folder) / "model-00002-of-00002.safetensors").unlink()
    assert find_checkpoint("org/a") == "org/a"
    served.asked.clear()
    assert bring(["org/a"]) == [folder]
    assert served.weights_asked() == 0  # its blob was there
    assert find_checkpoint("org/a") == folder
    (Path(folder) / "model-00002-of-00002.safetensors").unlink()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message, hint = refused("org/a")
    assert "not whole in the cache" in message
    assert "HF_HUB_OFFLINE" in hint


def test_every_way_to_name_a_model_of_the_hub(served: Hub) -> None:
    Path("r.yaml").write_text(
        "ingredients: {a: {path: org/a, weight: 1}, b: {path: 'hf://org/b', weight: 3}}"
    )
    Path("m.yaml").write_text(
        "merge_method: linear\nmodels: [{model: org/a, parameters: {weight: 1}}, {model: org/b, parameters: {weight: 3}}]"
    )
    for file in ("r.yaml", "m.yaml"):
        found = [i.path for i in read_recipes(file).recipe.ingredients]
        assert found in (["org/a", "hf://org/b"], ["org/a", "org/b"], bring(["org/a", "org/b"]))
        merge(file, output=f"{file}-soup")
    assert shards(Path("r.yaml-soup")) == shards(Path("m.yaml-soup"))
    found = diagnose(["org/a"], base="hf://org/b")
    assert found.base == find_checkpoint("org/b")
    merge({"org/a": 1}, output="taken", options=soce.MergeOptions(take={"w1": "hf://org/b"}))
    assert read_directory(Path("taken"))["w1"] == read_directory(served.root / "org/b")["w1"]


def test_revisions_and_folders(served: Hub) -> None:
    directory(served.root / ".revisions/v1/org/a/unet", 5.0)
    (folder,) = map(Path, bring(["hf://org/a@v1/unet"]))
    assert folder.name == "unet"
    assert shards(folder) == shards(served.root / ".revisions/v1/org/a/unet")
    assert find_checkpoint("hf://org/a@v1/unet") == str(folder)
    assert find_checkpoint("hf://org/a/unet") == "hf://org/a/unet"  # the only snapshot is not `main`
    message, _ = refused("hf://org/a/unet")
    assert "no folder `unet`" in message
    message, hint = refused("org/a@v9")
    assert "no revision `v9`" in message
    assert f"{served.endpoint}/org/a" in hint


def test_a_path_that_exists_goes_before_the_hub(served: Hub) -> None:
    directory(Path("org/a"), 1.0)
    assert bring([find_checkpoint("org/a")]) == ["org/a"]
    assert not served.asked
    with pytest.raises(SoceError) as caught:  # where there is a folder `org`, it is a misspelt path
        merge(["org/a", "org/b"], output="soup")
    assert not served.asked
    assert "`hf://org/b`" in (caught.value.problems[0].hint or "")
    assert not any("two" in one for one in plan(["org/a"], output="soup").data["warnings"])
    (folder,) = bring(["hf://org/a"])
    (warning,) = (one for one in plan(["org/a"], output="soup").data["warnings"] if "`hf://org/a`" in one)
    assert "path" in warning
    assert find_checkpoint("hf://org/a") == folder


def test_who_has_no_access_is_told_what_to_do(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(served.root / "org/a", served.root / "org/a-gated")
    message, hint = refused("org/a-gated")
    assert "is gated" in message
    assert "hf auth login" in hint
    message, hint = refused("org/none")
    assert "no public model `org/none`" in message
    assert "spelling" in hint
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (folder,) = bring(["org/a-gated"])
    assert shards(Path(folder)) == shards(served.root / "org/a")


@pytest.mark.parametrize(
    ("status", "told", "mend"),
    [
        (429, "the next 17 seconds", "HF_TOKEN"),
        (500, "status 500", "try again"),
        (403, "status 403", "token"),
    ],
)
def test_a_hub_that_refuses(served: Hub, status: int, told: str, mend: str) -> None:
    served.faults.hub_status, served.faults.n_hub = status, 100
    message, hint = refused("org/a")
    assert told in message
    assert mend in hint


def test_no_network(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    message, hint = refused("org/a@v1")
    assert "cannot be reached" in message
    assert "`hf download org/a --revision v1`" in hint
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    message, hint = refused("org/a")
    assert "HF_HUB_OFFLINE is set" in message
    assert "`hf download org/a`" in hint


def test_without_the_client_its_package_is_named(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    message, hint = refused("org/a")
    assert "huggingface_hub" in message
    assert "soce[hub]" in hint


def test_what_does_not_fit_is_not_begun(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=100))
    monkeypatch.setattr("soce.remote.here.shutil", disk)
    message, hint = refused("org/a")
    assert "100 are free" in message
    assert "HF_HOME" in hint
    assert served.weights_asked() == 0


def test_errors_are_of_checkpoints(served: Hub) -> None:
    with pytest.raises(CheckpointError, match="no public model"):
        merge(["org/a", "org/none"], output="soup")


def test_a_selection_keeps_the_names_of_models(served: Hub) -> None:
    from soce.cli.merge import merge as merge_command
    from soce.cli.select import select
    from soce.selection.file import read_selection

    Path("scores.csv").write_text("model,math,code\na,60,50\nb,50,60\nc,40,55\nd,55,41\n")
    Path("far").mkdir()
    words = [
        "-c",
        "a=org/a",
        "-c",
        "b=hf://org/b@main",
        "--rule",
        "explicit",
        "--category",
        "math",
        "--category",
        "code",
    ]
    result = CliRunner().invoke(select, ["scores.csv", *words, "-o", "far/selection.yaml"])
    assert result.exit_code == 0, result.output
    found = read_selection("far/selection.yaml")
    assert {one.name: one.path for one in found.ingredients} == {"a": "org/a", "b": "hf://org/b@main"}
    result = CliRunner().invoke(merge_command, ["--recipes", "far/selection.yaml", "-o", "soups"])
    assert result.exit_code == 0, result.output
    assert len(list(Path("soups").iterdir())) > 1


def test_tries_of_the_client_are_not_told_while_anybody_waits_for_it() -> None:
    import httpx2
    from huggingface_hub.utils import http_backoff

    heard: list[str] = []
    log = logging.getLogger("huggingface_hub")
    handler = logging.Handler()
    handler.emit = lambda record: heard.append(record.getMessage())  # type: ignore[method-assign]

    def fail() -> None:
        with pytest.raises(httpx2.ConnectError):
            http_backoff("GET", "http://127.0.0.1:9", max_retries=1, base_wait_time=0)

    log.addHandler(handler)
    before = log.level
    try:
        log.setLevel(logging.WARNING)
        first, second = quiet_client(), quiet_client()
        first.__enter__()
        second.__enter__()
        fail()
        first.__exit__(None, None, None)  # as calls on several threads end
        fail()
        second.__exit__(None, None, None)
        assert heard == []
        assert log.level == logging.WARNING
        log.setLevel(logging.INFO)  # who asks for more hears it
        with quiet_client():
            fail()
        assert any("Retrying" in text for text in heard)
    finally:
        log.setLevel(before)
        log.removeHandler(handler)
