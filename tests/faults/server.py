"""Runs `soce-merge` in a new process for each request, without importing everything anew each time.

`python -P server.py DESCRIPTOR`, which is one end of a pair of sockets. A request is JSON with the descriptors of
stdout, stderr and a third socket; the answers are the process's id and, once it has ended, its wait status.
"""

from __future__ import annotations

import base64  # noqa: F401 - this and what follows is imported by a merge, and then need not be
import csv  # noqa: F401
import difflib  # noqa: F401
import email.parser  # noqa: F401
import importlib.metadata  # noqa: F401
import importlib.resources  # noqa: F401
import json
import os
import resource
import runpy
import signal
import socket
import sys
from pathlib import Path

import soce.merging.merge  # noqa: F401
from soce.cli import main_merge


def serve(channel: socket.socket) -> tuple[dict, list[int]] | None:
    """Answer requests until there are no more; in the new processes, return the request and its descriptors."""
    while True:
        text, descriptors, *_ = socket.recv_fds(channel, 1 << 16, 3)
        if not text:
            return None
        process = os.fork()
        if process == 0:
            channel.close()
            return json.loads(text), descriptors
        for descriptor in descriptors:
            os.close(descriptor)
        channel.send(str(process).encode())
        _, status = os.waitpid(process, 0)
        channel.send(str(status).encode())


if __name__ == "__main__":
    calls = runpy.run_path(str(Path(__file__).with_name("system_calls.py")))
    # A test run in the background of a shell ignores SIGINT, and so would its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    work = serve(socket.socket(fileno=int(sys.argv[1])))
    if work is not None:
        request, (out, err, third) = work
        for descriptor, to in ((out, 1), (err, 2)):
            os.dup2(descriptor, to)
            os.close(descriptor)
        os.chdir(request["cwd"])
        os.environ.update(request["environment"])
        if request["file_size"] is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (request["file_size"], resource.RLIM_INFINITY))
        if request["catch"]:
            listener = calls["catch"](request["catch"])  # stays open: without it, caught calls would fail
            with socket.socket(fileno=third) as channel:
                socket.send_fds(channel, [b"caught"], [listener])
        sys.argv = ["soce-merge", *request["arguments"]]
        main_merge()
