"""Every exception keeps its type, text, places and problems, through pickle too."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from soce import exceptions
from soce.exceptions import Problem, SoceError, shown

CLASSES = [
    (exceptions.CheckpointError, ValueError, "checkpoint"),
    (exceptions.IncompatibleError, ValueError, "incompatible"),
    (exceptions.UnsupportedDtypeError, TypeError, "unsupported_dtype"),
    (exceptions.RecipeError, ValueError, "recipe"),
    (exceptions.OutputError, ValueError, "output"),
    (exceptions.ScoreTableError, ValueError, "scores"),
    (exceptions.EvaluationError, RuntimeError, "evaluation"),
    (exceptions.EngineLostError, RuntimeError, "engine"),
    (exceptions.StudyError, RuntimeError, "study"),
]


@pytest.mark.parametrize(("cls", "builtin", "kind"), CLASSES)
def test_built_as_the_core_builds_it_and_pickled(cls: type[SoceError], builtin: type, kind: str) -> None:
    problems = ((kind, "a/b.safetensors", "w", "is bad", "mend it"), (kind, None, None, "worse", None))
    error = cls("the message", "a/b.safetensors", "w", problems)
    for e in (error, pickle.loads(pickle.dumps(error))):
        assert type(e) is cls
        assert isinstance(e, SoceError)
        assert isinstance(e, builtin)
        assert str(e) == "the message"
        assert (e.path, e.tensor) == ("a/b.safetensors", "w")
        assert e.problems == (
            Problem(kind, "a/b.safetensors", "w", "is bad", "mend it"),
            Problem(kind, None, None, "worse", None),
        )


def test_a_bare_message_is_the_one_problem() -> None:
    error = exceptions.OutputError("exists", "soup")
    assert error.problems == (Problem("output", "soup", None, "exists", None),)


def test_a_hint_shared_by_neighbours_is_said_once() -> None:
    error = SoceError.of(Problem("recipe", p, None, "m", "do it") for p in ("a", "b"))
    assert str(error) == "`a`: m\n`b`: m\nhint: do it"


def test_names_are_made_safe_to_show() -> None:
    assert shown("x\u202ey\n\x7f\x9b\udc80") == "x\\u{202e}y\\u{a}\\u{7f}\\u{9b}\\u{dc80}"
    assert shown("a" * 1000) == "a" * 200 + "... (800 more characters)"
    assert str(Problem("recipe", "a\x1b", "t\u200b", "m", None)) == "`a\\u{1b}`: tensor `t\\u{200b}`: m"


def test_importing_soce_is_light() -> None:
    heavy = ["torch", "pandas", "matplotlib", "click", "numpy", "yaml", "rich", "transformers"]
    code = f"import sys, soce; print([m for m in {heavy!r} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_public_names_are_not_shadowed_by_modules() -> None:
    import soce.merging.merge

    assert callable(soce.merge)
    assert callable(soce.plan)
    assert "merge" in dir(soce)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = soce.nonsense
