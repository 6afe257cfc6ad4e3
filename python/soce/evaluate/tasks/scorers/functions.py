"""Scorers of users: functions of Python."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, SupportsFloat

from soce.evaluate.evaluation import refuse, told
from soce.evaluate.named import find_named, source_of
from soce.evaluate.tasks.item import AnswerScorer
from soce.exceptions import SoceError, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from soce.evaluate.answers import Answer
    from soce.evaluate.tasks.item import Item


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionScorer(AnswerScorer):
    """The outcome is what ``function(answer, item)`` returns: a number from 0 to 1, or a truth value.

    It is given the `Answer` and the `Item`, whose `meta` is what stands in its line. The file that it is in
    and the ``__version__`` of its module are part of its identity; what it imports is not.
    """

    name: ClassVar[str] = "function"
    needs_answer: ClassVar[bool] = False
    function: str
    """``module:function``, installed or in the current directory."""

    def __post_init__(self) -> None:
        """Raise ValueError if there is no such function."""
        if self.after is not None:
            message = "a function is given the whole answer: it has no `after`"
            raise ValueError(message)
        try:
            inspect.signature(self._found).bind("answer", "item")
        except SoceError as error:
            raise ValueError(str(error)) from error
        except TypeError:
            message = f"`{shown(self.function)}` cannot be called as function(answer, item)"
            raise ValueError(message) from None
        except ValueError:  # written in C: it does not say
            pass

    @property
    def _found(self) -> Callable[..., Any]:
        found: Callable[..., Any] = find_named(self.function, example="my_scorers:is_right")
        return found

    def score(self, item: Item, answer: Answer) -> float:
        """Return what the function does."""
        place = f"category `{shown(item.category)}`, item `{shown(item.id)}`: `{shown(self.function)}`"
        try:
            found = self._found(answer, item)
        except SoceError:
            raise
        except Exception as error:
            refuse(f"{place} raised {told(error)}", cause=error)
        if isinstance(found, str) or not isinstance(found, SupportsFloat):
            refuse(f"{place} returned a value of type {type(found).__name__}", "return a number from 0 to 1")
        outcome = float(found)
        if math.isnan(outcome) or not 0 <= outcome <= 1:
            refuse(f"{place} returned {outcome}", "return a number from 0 to 1")
        return outcome

    @property
    def identity(self) -> dict[str, object]:
        """All that an outcome depends on, as far as it can be known."""
        return {"name": self.name, "after": self.after, "function": self.function, **source_of(self._found)}
