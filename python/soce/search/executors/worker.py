"""The process that `ProcessExecutor` starts: it scores orders that come in on stdin, and answers on stdout.

What goes out is None once it is up; of an order now and then ``(ticket, items done, items in all)``, and in
the end what `Replica.answer` returns. The process ends when its stdin does.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from soce.search.executors.replica import Replica

if TYPE_CHECKING:
    from soce.evaluate.evaluation import OnProgress

PROGRAM: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from soce.search.executors.worker import main; main(sys.argv[2])"
)
"""What the interpreter is to run: it gets the module search path of the search, as JSON, and a name."""
_QUIET_SECONDS: Final = 0.2
"""Between two pieces of news of one order."""


def main(name: str) -> None:
    """Score orders until there are no more; what anybody prints goes to stderr."""
    orders, answers = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    signal.signal(signal.SIGTERM, _stop)
    replica = Replica(name)
    try:
        with suppress(EOFError, BrokenPipeError):  # nobody is there any more
            answers.send(None)
            while True:
                order = orders.recv()
                answers.send(replica.answer(order, on_progress=_teller(answers, order.ticket)))
    finally:
        replica.close()


def _stop(number: int, _: object) -> NoReturn:
    """Leave by way of everybody who has something to put away."""
    sys.exit(128 + number)


def _teller(answers: Connection, ticket: int) -> OnProgress:
    return partial(_tell, answers, ticket, [0.0])


def _tell(answers: Connection, ticket: int, last: list[float], done: int, total: int) -> None:
    now = time.monotonic()
    if done == total or now - last[0] >= _QUIET_SECONDS:
        last[0] = now
        answers.send((ticket, done, total))
