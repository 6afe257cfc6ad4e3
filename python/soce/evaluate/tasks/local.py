"""Answers of a model in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.evaluate.tasks.forward import Batches, ForwardPasses
from soce.evaluate.tasks.writing import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.tasks.encoding import Prompt, Request
    from soce.evaluate.tasks.inference import Likelihood, Written


class LocalInference:
    """Asks a `SoupModel`, many rows at once; `notes` tell of memory that ran out."""

    def __init__(self, soup: SoupModel, *, batch_size: int | None, window: int) -> None:
        batches = Batches(batch_size)
        self.notes = batches.notes
        self._forward = ForwardPasses(soup, batches)
        self._writer = Writer(soup, batches, window=window)

    def check(self, requests: object, prompts: object) -> None:
        """Refuse nothing: what is encoded fits."""

    def likelihoods(self, requests: Sequence[Request], on_done: Callable[[int], object]) -> list[Likelihood]:
        """Return one likelihood per request, see `ForwardPasses.likelihoods`."""
        return self._forward.likelihoods(requests, on_done)

    def texts(self, prompts: Sequence[Prompt], on_done: Callable[[int], object]) -> list[Written]:
        """Return what the model writes after each prompt, see `Writer.texts`."""
        return self._writer.texts(prompts, on_done)
