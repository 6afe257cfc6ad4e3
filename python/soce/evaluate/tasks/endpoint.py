"""Answers of a model behind a server: tokens go there and come back, so texts end by the same rules."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

from soce.evaluate.evaluation import refuse
from soce.evaluate.live.loading import load_config, load_generation_config
from soce.evaluate.served.model import ServedModel
from soce.evaluate.tasks.endings import TextEnds
from soce.evaluate.tasks.inference import Likelihood
from soce.exceptions import shown
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.evaluate.served.outline import ServedOutline
    from soce.evaluate.tasks.encoding import Prompt, Request
    from soce.evaluate.tasks.inference import Key, Written

SPARE: Final = 2
"""By how many tokens the window of a served model is smaller. In this process the last token that is scored
need not be given, and nothing has to follow it; an engine is given all, and writes one more."""

T = TypeVar("T")

_ROUTE: Final = "/v1/completions"


class EndpointInference:
    """Asks a `ServedModel`, as many requests at once as keep its engine busy."""

    def __init__(self, model: ServedOutline) -> None:
        self._model = model
        first = model.ingredients[0]
        self._ends = TextEnds(model.tokenizer, load_config(first), load_generation_config(first))
        self.notes: list[str] = []

    def check(self, requests: Mapping[Key, Sequence[Request]], prompts: Mapping[Key, Prompt]) -> None:
        """Refuse an item that needs more tokens than the engine takes, prompt and answer together."""
        limit = self._model.max_length if isinstance(self._model, ServedModel) else None
        if limit is None:
            return
        needed = {key: len(one.tokens) + one.most for key, one in prompts.items()}
        for key, several in requests.items():
            needed[key] = max([needed.get(key, 0), *(len(one.tokens) + 1 for one in several)])
        longest = max(needed, key=needed.__getitem__)
        if needed[longest] > limit:
            category, item = map(shown, longest)
            message = f"it needs {needed[longest]} tokens, and the engine takes {limit}"
            hint = f"give `max_length` {limit - SPARE}, which cuts it, or an engine that takes more"
            refuse(f"category `{category}`, item `{item}`: {message}", hint)

    def likelihoods(self, requests: Sequence[Request], on_done: Callable[[int], object]) -> list[Likelihood]:
        """Return one likelihood per request, from what the engine says of the tokens of a prompt."""
        # The likeliest is asked for, too, though only ranks matter: of equally likely ones it is of rank 1.
        bodies = [{"prompt": list(one.tokens), "max_tokens": 1, "prompt_logprobs": 1} for one in requests]
        return self._asked(bodies, lambda place, choice: _likelihood(requests[place], choice), on_done)

    def texts(self, prompts: Sequence[Prompt], on_done: Callable[[int], object]) -> list[Written]:
        """Return what the model writes after each prompt."""
        bodies = [
            {
                "prompt": list(one.tokens),
                "max_tokens": one.most,
                "stop": [word for word in one.stop if word],
                "stop_token_ids": sorted(self._ends.tokens | self._ends.special(one.stop)),
                "ignore_eos": True,  # all that ends a text stands in the request
                "return_token_ids": True,
            }
            for one in prompts
        ]
        return self._asked(bodies, lambda place, choice: self._written(prompts[place], choice), on_done)

    def _asked(
        self,
        bodies: Sequence[dict[str, Any]],
        read: Callable[[int, Mapping[str, Any]], T],
        on_done: Callable[[int], object],
    ) -> list[T]:
        """Return what is read from the answer to each body, by its place."""
        if not isinstance(self._model, ServedModel):
            refuse("the model is not served yet, and cannot be scored")
        asked = [{"model": self._model.model, "temperature": 0, **body} for body in bodies]
        return self._model.client.ask_all(
            _ROUTE,
            asked,
            on_done,
            read=lambda place, answer: read(place, answer["choices"][0]),
            concurrency=self._model.concurrency,
        )

    def _written(self, prompt: Prompt, choice: Mapping[str, Any]) -> Written:
        tokens, reason = choice.get("token_ids"), choice.get("finish_reason")
        if not isinstance(tokens, list):
            _refuse_reply(choice, "no tokens of its text")
        if reason != "stop" and len(tokens) < prompt.most:
            _refuse_reply(choice, f"{len(tokens)} tokens of {prompt.most}, ended by `{shown(str(reason))}`")
        return self._ends.written(prompt, tokens)


def _likelihood(request: Request, choice: Mapping[str, Any]) -> Likelihood:
    asked = request.tokens[-request.scored :]
    try:
        told = choice["prompt_logprobs"][-request.scored :]
        own = [one[str(token)] for one, token in zip(told, asked, strict=True)]
        return Likelihood(math.fsum(one["logprob"] for one in own), all(one["rank"] == 1 for one in own))
    except (AttributeError, KeyError, TypeError, ValueError):
        _refuse_reply(choice, f"no log-probabilities of {counted(request.scored, 'token')} of the prompt")


def _refuse_reply(choice: Mapping[str, Any], found: str) -> NoReturn:
    text = str(dict(choice))
    cut = f"{text[:300]}…" if len(text) > 300 else text
    refuse(f"the engine's reply has {found}: {shown(cut)}")
