"""The Berkeley Function Calling Leaderboard on a served model, scored by BFCL's own checkers, by item."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.evaluate.answers import Answer
from soce.evaluate.bfcl.categories import FORMAT_SENSITIVITY, chosen_categories, left_out
from soce.evaluate.bfcl.environment import VERSION, find_environment
from soce.evaluate.bfcl.process import Exam, ask, describe
from soce.evaluate.evaluation import Evaluation, chosen_items, refuse
from soce.evaluate.live.evaluator import LiveEvaluator
from soce.evaluate.served.model import ServedModel
from soce.evaluate.served.outline import ServedOutline
from soce.exceptions import shown
from soce.files.words import counted, listed, nearest
from soce.recipes.names import base_of, parts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.evaluation import OnProgress
    from soce.evaluate.live.model import LiveModel
    from soce.recipes.model import Recipe

MAX_TOKENS: Final = 4096
"""The most that an answer may have, which is BFCL's own limit for models that it runs itself."""
OWN_TEMPLATE: Final = "chat template"
"""What is said of a soup that is asked by its own chat template, and not by a handler of BFCL's."""
_ENDLESS: Final = 1 << 30
_FLAWS: Final[dict[str, str]] = {
    "too long": "had prompts that the model cannot see whole, and count as wrong",
    "endless": "had answers that no checker came to an end with, and count as wrong",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BfclOptions:
    """How BFCL is run."""

    python: str | None = None
    """The interpreter of the environment that holds it; this one otherwise."""
    handler: str | None = None
    """The model of BFCL's list in whose way soups are asked and read. Otherwise that of the ingredient with
    most parts, if BFCL knows it, and its chat template with BFCL's usual system prompt if not."""
    items: Mapping[str, Sequence[str]] | None = None
    """The ids that are asked about, of categories that are named here; of others all."""
    max_tokens: int = MAX_TOKENS
    """The most that one answer may have."""
    timeout_seconds: float | None = None
    """How long one soup may take; for ever otherwise."""

    def __post_init__(self) -> None:
        """Raise EvaluationError for what makes no sense."""
        if self.max_tokens < 1:
            refuse(f"answers of {self.max_tokens} tokens say nothing")
        if self.timeout_seconds is not None and not self.timeout_seconds > 0:
            refuse(f"`timeout_seconds` is {self.timeout_seconds}", "leave it out to wait for ever")


class BfclEvaluator(LiveEvaluator):
    """Scores recipes with categories of BFCL, in a process of its own for each soup.

    Parameters
    ----------
    soup : ServedModel or ServedOutline
        The live model behind a serving engine, or its outline, which scores nothing. Closed by `close`.
    categories : sequence of str
        Categories and groups, see `soce.evaluate.bfcl.categories`.
    options : BfclOptions, optional

    Raises
    ------
    EvaluationError
        A category is unknown or cannot be scored; the environment is missing, of another version or broken;
        the handler is not BFCL's; the live model is in this process.

    Notes
    -----
    Outcomes equal those of BFCL's own commands at temperature 0, with two differences: a prompt that is
    longer than the model sees is wrong, also where no call is right (BFCL takes the server's refusal for an
    answer without a call); and a request that failed ends the evaluation.
    """

    def __init__(
        self, soup: LiveModel, categories: Sequence[str], options: BfclOptions = BfclOptions()
    ) -> None:
        check_served(is_served=isinstance(soup, ServedOutline))
        super().__init__(soup)
        self.options = options
        self.categories = chosen_categories(categories)
        self._left_out = left_out(categories)
        self._python = find_environment(options.python)
        self._known = describe(
            self._python,
            categories=self.categories,
            handler=options.handler,
            ingredients=[names_of(path) for path in soup.ingredients],
        )
        self._check_handlers()
        self.item_ids()  # refuses ids that are none

    def _identity(self) -> dict[str, object]:
        tasks = {
            category: _digest([[item, *told] for item, told in items.items()])
            for category, items in self._items.items()
        }
        return {**self._settings(), "categories": tasks}

    @cached_property
    def _items(self) -> dict[str, dict[str, list[str]]]:
        found: dict[str, dict[str, list[str]]] = self._known["items"]
        wanted = {name: ids for name, ids in (self.options.items or {}).items() if name in found}
        chosen = chosen_items({name: tuple(items) for name, items in found.items()}, wanted)
        return {
            name: {item: items[item] for item in chosen.get(name, items)} for name, items in found.items()
        }

    @cached_property
    def handlers(self) -> tuple[str | None, ...]:
        """Of each ingredient the model of BFCL in whose way soups are asked that have most parts of it."""
        return tuple(self._known["handlers"])

    def item_ids(self) -> dict[str, tuple[str, ...]]:
        """Return the ids of every category's items, as BFCL has them."""
        return {category: tuple(items) for category, items in self._items.items()}

    def item_contents(self) -> dict[str, dict[str, str]]:
        """Return what is asked, whatever the items' ids."""
        return {name: {item: told[0] for item, told in items.items()} for name, items in self._items.items()}

    def item_keys(self) -> dict[str, dict[str, str]]:
        """Return what outcomes are filed under: question and right answer, how it is asked, engine."""
        engine = {**self._settings(), **self.soup.identity}
        return {
            name: {item: _digest([told, engine]) for item, told in items.items()}
            for name, items in self._items.items()
        }

    def handler_of(self, recipe: Recipe) -> str | None:
        """Return the model of BFCL in whose way a soup is asked: that of the ingredient with most parts."""
        served = {path: place for place, path in enumerate(self.soup.ingredients)}
        parts = [0] * len(served)
        for one, part in zip(recipe.ingredients, recipe.parts or [1] * len(recipe.ingredients), strict=True):
            parts[served.get(one.path, 0)] += part
        return self.handlers[parts.index(max(parts))]

    def _score(self, items: Mapping[str, Sequence[str]] | None, on_progress: OnProgress) -> Evaluation:
        soup, options = self.soup, self.options
        assert isinstance(soup, ServedModel)
        assert soup.recipe is not None
        handler = self.handler_of(soup.recipe)
        lengths = [soup.max_length, _length_of(soup.ingredients[0])]
        exam = Exam(
            self.item_ids() if items is None else items,
            handler,
            options.max_tokens,
            min((length for length in lengths if length is not None), default=_ENDLESS),
            options.timeout_seconds,
        )
        found = ask(
            self._python,
            exam,
            client=soup.client,
            model=soup.model,
            tokenizer=Path(base_of(soup.ingredients[0])),
            threads=soup.concurrency,
            on_progress=on_progress,
        )
        return self._evaluation(found, handler)

    def _settings(self) -> dict[str, object]:
        handlers = [handler or OWN_TEMPLATE for handler in self.handlers]
        named = dict(zip(map(_name, self.soup.ingredients), handlers, strict=True))
        return {
            "evaluator": "bfcl",
            "version": VERSION,
            "handler": handlers[0] if len({*handlers}) == 1 else named,
            "max_tokens": self.options.max_tokens,
            "temperature": 0,
        }

    def _check_handlers(self) -> None:
        name, local = self.options.handler, self._known["models"]
        if name is not None and name not in local:
            if name in self._known["services"]:
                message = f"BFCL asks `{shown(name)}` through its maker's service"
                refuse(message, "name a model that it runs itself, such as `Qwen/Qwen3-8B-FC`")
            refuse(f"BFCL has no model `{shown(name)}`", nearest(name, local, "models"))
        calling = [handler for handler in self.handlers if handler is not None and local[handler]]
        if FORMAT_SENSITIVITY in self.categories and calling:
            message = f"`{FORMAT_SENSITIVITY}` is about prompts, and `{calling[0]}` has a format of its own"
            refuse(message, "leave it out, or name the prompting model with `--bfcl-handler`")

    def _evaluation(self, found: Mapping[str, Any], handler: str | None) -> Evaluation:
        items = found["items"]
        flaws = Counter(one["flaw"] for told in items.values() for one in told.values())
        said = f"by the handler of `{handler}`" if handler else "by their own chat template"
        most = self.options.max_tokens
        notes = [f"BFCL {VERSION} asked {said}, for at most {most} tokens at temperature 0"]
        notes += [f"{counted(flaws[flaw], 'item')} {what}" for flaw, what in _FLAWS.items() if flaws[flaw]]
        if self._left_out:
            notes.append(f"of BFCL's groups that were asked for, {listed(self._left_out)} cannot be scored")
        if found["open"]:
            notes.append(f"what evaluates answers was not shut off from network and files: {found['open']}")
        return Evaluation.of_items(
            {
                category: {item: float(one["outcome"]) for item, one in told.items()}
                for category, told in items.items()
            },
            notes=notes,
            answers={
                category: {item: _answer(one) for item, one in told.items() if one["flaw"] != "too long"}
                for category, told in items.items()
            },
        )


def check_served(*, is_served: bool) -> None:
    """Raise EvaluationError for a live model in this process: BFCL asks through an endpoint."""
    if not is_served:
        refuse("BFCL asks a serving engine", "name it: `engine: vllm` in `soce.yaml`, or `--engine vllm`")


def names_of(ingredient: str) -> list[str]:
    """Return what a checkpoint is called: its folder's name, and what its config says that it is.

    One with an adapter on top is called as without it, too: the adapter answers in the same format.
    """
    told = _config(ingredient).get("_name_or_path")
    names = dict.fromkeys((_name(ingredient), _name(base_of(ingredient))))
    return [*names, *([told] if isinstance(told, str) else [])]


def _name(ingredient: str) -> str:
    return "+".join(Path(part).resolve().name for part in parts_of(ingredient))


def _length_of(ingredient: str) -> int | None:
    config = _config(ingredient)
    inner = config.get("text_config")
    length = (inner if isinstance(inner, dict) else config).get("max_position_embeddings")
    return length if isinstance(length, int) else None


def _config(ingredient: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(base_of(ingredient), "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _answer(told: Mapping[str, Any]) -> Answer:
    return Answer(told["prompt"], told["text"], ending="length" if told["is_cut"] else "stop")


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
