"""The script for a machine with a device is whole, as far as one without can tell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
ROOT = Path(__file__).resolve().parents[2]


def script(*words: str) -> str:
    command = [sys.executable, "benches/gpu.py", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_all_that_it_would_run_is_there() -> None:
    steps = [line.partition(":")[0] for line in script("--dry-run").splitlines()]
    assert steps == [
        *("environment", "devices", "in process", "canary", "swaps", "one billion", "two devices")
    ]


def test_soups_of_a_shape_are_timed() -> None:
    found = json.loads(script("--shape", "tiny", "--engine", "transformers"))
    assert len(found["swap_seconds"]) == 8
    assert found["mixing_once_seconds"] > 0
    assert found["canary"]["is_conclusive"]


def test_soups_in_this_process_are_timed_and_have_their_bits() -> None:
    found = json.loads(script("--shape", "tiny", "--engine", "in process"))
    assert len(found["swap_seconds"]) == 6
    assert found["mixing_once_seconds"] > 0
