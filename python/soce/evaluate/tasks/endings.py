"""Where a text ends, and why: the same for every model that writes one."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from soce.evaluate.tasks.inference import Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import GenerationConfig, PretrainedConfig, PreTrainedTokenizerBase

    from soce.evaluate.tasks.encoding import Prompt


class TextEnds:
    """Knows the end tokens of a model, and cuts what it wrote where the text ends."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        config: PretrainedConfig,
        generation_config: GenerationConfig | None,
    ) -> None:
        self._tokenizer = tokenizer
        self._holders = (tokenizer, config, generation_config)

    @cached_property
    def tokens(self) -> set[int]:
        """Every token that means the end to the tokenizer, the model or its generation settings."""
        ends: set[int] = set()
        for holder in self._holders:
            found: Any = getattr(holder, "eos_token_id", None)
            ends |= {found} if isinstance(found, int) else set(found or ())
        return ends

    def special(self, stop: Sequence[str]) -> set[int]:
        """Return the stops that are tokens of their own, such as ``<|im_end|>``, which no text shows."""
        return {self._added[word] for word in stop if word in self._added}

    def written(self, prompt: Prompt, tokens: list[int]) -> Written:
        """Return the text before the first end token and the first stop."""
        tokens = tokens[: prompt.most]
        ends = self.tokens | self.special(prompt.stop)
        length = next((i for i, token in enumerate(tokens) if token in ends), len(tokens))
        text = str(self._tokenizer.decode(tokens[:length], skip_special_tokens=True))
        # The stop that is complete first: what a row goes on with while others of its batch are written
        # must change nothing.
        begins = [(begin + len(word), begin) for word in prompt.stop if (begin := text.find(word)) >= 0]
        if begins:
            return Written(text[: min(begins)[1]], "stop")
        return Written(text, "stop" if length < len(tokens) else "length")

    @cached_property
    def _added(self) -> dict[str, int]:
        return dict(self._tokenizer.get_added_vocab())
