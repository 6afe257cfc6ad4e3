"""Every bad input is refused from end to end: exit code 1, the file and the reason named, nothing made."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.checkpoints import Tensors, checkpoint, f32, read_directory, sparse, state_of

import soce
from soce.cli.merge import merge as command
from soce.cli.text.merge import plan_text, report_text
from soce.exceptions import CheckpointError, OutputError, RecipeError
from soce.recipes.rows import Row

W: Tensors = {"w": ("F32", [3], f32(1, 2, 3))}
V: Tensors = {"v": ("F32", [2], f32(4, 5))}
SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
INDEX = "model.safetensors.index.json"


@pytest.fixture
def good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work beside a good checkpoint `good` of two shards."""
    monkeypatch.chdir(tmp_path)
    return checkpoint(tmp_path / "good", W, V)


@pytest.fixture
def bad(good: Path) -> Path:
    """Return another checkpoint of the same kind, to be spoilt."""
    return checkpoint(good.with_name("bad"), W, V)


def run(*arguments: str) -> tuple[int, list[str]]:
    """Run the command: the exit code and the lines on stderr."""
    result = CliRunner().invoke(command, list(arguments), prog_name="soce-merge")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    assert result.stdout == ""
    return result.exit_code, result.stderr.splitlines()


def refused(*ingredients: str, output: str = "soup") -> list[str]:
    """Return the error lines of a refused merge that changed nothing and took no time."""
    before = state_of(Path()), sorted(Path().rglob("*"))
    begun = time.monotonic()
    code, lines = run(*ingredients, "-o", output)
    assert time.monotonic() - begun < 2
    assert code == 1
    assert (state_of(Path()), sorted(Path().rglob("*"))) == before
    return [line for line in lines if line.startswith("error: ")]


def rewrite_index(where: Path, change: Callable[[dict], None]) -> None:
    index = json.loads((where / INDEX).read_text())
    change(index)
    (where / INDEX).write_text(json.dumps(index))


# ---- shards


def test_a_missing_shard_is_named(good: Path, bad: Path) -> None:
    (bad / SHARDS[1]).unlink()
    (line,) = refused("good", "bad")
    assert line == f"error: `bad`: 1 of 2 shards are missing: `{SHARDS[1]}`"
    (bad / INDEX).unlink()
    (line,) = refused("good", "bad")
    assert f"1 of 2 shards are missing: `{SHARDS[1]}`" in line


def test_a_shard_too_many_is_named_and_can_be_allowed(good: Path, bad: Path) -> None:
    checkpoint(bad / "tmp", W)
    (bad / "tmp/model.safetensors").rename(bad / "old.safetensors")
    (line,) = refused("good", "bad")
    assert "`old.safetensors`" in line
    assert run("good", "bad", "-o", "soup", "--ignore-unreferenced", "-q")[0] == 0


@pytest.mark.parametrize(
    "name", ["../good/model-00001-of-00002.safetensors", "/etc/passwd", "..", "a/b.safetensors", "a\\b.safetensors", "C:x.safetensors", "", "x\0.safetensors", "x" * 256 + ".safetensors"]
)  # fmt: skip
def test_an_index_leads_nowhere_but_to_its_own_directory(good: Path, bad: Path, name: str) -> None:
    rewrite_index(bad, lambda index: index["weight_map"].update(w=name))
    lines = refused("good", "bad")
    assert all(line.startswith(("error: `bad/", "error: `bad`")) for line in lines)
    assert "root:" not in "".join(lines)


def test_an_index_that_disagrees_with_its_shards(good: Path, bad: Path) -> None:
    rewrite_index(bad, lambda index: index["weight_map"].update(w=SHARDS[1]))
    assert any("`w`" in line for line in refused("good", "bad"))
    rewrite_index(bad, lambda index: index["weight_map"].update(w=SHARDS[0], ghost=SHARDS[0]))
    assert any("`ghost`" in line for line in refused("good", "bad"))
    rewrite_index(bad, lambda index: (index["weight_map"].pop("ghost"), index["weight_map"].pop("v")))
    assert refused("good", "bad")
    (bad / INDEX).write_text('{"weight_map": {"w": "x", "w": "y"}}')
    assert any("twice" in line for line in refused("good", "bad"))
    (bad / INDEX).write_text("[" * 100_000)
    assert refused("good", "bad")


@pytest.mark.parametrize("kind", ["directory", "fifo", "socket", "device", "outside", "dangling", "loop"])
def test_a_shard_that_is_no_file_is_refused_at_once(good: Path, bad: Path, kind: str) -> None:
    shard = bad / SHARDS[0]
    shard.unlink()
    match kind:
        case "directory":
            shard.mkdir()
        case "fifo":
            os.mkfifo(shard)
        case "socket":
            import socket

            with socket.socket(socket.AF_UNIX) as made:
                made.bind(os.path.relpath(shard))
        case "device":
            shard.symlink_to("/dev/zero")
        case "outside":
            shard.symlink_to(good / SHARDS[0])
        case "dangling":
            shard.symlink_to("nowhere")
        case "loop":
            shard.symlink_to(shard.name)
    lines = refused("good", "bad")
    assert any(SHARDS[0] in line for line in lines)
    if kind == "outside":
        assert run("good", "bad", "-o", "soup", "--follow-links", "-q")[0] == 0


def test_links_inside_a_checkpoint_and_its_hub_cache_are_followed(good: Path) -> None:
    cache = good.parent / "models--org--name"
    (cache / "blobs").mkdir(parents=True)
    snapshot = cache / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    for n, file in enumerate(sorted(good.iterdir())):
        blob = cache / "blobs" / (f"{n:064x}" if "safetensors" in file.suffix else f"{n:040x}")
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(f"../../blobs/{blob.name}")
    assert run("good", str(snapshot), "-o", "soup", "-q")[0] == 0
    assert read_directory(Path("soup")) == W | V
    assert not any(path.is_symlink() for path in Path("soup").iterdir())


@pytest.mark.parametrize("keep", [0, 7, 8, 20, -1])
def test_a_truncated_file_is_named(good: Path, bad: Path, keep: int) -> None:
    content = (bad / SHARDS[0]).read_bytes()
    (bad / SHARDS[0]).write_bytes(content[:keep])
    lines = refused("good", "bad")
    assert all(f"`bad/{SHARDS[0]}`" in line for line in lines)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 100,
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 10) + b'{"a":1}   ',
        b"PK\x03\x04" + bytes(100),
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    ],
)
def test_what_is_no_safetensors_file_is_named(good: Path, bad: Path, content: bytes) -> None:
    (bad / SHARDS[0]).write_bytes(content)
    assert all(f"`bad/{SHARDS[0]}`" in line for line in refused("good", "bad"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_is_named(good: Path, bad: Path) -> None:
    (bad / SHARDS[0]).chmod(0)
    try:
        assert "ermission denied" in refused("good", "bad")[0]
    finally:
        (bad / SHARDS[0]).chmod(0o644)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "model.gguf", "model.ckpt"])
def test_other_formats_are_not_opened_and_the_converter_is_named(good: Path, name: str) -> None:
    Path("bad").mkdir()
    (Path("bad") / name).write_bytes(b"cos\nabort\n(tR.")  # unpickling it would end this process
    code, lines = run("good", "bad", "-o", "soup")
    assert code == 1
    assert lines[0] == f"error: `bad`: no safetensors checkpoint (found `{name}`)"
    assert lines[2].startswith("hint: ")
    assert ("take the original" if name.endswith("gguf") else "weights_only=True") in lines[2]


# ---- ingredients that do not fit each other


def test_other_shapes_vocabularies_and_names(good: Path) -> None:
    def one(name: str, tensors: Tensors) -> str:
        return checkpoint(Path(name), tensors).name

    rows = {n: {"model.embed_tokens.weight": ("F32", [n, 2], f32(*range(2 * n)))} for n in (3, 4)}
    (line,) = refused(one("three", rows[3]), one("four", rows[4]))
    assert "expected shape [3, 2], got [4, 2]: the vocabularies differ, 3 and 4 tokens" in line
    (line,) = refused(one("w3", W), one("w2", {"w": ("F32", [1, 3], f32(1, 2, 3))}))
    assert "expected shape [3], got [1, 3]" in line
    lines = refused("w3", one("vw", W | V))
    assert lines == ["error: `vw/model.safetensors`: tensor `v`: missing in `w3`"]
    lines = refused("vw", "w3")
    assert lines == ["error: `w3`: tensor `v`: missing, but `vw` has it"]
    refused("w3", one("prefixed", {f"model.{name}": tensor for name, tensor in W.items()}))


def test_all_problems_of_all_ingredients_are_reported_at_once(good: Path, bad: Path) -> None:
    (bad / SHARDS[0]).write_bytes(b"junk")
    Path("empty").mkdir()
    lines = refused("good", "bad", "empty", "none", "good/../nowhere")
    assert len(lines) == 4
    for name in ("`bad/", "`empty`", "`none`", "nowhere`"):
        assert sum(name in line for line in lines) == 1
    with pytest.raises(CheckpointError) as caught:
        soce.merge(["good", "bad", "empty", "none"], output="soup")
    assert len(caught.value.problems) == 3
    wrong = {"w": ("F32", [4], f32(0, 0, 0, 0)), "v": ("I32", [2], bytes(8)), "u": V["v"]}
    checkpoint(Path("wrong"), wrong)
    lines = refused("good", "wrong", output="good")
    assert len(lines) == 4
    for word in ("shape", "dtype F32, got I32", "`u`", "is the ingredient"):
        assert sum(word in line for line in lines) == 1, word


# ---- recipes


@pytest.mark.parametrize(
    ("ingredients", "code", "words"),
    [
        (["good=0", "bad=0"], 1, "zero"),
        (["good=-1", "bad=2"], 1, "negative"),
        (["good=1", "bad=10000000"], 1, "too small a part"),
        (["good=nan", "bad=1"], 1, "`nan`"),
        (["good=1", "bad"], 1, "some ingredients have weights"),
        ([], 2, "no ingredients"),
        (["good", "--dtype", "int4"], 2, "int4"),
        (["good", "--no-such-option"], 2, "--no-such-option"),
    ],
)
def test_recipes_that_make_no_sense(
    good: Path, bad: Path, ingredients: list[str], code: int, words: str
) -> None:
    found, lines = run(*ingredients, "-o", "soup")
    assert (found, lines[0][:7]) == (code, "error: ")
    assert words in "\n".join(lines)
    assert not Path("soup").exists()


def test_the_same_ingredient_twice_is_one_with_the_sum_of_the_parts(good: Path, bad: Path) -> None:
    code, lines = run("good=1", "./good=2", "bad=1", "-o", "soup")
    assert (code, lines[0]) == (0, "averaging 3 x `good`, 1 x `bad`")
    Path("link").symlink_to("good")
    assert run("good=1", "link=1", "-o", "linked", "-q")[0] == 0
    assert read_directory(Path("linked")) == read_directory(good)


# ---- space


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a filesystem of 1 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_an_output_that_does_not_fit_is_refused_before_it_is_begun(tiny_disk: Path, tmp_path: Path) -> None:
    paths = [str(sparse(tmp_path / name, "F32", 1_000_000)) for name in "AB"]
    for output in (tiny_disk / "soup", tiny_disk):
        with pytest.raises(OutputError):
            soce.merge(paths, output=output)
    with pytest.raises(OutputError, match=r"not enough space: \d+ bytes needed, 1048576 free, \d+ missing"):
        soce.merge(paths, output=tiny_disk / "soup")
    with pytest.raises(OSError, match="No space left") as caught:
        soce.merge(paths, output=tiny_disk / "soup", options=soce.MergeOptions(preflight=False))
    assert str(caught.value.filename).startswith(str(tiny_disk))
    assert list(tiny_disk.iterdir()) == []
    soce.merge([str(sparse(tmp_path / "C", "F32", 1000))], output=tiny_disk / "soup")
    assert [path.name for path in tiny_disk.iterdir()] == ["soup"]


def test_finished_soups_need_no_space(tiny_disk: Path, tmp_path: Path) -> None:
    one, other = (str(sparse(tmp_path / name, "F32", 70_000)) for name in "AB")
    recipes = {name: {one: parts, other: 1} for name, parts in (("one", 1), ("two", 2))}
    soce.merge_all(recipes, output=tiny_disk)
    with pytest.raises(OSError, match="No space left"):
        (tiny_disk / "filler").write_bytes(bytes(1 << 20))
    report = soce.merge_all(recipes, output=tiny_disk)
    assert report.complete_before == (tiny_disk / "one", tiny_disk / "two")
    (tiny_disk / "filler").unlink()
    plan = soce.plan_all({**recipes, "three": {one: 3, other: 1}}, output=tiny_disk)
    assert "two, which holds this soup already\n" in plan_text(plan)
    assert "three\n" in plan_text(plan)
    report = plan.execute()
    assert report.complete_before == (tiny_disk / "one", tiny_disk / "two")
    assert report_text(report).startswith(f"wrote `{tiny_disk / 'three'}`:")
    assert (tiny_disk / "three" / "soce.json").is_file()


@pytest.mark.parametrize("count", [-1, 0, 100_000])
def test_a_number_of_threads_that_makes_no_sense_is_refused(tmp_path: Path, count: int) -> None:
    made = checkpoint(tmp_path / "A", {"w": ("F32", [1], f32(1))})
    with pytest.raises(RecipeError, match=str(count)):
        soce.merge([str(made)], output=tmp_path / "soup", options=soce.MergeOptions(num_threads=count))
    assert not (tmp_path / "soup").exists()


@pytest.mark.parametrize("place", ["path", "pattern", "output"])
def test_half_a_character_is_refused_wherever_it_stands(good: Path, bad: Path, place: str) -> None:
    half = "w\ud800"
    paths = [str(good), half if place == "path" else str(bad)]
    rows = (Row(half if place == "pattern" else "*", (1, 1), 2),)
    recipe = soce.Recipe(soce.Recipe.of(paths).ingredients, rows)
    with pytest.raises(RecipeError, match=r"`w\\u\{d800\}` has an unpaired surrogate"):
        soce.merge(recipe, output=half if place == "output" else "soup")
    assert not Path("soup").exists()
