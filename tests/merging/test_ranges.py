"""The core reads shards that lie on a server by ranges: same bytes, same verification, Python only renews URLs."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import jsonschema
import numpy as np
import pytest
from tests.checkpoints import checkpoint, shards

import soce._core as _core
from soce import MergeOptions
from soce.exceptions import CheckpointError
from soce.merging.manifest import manifest_schema
from soce.remote.located import ServedShard

PLANNING: _core.Planning = {
    "dtype": None,
    "max_shard_size": None,
    "config_from": 0,
    "overwrite": False,
    "allow_different_tokenizers": False,
    "allow_different_configs": False,
    "copy_code": None,
    "follow_links": False,
    "ignore_unreferenced": False,
    "leave_out": [],
    "take": [],
    "makes_parent": False,
    "skip_space_check": False,
    "remarks": [],
}
ELEMENTS = 5_000_000
"""Of each of two tensors: three blocks of 8 MiB."""


class Ranges(BaseHTTPRequestHandler):
    """Ranges of files below `folder`; URLs with another word than `word` have expired."""

    protocol_version = "HTTP/1.1"
    folder: ClassVar[Path]
    word: ClassVar[str]
    delay: ClassVar[float]

    def do_GET(self) -> None:
        time.sleep(self.delay)
        _, word, model, name = self.path.split("/")
        if word != self.word:
            self.send_response(403)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"expired")
            return
        content = (self.folder / model / name).read_bytes()
        span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
        assert span is not None
        start, end = map(int, span.groups())
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(content)}")
        self.send_header("Content-Length", str(end - start + 1))
        self.send_header("ETag", f'"{model}"')
        self.end_headers()
        self.wfile.write(content[start : end + 1])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Serve three models of two shards each; of what lies there only the side files are here."""
    Ranges.folder, Ranges.word, Ranges.delay = tmp_path / "there", "good", 0.0
    random = np.random.default_rng(7)
    for model in "abc":
        files = [
            {f"w{i}": ("F32", [ELEMENTS], random.standard_normal(ELEMENTS, np.float32).tobytes())}
            for i in range(2)
        ]
        there = checkpoint(tmp_path / "there" / model, *files)
        (tmp_path / "here" / model).mkdir(parents=True)
        for side in there.glob("*.json"):
            (tmp_path / "here" / model / side.name).write_bytes(side.read_bytes())
    with ThreadingHTTPServer(("127.0.0.1", 0), Ranges) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def remote(folder: Path, address: str, word: str = "good") -> list[ServedShard]:
    return [
        {
            "root": str(folder / "here" / shard.parent.name),
            "name": shard.name,
            "url": f"{address}/{word}/{shard.parent.name}/{shard.name}",
            "size": shard.stat().st_size,
            "etag": shard.parent.name,
            "identity": f"commit of {shard.name}",
        }
        for shard in sorted((folder / "there").rglob("*.safetensors"))
    ]


def plan(folder: Path, place: str, output: str, how: _core.Planning) -> _core.Plan:
    rows = [(str(folder / output), [("*", [1, 2, 3], 6)])]
    return _core.plan([str(folder / place / model) for model in "abc"], rows, how)


def execute(planned: _core.Plan) -> dict[str, object]:
    options = MergeOptions(sync=False, digests="full")
    text = planned.execute(options, recipe_texts=[], run_info="{}", on_progress=None)
    report: dict[str, object] = json.loads(text)
    return report


def test_the_soup_of_a_server_is_the_soup_of_its_files(tmp_path: Path, address: str) -> None:
    asked: list[tuple[str, str]] = []

    def refresh(root: str, name: str) -> str:
        asked.append((root, name))
        return f"{address}/good/{Path(root).name}/{name}"

    how = PLANNING | {"remote": remote(tmp_path, address, "old"), "refresh": refresh}
    planned = plan(tmp_path, "here", "soup", how)
    outline = json.loads(planned.to_json(kernels=None))
    assert outline["bytes_to_fetch"] == 3 * 2 * 4 * ELEMENTS
    assert [entry["bytes_to_fetch"] for entry in outline["ingredients"]] == [2 * 4 * ELEMENTS] * 3
    assert outline["memory_bytes"] > 22 * (8 << 20)
    assert len(asked) == 6, "each URL once, when its header is read"
    report = execute(planned)
    assert len(asked) == 6

    local = execute(plan(tmp_path, "there", "local", PLANNING))
    assert report["result_digests"] == local["result_digests"]
    assert shards(tmp_path / "soup") == shards(tmp_path / "local")
    manifest = json.loads((tmp_path / "soup/soce.json").read_text())
    jsonschema.Draft202012Validator(manifest_schema()).validate(manifest)
    told = [shard["identity"] for source in manifest["sources"] for shard in source["shards"]]
    assert told == [shard["identity"] for shard in remote(tmp_path, address)]

    verifying: _core.Verifying = {
        "quick": False,
        "recompute": [str(tmp_path / "here" / model) for model in "abc"],
        "num_threads": None,
        "io": "auto",
        "follow_links": False,
        "remote": remote(tmp_path, address),
    }
    found = json.loads(_core.verify(str(tmp_path / "soup"), verifying, on_progress=None))
    assert found["findings"] == []
    assert found["checked"]["recomputed"] == 2


def test_what_cannot_be_renewed_is_refused_with_what_the_server_said(tmp_path: Path, address: str) -> None:
    def refresh(root: str, name: str) -> str:
        message = "the session is over"
        raise ValueError(message)

    how = PLANNING | {"remote": remote(tmp_path, address, "old")}
    with pytest.raises(CheckpointError, match="the server answered 403: expired") as caught:
        plan(tmp_path, "here", "soup", how)
    assert "old" not in str(caught.value), "a URL may be as good as a password"
    with pytest.raises(CheckpointError, match="no new address: ValueError: the session is over"):
        plan(tmp_path, "here", "soup", how | {"refresh": refresh})


@pytest.mark.slow
def test_an_interrupt_ends_waiting_for_a_server(tmp_path: Path, address: str) -> None:
    Ranges.delay = 20.0
    program = f"""
        import signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)
        import soce._core
        print("begins", flush=True)
        soce._core.plan({[str(tmp_path / "here/a")]!r}, [("x", [("*", [1], 1)])],
            {PLANNING!r} | {{"remote": {remote(tmp_path, address)[:2]!r}}})
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        time.sleep(0.5)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=15)
        assert time.monotonic() - started < 3
    assert "KeyboardInterrupt" in errors
