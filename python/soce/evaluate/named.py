"""Functions of users, named ``module:function``."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soce.evaluate.evaluation import refuse, told
from soce.exceptions import shown
from soce.files.words import nearest

if TYPE_CHECKING:
    from soce.files.atomic import PathText


def find_named(name: str, *, example: str, directory: PathText | None = None) -> Any:  # noqa: ANN401 - any
    """Return what ``module:function`` names.

    The module is looked for among the installed ones, then in the directory, the current one otherwise.
    Raises EvaluationError if there is no such module or name in it, or if the module raises; `example` says
    what is meant.
    """
    module_name, _, function_name = name.partition(":")
    if not (module_name and function_name):
        refuse(f"`{shown(name)}` is not of the form module:function", f"write `{example}`, say")
    try:
        return attrgetter(function_name)(_imported(module_name, directory))
    except AttributeError as error:
        there = [held for held in dir(error.obj) if not held.startswith("_")]
        message = f"module `{shown(module_name)}` has no `{shown(function_name)}`"
        refuse(message, nearest(str(error.name), there, "it has"), cause=error)


def _imported(name: str, directory: PathText | None) -> object:
    added = str(Path(directory or "").absolute())
    sys.path.append(added)
    try:
        return importlib.import_module(name)
    except Exception as error:
        # Only its own absence: the module may exist and lack something itself.
        if isinstance(error, ModuleNotFoundError) and error.name and f"{name}.".startswith(f"{error.name}."):
            place = "the current directory" if directory is None else f"`{shown(os.fspath(directory))}`"
            hint = f"it is looked for among installed modules and in {place}"
            refuse(f"there is no module `{shown(error.name)}`", hint, cause=error)
        refuse(f"module `{shown(name)}` cannot be imported: {told(error)}", cause=error)
    finally:
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(added)]  # ours, not an equal one before it


def source_of(function: object) -> dict[str, str | None]:
    """Return what tells a function from its later versions: digest of its file, version of its module."""
    version = getattr(inspect.getmodule(function), "__version__", None)
    return {"version": None if version is None else str(version), "file": _digest_of(function)}


def _digest_of(function: object) -> str | None:
    try:
        path = inspect.getsourcefile(inspect.unwrap(function))  # type: ignore[arg-type]
    except TypeError:  # an object with __call__
        path = inspect.getsourcefile(type(function))
    if path is None or not Path(path).is_file():
        return None
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()
