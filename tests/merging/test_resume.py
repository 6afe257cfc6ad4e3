"""What an interrupted merge leaves is used by the next one, if it is of the same plan and still what it was."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import blake3
import pytest
from tests.checkpoints import checkpoint, f32, read_directory, row, shards, sparse, write_file

import soce
from soce.exceptions import CheckpointError, OutputError
from soce.merging.report import MergeReport

QUICK = soce.MergeOptions(sync=False, num_threads=1)
NAN = float("nan")


@pytest.fixture
def two(tmp_path: Path) -> list[str]:
    """Write A and B of three shards; the last tensor of A is not a number, so a strict merge stops there."""
    paths = []
    for name, values in (("A", (1.0, 2.0, NAN)), ("B", (3.0, 2.5, 4.0))):
        files = [{f"w{i}": ("F32", [2], f32(value, -value))} for i, value in enumerate(values)]
        path = checkpoint(tmp_path / name, *files)
        (path / "tokenizer_config.json").write_text("{}")
        paths.append(str(path))
    return paths


def interrupted(two: list[str], output: Path, **options: object) -> Path:
    """Make two shards of three, and return the state directory."""
    with pytest.raises(CheckpointError, match="not finite") as caught:
        soce.merge(two, output=output, options=replace(QUICK, **options))
    (note,) = caught.value.__notes__
    assert note.startswith("2 of 3 shards are finished and will be used: run the same command again")
    state = output.with_name(f"{output.name}.soce-partial")
    assert not output.exists()
    assert {path.name for path in state.iterdir()} == {"lock", "plan.json", "journal.jsonl", "payload"}
    return state


def finished(two: list[str], output: Path, **options: object) -> MergeReport:
    return soce.merge(two, output=output, options=replace(QUICK, nonfinite="warn", **options))


def files(path: Path) -> dict[str, bytes]:
    return {str(found.relative_to(path)): found.read_bytes() for found in path.rglob("*") if found.is_file()}


def result(path: Path) -> dict[str, object]:
    return json.loads((path / "soce.json").read_text())["result"]


def without_run(path: Path) -> dict[str, object]:
    """Return every file's bytes, but of the manifest only what does not tell how the soup was made."""
    manifest = json.loads((path / "soce.json").read_text())
    kept = {key: manifest[key] for key in ("result", "result_digest", "plan_digest", "sources")}
    return {**files(path), "soce.json": kept}


@pytest.mark.parametrize("digests", ["tensors", "full"])
def test_the_next_merge_makes_only_what_is_missing(two: list[str], tmp_path: Path, digests: str) -> None:
    state = interrupted(two, tmp_path / "soup", digests=digests)
    before = {path.name: path.stat().st_ino for path in (state / "payload").glob("model-0000[12]*")}
    plan = soce.plan(two, output=tmp_path / "soup", options=soce.MergeOptions(digests=digests))
    assert plan.finished_shards() == {tmp_path / "soup": 2}
    report = finished(two, tmp_path / "soup", digests=digests)
    last = shards(tmp_path / "soup")["model-00003-of-00003.safetensors"]
    assert (report.reused_shards, report.bytes_written) == (2, len(last))
    assert any("continued an interrupted run: 2 of 3 shards were finished" in w for w in report.warnings)
    after = {path.name: path.stat().st_ino for path in (tmp_path / "soup").glob("model-0000[12]*")}
    assert after == before
    assert not state.exists()
    fresh = finished(two, tmp_path / "fresh", digests=digests)
    assert without_run(tmp_path / "soup") == without_run(tmp_path / "fresh")
    assert report.result_digests == fresh.result_digests
    assert report.nonfinite == fresh.nonfinite != ()
    runs = [
        json.loads((tmp_path / name / "soce.json").read_text())["run"]["resumes"]
        for name in ("soup", "fresh")
    ]
    assert runs == [1, 0]


def test_a_merge_can_be_interrupted_again_and_again(two: list[str], tmp_path: Path) -> None:
    for _ in range(3):
        interrupted(two, tmp_path / "soup")
    assert finished(two, tmp_path / "soup").reused_shards == 2
    finished(two, tmp_path / "fresh")
    assert without_run(tmp_path / "soup") == without_run(tmp_path / "fresh")


def test_a_merge_of_something_else_is_refused_and_names_the_difference(
    two: list[str], tmp_path: Path
) -> None:
    state = interrupted(two, tmp_path / "soup")
    before = files(state)
    for recipe, options, words in [
        ({two[0]: 2, two[1]: 1}, {}, r"`recipe\[0\].parts` was \[1,1\], is \[2,1\]"),
        (two[::-1], {}, r"`ingredients\[0\]\[0\].header_sha256`|mtime_ns` was"),
        (two, {"dtype": "bf16"}, r"`shards\[0\].header` was"),
        (two, {"max_shard_size": 1_000_000}, "`shards` had 3 entries, has 1"),
        (two, {"digests": "full"}, '`digests` was "tensors", is "full"'),
        (two, {"differences": True}, "`differences` was false, is true"),
    ]:
        with pytest.raises(OutputError, match="of another plan is unfinished.*" + words) as caught:
            soce.merge(recipe, output=tmp_path / "soup", options=replace(QUICK, **options))
        assert "`--restart`" in str(caught.value.problems[0].hint)
        assert {k: v for k, v in files(state).items() if k != "lock"} == {
            k: v for k, v in before.items() if k != "lock"
        }
    (Path(two[1]) / "config.json").touch()
    os.utime(Path(two[1], "model-00001-of-00003.safetensors"))
    with pytest.raises(OutputError, match=r"`ingredients\[1\]\[0\].mtime_ns` was \d+, is \d+"):
        finished(two, tmp_path / "soup")
    (Path(two[0]) / "tokenizer_config.json").write_text('{"a": 1}')
    os.utime(Path(two[1], "model-00001-of-00003.safetensors"), ns=(0, 0))
    report = finished({two[0]: 2, two[1]: 1}, tmp_path / "soup", restart=True)
    assert report.reused_shards == 0
    assert not state.exists()


def test_a_changed_side_file_is_another_plan(two: list[str], tmp_path: Path) -> None:
    interrupted(two, tmp_path / "soup")
    (Path(two[0]) / "tokenizer_config.json").write_text('{"a": 1}')
    with pytest.raises(OutputError, match=r"`side_files\.tokenizer_config\.json` was"):
        finished(two, tmp_path / "soup")


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "link", "header"])
def test_a_finished_shard_that_is_no_longer_whole_is_made_again(
    two: list[str], tmp_path: Path, damage: str
) -> None:
    state = interrupted(two, tmp_path / "soup")
    shard = state / "payload" / "model-00002-of-00003.safetensors"
    content = bytearray(shard.read_bytes())
    match damage:
        case "flip":
            content[-1] ^= 1
            shard.write_bytes(content)
        case "cut":
            shard.write_bytes(content[:-1])
        case "remove":
            shard.unlink()
        case "link":
            shard.rename(tmp_path / "moved")
            os.link(tmp_path / "moved", shard)
        case "header":
            content[20] ^= 1
            shard.write_bytes(content)
    report = finished(two, tmp_path / "soup")
    assert report.reused_shards == 1
    assert any("made `model-00002-of-00003.safetensors` again: " in warning for warning in report.warnings)
    finished(two, tmp_path / "fresh")
    assert without_run(tmp_path / "soup") == without_run(tmp_path / "fresh")


def test_shards_of_an_input_that_was_touched_are_made_again(two: list[str], tmp_path: Path) -> None:
    interrupted(two, tmp_path / "soup")
    shard = Path(two[1], "model-00001-of-00003.safetensors")
    before = shard.stat()
    content = bytearray(shard.read_bytes())
    content[-1] ^= 0x40  # another value, the same header, size and time: only the inode's own time tells
    shard.write_bytes(content)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))
    report = finished(two, tmp_path / "soup")
    assert report.reused_shards == 1
    assert any("model-00001-of-00003.safetensors` was touched since" in w for w in report.warnings)
    finished(two, tmp_path / "fresh")
    assert without_run(tmp_path / "soup") == without_run(tmp_path / "fresh")


def test_an_input_that_was_moved_is_the_same_plan(two: list[str], tmp_path: Path) -> None:
    interrupted(two, tmp_path / "soup")
    moved = Path(two[1]).rename(tmp_path / "moved")
    report = finished([two[0], str(moved)], tmp_path / "soup")
    assert report.reused_shards == 2


def test_what_was_made_of_changing_inputs_is_never_used(tmp_path: Path) -> None:
    two = []
    for name in "AB":
        path = sparse(tmp_path / name, "F64", 12_500_000)
        write_file(path / "model-00001-of-00002.safetensors", {"small": ("F32", [2], f32(1, 2))})
        (path / "model.safetensors").rename(path / "model-00002-of-00002.safetensors")
        two.append(str(path))
    output = tmp_path / "soup"
    slow = replace(QUICK, kernels="scalar")
    journal = tmp_path / "soup.soce-partial/journal.jsonl"

    def on_progress(done: int, total: int) -> None:
        if journal.exists() and b'"shard"' in journal.read_bytes():
            Path(two[1], "model-00002-of-00002.safetensors").touch()

    with pytest.raises(CheckpointError, match="changed since it was opened") as caught:
        soce.merge(two, output=output, on_progress=on_progress, options=slow)
    assert "cannot be used: discard them with `--restart`" in caught.value.__notes__[0]
    with pytest.raises(OutputError, match=r"cannot be continued: .*changed since"):
        soce.merge(two, output=output, options=QUICK)
    assert soce.merge(two, output=output, options=replace(QUICK, restart=True)).reused_shards == 0
    soce.merge(two, output=tmp_path / "fresh", options=QUICK)
    assert without_run(output) == without_run(tmp_path / "fresh")


def test_without_digests_there_is_nothing_to_go_on_from(two: list[str], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="not finite") as caught:
        soce.merge(two, output=tmp_path / "soup", options=replace(QUICK, digests="none"))
    assert not hasattr(caught.value, "__notes__")
    assert {path.name for path in tmp_path.iterdir()} == {"A", "B"}


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("journal", "its journal: line 2 is damaged"),
        ("plan", "its plan was changed|holds what no run puts there"),
        ("foreign", "holds what no run puts there: `payload/notes.txt`"),
    ],
)
def test_a_state_directory_that_cannot_be_believed_is_refused(
    two: list[str], tmp_path: Path, damage: str, words: str
) -> None:
    state = interrupted(two, tmp_path / "soup")
    match damage:
        case "journal":
            lines = (state / "journal.jsonl").read_bytes().splitlines(keepends=True)
            lines[1] = lines[1].replace(b"model-00001", b"model-00003")
            (state / "journal.jsonl").write_bytes(b"".join(lines))
        case "plan":
            text = (state / "plan.json").read_text()
            (state / "plan.json").write_text(text.replace('"parts":[1,1]', '"parts":[2,1]'))
        case "foreign":
            (state / "payload" / "notes.txt").write_text("mine")
    before = files(state / "payload")
    with pytest.raises(OutputError, match=words):
        finished(two, tmp_path / "soup")
    assert files(state / "payload") == before


def test_a_torn_last_line_costs_one_shard(two: list[str], tmp_path: Path) -> None:
    state = interrupted(two, tmp_path / "soup")
    journal = state / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-10])
    assert finished(two, tmp_path / "soup").reused_shards == 1
    finished(two, tmp_path / "fresh")
    assert without_run(tmp_path / "soup") == without_run(tmp_path / "fresh")


def test_the_old_soup_stays_until_the_new_one_is_whole(two: list[str], tmp_path: Path) -> None:
    finished([two[1]], tmp_path / "soup")
    old = files(tmp_path / "soup")
    with pytest.raises(CheckpointError, match="not finite"):
        soce.merge(two, output=tmp_path / "soup", options=replace(QUICK, overwrite=True))
    assert files(tmp_path / "soup") == old
    assert finished(two, tmp_path / "soup", overwrite=True).reused_shards == 2
    finished(two, tmp_path / "fresh")
    assert without_run(tmp_path / "soup") == without_run(tmp_path / "fresh")


def test_many_soups_go_on_from_where_each_was(two: list[str], tmp_path: Path) -> None:
    recipes = {name: {two[0]: parts, two[1]: 1} for name, parts in (("one", 1), ("two", 2))}
    with pytest.raises(CheckpointError, match="not finite") as caught:
        soce.merge_all(recipes, output=tmp_path / "soups", options=QUICK)
    assert caught.value.__notes__[0].startswith("4 of 6 shards are finished")
    (tmp_path / "soups/two.soce-partial/payload/model-00001-of-00003.safetensors").unlink()
    report = soce.merge_all(recipes, output=tmp_path / "soups", options=replace(QUICK, nonfinite="warn"))
    assert report.reused_shards == 3
    soce.merge_all(recipes, output=tmp_path / "fresh", options=replace(QUICK, nonfinite="warn"))
    for name in recipes:
        assert without_run(tmp_path / "soups" / name) == without_run(tmp_path / "fresh" / name)


def test_a_soup_that_was_published_before_the_others_is_not_made_twice(
    two: list[str], tmp_path: Path
) -> None:
    """A run killed between two renames: the first output is complete, the second has only to be renamed."""
    recipes = {name: {two[0]: parts, two[1]: 1} for name, parts in (("one", 1), ("two", 2))}
    with pytest.raises(CheckpointError, match="not finite"):
        soce.merge_all(recipes, output=tmp_path / "soups", options=QUICK)
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path / "soups/two.soce-partial", kept)
    soce.merge_all(recipes, output=tmp_path / "soups", options=replace(QUICK, nonfinite="warn"))
    shutil.rmtree(tmp_path / "soups/two")
    kept.rename(tmp_path / "soups/two.soce-partial")
    inode = (tmp_path / "soups/one").stat().st_ino
    report = soce.merge_all(recipes, output=tmp_path / "soups", options=replace(QUICK, nonfinite="warn"))
    assert report.complete_before == (tmp_path / "soups/one",)
    assert any("already complete" in warning for warning in report.warnings)
    assert (tmp_path / "soups/one").stat().st_ino == inode
    assert len(report.result_digests) == 2
    with pytest.raises(OutputError, match="already exists"):  # it holds what would now be refused
        soce.merge_all(recipes, output=tmp_path / "soups", options=QUICK)


# ---- level full, and differences


def test_level_full_hashes_what_went_in_and_what_came_out(two: list[str], tmp_path: Path) -> None:
    finished(two, tmp_path / "soup", digests="full")
    manifest = json.loads((tmp_path / "soup/soce.json").read_text())
    for shard in manifest["result"]["shards"]:
        content = (tmp_path / "soup" / shard["name"]).read_bytes()
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
    contents = []
    for path in two:
        tensors = read_directory(Path(path))
        entries = [
            [name, dtype, shape, blake3.blake3(data).hexdigest()]
            for name, (dtype, shape, data) in sorted(tensors.items())
        ]
        text = json.dumps(entries, separators=(",", ":"))
        contents.append(blake3.blake3(text.encode()).hexdigest())
    assert [found["content"] for found in manifest["result"]["ingredients"]] == sorted(contents)


def test_no_digest_depends_on_the_order_of_ingredients(two: list[str], tmp_path: Path) -> None:
    """Not even where the counts of each ingredient, its digest and its differences are told apart."""
    recipe = {two[0]: 1, two[1]: 2}
    options = {"digests": "full", "differences": True}
    first = finished(recipe, tmp_path / "first", **options)
    second = finished(dict(reversed(recipe.items())), tmp_path / "second", **options)
    assert first.result_digests == second.result_digests
    equal = finished(two, tmp_path / "third", **options), finished(two[::-1], tmp_path / "fourth", **options)
    assert equal[0].result_digests == equal[1].result_digests


def test_differences_are_recorded_when_asked_for(two: list[str], tmp_path: Path) -> None:
    finished({two[0]: 1, two[1]: 3}, tmp_path / "soup", differences=True)
    found = {name: tensor["differences"] for name, tensor in result(tmp_path / "soup")["tensors"].items()}
    # Of parts 3 and 1, so B comes first: w0 is (1 + 3 * 3) / 4 = 2.5, w1 (2 + 3 * 2.5) / 4 = 2.375.
    assert found == {"w0": ["0.5", "1.5"], "w1": ["0.125", "0.375"], "w2": ["0", "0"]}
    finished(two, tmp_path / "plain")
    assert "differences" not in result(tmp_path / "plain")["tensors"]["w0"]


def test_an_ingredient_without_a_part_has_no_column(two: list[str], tmp_path: Path) -> None:
    recipe = row([Path(two[0]), Path(two[1])], [0, 1], 1)
    soce.merge(recipe, output=tmp_path / "soup", options=replace(QUICK, digests="full", differences=True))
    found = result(tmp_path / "soup")
    assert len(found["ingredients"]) == 1
    assert {tuple(tensor["differences"]) for tensor in found["tensors"].values()} == {("0",)}
