"""Items as tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.evaluation import refuse
from soce.evaluate.tasks.chat import chat_text
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from soce.evaluate.tasks.item import Item

USUAL_NEW_TOKENS: Final = 1024
"""How many tokens a text may have if nobody says: enough for a chain of thought, of which no answer tells."""

_USUAL_LENGTH: Final = 2048
_NO_LIMIT: Final = 1 << 24  # tokenizers without a limit state 10^30


@dataclass(frozen=True, slots=True)
class Request:
    """Tokens, of which the last ones are scored and all others are given."""

    tokens: tuple[int, ...]
    scored: int


@dataclass(frozen=True, slots=True)
class Prompt:
    """Tokens that a text is to follow."""

    tokens: tuple[int, ...]
    most: int
    """How many tokens the text may have."""
    stop: tuple[str, ...]
    """What it ends before, apart from end tokens."""


class Encoder:
    """Turns prompts and answers into tokens that fit the model's window; counts prompts that were cut.

    The window is `max_length`, or what config and tokenizer say but `spare` tokens.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: PretrainedConfig,
        *,
        max_length: int | None,
        spare: int = 0,
    ) -> None:
        self._tokenizer: Any = tokenizer
        self.prefix = self._found_prefix()
        start = self.prefix[-1] if self.prefix else tokenizer.bos_token_id
        self._start = start if start is not None else tokenizer.eos_token_id
        positions = getattr(config.get_text_config(), "max_position_embeddings", None)
        stated = (positions, tokenizer.model_max_length)
        limits = [int(limit) for limit in stated if limit is not None and 0 < limit < _NO_LIMIT]
        self.max_length = max_length or max(1, min(limits, default=_USUAL_LENGTH) - spare)
        self.cut = 0
        self._texts: dict[tuple[str, str], str] = {}

    def _found_prefix(self) -> tuple[int, ...]:
        """Return the special tokens that the tokenizer puts in front of a text."""
        for text in ("a", "1", "."):
            bare = self.plain([text])[0]
            whole = list(self._tokenizer(text)["input_ids"])
            for i in range(len(whole)):
                if bare and whole[i : i + len(bare)] == list(bare):
                    return tuple(whole[:i])
        return ()

    @property
    def start(self) -> int:
        """The token that a text without anything before it is predicted from."""
        if self._start is None:
            hint = "give every item a prompt, or the tokenizer a `bos_token`"
            refuse("the tokenizer has no token that a text starts with", hint)
        return int(self._start)

    def plain(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        """Return texts as tokens, without special ones."""
        if not texts:
            return []
        return [tuple(ids) for ids in self._tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    def text(self, item: Item) -> str:
        """Return what the model is given before the answer, as text."""
        if not item.messages:
            return item.prompt
        if item.key not in self._texts:
            self._texts[item.key] = chat_text(self._tokenizer, item)
        return self._texts[item.key]

    def requests(self, item: Item) -> list[Request]:
        """Return what the model is asked about an item: nothing of one whose answer it writes itself."""
        if item.is_written:
            return []
        if item.kind != "perplexity":
            return [self.request(item, answer) for answer in item.choices or (item.answer,)]
        tokens = self.plain([item.answer])[0]
        if not tokens:
            self._refuse_empty(item)
        return rolling(tokens, start=self.start, max_length=self.max_length)

    def request(self, item: Item, answer: str) -> Request:
        """Return the request for an answer after the item's prompt."""
        if item.messages:  # whose template puts all in its place, spaces too
            given, said = self.plain([self.text(item), answer])
            tokens = whole = (*given, *said)
        else:
            prompt = item.prompt.rstrip()
            answer = item.prompt[len(prompt) :] + answer
            given, whole = self.plain([prompt, prompt + answer])
            tokens = (*self.prefix, *whole)
        if whole == given:
            self._refuse_empty(item)
        scored = max(1, len(whole) - len(given))
        if len(tokens) == scored:
            tokens = (self.start, *tokens)
        if len(tokens) > self.max_length + 1:
            self.cut += 1
            tokens = tokens[-self.max_length - 1 :]
        return Request(tokens, min(scored, len(tokens) - 1))

    def prompt(self, item: Item, *, most: int | None, stop: tuple[str, ...]) -> Prompt:
        """Return the item's prompt, which `most` new tokens may follow; it is cut if they would not fit.

        What the item says goes first. Without `most` they are as many as `USUAL_NEW_TOKENS` or, if those are
        fewer, as the window has left: only a prompt that leaves less than a quarter of it is cut then.
        """
        most = item.max_new_tokens or most
        if most is not None and most >= self.max_length:
            place = f"category `{shown(item.category)}`, item `{shown(item.id)}`"
            message = f"{most} new tokens leave no room for a prompt in a window of {self.max_length}"
            refuse(f"{place}: {message}", "give a smaller `max_new_tokens`")
        least = most or min(USUAL_NEW_TOKENS, max(1, self.max_length // 4))
        given = self.plain([self.text(item)])[0]
        tokens = given if item.messages else (*self.prefix, *given) or (self.start,)
        if len(tokens) > self.max_length - least:
            self.cut += 1
            tokens = tokens[least - self.max_length :]
        most = most or min(USUAL_NEW_TOKENS, self.max_length - len(tokens))
        return Prompt(tokens, most, stop if item.stop is None else item.stop)

    def _refuse_empty(self, item: Item) -> None:
        place = f"category `{shown(item.category)}`, item `{shown(item.id)}`"
        refuse(f"{place}: the tokenizer makes no tokens of it", "is it the tokenizer of this model?")


def rolling(tokens: Sequence[int], *, start: int, max_length: int) -> list[Request]:
    """Return requests that together score every one of `tokens` once.

    A text longer than the window is cut into windows; the first token of each is scored after the last one of
    the window before it only, the first of all after `start`. The last window is filled from the left.
    """
    requests = []
    whole = (start, *tokens)
    for begin in range(0, len(tokens), max_length):
        end = min(begin + max_length, len(tokens))
        requests.append(Request(whole[max(0, end - max_length) : end + 1], end - begin))
    return requests
