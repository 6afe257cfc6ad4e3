"""The live model asked about many prompts at once."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from soce.evaluate.engines.transformers.asked import Guess, Reply
from soce.evaluate.tasks.forward import padded

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from soce.evaluate.engines.transformers.asked import Ask, Guesses
    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.tasks.forward import Batches


class Asker:
    """Asks the model what follows prompts, always the likeliest token, and how likely their tokens are."""

    def __init__(self, soup: SoupModel, batches: Batches, *, window: int) -> None:
        from transformers import GenerationConfig

        self._soup = soup
        self._batches = batches
        self._window = window
        config: Any = soup.model.config.get_text_config()
        self.vocabulary = int(getattr(config, "vocab_size", 1 << 16))
        """Tokens that the model knows."""
        self._first_end = soup.tokenizer.eos_token_id
        self._ends = _model_ends(soup)
        # The model's own settings (penalties, sampling) would fill in what `generate` is not given.
        soup.model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]

    def answers(self, asks: Sequence[Ask]) -> list[Reply]:
        """Return what the model says to each."""
        numbers = range(len(asks))
        looked = [i for i in numbers if asks[i].prompt_top is not None]
        seen = dict(zip(looked, self._look([asks[i] for i in looked]), strict=True))
        written = [i for i in numbers if i not in seen or asks[i].most > 1]
        said = dict(zip(written, self._write([asks[i] for i in written]), strict=True))
        return [
            replace(said[i], prompt_guesses=seen[i].prompt_guesses)
            if i in seen and i in said
            else seen.get(i) or said[i]
            for i in numbers
        ]

    def _look(self, asks: Sequence[Ask]) -> list[Reply]:
        """Return guesses about prompts, and the token that follows them: one pass tells both."""
        # Logits in the model's dtype, the same in float32, and what is compared with them.
        position_bytes = self.vocabulary * (self._soup.model.dtype.itemsize + 9)
        return self._batches.run(
            asks,
            length=lambda ask: len(ask.tokens),
            cost=lambda batch: position_bytes * len(batch) * max(len(ask.tokens) for ask in batch),
            work=self._look_at,
            on_done=len,
        )

    def _look_at(self, asks: Sequence[Ask]) -> list[Reply]:
        import torch

        model = self._soup.model
        ids, mask = padded([ask.tokens for ask in asks], left=False, pad=0, device=self._soup.device)
        found = []
        with torch.inference_mode():
            output = model(input_ids=ids, attention_mask=mask, use_cache=False)
            for ask, logits in zip(asks, output.logits, strict=True):
                scores = logits[: len(ask.tokens)].float()  # (tokens, words)
                next_token = int(scores[-1].argmax())
                targets = torch.tensor([*ask.tokens[1:], next_token], device=scores.device)
                known = max(ask.prompt_top or 0, ask.top or 0)
                *guesses, last = _guesses(scores, targets, known)
                prompt = (None, *(_first(one, ask.prompt_top or 0) for one in guesses))
                said = self._said(ask, [next_token], [_first(last, ask.top or 0)]) if ask.most else Reply()
                found.append(replace(said, prompt_guesses=prompt))
        return found

    def _write(self, asks: Sequence[Ask]) -> list[Reply]:
        return self._batches.run(
            asks,
            length=lambda ask: len(ask.tokens),
            cost=self._cache_bytes,
            work=lambda batch: [said for part in self._within(batch) for said in self._write_after(part)],
            on_done=len,
        )

    def _cache_bytes(self, asks: Sequence[Ask]) -> int:
        """Return what keys and values of a batch take, roughly."""
        config: Any = self._soup.model.config.get_text_config()
        hidden = getattr(config, "hidden_size", 4096)
        token_bytes = 2 * getattr(config, "num_hidden_layers", 32) * hidden * self._soup.model.dtype.itemsize
        return token_bytes * len(asks) * _length(asks)

    def _within(self, asks: Sequence[Ask]) -> list[list[Ask]]:
        """Return parts of a batch that stay in the window: rows of one go on until its last is done."""
        parts: list[list[Ask]] = []
        for ask in asks:
            joined = [*parts[-1], ask] if parts else [ask]
            if parts and _length(joined) <= self._window:
                parts[-1] = joined
            else:
                parts.append([ask])
        return parts

    def _write_after(self, asks: Sequence[Ask]) -> list[Reply]:
        import torch

        model, tokenizer = self._soup.model, self._soup.tokenizer
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        ids, mask = padded([ask.tokens for ask in asks], left=True, pad=pad, device=self._soup.device)
        given = ids.shape[1]
        guesses: list[list[Guesses]] = [[] for _ in asks]

        def note(_: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            """Keep guesses about the token that is about to be written; `generate` calls it before each."""
            wanted = [i for i, ask in enumerate(asks) if ask.top is not None]
            if wanted:
                some = scores[wanted]
                known = max(asks[i].top or 0 for i in wanted)
                for i, one in zip(wanted, _guesses(some, some.argmax(-1), known), strict=True):
                    guesses[i].append(_first(one, asks[i].top or 0))
            return scores

        with torch.inference_mode():
            generate: Any = model.generate
            found = generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=max(ask.most for ask in asks),
                do_sample=False,
                num_beams=1,
                pad_token_id=pad,
                logits_processor=[note],
                stopping_criteria=[self._is_done(asks, given=given)],
            )
        written = found[:, given:].tolist()
        return [self._said(*one) for one in zip(asks, written, guesses, strict=True)]

    def _is_done(self, asks: Sequence[Ask], *, given: int) -> Callable[..., torch.Tensor]:
        """Return what tells `generate` after every token which rows need no more."""
        import torch

        ends = [self._ends_of(ask).keys() for ask in asks]
        # A token holds a byte at least; one more, as the first of some may lose the space in front of it.
        reach = 1 + max((len(word.encode()) for ask in asks for word in ask.stop), default=0)

        def is_done(ids: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
            length = ids.shape[1] - given
            done = [
                length >= ask.most or token in own
                for ask, token, own in zip(asks, ids[:, -1].tolist(), ends, strict=True)
            ]
            if reach > 1:
                last = ids[:, -min(length, reach) :].tolist()
                for i, ask in enumerate(asks):
                    text = self._decode(ask, last[i]) if ask.stop and not done[i] else ""
                    done[i] = done[i] or any(word in text for word in ask.stop)
            return torch.tensor(done, device=ids.device)

        return is_done

    def _said(self, ask: Ask, tokens: Sequence[int], guesses: Sequence[Guesses]) -> Reply:
        """Return what ends at the first complete stop: a row may have gone on for others of its batch."""
        ends = self._ends_of(ask)
        tokens = tokens[: ask.most]
        length = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
        text = self._decode(ask, tokens[:length])
        if any(word in text for word in ask.stop):

            def holds_stop(count: int) -> bool:
                text = self._decode(ask, tokens[:count])
                return any(word in text for word in ask.stop)

            count = bisect_left(range(length + 1), x=True, key=holds_stop)
            text = self._decode(ask, tokens[:count])
            begins = [(text.find(word) + len(word), word) for word in ask.stop if word in text]
            end, word = min(begins)
            kept, text = tuple(tokens[:count]), text[: end - len(word)]
            return Reply(kept, text, "stop", word, tuple(guesses[:count]))
        if length < len(tokens):
            kept = tuple(tokens[: length + 1])
            return Reply(kept, text, "stop", ends[tokens[length]], tuple(guesses[: length + 1]))
        return Reply(tuple(tokens), text, "length", None, tuple(guesses[: len(tokens)]))

    def _decode(self, ask: Ask, tokens: Sequence[int]) -> str:
        return str(self._soup.tokenizer.decode(list(tokens), skip_special_tokens=not ask.shows_special))

    def _ends_of(self, ask: Ask) -> dict[int, int | str | None]:
        """Return the tokens that end an answer, with what is said of each."""
        ends: dict[int, int | str | None] = {}
        if not ask.ignore_ends:
            ends |= {token: None if token == self._first_end else token for token in self._ends}
        ends |= {self._added[word]: word for word in ask.stop if word in self._added}
        return ends | {token: token for token in ask.stop_tokens}

    @cached_property
    def _added(self) -> dict[str, int]:
        """Tokens that are texts of their own, such as ``<|im_end|>``, which no text shows."""
        return dict(self._soup.tokenizer.get_added_vocab())


def _model_ends(soup: SoupModel) -> set[int]:
    """Return every token that means the end to the tokenizer, the model or its generation settings."""
    ends: set[int] = set()
    for holder in (soup.tokenizer, soup.model.config, soup.model.generation_config):
        found: Any = getattr(holder, "eos_token_id", None)
        ends |= {found} if isinstance(found, int) else set(found or ())
    return ends


def _length(asks: Sequence[Ask]) -> int:
    return max(len(ask.tokens) for ask in asks) + max(ask.most for ask in asks)


def _guesses(scores: torch.Tensor, targets: torch.Tensor, known: int) -> list[Guesses]:
    """Return the guesses about one token for each row of scores, and about the likeliest `known` ones."""
    logs = scores - scores.logsumexp(-1, keepdim=True)  # (rows, words)
    own = logs.gather(-1, targets[:, None])  # (rows, 1)
    ranks = (logs >= own).sum(-1).tolist()
    best, places = logs.topk(min(known, logs.shape[-1]), dim=-1)  # (rows, known)
    rows = zip(targets.tolist(), own[:, 0].tolist(), ranks, best.tolist(), places.tolist(), strict=True)
    return [
        {token: Guess(log, rank)}
        | {other: Guess(value, 1 + k) for k, (other, value) in enumerate(zip(others, values, strict=True))}
        for token, log, rank, values, others in rows
    ]


def _first(guesses: Guesses, count: int) -> Guesses:
    """Return the guess about the token itself, and those about the likeliest `count`."""
    own = next(iter(guesses))
    return {token: guess for token, guess in guesses.items() if token == own or guess.rank <= count}
