"""Members of a zip archive, read within limits. Trusts no size that the archive states."""

from __future__ import annotations

import errno
import importlib
import io
import lzma
import struct
import zipfile
import zlib
from collections import Counter
from typing import IO, TYPE_CHECKING, Any, Final

from soce.exceptions import ScoreTableError, shown
from soce.scores.grids.text import MAX_BYTES
from soce.scores.refusals import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_ZSTANDARD: Final = 93  # `zipfile.ZIP_ZSTANDARD`, known to Python 3.14 and later
_ENCRYPTED: Final = 0x1
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
_PIECE_BYTES: Final = 1 << 20
_DAMAGED: Final = "the file is not a zip archive, or is damaged"
_DAMAGE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    ValueError,
    struct.error,
)


def read_member(path: Path, name: str, *, absent: str, instead: str) -> str:
    """Return the text of one member of a zip archive of `MAX_BYTES` at most; `path` names the archive.

    `absent` says what it means if there is no such member, `instead` what the user can do if Python cannot
    unpack it. Raises `ScoreTableError` for whatever is wrong with the archive.
    """

    def only(names: list[str]) -> list[str]:
        there = [one for one in names if one == name]
        if not there:
            Refusals(path).refuse(f"the archive has no member `{name}`: {absent}")
        return there

    ((_, text),) = read_members(path, only, instead=instead)
    return text


def read_members(
    path: Path, choose: Callable[[list[str]], list[str]], *, instead: str
) -> Iterator[tuple[str, str]]:
    """Yield name and text of the members that are chosen of all names, see `read_member`."""
    refusals = Refusals(path)
    with path.open("rb") as file:
        if not path.is_file():
            refusals.refuse("is not a regular file")
        if not file.read(1):
            refusals.refuse("the file is empty")
        try:
            with zipfile.ZipFile(file) as archive:
                infos = archive.infolist()
                times = Counter(info.filename for info in infos)
                chosen = frozenset(choose([*times]))
                for info in infos:
                    if info.filename in chosen:
                        if times[info.filename] > 1:
                            refusals.refuse(
                                f"the archive has {times[info.filename]} members `{shown(info.filename)}`"
                            )
                        content = _read(archive, file, info, refusals, instead)
                        yield info.filename, _decoded(content, info.filename, refusals)
        except ScoreTableError:
            raise
        # `zipfile` lets the decoders' errors through, and trips over offsets that make no sense.
        except _DAMAGE:
            refusals.refuse(_DAMAGED)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a seek before the start
                raise
            refusals.refuse(_DAMAGED)


def _decoded(content: bytes, name: str, refusals: Refusals) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        refusals.refuse(f"member `{shown(name)}` is not UTF-8 text")


def _read(
    archive: zipfile.ZipFile, file: IO[bytes], member: zipfile.ZipInfo, refusals: Refusals, instead: str
) -> bytes:
    name = shown(member.filename)
    if member.flag_bits & _ENCRYPTED:
        refusals.refuse(f"member `{name}` is encrypted")
    if member.compress_type == _ZSTANDARD and not hasattr(zipfile, "ZIP_ZSTANDARD"):
        content = _read_zstd(file, member, refusals)
    else:
        try:
            stream = archive.open(member)
        except NotImplementedError:
            refusals.refuse(f"member `{name}` is compressed by method {member.compress_type}", instead)
        with stream:
            content = _bounded(stream)
    if len(content) > MAX_BYTES:
        refusals.refuse(f"member `{name}` has more than {MAX_BYTES} bytes, which is what is read at most")
    return content


def _bounded(stream: IO[bytes]) -> bytes:
    """Return at most one byte more than is allowed, whatever size the archive states."""
    pieces = []
    left = MAX_BYTES + 1
    while left and (piece := stream.read(min(left, _PIECE_BYTES))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _read_zstd(file: IO[bytes], member: zipfile.ZipInfo, refusals: Refusals) -> bytes:
    zstandard: Any = importlib.import_module("zstandard")  # only where Python reads none
    if member.compress_size > MAX_BYTES:
        refusals.refuse(f"member `{member.filename}` has {member.compress_size} bytes even compressed")
    file.seek(member.header_offset)
    magic, n_name, n_extra = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    if magic != b"PK\x03\x04":
        raise zipfile.BadZipFile
    file.seek(n_name + n_extra, io.SEEK_CUR)
    packed = io.BytesIO(file.read(member.compress_size))
    try:
        content = _bounded(zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True))
    except zstandard.ZstdError:
        raise zipfile.BadZipFile from None
    if len(content) <= MAX_BYTES and zlib.crc32(content) != member.CRC:
        raise zipfile.BadZipFile
    return content
