"""What evaluates the answers of a model reaches neither network nor files of others, and ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from soce.evaluate.bfcl.process import _copy_program

_ENCLOSE = """
    import json, os, resource, signal, socket, sys, time
    from pathlib import Path
    from soce.evaluate.bfcl.program import sandbox
    folder, other = map(Path, sys.argv[1:3])
    def said(action):
        try: return str(action())
        except (OSError, MemoryError) as error: return type(error).__name__
"""


def run(folder: Path, text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program that has the sandbox and nothing else of soce."""
    folder.mkdir()
    _copy_program(folder)
    program = folder / "program.py"
    program.write_text(textwrap.dedent(_ENCLOSE) + textwrap.dedent(text))
    command = [sys.executable, str(program), str(folder), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=folder)


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_only_its_folder_can_be_written_and_nobody_reached(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = run(
            tmp_path / "folder",
            """
            why = sandbox.enclose(folder)
            if why: sys.exit(f"skip: {why}")
            found = {
                "connect": said(lambda: socket.create_connection(("127.0.0.1", int(sys.argv[3])), 2)),
                "hidden": other.exists(),
                "outside": said(lambda: Path(sys.prefix, "new").write_text("x")),
                "home": said(lambda: Path.home().joinpath(".soce-sandbox").write_text("x")),
                "kill": said(lambda: os.kill(int(sys.argv[4]), signal.SIGTERM)),
                "read": Path(sys.prefix).is_dir(),
            }
            (folder / "found.json").write_text(json.dumps(found))
            sys.exit(3)
            """,
            *(other, port, os.getpid()),
        )
    if done.stderr.startswith("skip"):
        pytest.skip(done.stderr)
    assert done.returncode == 3, done.stderr  # the process that waits ends as the other one does
    assert json.loads((tmp_path / "folder" / "found.json").read_text()) == {
        "connect": "OSError",
        "hidden": False,
        "outside": "OSError",
        "home": "OSError",
        "kill": "ProcessLookupError",
        "read": True,
    }


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_what_computes_without_end_is_killed_inside_too(tmp_path: Path) -> None:
    done = run(
        tmp_path / "folder",
        """
        why = sandbox.enclose(folder)
        if why: sys.exit(f"skip: {why}")
        sandbox.Watch(0.1)
        sum(range(10 ** 12))
        """,
        tmp_path,
    )
    if done.stderr.startswith("skip"):
        pytest.skip(done.stderr)
    assert done.returncode == -signal.SIGXCPU


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_memory_and_files_have_limits(tmp_path: Path) -> None:
    done = run(
        tmp_path / "folder",
        """
        sandbox.limit(memory_bytes=1 << 30)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        def write():
            with (folder / "large").open("wb") as file:
                file.seek(sandbox.FILE_BYTES); file.write(b"x"); file.flush()
        print(said(lambda: len("a" * (1 << 31))), said(write), resource.getrlimit(resource.RLIMIT_CORE)[1])
        """,
        tmp_path,
    )
    assert done.stdout.split() == ["MemoryError", "OSError", "0"], done.stderr


def test_what_computes_without_end_is_interrupted_or_killed(tmp_path: Path) -> None:
    done = run(
        tmp_path / "folder",
        """
        watch = sandbox.Watch(0.3)
        try:
            with watch.step(): 9 ** 9 ** 9
        except sandbox.TakesTooLongError as error: print(error, flush=True)
        sum(range(10 ** 12))  # never returns to Python
        """,
        tmp_path,
    )
    assert done.stdout.splitlines() == ["it computed for 0.3 seconds without end"]
    assert done.returncode == -signal.SIGXCPU
