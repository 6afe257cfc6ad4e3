"""A served model as lm-evaluation-harness sees it: prompts are encoded here and answered by an engine."""

from __future__ import annotations

import json
import math
from collections import Counter
from functools import cached_property, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.evaluation import refuse
from soce.evaluate.live.loading import load_config, load_generation_config
from soce.evaluate.lm_eval.encoding import Encoding
from soce.evaluate.lm_eval.endings import without_thought
from soce.evaluate.lm_eval.model import lm_eval
from soce.evaluate.lm_eval.replies import log_likelihood, message_written, tokens_written
from soce.evaluate.lm_eval.sampling import Sampling
from soce.evaluate.lm_eval.tasks import refuse_chat
from soce.evaluate.tasks.endings import TextEnds
from soce.exceptions import shown
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeVar

    from soce.evaluate.answers import Ending
    from soce.evaluate.lm_eval.endings import Endings
    from soce.evaluate.lm_eval.options import LmEvalOptions
    from soce.evaluate.served.model import ServedModel

    Read = TypeVar("Read")

_MEANINGLESS: Final = {
    "backend": "an engine serves models that write from left to right",
    "logits_cache": "the engine has a cache of its own",
    "softmax_dtype": "the engine chooses it",
}


def endpoint_model(soup: ServedModel, options: LmEvalOptions) -> Any:  # noqa: ANN401 - the harness is not annotated
    """Return what the harness takes for a model, which refuses options that mean nothing to an engine."""
    if options.batch_size is not None:
        refuse("`batch_size` means nothing to an engine", "it makes batches itself: leave it out")
    for name in sorted(_MEANINGLESS.keys() & options.settings.keys()):
        refuse(f"the setting `{name}` means nothing to an engine", _MEANINGLESS[name])
    mark = options.settings.get("think_end_token")
    if options.settings.get("enable_thinking") and mark is None and not options.chat_completions:
        refuse("`enable_thinking` needs `think_end_token`")
    if options.chat_completions and (isinstance(mark, int) or str(mark).isdigit()):
        refuse("`think_end_token` is the number of a token", "engines answer a chat in text: give its text")
    model_class: Any = type("Endpoint", (EndpointModel, lm_eval("api.model").TemplateLM), {})
    return model_class(soup, options)


class EndpointModel(Encoding):
    """What the harness asks of a model, asked of an engine.

    Requests are those of the harness's own ``local-completions``, or of its ``local-chat-completions``. How
    texts are encoded, cut to the window and ended is not: where those differ from its ``HFLM``, this does as
    ``HFLM``, so that scores are those of the model in process. A request that fails ends the evaluation.
    """

    cache_hook: Any
    endings: Endings

    def __init__(self, soup: ServedModel, options: LmEvalOptions) -> None:
        super().__init__(soup.tokenizer, options)
        self._soup = soup
        self._seed = options.seeds[2]
        set_length: Any = options.settings.get("max_length")
        self._length: int | None = set_length
        self._n_cut = 0

    def set_cache_hook(self, cache_hook: Any) -> None:  # noqa: ANN401
        """Begin an evaluation, whose progress the hook is told."""
        self.cache_hook, self._n_cut = cache_hook, 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the evaluation's scores must know."""
        if not self._n_cut:
            return ()
        room = f"the last {self._most} tokens, for which the engine has room, and not {self.max_length + 1}"
        return (f"{counted(self._n_cut, 'request')} saw {room}",)

    def check_requests(self, task: str, requests: Sequence[Sequence[Any]]) -> None:
        """Raise EvaluationError for a task that cannot be asked of an engine."""
        for one in (one for document in requests for one in document):
            if one.arguments[2:]:
                refuse(f"task `{shown(task)}` asks about more than texts", "score it without an engine")
            if one.request_type == "generate_until":
                Sampling.of(one.arguments[1], task)
            elif self.is_chat:
                refuse_chat(task)
            elif self.enable_thinking and one.request_type == "loglikelihood":
                refuse(f"task `{shown(task)}` needs log-likelihoods, which leave no room to think")

    # ---- the window

    @cached_property
    def max_length(self) -> int:
        """How many tokens the model sees at once: as is set, or as config and engine allow."""
        window = self._soup.max_length
        if self._length is None:
            config = load_config(self._soup.ingredients[0])
            usual = int(lm_eval("models.utils").resolve_max_length(config, self.tokenizer))
            return usual if window is None else min(usual, window)
        if window is not None and self._length > window:
            message = f"`max_length` is {self._length}, but the engine's window has {window} tokens"
            refuse(message, "start it with a larger one, or set a smaller one")
        return self._length

    @cached_property
    def _most(self) -> int:
        """The tokens of a request whose log-likelihoods are told: an engine wants room for one more.

        In process there may be one more than `max_length`, as the last one is only predicted.
        """
        window = self._soup.max_length
        return min(self.max_length + 1, (self.max_length if window is None else window) - 1)

    @cached_property
    def _end_tokens(self) -> list[int]:
        """What ends a text in process; engines may know less of it."""
        first = self._soup.ingredients[0]
        ends = TextEnds(self.tokenizer, load_config(first), load_generation_config(first))
        return sorted(ends.tokens)

    # ---- what is asked

    def loglikelihood(self, requests: Sequence[Any], **_: object) -> list[tuple[float, bool]]:
        """Return the log-likelihood of each continuation, and whether it is the likeliest."""
        found: list[tuple[float, bool]] = super().loglikelihood(requests, disable_tqdm=True)  # type: ignore[misc]
        return found

    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **_: object
    ) -> list[tuple[float, bool]]:
        pairs = [(context, scored) for _, context, scored in requests]
        return self._likelihoods(pairs, len(requests))

    def loglikelihood_rolling(self, requests: Sequence[Any], **_: object) -> list[float]:
        """Return the log-likelihood of each text, in windows that follow each other."""
        utils = lm_eval("utils")
        length = min(self.max_length, self._most - 1)
        windows: list[tuple[list[int], list[int]]] = []
        ends = []
        for request in requests:
            tokens = self.tok_encode(request.args[0])
            self._n_cut += len(tokens) > length < self.max_length
            found = utils.get_rolling_token_windows(tokens, self.prefix_token_id, length, 1)
            windows += map(utils.make_disjoint_window, found)
            ends.append(len(windows))
        logs = [log for log, _ in self._likelihoods(windows, len(requests))]
        return [math.fsum(logs[start:end]) for start, end in pairwise([0, *ends])]

    def _likelihoods(
        self, pairs: Sequence[tuple[list[int], list[int]]], n_requests: int
    ) -> list[tuple[float, bool]]:
        """Return log-likelihoods of tokens after others, and whether each of them is the likeliest."""
        bodies, readers = [], []
        for context, scored in pairs:
            if not 0 < len(scored) < self._most:
                message = f"log-likelihoods of {counted(len(scored), 'token')} are asked for"
                refuse(message, f"the engine tells those of 1 to {self._most - 1}")
            tokens = context + scored
            self._n_cut += self._most < min(len(tokens), self.max_length + 1)
            tokens = tokens[-self._most :]
            bodies.append({"prompt": tokens, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True})
            readers.append(partial(log_likelihood, n_tokens=len(tokens), n_scored=len(scored)))
        return self._ask("/v1/completions", bodies, readers, n_requests)

    def generate_until(self, requests: Sequence[Any], **_: object) -> list[str]:
        """Return the text that follows each prompt, until one of its stops."""
        bodies, readers = [], []
        times: Counter[str] = Counter()
        for request in requests:
            prompt, arguments = request.args
            sampling = Sampling.of(arguments, request.task_name)
            which = json.dumps(request.args, default=str)
            bodies.append(
                self._asked(prompt, sampling) | sampling.arguments_of(self._seed, which, times[which])
            )
            readers.append(partial(self._said if self.is_chat else self._written, sampling.stops))
            times[which] += 1
        path = "/v1/chat/completions" if self.is_chat else "/v1/completions"
        texts = []
        for request, (text, ending) in zip(
            requests, self._ask(path, bodies, readers, len(requests)), strict=True
        ):
            self.endings.found(request.args, ending)
            texts.append(text)
        return texts

    def _asked(self, prompt: str, sampling: Sampling) -> dict[str, Any]:
        """Return a request for a text. The stops of a model that thinks are looked for after its thought."""
        body: dict[str, Any] = {"max_tokens": sampling.most, "stop_token_ids": self._end_tokens}
        stops = [stop for stop in sampling.stops if stop != self.end]
        if stops and self.think_end_token is None:
            body["stop"] = stops
        if self.is_chat:
            messages = json.loads(prompt)
            if messages[-1]["role"] == "assistant":  # the beginning of an answer
                body |= {"add_generation_prompt": False, "continue_final_message": True}
            if self.chat_template_args:
                body["chat_template_kwargs"] = self.chat_template_args
            return {**body, "messages": messages}
        if any(token in stop or stop in token for stop in stops for token in self.special):
            body["skip_special_tokens"] = False  # or the engine does not see them, as `HFLM` does
        room = self.max_length - sampling.most
        if room < 1:
            message = f"texts may have {sampling.most} tokens, the whole window of {self.max_length}"
            refuse(message, "lower `max_gen_toks` in `gen_kwargs`")
        return {**body, "prompt": self.prompt_tokens(prompt)[-room:], "return_token_ids": True}

    def _written(self, stops: Sequence[str], reply: Mapping[str, Any]) -> tuple[str, Ending]:
        """Return the text of a reply and why it ended, as `HFLM` makes them of tokens."""
        tokens, is_full = tokens_written(reply)
        return self._cut(stops, *without_thought(self, tokens), is_full=is_full)

    def _said(self, stops: Sequence[str], reply: Mapping[str, Any]) -> tuple[str, Ending]:
        text, is_full = message_written(reply)
        if self.think_end_token is not None:
            text = text.split(str(self.think_end_token))[-1]
        return self._cut(stops, text, is_full=is_full)

    def _cut(self, stops: Sequence[str], text: str, *others: str, is_full: bool) -> tuple[str, Ending]:
        """Return a text up to its first stop; it ended by length only if there is none."""
        is_cut = is_full and not any(stop in seen for stop in stops for seen in (text, *others))
        if self.think_end_token is not None:
            text = text.lstrip()
        cut = lm_eval("models.utils").postprocess_generated_text(text, [*stops, self.end], None)
        return cut, "length" if is_cut else "stop"

    def _ask(
        self,
        path: str,
        bodies: Sequence[Mapping[str, Any]],
        readers: Sequence[Callable[[Mapping[str, Any]], Read]],
        n_requests: int,
    ) -> list[Read]:
        """Return what was read from the replies; progress is told as of `n_requests`."""
        answered = 0

        def on_done(count: int) -> None:
            nonlocal answered
            before, answered = answered * n_requests // len(bodies), answered + count
            self.cache_hook.count(answered * n_requests // len(bodies) - before)

        def read(place: int, reply: Mapping[str, Any]) -> Read:
            return readers[place](reply)

        soup = self._soup
        named = [{"model": soup.model, **body} for body in bodies]
        return soup.client.ask_all(path, named, on_done, read=read, concurrency=soup.concurrency)
