"""A Python function as an evaluator: it is given the live model and returns scores."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import contextmanager
from functools import cached_property
from numbers import Real
from typing import TYPE_CHECKING, NoReturn, TypeAlias

from soce.evaluate.answers import Answer
from soce.evaluate.corpus import Corpus
from soce.evaluate.evaluation import CategoryScore, Evaluation, refuse, told
from soce.evaluate.live.evaluator import LiveEvaluator
from soce.evaluate.live.soup_model import in_process
from soce.evaluate.named import find_named, source_of
from soce.evaluate.served.model import ServedModel
from soce.evaluate.served.outline import ServedOutline
from soce.exceptions import SoceError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from soce.evaluate.evaluation import OnProgress, Scale
    from soce.evaluate.live.model import LiveModel
    from soce.files.atomic import PathText

    Outcome: TypeAlias = "float | tuple[float, str | Answer]"
    Scores: TypeAlias = "Evaluation | Mapping[str, float | Mapping[str, Outcome] | Corpus]"

_CONTRACT = (
    "return a dictionary: category → score, or category → dictionary of item → outcome in 0 to 1, "
    "or of item → (outcome, answer), or category → Corpus; or an Evaluation"
)


def load_function(
    name: str, soup: LiveModel | Sequence[str], *, directory: PathText | None = None
) -> FunctionEvaluator:
    """Return the evaluator of a function that is named ``module:function``.

    The module is looked for among the installed ones, then in the directory, the current one otherwise.
    Raises EvaluationError if there is no such module or function, or if the module raises.
    """
    return FunctionEvaluator(find_function(name, directory=directory), soup, name=name)


def find_function(name: str, *, directory: PathText | None = None) -> Callable[..., Scores]:
    """Return the function itself, which a model is not needed for; raises what `load_function` does."""
    function: Callable[..., Scores] = find_named(name, example="my_tasks:evaluate", directory=directory)
    _check_call(function, name)
    return function


def check_engine(function: Callable[..., Scores], name: str, *, is_served: bool) -> None:
    """Raise EvaluationError if a function takes a model in this process and there is none, or a server."""
    if asks_server(function) and not is_served:
        hint = "name a serving engine, such as vllm, as `engine`"
        refuse(f"`{shown(name)}` takes the `base_url` of a server, and there is none", hint)
    if is_served and not asks_server(function):
        hint = "leave `engine` out, or let it take `base_url` and `model`"
        refuse(f"`{shown(name)}` takes a model in this process, and the engine has it in its own", hint)


def asks_server(function: Callable[..., Scores]) -> bool:
    """Whether a function is called with the address of a server and the name of its model.

    Examples
    --------
    >>> asks_server(lambda base_url, model: {}), asks_server(lambda model, tokenizer: {})
    (True, False)
    """
    try:
        signature = inspect.signature(function)
        signature.bind(base_url="", model="")
    except (TypeError, ValueError):  # it cannot be called so, or is written in C and does not say
        return False
    return "base_url" in signature.parameters


def _check_call(function: Callable[..., Scores], name: str) -> None:
    if not callable(function):
        refuse(f"`{shown(name)}` is no function")
    if asks_server(function):
        return
    try:
        inspect.signature(function).bind("model", "tokenizer")
    except TypeError as error:
        message = f"`{shown(name)}` cannot be called with a model and a tokenizer"
        hint = "an evaluator is called as evaluate(model, tokenizer), or as evaluate(base_url=..., model=...)"
        refuse(message, hint, cause=error)
    except ValueError:  # written in C: it does not say
        pass


class FunctionEvaluator(LiveEvaluator):
    """Scores recipes with a function ``evaluate(model, tokenizer)`` or ``evaluate(base_url, model)``.

    The function is called once for each soup with the live model, in evaluation mode on its device, and the
    tokenizer. One with parameters of these names is called with the address of the server of a `ServedModel`,
    which ends in ``/v1``, and with what requests call the model; ``OPENAI_BASE_URL`` and ``OPENAI_API_KEY``
    are in the environment meanwhile, where clients of OpenAI's API look for them.

    It returns a dictionary from categories to scores (larger is better), or to dictionaries from item ids to
    outcomes in 0 to 1, whose mean is the score, or to a `Corpus` of statistics (BLEU); or an `Evaluation`,
    which can say more. An outcome may be a pair of it and of what the model said, a text or an `Answer`,
    which is kept. All soups must get the same categories. Without items the search cannot hold any back to
    report on; of some items only, all are scored in any case. `name` is what messages and `identity` call the
    function.
    """

    def __init__(
        self, function: Callable[..., Scores], soup: LiveModel | Sequence[str], *, name: str | None = None
    ) -> None:
        self._name = name or str(getattr(function, "__qualname__", repr(function)))
        _check_call(function, self._name)
        check_engine(function, self._name, is_served=isinstance(soup, ServedOutline))
        self._function = function
        self._source = source_of(function)
        self._items: dict[str, tuple[str, ...]] | None = None
        self._categories: frozenset[str] = frozenset()
        super().__init__(soup)

    def _identity(self) -> dict[str, object]:
        contents = self._contents
        told = {} if contents is None else {"items": _digest(contents)}
        return {**self._function_identity(), **told}

    def _function_identity(self) -> dict[str, object]:
        return {"evaluator": "function", "function": self._name, **self._source}

    scores_whole = True
    """Whether all items are scored in any case, whichever are asked for."""

    def item_ids(self) -> dict[str, tuple[str, ...]] | None:
        """Return the items of the soup scored last; None before, or if a category tells none apart."""
        return self._items

    def item_contents(self) -> dict[str, dict[str, str]] | None:
        """Return what tells items apart, whatever their ids: what the function's own `item_contents` says."""
        return self._contents

    @cached_property
    def _contents(self) -> dict[str, dict[str, str]] | None:
        tell = getattr(self._function, "item_contents", None)
        if tell is None:
            return None
        try:
            return {
                str(category): {str(item): str(text) for item, text in texts.items()}
                for category, texts in tell().items()
            }
        except Exception as error:
            message = f"`item_contents` of `{shown(self._name)}` raised {told(error)}"
            refuse(message, "called without arguments, it returns category → {item: text}", cause=error)

    def item_keys(self) -> dict[str, dict[str, str]] | None:
        """Return what items' outcomes are filed under; None if the function has no `item_contents`.

        Items of equal contents may differ in what they want: their ids and categories tell them apart.
        """
        contents = self._contents
        if contents is None:
            return None
        times = Counter(text for texts in contents.values() for text in texts.values())
        function = {**self._function_identity(), **self.soup.identity}
        return {
            category: {
                item: _digest(function, text, *((category, item) if times[text] > 1 else ()))
                for item, text in texts.items()
            }
            for category, texts in contents.items()
        }

    def _score(self, items: Mapping[str, Sequence[str]] | None, on_progress: OnProgress) -> Evaluation:
        on_progress(0, 1)
        try:
            found = self._called()
        except SoceError:
            raise
        except Exception as error:
            refuse(f"`{shown(self._name)}` raised {told(error)}", cause=error)
        on_progress(1, 1)
        evaluation = found if isinstance(found, Evaluation) else self._evaluation(found)
        self._categories = self._categories or frozenset(evaluation.categories)
        others = sorted(self._categories ^ evaluation.categories.keys())
        if others:
            self._refuse(f"scored category `{shown(others[0])}` for some soups only", None)
        ids = evaluation.item_ids() or {}
        self._items = ids if len(ids) == len(evaluation.categories) else None
        return evaluation if items is None else evaluation.restricted(items)

    def _called(self) -> Evaluation | Scores:
        soup = self.soup
        if isinstance(soup, ServedModel):
            with _environment(soup.environment):
                return self._function(base_url=soup.base_url, model=soup.model)
        held = in_process(soup, f"`{shown(self._name)}`")
        held.model.eval()  # type: ignore[no-untyped-call]
        return self._function(held.model, held.tokenizer)

    def _evaluation(self, found: object) -> Evaluation:
        if not isinstance(found, Mapping):
            self._refuse(f"returned a value of type {type(found).__name__}")
        if not found:
            self._refuse("returned no categories")
        scores: dict[str, CategoryScore] = {}
        items: dict[str, dict[str, float]] = {}
        corpora: dict[str, Corpus] = {}
        answers: dict[str, dict[str, Answer]] = {}
        for category, held in found.items():
            if not isinstance(category, str):
                self._refuse(f"returned a category that is no text but {type(category).__name__}")
            place = f"category `{shown(category)}`"
            if isinstance(held, Corpus):
                corpora[category] = held
                scores[category] = CategoryScore.of_corpus(held)
                continue
            if not isinstance(held, Mapping):
                scores[category] = CategoryScore(self._number(held, place))
                continue
            if not held:
                self._refuse(f"returned {place} without items")
            items[category] = outcomes = {}
            for item, outcome in held.items():
                if not isinstance(item, (str, int)):
                    self._refuse(f"returned an item in {place} that is no text but {type(item).__name__}")
                which = f"{place}, item `{shown(str(item))}`"
                if isinstance(outcome, tuple) and len(outcome) == 2:
                    outcome, said = outcome
                    answers.setdefault(category, {})[str(item)] = self._answer(said, which)
                outcomes[str(item)] = self._number(outcome, which, least=0, most=1)
            scores[category] = CategoryScore.of(outcomes.values())
        scale: Scale | None = "unit" if len(items) == len(scores) else None
        return Evaluation(scores, items or None, scale, corpora=corpora, answers=answers)

    def _answer(self, said: object, place: str) -> Answer:
        if isinstance(said, str):
            return Answer("", said)
        if not isinstance(said, Answer):
            self._refuse(f"returned a value of type {type(said).__name__} as the answer to {place}")
        return said

    def _number(
        self, value: object, place: str, *, least: float = -math.inf, most: float = math.inf
    ) -> float:
        """Return a number of Python, NumPy or torch as it is."""
        item = getattr(value, "item", None)
        if callable(item) and getattr(value, "ndim", 1) == 0:
            value = item()
        if not isinstance(value, Real):
            self._refuse(f"returned a value of type {type(value).__name__} as {place}")
        number = float(value)
        if not (math.isfinite(number) and least <= number <= most):
            self._refuse(f"returned {number} as {place}", f"leave out what has no score; {_CONTRACT}")
        return number

    def _refuse(self, message: str, hint: str | None = _CONTRACT) -> NoReturn:
        refuse(f"`{shown(self._name)}` {message}", hint)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process, and put back what was there."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _digest(*parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
