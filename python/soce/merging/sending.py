"""Soups that do not stay on this disk: what the core finishes is sent, shard by shard."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.files.cache import cache_folder
from soce.recipes.parts import refuse
from soce.remote.destination import refuse_output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from soce.merging.options import MergeOptions, OnProgress
    from soce.recipes.names import RemoteName
    from soce.remote.destination import Destination

_ELSEWHERE: Final = "choose another folder with `--work-dir`"


def place_of(name: RemoteName, work_dir: str | None) -> Path:
    """Return where the shards of a soup lie until they are sent; the folder above it is made.

    It is the same for the same name, so that an interrupted merge is found again. Raises `OutputError` where
    nothing can be written.
    """
    home = cache_folder("sending") if work_dir is None else Path(work_dir)
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not os.access(home, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        why = str(error.strerror or error)
        refuse_output(home, f"shards cannot lie here: {why[:1].lower()}{why[1:]}", _ELSEWHERE)
    text = str(name)
    readable = re.sub(r"[^A-Za-z0-9.-]+", "-", text)[:100]
    return home / f"{readable}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def check_sent_options(options: MergeOptions) -> None:
    """Refuse options that only a soup has that goes elsewhere."""
    told = {"--private": options.private, "--work-dir": options.work_dir is not None}
    if given := [f"`{name}`" for name, is_given in told.items() if is_given]:
        refuse(f"{' and '.join(given)} with an output on this disk", "it is for `hf://org/name` and the like")


class Sender:
    """Takes shards away as the core finishes them, and the small files at the end: the core's `Carrier`.

    What was made and what was sent are each half of what there is to do, and so is progress told.
    """

    def __init__(
        self,
        destination: Destination,
        *,
        shards: Mapping[str, int],
        on_progress: OnProgress | None,
        finish: Callable[[Path], object] | None,
    ) -> None:
        self._destination = destination
        self._finish = finish
        self._on_progress = on_progress
        self._shards = shards
        self._total = sum(shards.values())
        self._made = self._sent = 0

    def on_made(self, made: int, _: int) -> None:
        """Tell progress, when the core has made so many bytes."""
        self._made = made
        self._tell()

    def begin(self, plan: str) -> str | None:
        """Look at the place, and make it; see `Destination.standing`."""
        standing = self._destination.standing(plan)
        if standing is None:
            self._destination.prepare()
        return standing

    def still_there(self, sent: list[tuple[str, str]]) -> list[bool]:
        """Return which shards that were sent before are there; see `Destination.still_there`."""
        there = self._destination.still_there(sent)
        self._sent += sum(self._shards[name] for (name, _), found in zip(sent, there, strict=True) if found)
        return there

    def send(self, name: str, file: Path) -> str:
        """Send a shard; return what it is known by."""
        return self._destination.send(name, file, self._on_sent)

    def complete(self, payload: Path, sent: list[tuple[str, str]]) -> None:
        """Send everything else."""
        if self._finish is None:
            self._destination.complete(_files(payload), sent, self._on_sent)
            return
        # A copy: what the core finds in its folder it must have put there.
        aside = payload.parent.with_name(f"{payload.parent.name}-aside")
        folder = aside / str(self._destination.name).rpartition("/")[2].partition("@")[0]
        shutil.rmtree(aside, ignore_errors=True)
        try:
            shutil.copytree(payload, folder)
            self._finish(folder)
            self._destination.complete(_files(folder), sent, self._on_sent)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def named_in(self, report: str) -> str:
        """Return the core's report with the name of the soup where its place on this disk stands."""
        found = json.loads(report)
        name = str(self._destination.name)
        found["outputs"] = [name]
        found["complete_before"] = [name for _ in found["complete_before"]]
        for one in found["nonfinite"]:
            one["output"] = name
        return json.dumps(found, ensure_ascii=False)

    def _on_sent(self, count: int) -> None:
        self._sent += count
        self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            self._on_progress(min((self._made + self._sent) // 2, self._total), self._total)


def _files(folder: Path) -> list[tuple[str, Path]]:
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return sorted(found.items())
