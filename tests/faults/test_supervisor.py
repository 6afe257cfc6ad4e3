"""The supervisor of caught system calls, where a process ends under it."""

import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.supervisor import Supervisor


def test_the_memory_of_an_ended_process_is_not_read_for_ever(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        supervisor = Supervisor(process.pid, -1, tmp_path, [], lambda _: None)
        process.kill()
    with pytest.raises(ProcessLookupError, match="has ended"):
        supervisor._text(0x1000)
