"""A Python function as an evaluator: it is given the live model and returns scores."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from soce.evaluate.evaluation import CategoryScore, Evaluation, refuse
from soce.evaluate.live.soup_model import SoupModel
from soce.exceptions import EvaluationError, Problem, SoceError, shown
from soce.files.words import nearest

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator
    from typing import NoReturn

    from soce.evaluate.evaluation import OnProgress
    from soce.recipes.model import Recipe

    PathText: TypeAlias = "str | os.PathLike[str]"
    Scores: TypeAlias = "Evaluation | Mapping[str, float | Mapping[str, float]]"

_CONTRACT = (
    "return a dictionary: category → score, or category → dictionary of item → outcome in 0 to 1; "
    "or an Evaluation"
)


def load_function(
    name: str, soup: SoupModel | Sequence[str], *, folder: PathText | None = None
) -> FunctionEvaluator:
    """Return the evaluator of a function that is named ``module:function``.

    Parameters
    ----------
    name : str
        An importable module and a function in it, ``my_tasks:evaluate`` for instance.
    soup : SoupModel or sequence of str
        The live model, or the ingredients to make it of.
    folder : path-like, optional
        Where modules are looked for after the installed ones, while this one is imported; the current
        directory otherwise.

    Raises
    ------
    EvaluationError
        There is no such module or function, or the module raises.
    SoceError, OSError
        As `SoupModel`.
    """
    module_name, colon, function_name = name.partition(":")
    if not (colon and module_name and function_name):
        refuse(f"`{shown(name)}` is not of the form module:function", "write `my_tasks:evaluate`, say")
    with _importable(Path.cwd() if folder is None else Path(folder)):
        try:
            module = importlib.import_module(module_name)
        except Exception as error:
            # Only its own absence: the module may exist and lack something itself.
            if isinstance(error, ModuleNotFoundError) and error.name and _is_within(module_name, error.name):
                hint = "it is looked for among installed modules and in the current directory"
                _refuse(f"there is no module `{shown(error.name)}`", hint, error)
            _refuse(f"module `{shown(module_name)}` cannot be imported: {_told(error)}", None, error)
    function: Any = module
    for part in function_name.split("."):
        there = dir(function)
        function = getattr(function, part, None)
        if function is None:
            message = f"module `{shown(module_name)}` has no `{shown(function_name)}`"
            refuse(message, nearest(part, [held for held in there if not held.startswith("_")], "it has"))
    return FunctionEvaluator(function, soup, name=name)


class FunctionEvaluator:
    """Scores recipes with a function ``evaluate(model, tokenizer)``.

    The function is called once for each soup with the live model, in evaluation mode on its device, and the
    tokenizer. It returns a dictionary from categories to scores (larger is better), or to dictionaries from
    item ids to outcomes in 0 to 1, whose mean is the score; or an `Evaluation`, which can say more. All soups
    must get the same categories. Without items the search cannot hold any back to report on.

    Parameters
    ----------
    function : callable
    soup : SoupModel or sequence of str
        The live model, or the ingredients to make it of. Closed by `close`.
    name : str, optional
        What messages and `identity` call the function.

    Raises
    ------
    EvaluationError
        `function` cannot be called with a model and a tokenizer.
    SoceError, OSError
        As `SoupModel`.

    Examples
    --------
    >>> def evaluate(model, tokenizer):
    ...     return {"math": {"q1": 1, "q2": 0}, "code": {"q1": 1}}
    >>> evaluator = FunctionEvaluator(evaluate, ["path/A", "path/B"])  # doctest: +SKIP
    """

    def __init__(
        self, function: Callable[..., Scores], soup: SoupModel | Sequence[str], *, name: str | None = None
    ) -> None:
        self._name = name or str(getattr(function, "__qualname__", repr(function)))
        if not callable(function):
            refuse(f"`{shown(self._name)}` is no function")
        try:
            inspect.signature(function).bind("model", "tokenizer")
        except TypeError as error:
            hint = "an evaluator is called as evaluate(model, tokenizer)"
            _refuse(f"`{shown(self._name)}` cannot be called with a model and a tokenizer", hint, error)
        except ValueError:  # written in C: it does not say
            pass
        self._function = function
        self._file = _digest_of(function)
        self._items: dict[str, tuple[str, ...]] | None = None
        self._categories: tuple[str, ...] | None = None
        self.soup = soup if isinstance(soup, SoupModel) else SoupModel(soup)

    @property
    def identity(self) -> Mapping[str, object]:
        """All that a score depends on besides the recipe, as far as it can be known.

        The function is known by its name, the content of its file and its module's ``__version__``.
        """
        module = inspect.getmodule(self._function)
        version = getattr(module, "__version__", None)
        return {
            "evaluator": "function",
            "version": None if version is None else str(version),
            "function": self._name,
            "file": self._file,
            **self.soup.identity,
        }

    def item_ids(self) -> dict[str, tuple[str, ...]] | None:
        """Return the items of the soup scored last; None before, or if the function tells none apart."""
        return self._items

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Evaluation:
        """Make the model this soup, call the function and return what it says.

        Parameters
        ----------
        recipe : Recipe
        items : mapping of category to item ids, optional
            Scores are returned over these only; the function scores all in any case.
        on_progress : callable, optional
            Called with (0, 1) before the function and (1, 1) after it.

        Raises
        ------
        EvaluationError
            The function raises, or returns something else than scores, or other categories than before.
        SoceError
            As `SoupModel.set`.
        """
        self.soup.set(recipe)
        self.soup.model.eval()  # type: ignore[no-untyped-call]
        if on_progress is not None:
            on_progress(0, 1)
        try:
            found = self._function(self.soup.model, self.soup.tokenizer)
        except SoceError:
            raise
        except Exception as error:
            _refuse(f"`{shown(self._name)}` raised {_told(error)}", None, error)
        if on_progress is not None:
            on_progress(1, 1)
        evaluation = self._evaluation(found)
        categories = tuple(evaluation.categories)
        if self._categories is not None and set(categories) != set(self._categories):
            other = sorted(set(categories) ^ set(self._categories))[0]
            self._refuse(f"scored category `{shown(other)}` for some soups only", None)
        self._categories = categories
        if evaluation.items is not None:
            self._items = {name: tuple(outcomes) for name, outcomes in evaluation.items.items()}
        return evaluation if items is None else evaluation.restricted(items)

    def close(self) -> None:
        """Let go of the model."""
        self.soup.close()

    def _evaluation(self, found: object) -> Evaluation:
        if isinstance(found, Evaluation):
            return found
        if not isinstance(found, Mapping):
            self._refuse(f"returned a value of type {type(found).__name__}")
        if not found:
            self._refuse("returned no categories")
        scores: dict[str, CategoryScore] = {}
        items: dict[str, dict[str, float]] = {}
        for category, held in found.items():
            if not isinstance(category, str):
                self._refuse(f"returned a category that is no text but {type(category).__name__}")
            place = f"category `{shown(category)}`"
            if not isinstance(held, Mapping):
                scores[category] = CategoryScore(self._number(held, place))
                continue
            if not held:
                self._refuse(f"returned {place} without items")
            items[category] = {}
            for item, outcome in held.items():
                if not isinstance(item, (str, int)):
                    self._refuse(f"returned an item in {place} that is no text but {type(item).__name__}")
                which = f"{place}, item `{shown(str(item))}`"
                number = self._number(outcome, which)
                if not 0 <= number <= 1:
                    self._refuse(f"returned {number} as {which}", "outcomes lie in 0 to 1; " + _CONTRACT)
                items[category][str(item)] = number
            scores[category] = CategoryScore.of(items[category].values())
        all_items = len(items) == len(scores)
        return Evaluation(scores, items or None, "unit" if all_items else None)

    def _number(self, value: object, place: str) -> float:
        """Return a number of Python, NumPy or torch as it is."""
        item = getattr(value, "item", None)
        if callable(item) and getattr(value, "ndim", 1) == 0:
            value = item()
        if not isinstance(value, Real):
            self._refuse(f"returned a value of type {type(value).__name__} as {place}")
        number = float(value)
        if not math.isfinite(number):
            self._refuse(f"returned {number} as {place}", "leave out what has no score")
        return number

    def _refuse(self, message: str, hint: str | None = _CONTRACT) -> NoReturn:
        refuse(f"`{shown(self._name)}` {message}", hint)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let modules be imported from a folder, after all installed ones."""
    added = str(folder)
    sys.path.append(added)
    try:
        yield
    finally:
        del sys.path[len(sys.path) - 1 - sys.path[::-1].index(added)]  # ours, not an equal one before it


def _is_within(module: str, name: str) -> bool:
    return module == name or module.startswith(f"{name}.")


def _digest_of(function: object) -> str | None:
    try:
        path = inspect.getsourcefile(inspect.unwrap(function))  # type: ignore[arg-type]
    except TypeError:  # an object with __call__
        path = inspect.getsourcefile(type(function))
    return (
        None
        if path is None or not Path(path).is_file()
        else hashlib.sha256(Path(path).read_bytes()).hexdigest()
    )


def _told(error: Exception) -> str:
    return shown(" ".join(f"{type(error).__name__}: {error}".split()))


def _refuse(message: str, hint: str | None, cause: Exception) -> NoReturn:
    raise EvaluationError.of([Problem("evaluation", None, None, message, hint)]) from cause
