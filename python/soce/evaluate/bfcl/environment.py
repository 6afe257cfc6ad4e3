"""The environment that holds BFCL: where it is, and which version it has."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown

VERSION: Final = "2026.3.23"
"""The version of bfcl-eval that was tried; its items are known by it."""
_MAKE: Final = "make one with `soce bfcl setup DIR`"
_ASK: Final = """
import importlib.metadata as metadata, importlib.util as util, json, sys
try: version = metadata.version("bfcl-eval")
except metadata.PackageNotFoundError: version = None
wanted = ("bfcl_eval", "openai", "httpx", "transformers")
print(json.dumps([sys.version_info[:2], version, [name for name in wanted if not util.find_spec(name)]]))
"""
_ASK_SECONDS: Final = 60


def find_environment(python: str | None) -> str:
    """Return the interpreter of an environment with BFCL in the version that was tried, this one if None.

    Raises EvaluationError if there is none.
    """
    if python is None:
        if importlib.util.find_spec("bfcl_eval") is None:
            refuse("nobody said where BFCL is", f"name its interpreter with `--bfcl-python`; {_MAKE}")
        python = sys.executable
    # An absolute path that keeps its links: the interpreter finds its environment by where it seems to be.
    found = shutil.which(os.path.abspath(python) if os.sep in python else python)  # noqa: PTH100
    if found is None:
        inside = Path(python, "bin", "python")
        hint = f"is it `{shown(str(inside))}`?" if inside.is_file() else _MAKE
        refuse("there is no interpreter that can be run", hint, python)
    version, missing = _asked(found)
    if version is None:
        refuse("this interpreter has no BFCL", _MAKE, found)
    if version != VERSION:
        refuse(f"this is BFCL {shown(version)}, and {VERSION} was tried", _MAKE, found)
    if missing:
        refuse(f"BFCL is here without `{missing[0]}`, which it needs", _MAKE, found)
    return found


def _asked(python: str) -> tuple[str | None, list[str]]:
    """Return BFCL's version as an interpreter tells it, and which packages it lacks."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", _ASK], capture_output=True, text=True, timeout=_ASK_SECONDS, check=True
        )
        (major, minor), version, missing = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        told = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        refuse(f"this is no interpreter that works: {shown(told[-1] if told else '')}", _MAKE, python)
    if (major, minor) < (3, 11):
        refuse(f"this is Python {major}.{minor}, and soce's part of it needs 3.11", _MAKE, python)
    return version, missing
