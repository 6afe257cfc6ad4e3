"""A module that the processes of an engine import changed, to have happen there what seldom does."""

from __future__ import annotations

import textwrap
from pathlib import Path

_PROGRAM = """\
import importlib.abc, importlib.util, os, sys


class Patched(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != {name!r}:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def run_patched(module):
            run(module)
            patch(module)

        spec.loader.exec_module = run_patched
        return spec


def patch(module):
{patch}

sys.meta_path.insert(0, Patched())
"""


def patch_module(folder: Path, name: str, patch: str) -> None:
    """Have every interpreter with FOLDER on its PYTHONPATH run PATCH on the `module` NAME once it is imported."""
    body = textwrap.indent(textwrap.dedent(patch), "    ")
    (folder / "sitecustomize.py").write_text(_PROGRAM.format(name=name, patch=body))
