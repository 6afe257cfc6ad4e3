"""The head of a model card, in YAML, as the Hub reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.report.card.licences import Licence
    from soce.report.card.soup import Soup

TAGS: Final = ("merge", "soce", "model-soup")
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


def make_front_matter(
    soup: Soup, *, licence: Licence | None = None, kept: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the head of the card.

    Parameters
    ----------
    soup : Soup
    licence : Licence, optional
        That of the soup; None leaves it out.
    kept : mapping, optional
        The head of a card that was edited by hand: what it says stays, and is added to.

    Returns
    -------
    dict
        JSON values only, in the order in which they are written. ``base_model`` holds Hub ids, never paths.
    """
    found: dict[str, Any] = {}
    models = list(dict.fromkeys(one.hub_id for one in soup.ingredients if one.hub_id is not None))
    if models:
        found["base_model"] = models
    found["base_model_relation"] = "merge"
    found |= _library(soup)
    if licence is not None and licence.identifier is not None:
        found["license"] = licence.identifier
        if licence.name is not None:
            found["license_name"] = licence.name
        if licence.link is not None:
            found["license_link"] = licence.link
    found["tags"] = list(TAGS)
    if kept:
        found |= {key: value for key, value in kept.items() if key not in {"base_model", "tags"}}
        for key in ("base_model", "tags"):
            joined = list(dict.fromkeys([*_listed(kept.get(key)), *found.get(key, [])]))
            if joined:
                found[key] = joined
    return found


def to_yaml(data: Mapping[str, Any]) -> str:
    """Return the head with its lines ``---``."""
    import yaml

    text = yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, width=110)
    return f"---\n{text}---\n"


def _library(soup: Soup) -> dict[str, Any]:
    """Return library and task, where the files beside the tensors tell."""
    if (soup.folder / "modules.json").is_file() and soup.side_file("config_sentence_transformers.json"):
        return {"library_name": "sentence-transformers", "pipeline_tag": "sentence-similarity"}
    config = soup.side_file("config.json")
    classes = config.get("architectures")
    if not isinstance(classes, list) or not classes or not config.get("model_type"):
        return {}
    found = {"library_name": "transformers"}
    tasks = {task for name in classes for end, task in _TASKS.items() if str(name).endswith(end)}
    if len(tasks) == 1:
        found["pipeline_tag"] = tasks.pop()
    return found


def _listed(value: object) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
