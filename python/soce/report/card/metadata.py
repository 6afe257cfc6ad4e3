"""What the Hub reads: the head of a model card, and held-out scores of benchmarks, by its own library.

The library comes with the extras `card` and `search`, so a soup that a search publishes always gets its card.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from soce.exceptions import EvaluationError, OutputError, Problem, shown
from soce.files.extras import install
from soce.files.words import listed
from soce.recipes.checkpoint_paths import HUB_ID

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from soce.merging.origins.licences import Licence
    from soce.report.card.soup import Soup
    from soce.search.result import SearchResult

_ORDER: Final = [
    *("base_model", "base_model_relation", "library_name", "pipeline_tag"),
    *("license", "license_name", "license_link", "tags"),
]
_TAGS: Final = ["merge", "soce", "model-soup"]
_TASKS: Final = {
    "ForAudioClassification": "audio-classification",
    "ForCausalLM": "text-generation",
    "ForCTC": "automatic-speech-recognition",
    "ForImageClassification": "image-classification",
    "ForMaskedLM": "fill-mask",
    "ForObjectDetection": "object-detection",
    "ForQuestionAnswering": "question-answering",
    "ForSemanticSegmentation": "image-segmentation",
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
}
"""Ends of a class's name that say what it is for; others, such as ForConditionalGeneration, leave it open."""
_TASK: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def require_hub() -> Any:  # noqa: ANN401 - a module
    """Return `huggingface_hub`, without which no card can be written."""
    try:
        import huggingface_hub
    except ImportError as error:
        message = f"a model card needs huggingface_hub: {shown(str(error))}"
        raise OutputError.of([Problem("output", None, None, message, install("hub"))]) from error
    return huggingface_hub


def make_head(soup: Soup, *, licence: Licence | None, kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the head of the card in the order in which it is written; ``base_model`` has no paths.

    What `kept`, the head of a card that was edited by hand, says stays, and is added to.
    """
    models = list(dict.fromkeys(one.hub_id for one in soup.ingredients if one.hub_id is not None))
    data = require_hub().ModelCardData(
        base_model=models or None,
        license=licence and licence.identifier,
        license_name=licence and licence.name,
        license_link=licence and licence.link,
        tags=_TAGS,
        base_model_relation="merge",
        **_library(soup),
    )
    found = data.to_dict()
    joined = {key: [*_listed(kept.get(key)), *found.get(key, [])] for key in ("base_model", "tags")}
    found |= {**kept, **{key: list(dict.fromkeys(values)) for key, values in joined.items() if values}}
    return {key: found[key] for key in dict.fromkeys([*_ORDER, *found]) if key in found}


def head_text(head: Mapping[str, Any]) -> str:
    """Return the head with its lines ``---``."""
    return f"---\n{require_hub().CardData(**head).to_yaml()}\n---\n"


def eval_results(result: SearchResult | None, benchmarks: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return entries of ``.eval_results/*.yaml``, a score for each category that is a benchmark on the Hub.

    Nothing tells the benchmarks from names, so they are asked for: ``DATASET`` or ``DATASET:TASK`` by
    category, where DATASET is the id of a data set on the Hub.
    """
    if not benchmarks:
        return []
    if result is None:
        _refuse("no scores are known of this soup", "name its run with `--run`")
    if result.is_optimistic:
        message = (
            "the scores are those of the items that chose the weights: they are too good for a leaderboard"
        )
        _refuse(message, "search with held-out items")
    hub = require_hub()
    notes = "by soce, on items held out from the choice of the weights"
    if result.split is not None:  # else they are those of other tasks, which may be all of a benchmark
        notes += ": not on all of the benchmark"
    scores, entries = result.best.report.categories, []
    for category, text in benchmarks.items():
        dataset, colon, task = text.partition(":")
        if category not in scores:
            hint = f"they are called {listed(scores, limit=len(scores))}"
            _refuse(f"no category is called `{shown(category)}`", hint)
        if not HUB_ID.fullmatch(dataset) or (colon and not _TASK.fullmatch(task)):
            message = f"`{shown(text)}` is no benchmark on the Hub"
            _refuse(message, "write ORGANISATION/DATASET or .../DATASET:TASK")
        entries.append(hub.EvalResultEntry(dataset, task or "default", scores[category], notes=notes))
    found: list[dict[str, Any]] = hub.eval_result_entries_to_yaml(entries)
    return found


def _library(soup: Soup) -> dict[str, str]:
    """Return library and task, where the files beside the tensors tell."""
    if (soup.folder / "modules.json").is_file() and soup.side_file("config_sentence_transformers.json"):
        return {"library_name": "sentence-transformers", "pipeline_tag": "sentence-similarity"}
    config = soup.side_file("config.json")
    classes = config.get("architectures")
    if not isinstance(classes, list) or not classes or not config.get("model_type"):
        return {}
    tasks = {task for name in classes for end, task in _TASKS.items() if str(name).endswith(end)}
    return {"library_name": "transformers", **({"pipeline_tag": tasks.pop()} if len(tasks) == 1 else {})}


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _refuse(message: str, hint: str) -> NoReturn:
    raise EvaluationError.of([Problem("evaluation", None, None, message, hint)])
