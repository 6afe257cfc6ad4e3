"""How texts become tokens for an engine: exactly as the harness's `HFLM` does it in process."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from soce.evaluate.lm_eval.options import LmEvalOptions


class Encoding:
    """The part of a model of the harness that knows its tokenizer.

    The harness's own classes for endpoints put no beginning token in front of a text unless they are told to,
    where `HFLM` does as the tokenizer does.
    """

    backend = "causal"

    def __init__(self, tokenizer: PreTrainedTokenizerBase, options: LmEvalOptions) -> None:
        super().__init__()
        settings: dict[str, Any] = {**options.settings}
        self.tokenizer: Any = tokenizer
        self.is_chat = options.chat_completions
        """Whether prompts are messages, from which the engine makes tokens."""
        self.add_bos_token: bool | None = settings.get("add_bos_token")
        self._prefix: int | None = settings.get("prefix_token_id")
        self._truncation = bool(settings.get("truncation"))
        mark: str | int | None = settings.get("think_end_token")
        self.think_end_token = int(mark) if isinstance(mark, str) and mark.isdigit() else mark
        self.enable_thinking: bool | None = settings.get("enable_thinking")
        self.chat_template_args: dict[str, Any] = {**(settings.get("chat_template_args") or {})}
        if self.enable_thinking is not None:
            self.chat_template_args["enable_thinking"] = self.enable_thinking

    @cached_property
    def special(self) -> frozenset[str]:
        """Tokens that are not in the text unless they are asked for."""
        added = self.tokenizer.added_tokens_decoder.values()
        marked = (token.content for token in added if token.special)
        return frozenset({*self.tokenizer.all_special_tokens, *marked})

    @property
    def eot_token_id(self) -> int | None:
        """The token that ends a text."""
        found: int | None = self.tokenizer.eos_token_id
        return found

    @property
    def end(self) -> str:
        """That token as a text."""
        return self.tok_decode([self.eot_token_id], skip_special_tokens=False)

    @property
    def prefix_token_id(self) -> int | None:
        """The token that a text without anything before it follows."""
        begin: int | None = self.tokenizer.bos_token_id
        usual = begin if begin is not None else self.eot_token_id
        return usual if self._prefix is None else self._prefix

    @property
    def tokenizer_name(self) -> str:
        """What the harness calls the tokenizer."""
        return str(self.tokenizer.name_or_path)

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **_: object) -> list[int]:  # noqa: FBT001
        """Return the tokens of a text, with those that the tokenizer puts in front if they are not there."""
        if add_special_tokens is None:
            return self._tokens(string, self.tokenizer.decode(self.prefix_token_id))
        return [*self.tokenizer.encode(string, add_special_tokens=add_special_tokens)]

    def tok_decode(self, tokens: Sequence[int | None], skip_special_tokens: bool = True) -> str:  # noqa: FBT001, FBT002
        """Return the text of tokens."""
        return str(self.tokenizer.decode(tokens, skip_special_tokens=skip_special_tokens))

    def prompt_tokens(self, prompt: str) -> list[int]:
        """Return the tokens of a prompt that a text is to follow."""
        return self._tokens(prompt, self.tokenizer.bos_token, truncation=self._truncation)

    def _tokens(self, text: str, beginning: str | None, **settings: bool) -> list[int]:
        is_begun = beginning is not None and text.startswith(beginning)
        adds = not is_begun and self.add_bos_token is not False
        return [*self.tokenizer.encode(text, add_special_tokens=adds, **settings)]

    def apply_chat_template(
        self,
        chat_history: list[dict[str, str]],
        add_generation_prompt: bool = True,  # noqa: FBT001, FBT002
    ) -> str:
        """Return the prompt of a chat; its messages as JSON where the engine makes the prompt."""
        if self.is_chat:
            return json.dumps(chat_history, ensure_ascii=False)
        prompt: str = self.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
            **self.chat_template_args,
        )
        return prompt
