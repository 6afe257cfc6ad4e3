"""What a search found, reported on items that it did not see where there are any."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from soce.evaluate.truncation import truncation_caution
from soce.exceptions import SoceError, shown
from soce.files.words import signed
from soce.search.arm import Arm, ArmComparison, checked
from soce.search.refusal import refuse
from soce.search.soup import is_plain, soup_text
from soce.search.strategies.race.certificate import Certificate
from soce.search.strategies.space import ScoredSoup
from soce.search.verdict import ExpertsSaw, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

    from soce.evaluate.evaluation import Scale
    from soce.search.pool import Pool


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The best soup, compared with everything it must beat."""

    objective: str
    scale: Scale | None
    strategy: Mapping[str, Any]
    arms: tuple[Arm, ...]
    """Single models by name, uniform soups, methods that were named, and last what was searched for."""
    comparisons: tuple[ArmComparison, ...]
    """The differences of docs/search.md, in its order; intervals and tests where there are outcomes."""
    ranked: tuple[ScoredSoup, ...]
    """Soups that were scored on all selection items, best first."""
    tied: tuple[ScoredSoup, ...]
    """Others with the same value on the selection items as the one chosen."""
    trace: Mapping[str, Any]
    n_candidates: int
    """Different soups that the strategy scored: the best of many noisy scores is optimistic."""
    is_optimistic: bool
    """Whether the soup was chosen and is reported on the same items."""
    split: Mapping[str, Any] | None
    best_single_selection: str
    best_single_report: str
    """The model that is best on the selection items, and on the reported ones: the harder one to beat."""
    notes: tuple[str, ...]
    experts_saw: ExpertsSaw = "unknown"
    """On which items the experts were chosen, as against the reported ones."""
    n_chosen_before: int = 0
    """Held-out items that soups were chosen on in this store before the question was asked first."""
    merge: Mapping[str, Any] = field(default_factory=dict)
    """What was decided about the soups, see `MergeOptions.decisions`: a merge of the best needs the same."""
    lower_is_better: tuple[str, ...] = ()
    """Categories in which smaller scores are better, as the evaluator says."""
    n_evaluated: int = field(default=0, compare=False)
    """Calls of the evaluator that this run needed: 0 if all was known. Not part of `to_json`."""
    n_items: int = field(default=0, compare=False)
    """Items that it was asked for in these, as far as it tells. Not part of `to_json` either."""

    @property
    def best(self) -> Arm:
        """The soup that was searched for."""
        return self.arms[-1]

    @property
    def singles(self) -> tuple[Arm, ...]:
        """The single models, by name."""
        return tuple(arm for arm in self.arms if arm.kind == "single")

    def arm(self, label: str) -> Arm:
        """Return the arm of that label."""
        return next(arm for arm in self.arms if arm.label == label)

    @property
    def judgement(self) -> Verdict:
        """What may be said of the soup against the best single model on the reported items."""
        against, parts = self.against_best, self.best.parts
        return Verdict(
            soup=self.best.report.value,
            single=self.arm(self.best_single_report).report.value,
            model=self.best_single_report,
            difference=against.difference,
            scale=self.scale,
            interval=against.interval,
            is_optimistic=self.is_optimistic,
            experts_saw=self.experts_saw,
            only=next(iter(parts)) if len(parts) == 1 and is_plain(parts) else None,
        )

    @property
    def caution(self) -> str | None:
        """What must be read before the verdict: that texts of the soup and of others were not cut alike."""
        first = (self.best, self.arm(self.best_single_report), *self.arms)
        return truncation_caution(self.best.label, {arm.label: arm.report.truncation for arm in first})

    @property
    def verdict(self) -> str:
        """One sentence: whether the soup beats the best single model on the reported items."""
        return self.judgement.text

    @property
    def beats_best_single(self) -> bool:
        """Whether the soup is shown to be better than the best single model on the reported items."""
        return self.judgement.kind == "beats"

    @property
    def scores_higher(self) -> bool:
        """Whether the soup's score is above that of the best single model: equal is not higher."""
        return self.against_best.difference > 0

    @property
    def certificate(self) -> Certificate | None:
        """What a race proves of the soup on the selection items; None if it was no race."""
        return Certificate.of_trace(self.trace)

    def best_score(self, category: str, arms: Iterable[Arm]) -> float | None:
        """Return the best reported score of a category among these arms, None if none has one."""
        scores = [arm.report.categories[category] for arm in arms if category in arm.report.categories]
        return (min if category in self.lower_is_better else max)(scores, default=None)

    def comparison(self, first: str, second: str) -> ArmComparison | None:
        """Return the difference of two arms by their labels; None if it is not among those reported."""
        pairs = ((one, (one.first, one.second)) for one in self.comparisons)
        return next((one for one, labels in pairs if labels == (first, second)), None)

    @property
    def against_best(self) -> ArmComparison:
        """The soup minus the best single model on the reported items."""
        found = self.comparison(self.best.label, self.best_single_report)
        assert found is not None
        return found

    def number(self, value: float) -> str:
        """Return an objective as people read it: percent where the scale is known."""
        return f"{value * self.times:.2f}"

    @property
    def times(self) -> float:
        """What turns the objective's units into percentage points."""
        return 100.0 if self.scale == "unit" else 1.0

    @property
    def unit(self) -> str:
        """``pp``, or nothing if the scores are no shares."""
        return "" if self.scale is None else " pp"

    def to_json(self) -> dict[str, object]:
        """Return everything in plain Python; the same for a search and for the one that repeats it."""
        return {
            "objective": self.objective,
            "scale": self.scale,
            "strategy": dict(self.strategy),
            "optimistic": self.is_optimistic,
            "split": None if self.split is None else dict(self.split),
            "best": self.best.to_json(),
            "beats_best_single": self.beats_best_single,
            "scores_higher": self.scores_higher,
            "verdict_kind": self.judgement.kind,
            "experts_saw": self.experts_saw,
            **({"chosen_before": self.n_chosen_before} if self.n_chosen_before else {}),
            "best_single": {
                "on_selection": self.best_single_selection,
                "on_report": self.best_single_report,
            },
            **({} if self.caution is None else {"caution": self.caution}),
            "verdict": self.verdict,
            "arms": [arm.to_json() for arm in self.arms],
            "comparisons": [comparison.to_json() for comparison in self.comparisons],
            "drop": {
                "best": self.best.drop,
                "mean_of_singles": sum(arm.drop for arm in self.singles) / len(self.singles),
            },
            "n_candidates": self.n_candidates,
            "tied": [one.to_json() for one in self.tied],
            "ranked": [one.to_json() for one in self.ranked],
            "trace": dict(self.trace),
            "notes": list(self.notes),
            **({"merge": dict(self.merge)} if self.merge else {}),
            **({"lower_is_better": list(self.lower_is_better)} if self.lower_is_better else {}),
        }

    @classmethod
    def from_json(cls, data: Any, *, pool: Pool | None = None) -> SearchResult:  # noqa: ANN401 - JSON
        """Return the result that `to_json` described; refuse anything else.

        The manifest of a soup keeps it without ``ranked``, ``tied`` and ``trace``, which are then empty. The
        data does not say where the models are: without their pool, recipes name them and cannot be merged.
        """
        try:
            return cls._from_json(data, pool)
        except (AttributeError, KeyError, TypeError, ValueError, SoceError) as error:
            message = f"this is not the result of a search that this version reads: {_reason(error)}"
            hint = "the search writes it again if it is run once more"
            refuse(message, hint, cause=error)

    @classmethod
    def _from_json(cls, data: Mapping[str, Any], pool: Pool | None) -> SearchResult:
        split, best_single = data["split"], data["best_single"]
        result = cls(
            objective=str(data["objective"]),
            scale=data["scale"],
            strategy=dict(data["strategy"]),
            arms=tuple(Arm.from_json(arm, pool) for arm in data["arms"]),
            comparisons=tuple(checked(ArmComparison, one) for one in data["comparisons"]),
            ranked=tuple(ScoredSoup.from_json(one) for one in data.get("ranked", ())),
            tied=tuple(ScoredSoup.from_json(one) for one in data.get("tied", ())),
            trace=dict(data.get("trace", {})),
            n_candidates=int(data["n_candidates"]),
            is_optimistic=bool(data["optimistic"]),
            split=None if split is None else dict(split),
            best_single_selection=str(best_single["on_selection"]),
            best_single_report=str(best_single["on_report"]),
            notes=tuple(map(str, data["notes"])),
            experts_saw=checked(ExpertsSaw, data.get("experts_saw", "unknown")),
            n_chosen_before=int(data.get("chosen_before", 0)),
            merge=dict(data.get("merge", {})),
            lower_is_better=tuple(map(str, data.get("lower_is_better", ()))),
        )
        labels = {arm.label for arm in result.arms}
        named = {result.best_single_selection, result.best_single_report}
        named |= {label for one in result.comparisons for label in (one.first, one.second)}
        if not labels or not named <= labels:
            message = f"no arm is called {', '.join(sorted(named - labels))}"
            raise ValueError(message)
        if result.comparison(result.best.label, result.best_single_report) is None:
            message = f"nothing compares the soup with {result.best_single_report}"
            raise ValueError(message)
        return result

    def to_frame(self) -> pd.DataFrame:
        """Return a data frame of what was compared: a row for each arm, the soup searched for last.

        ``selection`` and ``report`` are the objective on the items to choose on and on those reported,
        ``difference`` is that to the best single model on the latter, ``low`` and ``high`` its interval, all
        in the objective's units.
        """
        import pandas as pd

        rows = []
        for arm in self.arms:
            against = self.comparison(arm.label, self.best_single_report)
            interval = None if against is None else against.interval
            relative = 0.0 if against is None else against.relative_percent
            rows.append(
                {
                    "arm": arm.label,
                    "kind": arm.kind,
                    "weights": soup_text(arm.parts),
                    "selection": arm.selection.value,
                    "report": arm.report.value,
                    "difference": 0.0 if against is None else against.difference,
                    "low": math.nan if interval is None else interval.low,
                    "high": math.nan if interval is None else interval.high,
                    "relative_percent": math.nan if relative is None else relative,
                }
            )
        return pd.DataFrame(rows).set_index("arm")

    def __repr__(self) -> str:
        """Return the verdict on one line."""
        return f"SearchResult({shown(self.objective)} · {shown(self.verdict)})"

    def _repr_html_(self) -> str:
        """Return the arms as a table, in the words and units that people read."""
        import pandas as pd

        frame = self.to_frame().drop(columns="kind").reset_index()
        for name in ("selection", "report"):
            frame[name] = frame[name].map(self.number)
        frame["difference"] = [f"{signed(value * self.times)}{self.unit}" for value in frame["difference"]]
        ends = zip(frame.pop("low") * self.times, frame.pop("high") * self.times, strict=True)
        if (interval := self.against_best.interval) is not None:
            written = ["" if math.isnan(low) else f"[{signed(low)}, {signed(high)}]" for low, high in ends]
            frame.insert(len(frame.columns) - 1, f"{100 * interval.level:g} % interval", written)
        frame["relative_percent"] = frame["relative_percent"].map(
            lambda value: f"{signed(value)} %", na_action="ignore"
        )
        held_out = "same items" if self.is_optimistic else "held out"
        frame = frame.rename(
            columns={
                "report": held_out,
                "difference": "to the best single",
                "relative_percent": "relative",
            }
        )
        with pd.option_context("display.max_colwidth", None):  # weights name every model
            table = frame.to_html(index=False, na_rep="")
        return f"<p>{escape(f'{self.objective} · {self.verdict}')}</p>{table}"


def _reason(error: Exception) -> str:
    """Return what is wrong with a result, on one line; of several things the first."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"`{shown('.'.join(map(str, first['loc'])))}`: {shown(first['msg'])}"
    return shown(repr(error))
