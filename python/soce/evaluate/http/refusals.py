"""Errors as JSON between processes, a server and its clients too: the same exception arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import soce.exceptions
from soce.evaluate.evaluation import told
from soce.exceptions import EvaluationError, Problem, SoceError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLASSES: Final[Mapping[str, type[SoceError]]] = {
    name: kind
    for name, kind in vars(soce.exceptions).items()
    if isinstance(kind, type) and issubclass(kind, SoceError)
}


def error_to_json(error: BaseException) -> dict[str, Any]:
    """Return an error so that `error_of` makes it again: of its class if that is soce's, or of its base.

    Examples
    --------
    >>> from soce.exceptions import RecipeError
    >>> error_to_json(RecipeError("nothing to mix"))["type"]
    'RecipeError'
    >>> error_to_json(ZeroDivisionError("a / 0"))["message"]
    'ZeroDivisionError: a / 0'
    """
    if isinstance(error, SoceError):
        name = next(kind.__name__ for kind in type(error).__mro__ if kind.__name__ in _CLASSES)
        # Some hints are no plain texts, which not every program that passes them on can write.
        problems = [
            [one.kind, one.path, one.tensor, one.message, None if one.hint is None else str.__str__(one.hint)]
            for one in error.problems
        ]
        return {"message": str(error), "type": name, "problems": problems}
    text = told(error) if isinstance(error, Exception) else type(error).__name__
    return {"message": text, "type": EvaluationError.__name__, "problems": []}


def error_of(content: object, place: str) -> SoceError:
    """Return the exception that JSON of `error_to_json`, or of anybody, tells of.

    `place` begins the message of one that is not soce's, such as "mixing a soup failed".

    Examples
    --------
    >>> error_of({"message": "no memory"}, "mixing a soup failed").problems[0].message
    'mixing a soup failed: no memory'
    """
    if isinstance(content, dict) and content.get("problems"):
        try:
            problems = [Problem(*map(_text, one)) for one in content["problems"]]  # type: ignore[arg-type]
            return _CLASSES.get(str(content.get("type")), EvaluationError).of(problems)
        except (TypeError, ValueError):
            pass
    message = content.get("message", content) if isinstance(content, dict) else content
    text = shown(" ".join(str(message).split()), limit=2_000) or "nothing more is said"
    return EvaluationError.of([Problem("evaluation", None, None, f"{place}: {text}", None)])


def refusal_to_json(error: Exception, status: int) -> dict[str, Any]:
    """Return the answer to a request that is refused, in the shape that clients of OpenAI's API read."""
    return {"error": {**error_to_json(error), "param": None, "code": status}}


def refusal_of(answer: object, status: int, route: str) -> SoceError:
    """Return the exception that an answer of some server is about, whatever it looks like.

    Examples
    --------
    >>> refusal_of({"error": {"message": "too long"}}, 400, "/v1/completions")
    EvaluationError('`/v1/completions` was refused with status 400: too long', None, None, ...)
    """
    content = answer.get("error", answer) if isinstance(answer, dict) else answer
    return error_of(content, f"`{shown(route)}` was refused with status {status}")


def _text(value: object) -> str | None:
    return None if value is None else shown(str(value), limit=2_000)
