"""The part of every executor that asks other processes: what goes there, what is done there, what comes back.

The process that searches makes an `Order` of each job; whatever brings it to another process gives it to the
`Replica` there, and brings back what `Replica.answer` returns, for `settled` to make sense of. An order says
all that is needed: a process that has just taken the place of one that died asks nobody.
"""

from __future__ import annotations

import hashlib
import pickle
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.described import DescribedEvaluator, EvaluatorDescription
from soce.evaluate.evaluation import refuse, told
from soce.evaluate.options import is_url
from soce.exceptions import CheckpointError, EngineLostError, SoceError, shown
from soce.files.words import counted
from soce.search.executors.executor import EvaluationDone
from soce.search.identity import differences, ingredient_identities

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from soce.evaluate.evaluation import Evaluator, OnProgress
    from soce.evaluate.live.model import LiveModel
    from soce.recipes.model import Recipe
    from soce.search.executors.executor import EvaluationJob

ATTEMPTS: Final = 3
"""Replicas that may die of one job before it ends the search."""


@dataclass(frozen=True, slots=True)
class Order:
    """A job as it goes to another process; it can be pickled."""

    ticket: int
    evaluator: bytes
    """The description of the evaluator, or the evaluator itself if it is a user's own, pickled."""
    identity: Mapping[str, object]
    """What the evaluator says that it is."""
    ingredients: Mapping[str, Mapping[str, object]]
    """Path of every ingredient → what is there, by content."""
    recipe: Recipe
    items: Mapping[str, Sequence[str]] | None


@dataclass(frozen=True, slots=True)
class EvaluationFailed:
    """What came of a job if it was no evaluation; it can be pickled."""

    ticket: int
    error: Exception
    trace: str
    """Where it was raised."""
    is_lost: bool
    """Whether the replica is of no use any more, such as one whose engine died: another may do the job."""


class Orders:
    """Makes orders of jobs, where the search is."""

    def __init__(self) -> None:
        self._parcels: dict[int, tuple[Evaluator, bytes]] = {}
        self._ingredients: dict[str, Mapping[str, object]] = {}

    def of(self, job: EvaluationJob) -> Order:
        """Return the order of a job; raises EvaluationError if the evaluator cannot go to another process."""
        if id(job.evaluator) not in self._parcels:
            self._parcels[id(job.evaluator)] = job.evaluator, _parcel(job.evaluator)
        paths = {ingredient.path for ingredient in job.recipe.ingredients}
        if isinstance(job.evaluator, DescribedEvaluator):
            paths.update(job.evaluator.description.ingredients)
        new = {path: path for path in sorted(paths - self._ingredients.keys())}
        self._ingredients.update(ingredient_identities(new) if new else {})
        return Order(
            job.ticket,
            self._parcels[id(job.evaluator)][1],
            dict(job.evaluator.identity),
            {path: self._ingredients[path] for path in sorted(paths)},
            job.recipe,
            None if job.items is None else {name: tuple(ids) for name, ids in job.items.items()},
        )


def _parcel(evaluator: Evaluator) -> bytes:
    if isinstance(evaluator, DescribedEvaluator):
        engine = evaluator.description.options.engine
        if engine is not None and is_url(engine):
            message = "the server at a URL holds one soup at a time, and cannot be shared by replicas"
            refuse(message, "let each start an engine of its own, by its name, or score `inline`")
        return pickle.dumps(evaluator.description)
    name = type(evaluator).__name__
    if getattr(evaluator, "soup", None) is not None:
        message = f"the `{shown(name)}` has its model in this process, and cannot go to another one"
        refuse(message, "describe it with `soce.evaluate.described.describe_evaluator`, functions by name")
    try:
        return pickle.dumps(evaluator)
    except Exception as error:
        message = f"the `{shown(name)}` cannot go to another process: {told(error)}"
        hint = "let it be pickled, or name a function `module:function`, or score with `executor` inline"
        refuse(message, hint, cause=error)


def settled(answer: EvaluationDone | EvaluationFailed) -> EvaluationDone:
    """Return what came of a job, or raise what was raised there, with where that was."""
    if isinstance(answer, EvaluationDone):
        return answer
    if not isinstance(answer.error, (SoceError, OSError)):  # who looks for a bug wants its place
        answer.error.add_note(f"in another process:\n{answer.trace}")
    raise answer.error


def refuse_start(replica: str, why: str) -> NoReturn:
    """Refuse to search with a replica that ended before it said anything, or says nothing."""
    refuse(f"{replica} does not come up: it {why}")


def refuse_lost(replica: str, why: str) -> NoReturn:
    """Refuse to give a job to one more replica, after so many have died of it."""
    message = f"{ATTEMPTS} replicas died of one soup, one after the other; {replica} {why}"
    refuse(message, "what was scored is kept; too little memory is a usual reason")


def silent(seconds: float) -> str:
    """Return why a replica is ended that works on a soup and says nothing."""
    return f"gave no word of its soup for {counted(seconds, 'second')} and was ended"


@dataclass(slots=True)
class Replica:
    """Opens evaluators by their descriptions, and scores orders, in the process that it is made in.

    Before the first evaluation it sees to it that the ingredients here are those of the search by content,
    and the evaluator one of the same identity. Evaluators of one model share it; of two models that do not,
    one is in memory at a time.

    Parameters
    ----------
    name : str
        What messages call it: ``replica 2 of processes:4``, say.
    """

    name: str
    _opened: dict[str, Evaluator] = field(default_factory=dict, init=False)
    """Digest of what was sent → the evaluator."""
    _described: EvaluatorDescription | None = field(default=None, init=False)
    """Whose ingredients and options the open evaluators have."""
    _seen: dict[str, Mapping[str, object]] = field(default_factory=dict, init=False)
    """Path → the ingredient that is there."""

    def answer(
        self, order: Order, *, on_progress: OnProgress | None = None
    ) -> EvaluationDone | EvaluationFailed:
        """Score an order, and return what came of it in any case."""
        try:
            evaluator = self._evaluator(order)
            began = time.monotonic()
            evaluation = evaluator.score(order.recipe, items=order.items, on_progress=on_progress)
            return EvaluationDone(order.ticket, evaluation, time.monotonic() - began)
        except Exception as error:
            is_lost = isinstance(error, EngineLostError)
            return EvaluationFailed(order.ticket, _portable(error), traceback.format_exc(), is_lost)

    def close(self) -> None:
        """Close all evaluators."""
        opened, self._opened, self._described = self._opened, {}, None
        for evaluator in reversed(opened.values()):
            evaluator.close()

    def _evaluator(self, order: Order) -> Evaluator:
        for path, expected in order.ingredients.items():
            self._check_ingredient(path, expected)
        digest = hashlib.sha256(order.evaluator).hexdigest()
        if digest not in self._opened:
            evaluator = self._open(order.evaluator)
            try:
                changes = differences(dict(order.identity), dict(evaluator.identity))
                if changes:
                    refuse(
                        f"{self.name} has another evaluator than the search: {'; '.join(changes[:8])}",
                        "every replica needs the same tasks, versions and kind of device as the search",
                    )
            except BaseException:
                evaluator.close()
                raise
            self._opened[digest] = evaluator
        return self._opened[digest]

    def _open(self, content: bytes) -> Evaluator:
        try:
            carried: Any = pickle.loads(content)
        except Exception as error:
            message = f"{self.name} cannot make the evaluator: {told(error)}"
            refuse(message, "define it in a module that can be imported there", cause=error)
        if not isinstance(carried, EvaluatorDescription):
            return carried  # type: ignore[no-any-return]
        before = self._described
        if before is None or (before.ingredients, before.options) != (carried.ingredients, carried.options):
            self.close()
        self._described = carried
        models = (getattr(one, "soup", None) for one in self._opened.values())
        model: LiveModel | None = next((one for one in models if one is not None), None)
        return carried.open(model)

    def _check_ingredient(self, path: str, expected: Mapping[str, object]) -> None:
        if self._seen.get(path) == expected:
            return
        try:
            found = ingredient_identities({path: path})[path]
        except (OSError, CheckpointError) as error:
            message = f"{self.name} does not see the ingredient: {told(error)}"
            hint = "every replica needs it under the same path, on a shared file system for instance"
            refuse(message, hint, path, cause=error)
        changed = differences(expected, found)
        if changed:
            files = ", ".join(one.partition(":")[0].partition(", ")[2] for one in changed[:3])
            message = f"{self.name} has another version of the ingredient: {files} differ by content"
            refuse(message, "copy the one of the search there", path)
        self._seen[path] = found


def _portable(error: Exception) -> Exception:
    """Return an exception that another process can make again, the same one if it can."""
    with suppress(Exception):  # of many kinds, and all that counts is that it cannot
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    try:
        refuse(told(error))
    except SoceError as another:
        return another
