"""What was refused, as JSON between a server and its clients: the same exception arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.evaluation import told
from soce.exceptions import (
    CheckpointError,
    EngineLostError,
    EvaluationError,
    IncompatibleError,
    Problem,
    RecipeError,
    SoceError,
    UnsupportedDtypeError,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLASSES: Final[Mapping[str, type[SoceError]]] = {
    kind.__name__: kind
    for kind in (
        CheckpointError,
        EngineLostError,
        EvaluationError,
        IncompatibleError,
        RecipeError,
        UnsupportedDtypeError,
    )
}


def refusal_to_json(error: Exception, status: int) -> dict[str, Any]:
    """Return the answer to a request that is refused, in the shape that clients of OpenAI's API read.

    Examples
    --------
    >>> refusal_to_json(RecipeError("no"), 400)["error"]["message"]
    'no'
    """
    name = type(error).__name__
    problems = error.problems if isinstance(error, SoceError) else ()
    content = {
        "message": str(error) if problems else told(error),
        "type": name if name in _CLASSES else "EvaluationError",
        "param": None,
        "code": status,
        "problems": [[one.kind, one.path, one.tensor, one.message, one.hint] for one in problems],
    }
    return {"error": content}


def refusal_of(answer: object, status: int, route: str) -> SoceError:
    """Return the exception that an answer of some server is about, whatever it looks like.

    Examples
    --------
    >>> refusal_of({"error": {"message": "too long"}}, 400, "/v1/completions")
    EvaluationError('`/v1/completions` was refused with status 400: too long', None, None, ...)
    """
    content = answer.get("error", answer) if isinstance(answer, dict) else answer
    if isinstance(content, dict) and content.get("problems"):
        try:
            problems = [Problem(*map(_text, one)) for one in content["problems"]]  # type: ignore[arg-type]
            return _CLASSES.get(str(content.get("type")), EvaluationError).of(problems)
        except (TypeError, ValueError):
            pass
    message = content.get("message", content) if isinstance(content, dict) else content
    text = shown(" ".join(str(message).split()), limit=2_000) or "nothing more is said"
    place = f"`{shown(route)}` was refused with status {status}"
    return EvaluationError.of([Problem("evaluation", None, None, f"{place}: {text}", None)])


def _text(value: object) -> str | None:
    return None if value is None else shown(str(value), limit=2_000)
