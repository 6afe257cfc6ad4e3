"""lm-evaluation-harness in process: model and tasks are loaded once, weights are swapped in between."""

from __future__ import annotations

import importlib.metadata
import math
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.evaluation import CategoryScore, Evaluation, refuse
from soce.evaluate.live.evaluator import LiveEvaluator
from soce.evaluate.lm_eval.model import explained, lm_eval, progress_hook, seeded, silent, wrapped
from soce.evaluate.lm_eval.options import LmEvalOptions
from soce.evaluate.lm_eval.tasks import Documents, load_tasks
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.lm_eval.tasks import LoadedTask

# Shares by definition, in 0 to 1; what other metrics are, nobody said.
_SHARES: Final = frozenset({"acc", "acc_bytes", "acc_mutual_info", "acc_norm", "exact_match"})


class LmEvalEvaluator(LiveEvaluator):
    """Scores recipes with tasks of lm-evaluation-harness, a category for each task.

    Scores equal those of the harness's own command line (``lm_eval run --model hf``) on the checkpoint that
    `soce.merge` writes: to the bit where outcomes are 0 or 1, to the rounding of a sum elsewhere.

    Parameters
    ----------
    soup : SoupModel or sequence of str
        The live model, or the ingredients to make it of. Closed by `close`.
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
    soup, and every subset of items, sees the same prompts with the same few-shot examples. Tasks whose
    score is no mean (BLEU, F1 over all documents) have no items. Progress counts requests that were
    answered; a document of four choices has four. The batch size may change the last digits of
    log-likelihoods; it is not part of `identity`.
    """

    def __init__(
        self, soup: SoupModel | Sequence[str], tasks: Sequence[str], options: LmEvalOptions = LmEvalOptions()
    ) -> None:
        lm_eval()  # before a model is loaded for nothing
        super().__init__(soup)
        self._options = options
        self._model = wrapped(self.soup, options.batch_size, options.settings)
        self.tasks = load_tasks(tasks, self._model, options)

    def _identity(self) -> dict[str, object]:
        settings = self._options.settings
        return {
            "evaluator": "lm-eval",
            "version": importlib.metadata.version("lm_eval"),
            "tasks": {
                task.name: {
                    "metric": task.key,
                    "higher_is_better": task.higher_is_better,
                    "n": len(task.requests),
                    "num_fewshot": task.task.get_config("num_fewshot"),
                    "version": str(task.task.VERSION),
                    "digest": task.digest,
                }
                for task in self.tasks
            },
            "seeds": list(self._options.seeds),
            "settings": {name: str(settings[name]) for name in sorted(settings)},
        }

    def item_ids(self) -> dict[str, tuple[str, ...]]:
        """Return the ids of every task's documents: their numbers, as the harness counts."""
        return {task.name: tuple(map(str, range(len(task.requests)))) for task in self.tasks}

    def item_contents(self) -> dict[str, dict[str, str]]:
        """Return what tells documents apart, whatever their numbers and few-shot examples."""
        return {
            task.name: {str(number): task.content(number) for number in range(len(task.requests))}
            for task in self.tasks
        }

    def close(self) -> None:
        """Let go of the model."""
        self.__dict__.pop("_model", None)
        super().close()

    def _score(self, items: Mapping[str, Sequence[str]] | None, on_progress: OnProgress) -> Evaluation:
        wanted = self.item_ids() if items is None else items
        chosen = {task: Documents(map(int, wanted[task.name])) for task in self.tasks if task.name in wanted}
        results, notes = self._run(chosen, on_progress)
        scores: dict[str, CategoryScore] = {}
        outcomes: dict[str, dict[str, float]] = {}
        for task, documents in chosen.items():
            if task.aggregation is not None:
                outcomes[task.name] = found = _outcomes(task, documents, results["samples"][task.name])
                geometric = task.aggregation == "perplexity"
                scores[task.name] = CategoryScore.of(found.values(), geometric=geometric)
                continue
            score = results["results"][task.name].get(task.key)
            if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
                refuse(f"task `{shown(task.name)}`: the `{shown(task.key)}` of this soup is {score}")
            scores[task.name] = CategoryScore(float(score), len(documents))
        is_share = all(task.aggregation == "mean" and task.metric in _SHARES for task in self.tasks)
        return Evaluation(
            scores,
            outcomes or None,
            "unit" if is_share else None,
            {task.name: task.higher_is_better for task in chosen},
            frozenset(task.name for task in chosen if task.aggregation == "perplexity"),
            tuple(notes),
        )

    def _run(
        self, chosen: Mapping[LoadedTask, Documents], on_progress: OnProgress
    ) -> tuple[Mapping[str, Any], list[str]]:
        """Let the harness score what the model holds now; smaller batches where memory runs out."""
        import torch

        model, options, notes = self._model, self._options, []
        while True:
            total = sum(task.offer(documents) for task, documents in chosen.items())
            progress = progress_hook(total, on_progress)
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
                size = model.batch_size_per_gpu
                no_memory = isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
                if not no_memory or not isinstance(size, int) or size == 1:
                    with explained("score this soup"):
                        raise
                model.batch_size_per_gpu = size // 2
                notes.append(f"{size} requests at once did not fit into memory; {size // 2} were tried")
            else:
                on_progress(total, total)
                return results, notes
            finally:
                for task in chosen:
                    task.offer(())  # lets go of requests and answers
            if torch.cuda.is_available():  # after the exception let go of its frames
                torch.cuda.empty_cache()


def _outcomes(
    task: LoadedTask, documents: Sequence[int], samples: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Return a number for each document, of which the score is the mean."""
    filtered = [sample for sample in samples if sample["filter"] == task.filter]
    values = {sample["doc_id"]: sample.get(task.metric) for sample in filtered}
    outcomes = {}
    for document in documents:
        value = values.get(document)
        try:
            number = float(value)  # type: ignore[arg-type] # None and tuples are refused just below
            outcome = math.exp(-number) if task.aggregation == "perplexity" else number
        except (OverflowError, TypeError, ValueError):
            outcome = math.nan
        if not math.isfinite(outcome) or (task.aggregation == "perplexity" and outcome == 0):
            place = f"task `{shown(task.name)}`, item {document}"
            refuse(f"{place}: the harness gives `{shown(task.metric)}` as {shown(str(value))}")
        outcomes[str(document)] = outcome
    return outcomes
