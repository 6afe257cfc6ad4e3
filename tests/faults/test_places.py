"""Places that forbid, that are something else than they seem, or that lead into an ingredient."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.checkpoints import checkpoint, f32
from tests.faults import disks
from tests.faults.commands import (
    Pair,
    beside,
    error,
    errors,
    ingredient,
    lose_privileges,
    names,
    picture,
    run,
    run_apart,
    untouched,
)

import soce
from soce.exceptions import CheckpointError

ROOT = os.geteuid() == 0
OTHER = 65534
"""A user and a group that have nothing on any Linux."""
SHARD = "model-00002-of-00003.safetensors"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Pair]:
    """Write ingredients whose modes the tests change, and count for the commands that they run."""
    made = [ingredient(tmp_path / name, seed, shards=3, elements=500) for seed, name in enumerate("AB")]
    (tmp_path / "out").mkdir()
    yield Pair(tmp_path, *made)
    for at, directories, _ in os.walk(tmp_path):
        for name in directories:
            Path(at, name).chmod(0o755)


# ---- places that may not be written


@pytest.mark.parametrize("mode", [0o555, 0o111, 0o444, 0o000, 0o666])
def test_a_parent_that_may_not_be_written(own: Pair, mode: int) -> None:
    (own.home / "out").chmod(mode)
    own.refused(own.home / "out/soup", r"(?i)permission denied", powerless=True)


@pytest.mark.parametrize("mode", [0o555, 0o111, 0o444, 0o000, 0o666])
def test_a_folder_for_many_soups_that_may_not_be_written(own: Pair, mode: int) -> None:
    recipes = own.home / "grid.yaml"
    recipes.write_text("ingredients: [A, B]\nrecipes: [[1, 2], [2, 1]]\n")
    (own.home / "out").chmod(mode)
    with untouched(own.home):
        failed = errors(run("--recipes", recipes, "-o", own.home / "out/soups", powerless=True))
    assert all("permission denied" in line.lower() for line in failed), failed


def test_a_parent_that_may_be_written_and_not_read(own: Pair) -> None:
    """A drop box, which cannot be brought to the disk: refused before the work, or a soup if that is not asked for."""
    out = own.home / "out"
    out.chmod(0o333)
    own.makes(out / "unsynced", powerless=True)
    spoilt = checkpoint(own.home / "N", {"w": ("F32", [1], f32(float("nan")))})
    caught: list[Exception] = []

    def merge() -> None:
        lose_privileges()
        try:
            soce.merge([str(spoilt)], output=out / "soup", options=soce.MergeOptions(sync=True))
        except (OSError, CheckpointError) as error:
            caught.append(error)

    thread = threading.Thread(target=merge)
    thread.start()
    thread.join()
    assert [type(error) for error in caught] == [PermissionError], (
        "the work would have found what is not a number"
    )
    assert names(out) == ["unsynced"]


@pytest.fixture
def open_home() -> Iterator[Path]:
    """Make a directory that every user can enter."""
    with tempfile.TemporaryDirectory(prefix="soce-faults-") as home:
        Path(home).chmod(0o755)
        yield Path(home)


@pytest.mark.skipif(not ROOT, reason="only root makes what belongs to others")
@pytest.mark.parametrize("sticky", [False, True])
def test_a_directory_of_somebody_else(open_home: Path, sticky: bool) -> None:
    """In a parent that all may write, anybody may replace an empty directory, but for the sticky bit."""
    made = [ingredient(open_home / name, seed, shards=3, elements=500) for seed, name in enumerate("AB")]
    parent, target = open_home / "out", open_home / "out/soup"
    target.mkdir(parents=True)
    parent.chmod(0o1777 if sticky else 0o777)
    pair = Pair(open_home, *made)
    pair.makes(open_home / "first")  # loads what the other user may not be allowed to read
    if sticky:
        pair.refused(target, "(?i)not permitted|belongs to|permission denied", user=OTHER)
    else:
        pair.makes(target, user=OTHER)
        assert all(path.stat().st_uid == OTHER for path in (target, *target.iterdir()))


@pytest.mark.skipif(not ROOT, reason="only root makes what belongs to others")
@pytest.mark.parametrize("sticky", [False, True])
def test_a_soup_of_somebody_else_is_not_replaced(own: Pair, sticky: bool) -> None:
    """To move a directory one must be allowed to write into it, which shows before the work."""
    parent, target = own.home / "out", own.home / "out/soup"
    own.makes(target)
    for path in (target, *target.iterdir(), parent):
        os.chown(path, OTHER, OTHER)
    parent.chmod(0o1777 if sticky else 0o777)
    own.refused(target, "(?i)permi", "--overwrite", powerless=True)


def test_an_old_soup_that_is_read_only(own: Pair) -> None:
    """Replaced, or refused before the work."""
    out = own.home / "out"
    own.makes(out / "soup")
    (out / "soup").chmod(0o555)
    before = picture(out)
    done = own.merge(out / "soup", "--overwrite", "--dtype", "f32", powerless=True)
    if done.returncode:
        assert "permi" in error(done).lower()
        assert picture(out) == before
    else:
        assert names(out) == ["soup"]


def test_a_target_that_cannot_be_listed(own: Pair) -> None:
    (own.home / "out/soup").mkdir(mode=0)
    own.refused(own.home / "out/soup", r"(?i)permission denied", powerless=True)


# ---- ingredients that may not be read


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        (".", 0o000),
        (".", 0o111),
        (".", 0o444),
        (SHARD, 0o000),
        (SHARD, 0o333),
        ("model.safetensors.index.json", 0o000),
        ("config.json", 0o000),
        ("tokenizer_config.json", 0o000),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_what_may_not_be_read_is_named(own: Pair, name: str, mode: int, first: bool) -> None:
    spoilt = own.a if first else own.b
    with untouched(*own.paths):
        (spoilt / name).chmod(mode)
        done = own.merge(own.home / "out/soup", powerless=True)
        (spoilt / name).chmod(0o755 if name == "." else 0o644)
    assert names(own.home / "out") == []
    lines = errors(done)
    assert all(str(spoilt) in line and "permission denied" in line.lower() for line in lines), lines
    assert any((spoilt.name if name == "." else name) in line for line in lines)


def test_read_only_ingredients_make_a_soup_that_can_be_written(own: Pair) -> None:
    for path in own.paths:
        for file in path.iterdir():
            file.chmod(0o444)
        path.chmod(0o555)
    own.makes(own.home / "out/soup", powerless=True, umask=0o022)
    modes = {file.stat().st_mode & 0o777 for file in (own.home / "out/soup").iterdir()}
    assert modes == {0o644}


# ---- mounts


def test_a_read_only_filesystem(pair: Pair) -> None:
    (pair.home / "place").mkdir()
    with disks.bound(pair.home / "place", pair.home / "sealed", read_only=True):
        pair.refused(pair.home / "sealed/soup", "(?i)read-only file system")
    assert names(pair.home / "place") == []


def test_ingredients_on_a_read_only_filesystem(pair: Pair) -> None:
    with disks.bound(pair.a, pair.home / "sealed", read_only=True) as sealed:
        for io in ("mmap", "pread"):
            Pair(pair.home, sealed, pair.b).makes(pair.home / io, "--io", io)


def test_a_mount_point_is_never_replaced(pair: Pair) -> None:
    (pair.home / "place").mkdir()
    with disks.bound(pair.home / "place", pair.home / "mounted") as mounted:
        for options in ([], ["--overwrite"]):
            pair.refused(mounted, "is a mount point", *options)
        pair.makes(mounted / "soup")
        pair.makes(mounted / "soup", "--overwrite")
    assert names(pair.home / "place") == ["soup"]
    with disks.bound(pair.home / "place/soup", pair.home / "mounted") as mounted:
        pair.refused(mounted, "is a mount point", "--overwrite")


def test_a_soup_with_a_mount_in_it_is_never_replaced(pair: Pair) -> None:
    pair.makes(pair.home / "soup")
    (pair.home / "place").mkdir()
    with disks.bound(pair.home / "place", pair.home / "soup/deep"):
        pair.refused(pair.home / "soup", "`deep`", "--overwrite")
    (pair.home / "soup/deep").rmdir()
    with disks.bound(pair.home / "soup/config.json", pair.home / "soup/soce.json"):
        pair.refused(pair.home / "soup", "soce.json", "--overwrite")
    pair.makes(pair.home / "soup", "--overwrite")


def test_bind_mounts_lead_to_no_ingredient(pair: Pair) -> None:
    (pair.home / "inner").mkdir()
    with disks.bound(pair.a, pair.home / "alias") as alias:
        pair.refused(alias, "is the ingredient|mount point")
        pair.refused(alias / "soup", "lies inside the ingredient")
    with disks.bound(pair.home, pair.home / "inner") as everything:
        pair.refused(everything / "A", "is the ingredient")
        pair.refused(everything / "B/soup", "lies inside the ingredient")
        pair.refused(everything, "contains the ingredient|mount point", "--overwrite")
        pair.makes(everything / "soup")
        shutil.rmtree(pair.home / "soup")
    with disks.bound(pair.a / SHARD, pair.home / "single.safetensors") as single:
        pair.refused(single, "is the ingredient|not a directory", "--overwrite")
        pair.refused(single / "soup", "(?i)not a directory|lies inside")


# ---- links


def test_a_parent_may_be_a_link(pair: Pair) -> None:
    (pair.home / "real").mkdir()
    (pair.home / "link").symlink_to("real")
    pair.makes(pair.home / "link/soup")
    assert names(pair.home / "real") == ["soup"]


def test_dots_after_a_link_lead_where_the_kernel_says(pair: Pair) -> None:
    """`x/link/../soup` lies in the ingredient, although its text does not; `x/away/../A` does not, although it does."""
    (pair.home / "x").mkdir()
    (pair.home / "x/link").symlink_to(pair.a)
    (pair.home / "other/deep").mkdir(parents=True)
    (pair.home / "away").symlink_to("other/deep")
    pair.refused(pair.home / "x/link/../A", "is the ingredient")
    pair.refused(pair.home / "x/link/../A/soup", "lies inside the ingredient")
    pair.makes(Path(f"{pair.home}/away/../A"))
    assert names(pair.home / "other") == ["A", "deep"]


def test_links_that_lead_nowhere(pair: Pair) -> None:
    (pair.home / "loop").symlink_to("loop")
    (pair.home / "dangling").symlink_to("none")
    pair.refused(pair.home / "loop/soup", "(?i)symbolic link|too many levels")
    pair.refused(pair.home / "dangling/soup", "does not exist")
    (pair.home / "gone").mkdir()
    here = Path.cwd()
    os.chdir(pair.home / "gone")
    try:
        (pair.home / "gone").rmdir()
        line = error(run_apart(*pair.paths, "-o", "soup", "-q"))
    finally:
        os.chdir(here)
    assert "`.`" in line or "soup" in line


def test_ingredients_may_share_their_files(pair: Pair) -> None:
    """Two ingredients with the same inodes, and one given twice by two names, are what they hold."""
    twin = pair.home / "twin"
    shutil.copytree(pair.a, twin, copy_function=os.link)
    before = picture(twin)
    done = run(twin, pair.a, pair.b, "-o", pair.home / "soup", "-q", "--no-sync")
    assert done.returncode == 0, done.stderr
    assert picture(twin) == before
    for path in (pair.home / "soup").iterdir():
        assert (path.is_symlink(), path.stat().st_nlink) == (False, 1)
    shutil.rmtree(twin)


@pytest.mark.parametrize("link", [os.link, os.symlink], ids=["hard", "symbolic"])
def test_files_linked_into_an_old_soup_survive_its_replacement(
    pair: Pair, link: Callable[[Path, Path], None]
) -> None:
    """A manifest that lists a name makes the name the soup's, never the file that it leads to."""
    soup = pair.home / "soup"
    pair.makes(soup)
    (soup / "config.json").unlink()
    kept = pair.home / "config of somebody else.json"
    kept.write_text('{"model_type": "test"}')
    link(kept, soup / "config.json")
    done = pair.merge(soup, "--overwrite")
    if link is os.symlink:
        assert "`config.json`" in error(done)
    else:
        assert done.returncode == 0, done.stderr
    assert kept.read_text() == '{"model_type": "test"}'
    assert beside(soup) == []


# ---- the cache of the Hugging Face Hub


def hub_cache(pair: Pair) -> tuple[Path, list[Path]]:
    """Lay both ingredients out as two revisions of one repository, with what they share stored once."""
    repository = pair.home / "hub/models--org--name"
    blobs = repository / "blobs"
    blobs.mkdir(parents=True)
    (repository / "refs").mkdir()
    snapshots = []
    for n, path in enumerate(pair.paths):
        snapshot = repository / "snapshots" / f"{n:040x}"
        snapshot.mkdir(parents=True)
        (repository / "refs" / f"branch{n}").write_text(snapshot.name)
        for k, file in enumerate(sorted(path.iterdir())):
            shared = file.suffix == ".json"
            digits = 40 if shared else 64
            blob = blobs / f"{(0 if shared else n) * 100 + k + 1:0{digits}x}"
            shutil.copy(file, blob)
            (snapshot / file.name).symlink_to(f"../../blobs/{blob.name}")
        snapshots.append(snapshot)
    return repository, snapshots


def test_two_revisions_in_a_hub_cache(pair: Pair) -> None:
    repository, snapshots = hub_cache(pair)
    cached = Pair(pair.home, *snapshots)
    with untouched(repository):
        for io in ("mmap", "pread"):
            cached.makes(pair.home / io, "--io", io)
        assert not any(path.is_symlink() for path in (pair.home / "mmap").iterdir())
    (pair.home / "current").symlink_to(snapshots[0])
    Pair(pair.home, pair.home / "current", snapshots[1]).makes(pair.home / "through a link")


def test_a_hub_cache_as_output(pair: Pair) -> None:
    repository, snapshots = hub_cache(pair)
    cached = Pair(pair.home, *snapshots)
    blob = sorted((repository / "blobs").iterdir())[-1]
    with untouched(repository):
        for output, words in [
            (snapshots[0], "is the ingredient"),
            (snapshots[0] / "soup", "lies inside"),
            (repository / "snapshots", "contains the ingredient"),
            (repository / "blobs", "contains the ingredient"),
            (blob, "is the ingredient|not a directory"),
            (blob / "soup", "(?i)lies inside|not a directory"),
            (repository, "contains the ingredient"),
            (pair.home / "hub", "contains the ingredient"),
        ]:
            cached.refused(output, words, "--overwrite")
    before = picture(*snapshots, repository / "blobs")
    cached.makes(repository / "snapshots" / ("f" * 40))
    assert picture(*snapshots, repository / "blobs") == before


def test_a_snapshot_of_a_soup_is_no_soup_to_replace(pair: Pair) -> None:
    """Its files are links into a store that other revisions use."""
    pair.makes(pair.home / "soup")
    snapshot = pair.home / "hub/models--org--soup/snapshots" / ("1" * 40)
    snapshot.mkdir(parents=True)
    blobs = snapshot.parents[1] / "blobs"
    blobs.mkdir()
    for n, file in enumerate(sorted((pair.home / "soup").iterdir())):
        file.rename(blobs / f"{n:064x}")
        (snapshot / file.name).symlink_to(f"../../blobs/{n:064x}")
    pair.refused(snapshot, "not a soup|does not list", "--overwrite")
    Pair(pair.home, pair.a, snapshot).makes(pair.home / "again")


def test_a_download_into_a_local_directory(pair: Pair) -> None:
    """huggingface_hub keeps its notes in `.cache` beside the files: no part of the model."""
    local = pair.home / "local"
    shutil.copytree(pair.a, local)
    notes = local / ".cache/huggingface/download"
    notes.mkdir(parents=True)
    (local / ".cache/huggingface/.gitignore").write_text("*")
    for file in pair.a.iterdir():
        (notes / f"{file.name}.metadata").write_text(f"{'1' * 40}\n{'2' * 64}\n1700000000.0\n")
        (notes / f"{file.name}.lock").touch()
    with untouched(local):
        Pair(pair.home, local, pair.b).makes(pair.home / "soup")
    assert not any(path.name.startswith(".") for path in (pair.home / "soup").iterdir())
