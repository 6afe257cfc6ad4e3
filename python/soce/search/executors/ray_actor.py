"""What a replica is in Ray: a class that goes to nodes by value, and is made there without soce."""

from __future__ import annotations

from typing import Any


def actor_class() -> type:
    """Return the class of replicas.

    It stands in a function so that Ray carries its code to a node, where soce may be missing, or another
    one: `greet` says so. Orders and answers are bytes for the same reason. `told` and `stop` are called in a
    thread of their own, beside an evaluation.
    """

    class RayReplica:
        def __init__(self, name: str, directory: str) -> None:
            self._name = name
            self._directory = directory
            self._replica: Any = None
            self._progress = (-1, 0, 0)
            self._unwanted: int | None = None

        def greet(self, version: str) -> str | None:
            """Make ready, and return why this node is of no use."""
            import contextlib
            import os
            import socket

            import ray

            address = ray.util.get_node_ip_address()
            self._name += f" on node {socket.gethostname()} ({address})"
            with contextlib.suppress(OSError):
                os.chdir(self._directory)  # paths that users wrote are seen from there, if it is here too
            try:
                import soce

                found = soce.__version__
                if found != version:
                    return f"{self._name} has soce {found}, the search soce {version}"
                from soce.search.executors.replica import Replica
            except Exception as error:
                return f"{self._name} cannot import soce: {type(error).__name__}: {error}"
            self._replica = Replica(self._name)
            return None

        def answer(self, order: bytes) -> bytes:
            """Return what came of an order; nothing if this process is new, and must be greeted first."""
            import pickle

            if self._replica is None:
                return b""
            asked = pickle.loads(order)
            self._progress = (asked.ticket, 0, 0)

            def on_progress(done: int, total: int) -> None:
                self._progress = (asked.ticket, done, total)
                if self._unwanted == asked.ticket:
                    raise InterruptedError

            return pickle.dumps(self._replica.answer(asked, on_progress=on_progress))

        def told(self) -> tuple[int, int, int]:
            """Return the ticket of the last order, how many items are done, and how many there are."""
            return self._progress

        def stop(self, ticket: int) -> None:
            """End the evaluation of a ticket with its next item."""
            self._unwanted = ticket

        def close(self) -> None:
            """Let go of models, files and processes."""
            if self._replica is not None:
                self._replica.close()

    return RayReplica
