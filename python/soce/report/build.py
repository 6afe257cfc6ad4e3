"""The report of a run: what was souped and why, what it gained, and how to make it again.

What is missing is said in the report, and never an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from soce.files.words import counted, in_words
from soce.report.document import Section
from soce.report.report import Report
from soce.report.run_view import RunView
from soce.report.sections import (
    answers,
    categories,
    consistency,
    costs,
    overfit,
    parents,
    reproduce,
    result,
    selection,
    shapley,
    summary,
    warnings,
    weights,
    wins,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.analysis.games import ShapleyPlan
    from soce.scores.table import ScoreTable
    from soce.search.run import Run

Build: TypeAlias = Callable[[Section, RunView], None]


class _Part(NamedTuple):
    """How a section is made."""

    title: str
    build: Build
    needs: tuple[str, ...] = ()
    """Parts of the run without which nothing of the section can be shown."""
    what: str = "This section"
    """What cannot be shown if a file is damaged."""


_PARTS: Final = {
    "summary": _Part("Summary", summary.build),
    "result": _Part("What the soup scores", result.build, ("result",)),
    "categories": _Part("Category by category", categories.build, ("result",)),
    "selection": _Part("What was souped, and why", selection.build),
    "weights": _Part("How the weights were chosen", weights.build, ("result",)),
    "shapley": _Part("What each model is worth", shapley.build, ("study",), "Shapley values"),
    "wins": _Part("Which items the soup solves", wins.build, ("result",), "Win rates"),
    "answers": _Part("Wins and losses, word for word", answers.build, ("result",), "A sample of items"),
    "consistency": _Part("Consistency before and after souping", consistency.build, (), "The comparison"),
    "parents": _Part("Soups against their parents", parents.build, ("study",), "The comparison"),
    "overfit": _Part("Overfit check on other benchmarks", overfit.build, ("result",), "The check"),
    "warnings": _Part("Warnings", warnings.build),
    "costs": _Part("What it cost", costs.build),
    "reproduce": _Part("Recipe and how to reproduce it", reproduce.build),
}
"""By the anchor of the section."""


def build_report(
    run: Run,
    *,
    others: ScoreTable | None = None,
    score_more: Callable[[ShapleyPlan], object] | None = None,
    why_not_more: str = "",
    tasks: Sequence[str] = (),
) -> Report:
    """Return the report of a run; the same run gives the same report.

    Parameters
    ----------
    run : Run
        See `open_run`.
    others : ScoreTable, optional
        Scores of the soup and its ingredients on benchmarks that took no part in the search.
    score_more : callable, optional
        Scores the soups that a plan of Shapley values lacks, and keeps their scores with those of the run. If
        left out, nothing is evaluated.
    why_not_more : str
        What the report says of soups that were not scored, if there is no `score_more`.
    tasks : sequence of str
        Files that may hold the texts of the run's items, where the run does not tell where they are.
    """
    from soce import __version__

    view = RunView(run, others, score_more, why_not_more, tuple(tasks))
    title, subtitle, verdict, tone = _head(view)
    sections = [_section(anchor, part, view) for anchor, part in _PARTS.items()]
    caution = None if run.result is None or run.result.caution is None else f"{run.result.caution}."
    return Report(title, subtitle, verdict, tone, sections, __version__, caution)


def _section(anchor: str, part: _Part, view: RunView) -> Section:
    section = Section(anchor, part.title, missing=list(view.run.why(*part.needs)))
    if not section.missing:
        with section.trying(part.what):  # the other sections know nothing of a damaged file
            part.build(section, view)
    return section


def _head(view: RunView) -> tuple[str, str, str, Literal["good", "bad", "open"]]:
    run = view.run
    command = f"`soce {run.kind}`"
    if run.settings and "seed" in run.settings:
        command += f", seed {run.settings['seed']}"
    if run.kind == "study":
        title = f"A study of {_names(tuple(sorted(run.pool.names)))}"
        return title, command, f"No soup was searched for: {run.missing['result']}", "open"
    if run.result is None:
        experts = _names(run.experts) or "no experts yet"
        reason = "; ".join(run.why("result"))
        return f"Unfinished: {experts}", command, f"There is no result yet: {reason}", "open"
    found, parents = run.result, view.parents
    title = f"A soup of {_names(parents)}" if len(parents) > 1 else f"One model, no soup: {parents[0]}"
    categories = counted(len(found.best.report.categories), "category", "categories")
    subtitle = f"{command} · {categories} · {len(found.singles)} candidate models"
    tones: dict[str, Literal["good", "bad"]] = {"beats": "good", "equal": "bad", "lower": "bad"}
    return title, subtitle, f"{found.verdict}.", tones.get(found.judgement.kind, "open")


def _names(names: tuple[str, ...]) -> str:
    return in_words(names) if len(names) <= 6 else in_words([*names[:5], f"{len(names) - 5} more"])
