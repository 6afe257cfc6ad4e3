"""Checkpoints that a web server has: a folder with an index or one file, and what usually lies beside it."""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote, urlsplit

from soce.recipes.names import SHARD
from soce.remote.host import SMALL, RemoteShard, is_inside, refuse
from soce.remote.kept import keep, kept_folder
from soce.remote.transfer import Transfer, seconds_asked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from http.client import HTTPResponse

    from soce.recipes.names import WebName

_INDEX: Final = "model.safetensors.index.json"
_BESIDE: Final = (
    "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt",
    "chat_template.jinja", "chat_template.json", "preprocessor_config.json", "processor_config.json",
    "LICENSE", "README.md", "adapter_config.json",
)  # fmt: skip
"""A web server does not say what it has: these are asked for."""
_ADAPTER: Final = "adapter_model.safetensors"
_SECONDS: Final = 30
_AT_ONCE: Final = 8
_TRIES: Final = 5
_LONGEST_PAUSE: Final = 300
"""Seconds that a busy server may ask for."""
_PIECE: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class _File:
    url: str
    """Where redirects led."""
    size: int
    etag: str | None
    version: str
    has_ranges: bool


class WebFolder:
    """A folder of a web server, each file by its ETag or its time: a `Host`."""

    def __init__(self, name: WebName) -> None:
        self._name = name
        is_file = name.url.endswith(SHARD)
        self._base, _, single = name.url.rpartition("/") if is_file else (name.url, "", "")
        beside = () if is_file else _BESIDE
        found = self._look([_INDEX, *beside] if not is_file else [])
        found = {file: one for file, one in found.items() if one.size <= SMALL}
        index = self._read(found[_INDEX]) if _INDEX in found else None
        wanted = _named(index) or [unquote(single) or "model.safetensors"]
        shards = self._look([file for file in wanted if is_inside(file)])
        if not shards and not is_file:
            shards = self._look([_ADAPTER])
        if not shards:
            hint = f"give a folder with `{_INDEX}` or `model.safetensors`, or a file `….safetensors`"
            refuse(name, "no safetensors files are there", hint)
        self._files = found | shards
        versions = {file: f"{one.size} {one.version}" for file, one in self._files.items()}
        self.origin = str(name)
        self.folder = kept_folder(name, versions)
        self.path = self.folder / unquote(single)
        self.folder.mkdir(parents=True, exist_ok=True)
        small = Transfer()
        small.run([partial(self._keep, file, small) for file in found])
        self.shards = tuple(
            RemoteShard(file, one.size, one.etag, one.version)
            for file, one in shards.items()
            if not (self.folder / file).exists()
        )

    def url(self, shard: str) -> str:
        """Return where redirects lead from a shard now."""
        found = self._look([shard]).get(shard)
        known = self._files[shard]
        if found is None or (found.size, found.version) != (known.size, known.version):
            refuse(self._name, f"`{shard}` changed while it was looked at", "try again")
        if not found.has_ranges:
            hint = "`--remote download` reads it as a whole"
            refuse(self._name, "the server does not serve parts of files", hint)
        return found.url

    def download(self) -> list[Callable[[Transfer], None]]:
        """Return what puts each shard into the folder."""
        return [partial(self._keep, shard.name) for shard in self.shards]

    def _keep(self, file: str, transfer: Transfer) -> None:
        if (self.folder / file).exists():
            return
        with (
            _refusals(self._name),
            _opened(self._files[file].url, transfer) as answer,
            transfer.ended_by(partial(_hang_up, answer)),
        ):
            pieces = iter(lambda: answer.read(_PIECE), b"")
            keep(self.folder / file, pieces, self._files[file].size, transfer)

    def _read(self, file: _File) -> bytes:
        with _refusals(self._name), _opened(file.url, Transfer()) as answer:
            return answer.read(SMALL)

    def _look(self, files: list[str]) -> dict[str, _File]:
        """Return what is known of those of some files that are there."""
        transfer = Transfer()
        found = transfer.run([partial(self._look_at, file, transfer) for file in files], at_once=_AT_ONCE)
        return {file: one for file, one in zip(files, found, strict=True) if one is not None}

    def _look_at(self, file: str, transfer: Transfer) -> _File | None:
        from urllib.error import HTTPError

        url = f"{self._base}/{quote(file)}"
        with _refusals(self._name):
            try:
                answer = _opened(url, transfer, Range="bytes=0-0")
            except HTTPError as error:
                if error.code not in {404, 410}:
                    raise
                error.close()
                return None
            with answer:
                parts, etag = answer.headers.get("Content-Range"), answer.headers.get("ETag")
                length = parts.rpartition("/")[2] if parts else answer.headers.get("Content-Length", "")
                if not length.isdecimal():
                    refuse(self._name, f"the server does not say how long `{file}` is")
                version = etag or answer.headers.get("Last-Modified") or "of no known version"
                return _File(answer.url, int(length), etag, version, answer.status == 206)


def _named(index: bytes | None) -> list[str]:
    """Return the shards that an index names; the plan tells what is wrong with it."""
    try:
        return sorted({str(name) for name in json.loads(index or b"")["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError):
        return []


def _opened(url: str, transfer: Transfer, **headers: str) -> HTTPResponse:
    """Return an answer; a server that is busy is asked again, after the time that it asks for."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    request = Request(url, headers={"User-Agent": "soce", **headers})
    for fault in range(_TRIES):
        try:
            answer: HTTPResponse = urlopen(request, timeout=_SECONDS)
            break
        except HTTPError as error:
            asked = seconds_asked(error.headers.get("Retry-After"), error.headers.get("Date"))
            pause = 0.2 * 2**fault if asked is None else asked
            if error.code not in {429, 503} or fault + 1 == _TRIES or pause > _LONGEST_PAUSE:
                raise
            error.close()
        transfer.sleep(pause)
    return answer


def _hang_up(answer: HTTPResponse) -> None:
    """End a connection from another thread than the one that reads from it."""
    with suppress(OSError, ValueError), socket.socket(fileno=os.dup(answer.fileno())) as same:
        same.shutdown(socket.SHUT_RDWR)


@contextmanager
def _refusals(name: WebName) -> Iterator[None]:
    """Tell what a server refuses, without the URL: redirects put signatures into it."""
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError

    host = urlsplit(name.url).netloc
    try:
        yield
    except HTTPError as error:
        error.close()
        is_busy = error.code == 429 or error.code >= 500
        hint = "try again later" if is_busy else "see in a browser what it says"
        refuse(name, f"{host} answers with status {error.code}", hint)
    except (EOFError, HTTPException):
        refuse(name, "the connection ended too early", "try again")
    except TimeoutError:
        refuse(name, f"{host} does not answer in time", "try again")
    except URLError as error:
        reason = error.reason if isinstance(error.reason, str) else type(error.reason).__name__
        refuse(name, f"{host} cannot be reached ({reason})", "check the spelling and the network")
