"""Optuna, which only a search needs: that it is there, and that it is quiet."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from soce.exceptions import shown
from soce.files.extras import install
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator


def require_optuna() -> None:
    """Raise `StudyError` if Optuna is missing."""
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        message = f"a search needs Optuna, which cannot be imported: {shown(str(error))}"
        hint = install("search")
        refuse(message, hint, cause=error)


@contextmanager
def quiet_optuna() -> Iterator[Any]:
    """Give the module Optuna; what it tells belongs to nobody's terminal, its errors are raised anyway."""
    require_optuna()
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # experimental parts; torch's own deprecations
            yield optuna
    finally:
        optuna.logging.set_verbosity(before)
