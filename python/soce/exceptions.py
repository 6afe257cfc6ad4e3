"""The exception tree. Imports nothing of soce: the Rust core reaches these classes by name."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_HIDDEN_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_OPTION = re.compile(r"`--(?P<no>no-)?(?P<name>[a-z][a-z-]*)(?:[ =](?P<value>[^`]+))?`")
_NAMES = {
    "aggregate": "aggregates",
    "code": "copy_code",
    "evaluator-format": "format",
    "evaluator-metric": "metric",
    "evaluator-scores": "scores",
    "keep-row": "keep_rows",
}
_LISTS = frozenset({"columns", "drop", "keep_rows", "leave_out", "lower_is_better", "higher_is_better"})
_SWITCHES = frozenset(
    {
        "allow_different_configs",
        "allow_different_tokenizers",
        "copy_code",
        "differences",
        "follow_links",
        "ignore_unreferenced",
        "overwrite",
        "private",
        "require_same_mask",
        "restart",
        "transpose",
    }
)


def shown(text: str, *, limit: int = 200) -> str:
    r"""Return `text` made safe for a terminal, a log or a message.

    Control, bidirectional, zero-width and line-separating characters and unpaired surrogates are written as
    ``\u{..}``; what follows the first `limit` characters is replaced by its count.

    Examples
    --------
    >>> print(shown("a" + chr(27) + "[2Jb"))
    a\u{1b}[2Jb
    """
    kept = "".join(
        f"\\u{{{ord(c):x}}}" if unicodedata.category(c) in _HIDDEN_CATEGORIES else c for c in text[:limit]
    )
    rest = len(text) - limit
    return f"{kept}... ({rest} more character{'' if rest == 1 else 's'})" if rest > 0 else kept


def with_python_names(text: str) -> str:
    """Return a message with the options in it called as in Python: it was written for the command line.

    Examples
    --------
    >>> with_python_names(
    ...     "name them with `--columns`, or `--no-transpose`, `--format wide`, `--max-experts 3`"
    ... )
    'name them with `columns=`, or `transpose=False`, `format="wide"`, `max_experts=3`'
    """
    return _OPTION.sub(_as_argument, text)


class Hint(str):
    """What can be done, as a note on an exception; its text is written for the command line."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return what tracebacks show; options are named as in Python."""
        return with_python_names(super().__str__())


def _as_argument(option: re.Match[str]) -> str:
    name = _NAMES.get(option["name"], option["name"].replace("-", "_"))
    value = option["value"] or ""
    if name in _SWITCHES:
        value = str(option["no"] is None)
    elif value.isupper() or not set(value).isdisjoint("=,"):  # a placeholder, or what takes other forms
        value = ""
    elif value and not value.isdecimal():
        value = f'["{value}"]' if name in _LISTS else f'"{value}"'
    return f"`{name}={value}`"


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason for a refusal: where, what, and how to mend it."""

    kind: str
    """``checkpoint``, ``incompatible``, ``unsupported_dtype``, ``recipe``, ``output``, ``scores``,
    ``evaluation``, ``study`` or ``experiment``; of `soce.verify`, what was looked at."""
    path: str | None
    """The file or directory concerned."""
    tensor: str | None
    """The tensor concerned."""
    message: str
    """One sentence without full stop; names from files are already escaped."""
    hint: str | None
    """What the user can do about it; options are named as on the command line."""

    def __str__(self) -> str:
        """Return the place and the message, without the hint."""
        path = f"`{shown(self.path)}`: " if self.path is not None else ""
        tensor = f"tensor `{shown(self.tensor)}`: " if self.tensor is not None else ""
        return f"{path}{tensor}{self.message}"


class SoceError(Exception):
    """Base of everything soce refuses; system failures stay `OSError`.

    Parameters
    ----------
    message : str
        The whole text, one line per problem and hint.
    path, tensor : str, optional
        The file or directory, and the tensor, of the first problem.
    problems : iterable of Problem or of (kind, path, tensor, message, hint)
        Everything that was found wrong; as an attribute a tuple. Empty: the message is the one problem.
    """

    kind = "soce"

    def __init__(
        self,
        message: str,
        path: str | None = None,
        tensor: str | None = None,
        problems: Iterable[Problem | tuple[str, str | None, str | None, str, str | None]] = (),
    ) -> None:
        found = tuple(p if isinstance(p, Problem) else Problem(*p) for p in problems)
        self.problems = found or (Problem(self.kind, path, tensor, message, None),)
        self.path = path
        self.tensor = tensor
        super().__init__(message, path, tensor, self.problems)

    def __str__(self) -> str:
        """Return the message; options are named as in Python."""
        return with_python_names(str(self.args[0]))

    @classmethod
    def of(cls, problems: Iterable[Problem]) -> SoceError:
        """Return one exception for all of `problems`, which must not be empty."""
        found = tuple(problems)
        lines: list[str] = []
        for hint, alike in groupby(found, key=lambda problem: problem.hint):
            lines += map(str, alike)
            if hint is not None:
                lines.append(f"hint: {hint}")
        return cls("\n".join(lines), found[0].path, found[0].tensor, found)


class CheckpointError(SoceError, ValueError):
    """An ingredient's files are malformed, incomplete or changed."""

    kind = "checkpoint"


class IncompatibleError(SoceError, ValueError):
    """The ingredients cannot be averaged with each other."""

    kind = "incompatible"


class UnsupportedDtypeError(SoceError, TypeError):
    """A tensor's dtype cannot be averaged."""

    kind = "unsupported_dtype"


class RecipeError(SoceError, ValueError):
    """The recipe (weights, patterns, options) makes no sense."""

    kind = "recipe"


class OutputError(SoceError, ValueError):
    """The output cannot be put where it was asked for."""

    kind = "output"


class ScoreTableError(SoceError, ValueError):
    """A score file cannot be read, or its table does not allow what was asked of it."""

    kind = "scores"


class EvaluationError(SoceError, RuntimeError):
    """A soup cannot be scored: the tasks, the model or the evaluator failed."""

    kind = "evaluation"


class EngineLostError(EvaluationError):
    """A serving engine does not answer any more, or nobody knows what it holds: it must be started again."""

    kind = "engine"


class StudyError(SoceError, RuntimeError):
    """A study cannot be opened, continued or trusted."""

    kind = "study"


class ExperimentError(SoceError, ValueError):
    """The file of an experiment says what nobody can mean."""

    kind = "experiment"
