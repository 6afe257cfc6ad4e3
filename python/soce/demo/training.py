"""A tiny Llama with a character tokenizer, and how one is trained: fixed steps, one thread, same bits.

Deliberately not here: where models go, what is cached, processes (`soce.demo.models`).
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from soce.demo.data import ALPHABET, CATEGORIES, Question, draw_any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import torch
    from transformers import LlamaConfig, PreTrainedTokenizerFast

_SPECIAL = ("<pad>", "<s>", "</s>")
_PAD, _BEGIN, _END = range(3)
_IGNORED = -100  # cross_entropy's label for what is not asked
_BATCH = 64
_WARM_UP = 20


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """Everything that one model's bits follow from, besides its starting point and the installed versions."""

    name: str
    seed: int
    steps: int
    learning_rate: float
    categories: tuple[str, ...]
    general: float
    """The fraction of batches that come from all categories instead: without them the soup loses."""


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer with one token per character, which puts ``<s>`` in front.

    It has no token for unknown characters and raises instead: nothing is scored on a prompt it cannot read.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: number for number, token in enumerate((*_SPECIAL, *ALPHABET))}
    characters = Tokenizer(models.WordLevel(vocabulary))
    characters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    characters.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", _BEGIN)]
    )
    characters.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=characters,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        model_max_length=128,
        clean_up_tokenization_spaces=False,
    )


def make_config() -> LlamaConfig:
    """Return the configuration: about 550,000 parameters, untied, with grouped-query attention."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(_SPECIAL) + len(ALPHABET),
        hidden_size=128,
        intermediate_size=336,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        pad_token_id=_PAD,
        bos_token_id=_BEGIN,
        eos_token_id=_END,
    )


def train(
    plan: TrainingPlan, base: Path | None, output: Path, *, on_step: Callable[[int], object] | None = None
) -> None:
    """Train one model on the CPU and save it with its tokenizer.

    The same plan and base give the same bits with the same versions on the same kind of processor, whatever
    else runs and whatever the caller's random state, which is left as it was.

    Parameters
    ----------
    plan : TrainingPlan
    base : Path or None
        The checkpoint to start from; None starts from random values.
    output : Path
        A directory; what is in it is overwritten.
    on_step : callable, optional
        Called with the number of steps done after each of them.
    """
    import torch
    from torch.nn.functional import cross_entropy
    from transformers import LlamaForCausalLM

    with _reproducible(plan.seed):
        if base is None:
            model: Any = LlamaForCausalLM(make_config())
        else:
            model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
        model.train()
        optimizer = torch.optim.AdamW(
            model.parameters(), lr=plan.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
        )
        # Constant after the warm-up: with a rate that decays, the soup lost to its ingredients.
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / _WARM_UP))
        for step, items in enumerate(islice(_batches(plan), plan.steps), 1):
            tokens, labels = _padded(items)
            # No attention mask: what is padded stands to the right of everything that is asked.
            logits = model(input_ids=tokens, use_cache=False).logits
            asked = labels != _IGNORED
            loss = cross_entropy(logits[:, :-1][asked], labels[asked])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if on_step is not None:
                on_step(step)
        model.save_pretrained(output)
        make_tokenizer().save_pretrained(output)


def _batches(plan: TrainingPlan) -> Iterator[list[Question]]:
    """Yield batches for ever, each from the plan's own categories or from all of them."""
    rng = random.Random(f"{plan.name} {plan.seed}")
    own, every = (draw_any(names, "train", rng) for names in (plan.categories, CATEGORIES))
    while True:
        yield list(islice(every if rng.random() < plan.general else own, _BATCH))


def _padded(items: Sequence[Question]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return tokens (n, length) and, for each but the first, what to learn there (n, length - 1)."""
    import torch

    numbers = {character: number for number, character in enumerate(ALPHABET, len(_SPECIAL))}
    prompts = [[_BEGIN, *(numbers[c] for c in item.prompt)] for item in items]
    answers = [[*(numbers[c] for c in item.answer), _END] for item in items]
    length = max(len(p) + len(a) for p, a in zip(prompts, answers, strict=True))
    tokens = torch.full((len(items), length), _PAD)
    labels = torch.full((len(items), length - 1), _IGNORED)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(prompt) + len(answer)
        tokens[row, :end] = torch.tensor(prompt + answer)
        labels[row, len(prompt) - 1 : end - 1] = torch.tensor(answer)
    return tokens, labels


@contextlib.contextmanager
def _reproducible(seed: int) -> Iterator[None]:
    """Seed torch and use one thread (two add up in another order), for as long as this lasts."""
    import torch

    threads = torch.get_num_threads()
    with _no_progress_bars(), torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.enable_grad():
        torch.default_generator.manual_seed(seed)  # not torch.manual_seed: it seeds every device
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


@contextlib.contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing its own bars on stderr."""
    from transformers.utils import logging

    enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if enabled:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]
