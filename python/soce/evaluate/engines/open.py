"""Engines by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from soce.evaluate.engines.engine import ENGINES
from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.evaluate.engines.engine import Engine, EngineName, EngineOptions

# Each is loaded only where it is asked for.
_CLASSES: Final[dict[EngineName, str]] = {
    "vllm": "VllmEngine",
    "sglang": "SglangEngine",
    "transformers": "TransformersEngine",
}


def open_engine(name: str, ingredients: Sequence[str], options: EngineOptions) -> Engine:
    """Return the engine of a name, not yet started; EvaluationError if there is none or it cannot start.

    It is a class with two arguments, ingredients and options, in ``engines/NAME/engine.py``.
    """
    for known in ENGINES:
        if known == name:
            module = import_module(f"soce.evaluate.engines.{known}.engine")
            engine: Engine = getattr(module, _CLASSES[known])(ingredients, options)
            return engine
    refuse(f"there is no engine `{shown(name)}`", nearest(name, ENGINES, "engines"))
