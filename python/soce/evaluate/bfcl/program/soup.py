"""One more model for BFCL, `soce/soup`: a soup, asked through a Unix socket by one of its handlers."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import threading
import time
import types
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.bfcl.program.sandbox import TakesTooLongError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

NAME: Final = "soce/soup"
"""What BFCL calls the model. It takes ``_`` in file names for ``/``, so a name has none."""
FOLDER: Final = NAME.replace("/", "_")
_VENDORS: Final = "bfcl_eval.model_handler.api_inference."
_ENDINGS: Final = frozenset({"stop", "length"})
_ENDLESS_SECONDS: Final = 72000
"""BFCL's own limit for one answer."""


class _Vendors(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands for the handlers of vendors' services: their client libraries take seconds to import, unused."""

    def find_spec(self, fullname: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self) if fullname.startswith(_VENDORS) else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        module.__dict__["__getattr__"] = _stand_in
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Execute nothing."""


def _stand_in(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def models() -> dict[str, Any]:
    """Return name → BFCL's entry for the models that it knows; those of services cannot be asked."""
    if not any(isinstance(finder, _Vendors) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Vendors())
    # Only tokenizers are used, and without torch they are there in a third of the time.
    sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    from bfcl_eval.constants.model_config import MODEL_CONFIG_MAPPING

    return MODEL_CONFIG_MAPPING  # type: ignore[no-any-return]


def local_models() -> dict[str, Any]:
    """Return those of them that are asked by completing a prompt."""
    known = models()
    from bfcl_eval.model_handler.local_inference.base_oss_handler import OSSHandler

    return {name: entry for name, entry in known.items() if issubclass(entry.model_handler, OSSHandler)}


def model_named(names: Iterable[str]) -> str | None:
    """Return the model of BFCL that a checkpoint of these names is; the prompting one where there are two."""
    wanted = {other for name in names for other in _spellings(name)}
    found = [
        (entry.is_fc_model, name)
        for name, entry in local_models().items()
        if name != NAME and not wanted.isdisjoint(_spellings(entry.model_name))
    ]
    return min(found)[1] if found else None


def _spellings(name: str) -> set[str]:
    """Return a name as on the hub, as in its cache, and without its owner."""
    whole = name.replace("--", "/").removeprefix("models/").casefold()
    return {whole, whole.rpartition("/")[2]}


def register(handler: str | None) -> None:
    """Let BFCL know the soup: asked by the handler of one of its models, or by the own chat template."""
    known = models()
    if handler is not None:
        known[NAME] = replace(known[handler], display_name=NAME)
        return
    from bfcl_eval.constants.model_config import ModelConfig
    from bfcl_eval.model_handler.local_inference.quick_testing_oss import QuickTestingOSSHandler

    known[NAME] = ModelConfig(
        model_name=NAME,
        display_name=NAME,
        url="",
        org="",
        license="",
        model_handler=QuickTestingOSSHandler,
        is_fc_model=False,
        underscore_to_dot=False,
    )


@dataclass(slots=True)
class Talk:
    """What was said about one entry."""

    prompts: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    endings: list[str | None] = field(default_factory=list)
    thread: int = 0
    computing_since: float | None = None
    """Processor time of the thread when the last answer came, while no other is waited for."""


class PromptTooLongError(Exception):
    """The model cannot see the whole prompt."""


class RequestFailedError(Exception):
    """The server did not answer, or not with a text."""


class UnusableHandlerError(Exception):
    """The handler cannot write a prompt for this model."""


class Examiner:
    """Asks the soup by its handler; whatever goes wrong with a request is told apart from a bad answer."""

    def __init__(
        self, *, socket: Path, tokenizer: Path, model: str, max_length: int, max_tokens: int
    ) -> None:
        import httpx
        from openai import OpenAI
        from transformers import AutoTokenizer

        self.handler = handler_of()
        self._model, self._max_tokens, self._max_length = model, max_tokens, max_length
        self._local = threading.local()
        self._tokenizer = AutoTokenizer.from_pretrained(str(tokenizer), local_files_only=True)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        through = httpx.HTTPTransport(uds=str(socket), limits=limits)
        client = OpenAI(
            base_url="http://soup/v1",
            api_key="none",
            max_retries=0,
            http_client=httpx.Client(transport=through, timeout=_ENDLESS_SECONDS),
        )
        self._create, client.completions.create = client.completions.create, self._ask
        self._write, self.handler._format_prompt = self.handler._format_prompt, self._prompt
        self.handler.client = client
        self.handler.tokenizer = self
        self.handler.model_path_or_id = model
        self.handler.max_context_length = max_length

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the tokenizer's, for the handler
        return getattr(self._tokenizer, name)

    def tokenize(self, text: str, **settings: Any) -> list[str]:  # noqa: ANN401
        """Return the tokens of a prompt, of which the handler takes the number."""
        tokens: list[str] = self._tokenizer.tokenize(text, **settings)
        self._local.length = len(tokens)
        return tokens

    def result_of(self, entry: dict[str, Any], talk: Talk) -> object:
        """Return what BFCL takes for the answer to an entry, and note what was said in `talk`.

        Raises `PromptTooLongError`, `RequestFailedError` and `UnusableHandlerError`.
        """
        talk.thread = threading.get_ident()
        self._local.talk = talk
        try:
            result, _ = self.handler.inference(entry, False, True)  # noqa: FBT003 - BFCL's
        except (PromptTooLongError, RequestFailedError, UnusableHandlerError):
            raise
        except Exception as error:
            # The handler cannot read the answer: BFCL goes on with this.
            return f"Error during inference: {error}"
        finally:
            talk.computing_since = None
        return result

    def _prompt(self, messages: Sequence[dict[str, Any]], function: object) -> str:
        try:
            return str(self._write(messages, function))
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise UnusableHandlerError(message) from error

    def _ask(self, **request: Any) -> Any:  # noqa: ANN401 - openai's
        talk: Talk = self._local.talk
        if self._local.length + 2 > self._max_length:
            raise PromptTooLongError
        talk.prompts.append(request["prompt"])
        talk.computing_since = None
        request["max_tokens"] = min(request["max_tokens"], self._max_tokens)
        try:
            answer = self._create(**request)
            choice = answer.choices[0]
            talk.texts.append(choice.text)
            talk.endings.append(choice.finish_reason)
        except TakesTooLongError:  # meant for what came before: the request did not fail
            raise
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            raise RequestFailedError(message) from error
        if choice.finish_reason not in _ENDINGS:  # such as `abort`: its text is no answer
            message = f"the text ended by `{choice.finish_reason}`"
            raise RequestFailedError(message)
        talk.computing_since = time.thread_time()
        return answer


def handler_of() -> Any:  # noqa: ANN401 - BFCL's
    """Return a new handler of the soup, which answers with the likeliest tokens."""
    entry = models()[NAME]
    return entry.model_handler(
        model_name=entry.model_name, temperature=0, registry_name=NAME, is_fc_model=entry.is_fc_model
    )
