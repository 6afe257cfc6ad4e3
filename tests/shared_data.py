"""Data that tests use but the repository does not carry: public tables that are not ours to redistribute."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def data_root() -> Path:
    """Return where the data would lie: `SOCE_TEST_DATA`, or `shared/data` beside the repository."""
    given = os.environ.get("SOCE_TEST_DATA")
    return Path(given) if given else ROOT.parent / "shared" / "data"


def shared_data(name: str) -> Path:
    """Return a file or folder of the data, such as ``bfcl/2025-04-30``; skip the test if it is not there."""
    path = data_root() / name
    if not path.exists():
        pytest.skip(
            f"no test data at {path}: set SOCE_TEST_DATA to the folder that holds {name.split('/')[0]}/"
        )
    return path
