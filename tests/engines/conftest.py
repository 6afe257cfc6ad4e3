"""The environment of vLLM, for tests that need it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def vllm_python() -> str:
    """Return the interpreter of the environment that `make engines` makes."""
    python = Path(os.environ.get("SOCE_VLLM_PYTHON", "~/.cache/soce/vllm/bin/python")).expanduser()
    if not python.exists():
        pytest.skip(f"there is no vLLM: {python} is not there; `make engines` makes it")
    return str(python)
