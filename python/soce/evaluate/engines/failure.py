"""Errors as JSON: where one part of an engine must not raise, another does."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NoReturn

import soce.exceptions
from soce.evaluate.evaluation import refuse, told
from soce.exceptions import SoceError

if TYPE_CHECKING:
    from collections.abc import Mapping


def failure_to_json(error: BaseException) -> dict[str, Any]:
    """Return an error so that `raise_failure` raises it again elsewhere, of its class if that is soce's.

    Examples
    --------
    >>> from soce.exceptions import RecipeError
    >>> failure_to_json(RecipeError("nothing to mix"))["class"]
    'RecipeError'
    """
    if isinstance(error, SoceError):
        problems = [
            [one.kind, one.path, one.tensor, one.message, None if one.hint is None else str.__str__(one.hint)]
            for one in error.problems
        ]
        return {"class": type(error).__name__, "problems": problems}
    if isinstance(error, OSError) and error.errno is not None:
        told_path = None if error.filename is None else str(error.filename)
        return {"class": "OSError", "errno": error.errno, "text": error.strerror or "", "path": told_path}
    return {"class": None, "text": told(error) if isinstance(error, Exception) else repr(error)}


def raise_failure(failure: Mapping[str, Any], what: str) -> NoReturn:
    """Raise the error that was told; one of an unknown class as EvaluationError about `what`."""
    name = failure["class"]
    if name == "OSError":
        number = int(failure["errno"])
        raise OSError(number, failure["text"] or errno.errorcode.get(number, ""), failure["path"])
    known = getattr(soce.exceptions, name, None) if isinstance(name, str) else None
    if isinstance(known, type) and issubclass(known, SoceError):
        raise known.of(soce.exceptions.Problem(*problem) for problem in failure["problems"])
    refuse(f"{what} failed: {failure.get('text', name)}")
