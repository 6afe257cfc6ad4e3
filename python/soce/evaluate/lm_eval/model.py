"""A live model as lm-evaluation-harness sees it, and what keeps the harness from interfering."""

from __future__ import annotations

import importlib
import logging
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from soce.evaluate.evaluation import refuse
from soce.exceptions import EvaluationError, Problem, shown
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import torch

    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.live.soup_model import SoupModel

Seeds: TypeAlias = "tuple[int | None, int | None, int | None, int | None]"

SEEDS: Final[Seeds] = (0, 1234, 1234, 1234)
"""Of Python, NumPy, torch and few-shot examples: the harness's own defaults."""

MODEL_SETTINGS: Final = {
    "add_bos_token": "whether the first token is put in front of every prompt",
    "backend": "`causal` or `seq2seq`, where the config does not tell",
    "chat_template_args": "arguments of the chat template",
    "enable_thinking": "whether the chat template lets the model think",
    "logits_cache": "whether requests of one context share a forward pass",
    "max_length": "tokens that the model sees at once",
    "prefix_token_id": "the token that an empty context stands for",
    "softmax_dtype": "in what log-probabilities are computed",
    "think_end_token": "where thinking ends",
    "truncation": "whether longer prompts are cut",
}
"""Settings of the harness's `HFLM` that may be given, each with what it does."""

_CACHES: Final = ("use_cache", "cache_requests", "rewrite_requests_cache", "delete_requests_cache")
_OURS: Final = {
    "pretrained": "give the ingredients instead",
    "tokenizer": "the first ingredient's is used",
    "device": "say it to SoupModel",
    "dtype": "say it to SoupModel",
    "parallelize": "one process holds the whole model",
    "peft": "merge the adapter into each ingredient first",
}
_INSTALL: Final = "pip install 'soce[lm-eval]'"


def harness(module: str = "") -> Any:  # noqa: ANN401 - the harness is not annotated
    """Return a module of lm_eval.

    Raises
    ------
    EvaluationError
        lm_eval or something it needs is not installed.
    """
    try:
        return importlib.import_module(f"lm_eval.{module}" if module else "lm_eval")
    except (AttributeError, ImportError) as error:  # what it lacks in another version of transformers
        message = f"this evaluator needs lm-evaluation-harness: {shown(' '.join(str(error).split()))}"
        raise EvaluationError.of([Problem("evaluation", None, None, message, _INSTALL)]) from error


def check_settings(settings: Mapping[str, object]) -> None:
    """Refuse settings that do not exist, or that would score something else than the soup.

    Raises
    ------
    EvaluationError
    """
    for name in settings:
        if name in _CACHES:
            refuse(
                f"`{name}` cannot be used: the harness's caches do not know that weights changed",
                "leave it out: model and tasks are kept in memory anyway",
            )
        if name in _OURS:
            refuse(f"`{name}` cannot be set here", _OURS[name])
        if name not in MODEL_SETTINGS:
            refuse(f"there is no setting `{shown(name)}`", nearest(name, list(MODEL_SETTINGS), "settings"))


def progress_hook(total: int, on_progress: OnProgress | None) -> Any:  # noqa: ANN401
    """Return a cache hook that caches nothing: the harness calls it after each answer."""

    class Progress(harness("api.model").CacheHook):  # type: ignore[misc]
        done = 0
        raised: BaseException | None = None

        def add_partial(self, *_: object) -> None:
            self.done = min(self.done + 1, total)
            if on_progress is None:
                return
            try:
                on_progress(self.done, total)
            except BaseException as error:
                self.raised = error
                raise

    return Progress(None)


def harness_model(soup: SoupModel, batch_size: int | str, settings: Mapping[str, object]) -> Any:  # noqa: ANN401
    """Wrap the live model for the harness, which must leave its parameters as they are."""

    class Quiet(harness("models.huggingface").HFLM):  # type: ignore[misc]
        def loglikelihood(self, requests: list[Any]) -> Any:  # noqa: ANN401
            return super().loglikelihood(requests, disable_tqdm=True)

        def loglikelihood_rolling(self, requests: list[Any]) -> Any:  # noqa: ANN401
            return super().loglikelihood_rolling(requests, disable_tqdm=True)

        def generate_until(self, requests: list[Any]) -> Any:  # noqa: ANN401
            return super().generate_until(requests, disable_tqdm=True)

        def _loglikelihood_tokens(self, *given: Any, **options: Any) -> Any:  # noqa: ANN401
            options["disable_tqdm"] = True  # `loglikelihood_rolling` forgets to pass it on
            return super()._loglikelihood_tokens(*given, **options)

    before = soup.model.state_dict()
    marks = {name: _mark(tensor) for name, tensor in before.items()}
    with explained("take this model"), silent():
        model = Quiet(pretrained=soup.model, tokenizer=soup.tokenizer, batch_size=batch_size, **settings)
    after = {name: _mark(tensor) for name, tensor in soup.model.state_dict().items()}
    changed = sorted(name for name in marks.keys() | after.keys() if marks.get(name) != after.get(name))
    if changed:  # it calls tie_weights()
        message = f"lm-evaluation-harness would score another model: it changed `{shown(changed[0])}`"
        hint = "untie or tie the head of all ingredients, or evaluate written checkpoints with a command"
        raise EvaluationError.of([Problem("evaluation", soup.ingredients[0], None, message, hint)])
    return model


def _mark(tensor: torch.Tensor) -> tuple[object, ...]:
    """Return what changes when a tensor is replaced or written to."""
    return tensor.data_ptr(), tensor.shape, tensor.dtype, tensor._version


@contextmanager
def seeded(seeds: Seeds) -> Iterator[None]:
    """Seed what the harness draws from, and put every generator back afterwards."""
    import numpy as np
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            python_seed, numpy_seed, torch_seed, _ = seeds
            if python_seed is not None:
                random.seed(python_seed)
            if numpy_seed is not None:
                np.random.seed(numpy_seed)
            if torch_seed is not None:
                torch.manual_seed(torch_seed)
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)


@contextmanager
def silent() -> Iterator[None]:
    """Keep progress bars and log messages of the harness and of datasets from the terminal."""
    datasets = importlib.import_module("datasets")
    bars_were_off = datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    loggers = [logging.getLogger(name) for name in ("lm_eval", "datasets")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if not bars_were_off:
            datasets.enable_progress_bars()


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn whatever the harness raises into one line."""
    try:
        yield
    except EvaluationError:
        raise
    except Exception as error:
        text = shown(" ".join(f"{type(error).__name__}: {error}".split()))
        message = f"lm-evaluation-harness cannot {what}: {text}"
        raise EvaluationError.of([Problem("evaluation", None, None, message, None)]) from error
