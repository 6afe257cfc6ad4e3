"""The built-in evaluator: tasks of JSON Lines on a live model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from soce.evaluate.evaluation import Evaluation, refuse
from soce.evaluate.live.loading import quiet, require_torch
from soce.evaluate.tasks.batching import Batches
from soce.evaluate.tasks.encoding import Encoder
from soce.evaluate.tasks.generation import continuations, tokens_with
from soce.evaluate.tasks.likelihood import Likelihood, Request, likelihoods, rolling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.tasks.items import Item, Tasks
    from soce.recipes.model import Recipe

Normalisation: TypeAlias = Literal["none", "token", "byte"]
Unit: TypeAlias = Literal["token", "byte"]

_MOST_NATS: Final = 700.0  # exp() of it is finite; a model that gives NaN gets it
_VERSION: Final = 1  # of the meaning of scores; raise it when the same settings give other numbers


class TorchEvaluator:
    """Scores recipes on tasks, with a model whose weights are swapped in place.

    =================  ===========================================================================
    kind of item       outcome
    =================  ===========================================================================
    multiple_choice    1 if the right choice has the largest log-likelihood (the first, if equal)
    teacher_forced     1 if every token of the answer is the likeliest after those before it
    exact_match        1 if the greedy continuation up to a stop is the answer, outer spaces apart
    perplexity         exp of the mean negative log-likelihood per byte or token; lower is better
    =================  ===========================================================================

    A category's score is the mean of its items' outcomes; for perplexity the geometric mean, in which a long
    text counts as much as a short one.

    Parameters
    ----------
    soup : SoupModel
        Of a causal language model. Closed by `close`.
    tasks : Tasks
    normalise : {"none", "token", "byte"}
        What log-likelihoods of choices are divided by: nothing, or the choice's length.
    perplexity_per : {"byte", "token"}
        Bytes compare models of different tokenizers.
    batch_size : int, optional
        Rows of a batch; chosen otherwise. Halved when memory runs out, which a note of the evaluation tells.
    max_length : int, optional
        Tokens that the model sees at once; what config and tokenizer say otherwise, 2048 if they do not.
        Longer prompts lose their beginning, which a note tells; longer texts are scored in windows.
    max_new_tokens : int, optional
        Length of continuations; twice the longest answer and 8 otherwise.
    stop : sequence of str
        Where continuations end, apart from end tokens.

    Raises
    ------
    EvaluationError
        A model that is not causal, or a tokenizer that does not fit the tasks.

    Notes
    -----
    Tokens of an answer are those of prompt and answer together after those of the prompt alone; spaces at the
    end of a prompt count as the answer's, as in lm-evaluation-harness. Special tokens that the tokenizer
    puts in front of a text are put in front of prompts; none are put after.

    In float32 the batch size changes no outcome but where two choices are equal to the last digits; in BF16
    and F16 it may change close decisions, because matrix products are then summed in another order. It is
    not part of `identity`.
    """

    def __init__(
        self,
        soup: SoupModel,
        tasks: Tasks,
        *,
        normalise: Normalisation = "none",
        perplexity_per: Unit = "byte",
        batch_size: int | None = None,
        max_length: int | None = None,
        max_new_tokens: int | None = None,
        stop: Sequence[str] = ("\n",),
    ) -> None:
        _, transformers = require_torch()
        for name, value, known in (
            ("normalise", normalise, get_args(Normalisation)),
            ("perplexity_per", perplexity_per, get_args(Unit)),
        ):
            if value not in known:
                refuse(f"`{name}` is `{value}`", f"it is one of {', '.join(known)}")
        for name, number in (
            ("batch_size", batch_size),
            ("max_length", max_length),
            ("max_new_tokens", max_new_tokens),
        ):
            if number is not None and number < 1:
                refuse(f"`{name}` is {number}", "leave it out to have it chosen")
        if getattr(soup.model.config, "is_encoder_decoder", False) or (
            soup.model.get_output_embeddings() is None  # type: ignore[no-untyped-call]
        ):
            name = type(soup.model).__name__
            refuse(f"`{name}` is not a causal language model, which the built-in evaluator needs")
        self.soup = soup
        self.tasks = tasks
        self._normalise = normalise
        self._per = perplexity_per
        self._stop = tuple(stop)
        self._batches = Batches(batch_size)
        with quiet(transformers):
            encoder = Encoder(soup.tokenizer, soup.model.config, max_length=max_length)
            self._max_length = encoder.max_length
            answers = [item.answer for item in tasks.items if item.kind == "exact_match"]
            longest = max(map(len, encoder.plain(answers)), default=0)
            self._max_new_tokens = max_new_tokens or 2 * longest + 8
            self._stop_tokens = tokens_with(soup.tokenizer, self._stop) if answers else frozenset()
            self._requests: dict[tuple[str, str], list[Request]] = {}
            self._prompts: dict[tuple[str, str], tuple[int, ...]] = {}
            self._encode(encoder)

    def _encode(self, encoder: Encoder) -> None:
        for item in self.tasks.items:
            key = (item.category, item.id)
            if item.kind == "exact_match":
                self._prompts[key] = encoder.prompt(item, room=self._max_new_tokens)
            elif item.kind == "perplexity":
                tokens = encoder.text(item)
                self._requests[key] = rolling(tokens, start=encoder.start, max_length=self._max_length)
            else:
                answers = item.choices or (item.answer,)
                self._requests[key] = [encoder.request(item, answer) for answer in answers]
        self._cut = encoder.cut

    @property
    def identity(self) -> Mapping[str, object]:
        """All that a score depends on besides the recipe."""
        return {
            "evaluator": "torch",
            "version": _VERSION,
            "tasks": self.tasks.digest,
            "normalise": self._normalise,
            "perplexity_per": self._per,
            "max_length": self._max_length,
            "max_new_tokens": self._max_new_tokens,
            "stop": list(self._stop),
            **self.soup.identity,
        }

    def item_ids(self) -> dict[str, tuple[str, ...]]:
        """Return the ids of every category's items."""
        return self.tasks.item_ids()

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Evaluation:
        """Make the model this soup and return its scores.

        Parameters
        ----------
        recipe : Recipe
        items : mapping of category to item ids, optional
            Only these; all otherwise.
        on_progress : callable, optional
            Called with the sequences scored and their number; an item of four choices has four.

        Raises
        ------
        SoceError
            As `SoupModel.set`; unknown items; memory that runs out for a single sequence.
        """
        chosen = self.tasks.only(items)
        self.soup.set(recipe)
        return self._score(chosen, on_progress)

    def score_current(
        self, *, items: Mapping[str, Sequence[str]] | None = None, on_progress: OnProgress | None = None
    ) -> Evaluation:
        """Return the scores of what the model's parameters hold now, whatever put it there."""
        return self._score(self.tasks.only(items), on_progress)

    def close(self) -> None:
        """Let go of the model."""
        self.soup.close()

    def _score(self, tasks: Tasks, on_progress: OnProgress | None) -> Evaluation:
        requests = [
            request for item in tasks.items for request in self._requests.get((item.category, item.id), ())
        ]
        generated = [item for item in tasks.items if item.kind == "exact_match"]
        done, total = 0, len(requests) + len(generated)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            if on_progress is not None:
                on_progress(done, total)

        noted = len(self._batches.notes)
        found = iter(likelihoods(self.soup.model, requests, batches=self._batches, on_done=advance))
        texts = self._generate(generated, advance)
        outcomes: dict[str, dict[str, float]] = {category: {} for category in tasks.categories}
        undefined = 0
        for item in tasks.items:
            answers = [next(found) for _ in self._requests.get((item.category, item.id), ())]
            undefined += any(math.isnan(answer.log) for answer in answers)
            outcomes[item.category][item.id] = self._outcome(item, answers, texts)
        texts_only = {item.category for item in tasks.items if item.kind == "perplexity"}
        notes = self._batches.notes[noted:]
        if self._cut:
            notes.append(f"{self._cut} prompts were cut to the window of {self._max_length} tokens")
        if undefined:
            notes.append(f"{undefined} of {len(tasks.items)} items count as failed: the model gave NaN")
        return Evaluation.of_items(
            outcomes,
            scale=None if texts_only else "unit",
            higher_is_better=dict.fromkeys(texts_only, False),
            geometric=texts_only,
            notes=notes,
        )

    def _outcome(
        self, item: Item, answers: Sequence[Likelihood], texts: Mapping[tuple[str, str], str]
    ) -> float:
        if item.kind == "exact_match":
            return float(texts[item.category, item.id].strip() == item.answer.strip())
        if item.kind == "teacher_forced":
            return float(answers[0].greedy)
        if item.kind == "perplexity":
            requests = self._requests[item.category, item.id]
            length = len(item.answer.encode()) if self._per == "byte" else sum(r.scored for r in requests)
            nats = -math.fsum(answer.log for answer in answers) / length
            return math.exp(min(nats, _MOST_NATS) if not math.isnan(nats) else _MOST_NATS)
        if any(math.isnan(answer.log) for answer in answers):
            return 0.0
        requests = self._requests[item.category, item.id]
        lengths = {
            "none": [1] * len(answers),
            "token": [request.scored for request in requests],
            "byte": [len(choice.encode()) for choice in item.choices],
        }[self._normalise]
        values = [answer.log / length for answer, length in zip(answers, lengths, strict=True)]
        return float(values.index(max(values)) == item.right)

    def _generate(
        self, items: Sequence[Item], advance: Callable[[int], object]
    ) -> dict[tuple[str, str], str]:
        if not items:
            return {}
        keys = [(item.category, item.id) for item in items]
        texts = continuations(
            self.soup.model,
            self.soup.tokenizer,
            [self._prompts[key] for key in keys],
            max_new_tokens=self._max_new_tokens,
            stop=self._stop,
            stop_tokens=self._stop_tokens,
            batches=self._batches,
            on_done=advance,
        )
        return dict(zip(keys, texts, strict=True))
