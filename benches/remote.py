"""Time a merge whose ingredients lie on a server against a plain client that reads the same ranges.

    python benches/remote.py DIR [--megabytes 300 3000] [--ingredients 3] [--delays 0 80] [--repeated]

Makes checkpoints of that size in DIR if they are not there, and serves their ranges from a process of its
own, which waits so many milliseconds before each answer. Rounds go through all ways in turn:

plain client    16 threads take 8 MiB ranges of all shards from a list and throw them away: what parallel
                ranges of the server give; and 32 threads, which is as many as a merge asks for
merge           `Plan.execute` on shards that are remote, without fsync
local merge     the same on the files themselves: what the machine can compute, whatever the server gives

The aim is 0.9 of the speed of 16 ranges. Server and merge share the processors, so without a delay that may
be out of reach: what 16 ranges, their server and a local merge take of the processors for a GB is the least
that a merge of what is served can take, and "possible" is the share of the plain client's speed that this
allows.

Peak memory of a merge is that of a process of its own; it must not grow with the size, nor be over the bound
that the plan prints by more than the interpreter takes. With `--repeated` all shards of a checkpoint share
their data, for sizes that the disk has no room for; the files themselves are not merged then.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import platform
import queue
import re
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

import soce
from measure import proc_fields

BLOCK = 8 << 20
RANGES = (16, 32)
SHARD_BYTES = 100_000_000
TENSOR_ELEMENTS = 5_000_000  # bf16: ten tensors in a shard
FREE = 1.2  # of what is written
DATA = "data"  # what all shards of a checkpoint share


def make(folder: Path, megabytes: int, seed: int, *, repeated: bool) -> Path:
    """Write a checkpoint of random BF16 weights, or headers and one shard's data, if it is not there."""
    path = folder / f"{megabytes}mb-{seed}{'-repeated' * repeated}"
    if (path / "model.safetensors.index.json").exists():
        return path
    path.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    count = max(1, megabytes * 1_000_000 // SHARD_BYTES)
    weight_map: dict[str, str] = {}
    for shard in range(count):
        name = f"model-{shard + 1:05}-of-{count:05}.safetensors"
        tensors = [f"layers.{shard}.w{i}" for i in range(SHARD_BYTES // (2 * TENSOR_ELEMENTS))]
        size = 2 * TENSOR_ELEMENTS
        header = {
            tensor: {"dtype": "BF16", "shape": [TENSOR_ELEMENTS], "data_offsets": [i * size, (i + 1) * size]}
            for i, tensor in enumerate(tensors)
        }
        text = json.dumps(header).encode()
        (path / name).write_bytes(len(text).to_bytes(8, "little") + text)
        if shard == 0 or not repeated:
            with (path / (DATA if repeated else name)).open("ab") as file:
                for _ in tensors:
                    values = random.standard_normal(TENSOR_ELEMENTS, np.float32)
                    (values.view(np.uint32) >> 16).astype(np.uint16).tofile(file)
        weight_map |= dict.fromkeys(tensors, name)
    (path / "config.json").write_text(json.dumps({"model_type": "bench"}))
    index = {"metadata": {}, "weight_map": weight_map}
    (path / "model.safetensors.index.json").write_text(json.dumps(index))
    return path


def size_of(path: Path) -> int:
    """Return the size of a file as it is served: a shard's with the data that it shares."""
    data = path.parent / DATA
    shares = path.suffix == ".safetensors" and data.exists()
    return path.stat().st_size + (data.stat().st_size if shares else 0)


def serve(folder: Path, delay: float, ready: Callable[[int], None]) -> None:
    """Serve ranges of all files below a folder until the process is ended."""

    class Ranges(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            time.sleep(delay)
            path = folder / self.path.lstrip("/")
            if not path.is_file():
                self.send_error(404)
                return
            own, size = path.stat().st_size, size_of(path)
            span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", f"bytes=0-{size - 1}"))
            if span is None:
                self.send_error(400)
                return
            start, end = map(int, span.groups())
            self.send_response(206 if "Range" in self.headers else 200)
            self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
            self.send_header("Content-Length", str(end - start + 1))
            self.send_header("ETag", f'"{path.name}"')
            self.end_headers()
            self.wfile.flush()
            self.send(path, start, min(end + 1, own))
            self.send(path.parent / DATA, max(start - own, 0), end + 1 - own)

        def send(self, path: Path, start: int, end: int) -> None:
            if start < end:
                with path.open("rb") as file:
                    while start < end:
                        start += os.sendfile(self.connection.fileno(), file.fileno(), start, end - start)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # of five, the kernel drops connections that come together, for a second

    with Server(("127.0.0.1", 0), Ranges) as server:
        ready(server.server_port)
        server.serve_forever()


def shards(paths: list[Path]) -> list[Path]:
    return [shard for path in paths for shard in sorted(path.glob("*.safetensors"))]


def plain(port: int, paths: list[Path], count: int) -> float:
    """Return the seconds in which so many parallel ranges of the server give all shards."""
    ranges: queue.SimpleQueue[tuple[str, int, int]] = queue.SimpleQueue()
    for shard in shards(paths):
        size = size_of(shard)
        for start in range(0, size, BLOCK):
            end = min(start + BLOCK, size)
            ranges.put((f"/{shard.parent.name}/{shard.name}", start, end))

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        buffer = memoryview(bytearray(BLOCK))
        while True:
            try:
                path, start, end = ranges.get_nowait()
            except queue.Empty:
                return
            connection.request("GET", path, headers={"Range": f"bytes={start}-{end - 1}"})
            answer = connection.getresponse()
            got = 0
            while got < end - start:
                got += answer.readinto(buffer[got : end - start])
            answer.read()

    threads = [threading.Thread(target=work) for _ in range(count)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def merge(port: int | None, paths: list[Path], folder: Path) -> dict[str, float]:
    """Merge what lies on the server, or the files themselves, in a process of its own."""
    output = folder / "soup"
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")  # of what is on the server, the side files
    names = [str(path) if port is None else f"http://127.0.0.1:{port}/{path.name}" for path in paths]
    shutil.rmtree(output, ignore_errors=True)
    start = time.perf_counter()
    plan = soce.plan(names, output=output, options=soce.MergeOptions(sync=False))
    planned = time.perf_counter()
    before = time.process_time()
    plan.execute()
    done = time.perf_counter()
    processing = time.process_time() - before
    shutil.rmtree(output)
    status = proc_fields("/proc/self/status")
    return {
        "planning_seconds": planned - start,
        "seconds": done - planned,
        "cpu_seconds": processing,
        "peak_bytes": status["VmHWM"],
        "bound_bytes": plan.data["memory_bytes"],
    }


def processing(pid: int | str = "self") -> float:
    """Return the seconds that a process has had of the processors."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rounds(folder: Path, paths: list[Path], delay: float, count: int, *, local: bool) -> dict[str, float]:
    """Return the medians of all ways for one delay."""
    context = multiprocessing.get_context("spawn")
    ports = context.SimpleQueue()
    server = context.Process(target=serve, args=(folder, delay / 1000, ports.put), daemon=True)
    server.start()
    port = ports.get()
    gigabytes = sum(size_of(shard) for shard in shards(paths)) / 1e9
    clients: dict[int, list[float]] = {ranges: [] for ranges in RANGES}
    client_processing: list[float] = []
    merges: list[dict[str, float]] = []
    files: list[dict[str, float]] = []
    try:
        for _ in range(count):
            for ranges, seconds in clients.items():
                before = processing() + processing(server.pid or 0)
                seconds.append(plain(port, paths, ranges))
                if ranges == RANGES[0]:
                    client_processing.append(processing() + processing(server.pid or 0) - before)
            for found, where in [(merges, port), (files, None)][: 1 + local]:
                with ProcessPoolExecutor(1, mp_context=context) as alone:
                    found.append(alone.submit(merge, where, paths, folder).result())
    finally:
        server.terminate()
        server.join()

    def median(found: list[dict[str, float]], name: str) -> float:
        return statistics.median(each[name] for each in found)

    client, most = (statistics.median(seconds) for seconds in clients.values())
    result = {
        "delay_ms": delay,
        "bytes": gigabytes * 1e9,
        "plain_mb_s": 1e3 * gigabytes / client,
        "plain_most_mb_s": 1e3 * gigabytes / most,
        "merge_mb_s": 1e3 * gigabytes / median(merges, "seconds"),
        "share": client / median(merges, "seconds"),
        "cpu_seconds_per_gb": median(merges, "cpu_seconds") / gigabytes,
        "planning_seconds": median(merges, "planning_seconds"),
        "peak_mb": max(found["peak_bytes"] for found in merges) / 1e6,
        "bound_mb": merges[0]["bound_bytes"] / 1e6,
    }
    if local:
        least = statistics.median(client_processing) + median(files, "cpu_seconds")
        result["local_mb_s"] = 1e3 * gigabytes / median(files, "seconds")
        result["possible"] = min(1, client / (least / (os.cpu_count() or 1)))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[300])
    parser.add_argument("--ingredients", type=int, default=3)
    parser.add_argument("--delays", type=float, nargs="+", default=[0, 80])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeated", action="store_true")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if not soce.build_info()["optimised"]:
        sys.exit("this core is not optimised: build it with --release")
    results = []
    for megabytes in arguments.megabytes:
        written = 1 if arguments.repeated else arguments.ingredients + 1
        needed = FREE * 1e6 * megabytes * written
        arguments.folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(arguments.folder).free < needed:
            sys.exit(f"needs {needed / 1e9:.0f} GB in {arguments.folder}")
        repeated, seeds = arguments.repeated, range(arguments.ingredients)
        paths = [make(arguments.folder, megabytes, seed, repeated=repeated) for seed in seeds]
        for delay in arguments.delays:
            found = {"megabytes": megabytes}
            found |= rounds(arguments.folder, paths, delay, arguments.rounds, local=not repeated)
            results.append(found)
            local = ""
            if not repeated:
                local = f"; of files {found['local_mb_s']:.0f}, possible {found['possible']:.0%}"
            print(
                f"{megabytes} MB x {arguments.ingredients}, {delay:.0f} ms: "
                f"plain {found['plain_mb_s']:.0f} MB/s, 32 ranges {found['plain_most_mb_s']:.0f}, "
                f"merge {found['merge_mb_s']:.0f} ({found['share']:.0%}{local}), "
                f"{found['cpu_seconds_per_gb']:.1f} CPU-s a GB, planning {found['planning_seconds']:.2f} s, "
                f"peak {found['peak_mb']:.0f} MB of {found['bound_mb']:.0f}"
            )
    if arguments.json:
        machine = {"machine": platform.processor() or platform.machine(), "cpus": os.cpu_count()}
        arguments.json.write_text(json.dumps({**machine, "results": results}, indent=2))


if __name__ == "__main__":
    main()
