"""What a live model writes after a prompt, and why it ends there."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.tasks.endings import TextEnds
from soce.evaluate.tasks.forward import padded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch
    from transformers import PreTrainedModel

    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.tasks.encoding import Prompt
    from soce.evaluate.tasks.forward import Batches
    from soce.evaluate.tasks.inference import Written

_DEVICE_TIMES: Final = 4
"""How many times the budget of a batch keys and values may take on a device, which has memory of its own."""


class Writer:
    """Lets a live causal model write after prompts, many at once, always the likeliest token.

    The model's own settings for generation (penalties, sampling) are not used, but its end tokens are.
    """

    def __init__(self, soup: SoupModel, batches: Batches, *, window: int) -> None:
        self._soup = soup
        self._batches = batches
        self._window = window
        model = soup.model
        self._ends = TextEnds(soup.tokenizer, model.config, model.generation_config)

    def texts(self, prompts: Sequence[Prompt], on_done: Callable[[int], object]) -> list[Written]:
        """Return what the model writes after each prompt; `on_done` is called with each batch's size."""
        if not prompts:
            return []
        import torch

        model, tokenizer = self._soup.model, self._soup.tokenizer
        pad = (
            tokenizer.pad_token_id
            if tokenizer.pad_token_id is not None
            else min(self._ends.tokens, default=0)
        )
        options: dict[str, Any] = {"do_sample": False, "num_beams": 1, "pad_token_id": pad}
        options["eos_token_id"] = sorted(self._ends.tokens) or None

        def write(batch: list[Prompt]) -> list[Written]:
            ids, mask = padded([one.tokens for one in batch], left=True, pad=pad, device=self._soup.device)
            most = max(one.most for one in batch)
            options["stopping_criteria"] = [self._is_done(batch, given=ids.shape[1])]
            with torch.inference_mode(), _plain(model):
                generate: Any = model.generate
                found = generate(input_ids=ids, attention_mask=mask, max_new_tokens=most, **options)
            return list(map(self._ends.written, batch, found[:, ids.shape[1] :].tolist()))

        def work(batch: list[Prompt]) -> list[Written]:
            return [one for part in self._within(batch) for one in write(part)]

        budget = 1 if self._soup.device.type == "cpu" else _DEVICE_TIMES
        return self._batches.run(
            prompts,
            length=lambda one: len(one.tokens),
            cost=lambda batch: self._cache_bytes(batch) // budget,
            work=work,
            on_done=lambda batch: on_done(len(batch)),
        )

    def _within(self, batch: Sequence[Prompt]) -> list[list[Prompt]]:
        """Return parts of a batch that stay in the window: rows of one go on until its last is done."""
        parts: list[list[Prompt]] = []
        for one in batch:
            joined = [*parts[-1], one] if parts else [one]
            if parts and _length(joined) <= self._window:
                parts[-1] = joined
            else:
                parts.append([one])
        return parts

    def _cache_bytes(self, batch: Sequence[Prompt]) -> int:
        """Return what keys and values of a batch take, roughly."""
        model = self._soup.model
        config: Any = model.config.get_text_config()
        hidden = getattr(config, "hidden_size", 4096)
        n_heads = getattr(config, "num_attention_heads", None) or 1
        n_kept = getattr(config, "num_key_value_heads", None) or n_heads
        width = n_kept * (getattr(config, "head_dim", None) or hidden // n_heads)
        token_bytes = 2 * getattr(config, "num_hidden_layers", 32) * width * model.dtype.itemsize
        return token_bytes * len(batch) * _length(batch)

    def _is_done(self, batch: Sequence[Prompt], *, given: int) -> Callable[..., torch.Tensor]:
        """Return what tells `generate` after every token which rows need no more."""
        import torch

        decode = self._soup.tokenizer.batch_decode
        special = [self._ends.special(one.stop) for one in batch]
        # A token holds a byte at least; one more, as the first of some may lose the space in front of it.
        reach = 1 + max((len(word.encode()) for one in batch for word in one.stop), default=0)

        def is_done(ids: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
            length = ids.shape[1] - given
            last = zip(batch, ids[:, -1].tolist(), special, strict=True)
            done = [length >= one.most or token in ends for one, token, ends in last]
            if reach > 1:
                texts = decode(ids[:, -min(length, reach) :], skip_special_tokens=True)
                for i, (one, text) in enumerate(zip(batch, texts, strict=True)):
                    done[i] = done[i] or any(word in text for word in one.stop)
            return torch.tensor(done, device=ids.device)

        return is_done


def _length(batch: Sequence[Prompt]) -> int:
    return max(len(one.tokens) for one in batch) + max(one.most for one in batch)


@contextmanager
def _plain(model: PreTrainedModel) -> Iterator[None]:
    """Put the model's own generation settings aside; they would fill in what is not given."""
    from transformers import GenerationConfig

    own = model.generation_config
    model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        model.generation_config = own
