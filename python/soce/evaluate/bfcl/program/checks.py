"""BFCL's own checkers, an item at a time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from soce.evaluate.bfcl.program.items import to_check
from soce.evaluate.bfcl.program.soup import FOLDER, handler_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def checks_of(category: str, results: Mapping[str, Any]) -> Iterator[tuple[str, Callable[[], bool]]]:
    """Yield each item that has a result, with what checks it.

    BFCL keeps the states of simulated services in globals under the item's id: an item can be checked once
    in a process.
    """
    handler = handler_of()
    for entry, truth in to_check(category, results):
        item = entry["id"]
        yield item, partial(_is_right, handler, category, item, results[item], entry, truth)


def _is_right(  # noqa: PLR0917 - what BFCL's functions take
    handler: object, category: str, item: str, result: object, entry: dict[str, Any], truth: object
) -> bool:
    from bfcl_eval.constants.enums import Language, ReturnFormat
    from bfcl_eval.eval_checker import eval_runner as runner
    from bfcl_eval.model_handler.utils import parse_prompt_variation_params
    from bfcl_eval.utils import (
        is_agentic,
        is_format_sensitivity,
        is_java,
        is_js,
        is_multi_turn,
        is_relevance_or_irrelevance,
    )

    if is_relevance_or_irrelevance(category):
        told = runner._evaluate_single_relevance_entry(handler, item, result, entry, FOLDER, category)
    elif is_multi_turn(category):
        told = runner._evaluate_single_multi_turn_entry(handler, item, result, truth, entry, FOLDER, category)
    elif is_agentic(category):
        told = runner._evaluate_single_agentic_entry(handler, item, result, truth, entry, FOLDER, category)
    else:
        language, shape, is_tagged = Language.PYTHON, ReturnFormat.PYTHON, False
        if is_format_sensitivity(category):
            name, is_tagged, *_ = parse_prompt_variation_params(item.split(":")[1])
            shape = ReturnFormat(name)
        elif is_java(category):
            language, shape = Language.JAVA, ReturnFormat.JAVA
        elif is_js(category):
            language, shape = Language.JAVASCRIPT, ReturnFormat.JAVASCRIPT
        told = runner._evaluate_single_ast_entry(
            handler, item, result, truth, entry, FOLDER, category, language, shape, is_tagged
        )
    return bool(told["valid"])
