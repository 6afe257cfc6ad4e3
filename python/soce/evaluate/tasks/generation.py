"""Greedy continuations."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from soce.evaluate.tasks.batching import padded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from soce.evaluate.tasks.batching import Batches


def continuations(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[tuple[int, ...]],
    *,
    max_new_tokens: int,
    stop: Sequence[str],
    stop_tokens: frozenset[int],
    batches: Batches,
    on_done: Callable[[int], object],
) -> list[str]:
    """Return what the model writes after each prompt, up to the first stop, the end or `max_new_tokens`.

    Always the likeliest token; the model's own generation settings (penalties, sampling) are not used, but
    its end tokens are. It need not write on after `stop_tokens`, which hold a stop, see `tokens_with`.
    """
    import torch

    if not prompts:
        return []
    config: Any = model.config.get_text_config()
    ends = _ends(model, tokenizer)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends, default=0)
    stops = ends | stop_tokens
    # What keys and values of a row take, roughly: hidden states of every layer, twice.
    layers = getattr(config, "num_hidden_layers", 32) * getattr(config, "hidden_size", 4096)
    token_bytes = max(1, 2 * layers * model.dtype.itemsize)

    def work(batch: list[tuple[int, ...]]) -> list[str]:
        ids, mask = padded(batch, left=True, pad=pad, device=model.device)
        with torch.inference_mode(), _plain(model):
            generate: Any = model.generate
            written = generate(
                input_ids=ids,
                attention_mask=mask,
                do_sample=False,
                num_beams=1,
                max_new_tokens=max_new_tokens,
                eos_token_id=sorted(stops) or None,
                pad_token_id=pad,
            )[:, ids.shape[1] :]
        return [_text(tokenizer, row, ends, stop) for row in written.tolist()]

    return batches.run(
        prompts,
        length=len,
        cost=lambda batch: token_bytes * len(batch) * (max(map(len, batch)) + max_new_tokens),
        work=work,
        on_done=lambda batch: on_done(len(batch)),
    )


def _text(
    tokenizer: PreTrainedTokenizerBase, tokens: Sequence[int], ends: set[int], stop: Sequence[str]
) -> str:
    """Return the text before the first end token and the first stop."""
    length = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
    text = str(tokenizer.decode(list(tokens[:length]), skip_special_tokens=True))
    for word in stop:
        text = text.split(word, 1)[0]
    return text


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """Return every token that means the end to the tokenizer, the model or its generation settings."""
    ends: set[int] = set()
    for holder in (tokenizer, model.config, model.generation_config):
        found: Any = getattr(holder, "eos_token_id", None)
        ends |= {found} if isinstance(found, int) else set(found or ())
    return ends


def tokens_with(tokenizer: PreTrainedTokenizerBase, stop: Sequence[str]) -> frozenset[int]:
    """Return the tokens whose text holds one of the stops."""
    texts = tokenizer.batch_decode([[token] for token in range(len(tokenizer))])
    return frozenset(token for token, text in enumerate(texts) if any(word in text for word in stop))


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
