"""vLLM as an engine: started with what soce needs, and told over its socket which soup to become."""

from __future__ import annotations

import json
import os
from functools import cached_property
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.engines.limits import change_seconds
from soce.evaluate.engines.process import EngineProcess
from soce.evaluate.engines.unix_http import ask
from soce.evaluate.engines.vllm.environment import (
    check_arguments,
    check_variables,
    find_vllm,
    telling_variables,
    value_of,
)
from soce.evaluate.evaluation import refuse, told
from soce.evaluate.http.refusals import error_of
from soce.exceptions import EngineLostError, Problem, shown
from soce.recipes.names import base_of
from soce.recipes.wire import recipe_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.engines.engine import EngineName, EngineOptions
    from soce.evaluate.engines.vllm.environment import VllmEnvironment
    from soce.recipes.model import Recipe

_ENVIRONMENT: Final = {
    "VLLM_SERVER_DEV_MODE": "1",  # the routes by which weights change, on a socket that is ours alone
    "VLLM_API_KEY": "",
    "VLLM_KEEP_ALIVE_ON_ENGINE_DEATH": "0",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
_KV_CACHE_GIB: Final = "4"
"""What a CPU gives to keys and values unless it is told: vLLM would take nine tenths of the machine."""

_HEALTH_SECONDS: Final = 60.0
"""How long it may take to say that it is well."""
_ENDING_SECONDS: Final = 10.0
"""How long its processes may take to end after one of them broke off."""


class VllmEngine:
    """vLLM in processes of its own, serving the soups of some ingredients.

    Its workers mix: each holds its share of one model, and the ingredients are mapped from disk.
    """

    name: EngineName = "vllm"
    model = "soup"

    def __init__(self, ingredients: Sequence[str], options: EngineOptions) -> None:
        check_arguments(options.arguments)
        check_variables(os.environ)
        self._ingredients = tuple(ingredients)
        self._options = options
        self._process: EngineProcess | None = None

    @cached_property
    def _environment(self) -> VllmEnvironment:
        return find_vllm(self._options.python, untried=self._options.untried)

    @property
    def socket(self) -> str | None:
        """Path of the Unix socket that it answers on."""
        return None if self._process is None else self._process.socket

    @property
    def identity(self) -> Mapping[str, object]:
        """What answers depend on besides recipe and tensors."""
        found, arguments = self._environment, self._options.arguments
        return {
            "engine": self.name,
            "vllm": found.version,
            "torch": found.torch,
            "platform": found.platform,
            "dtype": value_of(arguments, "--dtype") or "auto",
            "tensor_parallel_size": int(value_of(arguments, "--tensor-parallel-size", "-tp") or 1),
            "batch_invariant": os.environ.get("VLLM_BATCH_INVARIANT", "0") == "1",
            "arguments": list(arguments),
            "variables": telling_variables(os.environ),
        }

    def start(self) -> None:
        """Start it with the first ingredient, without its adapter, and return when it answers."""
        found, words = self._environment, self._options.arguments
        process = EngineProcess("vLLM")
        command = [found.python, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", base_of(self._ingredients[0]), "--served-model-name", self.model]
        command += ["--uds", process.socket, "--disable-uvicorn-access-log"]
        command += ["--worker-extension-cls", "soce.evaluate.engines.vllm.worker.SoceWorker"]
        command += ["--generation-config", "vllm"]  # the model's own penalties would act on every request
        told = dict(_ENVIRONMENT)
        if found.platform == "cpu" and value_of(words, "--kv-cache-memory-bytes") is None:
            told["VLLM_CPU_KVCACHE_SPACE"] = os.environ.get("VLLM_CPU_KVCACHE_SPACE", _KV_CACHE_GIB)
        process.start([*command, *words], environment=told, seconds=self._options.start_seconds)
        self._process = process

    def open(self, ingredients: Sequence[str]) -> None:
        """Map the ingredients in every worker."""
        merge = json.dumps(self._options.merge.changed(), default=list)
        words = {"ingredients": json.dumps(list(ingredients)), "merge": merge}
        for answer in self._answers("soce_open", words, self._options.start_seconds):
            if answer["failure"] is not None:
                raise error_of(answer["failure"], f"reading the ingredients in {self.name} failed")

    def become(self, recipe: Recipe) -> None:
        """Take the weights of the soup; keys and values of older ones are dropped by the pause."""
        seconds = self._options.change_seconds or change_seconds(recipe)
        self._post("/pause?mode=wait", seconds=seconds)
        answers = self._answers("soce_become", {"recipe": json.dumps(recipe_to_json(recipe))}, seconds)
        failures = [answer["failure"] for answer in answers if answer["failure"] is not None]
        if not failures or not any(answer["changed"] for answer in answers):
            self._post("/resume", seconds=seconds)
        for failure in failures:
            raise error_of(failure, f"mixing a soup in {self.name} failed")

    def check(self) -> None:
        """Raise EngineLostError if it does not answer any more."""
        if self._process is None:
            raise EngineLostError.of([Problem("engine", None, None, "vLLM is not running", None)])
        self._process.check()
        try:
            status, _ = ask(self._process.socket, "/health", timeout_seconds=_HEALTH_SECONDS)
        except (OSError, HTTPException) as error:
            self._process.lose(f"does not answer: {told(error)}", wait_seconds=_ENDING_SECONDS)
        if status != 200:
            self._process.lose(f"answers its health with status {status}", wait_seconds=_ENDING_SECONDS)

    def close(self) -> None:
        """End every process of it and remove its folder."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _answers(self, method: str, words: Mapping[str, str], seconds: float) -> list[dict[str, Any]]:
        """Return what every worker answers."""
        answer = self._post("/collective_rpc", {"method": method, "kwargs": words}, seconds=seconds)
        results: list[dict[str, Any]] = answer["results"]
        return results

    def _post(self, route: str, body: object = (), *, seconds: float) -> Any:  # noqa: ANN401 - JSON
        """Return the answer to a request that must succeed: if it does not, nobody knows what vLLM holds."""
        process = self._process
        if process is None:
            refuse("vLLM is not running")
        try:
            status, answer = ask(process.socket, route, body, timeout_seconds=seconds)
        except TimeoutError:
            process.end_late(f"answer `{route}`", seconds)
        except (OSError, HTTPException) as error:
            process.lose(f"broke off: {told(error)}", wait_seconds=_ENDING_SECONDS)
        if status != 200:
            process.lose(
                f"answers `{route}` with status {status}: {shown(str(answer))}", wait_seconds=_ENDING_SECONDS
            )
        return answer
