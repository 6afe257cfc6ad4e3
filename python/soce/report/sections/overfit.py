"""Whether the soup lost something on benchmarks that took no part in choosing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.report import sentences
from soce.report.cells import Cell, decimal
from soce.report.document import Note, Table, Text

if TYPE_CHECKING:
    from soce.report.document import Section
    from soce.report.run_view import RunView
    from soce.scores.table import ScoreTable

_FLAGS: Final = {
    "below_min": "worse than every ingredient",
    "between": "between its ingredients",
    "above_max": "better than every ingredient",
    None: "a score is missing",
}


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    from soce.analysis.overfit import check_overfit

    table = view.others
    if table is None:
        section.missing.append(
            "Scores on other benchmarks: none were given. Score the soup and its ingredients on a benchmark "
            "that took no part in the search, and name the table with `--other-benchmarks`."
        )
        return
    soup = _soup_row(table, view.parents, view.soup.label)
    took_part = [name for name in table.categories if name in view.soup.report.categories]
    found = check_overfit(table, soup, view.parents, dict(view.soup.parts), took_part=took_part)
    rows = []
    for one in found.benchmarks:
        ends = (one.minimum, one.maximum) if one.higher_is_better else (one.maximum, one.minimum)
        numbers = (ends[0], one.mean, ends[1], one.weighted_mean)
        flag = _FLAGS[one.flag] + (" (chosen by it)" if one.took_part else "")
        rows.append(
            (
                Cell(one.benchmark),
                decimal(one.soup, 2, tone="soup"),
                *(decimal(number, 2) for number in numbers),
                Cell(flag, one.flag, "warning" if one.flag == "below_min" else ""),
            )
        )
    said = sentences.of_other_benchmarks(found)
    if said is not None:
        section.blocks.append(Note(said, "warning") if found.regressions else Text(said))
    ingredients = ("worst ingredient", "mean", "best ingredient", "mean by weight")
    header = ("benchmark", "soup", *ingredients, "the soup is")
    section.blocks.append(Table(f"`{soup}` against its ingredients", header, rows))
    section.data |= found.to_json()


def _soup_row(table: ScoreTable, parents: tuple[str, ...], label: str) -> str:
    """Return the row of the soup: that of its label, or the only one that is no ingredient."""
    if label in table.models:
        return label
    others = [name for name in table.models if name not in parents]
    if len(others) == 1:
        return others[0]
    table.refuse(
        f"{len(others)} rows of the other benchmarks may be the soup", f"name the soup's row `{label}`"
    )
