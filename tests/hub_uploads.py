"""A small Hub to publish on with the real huggingface_hub, by HF_ENDPOINT: repositories are made, files sent, commits made.

`ROOT/org/name/` is the repository `org/name`, whose head is a digest of its files. Whoever writes needs the token
`hf_test`; files of tensors go to a second origin, which wants a signature and refuses tokens. Nobody may write into
`others`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_test"
LARGE = (".safetensors",)


@dataclass
class Publishing:
    """Where it is, what it was asked, what it has, and what goes wrong."""

    root: Path
    endpoint: str = ""
    files: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request."""
    private: set[str] = field(default_factory=set)
    commits: list[tuple[str, str]] = field(default_factory=list)
    """Head and message of what was committed."""
    n_puts: int = 0
    """How many files that are sent are refused; then all is well."""
    n_commits: int = 0
    """How many commits fail."""


@contextmanager
def publishing(root: Path) -> Iterator[Publishing]:
    """Serve repositories below a folder."""
    served = Publishing(root)
    servers = []
    for handler in (_Repositories, _Sent):
        bound = type(handler.__name__, (handler,), {"hub": served})
        servers.append(ThreadingHTTPServer(("127.0.0.1", 0), bound))
        threading.Thread(target=servers[-1].serve_forever, args=(0.02,), daemon=True).start()
    served.endpoint = f"http://127.0.0.1:{servers[0].server_port}"
    served.files = f"http://localhost:{servers[1].server_port}"  # another host, as for the real one
    try:
        yield served
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Publishing

    def log_message(self, *_: object) -> None: ...

    def say(self, status: int, body: bytes = b"{}") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def say_json(self, tree: object) -> None:
        self.say(200, json.dumps(tree).encode())


class _Repositories(_Handler):
    def files_of(self, name: str) -> tuple[str, list[str]]:
        """Return the head of a repository and its files; none if it is not there."""
        home = self.hub.root / name
        found = {str(p.relative_to(home)): p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file()}
        return hashlib.sha1(repr(found).encode()).hexdigest(), list(found)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(("GET", path))
        name = "/".join(path.split("/")[3:5])
        head, files = self.files_of(name)
        if not files:
            return self.say(404)
        told = {"_id": "0", "id": name, "sha": head, "private": name in self.hub.private}
        return self.say_json(told | {"siblings": [{"rfilename": file} for file in files]})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(("POST", path))
        if path == "/api/validate-yaml":
            return self.say_json({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.say(401)
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        _, _, _, owner, model, verb, *_ = path.split("/")
        if verb == "preupload":
            names = [one["path"] for one in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(LARGE) else "regular" for name in names}
            return self.say_json(
                {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]}
            )
        if self.hub.n_commits:
            self.hub.n_commits -= 1
            return self.say(503, b"not now")
        return self._commit(f"{owner}/{model}", [json.loads(line) for line in body.splitlines()])

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        home = self.hub.root / name
        if asked["organization"] == "others":
            return self.say(403)
        where = {"url": f"{self.hub.endpoint}/{name}"}
        if home.exists():
            return self.say(409, json.dumps(where).encode())
        home.mkdir(parents=True)
        (home / ".gitattributes").write_text("*.safetensors filter=lfs\n")
        if asked.get("visibility") == "private" or asked.get("private"):
            self.hub.private.add(name)
        return self.say_json(where)

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = []
        for one in asked["objects"]:
            known = (self.hub.root / ".sent" / one["oid"]).is_file()
            where = f"{self.hub.files}/.sent/{one['oid']}?Signature=secret-signature"
            actions = {} if known else {"actions": {"upload": {"href": where, "header": {}}}}
            objects.append({"oid": one["oid"], "size": one["size"], **actions})
        return self.say_json({"transfer": "basic", "objects": objects})

    def _commit(self, name: str, lines: list[dict[str, Any]]) -> None:
        head = lines[0]["value"]
        if head.get("parentCommit") != self.files_of(name)[0]:
            return self.say(412)
        for line in lines[1:]:
            value, path = line["value"], self.hub.root / name / line["value"]["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            if line["key"] == "file":
                path.write_bytes(base64.b64decode(value["content"]))
            else:
                path.write_bytes((self.hub.root / ".sent" / value["oid"]).read_bytes())
        commit = self.files_of(name)[0]
        self.hub.commits.append((commit, head["summary"]))
        url = f"{self.hub.endpoint}/{name}/commit/{commit}"
        return self.say_json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})


class _Sent(_Handler):
    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(("PUT", f"files:{path}"))
        if self.headers.get("Authorization") or not self.path.endswith("?Signature=secret-signature"):
            return self.say(400, b"a token came here, or no signature")
        if self.hub.n_puts:
            self.hub.n_puts -= 1
            return self.say(403, b"no")
        place = Path(self.hub.root, path.strip("/"))
        if hashlib.sha256(body).hexdigest() != place.name:
            return self.say(400, b"other bytes than were announced")
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(body)
        return self.say(200)
