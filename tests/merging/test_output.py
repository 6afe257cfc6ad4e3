"""Where a soup may be put, what is in it and beside it, and that ingredients are never touched."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from tests import reference
from tests.checkpoints import checkpoint, f32, read_directory, row, shards, state_of

import soce
from soce.exceptions import OutputError

QUICK = soce.MergeOptions(sync=False)
CODE = "from soce.cli import main_merge; main_merge()"


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """Write the ingredients A and B."""
    paths = []
    for name, values in (("A", (1.0, 2.0, 4.0)), ("B", (3.0, 2.0, -4.0))):
        path = checkpoint(tmp_path / name, {"w": ("F32", [3], f32(*values))})
        (path / "tokenizer_config.json").write_text("{}")
        paths.append(str(path))
    return paths


def left_behind(path: Path) -> list[str]:
    return [found.name for found in path.iterdir() if "soce-" in found.name]


def refused(two: list[str], output: Path, words: str, **options: object) -> None:
    """Assert that the output is refused, before anything is made, and that everything stays as it was."""
    home = Path(two[0]).parent
    before = state_of(home), sorted(home.rglob("*"))
    for act in (soce.plan, soce.merge):
        with pytest.raises(OutputError, match=words):
            act(two, output=output, options=soce.MergeOptions(**options))
    assert (state_of(home), sorted(home.rglob("*"))) == before


# ---- the target


def test_an_absent_target_and_an_empty_directory_are_filled(two: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    soce.merge(two, output=tmp_path / "absent", options=QUICK)
    soce.merge(two, output=tmp_path / "empty")
    soce.merge(two, output=f"{tmp_path}/slash/", options=QUICK)
    assert shards(tmp_path / "absent") == shards(tmp_path / "empty") == shards(tmp_path / "slash")
    assert left_behind(tmp_path) == []


@pytest.mark.parametrize("sync", [True, False])
def test_a_soup_is_replaced_only_when_asked(two: list[str], tmp_path: Path, sync: bool) -> None:
    soce.merge(two, output=tmp_path / "soup", options=QUICK)
    refused(two[::-1], tmp_path / "soup", "already exists and holds a soup")
    old = shards(tmp_path / "soup")
    soce.merge(
        {two[0]: 3, two[1]: 1},
        output=tmp_path / "soup",
        options=soce.MergeOptions(overwrite=True, max_shard_size=12, sync=sync),
    )
    assert shards(tmp_path / "soup") != old
    assert left_behind(tmp_path) == []


def test_the_same_merge_again_finds_its_soup_finished(two: list[str], tmp_path: Path) -> None:
    first = soce.merge(two, output=tmp_path / "soup", options=QUICK)
    before = state_of(tmp_path / "soup")
    again = soce.merge(two, output=tmp_path / "soup", options=QUICK)
    assert again.complete_before == (tmp_path / "soup",)
    assert again.result_digests == first.result_digests
    assert (again.bytes_read, again.bytes_written) == (0, 0)
    assert state_of(tmp_path / "soup") == before
    with pytest.raises(OutputError, match="already exists"):  # it asks for more than the soup has
        soce.merge(two, output=tmp_path / "soup", options=replace(QUICK, digests="full"))
    os.utime(f"{two[0]}/model.safetensors")
    refused(two, tmp_path / "soup", "already exists and holds a soup")


def test_a_soup_with_other_files_in_it_is_never_replaced(two: list[str], tmp_path: Path) -> None:
    soce.merge(two, output=tmp_path / "soup", options=QUICK)
    (tmp_path / "soup/notes.txt").write_text("mine")
    refused(two, tmp_path / "soup", "does not list: `notes.txt`", overwrite=True)
    (tmp_path / "soup/notes.txt").unlink()
    (tmp_path / "soup/deep").mkdir()
    refused(two, tmp_path / "soup", "does not list: `deep`", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "kind", ["directory", "checkpoint", "file", "fifo", "link", "dangling", "link-to-soup"]
)
def test_what_is_no_soup_is_never_replaced(
    two: list[str], tmp_path: Path, kind: str, overwrite: bool
) -> None:
    target = tmp_path / "soup"
    match kind:
        case "directory":
            target.mkdir()
            (target / "notes.txt").write_text("mine")
        case "checkpoint":
            checkpoint(target, {"w": ("F32", [3], f32(0, 0, 0))})
        case "file":
            target.write_text("mine")
        case "fifo":
            os.mkfifo(target)
        case "link":
            (tmp_path / "real").mkdir()
            target.symlink_to("real")
        case "dangling":
            target.symlink_to("nowhere")
        case "link-to-soup":
            soce.merge(two, output=tmp_path / "real", options=QUICK)
            target.symlink_to("real")
    words = {
        "directory": "not a soup",
        "checkpoint": "not a soup",
        "file": "not a directory",
        "fifo": "not a directory",
    }
    refused(two, target, words.get(kind, "symbolic link"), overwrite=overwrite)
    if "link" in kind:
        with pytest.raises(OutputError, match="symbolic link"):
            soce.merge(two, output=f"{target}/", options=soce.MergeOptions(overwrite=overwrite))


@pytest.mark.parametrize("overwrite", [False, True])
def test_no_output_touches_an_ingredient(two: list[str], tmp_path: Path, overwrite: bool) -> None:
    a = Path(two[0])
    (tmp_path / "alias").symlink_to("A")
    for output, words in [
        (a, "is the ingredient"),
        (a / "soup", "lies inside the ingredient"),
        (a / "../B", "is the ingredient"),
        (tmp_path, "contains the ingredient"),
        (tmp_path / "alias", "is the ingredient"),
        (tmp_path / "alias/soup", "lies inside the ingredient"),
        (a / "model.safetensors", "lies inside|is the ingredient"),
    ]:
        refused(two, output, words, overwrite=overwrite)
    files = [f"{path}/model.safetensors" for path in two]
    with pytest.raises(OutputError, match="is the ingredient"):
        soce.merge(files, output=files[0], options=soce.MergeOptions(overwrite=overwrite))


def test_a_hard_link_to_the_old_soup_survives_its_replacement(two: list[str], tmp_path: Path) -> None:
    soce.merge(two, output=tmp_path / "soup", options=QUICK)
    (tmp_path / "linked").mkdir()
    os.link(tmp_path / "soup/model.safetensors", tmp_path / "linked/model.safetensors")
    before = state_of(tmp_path / "linked")
    soce.merge(
        [str(tmp_path / "linked"), two[0]], output=tmp_path / "soup", options=replace(QUICK, overwrite=True)
    )
    assert state_of(tmp_path / "linked") == before


def test_a_parent_that_is_missing_or_closed_is_named(two: list[str], tmp_path: Path) -> None:
    refused(two, tmp_path / "none/soup", "`.*/none`: does not exist")
    refused(two, Path(two[0], "config.json", "soup"), "is not a directory|lies inside")
    refused(two, tmp_path / ("x" * 250), "250 bytes|got 250")


def test_two_outputs_never_touch_each_other(two: list[str], tmp_path: Path) -> None:
    recipes = {"x": two, "x.soce-partial": two}
    with pytest.raises(soce.SoceError):
        soce.merge_all(recipes, output=tmp_path / "soups")
    assert not (tmp_path / "soups").exists()


# ---- the files


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_are_what_the_umask_leaves(two: list[str], tmp_path: Path, umask: int) -> None:
    Path(two[0], "tokenizer_config.json").chmod(0o755)
    command = [sys.executable, "-c", CODE, *two, "-o", str(tmp_path / "soup"), "-q", "--max-shard-size", "8"]
    subprocess.run(command, umask=umask, check=True)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "soup").iterdir()}
    assert set(modes.values()) == {0o666 & ~umask}, modes
    assert stat.S_IMODE((tmp_path / "soup").stat().st_mode) == 0o777 & ~umask
    assert left_behind(tmp_path) == []


def test_ingredients_are_as_they_were(two: list[str], tmp_path: Path) -> None:
    before = [state_of(Path(path)) for path in two]
    for io in ("mmap", "pread"):
        soce.merge(two, output=tmp_path / io, options=soce.MergeOptions(io=io, cache="drop"))
    assert [state_of(Path(path)) for path in two] == before


def test_read_only_ingredients_can_be_souped(two: list[str], tmp_path: Path) -> None:
    for path in two:
        for file in Path(path).iterdir():
            file.chmod(0o444)
        Path(path).chmod(0o555)
    soce.merge(two, output=tmp_path / "soup", options=QUICK)
    assert left_behind(tmp_path) == []
    for path in two:
        Path(path).chmod(0o755)


# ---- the manifest and the recipe


def manifest_of(path: Path) -> dict:
    return json.loads((path / "soce.json").read_text())


def test_the_manifest_says_what_is_there(two: list[str], tmp_path: Path) -> None:
    report = soce.merge(
        {two[0]: "0.6", two[1]: "0.4"}, output=tmp_path / "soup", options=replace(QUICK, digests="tensors")
    )
    manifest = manifest_of(tmp_path / "soup")
    result = manifest["result"]
    assert result["recipe"]["rows"] == [{"pattern": "*", "parts": [3, 2], "whole": 5}]
    counts = {"averaged": 1, "copied": 0, "tied": 0, "refused": 0}
    assert result["counts"] == counts
    assert report.counts == {**counts, "taken": 0, "left_out": 0}
    assert sorted([*result["files"], "soce.json"]) == sorted(
        path.name for path in (tmp_path / "soup").iterdir()
    )
    for name, digest in result["donor"]["side_files"].items():
        assert hashlib.sha256((tmp_path / "soup" / name).read_bytes()).hexdigest() == digest
    for shard in result["shards"]:
        assert (tmp_path / "soup" / shard["name"]).stat().st_size == shard["size"]
    for name, entry in result["tensors"].items():
        content = (tmp_path / "soup" / entry["shard"]).read_bytes()
        data = content[entry["offset"] :][: entry["length"]]
        assert (entry["dtype"], entry["shape"], data) == read_directory(tmp_path / "soup")[name]
    for path, source in zip(two, manifest["sources"], strict=True):
        header = Path(path, "model.safetensors").read_bytes()
        header = header[8 : 8 + int.from_bytes(header[:8], "little")]
        assert source["shards"][0]["header_sha256"] == hashlib.sha256(header).hexdigest()
    assert manifest["run"]["ingredients"] == two
    assert (manifest["result_digest"],) == report.result_digests


def test_digests_are_blake3_of_the_canonical_text(two: list[str], tmp_path: Path) -> None:
    blake3 = pytest.importorskip("blake3").blake3
    soce.merge(two, output=tmp_path / "soup", options=replace(QUICK, digests="tensors"))
    manifest = manifest_of(tmp_path / "soup")

    def digest(value: object) -> str:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return blake3(text.encode()).hexdigest()

    for name, (_, _, data) in read_directory(tmp_path / "soup").items():
        assert manifest["result"]["tensors"][name]["blake3"] == blake3(data).hexdigest()
    assert digest(manifest["result"]) == manifest["result_digest"]
    assert digest({k: v for k, v in manifest.items() if k != "file_digest"}) == manifest["file_digest"]


def test_equal_soups_have_equal_digests_and_others_do_not(two: list[str], tmp_path: Path) -> None:
    def digest(name: str, ingredients: dict, **options: object) -> str:
        return soce.merge(
            ingredients, output=tmp_path / name, options=replace(QUICK, digests="tensors", **options)
        ).result_digests[0]

    first = digest("first", {two[0]: 1, two[1]: 1})
    assert (
        digest("threads", {two[0]: "0.5", two[1]: "0.5"}, num_threads=4, io="pread", chunk_bytes=4096)
        == first
    )
    assert digest("other", {two[0]: 1, two[1]: 2}) != first
    Path(two[1]).rename(tmp_path / "elsewhere")
    assert digest("moved", {two[0]: 1, str(tmp_path / "elsewhere"): 1}) == first
    checkpoint(tmp_path / "elsewhere", {"w": ("F32", [3], f32(3.0, 2.0, -4.5))})
    assert digest("changed", {two[0]: 1, str(tmp_path / "elsewhere"): 1}) != first


def test_the_mergekit_recipe_says_the_parts(two: list[str], tmp_path: Path) -> None:
    soce.merge({two[0]: "0.6", two[1]: "0.4"}, output=tmp_path / "soup", options=replace(QUICK, dtype="bf16"))
    recipe = yaml.safe_load((tmp_path / "soup/mergekit_config.yml").read_text())
    assert recipe["merge_method"] == "linear"
    parts = [(model["model"], model["parameters"]["weight"]) for model in recipe["models"]]
    assert parts == [(two[0], 3), (two[1], 2)]
    assert (recipe["dtype"], recipe["out_dtype"]) == ("float32", "bfloat16")
    soce.merge(tmp_path / "soup/mergekit_config.yml", output=tmp_path / "again", options=QUICK)
    assert shards(tmp_path / "again") == shards(tmp_path / "soup")


# ---- copies need agreement in every bit


def test_what_is_copied_is_copied_whatever_the_recipe(tmp_path: Path) -> None:
    ids = ("I64", [3], bytes(range(24)))
    paths = [
        checkpoint(tmp_path / n, {"ids": ids, "w": ("F32", [1], f32(v))}) for n, v in (("a", 1), ("b", 2))
    ]
    report = soce.merge(row(paths, [3, -1], 1), output=tmp_path / "soup", options=QUICK)
    soup = read_directory(tmp_path / "soup")
    assert soup == {"ids": ids, "w": ("F32", [1], reference.pack([0x3F800000], "F32"))}
    assert {kind: count for kind, count in report.counts.items() if count} == {"averaged": 1, "copied": 1}
