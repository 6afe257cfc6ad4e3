"""A small Hub to publish on: `tests.hubs`, and what it does when repositories are made and files are sent.

Whoever writes needs the token `hf_test`; files of tensors go to the second origin, which wants a signature and refuses
tokens. Nobody may write into `others`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.hubs import SIGNATURE, TOKEN, Files, Hub, Repositories, serving

_FIRST = "first-commit"
"""What the tests call the revision that a new repository begins with."""


@dataclass
class Publishing(Hub):
    """What was committed, and what goes wrong on the way there."""

    commits: list[tuple[str, str]] = field(default_factory=list)
    """Commit and message."""
    n_puts: int = 0
    """How many files that are sent are refused; then all is well."""
    n_commits: int = 0
    """How many commits fail."""


@contextmanager
def publishing(root: Path) -> Iterator[Publishing]:
    """Serve repositories below a folder, and take new ones."""
    served = Publishing(root)
    with serving(served, _Taking, _Sent):
        yield served


class _Taking(Repositories):
    hub: Publishing

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(("POST", path))
        if path == "/api/validate-yaml":
            return self.say_json({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.say(401, b"{}")
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if path.endswith(".git/info/lfs/objects/batch"):
            return self._batch(json.loads(body))
        _, _, _, owner, model, verb, *rest = path.split("/")
        if verb == "preupload":
            names = [one["path"] for one in json.loads(body)["files"]]
            modes = {name: "lfs" if name.endswith(".safetensors") else "regular" for name in names}
            return self.say_json(
                {"files": [{"path": p, "uploadMode": m, "shouldIgnore": False} for p, m in modes.items()]}
            )
        if verb == "branch":
            return self._branch(f"{owner}/{model}", rest[0], json.loads(body)["startingPoint"])
        if self.hub.n_commits:
            self.hub.n_commits -= 1
            return self.say(503, b"not now")
        return self._commit(f"{owner}/{model}", rest[0], [json.loads(line) for line in body.splitlines()])

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if "/commits/" in path:
            self.hub.asked.append((self.command, path))
            _, _, _, owner, model, *_ = path.split("/")
            commit = self.repository(f"{owner}/{model}", _FIRST)[0]
            entry = {"id": commit, "title": "initial commit", "message": "", "date": "2026-01-01T00:00:00Z"}
            return self.say_json([{**entry, "authors": []}])
        return super().do_GET()

    def _home(self, name: str, branch: str) -> Path:
        return self.hub.root / name if branch == "main" else self.hub.root / ".revisions" / branch / name

    def _branch(self, name: str, branch: str, commit: str) -> None:
        home = self._home(name, branch)
        for inside, path in self.repository(name, commit)[1].items():
            (home / inside).parent.mkdir(parents=True, exist_ok=True)
            (home / inside).write_bytes(path.read_bytes())
        self.say_json({})

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
            return self.say(403, b"{}")
        where = {"url": f"{self.hub.endpoint}/{name}"}
        if home.exists():
            return self.say(409, json.dumps(where).encode())
        home.mkdir(parents=True)
        (home / ".gitattributes").write_text("*.safetensors filter=lfs\n")
        first = self._home(name, _FIRST)
        first.mkdir(parents=True)
        (first / ".gitattributes").write_text("*.safetensors filter=lfs\n")
        if asked.get("visibility") == "private" or asked.get("private"):
            self.hub.private.add(name)
        return self.say_json(where)

    def _batch(self, asked: dict[str, Any]) -> None:
        objects = []
        for one in asked["objects"]:
            known = (self.hub.root / ".sent" / one["oid"]).is_file()
            where = f"{self.hub.files}/.sent/{one['oid']}?Signature={SIGNATURE}"
            actions = {} if known else {"actions": {"upload": {"href": where, "header": {}}}}
            objects.append({"oid": one["oid"], "size": one["size"], **actions})
        return self.say_json({"transfer": "basic", "objects": objects})

    def _commit(self, name: str, branch: str, lines: list[dict[str, Any]]) -> None:
        head = lines[0]["value"]
        if head.get("parentCommit") != self.repository(name, branch)[0]:
            return self.say(412, b"{}")
        for line in lines[1:]:
            value, path = line["value"], self._home(name, branch) / line["value"]["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            if line["key"] == "file":
                path.write_bytes(base64.b64decode(value["content"]))
            else:
                path.write_bytes((self.hub.root / ".sent" / value["oid"]).read_bytes())
        commit = self.repository(name, branch)[0]
        self.hub.commits.append((commit, head["summary"]))
        url = f"{self.hub.endpoint}/{name}/commit/{commit}"
        return self.say_json({"success": True, "commitOid": commit, "commitUrl": url, "hookOutput": ""})


class _Sent(Files):
    hub: Publishing

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append(("PUT", f"files:{path}"))
        if self.headers.get("Authorization") or not self.path.endswith(f"?Signature={SIGNATURE}"):
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
