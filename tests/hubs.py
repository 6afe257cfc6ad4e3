"""A small Hub for the real huggingface_hub, by HF_ENDPOINT: an origin of repositories, one of signed files.

`ROOT/org/name/` is the repository `org/name`. Its only commit is a digest of names and contents; the branch is
`main`, and every folder `ROOT/.revisions/REVISION/org/name` is another revision. Repositories whose names end in
`-gated` want the token `hf_test`. Files of tensors answer with a redirect to the second origin, which wants the
signature of the redirect, serves ranges, and refuses whoever brings a token.
"""

from __future__ import annotations

import hashlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

TOKEN = "hf_test"
SIGNATURE = "secret-signature"


@dataclass
class Faults:
    """What goes wrong, and how often still."""

    hub_status: int = 0
    """Status of all answers of the first origin."""
    n_hub: int = 0
    """How many of them; then all is well."""
    files_status: int = 0
    n_files: int = 0
    cut: int = 0
    """How many bodies of files end in the middle."""
    ignore_range: bool = False
    etag: str = ""
    """What the second origin says a file is, instead of what it is."""
    expired: int = 0
    """How many signed requests are refused as too old."""


@dataclass
class Hub:
    """Where it is, what it was asked, and what is wrong with it."""

    root: Path
    endpoint: str = ""
    files: str = ""
    faults: Faults = field(default_factory=Faults)
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request, without its query; files begin with ``files:``."""
    private: set[str] = field(default_factory=set)
    """Repositories that few may see."""

    def weights_asked(self) -> int:
        """How many requests for tensors came to the second origin."""
        return sum(path.startswith("files:") for _, path in self.asked)


@contextmanager
def hub(root: Path) -> Iterator[Hub]:
    """Serve the repositories below a folder."""
    served = Hub(root)
    with serving(served, Repositories, Files):
        yield served


@contextmanager
def serving(served: Hub, *origins: type[_Handler]) -> Iterator[None]:
    """Answer as the origin of repositories and as that of files."""
    servers = []
    for handler in origins:
        bound = type(handler.__name__, (handler,), {"hub": served})
        servers.append(_Server(("127.0.0.1", 0), bound))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
    served.endpoint = f"http://127.0.0.1:{servers[0].server_port}"
    served.files = f"http://localhost:{servers[1].server_port}"  # another host, as for the real one
    try:
        yield
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that hang up: a merge that is refused does."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None: ...

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def say_json(self, tree: object) -> None:
        self.say(200, json.dumps(tree).encode(), Content_Type="application/json")


class Repositories(_Handler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        self.hub.asked.append((self.command, url.path))
        faults = self.hub.faults
        if faults.n_hub:
            faults.n_hub -= 1
            limit = {"RateLimit": '"api";r=0;t=17'} if faults.hub_status == 429 else {}
            return self.say(faults.hub_status, b"", **limit)
        if parts[:2] == ["api", "models"]:
            name, verb, revision = "/".join(parts[2:4]), *[*parts[4:6], "revision", "main"][:2]
            return self.look(name, verb, revision if len(parts) > 5 else "main")
        if len(parts) > 4 and parts[2] == "resolve":
            return self.resolve("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self.refuse(404, "RepoNotFound")

    do_HEAD = do_GET

    def refuse(self, status: int, code: str) -> None:
        self.say(status, b"{}", X_Error_Code=code, X_Error_Message=code)

    def repository(self, name: str, revision: str) -> tuple[str, dict[str, Path]] | None:
        """Return commit and files of a repository, or refuse."""
        homes = {"main": self.hub.root / name}
        homes |= {one.name: one / name for one in (self.hub.root / ".revisions").glob("*")}
        found = {}
        for branch, home in homes.items():
            files = {str(p.relative_to(home)): p for p in sorted(home.rglob("*")) if p.is_file()}
            content = json.dumps([[name, _sha256(path)] for name, path in files.items()])
            commit = hashlib.sha1(content.encode()).hexdigest()
            if files:
                found[branch] = found[commit] = (commit, files)
        if "main" not in found:
            return self.refuse(401, "RepoNotFound")
        if revision not in found:
            return self.refuse(404, "RevisionNotFound")
        return found[revision]

    def look(self, name: str, verb: str, revision: str) -> None:
        found = self.repository(name, revision)
        if found is None:
            return None
        commit, files = found
        if verb == "tree":
            return self.say_json([_entry(name, path) for name, path in files.items()])
        siblings = []
        for name_, path in files.items():
            entry = _entry(name_, path)
            lfs = (
                {"sha256": _sha256(path), "size": entry["size"], "pointerSize": 135}
                if "lfs" in entry
                else None
            )
            siblings.append({"rfilename": name_, "size": entry["size"], "blobId": entry["oid"], "lfs": lfs})
        gated = "auto" if name.endswith("-gated") else False
        return self.say_json(
            {
                "_id": "0",
                "id": name,
                "sha": commit,
                "private": name in self.hub.private,
                "gated": gated,
                "siblings": siblings,
            }
        )

    def resolve(self, name: str, revision: str, file: str) -> None:
        if name.endswith("-gated") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.refuse(401, "GatedRepo")
        found = self.repository(name, revision)
        if found is None:
            return None
        commit, files = found
        if file not in files:
            return self.refuse(404, "EntryNotFound")
        path = files[file]
        if not file.endswith(".safetensors"):
            etag = f'"{_entry(file, path)["oid"]}"'
            return self.say(200, path.read_bytes(), X_Repo_Commit=commit, ETag=etag)
        where = f"{self.hub.files}/{quote(str(path.relative_to(self.hub.root)), safe='/')}"
        linked = {"X_Linked_Etag": f'"{_sha256(path)}"', "X_Linked_Size": str(path.stat().st_size)}
        return self.say(302, X_Repo_Commit=commit, Location=f"{where}?Signature={SIGNATURE}", **linked)


class Files(_Handler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.hub.asked.append((self.command, f"files:{url.path}"))
        faults = self.hub.faults
        if self.headers.get("Authorization") or parse_qs(url.query) != {"Signature": [SIGNATURE]}:
            return self.say(400, b"a token came here, or no signature")
        if faults.expired:
            faults.expired -= 1
            return self.say(403, b"<Error><Message>Request has expired</Message></Error>")
        if faults.n_files:
            faults.n_files -= 1
            return self.say(faults.files_status, b"not now")
        path = self.hub.root / unquote(url.path).strip("/")
        content = path.read_bytes()
        first, last = 0, len(content) - 1
        headers = {"ETag": f'"{faults.etag or _sha256(path)}"', "Accept_Ranges": "bytes"}
        status = 200
        if (asked := self.headers.get("Range")) and not faults.ignore_range:
            start, end = asked.removeprefix("bytes=").split("-")
            first, last = int(start), min(int(end or last), last)
            status, headers["Content_Range"] = 206, f"bytes {first}-{last}/{len(content)}"
        body = content[first : last + 1]
        if faults.cut:
            faults.cut -= 1
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.close_connection = True
            time.sleep(0.01)
            return self.connection.shutdown(socket.SHUT_RDWR)
        return self.say(status, body, **headers)

    do_HEAD = do_GET


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _entry(name: str, path: Path) -> dict[str, object]:
    size = path.stat().st_size
    found: dict[str, object] = {"type": "file", "path": name, "size": size}
    found["oid"] = hashlib.sha1(path.read_bytes()).hexdigest()
    if name.endswith(".safetensors"):
        found["lfs"] = {"oid": _sha256(path), "size": size, "pointerSize": 135}
    return found
