"""What each expert is worth: Shapley values of the game in which a coalition scores what its soup does."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from soce.exceptions import SoceError
from soce.report.cells import Cell, share
from soce.report.document import Figure, Table, Text
from soce.report.figures.rows import Bar, Bars
from soce.report.run_view import NORMAL_95

if TYPE_CHECKING:
    from soce.analysis.shapley import ShapleyValues
    from soce.report.document import Section
    from soce.report.figures.rows import RowKind
    from soce.report.run_view import RunView


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    from soce.analysis.games import plan_shapley

    experts = view.run.pool.experts
    if len(experts) < 2:
        section.missing.append("Shapley values: there is one expert, and nothing to divide.")
        return
    plan = plan_shapley(view.run)
    if plan.missing() and view.score_more is not None:
        view.score_more(plan)
    lacking = len(plan.missing())
    if lacking:
        why = f"; {view.why_not_more}" if view.why_not_more else ""
        section.missing.append(
            f"Shapley values: {lacking} of the {plan.n_soups} uniform soups of the experts were never "
            f"scored{why}."
        )
        return
    found = plan.values()
    _show(section, view, found)
    section.data["singles"] = found.to_json()
    for size, name in ((2, "pair"), (3, "triplet")):
        if len(experts) > size:
            with suppress(SoceError):  # too many players, or soups that were never scored
                more = plan_shapley(view.run, size=size).values()
                section.data[f"{name}s"] = more.to_json()
                section.blocks.append(_tuples(view, more, name))


def _tuples(view: RunView, found: ShapleyValues, name: str) -> Table:
    caption = f"Shapley values of {name}s: a coalition scores as the uniform soup of all its members' models"
    header = (name, "Shapley value" + (" (pp)" if view.unit.points else ""))
    rows = [(Cell(one), view.unit.score(found.value[one])) for one in found.ranked()]
    return Table(caption, header, rows, is_folded=True)


def _show(section: Section, view: RunView, found: ShapleyValues) -> None:
    unit = view.unit
    gained = found.total - found.empty
    alone = {arm.label: arm.report.value for arm in view.result.singles}
    bars, rows = [], []
    for name in found.ranked():
        worth = unit.score(found.value[name])
        value = found.value[name] * unit.times
        error = None if found.stderr is None else NORMAL_95 * found.stderr[name] * unit.times
        interval = None if error is None else (value - error, value + error)
        kind: RowKind = "soup" if name in view.parents else "single"
        bars.append(Bar(name, value, worth.text, kind, interval))
        part = share(found.value[name] / gained if gained else None)
        rows.append((Cell(name), worth, part, unit.score(alone.get(name))))
    how = (
        f"Exact, from {found.n_coalitions} coalitions."
        if found.stderr is None
        else f"Sampled from {found.permutations} orders with seed {found.seed}; lines are 95 % intervals."
    )
    section.blocks += [
        Text(
            "An expert's Shapley value is what it adds to a uniform soup, on average over every order in "
            f"which the experts may join. The values sum to {unit.score(gained).text}{unit.points}: what the "
            f"uniform soup of all of them scores on the {view.where}, counted from "
            f"{unit.score(found.empty).text} for no model."
        ),
        Figure(
            "shapley",
            "Shapley value of each expert",
            "; ".join(f"{row.label} {row.text}" for row in bars) + ".",
            Bars(bars, f"Shapley value{unit.points_axis}, {view.held_out}"),
        ),
        Table(
            "Shapley values",
            ("expert", "Shapley value" + (" (pp)" if unit.points else ""), "share of the whole", "alone"),
            rows,
        ),
        Text(
            f"{how} Another value for no model would move all Shapley values by the same amount and leave "
            "their order as it is.",
            soft=True,
        ),
    ]
