"""Evaluations under way: each holds the lease of its mix until what came of it is kept."""

from __future__ import annotations

import itertools
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soce.search.executors.executor import EvaluationDone, EvaluationJob, Executor

TICKETS: Final = itertools.count(1)
"""No two jobs of this process have the same."""


@dataclass(slots=True)
class Flight:
    """A mix that is being scored."""

    key: str
    """Of the mix."""
    job: EvaluationJob
    places: list[int]
    """Where in the batch the mix stands."""
    lease: ExitStack
    items_done: int = 0
    items_total: int = 0


@dataclass(slots=True)
class Flights:
    """What an executor was given and has not come back with; use `flying`."""

    executor: Executor
    on_items: Callable[[], object]
    """Called when more items of a flight are done."""
    _by_ticket: dict[int, Flight] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._by_ticket)

    @property
    def is_full(self) -> bool:
        """Whether the executor has all that it works on at once."""
        return len(self) >= self.executor.capacity

    @property
    def items(self) -> tuple[int, int]:
        """Items of all flights that are done, and all of them."""
        every = self._by_ticket.values()
        return sum(one.items_done for one in every), sum(one.items_total for one in every)

    def has(self, place: int) -> bool:
        """Whether the mix at a place is being scored."""
        return any(place in one.places for one in self._by_ticket.values())

    def join(self, key: str, place: int) -> bool:
        """Let a place wait for the flight of its mix; return False if there is none."""
        for one in self._by_ticket.values():
            if one.key == key:
                one.places.append(place)
                return True
        return False

    def start(self, flight: Flight) -> None:
        """Begin to score a mix whose lease is held."""
        self._by_ticket[flight.job.ticket] = flight
        self.executor.submit(flight.job)

    def land(self, timeout: float | None = None) -> tuple[Flight, EvaluationDone] | None:
        """Wait for one of them; the caller closes its lease when the evaluation is kept."""
        done = self.executor.next(timeout, on_items=self._note)
        return None if done is None else (self._by_ticket.pop(done.ticket), done)

    def _note(self, ticket: int, done: int, total: int) -> None:
        flight = self._by_ticket[ticket]
        flight.items_done, flight.items_total = done, total
        self.on_items()

    def end(self) -> None:
        """Forget all of them, and give their leases up."""
        self.executor.cancel()
        with ExitStack() as stack:
            while self._by_ticket:
                stack.push(self._by_ticket.popitem()[1].lease)


@contextmanager
def flying(executor: Executor, on_items: Callable[[], object]) -> Iterator[Flights]:
    """Give no flights yet; those that are left when the block is done, or has failed, are forgotten."""
    flights = Flights(executor, on_items)
    try:
        yield flights
    finally:
        flights.end()
