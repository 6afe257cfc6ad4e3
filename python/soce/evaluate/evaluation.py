"""What an evaluator is and what it returns: recipe in, scores by category and by item out."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args, runtime_checkable

from soce.evaluate.answers import Answer
from soce.evaluate.corpus import Corpus
from soce.exceptions import EvaluationError, Problem, shown
from soce.files.plain import Plain
from soce.files.words import nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from typing import NoReturn

    import pandas as pd

    from soce.recipes.model import Recipe

Scale: TypeAlias = Literal["unit", "percent"]
OnProgress: TypeAlias = "Callable[[int, int], object]"


@dataclass(frozen=True, slots=True)
class CategoryScore(Plain):
    """The score of one model in one category."""

    score: float
    n: int | None = None
    """Number of items behind it; None if unknown."""
    stderr: float | None = None
    """Its standard error, in the units of `score`; None if unknown."""

    def __post_init__(self) -> None:
        """Raise EvaluationError for what is no number: a hole is left out, never written as NaN."""
        if not math.isfinite(self.score):
            refuse(f"a score is {self.score}", "leave a category without a score out")
        if self.n is not None and self.n < 1:
            refuse(f"a score has {self.n} items behind it")
        if self.stderr is not None and not (math.isfinite(self.stderr) and self.stderr >= 0):
            refuse(f"a standard error is {self.stderr}", "leave it out if it is unknown")

    @classmethod
    def of(cls, outcomes: Iterable[float], *, geometric: bool = False, full: float = 1.0) -> CategoryScore:
        """Return the mean of items' outcomes times `full` (100 for percent), with its standard error.

        Perplexities have a geometric mean. The sum is exact, so the order of items changes no bit. The
        standard error is s / √n with n - 1 under s, None for one item; for a geometric mean it is that of the
        logarithms times the score.
        """
        values = [math.log(outcome) if geometric else float(outcome) for outcome in outcomes]
        if not values:
            refuse("a category has no items")
        mean = math.fsum(values) / len(values)
        score = full * (math.exp(mean) if geometric else mean)
        spread = _spread(values, mean)
        return cls(score, len(values), None if spread is None else spread * (score if geometric else full))

    @classmethod
    def of_corpus(cls, corpus: Corpus) -> CategoryScore:
        """Return the score of a corpus, with its standard error by the jackknife; None for one item."""
        score = corpus.score()
        return cls(score, len(corpus.items), _spread([*corpus.values().values()], score))


def _spread(values: Sequence[float], mean: float) -> float | None:
    """Return the standard error of a mean; None if it is the only value."""
    n = len(values)
    if n == 1:
        return None
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1) / n)


@dataclass(frozen=True, slots=True)
class Evaluation(Plain):
    """The scores of one recipe.

    Examples
    --------
    >>> evaluation = Evaluation.of_items({"math": {"q1": 1, "q2": 0, "q3": 1}}, scale="percent")
    >>> evaluation.restricted({"math": ["q1", "q3"]}).categories["math"].score
    100.0
    >>> Evaluation.from_json(evaluation.to_json()) == evaluation
    True
    """

    categories: Mapping[str, CategoryScore]
    """In the evaluator's order of categories."""
    items: Mapping[str, Mapping[str, float]] | None = None
    """Category → item id → outcome: 0 or 1, or graded in between, whatever `scale` says; those of a geometric
    category are in the units of its score. None if no category has outcomes by item."""
    scale: Scale | None = None
    """Whether 1 or 100 is full marks in every category; None if neither is."""
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    """For categories left out what their corpus metric says (TER: less is better), else True."""
    geometric: frozenset[str] = frozenset()
    """Categories whose score is the geometric mean of their items' outcomes (perplexity); the score of any
    other that has outcomes is their mean."""
    notes: tuple[str, ...] = ()
    """What a reader of the scores must know, one sentence each."""
    corpora: Mapping[str, Corpus] = field(default_factory=dict)
    """Category → the statistics of its items, for categories whose score is no mean of outcomes (BLEU). They
    are not in `items`."""
    answers: Mapping[str, Mapping[str, Answer]] = field(default_factory=dict)
    """Category → item id → what was said, for items whose answer is kept."""

    def __post_init__(self) -> None:
        """Copy what was given, fill in directions, and refuse what does not fit together."""
        if not self.categories:
            refuse("there are no scores")
        if self.scale is not None and self.scale not in get_args(Scale):
            refuse(f"the scale is `{shown(str(self.scale))}`", "it is `unit`, `percent` or None")
        for what in ("items", "higher_is_better", "geometric", "corpora", "answers"):
            strangers = sorted(set(getattr(self, what) or ()) - set(self.categories))
            if strangers:
                refuse(f"`{what}` names the category `{shown(strangers[0])}`, which has no score")
        for name, corpus in self.corpora.items():
            place = f"category `{shown(name)}`"
            if name in self.geometric or name in (self.items or ()):
                refuse(f"{place} has outcomes and is a corpus", "give its statistics only")
            if self.scale is not None:
                message = f"{place} is scored by `{corpus.metric}`, which is no share of full marks"
                refuse(message, "give `scale=None`")
        usual = {name: corpus.metric.higher_is_better for name, corpus in self.corpora.items()}
        better = {
            name: bool(self.higher_is_better.get(name, usual.get(name, True))) for name in self.categories
        }
        object.__setattr__(self, "categories", dict(self.categories))
        object.__setattr__(self, "higher_is_better", better)
        object.__setattr__(self, "geometric", frozenset(self.geometric))
        object.__setattr__(self, "notes", tuple(self.notes))
        object.__setattr__(self, "corpora", dict(self.corpora))
        object.__setattr__(self, "answers", {name: dict(found) for name, found in self.answers.items()})
        if self.items is None:
            return
        copies = {name: {item: float(found[item]) for item in found} for name, found in self.items.items()}
        for category, outcomes in copies.items():
            least = 0.0 if category in self.geometric else -math.inf
            is_share = self.scale is not None and category not in self.geometric
            for item, outcome in outcomes.items():
                if least < outcome < math.inf and (not is_share or 0 <= outcome <= 1):
                    continue
                hint = "shares of full marks are from 0 to 1; give `scale=None` for others"
                place = f"category `{shown(category)}`, item `{shown(item)}`"
                refuse(f"{place}: the outcome is {outcome}", hint if is_share else None)
        object.__setattr__(self, "items", copies)

    @classmethod
    def of_items(
        cls,
        items: Mapping[str, Mapping[str, float] | Corpus],
        *,
        scale: Scale | None = "unit",
        higher_is_better: Mapping[str, bool] | None = None,
        geometric: Collection[str] = (),
        notes: Sequence[str] = (),
        answers: Mapping[str, Mapping[str, Answer]] | None = None,
    ) -> Evaluation:
        """Return the evaluation whose scores are the means of these outcomes, or those of these corpora."""
        scores = {}
        for category, found in items.items():
            if isinstance(found, Corpus):
                scores[category] = CategoryScore.of_corpus(found)
                continue
            if not found:
                refuse(f"category `{shown(category)}` has no items", "leave it out")
            is_geometric = category in geometric
            full = 100.0 if scale == "percent" and not is_geometric else 1.0
            scores[category] = CategoryScore.of(found.values(), geometric=is_geometric, full=full)
        outcomes = {name: found for name, found in items.items() if not isinstance(found, Corpus)}
        corpora = {name: found for name, found in items.items() if isinstance(found, Corpus)}
        better = higher_is_better or {}
        return cls(
            scores,
            outcomes or None,
            scale,
            better,
            frozenset(geometric),
            tuple(notes),
            corpora,
            answers or {},
        )

    def item_ids(self) -> dict[str, tuple[str, ...]] | None:
        """Return the items of every category that tells them apart; None if none does."""
        told: dict[str, Mapping[str, object]] = {**(self.items or {})}
        told.update((name, corpus.items) for name, corpus in self.corpora.items())
        return {name: tuple(told[name]) for name in self.categories if name in told} or None

    def restricted(self, items: Mapping[str, Collection[str]]) -> Evaluation:
        """Return the scores over these items (category → ids) only, which must all be there."""
        known = self.item_ids()
        if known is None:
            refuse(
                "the evaluator tells no items apart, so its scores cannot be split",
                "give two task sets, one to choose on and one to report",
            )
        chosen = chosen_items(known, items)
        outcomes = self.items or {}
        return Evaluation.of_items(
            {
                name: self.corpora[name].restricted(ids)
                if name in self.corpora
                else {item: outcomes[name][item] for item in ids}
                for name, ids in chosen.items()
            },
            scale=self.scale,
            higher_is_better={name: self.higher_is_better[name] for name in chosen},
            geometric=self.geometric & chosen.keys(),
            notes=self.notes,
            answers={
                name: {item: self.answers[name][item] for item in ids if item in self.answers[name]}
                for name, ids in chosen.items()
                if name in self.answers
            },
        )

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame with score, number of items (n) and standard error of every category."""
        import pandas as pd

        categories = pd.Index([*self.categories], name="category")
        return pd.DataFrame([asdict(found) for found in self.categories.values()], index=categories)

    def __repr__(self) -> str:
        """Return the first scores on one line."""
        first = [f"{shown(name)} {found.score:.4g}" for name, found in islice(self.categories.items(), 3)]
        more = len(self.categories) - len(first)
        return f"Evaluation({', '.join(first)}{f' and {more} more' if more else ''})"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Evaluation:
        """Return what `to_json` gave; raises EvaluationError if the data is something else."""
        try:
            scores = {name: CategoryScore(**found) for name, found in data["categories"].items()}
            corpora = {name: Corpus.from_json(found) for name, found in data.get("corpora", {}).items()}
            answers = {
                name: {item: Answer(**one) for item, one in found.items()}
                for name, found in data.get("answers", {}).items()
            }
            return cls(**{**data, "categories": scores, "corpora": corpora, "answers": answers})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            refuse(f"this is not a recorded evaluation: {shown(repr(error))}", cause=error)


@runtime_checkable
class Evaluator(Protocol):
    """Scores recipes. Two evaluators of equal `identity` give a recipe the same scores.

    One that can may have two methods more. ``item_contents()`` returns category → id → digest of what is
    asked. ``item_keys()`` returns category → id → digest of all that the item's outcome depends on besides
    the recipe: what is asked, how the answer is scored, settings, version, engine and numerics, but neither
    the item's id nor its category. Outcomes are filed under these keys, so that tasks may grow; without them
    under `identity`, category and id.
    """

    @property
    def identity(self) -> Mapping[str, object]:
        """All that a score depends on besides the recipe, as JSON: tasks' digests, settings, versions."""

    def item_ids(self) -> Mapping[str, tuple[str, ...]] | None:
        """Return every category's items; None if they are not known, or not before something is scored."""

    def score(
        self,
        recipe: Recipe,
        *,
        items: Mapping[str, Sequence[str]] | None = None,
        on_progress: OnProgress | None = None,
    ) -> Evaluation:
        """Return the scores of a recipe, whose ingredients are some of the evaluator's.

        Only `items` (category → ids) are scored, or all. `on_progress` is called with what is done and what
        there is in all, on the caller's thread; raising from it stops the evaluation. Raises EvaluationError
        for unknown items and an evaluation that failed, other errors as a merge of the recipe.
        """

    def close(self) -> None:
        """Let go of models, files and processes."""


def chosen_items(
    known: Mapping[str, Collection[str]], wanted: Mapping[str, Collection[str]]
) -> dict[str, tuple[str, ...]]:
    """Return the items that are wanted, category by category, in the order in which they are known."""
    for category, items in wanted.items():
        place = f"category `{shown(category)}`"
        if category not in known:
            refuse(f"there is no {place}", nearest(category, list(known), "categories"))
        if not items:
            refuse(f"no item of {place} was asked for", "leave the category out")
        strangers = sorted(set(items).difference(known[category]))
        if strangers:
            more = f", nor {len(strangers) - 1} more of the {len(items)} wanted" if strangers[1:] else ""
            refuse(f"{place} has no item `{shown(strangers[0])}`{more}")
    return {
        category: tuple(filter(frozenset(wanted[category]).__contains__, items))
        for category, items in known.items()
        if category in wanted
    }


def refuse(
    message: str,
    hint: str | None = None,
    path: str | None = None,
    *,
    tensor: str | None = None,
    cause: BaseException | None = None,
) -> NoReturn:
    """Raise EvaluationError, from its cause if there is one."""
    raise EvaluationError.of([Problem("evaluation", path, tensor, message, hint)]) from cause


def no_progress(done: int, total: int) -> None:
    """Take note of progress that nobody asked about."""


def told(error: Exception) -> str:
    """Return an exception on one line, safe to show."""
    return shown(" ".join(f"{type(error).__name__}: {error}".split()))
