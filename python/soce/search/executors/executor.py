"""What a search asks of whatever evaluates its soups, one at a time or several at once, here or elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self, TypeAlias

    from soce.evaluate.evaluation import Evaluation, Evaluator
    from soce.recipes.model import Recipe

    OnItems: TypeAlias = "Callable[[int, int, int], object]"
    """Called with a ticket, the items of it that are done and all of them, on the caller's thread."""


@dataclass(frozen=True, slots=True)
class EvaluationJob:
    """A soup that is to be scored."""

    ticket: int
    """No two jobs of one process have the same."""
    evaluator: Evaluator
    recipe: Recipe
    items: Mapping[str, Sequence[str]] | None
    """Category → ids; None asks for all."""


@dataclass(frozen=True, slots=True)
class EvaluationDone:
    """What came of a job."""

    ticket: int
    evaluation: Evaluation
    seconds: float
    """What the evaluation took, where it was made, without the loading of models."""


class Executor(ABC):
    """Evaluates jobs, at most `capacity` at once, each exactly once; knows no search and no store.

    One that asks other processes gives a job of a process that died to another one, so that whoever asks sees
    nothing of it. It may start them with the first job, and is used by one thread. As a context manager it
    closes itself.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """What users call it, such as ``processes:2``."""

    @property
    @abstractmethod
    def capacity(self) -> int:
        """Jobs that are worked on at once; at least 1. It may change while processes come and go."""

    @abstractmethod
    def submit(self, job: EvaluationJob) -> None:
        """Take a job; the caller keeps to `capacity`.

        Raises EvaluationError if its evaluator cannot be described to another process.
        """

    @abstractmethod
    def next(self, timeout: float | None = None, *, on_items: OnItems | None = None) -> EvaluationDone | None:
        """Wait for a job, and return what came of it; None after so many seconds, or if there is no job.

        `on_items` is called meanwhile. Raises what the evaluator raised, once, and what ends the search: a
        process that never comes up, or that dies of one job again and again. Whatever is raised here, also
        from `on_items`, leaves the other jobs where they are: `cancel` forgets them.
        """

    @abstractmethod
    def cancel(self) -> None:
        """Forget all jobs: nothing is told of them any more, and those that were not begun are not."""

    @abstractmethod
    def close(self) -> None:
        """End everything that it started, also in the middle of an evaluation; nothing is left running."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close itself."""
        self.close()
