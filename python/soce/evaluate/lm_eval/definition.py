"""What a task is, in words that are the same in every process."""

from __future__ import annotations

import inspect
import json
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection

_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def definition(task: Any, *, without: Collection[str]) -> str:  # noqa: ANN401
    """Return what a task is, in the same words in every process: config, version and a class of its own."""
    config = {name: held for name, held in task.dump_config().items() if name not in without}
    is_own = type(task).__module__.partition(".")[0] != "lm_eval"  # the harness has a version
    held = {"config": config, "version": str(task.VERSION), "class": type(task) if is_own else None}
    return _ADDRESS.sub("", content(held).decode())  # of functions that the harness itself made texts of


def content(value: object) -> bytes:
    """Return a value as bytes that are the same in every process: functions are known by their source."""
    return json.dumps(value, sort_keys=True, default=_text).encode() + b"\0"


def _text(value: Any) -> str:  # noqa: ANN401
    if callable(value):
        try:
            return inspect.getsource(value)
        except (TypeError, OSError):  # a partial, or written in C
            pass
    return _ADDRESS.sub("", str(value))
