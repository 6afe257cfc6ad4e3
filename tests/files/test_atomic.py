"""Files that are complete or not there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soce.exceptions import StudyError
from soce.files.atomic import staged, write_json, write_text
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
