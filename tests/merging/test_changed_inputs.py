"""Ingredients and outputs that change while a soup is planned or made: an error, never a wrong soup, never a crash."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.checkpoints import checkpoint, f32, sparse

import soce
from soce.exceptions import CheckpointError, OutputError

SLOW = soce.MergeOptions(kernels="scalar", num_threads=1, sync=False)


@pytest.fixture
def big(tmp_path: Path) -> list[str]:
    """Write three ingredients of 100 MB, sparse: some hundred milliseconds of work for the scalar kernels."""
    return [str(sparse(tmp_path / name, "F64", 12_500_000)) for name in "XYZ"]


def truncate(shard: Path) -> None:
    os.truncate(shard, 50_000_000)


def empty(shard: Path) -> None:
    os.truncate(shard, 0)


def replaced(shard: Path) -> None:
    sparse(shard.parent / "new", "F64", 12_500_000)
    (shard.parent / "new/model.safetensors").replace(shard)


def delete(shard: Path) -> None:
    shard.unlink()


def write_into(shard: Path) -> None:
    with shard.open("r+b") as file:
        file.seek(1000)
        file.write(b"changed!")


def write_and_hide(shard: Path) -> None:
    """Write, and put the time of the last change back: the change of the inode itself still tells."""
    before = shard.stat()
    write_into(shard)
    os.utime(shard, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change", [truncate, empty, replaced, delete, write_into, write_and_hide], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("io", ["mmap", "pread"])
def test_an_ingredient_that_changes_during_a_merge(
    big: list[str], tmp_path: Path, io: str, change: Callable[[Path], None]
) -> None:
    shard = Path(big[1], "model.safetensors")
    changed = []

    def on_progress(done: int, total: int) -> None:
        if not changed:
            changed.append(done)
            change(shard)

    handler = signal.getsignal(signal.SIGBUS)
    with pytest.raises((CheckpointError, OSError)) as caught:
        soce.merge(big, output=tmp_path / "soup", on_progress=on_progress, options=replace(SLOW, io=io))
    assert "Y/model.safetensors" in f"{caught.value} {getattr(caught.value, 'filename', '')}"
    # A change that is noticed at the end leaves a finished shard, which nobody may use.
    assert not (tmp_path / "soup").exists()
    state = tmp_path / "soup.soce-partial"
    assert {path.name for path in tmp_path.iterdir()} - {state.name} == {"X", "Y", "Z"}
    assert state.exists() == hasattr(caught.value, "__notes__")
    if state.exists():
        assert '"tainted"' in (state / "journal.jsonl").read_text()
    assert signal.getsignal(signal.SIGBUS) is handler


@pytest.mark.parametrize(
    "change", [truncate, empty, replaced, delete, write_into, write_and_hide], ids=lambda f: f.__name__
)
@pytest.mark.parametrize("io", ["mmap", "pread"])
def test_an_ingredient_that_changes_between_plan_and_merge(
    big: list[str], tmp_path: Path, io: str, change: Callable[[Path], None]
) -> None:
    plan = soce.plan(big, output=tmp_path / "soup")
    change(Path(big[2], "model.safetensors"))
    with pytest.raises((CheckpointError, OSError)):
        plan.execute(options=soce.MergeOptions(io=io, sync=False))
    assert {path.name for path in tmp_path.iterdir()} == {"X", "Y", "Z"}


@pytest.mark.parametrize("kind", ["directory", "file", "link"])
def test_a_target_that_somebody_else_fills_meanwhile_is_kept(
    big: list[str], tmp_path: Path, kind: str
) -> None:
    target = tmp_path / "soup"

    def on_progress(done: int, total: int) -> None:
        if target.is_symlink() or target.exists():
            return
        match kind:
            case "directory":
                target.mkdir()
                (target / "notes.txt").write_text("mine")
            case "file":
                target.write_text("mine")
            case "link":
                target.symlink_to("X")

    with pytest.raises(OutputError):
        soce.merge(big, output=target, on_progress=on_progress, options=SLOW)
    # The work is done and kept: once the target's name is free again, the next merge only has to use it.
    assert {path.name for path in tmp_path.iterdir()} == {"X", "Y", "Z", "soup", "soup.soce-partial"}
    assert [path.name for path in Path(big[0]).iterdir()] == ["model.safetensors"]
    if kind == "directory":
        assert (target / "notes.txt").read_text() == "mine"
    target.rename(tmp_path / "elsewhere")
    assert soce.merge(big, output=target, options=SLOW).reused_shards == 1


def test_a_plan_can_be_carried_out_once_for_each_time_its_target_is_free(tmp_path: Path) -> None:
    paths = [str(checkpoint(tmp_path / name, {"w": ("F32", [1], f32(1))})) for name in "AB"]
    plan = soce.plan(paths, output=tmp_path / "soup")
    plan.execute(options=soce.MergeOptions(sync=False))
    with pytest.raises(OutputError, match="already exists"):
        plan.execute(options=soce.MergeOptions(sync=False))


def test_a_state_directory_that_is_not_ours_is_refused_and_kept(tmp_path: Path) -> None:
    paths = [str(checkpoint(tmp_path / name, {"w": ("F32", [1], f32(1))})) for name in "AB"]
    state = tmp_path / "soup.soce-partial"
    for make, words in [
        (lambda: state.symlink_to("A"), "not a directory"),
        (lambda: state.write_text("mine"), "not a directory"),
        (lambda: (state.mkdir(), (state / "notes.txt").write_text("mine")), "`notes.txt`"),
        (lambda: (state.mkdir(), (state / "payload").symlink_to("../A")), "`payload`"),
        (lambda: (state.mkdir(), (state / "lock").symlink_to("../A/config.json")), "`lock`"),
    ]:
        make()
        with pytest.raises((OutputError, OSError), match=words):
            soce.merge(paths, output=tmp_path / "soup")
        assert {path.name for path in (tmp_path / "A").iterdir()} == {"model.safetensors", "config.json"}
        if state.is_dir() and not state.is_symlink():
            for path in state.iterdir():
                path.unlink()
            state.rmdir()
        else:
            state.unlink()
