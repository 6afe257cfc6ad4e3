"""A prefix of an object store that gets a soup: shards first, its manifest last, nothing replaced."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from soce.exceptions import shown
from soce.remote.destination import AGAIN, MANIFEST, of_this_plan, refuse_output
from soce.remote.objects import store_client, store_refusals
from soce.remote.waiting import waited_for

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from pathlib import Path

    from soce.recipes.names import WebName

    T = TypeVar("T")

_PIECE: Final = 8 << 20
"""Bytes sent in one request."""
_MOST_PIECES: Final = 10_000
"""Of one object, in S3."""
_PLAN: Final = "soceplan"
"""What objects say of themselves: which plan they are of. No store forbids the name."""
_INDEX: Final = ".index.json"


class ObjectPrefix:
    """What is below a prefix, where there is to be one soup and nothing else: a `Destination`.

    Every object appears whole or not at all, and says of which plan it is until the manifest says so for all
    of them. Nothing is deleted.
    """

    def __init__(self, name: WebName) -> None:
        self._obstore = store_client(name, refuse_output)
        from obstore.store import from_url

        self.name = name
        bucket, _, prefix = name.url.partition("://")[2].partition("/")
        if not prefix:
            refuse_output(name, "a bucket, and no prefix in it", f"write `{name.url}/prefix`")
        self._prefix = f"{prefix}/"
        with store_refusals(name, _refuse):
            self._store = from_url(f"{name.scheme}://{bucket}")
        self._plan = ""

    def standing(self, plan: str) -> str | None:
        """Return the `result_digest` of the plan's soup if it is there; refuse anything but parts of it."""
        self._plan = plan
        found = self._done(self._names)
        if MANIFEST in found and (digest := of_this_plan(self._done(self._manifest), plan)) is not None:
            return digest
        if (file := self._done(lambda: self._foreign(found))) is not None:
            message = f"`{shown(file)}` is there, and not of this merge"
            refuse_output(self.name, message, "choose another prefix, or remove what is there")
        return None

    def prepare(self) -> None:
        """Do nothing: prefixes are there when something is below them."""

    def still_there(self, sent: Sequence[tuple[str, str]]) -> list[bool]:
        """Return which objects are as they were sent."""
        receipts = self._done(lambda: self._receipts([name for name, _ in sent]))
        return [found == receipt for found, (_, receipt) in zip(receipts, sent, strict=True)]

    def send(self, name: str, file: Path, on_bytes: Callable[[int], object]) -> str:
        """Send a file; return its ETag and size."""
        pieces = _Pieces(file)
        done = self._done(lambda: self._put(name, pieces.content), lambda: on_bytes(pieces.take_count()))
        on_bytes(pieces.size - pieces.told)
        return _receipt(done, pieces.size)

    def complete(
        self,
        files: Sequence[tuple[str, Path]],
        sent: Sequence[tuple[str, str]],  # noqa: ARG002 - they are there already
        on_bytes: Callable[[int], object],
    ) -> None:
        """Send the small files, what others find the shards by before the manifest, which must be new."""
        *others, (last, manifest) = sorted(
            files, key=lambda one: (one[0] == MANIFEST, one[0].endswith(_INDEX))
        )
        for name, file in others:
            self.send(name, file, on_bytes)
        from obstore.exceptions import AlreadyExistsError

        try:
            self._done(lambda: self._put(last, manifest.read_bytes(), mode="create"))
        except AlreadyExistsError:
            refuse_output(self.name, "somebody else has just made a soup there", "choose another prefix")
        on_bytes(manifest.stat().st_size)

    def _done(
        self, work: Callable[[], Coroutine[Any, Any, T]], on_tick: Callable[[], object] | None = None
    ) -> T:
        with store_refusals(self.name, _refuse):
            return _awaited(work, on_tick)

    async def _names(self) -> list[str]:
        batches = self._obstore.list(self._store, self._prefix)
        return [one["path"].removeprefix(self._prefix) async for batch in batches for one in batch]

    async def _manifest(self) -> bytes:
        answer = await self._obstore.get_async(self._store, self._prefix + MANIFEST)
        return bytes(await answer.bytes_async())

    async def _foreign(self, files: Sequence[str]) -> str | None:
        """Return the first file that is not of the plan."""
        for file in files:
            path, options = self._prefix + file, {"head": True}
            answer = await self._obstore.get_async(self._store, path, options=options)
            if answer.attributes.get(_PLAN) != self._plan:
                return file
        return None

    async def _receipts(self, names: Sequence[str]) -> list[str | None]:
        found: list[str | None] = []
        for name in names:
            try:
                meta = await self._obstore.head_async(self._store, self._prefix + name)
            except FileNotFoundError:
                found.append(None)
            else:
                found.append(_receipt(meta, meta["size"]))
        return found

    async def _put(self, name: str, content: _Pieces | bytes, mode: str = "overwrite") -> Any:  # noqa: ANN401 - obstore's
        length = content.length if isinstance(content, _Pieces) else _PIECE
        return await self._obstore.put_async(
            self._store,
            self._prefix + name,
            content,
            attributes={_PLAN: self._plan},
            mode=mode,
            chunk_size=length,
        )


def _refuse(name: object, message: str, hint: str | None = None) -> NoReturn:
    refuse_output(name, message, AGAIN if hint is None else f"{hint}; then {AGAIN}")


def _receipt(found: Any, size: int) -> str:  # noqa: ANN401 - obstore's
    return f"{size} {found['e_tag']}"


class _Pieces:
    """The bytes of a file, piece by piece, and how many of them went since somebody looked."""

    def __init__(self, file: Path) -> None:
        self._file, self.size = file, file.stat().st_size
        self.length = max(_PIECE, -(-self.size // _MOST_PIECES))
        self._went = self.told = 0

    @property
    def content(self) -> _Pieces | bytes:
        """What is to be sent; what is small, all at once."""
        return self._file.read_bytes() if self.size <= self.length else self

    def __iter__(self) -> Iterator[bytes]:
        with self._file.open("rb") as file:
            while piece := file.read(self.length):
                yield piece
                self._went += len(piece)

    def take_count(self) -> int:
        """Return how many bytes went since the last call."""
        went = self._went
        count, self.told = went - self.told, went
        return count


def _awaited(work: Callable[[], Coroutine[Any, Any, T]], on_tick: Callable[[], object] | None) -> T:
    """Return what a coroutine returns, also where a loop of events runs on this thread."""
    import asyncio

    loop = asyncio.new_event_loop()
    task = loop.create_task(work())

    def run() -> T:
        try:
            return loop.run_until_complete(task)
        finally:
            loop.close()

    def cancel() -> None:
        with suppress(RuntimeError):  # it is done meanwhile
            loop.call_soon_threadsafe(task.cancel)

    return waited_for(run, give_up=cancel, on_tick=on_tick)
