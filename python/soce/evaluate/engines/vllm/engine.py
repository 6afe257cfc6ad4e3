"""vLLM as an engine: started with what soce needs, and told over its socket which soup to become."""

from __future__ import annotations

import json
import os
from functools import cached_property
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.engines.failure import raise_failure
from soce.evaluate.engines.process import EngineProcess
from soce.evaluate.engines.unix_http import ask
from soce.evaluate.engines.vllm.environment import (
    check_arguments,
    find_vllm,
    telling_variables,
    value_of,
)
from soce.evaluate.evaluation import refuse
from soce.exceptions import EngineLostError, Problem, shown
from soce.recipes.wire import recipe_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

    from soce.evaluate.engines.engine import EngineName, EngineOptions
    from soce.evaluate.engines.vllm.environment import VllmEnvironment
    from soce.recipes.model import Recipe

_ENVIRONMENT: Final = {
    "VLLM_SERVER_DEV_MODE": "1",  # the routes by which weights change, on a socket that is ours alone
    "VLLM_API_KEY": "",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
}
_KV_CACHE_GIB: Final = "4"
"""What a CPU gives to keys and values unless it is told: vLLM would take nine tenths of the machine."""

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
        """Start it with the first ingredient, and return when it answers."""
        found, words = self._environment, self._options.arguments
        process = EngineProcess("vLLM")
        command = [found.python, "-m", "vllm.entrypoints.openai.api_server"]
        command += ["--model", self._ingredients[0], "--served-model-name", self.model]
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
        self._call("soce_open", ingredients=json.dumps(list(ingredients)), merge=merge)

    def become(self, recipe: Recipe) -> None:
        """Take the weights of the soup; keys and values of older ones are dropped by the pause."""
        self._post("/pause?mode=wait")
        answers = self._answers("soce_become", recipe=json.dumps(recipe_to_json(recipe)))
        failures = [answer["failure"] for answer in answers if answer["failure"] is not None]
        if not failures or not any(answer["changed"] for answer in answers):
            self._post("/resume")
        for failure in failures:
            raise_failure(failure, f"mixing a soup in {self.name}")

    def check(self) -> None:
        """Raise EngineLostError if it does not answer any more."""
        if self._process is None:
            raise EngineLostError.of([Problem("engine", None, None, "vLLM is not running", None)])
        self._process.check()
        try:
            status, _ = ask(self._process.socket, "/health", timeout_seconds=60)
        except (OSError, HTTPException) as error:
            self._lose(f"does not answer: {shown(str(error))}")
        if status != 200:
            self._lose(f"answers its health with status {status}")

    def close(self) -> None:
        """End every process of it and remove its folder."""
        if self._process is not None:
            self._process.close()
            self._process = None

    def _call(self, method: str, **words: str) -> list[dict[str, Any]]:
        """Return what every worker answers; raises what one of them failed with."""
        answers = self._answers(method, **words)
        for answer in answers:
            if answer["failure"] is not None:
                raise_failure(answer["failure"], f"`{method}` of {self.name}")
        return answers

    def _answers(self, method: str, **words: str) -> list[dict[str, Any]]:
        answer = self._post("/collective_rpc", {"method": method, "kwargs": words})
        results: list[dict[str, Any]] = answer["results"]
        return results

    def _post(self, route: str, body: object = ()) -> Any:  # noqa: ANN401 - JSON
        """Return the answer to a request that must succeed: if it does not, nobody knows what vLLM holds."""
        if self._process is None:
            refuse("vLLM is not running")
        try:
            status, answer = ask(self._process.socket, route, body)
        except (OSError, HTTPException) as error:
            self._lose(f"broke off: {shown(str(error))}")
        if status != 200:
            self._lose(f"answers `{route}` with status {status}: {shown(str(answer))}")
        return answer

    def _lose(self, what: str) -> NoReturn:
        """Raise EngineLostError, with what the processes said last if they ended."""
        if self._process is not None:
            self._process.check(wait_seconds=_ENDING_SECONDS)
            what = f"{what}; {self._process.last_words()}"
        raise EngineLostError.of([Problem("engine", None, None, f"vLLM {what}", "start it again")])
