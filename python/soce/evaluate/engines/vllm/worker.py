"""What soce adds to the workers of vLLM: they map the ingredients and become soups of them.

vLLM mixes this class into its workers, so its methods have names that nothing else has. Requests and answers
are JSON in text, which is all that the route lets through. Nothing may be raised here: with several ranks an
exception is answered by each of them but read once, and the next call would get the rest.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from soce.evaluate.engines.vllm.weights import LiveWeights
from soce.evaluate.http.refusals import error_to_json
from soce.merging.options import MergeOptions
from soce.recipes.wire import recipe_from_json

if TYPE_CHECKING:
    from collections.abc import Callable


class SoceWorker:
    """The methods that `collective_rpc` calls in every worker."""

    def soce_open(self, ingredients: str, merge: str) -> dict[str, Any]:
        """Map the ingredients; answers how their tensors are placed."""

        def act() -> dict[str, Any]:
            self.soce_weights = LiveWeights(self, json.loads(ingredients), MergeOptions(**json.loads(merge)))
            return self.soce_weights.describe()

        return _answer(act)

    def soce_become(self, recipe: str) -> dict[str, Any]:
        """Take the weights of a soup; answers whether anything had been changed where it failed."""
        changed: list[bool] = []

        def act() -> dict[str, Any]:
            rows = self.soce_weights.rows(recipe_from_json(json.loads(recipe)))
            changed.append(True)
            self.soce_weights.set(rows)
            return {}

        return {**_answer(act), "changed": bool(changed)}


def _answer(act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return {"failure": None, **act()}
    except BaseException as error:  # see above
        return {"failure": error_to_json(error)}
