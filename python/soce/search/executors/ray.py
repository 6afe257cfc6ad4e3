"""Evaluates on the nodes of a Ray cluster: each replica is an actor, which Ray starts again when it dies."""

from __future__ import annotations

import logging
import math
import pickle
import time
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from soce.evaluate.evaluation import told
from soce.exceptions import shown
from soce.files.words import counted
from soce.search.executors.executor import EvaluationDone, Executor
from soce.search.executors.ray_actor import actor_class
from soce.search.executors.ray_cluster import RayCluster
from soce.search.executors.replica import ATTEMPTS, Orders, refuse_lost, settled, silent
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from soce.search.executors.executor import EvaluationJob, OnItems
    from soce.search.executors.replica import EvaluationFailed, Order

_log = logging.getLogger(__name__)
_BESIDE: Final = "beside"
_POLL_SECONDS: Final = 0.5
_REST_SECONDS: Final = 2.0
"""After which a replica that died, or whose node did, is greeted again: Ray starts it elsewhere meanwhile."""
_LAST_SECONDS: Final = 5.0
"""What an evaluation that nobody wants has to stop by itself, and an evaluator to let go of its model."""


@dataclass(slots=True, eq=False)
class _Replica:
    """An actor and what it does."""

    name: str
    actor: Any
    state: Literal["away", "greeted", "idle", "working"] = "away"
    """Away is also whatever has not come up yet."""
    since: float = float("-inf")
    """When it went away, was given its order, or was last found to have come on with that."""
    was_up: bool = False
    answer: Any = None
    """What Ray will have of it, while it is greeted or at work."""
    order: Order | None = None
    progress: Any = None
    """What Ray will have of its progress, if that was asked for."""
    asked: float = 0.0
    """When that was."""
    told: tuple[int, int, int] | None = None
    """What it said last."""
    trouble: str = ""
    """Why it went away."""

    def leave(self, trouble: str) -> None:
        """Be away from now on."""
        self.state, self.since, self.trouble = "away", time.monotonic(), trouble
        self.order = self.answer = self.progress = None

    def beside(self, method: Any, *words: object) -> Any:  # noqa: ANN401
        """Call a method that runs beside an evaluation; return what Ray will have of it."""
        return method.options(concurrency_group=_BESIDE).remote(*words)


class RayExecutor(Executor):
    """Evaluates in replicas that are actors of Ray.

    Each job goes to one replica at a time. One that dies, alone or with its node, gives its job back for
    another to do, and takes part again once Ray has started it anew. The process that searches must be on a
    machine of the cluster.

    Parameters
    ----------
    count : int, optional
        Replicas; otherwise as many as the cluster has GPUs for, or CPUs if it has no GPU.
    address : str, optional
        See `RayCluster`.
    start_seconds : float
        How long a replica may take to be given devices and a process; later, how long all may be away.
    timeout_seconds : float, optional
        See `ProcessExecutor`.
    """

    def __init__(
        self,
        count: int | None = None,
        *,
        address: str | None = None,
        start_seconds: float = 600,
        timeout_seconds: float | None = None,
    ) -> None:
        self._count = count
        self._address = address
        self._start_seconds = start_seconds
        self._timeout_seconds = math.inf if timeout_seconds is None else timeout_seconds
        self._cluster: RayCluster | None = None
        self._replicas: list[_Replica] = []
        self._began = 0.0
        self._orders = Orders()
        self._todo: deque[Order] = deque()
        self._deaths: Counter[int] = Counter()
        self._forgotten: set[int] = set()

    @property
    def name(self) -> str:
        """What users call it."""
        return "ray" if self._count is None else f"ray:{self._count}"

    @property
    def capacity(self) -> int:
        """The number of replicas; before they are chosen, as many as were asked for."""
        return len(self._replicas) or self._count or 1

    def submit(self, job: EvaluationJob) -> None:
        """Take a job; the first one starts the replicas."""
        order = self._orders.of(job)
        if self._cluster is None:
            self._start(job)
        self._todo.append(order)

    def next(self, timeout: float | None = None, *, on_items: OnItems | None = None) -> EvaluationDone | None:
        """Wait for a job, and return what came of it."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        while self._todo or any(self._is_wanted(replica) for replica in self._replicas):
            self._greet()
            self._hand_out()
            if (done := self._listen(max(0.0, min(_POLL_SECONDS, until - time.monotonic())))) is not None:
                return done
            self._check_away()
            self._follow(on_items)
            if time.monotonic() >= until:
                break
        return None

    def cancel(self) -> None:
        """Forget all jobs; an evaluation that was begun ends with its next item."""
        self._todo.clear()
        for replica in filter(self._is_wanted, self._replicas):
            assert replica.order is not None
            self._forgotten.add(replica.order.ticket)
            replica.beside(replica.actor.stop, replica.order.ticket)

    def close(self) -> None:
        """End all replicas; a cluster that was begun for them ends as well."""
        cluster, self._cluster = self._cluster, None
        if cluster is None:
            return
        try:
            with suppress(Exception):  # whoever does not end by itself is ended
                self.cancel()
                here = [replica for replica in self._replicas if replica.state in {"idle", "working"}]
                last = [replica.actor.close.remote() for replica in here]  # which comes after what it does
                cluster.ray.wait(last, num_returns=len(last), timeout=_LAST_SECONDS)
            for replica in self._replicas:
                with suppress(Exception):
                    cluster.ray.kill(replica.actor)
        finally:
            self._replicas = []
            cluster.close()

    def _start(self, job: EvaluationJob) -> None:
        self._cluster = cluster = RayCluster(self._address)
        try:
            count, needs = cluster.choose(self._count, job.evaluator)
            actor = cluster.ray.remote(
                max_restarts=-1,
                max_task_retries=0,  # what died of which job is counted here
                concurrency_groups={_BESIDE: 1},
                scheduling_strategy="SPREAD",
                **needs,
            )(actor_class())
            names = [f"replica {number} of {count}" for number in range(1, count + 1)]
            self._replicas = [_Replica(name, actor.remote(name, str(Path.cwd()))) for name in names]
            self._began = time.monotonic()
        except BaseException:
            self.close()
            raise

    def _is_wanted(self, replica: _Replica) -> bool:
        return replica.order is not None and replica.order.ticket not in self._forgotten

    def _greet(self) -> None:
        """Greet replicas that are new, and those that were away long enough to be back perhaps."""
        import soce

        for replica in self._replicas:
            if replica.state == "away" and time.monotonic() >= replica.since + _REST_SECONDS:
                replica.state = "greeted"
                replica.answer = replica.actor.greet.remote(soce.__version__)

    def _hand_out(self) -> None:
        for replica in self._replicas:
            if self._todo and replica.state == "idle":
                replica.state, replica.order = "working", self._todo.popleft()
                replica.since, replica.told = time.monotonic(), None
                replica.answer = replica.actor.answer.remote(pickle.dumps(replica.order))

    def _listen(self, seconds: float) -> EvaluationDone | None:
        """Take what a replica says within so many seconds; return what came of a job, if it is that."""
        assert self._cluster is not None
        ray = self._cluster.ray
        waiting = {replica.answer: replica for replica in self._replicas if replica.answer is not None}
        if not waiting:
            time.sleep(seconds)
            return None
        ready, _ = ray.wait([*waiting], timeout=seconds)
        if not ready:
            return None
        replica = waiting[ready[0]]
        try:
            said = ray.get(ready[0])
        except ray.exceptions.RayTaskError as error:
            self._put_back(replica, told(error.cause))
            refuse(f"{replica.name} failed: {replica.trouble}", cause=error)
        except ray.exceptions.RayError as error:  # the process died, or its node, or what it said was lost
            self._bury(replica, told(error))
            return None
        if replica.state == "greeted":
            self._meet(replica, said)
            return None
        return self._settle(replica, said)

    def _meet(self, replica: _Replica, problem: str | None) -> None:
        """Take a replica among those that are at work, unless its node is of no use."""
        if problem is not None:
            replica.leave(problem)
            refuse(shown(problem), "install the soce of the search on every node, where its Ray is")
        replica.state, replica.answer, replica.was_up = "idle", None, True

    def _settle(self, replica: _Replica, said: bytes) -> EvaluationDone | None:
        """Return what came of the job of a replica, or raise it; nothing if nobody waits for it."""
        if not said:  # it died between two jobs, and this is a new process
            self._put_back(replica, "it was started again")
            return None
        answer: EvaluationDone | EvaluationFailed = pickle.loads(said)
        if not isinstance(answer, EvaluationDone) and answer.is_lost:
            assert self._cluster is not None
            self._cluster.ray.kill(replica.actor, no_restart=False)
            self._bury(replica, told(answer.error))
            return None
        is_wanted = self._is_wanted(replica)
        replica.state, replica.order, replica.answer = "idle", None, None
        self._deaths.pop(answer.ticket, None)
        self._forgotten.discard(answer.ticket)
        return settled(answer) if is_wanted else None

    def _bury(self, replica: _Replica, trouble: str) -> None:
        """Take note of a death; refuse a job that several replicas died of."""
        order = replica.order if self._is_wanted(replica) else None
        self._put_back(replica, trouble)
        if order is None:
            return
        self._deaths[order.ticket] += 1
        if self._deaths[order.ticket] >= ATTEMPTS:
            self._todo.remove(order)
            refuse_lost(replica.name, f"died last: {trouble}")
        _log.warning("%s died: %s; another does its soup again", replica.name, trouble)

    def _put_back(self, replica: _Replica, trouble: str) -> None:
        """Let a replica be away, and its job be the next of another one."""
        if replica.order is not None:
            if self._is_wanted(replica):
                self._todo.appendleft(replica.order)
            self._forgotten.discard(replica.order.ticket)
        replica.leave(trouble)

    def _check_away(self) -> None:
        """Refuse to wait longer for replicas that never came up, or after all went away."""
        assert self._cluster is not None
        now = time.monotonic()
        new = [replica for replica in self._replicas if not replica.was_up]
        away = [replica for replica in self._replicas if replica.state in {"away", "greeted"}]
        if new and now > self._began + self._start_seconds:
            what = f"{len(new)} of {counted(len(self._replicas), 'replica')} did not come up"
            hint = "free devices of the cluster, or ask for fewer"
        elif (
            not new
            and len(away) == len(self._replicas)
            and now > max(r.since for r in away) + self._start_seconds
        ):
            what = "all replicas died, and none came back"
            hint = "add nodes with `ray start`, and begin again: the search goes on where it was"
        else:
            return
        trouble = next((f"; {one.name}: {one.trouble}" for one in away if one.trouble), "")
        refuse(f"{what} within {self._start_seconds:.0f} seconds: {self._cluster.free()}{trouble}", hint)

    def _follow(self, on_items: OnItems | None) -> None:
        """Tell what is known of the items of each job, ask again, and end who does not come on."""
        assert self._cluster is not None
        ray = self._cluster.ray
        for replica in self._replicas:
            asked, since = replica.progress, replica.asked
            if replica.order is None:
                continue
            if asked is not None and not ray.wait([asked], timeout=0)[0]:
                self._end_if(replica, is_silent=time.monotonic() - since > self._timeout_seconds)
                continue
            replica.progress, replica.asked = replica.beside(replica.actor.told), time.monotonic()
            if asked is None:
                continue
            try:
                told = ray.get(asked)
            except ray.exceptions.RayError:  # which its answer will tell of
                continue
            if told == replica.told:  # this may be old news, if nobody listened for a while
                self._end_if(replica, is_silent=since - replica.since > self._timeout_seconds)
                continue
            replica.told, replica.since = told, time.monotonic()
            if on_items is not None and told[0] == replica.order.ticket and self._is_wanted(replica):
                on_items(*told)

    def _end_if(self, replica: _Replica, *, is_silent: bool) -> None:
        """End a replica that hangs, though Ray finds it alive and will start it again."""
        if is_silent:
            assert self._cluster is not None
            self._cluster.ray.kill(replica.actor, no_restart=False)
            self._bury(replica, silent(self._timeout_seconds))
