"""The report of a run: what was souped and why, what it gained, and how to make it again, as one document.

`build_report` makes sections of a run, and the report writes itself as
HTML, Markdown or JSON. What is missing is said in the report, and never an error.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from soce.exceptions import OutputError, Problem, SoceError, shown
from soce.files.atomic import write_text
from soce.report.document import Report, Section
from soce.report.material import Material
from soce.report.sections import (
    categories,
    consistency,
    costs,
    overfit,
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
    import os
    from collections.abc import Callable

    from soce.analysis.games import ShapleyPlan
    from soce.scores.table import ScoreTable
    from soce.search.run import Run

__all__ = [
    "FORMATS",
    "Format",
    "Report",
    "build_report",
    "format_of",
    "text_of",
    "write_report",
]

Format: TypeAlias = Literal["html", "markdown", "json"]

FORMATS: Final[dict[str, Format]] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
}
"""Endings of files, and what is written into them."""
_SECTIONS: Final = (
    ("summary", summary),
    ("result", result),
    ("categories", categories),
    ("selection", selection),
    ("weights", weights),
    ("shapley", shapley),
    ("wins", wins),
    ("consistency", consistency),
    ("overfit", overfit),
    ("warnings", warnings),
    ("costs", costs),
    ("reproduce", reproduce),
)


def build_report(
    run: Run,
    *,
    others: ScoreTable | None = None,
    score_more: Callable[[ShapleyPlan], object] | None = None,
    why_not_more: str = "",
) -> Report:
    """Return the report of a run.

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

    Returns
    -------
    Report
        The same run gives the same report.
    """
    from soce import __version__

    material = Material(run, others, score_more, why_not_more)
    sections = []
    for anchor, module in _SECTIONS:
        try:
            sections.append(module.build(material))
        except SoceError as error:  # a damaged file: the other sections know nothing of it
            reason = f"This section: {error.problems[0].message}."
            sections.append(Section(anchor, anchor.capitalize(), missing=(reason,)))
    title, subtitle, verdict, tone = _head(material)
    return Report(title, subtitle, verdict, tone, tuple(sections), __version__)


def _head(material: Material) -> tuple[str, str, str, Literal["good", "bad", "open"]]:
    run = material.run
    command = {"demo": "soce demo", "run": "soce run", "search": "soce search"}[run.kind]
    seed = f", seed {run.settings['seed']}" if run.settings and "seed" in run.settings else ""
    if run.result is None:
        experts = _listed(run.experts) or "no experts yet"
        reason = "; ".join(run.why("result"))
        return (
            f"Unfinished: {experts}",
            f"`{command}`{seed}",
            f"There is no result yet: {reason}",
            "open",
        )
    found, parents = run.result, material.parents
    n_categories = len(found.best.report.categories)
    categories = f"{n_categories} categor{'y' if n_categories == 1 else 'ies'}"
    title = f"A soup of {_listed(parents)}" if len(parents) > 1 else f"One expert, no soup: {parents[0]}"
    subtitle = f"`{command}`{seed} · {categories} · {len(found.singles)} candidate models"
    interval = found.against_best.interval
    is_sure = interval is None or interval.low > 0
    tone: Literal["good", "bad", "open"] = (
        "bad" if not found.beats_best_single else "open" if found.is_optimistic or not is_sure else "good"
    )
    return title, subtitle, f"{found.verdict}.", tone


def _listed(names: tuple[str, ...]) -> str:
    if len(names) > 6:
        return f"{', '.join(names[:5])} and {len(names) - 5} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def format_of(path: str | os.PathLike[str]) -> Format:
    """Return the format that a file's ending tells.

    Raises
    ------
    OutputError
        Another ending than those of `FORMATS`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        what = f"a `{shown(suffix)}` file" if suffix else "a file without an ending"
        hint = "end the name in .html, .md or .json, or give `--format`"
        raise OutputError.of([Problem("output", str(path), None, f"a report is not written as {what}", hint)])
    return FORMATS[suffix]


def text_of(report: Report, kind: Format) -> str:
    """Return the report as text in that format."""
    if kind == "html":
        return report.to_html()
    if kind == "markdown":
        return report.to_markdown()
    # ASCII only: characters that hide or turn others are written as numbers.
    return json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n"


def write_report(report: Report, path: str | os.PathLike[str], *, kind: Format | None = None) -> Path:
    """Write a report to a file, which then is complete or as it was before.

    Parameters
    ----------
    report : Report
    path : path-like
        An existing file is replaced.
    kind : {"html", "markdown", "json"}, optional
        As the file's ending says if left out.

    Raises
    ------
    OutputError
        Another ending and no kind; jinja2 or matplotlib is missing.
    OSError
        The file cannot be written.
    """
    target = Path(path)
    text = text_of(report, kind or format_of(target))
    write_text(target, text.encode(errors="backslashreplace").decode())
    return target
