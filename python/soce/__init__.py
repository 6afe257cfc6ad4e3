"""Soup Of Category Experts: from benchmark scores to experts, and their exact averages.

The public names stand in ``__init__.pyi`` and are loaded when first used, so importing soce imports no torch,
pandas, matplotlib or click.
"""

import re
from importlib import import_module
from pathlib import Path

_STUB = Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")
_HOMES = {
    name: module for module, name in re.findall(r"^from (\S+) import \w+ as (\w+)$", _STUB, re.MULTILINE)
}
__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for."""
    if name == "__version__":
        value = import_module("soce._core").build_info()["version"]
    elif name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    else:
        message = f"module 'soce' has no attribute {name!r}"
        raise AttributeError(message)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return __all__
