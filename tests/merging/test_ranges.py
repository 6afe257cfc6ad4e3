"""Shards that lie on a server are read by ranges: same bytes, same verification, Python only renews URLs."""

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
from tests import fp8
from tests.checkpoints import checkpoint, shards

import soce
from soce.exceptions import CheckpointError
from soce.merging.manifest import manifest_schema
from soce.merging.report import MergeReport

ELEMENTS = 5_000_000
"""Of each of two tensors: three blocks of 8 MiB."""
FULL = soce.MergeOptions(sync=False, digests="full")


class Ranges(BaseHTTPRequestHandler):
    """Files below `folder`, shards by a redirect to a URL with `word`; with another word it has expired."""

    protocol_version = "HTTP/1.1"
    folder: ClassVar[Path]
    word: ClassVar[str]
    delay: ClassVar[float]
    """Seconds before more than one byte of a shard comes."""
    is_waited_for: ClassVar[threading.Event]
    redirected: ClassVar[list[str]]
    is_closed: ClassVar[bool]

    def do_GET(self) -> None:
        *words, model, name = self.path.strip("/").split("/")
        path, span = self.folder / model / name, self.headers.get("Range", "bytes=0-")
        if self.is_closed or words not in ([], [self.word]):
            return self.say(403, b"expired")
        if not path.is_file():
            return self.say(404, b"")
        if not words and name.endswith(".safetensors"):
            self.redirected.append(name)
            return self.say(302, b"", Location=f"/{self.word}/{model}/{name}")
        if words and span != "bytes=0-0":
            self.is_waited_for.set()
            time.sleep(self.delay)
        content = path.read_bytes()
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", span)
        assert found is not None
        start, end = int(found[1]), int(found[2] or len(content) - 1)
        told = {"ETag": f'"{model}"', "Content-Range": f"bytes {start}-{end}/{len(content)}"}
        return self.say(206 if "Range" in self.headers else 200, content[start : end + 1], **told)

    def say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serve three models of two shards each."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Ranges.folder, Ranges.word, Ranges.delay = tmp_path / "there", "first", 0.0
    Ranges.is_waited_for, Ranges.redirected, Ranges.is_closed = threading.Event(), [], False
    random = np.random.default_rng(7)
    for model in "abc":
        files = [
            {f"w{i}": ("F32", [ELEMENTS], random.standard_normal(ELEMENTS, np.float32).tobytes())}
            for i in range(2)
        ]
        checkpoint(tmp_path / "there" / model, *files)
    with ThreadingHTTPServer(("127.0.0.1", 0), Ranges) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def recipe(place: str) -> soce.Recipe:
    return soce.Recipe.of({f"{place}/{model}": weight for weight, model in enumerate("abc", 1)})


def digests(report: MergeReport) -> object:
    return json.loads(report.json)["result_digests"]


def test_the_soup_of_a_server_is_the_soup_of_its_files(tmp_path: Path, address: str) -> None:
    planned = soce.plan(recipe(address), output="soup", options=FULL)
    assert planned.data["bytes_to_fetch"] == 3 * 2 * 4 * ELEMENTS
    assert [entry["bytes_to_fetch"] for entry in planned.data["ingredients"]] == [2 * 4 * ELEMENTS] * 3
    assert planned.data["memory_bytes"] > 22 * (8 << 20)
    Ranges.word = "second"
    Ranges.redirected.clear()
    report = planned.execute()
    assert len(Ranges.redirected) == 6, "each URL once, when it has expired"

    local = soce.merge(recipe("there"), output="local", options=FULL)
    assert digests(report) == digests(local)
    assert shards(tmp_path / "soup") == shards(tmp_path / "local")
    manifest = json.loads(Path("soup/soce.json").read_text())
    jsonschema.Draft202012Validator(manifest_schema()).validate(manifest)
    told = [shard["identity"] for source in manifest["sources"] for shard in source["shards"]]
    assert told == [f'"{model}"' for model in "abc" for _ in range(2)]

    found = soce.verify("soup", recompute=[f"{address}/{model}" for model in "abc"])
    assert found.ok
    assert found.checked["recomputed"] == 2


def test_codes_and_scales_of_a_server_are_those_of_its_files(tmp_path: Path, address: str) -> None:
    config = fp8.config(quant_method="fp8", weight_block_size=[16, 24], activation_scheme="dynamic")
    for seed, model in enumerate("xy"):
        tensors = fp8.deepseek(seed, [1500, 400], [16, 24])  # five chunks
        scales = tensors.pop("model.up.weight_scale_inv")
        checkpoint(tmp_path / "there" / model, tensors, {"model.up.weight_scale_inv": scales}, config=config)
    served = soce.merge([f"{address}/{model}" for model in "xy"], output="soup", options=FULL)
    local = soce.merge([f"there/{model}" for model in "xy"], output="local", options=FULL)
    assert digests(served) == digests(local)
    assert shards(tmp_path / "soup") == shards(tmp_path / "local")
    found = soce.verify("soup", recompute=[f"{address}/{model}" for model in "xy"])
    assert found.ok
    assert found.checked["recomputed"] == 2


def test_what_cannot_be_renewed_is_refused_with_what_the_server_said(address: str) -> None:
    planned = soce.plan(recipe(address), output="soup")
    Ranges.is_closed = True
    with pytest.raises(CheckpointError, match="the server answered 403: expired; no new address") as caught:
        planned.execute()
    assert "first" not in str(caught.value), "a URL may be as good as a password"
    assert not Path("soup").exists()


@pytest.mark.slow
def test_an_interrupt_ends_waiting_for_a_server(address: str) -> None:
    Ranges.delay = 20.0
    program = f"""
        import signal, sys, soce
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("begins", flush=True)
        soce.plan(["{address}/a"], output="x")
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begins\n"
        assert Ranges.is_waited_for.wait(60)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=15)
        assert time.monotonic() - started < 3
    assert "KeyboardInterrupt" in errors
