"""Objects of a store as ingredients: the real obstore, on moto's S3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.adapter_files import adapter
from tests.checkpoints import bf16, checkpoint, read_directory, shards

import soce
from soce.exceptions import SoceError
from soce.merging.merge import merge
from soce.merging.options import MergeOptions
from soce.remote.here import bring

obstore = pytest.importorskip("obstore")


@pytest.fixture
def s3(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two checkpoints below `s3://models/`, which also lie in the folder that is returned."""
    monkeypatch.chdir(tmp_path)
    for name, value in (("a", 1.0), ("b", 3.0)):
        checkpoint(tmp_path / "local" / name, *[{f"w{i}": ("BF16", [2], bf16(value, i))} for i in range(2)])
        put(tmp_path / "local" / name, f"runs/{name}")
    return tmp_path / "local"


def put(folder: Path, prefix: str) -> None:
    """Upload all files of a folder."""
    from obstore.store import from_url

    store = from_url("s3://models")
    for file in folder.iterdir():
        obstore.put(store, f"{prefix}/{file.name}", file.read_bytes())


def test_objects_are_merged_as_files_of_this_disk(s3: Path) -> None:
    merge([str(s3 / "a"), str(s3 / "b")], output="expected")
    merge(["s3://models/runs/a", "s3://models/runs/b/"], output="soup")
    assert shards(Path("soup")) == shards(Path("expected"))
    text = Path("soup/soce.json").read_text()
    assert "Signature" not in text
    assert "very-secret" not in text
    origins = json.loads(text)["run"]["origins"]
    assert [*origins.values()] == ["s3://models/runs/a", "s3://models/runs/b"]
    assert soce.verify("soup", recompute=True).ok
    assert not list(Path("cache").rglob("*.safetensors"))
    merge(["s3://models/runs/a", str(s3 / "b")], output="kept", options=MergeOptions(remote="download"))
    assert shards(Path("kept")) == shards(Path("expected"))
    assert len(list(Path("cache").rglob("*.safetensors"))) == 2


def test_an_adapter_of_a_store_is_kept_and_its_base_streamed(s3: Path) -> None:
    base = checkpoint(s3 / "base", {"x.y.weight": ("BF16", [2, 3], bf16(*range(6)))})
    lora = adapter(s3 / "lora")
    for folder in (base, lora):
        put(folder, f"runs/{folder.name}")
    merge({f"{base}+{lora}": 1, str(base): 3}, output="expected")
    merge({"s3://models/runs/base+s3://models/runs/lora/": 1, "s3://models/runs/base": 3}, output="soup")
    assert shards(Path("soup")) == shards(Path("expected"))
    origins = json.loads(Path("soup/soce.json").read_text())["run"]["origins"]
    assert {*origins.values()} == {"s3://models/runs/base+s3://models/runs/lora", "s3://models/runs/base"}
    assert soce.verify("soup", recompute=True).ok
    assert [path.name for path in Path("cache").rglob("*.safetensors")] == ["adapter_model.safetensors"]


def test_one_object_is_a_checkpoint(s3: Path) -> None:
    (file,) = bring(["s3://models/runs/a/model-00002-of-00002.safetensors"])
    assert [one.name for one in Path(file).parent.iterdir()] == ["model-00002-of-00002.safetensors"]


def test_objects_that_changed_are_another_version(s3: Path) -> None:
    (before,) = bring(["s3://models/runs/a"])
    assert bring(["s3://models/runs/a"]) == [before]
    checkpoint(s3 / "a", *[{f"w{i}": ("BF16", [2], bf16(7, i))} for i in range(2)])
    put(s3 / "a", "runs/a")
    (after,) = bring(["s3://models/runs/a"])
    assert before != after
    assert read_directory(Path(after)) == read_directory(s3 / "a") != read_directory(Path(before))


@pytest.mark.parametrize(
    ("name", "told", "mend"),
    [
        ("s3://models/runs/none", "no safetensors files", "spelling"),
        ("s3://models", "`s3://models`: no safetensors files are there, but below", "such as `s3://models/"),
        ("s3://models/runs", "below it in `a`, `b`", "s3://models/runs/a"),
        ("s3://models/runs/x.safetensors", "not there", "spelling"),
        ("s3://no-such-bucket/a", "no such bucket", "spelling"),
        ("s3://models/a?X-Amz-Signature=secret", "query", "s3://bucket/model"),
        ("s3:///a", "has no bucket", "s3://bucket/prefix"),
        ("ftp://models/a", "`ftp://` is not known", "hf://"),
    ],
)
def test_what_is_not_there(s3: Path, name: str, told: str, mend: str) -> None:
    with pytest.raises(SoceError) as caught:
        bring([name])
    (problem,) = caught.value.problems
    assert told in str(problem)
    assert mend in (problem.hint or "")
    assert "secret" not in str(caught.value)


def test_without_the_client_its_package_is_named(s3: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "obstore", None)
    with pytest.raises(SoceError, match=r"soce\[s3\]"):
        bring(["s3://models/runs/a"])


def test_one_object_of_a_set_is_what_it_is_on_this_disk(s3: Path) -> None:
    names = [f"{name}/model-00001-of-00002.safetensors" for name in "ab"]
    merge([str(s3 / name) for name in names], output="expected")
    for how in ("stream", "download"):
        options = MergeOptions(remote=how)
        merge([f"s3://models/runs/{name}" for name in names], output=how, options=options)
        assert shards(Path(how)) == shards(Path("expected"))
