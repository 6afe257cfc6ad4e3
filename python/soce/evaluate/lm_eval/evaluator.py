"""lm-evaluation-harness in process: model and tasks are loaded once, weights are swapped in between."""

from __future__ import annotations

import importlib.metadata
import math
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from soce.evaluate.evaluation import CategoryScore, Evaluation, refuse
from soce.evaluate.live.soup_model import SoupModel
from soce.evaluate.lm_eval.model import (
    SEEDS,
    check_settings,
    explained,
    harness,
    harness_model,
    progress_hook,
    seeded,
    silent,
)
from soce.evaluate.lm_eval.tasks import HarnessTask, Places, TaskSettings, load_tasks
from soce.exceptions import shown
from soce.files.words import nearest

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.lm_eval.model import Seeds
    from soce.recipes.model import Recipe

    PathText: TypeAlias = "str | os.PathLike[str]"

# Shares by definition, in 0 to 1; what other metrics are, nobody said.
_SHARES: Final = frozenset({"acc", "acc_bytes", "acc_mutual_info", "acc_norm", "exact_match"})


class LmEvalEvaluator:
    """Scores recipes with tasks of lm-evaluation-harness, a category for each task.

    Scores equal those of the harness's own command line (``lm_eval run --model hf``) on the checkpoint that
    `soce.merge` writes: to the bit where outcomes are 0 or 1, to the rounding of a sum elsewhere.

    Parameters
    ----------
    soup : SoupModel or sequence of str
        The live model, or the ingredients to make it of. Closed by `close`.
    tasks : sequence of str
        Tasks, groups or tags by name, or paths of YAML files. Groups stand for the tasks in them.
    include_path : path-like or sequence of path-like
        Directories with tasks of your own.
    metric : str, optional
        The metric to read, ``acc`` or ``acc,none``, or several separated by spaces, in order of preference.
        Needed where a task has several.
    num_fewshot : int, optional
        Examples in front of a question; the task's own number otherwise.
    limit : int or float, optional
        Only so many documents of each task, or such a share of them: to try things out.
    batch_size : int or "auto" or "auto:N"
        Requests at once. A number is halved when memory runs out, which a note of the evaluation tells.
    seed : int or sequence of four, optional
        Of Python, NumPy, torch and few-shot examples; 0, 1234, 1234, 1234 as in the harness otherwise.
    gen_kwargs : mapping or str, optional
        Arguments of generation, on top of the tasks' own: ``"max_gen_toks=64"``.
    apply_chat_template : bool
        Whether prompts go through the tokenizer's chat template.
    fewshot_as_multiturn : bool, optional
        Whether few-shot examples are turns of the chat; if there is one, unless said otherwise.
    system_instruction : str, optional
        What the chat begins with.
    confirm_run_unsafe_code : bool
        Needed for tasks that run code which the model wrote.
    settings : mapping, optional
        More settings of the model, of those in `MODEL_SETTINGS`.

    Raises
    ------
    EvaluationError
        The harness is missing; a task is unknown or its data cannot be had; a metric must be chosen; a
        setting that does not exist, or that would let one soup get the answers of another.
    SoceError, OSError
        As `SoupModel`.

    Notes
    -----
    Item ids are the harness's ``doc_id``, for the one filter that is read. Requests are built once, so every
    soup, and every subset of items, sees the same prompts with the same few-shot examples. Tasks whose
    score is no mean (BLEU, F1 over all documents) have no items.

    The batch size may change the last digits of log-likelihoods; it is not part of `identity`.
    """

    def __init__(
        self,
        soup: SoupModel | Sequence[str],
        tasks: Sequence[str],
        *,
        include_path: PathText | Sequence[PathText] = (),
        metric: str | None = None,
        num_fewshot: int | None = None,
        limit: float | None = None,
        batch_size: int | str = 16,
        seed: int | Seeds | None = None,
        gen_kwargs: Mapping[str, Any] | str | None = None,
        apply_chat_template: bool = False,
        fewshot_as_multiturn: bool | None = None,
        system_instruction: str | None = None,
        confirm_run_unsafe_code: bool = False,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        if isinstance(tasks, str):
            refuse("the tasks are one text", "give a list of names")
        check_settings(settings or {})
        if limit is not None and not limit > 0:
            refuse(f"`limit` is {limit}", "it is a number of documents, or a share below 1")
        if isinstance(batch_size, int) and batch_size < 1:
            refuse(f"`batch_size` is {batch_size}")
        if num_fewshot is not None and num_fewshot < 0:
            refuse(f"`num_fewshot` is {num_fewshot}")
        if fewshot_as_multiturn and not apply_chat_template:
            refuse("`fewshot_as_multiturn` needs `apply_chat_template`")
        self._settings = TaskSettings(
            num_fewshot=num_fewshot,
            limit=limit,
            seeds=SEEDS if seed is None else (seed,) * 4 if isinstance(seed, int) else tuple(seed),  # type: ignore[arg-type]
            gen_kwargs=harness("utils").simple_parse_args_string(gen_kwargs)
            if isinstance(gen_kwargs, str)
            else dict(gen_kwargs or {}),
            apply_chat_template=apply_chat_template,
            fewshot_as_multiturn=bool(apply_chat_template)
            if fewshot_as_multiturn is None
            else fewshot_as_multiturn,
            system_instruction=system_instruction,
        )
        self._model_settings = dict(settings or {})
        self._unsafe = confirm_run_unsafe_code
        harness()  # before a model is loaded for nothing
        self.soup = soup if isinstance(soup, SoupModel) else SoupModel(soup)
        self._harness_model = harness_model(self.soup, batch_size, self._model_settings)
        paths = include_path if isinstance(include_path, (list, tuple)) else [include_path]
        self.tasks: tuple[HarnessTask, ...] = load_tasks(
            tasks,
            self._harness_model,
            self._settings,
            include_path=[str(path) for path in paths],
            metric=metric,
        )

    @property
    def identity(self) -> Mapping[str, object]:
        """All that a score depends on besides the recipe."""
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
            "seeds": list(self._settings.seeds),
            "settings": {name: str(self._model_settings[name]) for name in sorted(self._model_settings)},
            **self.soup.identity,
        }

    def item_ids(self) -> dict[str, tuple[str, ...]]:
        """Return the ids of every task's documents."""
        return {task.name: task.item_ids for task in self.tasks}

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
            Called with the requests answered and their number; a document of four choices has four.

        Raises
        ------
        SoceError
            As `SoupModel.set`; unknown items; a task that fails; memory that runs out for a single request.
        """
        chosen = self._chosen(items)
        self.soup.set(recipe)
        results, notes = self._run(chosen, on_progress)
        scores: dict[str, CategoryScore] = {}
        outcomes: dict[str, dict[str, float]] = {}
        for task, documents in chosen:
            found = _outcomes(task, documents, results["samples"][task.name])
            if found is not None:
                outcomes[task.name] = found
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
            {task.name: task.higher_is_better for task, _ in chosen},
            frozenset(task.name for task, _ in chosen if task.aggregation == "perplexity") & outcomes.keys(),
            tuple(notes),
        )

    def close(self) -> None:
        """Let go of the model."""
        self.__dict__.pop("_harness_model", None)
        self.soup.close()

    def _chosen(self, items: Mapping[str, Sequence[str]] | None) -> list[tuple[HarnessTask, Places]]:
        if items is None:
            return [(task, Places(range(len(task.requests)))) for task in self.tasks]
        names = [task.name for task in self.tasks]
        for name, wanted in items.items():
            if name not in names:
                refuse(f"there is no task `{shown(name)}`", nearest(name, names, "tasks"))
            known = self.tasks[names.index(name)].item_ids
            strangers = sorted(set(wanted).difference(known))
            if strangers:
                refuse(
                    f"task `{shown(name)}` has no item `{shown(strangers[0])}`",
                    f"its items are 0 to {len(known) - 1}",
                )
        chosen = [(task, Places(sorted(map(int, set(items.get(task.name, ())))))) for task in self.tasks]
        chosen = [(task, documents) for task, documents in chosen if documents]
        if not chosen:
            refuse("no item is named")
        return chosen

    def _run(
        self, chosen: Sequence[tuple[HarnessTask, Places]], on_progress: OnProgress | None
    ) -> tuple[Mapping[str, Any], list[str]]:
        """Let the harness score what the model holds now; smaller batches where memory runs out."""
        import torch

        model, notes = self._harness_model, []
        while True:
            total = sum(task.offer(documents) for task, documents in chosen)
            progress = progress_hook(total, on_progress)
            model.set_cache_hook(progress)
            try:
                with silent(), seeded(self._settings.seeds):
                    results: Mapping[str, Any] = harness("evaluator").evaluate(
                        lm=model,
                        task_dict={"tasks": {task.name: task.task for task, _ in chosen}},  # without groups
                        samples={task.name: documents for task, documents in chosen},
                        bootstrap_iters=0,
                        log_samples=True,
                        apply_chat_template=self._settings.apply_chat_template,
                        fewshot_as_multiturn=self._settings.fewshot_as_multiturn,
                        system_instruction=self._settings.system_instruction,
                        confirm_run_unsafe_code=self._unsafe,
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
                if on_progress is not None:
                    on_progress(total, total)
                return results, notes
            finally:
                for task, _ in chosen:
                    task.withdraw()
            if torch.cuda.is_available():  # after the exception let go of its frames
                torch.cuda.empty_cache()


def _outcomes(
    task: HarnessTask, documents: Sequence[int], samples: Sequence[Mapping[str, Any]]
) -> dict[str, float] | None:
    """Return a number for each document if the score is their mean; None if it is something else."""
    if task.aggregation is None:
        return None
    found = {
        sample["doc_id"]: sample.get(task.metric) for sample in samples if sample["filter"] == task.filter
    }
    outcomes = {}
    for document in documents:
        value = found.get(document)
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
