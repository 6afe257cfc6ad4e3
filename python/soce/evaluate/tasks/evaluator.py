"""The built-in evaluator: tasks of JSON Lines on a live model."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from soce.evaluate.answers import Answer, prompt_digest
from soce.evaluate.corpus import Corpus
from soce.evaluate.evaluation import Evaluation, refuse
from soce.evaluate.live.evaluator import LiveEvaluator
from soce.evaluate.live.loading import quiet, require_torch
from soce.evaluate.live.soup_model import SoupModel
from soce.evaluate.tasks.encoding import USUAL_NEW_TOKENS
from soce.evaluate.tasks.keys import item_keys
from soce.evaluate.tasks.opening import open_encoder, open_inference
from soce.evaluate.tasks.scoring import score_answers
from soce.files.words import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.live.model import LiveModel
    from soce.evaluate.tasks.inference import Likelihood, Written
    from soce.evaluate.tasks.item import Item
    from soce.evaluate.tasks.items import Tasks

Normalisation: TypeAlias = Literal["none", "token", "byte"]
Unit: TypeAlias = Literal["token", "byte"]

LINE_END: Final = ("\n",)
"""Where texts of `exact_match` items end, if nothing else is said."""
_MOST_NATS: Final = 700.0  # exp() of it is finite; a model that gives NaN gets it
_VERSION: Final = 2  # of the meaning of scores; raise it when the same settings give other numbers


class TaskEvaluator(LiveEvaluator):
    """Scores recipes on tasks, with a live model in this process or behind a serving engine.

    =================  ===========================================================================
    kind of item       outcome
    =================  ===========================================================================
    multiple_choice    1 if the right choice has the largest log-likelihood (the first, if equal)
    teacher_forced     1 if every token of the answer is the likeliest after those before it
    exact_match        1 if the text of likeliest tokens up to a stop is the answer, outer spaces apart
    generation         what the item's scorer makes of the text of likeliest tokens
    perplexity         exp of the mean negative log-likelihood per byte or token; lower is better
    =================  ===========================================================================

    A category's score is the mean of its items' outcomes; for perplexity the geometric mean, in which a long
    text counts as much as a short one.

    Parameters
    ----------
    soup : LiveModel or sequence of str
        The live model, or the ingredients to make a `SoupModel` of: causal language models. Closed by
        `close`.
    normalise : {"none", "token", "byte"}
        What log-likelihoods of choices are divided by: nothing, or the choice's length.
    perplexity_per : {"byte", "token"}
        Bytes compare models of different tokenizers.
    batch_size : int, optional
        Rows of a batch; chosen otherwise. Halved when memory runs out, which a note of the evaluation tells.
        A serving engine makes batches of its own.
    max_length : int, optional
        Tokens that the model sees at once; what config and tokenizer say otherwise, 2048 if they do not, and
        two less behind a serving engine. Longer prompts lose their beginning, which a note tells; longer
        texts are scored in windows.
    max_new_tokens : int, optional
        The most that a text may have. `USUAL_NEW_TOKENS` otherwise, or what the prompt leaves of the window
        but a quarter of it at least.
    stop : sequence of str
        What texts end before, apart from end tokens.

    Raises
    ------
    EvaluationError
        A model that is not causal, or a tokenizer that does not fit the tasks; an item of more tokens than
        the serving engine takes.

    Notes
    -----
    Tokens of an answer are those of prompt and answer together after those of the prompt alone; spaces at the
    end of a prompt count as the answer's, as in lm-evaluation-harness. Special tokens that the tokenizer
    puts in front of a text are put in front of prompts; none are put after.

    In float32 the batch size changes no outcome but where two choices are equal to the last digits; in BF16
    and F16 it may change close decisions, because matrix products are then summed in another order. It is
    not part of `identity`. Progress counts sequences scored; an item of four choices has four.
    """

    def __init__(
        self,
        soup: LiveModel | Sequence[str],
        tasks: Tasks,
        *,
        normalise: Normalisation = "none",
        perplexity_per: Unit = "byte",
        batch_size: int | None = None,
        max_length: int | None = None,
        max_new_tokens: int | None = None,
        stop: Sequence[str] = LINE_END,
    ) -> None:
        _, transformers = require_torch()
        kinds = {"normalise": (normalise, Normalisation), "perplexity_per": (perplexity_per, Unit)}
        for name, (value, kind) in kinds.items():
            if value not in get_args(kind):
                refuse(f"`{name}` is `{value}`", f"it is one of {', '.join(get_args(kind))}")
        sizes = {"batch_size": batch_size, "max_length": max_length, "max_new_tokens": max_new_tokens}
        for name, number in sizes.items():
            if number is not None and number < 1:
                refuse(f"`{name}` is {number}", "leave it out to have it chosen")
        super().__init__(soup)
        self.tasks = tasks
        self._normalise = normalise
        self._per = perplexity_per
        self._max_new_tokens = max_new_tokens
        self._stop = tuple(stop)
        with quiet(transformers):
            encoder = open_encoder(self.soup, max_length=max_length)
            self._max_length = encoder.max_length
            # A `generation` item ends where it says: a chain of thought has more than a line.
            self._prompts = {
                item.key: encoder.prompt(
                    item, most=max_new_tokens, stop=self._stop if item.kind == "exact_match" else ()
                )
                for item in tasks.items
                if item.is_written
            }
            self._digests = {item.key: prompt_digest(encoder.text(item)) for item in tasks.items}
            self._requests = {item.key: encoder.requests(item) for item in tasks.items}
            self._cut = encoder.cut
        self._inference = open_inference(self.soup, batch_size=batch_size, window=encoder.max_length)
        self._inference.check(self._requests, self._prompts)

    def _identity(self) -> dict[str, object]:
        return {
            "evaluator": "torch" if isinstance(self.soup, SoupModel) else "served",
            "version": _VERSION,
            "tasks": self.tasks.digest,
            "normalise": self._normalise,
            "perplexity_per": self._per,
            "max_length": self._max_length,
            "max_new_tokens": self._max_new_tokens or f"{USUAL_NEW_TOKENS}, or what is left",
            "stop": list(self._stop),
        }

    def item_ids(self) -> dict[str, tuple[str, ...]]:
        """Return the ids of every category's items."""
        return self.tasks.item_ids()

    def item_contents(self) -> dict[str, dict[str, str]]:
        """Return what tells questions apart, whatever their ids."""
        return self.tasks.item_contents()

    def item_keys(self) -> dict[str, dict[str, str]]:
        """Return what tells outcomes of a recipe apart, see `soce.evaluate.tasks.keys.item_keys`."""
        return item_keys(self.tasks, self.identity)

    def _score(self, items: Mapping[str, Sequence[str]] | None, on_progress: OnProgress) -> Evaluation:
        chosen = self.tasks.only(items).items
        requests = [request for item in chosen for request in self._requests[item.key]]
        written = [item.key for item in chosen if item.key in self._prompts]
        done, total = 0, len(requests) + len(written)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            on_progress(done, total)

        noted = len(self._inference.notes)
        found = iter(self._inference.likelihoods(requests, advance))
        likelihoods = {item.key: [next(found) for _ in self._requests[item.key]] for item in chosen}
        texts = self._inference.texts([self._prompts[key] for key in written], advance)
        text_of = dict(zip(written, texts, strict=True))
        answers: dict[str, dict[str, Answer]] = {}
        for item in chosen:
            answer = self._answer(item, likelihoods[item.key], text_of.get(item.key))
            answers.setdefault(item.category, {})[item.id] = answer
        judged = {
            item.key: self._judged(item, likelihoods[item.key])
            for item in chosen
            if item.kind in {"teacher_forced", "perplexity"}
        }
        outcomes = score_answers(chosen, answers, judged=judged)
        notes = self._inference.notes[noted:]
        if self._cut:
            prompts = counted(self._cut, "prompt was", "prompts were")
            notes.append(f"{prompts} cut to the window of {self._max_length} tokens")
        undefined = sum(any(math.isnan(one.log) for one in held) for held in likelihoods.values())
        if undefined:
            notes.append(f"{undefined} of {len(chosen)} items count as failed: the model gave NaN")
        if self._max_new_tokens is None and any(
            item.is_written and item.max_new_tokens is None for item in chosen
        ):
            notes.append(f"texts may have {USUAL_NEW_TOKENS} new tokens, as nothing else was said")
        texts_only = {item.category for item in chosen if item.kind == "perplexity"}
        has_corpora = any(isinstance(found, Corpus) for found in outcomes.values())
        return Evaluation.of_items(
            outcomes,
            scale=None if texts_only or has_corpora else "unit",
            higher_is_better=dict.fromkeys(texts_only, False),
            geometric=texts_only,
            notes=notes,
            answers=answers,
        )

    def _answer(self, item: Item, likelihoods: Sequence[Likelihood], written: Written | None) -> Answer:
        """Return what the model wrote, or what it thinks of the choices, of the answer or of the text."""
        prompt = self._digests[item.key]
        if written is not None:
            return Answer(prompt, written.text, ending=written.ending)
        logs = [one.log for one in likelihoods]
        if item.kind == "perplexity":
            logs = [math.fsum(logs)]
        choice = None
        if item.choices and not any(map(math.isnan, logs)):
            lengths = [1] * len(logs)
            if self._normalise == "byte":
                lengths = [len(choice.encode()) for choice in item.choices]
            elif self._normalise == "token":
                lengths = [request.scored for request in self._requests[item.key]]
            values = [log / length for log, length in zip(logs, lengths, strict=True)]
            choice = values.index(max(values))
        return Answer(prompt, choice=choice, log_likelihoods=tuple(logs))

    def _judged(self, item: Item, likelihoods: Sequence[Likelihood]) -> float:
        """Return the outcome of an item whose likelihoods say more than is kept of them."""
        if item.kind == "teacher_forced":
            return float(likelihoods[0].greedy)
        n_tokens = sum(request.scored for request in self._requests[item.key])
        length = len(item.answer.encode()) if self._per == "byte" else n_tokens
        nats = -math.fsum(one.log for one in likelihoods) / length
        return math.exp(_MOST_NATS if math.isnan(nats) else min(nats, _MOST_NATS))
