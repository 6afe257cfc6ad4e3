"""Models named by ids of the Hub, folders of its cache, `~`, or paths of another system."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.checkpoints import directory, shards

from soce.cli.options.candidates import Candidates
from soce.exceptions import RecipeError, SoceError
from soce.merging.doctor import diagnose
from soce.merging.merge import merge
from soce.merging.plan import plan
from soce.recipes.checkpoint_paths import find_checkpoint
from soce.recipes.files import read_model_paths, read_recipes
from soce.recipes.model import Recipe

REVISIONS = ("a" * 40, "b" * 40)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the Hub as the library lays it out, and an empty working directory."""
    for name in ("HUGGINGFACE_HUB_CACHE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # where nobody answers
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "hf/hub"


def cached(
    cache: Path, name: str, *values: float, revisions: tuple[str, ...] = REVISIONS[:1], main: str = ""
) -> Path:
    """Write a repository into the cache, its files links to blobs, and return the first snapshot."""
    repository = cache / f"models--{name.replace('/', '--')}"
    for revision in revisions:
        snapshot = directory(repository / "snapshots" / revision, *values)
        (repository / "blobs").mkdir(exist_ok=True)
        for number, file in enumerate(sorted(snapshot.iterdir())):
            blob = repository / "blobs" / f"{number}{revision[1:]}"
            file.rename(blob)
            file.symlink_to(Path("../../blobs") / blob.name)
    if main:
        (repository / "refs").mkdir()
        (repository / "refs/main").write_text(main)
    return repository / "snapshots" / revisions[0]


def test_an_id_is_found_in_the_cache(cache: Path) -> None:
    first = cached(cache, "org/model-a", 1.0, main=REVISIONS[0])
    second = cached(cache, "org/model-b", 3.0, revisions=REVISIONS, main=REVISIONS[0])
    recipe = Recipe.of({"org/model-a": 1, "org/model-b": 1})
    assert [i.path for i in recipe.ingredients] == [str(first), str(second)]
    assert [i.name for i in recipe.ingredients] == ["org/model-a", "org/model-b"]
    merge(recipe, output="soup")
    merge({str(first): 1, str(second): 1}, output="same")
    assert shards(Path("soup")) == shards(Path("same"))


def test_every_way_to_name_a_model_finds_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = str(cached(cache, "org/a", 1.0, main=REVISIONS[0]))
    other = str(cached(cache, "org/b", 1.0, main=REVISIONS[0]))
    Path("r.yaml").write_text("ingredients: {a: org/a, b: org/b}")
    assert [i.path for i in read_recipes("r.yaml").recipe.ingredients] == [snapshot, other]
    Path("m.yaml").write_text(
        "merge_method: linear\nmodels: [{model: org/a}, {model: org/b}]\nbase_model: org/b"
    )
    assert [i.path for i in read_recipes("m.yaml").recipe.ingredients] == [snapshot, other]
    assert read_recipes("m.yaml").config_from == other
    Path("models.yaml").write_text("a: org/a")
    assert read_model_paths("models.yaml") == {"a": snapshot}
    assert Candidates(("a=org/a",), "models.yaml").paths_of(["a"]) == {"a": snapshot}
    assert diagnose(["org/a"], base="org/b").base == other
    from soce.cli.merge import merge as command

    result = CliRunner().invoke(command, ["org/a=1", "org/b=3", "-o", "soup"])
    assert result.exit_code == 0
    assert "1 x `org/a@aaaaaaa…`" in result.stderr
    monkeypatch.setenv("HF_HUB_CACHE", str(cache / "elsewhere"))
    assert find_checkpoint("org/a") == "org/a"


def test_a_path_goes_before_an_id(cache: Path) -> None:
    cached(cache, "org/a", 1.0, main=REVISIONS[0])
    directory(Path("org/a"), 1.0)
    assert find_checkpoint("org/a") == "org/a"


def test_a_folder_of_the_cache_is_its_snapshot(cache: Path) -> None:
    folder = cached(cache, "org/a", 1.0).parent.parent
    assert find_checkpoint(folder) == str(folder / "snapshots" / REVISIONS[0])
    assert find_checkpoint(folder / "snapshots" / REVISIONS[0]) == str(folder / "snapshots" / REVISIONS[0])
    folder = cached(cache, "org/b", 1.0, revisions=REVISIONS, main=REVISIONS[1]).parent.parent
    assert find_checkpoint(folder) == str(folder / "snapshots" / REVISIONS[1])
    assert find_checkpoint(f"org/b@{REVISIONS[0]}") == str(folder / "snapshots" / REVISIONS[0])
    (folder / "refs/v1").write_text(REVISIONS[0])
    assert find_checkpoint("org/b@v1") == str(folder / "snapshots" / REVISIONS[0])


def test_several_snapshots_and_none_is_main(cache: Path) -> None:
    folder = cached(cache, "org/a", 1.0, revisions=REVISIONS).parent.parent
    with pytest.raises(RecipeError) as caught:
        find_checkpoint(folder)
    (problem,) = caught.value.problems
    assert problem.path == str(folder)
    assert all(revision in problem.message for revision in REVISIONS)
    assert str(folder / "snapshots" / REVISIONS[0]) in (problem.hint or "")
    for named in ("org/a", "org/a@v2"):  # the Hub knows which is meant
        assert find_checkpoint(named) == named


def test_home_is_found_from_a_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(cache.parent))
    directory(cache.parent / "A", 1.0)
    Path("r.yaml").write_text("ingredients: [~/A, '~/none']")
    assert [i.path for i in read_recipes("r.yaml").recipe.ingredients] == [
        str(cache.parent / "A"), str(cache.parent / "none"),
    ]  # fmt: skip
    Path("~").mkdir()
    assert find_checkpoint("~") == "~"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("org/model-a", "`hf download org/model-a`"),
        ("org/model-a@v1", "`hf download org/model-a --revision v1`"),
        ("/abs/org-not-here/model", "`hf://org-not-here/model`"),
        ("org/model-a@", "`hf://org/model-a`"),
        ("org/model-a:v1", "`hf://org/model-a@v1`"),
        ("org/model-a#v1", "`hf://org/model-a@v1`"),
        ("org/model-a@v1@v2", "`hf://org/model-a@REVISION`"),
        ("hf:/org/model-a", "`hf://org/model-a`"),
        ("hf:org/model-a@v1", "`hf://org/model-a@v1`"),
        ("s3:/bucket/prefix", "`s3://bucket/prefix`"),
        ("https:/host/folder", "`https://host/folder`"),
        ("huggingface.co/org/model-a", "`hf://org/model-a`"),
        ("models--org--model-a", "`hf://org/model-a`"),
        ("$HOME/models/A", "environment variables"),
        (r"C:\models\A", "Windows"),
        ("D:/models/A", "Windows"),
    ],
)
def test_a_path_that_leads_nowhere(cache: Path, path: str, told: str) -> None:
    directory(Path("A"), 1.0)
    if path.startswith("/abs"):
        path = str(cache.parent.parent) + path.removeprefix("/abs")
    with pytest.raises(SoceError) as caught:
        plan({"A": 1, path: 1}, output="soup")
    (problem,) = caught.value.problems
    assert (problem.path or "").removeprefix("hf://") == path
    assert told in (problem.hint or "")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("HF://org/a", "write `hf://`"),
        ("S3://bucket/a", "write `s3://`"),
        ("ftp://host/a", "known are `hf://`"),
        ("file:///models/a", "the path itself, `/models/a`"),
        ("hf://org/a@", "`hf://org/model@revision/folder`"),
        ("hf://datasets/org/a", "ingredients are models"),
        ("https://huggingface.co/org/a", "write `hf://org/a`"),
        ("https://huggingface.co/org/a/tree/v1/unet", "write `hf://org/a@v1`"),
        ("https://huggingface.co/org/a/blob/main/model.safetensors", "write `hf://org/a@main`"),
        ("s3://", "write `s3://bucket/prefix`"),
    ],
)
def test_a_url_that_is_no_name_of_a_model(cache: Path, url: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        find_checkpoint(url)
    (problem,) = caught.value.problems
    assert told in (problem.hint or "")


def test_a_file_of_the_hub_is_one_of_the_web_as_well(cache: Path) -> None:
    url = "https://huggingface.co/org/a/resolve/main/model.safetensors"
    assert find_checkpoint(url) == url


def test_a_misspelt_path_is_no_id_where_its_folder_is_there(cache: Path) -> None:
    directory(Path("models/A"), 1.0)
    with pytest.raises(SoceError) as caught:
        plan({"models/A": 1, "models/a": 1}, output="soup")
    assert "`hf://models/a`" in (caught.value.problems[0].hint or "")


def test_a_live_model_says_where_a_missing_one_may_be_had(cache: Path) -> None:
    pytest.importorskip("torch")
    from soce.evaluate.live.mixing import SoupMixer
    from soce.merging.options import MergeOptions

    directory(Path("A"), 1.0)
    with pytest.raises(SoceError, match="hf download org/model"):
        SoupMixer(["A", "org/model"], MergeOptions())
    with pytest.raises(SoceError, match="is not a checkpoint directory"):
        SoupMixer(["A", "A/model.safetensors"], MergeOptions())
