"""Ray nodes on loopback addresses of this machine, each ended by the ids of its processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

_STORE_BYTES = 80_000_000


def processes_of(word: str) -> dict[int, str]:
    """Return the processes that are called by this word or have it in their environment, but not this one."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if (
                int(folder.name) != os.getpid()
                and word.encode() in command + (folder / "environ").read_bytes()
            ):
                found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
    return found


class RayNode:
    """A node of a cluster, the first of it if no address is given."""

    def __init__(
        self, host: str, *, address: str | None = None, cpus: int = 1, python_path: str = ""
    ) -> None:
        self.folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # the names of its sockets must be short
        with socket.create_server((host, 0)) as found:
            port = found.getsockname()[1]
        self.address = address or f"{host}:{port}"
        which = [f"--address={address}"] if address else ["--head", f"--port={port}"]
        if not address:
            which += ["--include-dashboard=false", f"--temp-dir={self.folder}/t"]
        self._command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *which]
        self._command += [f"--node-ip-address={host}", f"--num-cpus={cpus}", "--disable-usage-stats"]
        self._command += [f"--object-store-memory={_STORE_BYTES}"]
        self._environment = {
            **os.environ,
            "SOCE_TEST_NODE": self.folder,
            "RAY_AUTH_MODE": "disabled",  # else a token in the user's home says whether it is on
            "RAY_ADDRESS": "",
            "PYTHONPATH": python_path,
        }
        self._log = Path(self.folder, "log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> RayNode:
        """Return itself when it is up; on a busy machine Ray gives its own processes too little time."""
        for attempt in range(3):
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
                )
            while self._process.poll() is None:
                if "Ray runtime started" in self._log.read_text():
                    return self
                time.sleep(0.1)
            self._kill()
            print(f"attempt {attempt}:", self._log.read_text())
        raise TimeoutError(self._command)

    def processes(self) -> dict[int, str]:
        return processes_of(self.folder)

    def raylet(self) -> int:
        (found,) = (pid for pid, command in self.processes().items() if "/raylet/raylet " in command)
        return found

    def close(self) -> None:
        """End every process of it, and see that none is left."""
        self._kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> None:
        until = time.monotonic() + 60
        while found := self.processes():
            assert time.monotonic() < until, found
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self._process is not None:
                self._process.poll()
            time.sleep(0.1)
        if self._process is not None:
            self._process.wait()
