"""Where ingredients came from: what huggingface_hub itself leaves on the disk, read back from the manifest."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.checkpoints import bf16, checkpoint

import soce
from soce.exceptions import CheckpointError

hub = pytest.importorskip("huggingface_hub")

REPO = "org/small-model"
REVISION = "0123456789abcdef0123456789abcdef01234567"
LARGE = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files of a repository."""
    return checkpoint(
        tmp_path_factory.mktemp("published") / "model",
        {"a": ("BF16", [2], bf16(1.0, 2.0))},
        {"b": ("BF16", [1], bf16(0.5))},
    )


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@pytest.fixture(scope="module")
def endpoint(published: Path) -> Iterator[str]:
    """Serve the repository as the Hub does: large files by SHA-256, small ones by git SHA-1."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer(send=False)

        def do_GET(self) -> None:
            self.answer(send=True)

        def answer(self, *, send: bool) -> None:
            name = self.path.rpartition("/")[2]
            if not self.path.startswith(f"/{REPO}/resolve/") or not (published / name).is_file():
                self.send_error(404)
                return
            content = (published / name).read_bytes()
            large = name in LARGE
            tag = hashlib.sha256(content).hexdigest() if large else git_sha1(content)
            self.send_response(200)
            self.send_header("X-Repo-Commit", REVISION)
            self.send_header("ETag", f'"{tag}"')
            if large:
                self.send_header("X-Linked-Etag", f'"{tag}"')
                self.send_header("X-Linked-Size", str(len(content)))
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if send:
                self.wfile.write(content)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def download(endpoint: str, published: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that downloads the repository with huggingface_hub and returns where it is."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    hub.close_session()

    def get(**where: Path) -> Path:
        for path in sorted(published.iterdir()):
            got = hub.hf_hub_download(REPO, path.name, endpoint=endpoint, token=False, **where)
        return Path(got).parent

    yield get
    hub.close_session()


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Write an ingredient that came from nowhere."""
    return checkpoint(tmp_path / "plain", {"a": ("BF16", [2], bf16(3.0, 4.0)), "b": ("BF16", [1], bf16(1.5))})


def sources(ingredients: list[Path], output: Path) -> list[dict]:
    soce.merge([str(path) for path in ingredients], output=output, options=soce.MergeOptions(sync=False))
    return json.loads((output / "soce.json").read_text())["sources"]


def digests(source: dict) -> list[tuple[str | None, str | None]]:
    return [(shard.get("sha256"), shard.get("sha256_source")) for shard in source["shards"]]


def true_digests(published: Path, source: str) -> list[tuple[str, str]]:
    return [(hashlib.sha256((published / name).read_bytes()).hexdigest(), source) for name in LARGE]


def test_a_merge_from_the_cache_names_repository_revision_and_digests(
    download, published: Path, plain: Path, tmp_path: Path
) -> None:
    snapshot = download(cache_dir=tmp_path / "hub")
    for name in LARGE:
        found = hub.try_to_load_from_cache(REPO, name, cache_dir=tmp_path / "hub", revision=REVISION)
        assert Path(found) == snapshot / name
    first, second = sources([snapshot, plain], tmp_path / "soup")
    assert first["hub"] == {"id": REPO, "revision": REVISION}
    assert digests(first) == true_digests(published, "hf-blob-name")
    assert "hub" not in second
    assert digests(second) == [(None, None)]


def test_provenance_changes_no_result(download, published: Path, plain: Path, tmp_path: Path) -> None:
    snapshot = download(cache_dir=tmp_path / "hub")
    results = []
    for n, path in enumerate((snapshot, published)):
        soce.merge([str(path), str(plain)], output=tmp_path / str(n), options=soce.MergeOptions(sync=False))
        results.append(json.loads((tmp_path / str(n) / "soce.json").read_text())["result_digest"])
    assert results[0] == results[1]


def test_a_single_shard_in_the_cache_is_known(download, published: Path, tmp_path: Path) -> None:
    shard = download(cache_dir=tmp_path / "hub") / LARGE[1]
    (only,) = sources([shard], tmp_path / "soup")
    assert only["hub"] == {"id": REPO, "revision": REVISION}
    assert digests(only) == true_digests(published, "hf-blob-name")[1:]


def test_a_download_into_a_directory_keeps_revision_and_digests(
    download, published: Path, plain: Path, tmp_path: Path
) -> None:
    model = download(local_dir=tmp_path / "model")
    records = model / ".cache/huggingface/download"
    assert sorted(path.name for path in records.glob("model-*.metadata")) == [f"{n}.metadata" for n in LARGE]
    first, second = sources([model, plain], tmp_path / "soup")
    assert first["hub"] == {"revision": REVISION}
    assert digests(first) == true_digests(published, "hf-metadata")
    assert "hub" not in second


@pytest.mark.parametrize("late", [0.5, 2.0])
def test_a_record_counts_as_long_as_the_hub_counts_it(download, tmp_path: Path, late: float) -> None:
    local = pytest.importorskip("huggingface_hub._local_folder")
    model = download(local_dir=tmp_path / "model")
    record = model / f".cache/huggingface/download/{LARGE[0]}.metadata"
    time = float(record.read_text().split("\n")[2]) + late
    os.utime(model / LARGE[0], (time, time))
    counts = local.read_download_metadata(model, LARGE[0]) is not None
    assert counts == (late < 1)
    (only,) = sources([model], tmp_path / "soup")
    assert ("hub" in only, digests(only)[0] != (None, None)) == (counts, counts)
    assert digests(only)[1] != (None, None), "the other shard is as it was"


@pytest.mark.parametrize(
    "text", ["", "main\n{tag}\n9e9\n", "{revision}\n{tag}\nnan\n", "{revision}\n{tag}\x1b[2J\n9999999999.0\n"]
)
def test_a_record_that_is_not_understood_is_no_record(download, tmp_path: Path, text: str) -> None:
    model = download(local_dir=tmp_path / "model")
    for name in LARGE:
        record = model / f".cache/huggingface/download/{name}.metadata"
        _, tag, _, _ = record.read_text().split("\n")
        record.write_text(text.format(revision=REVISION, tag=tag))
    (only,) = sources([model], tmp_path / "soup")
    assert "hub" not in only
    assert digests(only) == [(None, None), (None, None)]


def test_small_files_of_the_cache_have_no_sha256(tmp_path: Path, plain: Path) -> None:
    """A safetensors file that the Hub keeps in git: its blob is named by another hash."""
    repository = tmp_path / "hub" / "models--org--tiny"
    content = (plain / "model.safetensors").read_bytes()
    snapshot = repository / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / git_sha1(content)).write_bytes(content)
    (snapshot / "model.safetensors").symlink_to(f"../../blobs/{git_sha1(content)}")
    found = hub.try_to_load_from_cache("org/tiny", "model.safetensors", tmp_path / "hub", REVISION)
    assert Path(found) == snapshot / "model.safetensors"
    (only,) = sources([snapshot], tmp_path / "soup")
    assert only["hub"] == {"id": "org/tiny", "revision": REVISION}
    assert digests(only) == [(None, None)]


@pytest.mark.parametrize("place", ["cache", "elsewhere"])
def test_blobs_shared_by_the_repositories_of_a_cache(published: Path, tmp_path: Path, place: str) -> None:
    """What huggingface_hub 2.4 does by itself: the blob of a repository is a link into the store of its cache."""
    shared = pytest.importorskip("huggingface_hub.utils._shared_blobs")
    cache = tmp_path / "cache"
    repository = cache / "models--org--small-model"
    snapshot = repository / "snapshots" / REVISION
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    store = cache if place == "cache" else tmp_path / "elsewhere"
    for path in published.iterdir():
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        blob = repository / "blobs" / digest
        blob.write_bytes(content)
        (snapshot / path.name).symlink_to(f"../../blobs/{digest}")
        if path.name in LARGE and place == "cache":
            assert shared.publish_blob_to_shared_store(
                blob_path=str(blob), xet_hash=digest, cache_dir=store, expected_size=len(content)
            )
            assert blob.is_symlink()
        elif path.name in LARGE:
            (store / "blobs" / digest[:2]).mkdir(parents=True, exist_ok=True)
            blob.unlink()
            (store / "blobs" / digest[:2] / digest).write_bytes(content)
            blob.symlink_to(store / "blobs" / digest[:2] / digest)
    if place == "elsewhere":
        with pytest.raises(CheckpointError, match="outside the checkpoint"):
            soce.plan([str(snapshot)], output=tmp_path / "soup")
        return
    soce.merge([str(snapshot)], output=tmp_path / "soup", options=soce.MergeOptions(sync=False))
    (source,) = json.loads((tmp_path / "soup/soce.json").read_text())["sources"]
    assert source["hub"] == {"id": REPO, "revision": REVISION}
    for shard in source["shards"]:
        digest = hashlib.sha256((published / shard["name"]).read_bytes()).hexdigest()
        assert (shard["sha256"], shard["sha256_source"]) == (digest, "hf-blob-name")
