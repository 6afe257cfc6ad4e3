"""The Ray cluster that a search asks for replicas: reached in bounded time, and of devices enough."""

from __future__ import annotations

import logging
import os
import re
import signal
import socket
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.described import DescribedEvaluator
from soce.evaluate.evaluation import told
from soce.exceptions import shown
from soce.files.extras import install
from soce.files.words import counted, in_words
from soce.search.refusal import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soce.evaluate.evaluation import Evaluator

_log = logging.getLogger(__name__)
_CONNECT_SECONDS: Final = 10
_ADDRESS: Final = "give HOST:PORT, as `ray start --head` tells it"
_ATTEMPTS: Final = "RAY_gcs_server_port_wait_time_s"
"""How often Ray tries an address, a good half-minute each: 20 times unless this says otherwise."""


class RayCluster:
    """A connection to a cluster; one that this process has already is used, and left as it is.

    Parameters
    ----------
    address : str, optional
        ``HOST:PORT`` of the cluster; otherwise by Ray's own rules: that in ``RAY_ADDRESS``, the one that
        `ray start` began on this machine, or one of this machine alone, which ends with the search.
    """

    def __init__(self, address: str | None = None) -> None:
        self.ray = _require_ray()
        self._is_ours = not self.ray.is_initialized()
        if self._is_ours:
            _connect(self.ray, address)

    def close(self) -> None:
        """Leave the cluster; one of this machine alone ends with all its processes."""
        if self._is_ours and self.ray.is_initialized():
            self.ray.shutdown()
        self._is_ours = False

    def choose(self, count: int | None, evaluator: Evaluator) -> tuple[int, dict[str, float]]:
        """Return the number of replicas for an evaluator, and what each asks Ray for.

        Parameters
        ----------
        count : int, optional
            As many as were asked for; otherwise as many as there are devices for.
        evaluator : Evaluator
            What they are to open: it says how many GPUs one of them needs.
        """
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        each = gpus_of_one(evaluator, max((int(node.get("GPU", 0)) for node in nodes), default=0))
        return _room(nodes, count, each), {"num_gpus": each} if each else {"num_cpus": 1}

    def free(self) -> str:
        """Return which devices nobody uses, in words."""
        free, all_of = self.ray.available_resources(), self.ray.cluster_resources()
        said = [
            f"{free.get(kind, 0):g} of {counted(int(all_of[kind]), kind)}"
            for kind in ("GPU", "CPU")
            if all_of.get(kind)
        ]
        return f"{in_words(said) or 'no device'} of the cluster are free"


def _room(nodes: Sequence[Mapping[str, float]], count: int | None, gpus: int) -> int:
    """Return the number of replicas with so many GPUs each, or one CPU; refuse more than there is room for.

    A replica is one actor, and so on one node with all its devices, as tensor parallelism wants it.

    Examples
    --------
    >>> _room([{"CPU": 8, "GPU": 3}, {"CPU": 8, "GPU": 2}], None, 2)
    2
    >>> _room([{"CPU": 8, "GPU": 3}, {"CPU": 8}], None, 0)
    16
    """
    kind, each = ("GPU", gpus) if gpus else ("CPU", 1)
    held = [int(node.get(kind, 0)) for node in nodes]
    room = sum(number // each for number in held)
    if room < (count or 1):
        message = (
            f"Ray has room for {counted(room, 'replica')} with {counted(each, kind)} each, not {count or 1}"
        )
        message += f": there are {counted(sum(held), kind)} on {counted(len(nodes), 'node')}"
        refuse(message, f"ask for `ray:{room}`, or add nodes" if room else "add nodes with `ray start`")
    return count or room


def gpus_of_one(evaluator: Evaluator, most: int) -> int:
    """Return how many GPUs one replica of an evaluator needs, where a node has so many at most."""
    if not most or not isinstance(evaluator, DescribedEvaluator):
        return min(1, most)
    options = evaluator.description.options
    if options.engine is None:
        if options.device_map is not None:
            return most
        return 0 if (options.device or "").startswith("cpu") else 1
    return _gpus_of_engine(options.engine_arguments, most)


def _gpus_of_engine(arguments: tuple[str, ...], most: int) -> int:
    """Return how many GPUs the arguments of a serving engine ask for.

    Examples
    --------
    >>> _gpus_of_engine(("--tensor-parallel-size=4", "-pp", "2"), 8), _gpus_of_engine((), 8)
    (8, 1)
    >>> _gpus_of_engine(("--device", "cpu"), 8), _gpus_of_engine(("--device-map", "auto"), 8)
    (0, 8)
    """
    from soce.evaluate.engines.vllm.environment import value_of

    if (value_of(arguments, "--device") or "").startswith("cpu"):
        return 0
    if value_of(arguments, "--device-map") is not None:
        return most
    sizes = (
        value_of(arguments, "--tensor-parallel-size", "-tp"),
        value_of(arguments, "--pipeline-parallel-size", "-pp"),
    )
    gpus = 1
    for size in sizes:
        gpus *= int(size) if size is not None and size.isdecimal() else 1
    return gpus


def _require_ray() -> Any:  # noqa: ANN401 - a module without types where it is not installed
    try:
        import ray
    except ImportError as error:
        message = f"the executor `ray` needs Ray, which cannot be imported: {shown(str(error))}"
        refuse(message, install("ray"), cause=error)
    return ray


def _connect(ray: Any, address: str | None) -> None:  # noqa: ANN401
    wanted = address or os.environ.get("RAY_ADDRESS") or None
    where = "of this machine" if wanted is None else f"at `{shown(wanted)}`"
    begun = _begun_here() if wanted in {None, "auto"} else None
    if begun is not None:
        _reach(
            begun,
            "`ray start` noted it on this machine, and `ray stop` forgets it; or give HOST:PORT of another",
        )
    elif wanted not in {None, "auto", "local"}:
        _reach(wanted, f"{_ADDRESS}, from a machine of the cluster")
    _hush()
    on_end = signal.getsignal(signal.SIGTERM)
    try:
        with _once(begun or wanted), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Ray will do in later versions
            ray.init(wanted, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, on_end)  # which Ray takes for itself
    except Exception as error:
        ray.shutdown()  # it may be half connected
        if "ersion mismatch" in str(error):
            message = f"the Ray cluster {where} is of another version: {_versions(str(error))}"
            refuse(message, "install the same Ray and Python on all machines", cause=error)
        message = f"the Ray cluster {where} cannot be reached: {told(error)}"
        refuse(message, f"{_ADDRESS}; if it wants a token, set RAY_AUTH_MODE=token", cause=error)


def parse_address(text: str) -> tuple[str, int]:
    """Return host and port of a cluster; raises StudyError if the text names none.

    Examples
    --------
    >>> parse_address("10.0.0.1:6379"), parse_address("[fe80::1]:6379")
    (('10.0.0.1', 6379), ('fe80::1', 6379))
    """
    host, _, port = text.rpartition(":")
    if (
        not {"/", "@"}.isdisjoint(text)
        or not host
        or not (port.isascii() and port.isdecimal() and 0 < int(port) < 2**16)
    ):
        refuse(f"`{shown(text)}` is no address of a Ray cluster", _ADDRESS)
    return host.strip("[]"), int(port)


def _begun_here() -> str | None:
    """Return the address of the cluster that `ray start` began on this machine, which may be gone since."""
    try:
        from ray._private.services import canonicalize_bootstrap_address
    except ImportError:  # as in `_hush`
        return None
    try:
        found: str | None = canonicalize_bootstrap_address(None)
    except (OSError, ValueError):  # Ray itself tells better what is wrong
        return None
    return found


def _reach(address: str, hint: str) -> None:
    """Refuse an address that nobody answers, which Ray itself would try for a quarter of an hour."""
    try:
        socket.create_connection(parse_address(address), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        message = f"nobody answers at the address of Ray, `{shown(address)}`: {told(error)}"
        refuse(message, hint, cause=error)


@contextmanager
def _once(address: str | None) -> Iterator[None]:
    """Let Ray try an address once."""
    if address is None or _ATTEMPTS in os.environ:
        yield
        return
    os.environ[_ATTEMPTS] = "1"
    try:
        yield
    finally:
        del os.environ[_ATTEMPTS]


def _versions(text: str) -> str:
    """Return what Ray says of two versions, on one line.

    Examples
    --------
    >>> _versions("was started with: Ray: 2.9 Python: 3.11.7 This process: Ray: 2.60 Python: 3.11.7")
    'Ray 2.9 and Python 3.11.7 there, Ray 2.60 and Python 3.11.7 here'
    """
    found = re.findall(r"Ray: (\S+)\s+Python: (\S+)", text)
    if len(found) != 2:
        return shown(" ".join(text.split()))
    there, here = (f"Ray {shown(ray)} and Python {shown(python)}" for ray, python in found)
    return f"{there} there, {here} here"


def _hush() -> None:
    """Have what Ray learns of nodes logged: it prints that on stdout, whatever it is told of logs."""
    try:
        from ray._private import worker
    except ImportError:  # it is nobody's promise that this stays
        return

    def log(data: Mapping[str, Any], *_: object, **__: object) -> None:
        _log.info("Ray: %s", " ".join(" ".join(data["lines"]).split()))

    worker.print_to_stdstream = log
