"""Files that are complete or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from soce.exceptions import StudyError
from soce.files.atomic import staged, staged_folder, write_json, write_text
from soce.files.documents import read_json


def test_a_file_is_replaced_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "one\n")
    write_text(tmp_path / "a", "two\n")
    assert (tmp_path / "a").read_bytes() == b"two\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_file_that_is_there_is_kept_if_asked(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "one", overwrite=False)
    with pytest.raises(FileExistsError) as caught:
        write_text(tmp_path / "a", "two", overwrite=False)
    assert caught.value.filename == str(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("there", [True, False])
def test_without_links_a_name_is_still_not_taken_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    def no_links(self: Path, target: Path) -> None:
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(Path, "hardlink_to", no_links)
    if there:
        (tmp_path / "a").write_text("one")
        with pytest.raises(FileExistsError):
            write_text(tmp_path / "a", "two", overwrite=False)
    else:
        write_text(tmp_path / "a", "one", overwrite=False)
    assert (tmp_path / "a").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "one")
    with pytest.raises(ZeroDivisionError), staged(tmp_path / "a") as partial:
        partial.write_text(str(1 / 0))
    with pytest.raises(OSError, match="disk is full") as caught, staged(tmp_path / "a"):
        raise OSError(28, "disk is full")
    assert caught.value.filename == str(tmp_path / "a")
    assert (tmp_path / "a").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "far").write_text("far")
    (tmp_path / "a").symlink_to("far")
    write_text(tmp_path / "a", "near")
    assert (tmp_path / "far").read_text() == "far"
    assert not (tmp_path / "a").is_symlink()


def test_json_comes_back_with_names_that_are_not_utf_8(tmp_path: Path) -> None:
    value = {"a": [0.1, 1, True, None], os.fsdecode(b"\xff"): "\u00e9"}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json", error=StudyError) == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert read_json(tmp_path / "a.json", error=StudyError) == value


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"{", "property name"),
        (b"[NaN]", "`NaN`"),
        (b'{"a": 1, "b": 2, "a": 3}', "duplicate key `a`"),
        (b"\xff", "utf-8"),
        (b"[" * 100_000, "nested"),
    ],
)
def test_damaged_json_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StudyError, match=told) as caught:
        read_json(tmp_path / "a.json", error=StudyError, hint="remove it")
    (problem,) = caught.value.problems
    assert (problem.kind, problem.path, problem.hint) == ("study", str(tmp_path / "a.json"), "remove it")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "a") as partial:
        (partial / "x").write_text("one")
        assert not (tmp_path / "a").exists()
    assert names(tmp_path / "a") == ["x"]
    with pytest.raises(ZeroDivisionError), staged_folder(tmp_path / "b") as partial:
        (partial / "x").write_text(str(1 / 0))
    assert names(tmp_path) == ["a"]


def test_a_folder_is_replaced_only_when_asked_to(tmp_path: Path) -> None:
    for what in ("x", "y"):
        with staged_folder(tmp_path / "a", overwrite=True) as partial:
            (partial / what).write_text(what)
    assert (names(tmp_path), names(tmp_path / "a")) == (["a"], ["y"])
    with pytest.raises(FileExistsError), staged_folder(tmp_path / "a") as partial:
        (partial / "z").write_text("z")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileExistsError), staged_folder(tmp_path / "empty"):
        pass
    assert (names(tmp_path), names(tmp_path / "a")) == (["a", "empty"], ["y"])


def test_what_was_there_comes_back_if_the_new_folder_cannot_have_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with staged_folder(tmp_path / "a") as partial:
        (partial / "x").write_text("old")
    rename = Path.rename

    def refuse(path: Path, target: Path) -> Path:
        if path.name.startswith(".a.") and not path.name.endswith(".before"):
            raise OSError(5, "input/output error")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with (
        pytest.raises(OSError, match="input/output"),
        staged_folder(tmp_path / "a", overwrite=True) as partial,
    ):
        (partial / "x").write_text("new")
    assert (names(tmp_path), (tmp_path / "a" / "x").read_text()) == (["a"], "old")


def test_a_process_that_is_killed_leaves_what_was_there(tmp_path: Path) -> None:
    with staged_folder(tmp_path / "a") as partial:
        (partial / "x").write_text("old")
    script = (
        "import os, signal\n"
        "from soce.files.atomic import staged_folder\n"
        f"with staged_folder({str(tmp_path / 'a')!r}, overwrite=True) as partial:\n"
        "    (partial / 'x').write_text('new')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=False)
    assert (tmp_path / "a" / "x").read_text() == "old"
    with staged_folder(tmp_path / "a", overwrite=True) as partial:
        (partial / "x").write_text("new")
    assert (tmp_path / "a" / "x").read_text() == "new"
