"""Files that appear complete or not at all: written beside their name, brought to the disk, then renamed."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

PathText: TypeAlias = "str | os.PathLike[str]"
"""Whatever names a file."""


@contextmanager
def named(path: PathText) -> Iterator[None]:
    """Give system failures inside that name no file, as a full disk does on writing, the name of `path`."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, os.fspath(path)) from error


@contextmanager
def staged(path: PathText, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a new file beside `path` to write to, which gets the name of `path` at the end.

    It is removed if anything inside raises, and `path` is as it was; so it is if `overwrite` is False and
    `path` is there, a FileExistsError. A link at `path` is replaced, not followed.
    """
    target = Path(path)
    partial = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    try:
        with named(target):
            yield partial
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            if overwrite:
                partial.replace(target)
            else:
                _give_name(partial, target)
    finally:
        with suppress(OSError):
            partial.unlink()


def _give_name(partial: Path, target: Path) -> None:
    """Rename without replacing: a link is refused if the name is taken, a rename is not."""
    try:
        target.hardlink_to(partial)
    except OSError:
        _refuse_taken(target)
        partial.replace(target)  # a file system without links


@contextmanager
def staged_folder(path: PathText, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a new folder beside `path` to fill with files, which gets the name of `path` at the end.

    It is removed if anything inside raises, and `path` is as it was. Without `overwrite`, `path` must not be
    there. With it, what is there is moved aside, and removed once the new folder has its name: a crash in
    between leaves it beside, under a name that ends in ``.before``.
    """
    target = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow a link at `path`
    partial = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    before = partial.with_name(f"{partial.name}.before")
    with named(target):
        partial.mkdir()
    try:
        with named(target):
            yield partial
            for place in (*partial.iterdir(), partial):
                _sync(place)
            if overwrite and os.path.lexists(target):
                target.rename(before)
            _refuse_taken(target)  # renaming would replace an empty folder
            partial.rename(target)
            _sync(target.parent)
    except BaseException:
        if os.path.lexists(before) and not os.path.lexists(target):
            before.rename(target)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _refuse_taken(target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: PathText, text: str, *, overwrite: bool = True) -> None:
    """Write a text file in UTF-8 that is complete or not there; see `staged`."""
    _write(path, text.encode(), overwrite=overwrite)


def write_json(path: PathText, value: object) -> None:
    """Write a JSON file that is complete or not there, for `soce.files.documents.read_json`.

    Names that are not UTF-8, which Python holds as surrogates, come back the same. A number that is not
    finite is a ValueError.
    """
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    _write(path, f"{text}\n".encode(errors="surrogatepass"), overwrite=True)


def _write(path: PathText, content: bytes, *, overwrite: bool) -> None:
    with staged(path, overwrite=overwrite) as partial, partial.open("xb") as file:
        file.write(content)


def make_folder(folder: Path, *, sync: bool) -> None:
    """Make a folder and those above it; with `sync`, a power cut cannot take it away again."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        if sync:
            _sync(path.parent)
