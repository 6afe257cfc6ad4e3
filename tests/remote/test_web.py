"""Checkpoints on a web server as ingredients."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.checkpoints import bf16, checkpoint, shards

from soce.cli.merge import merge as command
from soce.exceptions import SoceError
from soce.merging.merge import merge
from soce.merging.options import MergeOptions
from soce.merging.verify import verify
from soce.remote.here import bring
from soce.report.card.soup import read_soup

STATUS: dict[str, int] = {}
HAS_NO_RANGES: list[bool] = []
ASKED: list[str] = []
TOGETHER: list[threading.Barrier] = []
"""At which whole shards wait for each other."""
SILENT: list[threading.Event] = []
"""Set once half of the second shard came, after which nothing does."""
BUSY: dict[str, list[str]] = {}
"""File → what Retry-After says the next times, with status 503."""


class _Server(BaseHTTPRequestHandler):
    root: Path

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", f"{path.removeprefix('/moved')}?Signature=secret")
            return self.end_headers()
        file = self.root / path.strip("/")
        ASKED.append(file.name)
        if BUSY.get(file.name):
            self.send_response(503)
            self.send_header("Retry-After", BUSY[file.name].pop(0))
            self.send_header("Content-Length", "0")
            return self.end_headers()
        status = STATUS.get(file.name) or (200 if file.is_file() else 404)
        content = file.read_bytes() if status == 200 else b""
        size = len(content)
        if status == 200 and "Range" in self.headers and not HAS_NO_RANGES:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            status, content = 206, content[int(first) : int(last) + 1]
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{size}"')
        self.end_headers()
        if "Range" not in self.headers and file.suffix == ".safetensors":
            if TOGETHER:
                TOGETHER[0].wait()
            if SILENT and "00002-of" in file.name:
                self.wfile.write(content[: size // 2])
                self.wfile.flush()
                SILENT[0].set()
                self.connection.settimeout(60)
                self.rfile.read(1)  # until the client hangs up
                return
        self.wfile.write(content)


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with the checkpoints `a` and `b`, which lie in the working directory too."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name, value in (("a", 1.0), ("b", 3.0)):
        checkpoint(tmp_path / name, *[{f"w{i}": ("BF16", [2], bf16(value, i))} for i in range(2)])
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Server", (_Server,), {"root": tmp_path}))
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    for state in (STATUS, ASKED, TOGETHER, SILENT, BUSY):
        state.clear()
    HAS_NO_RANGES.clear()


def test_a_folder_is_merged_as_one_of_this_disk(web: str) -> None:
    merge(["a", "b"], output="expected")
    merge([f"{web}/a", f"{web}/moved/b/"], output="soup")
    assert shards(Path("soup")) == shards(Path("expected"))
    assert "secret" not in Path("soup/soce.json").read_text()
    assert not list(Path("cache").rglob("*.safetensors"))
    assert [source.name for source in read_soup(Path("soup")).ingredients] == ["a", "b"]
    HAS_NO_RANGES.append(True)
    with pytest.raises(SoceError, match="does not serve parts of files") as caught:
        merge([f"{web}/a", f"{web}/b"], output="again")
    assert "--remote download" in (caught.value.problems[0].hint or "")
    merge([f"{web}/a", f"{web}/b"], output="again", options=MergeOptions(remote="download"))
    assert shards(Path("again")) == shards(Path("expected"))


def test_an_index_leads_nowhere_but_into_its_folder(web: str, tmp_path: Path) -> None:
    outside = [str(tmp_path / "stolen.safetensors"), *(f"{'../' * n}stolen.safetensors" for n in range(1, 9))]
    index = Path("a/model.safetensors.index.json")
    told = json.loads(index.read_text())
    told["weight_map"] |= {f"x{n}": name for n, name in enumerate(outside)}
    index.write_text(json.dumps(told))
    (served := Path("served")).mkdir()
    Path("a").rename(served / "a")
    Path("stolen.safetensors").write_bytes(b"x")
    before = sorted(str(path) for path in tmp_path.rglob("*") if path.is_file())
    for how in ("stream", "download"):
        with pytest.raises(SoceError, match="index"):
            merge([f"{web}/served/a"], output="soup", options=MergeOptions(remote=how))
    after = [path for path in tmp_path.rglob("*") if path.is_file() and str(path) not in before]
    assert all(path.is_relative_to(tmp_path / "cache/soce/remote") for path in after)
    assert not [path for path in after if path.name == "stolen.safetensors"]


def test_one_file_of_a_set_is_what_it_is_on_this_disk(web: str) -> None:
    names = [f"{name}/model-00001-of-00002.safetensors" for name in "ab"]
    merge(names, output="expected")
    report = merge([f"{web}/{name}" for name in names], output="soup")
    assert any("one of 2 shards, taken as a model by itself" in warning for warning in report.warnings)
    assert shards(Path("soup")) == shards(Path("expected"))
    assert verify("soup", recompute=True).ok
    assert not [path for path in Path("cache").rglob("*.safetensors") if path.is_file()]
    (file,) = bring([f"{web}/{names[0]}"])
    assert Path(file).read_bytes() == Path(names[0]).read_bytes()
    assert [one.name for one in Path(file).parent.iterdir()] == ["model-00001-of-00002.safetensors"]


@pytest.mark.parametrize(
    ("name", "status", "told", "mend"),
    [
        ("none", 0, "no safetensors files", "model.safetensors.index.json"),
        ("a", 403, "status 403", "browser"),
        ("a", 503, "status 503", "later"),
        ("a?token=secret", 0, "query", "s3://"),
    ],
)
def test_what_a_server_refuses(web: str, name: str, status: int, told: str, mend: str) -> None:
    STATUS["model-00001-of-00002.safetensors"] = status
    with pytest.raises(SoceError) as caught:
        bring([f"{web}/{name}"])
    (problem,) = caught.value.problems
    assert told in str(problem)
    assert mend in (problem.hint or "")
    assert "secret" not in str(caught.value)


def test_a_signature_is_not_shown_as_a_weight(web: str) -> None:
    for name in (f"{web}/a?X-Signature=secret", "https://me:se=cret@host/a", "hf://org/a?token=secret"):
        result = CliRunner().invoke(command, [name, "a", "-o", "soup"])
        assert result.exit_code == 1
        assert "secret" not in result.output
        assert "cret@" not in result.output
    result = CliRunner().invoke(command, [f"{web}/a=half", "a", "-o", "soup"])
    assert "weight `half` is not a number" in result.output


def test_no_server(web: str) -> None:
    with pytest.raises(SoceError, match="cannot be reached"):
        bring(["http://127.0.0.1:9/a"])


def test_files_come_together_and_are_told_of(web: str) -> None:
    from soce.remote.fetching import watcher

    told: list[tuple[int, int]] = []
    TOGETHER.append(threading.Barrier(4, timeout=30))  # each waits until all of four are asked for
    token = watcher.set(lambda: nullcontext(lambda done, total: told.append((done, total))))
    try:
        bring([f"{web}/a", f"{web}/b"])
    finally:
        watcher.reset(token)
    sizes = [file.stat().st_size for name in "ab" for file in Path(name).glob("*.safetensors")]
    assert told == sorted(told)
    assert told[-1] == (sum(sizes), sum(sizes))


def test_an_interrupt_ends_downloads_at_once_and_what_is_whole_stays(web: str) -> None:
    from soce.remote.fetching import watcher

    def interrupt(done: int, total: int) -> None:
        if SILENT[0].is_set() and [*Path("cache").rglob("model-00001-of-*.safetensors")]:
            raise KeyboardInterrupt

    SILENT.append(threading.Event())
    before = threading.active_count()
    token = watcher.set(lambda: nullcontext(interrupt))
    try:
        with pytest.raises(KeyboardInterrupt):
            bring([f"{web}/a"])
    finally:
        watcher.reset(token)
    names = [path.name for path in Path("cache").rglob("*") if path.is_file() and path.suffix != ".json"]
    assert names == ["model-00001-of-00002.safetensors"]
    SILENT.clear()
    ASKED.clear()
    (folder,) = bring([f"{web}/a"])
    assert shards(Path(folder)) == shards(Path("a"))
    assert ASKED.count("model-00001-of-00002.safetensors") == 1  # to look at it, not to fetch it
    assert threading.active_count() <= before + 2  # those of the server end by themselves


def test_a_busy_server_is_asked_again_when_it_says(web: str) -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
    BUSY["config.json"] = [later, "0"]
    (folder,) = bring([f"{web}/a"])
    assert Path(folder, "config.json").exists()
    assert not BUSY["config.json"]
    for asked in (format_datetime(datetime.now(UTC) + timedelta(days=1), usegmt=True), "86400"):
        BUSY["config.json"] = [asked]
        with pytest.raises(SoceError, match="status 503"):
            bring([f"{web}/b"])
        assert not BUSY["config.json"]
