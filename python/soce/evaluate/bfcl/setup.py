"""An environment of its own for BFCL: made, or found to be whole."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.evaluate.bfcl.environment import VERSION, find_environment
from soce.evaluate.evaluation import refuse
from soce.exceptions import EvaluationError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PACKAGES: Final = (f"bfcl-eval=={VERSION}", "soundfile")
"""What is installed: one of BFCL's clients needs soundfile, which its metadata does not say."""
_IMPORTED: Final = "import bfcl_eval.constants.model_config, bfcl_eval.eval_checker.eval_runner"
_PYTHONS: Final = ((3, 11), (3, 12))
"""Those for which there is the numpy that BFCL pins, and that soce's part of it runs in."""
_LINES: Final = 3


def make_environment(folder: Path, *, on_step: Callable[[str], object] = str) -> str:
    """Make an environment with BFCL in a folder, and return its interpreter.

    One that is whole is left as it is, and one that was left half made is completed. `on_step` is told what
    is done. Raises EvaluationError if something else is in the folder, or packages cannot be had.
    """
    folder = folder.absolute()  # programs run elsewhere
    python = str(folder / "bin" / "python")
    on_step("looking at what is there")
    if _is_whole(python):
        return python
    if folder.exists() and not folder.is_dir():
        refuse("this is no folder", "name a new one", str(folder))
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").is_file():
        refuse("this folder holds something else", "name a new one", str(folder))
    own, uv = _own_python(), shutil.which("uv")
    if not Path(python).exists():
        on_step("making an environment")
        _run([uv, "venv", "--python", own, str(folder)] if uv else [own, "-m", "venv", str(folder)])
    on_step(f"installing {' and '.join(PACKAGES)}: some 6 GB")
    installer = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    _run([*installer, *PACKAGES])
    on_step("importing it")
    _run([python, "-c", _IMPORTED])
    return find_environment(python)


def _is_whole(python: str) -> bool:
    try:
        find_environment(python)
        _run([python, "-c", _IMPORTED])
    except EvaluationError:
        return False
    return True


def _own_python() -> str:
    """Return an interpreter of a version that BFCL's packages are there for."""
    if sys.version_info[:2] in _PYTHONS:
        return sys.executable
    for major, minor in reversed(_PYTHONS):
        if found := shutil.which(f"python{major}.{minor}"):
            return found
    refuse("BFCL's packages are there for Python 3.11 and 3.12, and neither was found", "install one of them")


def _run(command: Sequence[str]) -> None:
    """Run a program in an empty folder; raise EvaluationError with its last words if it fails."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="soce-bfcl-") as empty:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=empty)
        except OSError as error:
            refuse(f"`{shown(command[0])}` cannot be run: {error.strerror}", cause=error)
    if done.returncode != 0:
        said = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        told = " / ".join(map(shown, said[-_LINES:])) or "it said nothing"
        what = " ".join(Path(word).name if word == command[0] else word for word in command[:3])
        hint = "can packages be had here? An environment that is half made is completed by another try"
        refuse(f"`{shown(what)} …` failed: {told}", hint)
