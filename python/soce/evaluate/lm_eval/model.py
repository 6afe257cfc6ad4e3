"""The live model as lm-evaluation-harness sees it, and what keeps the harness from interfering."""

from __future__ import annotations

import functools
import importlib
import logging
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from soce.evaluate.evaluation import refuse, told
from soce.evaluate.lm_eval.endings import Endings, endings_of
from soce.exceptions import EvaluationError, shown
from soce.files.extras import install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.live.soup_model import SoupModel

Seeds: TypeAlias = "tuple[int | None, int | None, int | None, int | None]"


def lm_eval(module: str = "") -> Any:  # noqa: ANN401 - the harness is not annotated
    """Return a module of lm_eval; raises EvaluationError if it or something it needs is not installed."""
    try:
        return importlib.import_module(f"lm_eval.{module}" if module else "lm_eval")
    except (AttributeError, ImportError) as error:  # what it lacks in another version of transformers
        message = f"this evaluator needs lm-evaluation-harness: {shown(' '.join(str(error).split()))}"
        refuse(message, install("lm-eval"), cause=error)


def wrapped(soup: SoupModel, batch_size: int | str, settings: Mapping[str, object]) -> Any:  # noqa: ANN401
    """Wrap the live model for the harness, which must leave its parameters as they are."""

    def quietly(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*given: Any, **options: Any) -> Any:  # noqa: ANN401
            return method(*given, **{**options, "disable_tqdm": True})

        return call

    base = lm_eval("models.huggingface").HFLM
    # The last is called by the second, which forgets to pass it on.
    noisy = ("loglikelihood", "loglikelihood_rolling", "generate_until", "_loglikelihood_tokens")

    def generate(self: Any, context: Any, max_length: int, stop: list[str], **settings: Any) -> Any:  # noqa: ANN401
        rows = base._model_generate(self, context, max_length, stop, **settings)
        start = context.shape[1] if self.backend == "causal" else 0
        ended = endings_of(self, rows, start=start, most=max_length, stops=stop, settings=settings)
        self.endings.generated(ended)
        return rows

    methods = {name: quietly(getattr(base, name)) for name in noisy}
    methods |= {"_model_generate": generate, "check_requests": lambda *_: None}
    model_class: Any = type("Quiet", (base,), {**methods, "endings": Endings(), "notes": ()})
    before = _marks(soup)
    with explained("take this model"), silent():
        model = model_class(
            pretrained=soup.model, tokenizer=soup.tokenizer, batch_size=batch_size, **settings
        )
    for name, _ in sorted(before ^ _marks(soup)):  # it calls tie_weights()
        message = f"lm-evaluation-harness would score another model: it changed `{shown(name)}`"
        hint = "untie or tie the head of all ingredients, or evaluate written checkpoints with a command"
        refuse(message, hint, soup.ingredients[0])
    return model


def _marks(soup: SoupModel) -> set[tuple[str, str]]:
    """Return what changes when a tensor is replaced or written to."""
    return {
        (name, f"{tensor.data_ptr()} {tensor.shape} {tensor.dtype} {tensor._version}")
        for name, tensor in soup.model.state_dict().items()
    }


def progress_hook(total: int, on_progress: OnProgress, endings: Endings) -> Any:  # noqa: ANN401
    """Return a cache hook that caches nothing: the harness calls it after each answer."""

    class Progress(lm_eval("api.model").CacheHook):  # type: ignore[misc]
        done = 0
        raised: BaseException | None = None

        def add_partial(self, kind: str, arguments: Sequence[Any], *_: object) -> None:
            if kind == "generate_until":
                endings.told(arguments)
            self.count(1)

        def count(self, answered: int) -> None:
            self.done = min(self.done + answered, total)
            try:
                on_progress(self.done, total)
            except BaseException as error:
                self.raised = error
                raise

    return Progress(None)


@contextmanager
def seeded(seeds: Seeds) -> Iterator[None]:
    """Seed what the harness draws from, and put every generator back afterwards."""
    import numpy as np
    import torch

    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            starts: tuple[Callable[[int], object], ...] = (random.seed, np.random.seed, torch.manual_seed)
            for start, seed in zip(starts, seeds[:3], strict=True):
                if seed is not None:
                    start(seed)
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
    levels = {name: logging.getLogger(name).level for name in ("lm_eval", "datasets")}
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
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
        refuse(f"lm-evaluation-harness cannot {what}: {told(error)}", cause=error)
