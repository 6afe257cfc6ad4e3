"""Whether the soup lost something on benchmarks that took no part in choosing it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from soce.exceptions import SoceError
from soce.report.document import Block, Cell, Note, Section, Table, Text
from soce.report.units import decimal

if TYPE_CHECKING:
    from soce.report.material import Material
    from soce.scores.table import ScoreTable

_FLAGS: Final = {
    "below_min": "below every ingredient",
    "between": "between its ingredients",
    "above_max": "above every ingredient",
    None: "a score is missing",
}


def build(material: Material) -> Section:
    """Return the section."""
    title = "Overfit check on other benchmarks"
    if material.run.result is None:
        return Section("overfit", title, missing=material.run.why("result"))
    if material.others is None:
        reason = (
            "Scores on other benchmarks: none were given. Score the soup and its ingredients on a "
            "benchmark that "
            "took no part in the search, and name the table with `--other-benchmarks`."
        )
        return Section("overfit", title, missing=(reason,))
    try:
        return _checked(material, material.others, title)
    except SoceError as error:
        return Section("overfit", title, missing=(f"The check: {error.problems[0].message}.",))


def _checked(material: Material, table: ScoreTable, title: str) -> Section:
    from soce.analysis.overfit import check_overfit

    soup = soup_row(table, material.parents, material.soup.label)
    took_part = [name for name in table.categories if name in material.soup.report.categories]
    found = check_overfit(table, soup, material.parents, dict(material.soup.parts), took_part=took_part)
    rows = [
        (
            Cell(one.benchmark),
            decimal(one.soup, 2, tone="soup"),
            decimal(one.minimum, 2),
            decimal(one.mean, 2),
            decimal(one.maximum, 2),
            decimal(one.weighted_mean, 2),
            Cell(
                _FLAGS[one.flag] + (" (chosen by it)" if one.took_part else ""),
                one.flag,
                "warning" if one.flag == "below_min" else "",
            ),
        )
        for one in found.benchmarks
    ]
    header = (
        "benchmark",
        "soup",
        "worst ingredient",
        "mean",
        "best ingredient",
        "mean by weight",
        "the soup is",
    )
    blocks: list[Block] = [Table(f"`{soup}` against its ingredients", header, tuple(rows))]
    if found.regressions:
        listed = ", ".join(f"`{name}`" for name in found.regressions)
        blocks.insert(0, Note(f"The soup is worse than every ingredient on {listed}.", "warning"))
    else:
        blocks.insert(0, Text("On none of the other benchmarks is the soup worse than every ingredient."))
    return Section("overfit", title, tuple(blocks), data=found.to_json())


def soup_row(table: ScoreTable, parents: tuple[str, ...], label: str) -> str:
    """Return the row of the soup: that of its label, or the only one that is no ingredient.

    Raises
    ------
    ScoreTableError
        There is no such row, or more than one.
    """
    if label in table.models:
        return label
    others = [name for name in table.models if name not in parents]
    if len(others) == 1:
        return others[0]
    table.refuse(
        f"{len(others)} rows of the other benchmarks may be the soup", f"name the soup's row `{label}`"
    )
