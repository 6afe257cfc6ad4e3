"""What is minimised: the loss of items on a live model, as a number and as a graph to go back through."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any, TypeAlias

from soce.evaluate.evaluation import no_progress, refuse
from soce.evaluate.live.loading import quiet, require_torch
from soce.evaluate.tasks.encoding import Request
from soce.evaluate.tasks.forward import padded
from soce.evaluate.tasks.opening import open_encoder
from soce.exceptions import shown
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.tasks.encoding import Encoder
    from soce.evaluate.tasks.item import Item
    from soce.evaluate.tasks.items import Tasks
    from soce.fit.options import ObjectiveName

Key: TypeAlias = "tuple[str, str]"

_WORDS = ("out of memory", "can't allocate memory", "not enough memory")


class ItemLosses:
    """The loss of items, in nats; the mean over the categories of some items is what a fit minimises.

    =================  ====================================================  ================================
    kind of item       ``nll``, per token                                    ``entropy``
    =================  ====================================================  ================================
    multiple_choice    of the right choice                                   of what the model chooses from
                                                                             the choices
    perplexity         of the text                                           of the next token, mean over the
                                                                             text
    all others         of the answer, the first if there are several         of the first token after the
                                                                             prompt
    =================  ====================================================  ================================

    Raises
    ------
    EvaluationError
        A model that is not causal.
    """

    def __init__(self, soup: SoupModel, tasks: Tasks, name: ObjectiveName, *, max_length: int | None) -> None:
        self._soup = soup
        self._is_entropy = name == "entropy"
        with quiet(require_torch()[1]):
            encoder = open_encoder(soup, max_length=max_length)
            asked = _of_predictions if self._is_entropy else _of_answers
            self._requests = {item.key: asked(encoder, item) for item in tasks.items}
        self._choices = {item.key for item in tasks.items if item.kind == "multiple_choice"}
        self.cut = encoder.cut
        """How many prompts lost their beginning, because they do not fit."""

    def loss(self, keys: Sequence[Key]) -> torch.Tensor:
        """Return the mean loss of items, with its graph where gradients are wanted."""
        import torch

        return torch.stack(self._losses(keys)).mean()

    def mean(
        self,
        items: Mapping[str, Sequence[str]],
        *,
        size: int,
        on_progress: OnProgress | None = None,
    ) -> float:
        """Return the mean over categories of their items' mean loss, without a graph; `size` at once."""
        import torch

        keys = [(category, item) for category, ids in items.items() for item in ids]
        found: dict[Key, float] = {}
        tell = on_progress or no_progress
        with torch.inference_mode():
            for start in range(0, len(keys), size):
                some = keys[start : start + size]
                losses = torch.stack(self._losses(some)).tolist()
                found.update(zip(some, losses, strict=True))
                tell(len(found), len(keys))
        means = [math.fsum(found[name, item] for item in ids) / len(ids) for name, ids in items.items()]
        return math.fsum(means) / len(means)

    def _losses(self, keys: Sequence[Key]) -> list[torch.Tensor]:
        """Return the loss of each item."""
        requests = [request for key in keys for request in self._requests[key]]
        try:
            predicted = iter(self._predicted(requests))
        except RuntimeError as error:
            if not any(word in str(error) for word in _WORDS):
                raise
            refuse("memory runs out", "give a smaller `batch` or `max_length`", cause=error)
        return [self._loss(key, [next(predicted) for _ in self._requests[key]]) for key in keys]

    def _loss(self, key: Key, predicted: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the loss of an item, of what was predicted for its requests."""
        import torch

        if not self._is_entropy or key in self._choices:
            logs = [
                one.gather(-1, torch.tensor(request.tokens[-request.scored :], device=one.device)[:, None])
                for one, request in zip(predicted, self._requests[key], strict=True)
            ]
            if not self._is_entropy:
                return -torch.cat(logs).mean()
            return _entropy(torch.stack([one.sum() for one in logs]).log_softmax(-1))
        return _entropy(torch.cat([*predicted])).mean()

    def _predicted(self, requests: Sequence[Request]) -> list[torch.Tensor]:
        """Return logarithms of probabilities for each request, of shape (scored, words)."""
        import torch

        model = self._soup.model
        rows = [request.tokens[:-1] for request in requests]
        ids, mask = padded(rows, left=False, pad=0, device=self._soup.device)
        n_last = ids.shape[1]
        options: dict[str, Any] = {}
        if "logits_to_keep" in inspect.signature(model.forward).parameters:
            n_last -= min(len(row) - one.scored for row, one in zip(rows, requests, strict=True))
            options["logits_to_keep"] = n_last
        output = model(input_ids=ids, attention_mask=mask, use_cache=False, **options)
        found = []
        for row, request, logits in zip(rows, requests, output.logits, strict=True):
            end = len(row) - (ids.shape[1] - n_last)
            scores = logits[end - request.scored : end]
            wide = torch.promote_types(scores.dtype, torch.float32)
            found.append(scores.to(wide).log_softmax(-1))
        return found


def _entropy(logs: torch.Tensor) -> torch.Tensor:
    return -(logs.exp() * logs).sum(-1)


def check_answers(tasks: Tasks) -> None:
    """Refuse items of which nobody says what is right."""
    without = [item for item in tasks.items if not item.answers]
    if without:
        first = f"item `{shown(without[0].id)}` of category `{shown(without[0].category)}`"
        which = f"{counted(len(without), 'item has', 'items have')} no answer, the first is {first}"
        refuse(which, "`nll` needs answers; `entropy` does without", tasks.source)


def _of_answers(encoder: Encoder, item: Item) -> list[Request]:
    """Return what the answer to an item is, as tokens."""
    return encoder.requests(item) if item.kind == "perplexity" else [encoder.request(item, item.answers[0])]


def _of_predictions(encoder: Encoder, item: Item) -> list[Request]:
    """Return what the model predicts about an item, without a look at which answer is right."""
    if item.kind in ("multiple_choice", "perplexity"):
        return encoder.requests(item)
    given = encoder.prompt(item, most=1, stop=()).tokens
    return [Request((*given, given[-1]), 1)]  # the last one only takes the place of what is predicted
