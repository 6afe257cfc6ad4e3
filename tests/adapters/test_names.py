"""What adapters are called: paths, models of the Hub; and what of such names is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.adapter_files import adapter
from tests.checkpoints import directory
from tests.hubs import hub

from soce.adapters.soup import merge_adapters
from soce.exceptions import CheckpointError, OutputError, RecipeError
from soce.merging.merge import merge, merge_all
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.model import Recipe, same_path_key
from soce.recipes.names import base_of, parts_of, split_adapter


def test_adapters_of_the_hub_are_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    for name in ("HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE", "HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    both = [adapter(tmp_path / "hub" / "org" / name, lora_alpha=i) for i, name in enumerate("ab", 1)]
    with hub(tmp_path / "hub") as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        made = merge_adapters({"org/a": "1", "hf://org/b@main": "3"}, output="soup")
    merge_adapters(dict(zip(map(str, both), "13", strict=True)), output="expected")
    name = "adapter_model.safetensors"
    assert Path("soup", name).read_bytes() == Path("expected", name).read_bytes()
    assert [one["name"] for one in made.manifest["ingredients"]] == ["org/a", "hf://org/b@main"]
    assert "| `org/b` | 3 of 4 |" in Path("soup", "README.md").read_text()
    assert merge_adapters(["org/a"], output="again").manifest["whole"] == 1  # from the cache, without a Hub


@pytest.mark.parametrize("url", ["hf://org/soup", "s3://user:secret@bucket/soup"])
def test_soups_of_adapters_and_many_soups_are_made_on_this_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.chdir(tmp_path)
    a = str(directory(tmp_path / "A", 1.0))
    for make in (
        lambda: merge_all({"x": Recipe.of([a])}, output=url),
        lambda: merge_adapters([str(adapter(tmp_path / "a"))], output=url),
    ):
        with pytest.raises(OutputError, match="soce publish") as caught:
            make()
        assert "secret" not in str(caught.value)
    assert {one.name for one in tmp_path.iterdir()} <= {"A", "a"}


def test_soups_of_adapters_have_no_base(tmp_path: Path) -> None:
    directory(tmp_path / "A", 1.0)
    adapter(tmp_path / "a")
    with pytest.raises(RecipeError, match="name the adapter alone"):
        merge_adapters([f"{tmp_path}/A+{tmp_path}/a"], output=tmp_path / "soup")


def test_a_plus_in_a_path_is_a_plus(tmp_path: Path) -> None:
    a = directory(tmp_path / "A+B", 1.0)
    merge([str(a)], output=tmp_path / "soup")
    with pytest.raises(CheckpointError, match="No such file"):
        merge([str(tmp_path / "X+B")], output=tmp_path / "other")


part = st.text("ab+=@. ", min_size=1, max_size=6).filter(lambda name: name.strip(" .+"))


@given(part, part)
def test_a_base_and_its_adapter_are_told_apart_again(
    tmp_path_factory: pytest.TempPathFactory, base: str, lora: str
) -> None:
    """Whatever they are called, unless a sign stands right beside the one between them."""
    home = tmp_path_factory.mktemp("names")
    for folder in (both := (home / "bases" / base.strip("+"), home / "adapters" / lora.strip("+"))):
        folder.mkdir(parents=True)
    text = find_checkpoint(f"{both[0]}+{both[1]}")
    assert split_adapter(text) == tuple(map(str, both))
    assert parts_of(text) == tuple(map(str, both))
    assert base_of(text) == str(both[0])
    assert same_path_key(same_path_key(text)) == same_path_key(text)
    (home / f"{text.removeprefix('/')}").mkdir(parents=True)
    assert split_adapter(str(home / text.removeprefix("/"))) == (str(home / text.removeprefix("/")), None)
