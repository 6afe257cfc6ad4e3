"""lm-evaluation-harness in process: model and tasks are loaded once, weights are swapped in between."""

from __future__ import annotations

import importlib.metadata
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

from soce.evaluate.corpus import Corpus
from soce.evaluate.evaluation import CategoryScore, Evaluation, chosen_items, refuse
from soce.evaluate.live.evaluator import LiveEvaluator
from soce.evaluate.live.soup_model import SoupModel
from soce.evaluate.lm_eval.answers import answers_of
from soce.evaluate.lm_eval.endings import Endings
from soce.evaluate.lm_eval.keys import item_keys
from soce.evaluate.lm_eval.model import explained, lm_eval, progress_hook, seeded, silent, wrapped
from soce.evaluate.lm_eval.options import LmEvalOptions
from soce.evaluate.lm_eval.tasks import Documents, load_tasks
from soce.exceptions import EvaluationError, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.answers import Answer
    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.live.model import LiveModel
    from soce.evaluate.lm_eval.tasks import LoadedTask
    from soce.evaluate.served.model import ServedModel

# Shares by definition, in 0 to 1; what other metrics are, nobody said.
_SHARES: Final = frozenset({"acc", "acc_bytes", "acc_mutual_info", "acc_norm", "exact_match"})


class LmEvalEvaluator(LiveEvaluator):
    """Scores recipes with tasks of lm-evaluation-harness, a category for each task.

    Scores equal those of the harness's own command line (``lm_eval run --model hf``) on the checkpoint that
    `soce.merge` writes: to the bit where outcomes are 0 or 1, to the rounding of a sum elsewhere.

    Parameters
    ----------
    soup : LiveModel or sequence of str
        The live model, in this process or served by an engine, or the ingredients to make it of. Closed by
        `close`.
    tasks : sequence of str
        Tasks, groups or tags by name, or paths of YAML files. Groups stand for the tasks in them.
    options : LmEvalOptions, optional

    Raises
    ------
    EvaluationError
        The harness is missing; a task is unknown or its data cannot be had; a metric must be chosen.

    Notes
    -----
    Item ids are the harness's ``doc_id``, for the one filter that is read. Requests are built once, so every
    soup, and every subset of items, sees the same prompts with the same few-shot examples. A score that is
    no mean (BLEU, chrF, TER, F1, perplexity per word) has the statistics of its documents, see
    `soce.evaluate.corpus`; one that a task computes in a way of its own has no items. Progress counts
    requests that were answered; a document of four choices has four. The batch size may change the last
    digits of log-likelihoods; it is not part of `identity`.
    """

    def __init__(
        self, soup: LiveModel | Sequence[str], tasks: Sequence[str], options: LmEvalOptions = LmEvalOptions()
    ) -> None:
        lm_eval()  # before a model is loaded for nothing
        super().__init__(soup)
        self._options = options
        self._model = self._harness_model()
        self.tasks = load_tasks(tasks, self._model, options)

    def _harness_model(self) -> Any:  # noqa: ANN401 - the harness is not annotated
        """Return what the harness takes for a model: the one in this process, or one that asks an engine."""
        options = self._options
        if isinstance(self.soup, SoupModel):
            if options.chat_completions:
                refuse("`chat_completions` is for serving engines", "leave it out, or name an engine")
            return wrapped(self.soup, options.batch_size or 16, options.settings)
        from soce.evaluate.lm_eval.endpoint import endpoint_model

        return endpoint_model(cast("ServedModel", self.soup), options)

    def _identity(self) -> dict[str, object]:
        settings = self._options.settings
        chat = {"requests": "chat completions"} if self._options.chat_completions else {}
        return {
            "evaluator": "lm-eval",
            **chat,
            "version": importlib.metadata.version("lm_eval"),
            "tasks": {task.name: _task_identity(task) for task in self.tasks},
            "seeds": list(self._options.seeds),
            "settings": {name: str(settings[name]) for name in sorted(settings)},
        }

    def item_ids(self) -> dict[str, tuple[str, ...]] | None:
        """Return the ids of every task's documents: their numbers, as the harness counts.

        None if nobody knows how the score of some task follows from its documents.
        """
        return None if any(task.aggregation is None for task in self.tasks) else self._documents()

    def _documents(self) -> dict[str, tuple[str, ...]]:
        return {task.category: tuple(map(str, range(len(task.requests)))) for task in self.tasks}

    def item_contents(self) -> dict[str, dict[str, str]]:
        """Return what tells documents apart, whatever their numbers and few-shot examples."""
        return self._contents

    @cached_property
    def _contents(self) -> dict[str, dict[str, str]]:
        # Once: a template is filled for each document.
        return {
            task.category: {str(number): task.content(number) for number in range(len(task.requests))}
            for task in self.tasks
        }

    def item_keys(self) -> dict[str, dict[str, str]]:
        """Return what documents' outcomes are filed under, see `soce.evaluate.lm_eval.keys`."""
        return self._keys

    @cached_property
    def _keys(self) -> dict[str, dict[str, str]]:
        # Few-shot examples are in the requests, so their seed is in no key.
        kept = {name: held for name, held in self._identity().items() if name != "tasks"}
        engine = {**kept, "seeds": list(self._options.seeds[:3]), **self.soup.identity}
        return item_keys(self.tasks, engine)

    def close(self) -> None:
        """Let go of the model."""
        self.__dict__.pop("_model", None)
        super().close()

    def _score(self, items: Mapping[str, Sequence[str]] | None, on_progress: OnProgress) -> Evaluation:
        known = self._documents()
        wanted = known if items is None else chosen_items(known, items)
        tasks = [task for task in self.tasks if task.category in wanted]
        chosen = {task: Documents(map(int, wanted[task.category])) for task in tasks}
        results, notes = self._run(chosen, on_progress)
        scores: dict[str, CategoryScore] = {}
        outcomes: dict[str, dict[str, float]] = {}
        corpora: dict[str, Corpus] = {}
        answers: dict[str, dict[str, Answer]] = {}
        for task, documents in chosen.items():
            name, aggregation = task.category, task.aggregation
            answers[name] = answers_of(task, documents, results["samples"][task.name], self._model.endings)
            if aggregation is None:
                scores[name] = CategoryScore(_score(task, results), len(documents))
                continue
            found = _by_document(task, documents, results["samples"][task.name])
            if aggregation.corpus is None:
                outcomes[name] = found
                scores[name] = CategoryScore.of(found.values(), geometric=aggregation.is_geometric)
                continue
            corpora[name] = Corpus(aggregation.corpus, found)
            scores[name] = CategoryScore.of_corpus(corpora[name])
            if not math.isclose(scores[name].score, score := _score(task, results), rel_tol=1e-9):
                place = f"task `{shown(task.name)}`: its documents give {scores[name].score} as"
                refuse(f"{place} `{shown(task.key)}`, the harness {score}", "please report this as a bug")
        is_share = all(task.metric in _SHARES and task.category in outcomes for task in self.tasks)
        return Evaluation(
            scores,
            outcomes or None,
            "unit" if is_share else None,
            {task.category: task.higher_is_better for task in chosen},
            frozenset(task.category for task in chosen if task.aggregation and task.aggregation.is_geometric),
            tuple(notes),
            corpora,
            answers,
        )

    def _run(
        self, chosen: Mapping[LoadedTask, Documents], on_progress: OnProgress
    ) -> tuple[Mapping[str, Any], list[str]]:
        """Let the harness score what the model holds now; smaller batches where memory runs out."""
        import torch

        model, options, notes = self._model, self._options, []
        while True:
            total = sum(task.offer(documents) for task, documents in chosen.items())
            model.endings = Endings()
            progress = progress_hook(total, on_progress, model.endings)
            model.set_cache_hook(progress)
            try:
                with silent(), seeded(options.seeds):
                    results: Mapping[str, Any] = lm_eval("evaluator").evaluate(
                        lm=model,
                        task_dict={"tasks": {task.name: task.task for task in chosen}},  # without groups
                        samples={task.name: documents for task, documents in chosen.items()},
                        bootstrap_iters=0,
                        log_samples=True,
                        apply_chat_template=options.apply_chat_template,
                        fewshot_as_multiturn=options.fewshot_as_multiturn,
                        system_instruction=options.system_instruction,
                        confirm_run_unsafe_code=options.confirm_run_unsafe_code,
                    )
            except Exception as error:
                if progress.raised is error:
                    raise
                size = getattr(model, "batch_size_per_gpu", None)
                no_memory = isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
                if not no_memory or not isinstance(size, int) or size == 1:
                    with explained("score this soup"):
                        raise
                model.batch_size_per_gpu = size // 2
                notes.append(f"{size} requests at once did not fit into memory; {size // 2} were tried")
            else:
                on_progress(total, total)
                return results, [*notes, *model.notes]
            finally:
                for task in chosen:
                    task.offer(())  # lets go of requests and answers
            if torch.cuda.is_available():  # after the exception let go of its frames
                torch.cuda.empty_cache()


def _task_identity(task: LoadedTask) -> dict[str, object]:
    identity: dict[str, object] = {
        "metric": task.key,
        "higher_is_better": task.higher_is_better,
        "n": len(task.requests),
        "num_fewshot": task.task.get_config("num_fewshot"),
        "version": str(task.task.VERSION),
        "digest": task.digest,
    }
    if task.category != task.name:
        identity["category"] = task.category
    if task.aggregation is not None and task.aggregation.corpus is not None:
        identity["corpus"] = task.aggregation.corpus.identity
    return identity


def _score(task: LoadedTask, results: Mapping[str, Any]) -> float:
    """Return the score that the harness itself gives."""
    score = results["results"][task.name].get(task.key)
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
        refuse(f"task `{shown(task.name)}`: the `{shown(task.key)}` of this soup is {score}")
    return float(score)


def _by_document(
    task: LoadedTask, documents: Sequence[int], samples: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the outcome or the statistics of each document."""
    assert task.aggregation is not None
    filtered = [sample for sample in samples if sample["filter"] == task.filter]
    values = {sample["doc_id"]: sample.get(task.metric) for sample in filtered}
    found = {}
    for document in documents:
        value = values.get(document)
        try:
            found[str(document)] = told = task.aggregation.of_document(value)
            is_fine = all(map(math.isfinite, told if isinstance(told, tuple) else (told,)))
        except (EvaluationError, OverflowError, TypeError, ValueError):
            is_fine = False
        if not is_fine or (task.aggregation.is_geometric and told == 0):
            place = f"task `{shown(task.name)}`, item {document}"
            refuse(f"{place}: the harness gives `{shown(task.metric)}` as {shown(str(value))}")
    return found
