"""Engines by name."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from soce.evaluate.engines.engine import ENGINES
from soce.evaluate.evaluation import refuse
from soce.exceptions import shown
from soce.files.words import nearest, or_else

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.evaluate.engines.engine import Engine, EngineName, EngineOptions

# Each is loaded only where it is asked for.
_CLASSES: Final[dict[EngineName, str]] = {
    "vllm": "VllmEngine",
    "transformers": "TransformersEngine",
}

# Read in 0.5.23, not run: `update_weights_from_tensor` catches nothing, so a soup that cannot be mixed raises
# in the scheduler, which ends all processes; the server listens on TCP alone; AMX packing cannot be undone.
_UNFIT: Final = {
    "sglang": " of soce: a soup that cannot be mixed would end SGLang, whose routes for weights are on a port"
}


def open_engine(name: str, ingredients: Sequence[str], options: EngineOptions) -> Engine:
    """Return the engine of a name, not yet started; EvaluationError if there is none or it cannot start.

    It is a class with two arguments, ingredients and options, in ``engines/NAME/engine.py``.
    """
    known = parse_engine_name(name)
    module = import_module(f"soce.evaluate.engines.{known}.engine")
    engine: Engine = getattr(module, _CLASSES[known])(ingredients, options)
    return engine


def parse_engine_name(text: str, *, or_url: bool = False) -> EngineName:
    """Return the name of an engine; raises EvaluationError if there is none, whose hint may tell of URLs."""
    for known in ENGINES:
        if known == text:
            return known
    hint = nearest(text, ENGINES, "engines")
    if or_url:
        hint = or_else(hint, "give the URL of a `soce serve`")
    refuse(f"`{shown(text)}` is no serving engine{_UNFIT.get(text, '')}", hint)
