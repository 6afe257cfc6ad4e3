"""The live model that options ask for: in this process, or behind a serving engine."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.evaluation import refuse
from soce.evaluate.live.soup_model import SoupModel
from soce.evaluate.options import is_url, parse_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from soce.evaluate.engines.engine import EngineName
    from soce.evaluate.live.model import LiveModel
    from soce.evaluate.options import EvaluatorOptions
    from soce.evaluate.served.outline import ServedOutline


@contextmanager
def live_model(ingredients: Sequence[str] | LiveModel, options: EvaluatorOptions) -> Iterator[LiveModel]:
    """Give the live model that there is, or one made of ingredients, which is closed if an error comes."""
    if not isinstance(ingredients, Sequence):
        yield ingredients
        return
    made = _served(ingredients, options) if options.engine else _loaded(ingredients, options)
    try:
        yield made
    except BaseException:
        made.close()
        raise


def model_outline(ingredients: Sequence[str], options: EvaluatorOptions) -> LiveModel:
    """Return the live model as far as it is known without its weights, and without an engine."""
    if options.engine:
        return _served(ingredients, options, is_outline=True)
    return _loaded(ingredients, options, is_outline=True)


def _loaded(ingredients: Sequence[str], options: EvaluatorOptions, *, is_outline: bool = False) -> SoupModel:
    from soce.evaluate.live.outline import ModelOutline

    make = ModelOutline if is_outline else SoupModel
    device, device_map = options.device or "auto", options.device_map
    return make(ingredients, device=device, device_map=device_map, merge=options.merge)


def _served(
    ingredients: Sequence[str], options: EvaluatorOptions, *, is_outline: bool = False
) -> ServedOutline:
    from soce.evaluate.served.model import ServedModel
    from soce.evaluate.served.outline import ServedOutline

    engine = parse_engine(options.engine or "")
    if is_url(engine):  # whoever connects changes nothing yet
        token = _token(options.engine_token)
        return ServedModel.connect(engine, token, ingredients, merge=options.merge)
    make = ServedOutline if is_outline else ServedModel.start
    return make(
        ingredients,
        cast("EngineName", engine),
        EngineOptions(
            python=options.engine_python,
            arguments=options.engine_arguments,
            merge=options.merge,
            untried=options.engine_untried,
        ),
    )


def _token(path: str | None) -> str:
    """Return the token in a file; it never is in an argument, where everybody on the machine may read it."""
    from soce.evaluate.served.tokens import read_token

    if path is None:
        refuse("the server at a URL wants a token", "name its file as `engine-token`: `soce serve` tells it")
    return read_token(path)
