"""What each expert is worth: Shapley values of the game in which a coalition scores what its soup does."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from soce.analysis.games import plan_shapley
from soce.exceptions import SoceError
from soce.files.words import in_words
from soce.report.cells import Cell, share
from soce.report.document import Figure, Table, Text
from soce.report.figures.rows import Bar, Bars
from soce.report.run_view import NORMAL_95

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from soce.analysis.shapley import ShapleyValues
    from soce.report.document import Section
    from soce.report.figures.rows import RowKind
    from soce.report.run_view import RunView


def build(section: Section, view: RunView) -> None:
    """Fill the section: with all candidates if `soce study` scored what it takes, else with the experts."""
    population = view.population
    if population is not None:
        try:
            _fill(section, view, population.shapley, "candidate", population.population.candidates)
        except SoceError as error:
            section.missing.append(f"Shapley values of all candidates: {error.problems[0].message}.")
        else:
            return
    if view.run.result is None:
        section.missing += view.run.why("result")
        return
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
    _fill(section, view, lambda size: plan_shapley(view.run, size=size).values(), "expert", experts)


def _fill(
    section: Section,
    view: RunView,
    values_of: Callable[[int], ShapleyValues],
    who: str,
    models: Sequence[str],
) -> None:
    """Show the values of these models, and of pairs and triplets of them where there are some."""
    found = values_of(1)
    _show(section, view, found, who)
    section.data["singles"] = found.to_json()
    if who == "candidate":
        _compare_selected(section, view)
    for size, name in ((2, "pair"), (3, "triplet")):
        if len(models) > size:
            with suppress(SoceError):  # too many players, or soups that were never scored
                more = values_of(size)
                section.data[f"{name}s"] = more.to_json()
                section.blocks.append(_tuples(view, more, name))


def _compare_selected(section: Section, view: RunView) -> None:
    """Say what the uniform soup of the experts is worth against that of the other candidates."""
    assert view.population is not None
    with suppress(SoceError):  # nobody was selected, or all were
        found, unit = view.population.selected(), view.unit
        section.data["selected"] = found.to_json()
        interval = unit.interval(found.interval).text
        words = "" if found.interval is None else f", {100 * found.interval.level:g} % interval {interval}"
        section.blocks.append(
            Text(
                f"The uniform soup of the selected candidates ({in_words(found.selected)}) scores "
                f"{unit.score(found.value).text}, that of the others ({in_words(found.others)}) "
                f"{unit.score(found.value_of_others).text}: a difference of "
                f"{unit.difference(found.difference).text}{words}. It is one selection from one list."
            )
        )


def _tuples(view: RunView, found: ShapleyValues, name: str) -> Table:
    how = {
        "union": "the uniform soup of all its members' models",
        "nested": "the average of its members' uniform soups",
    }[found.reading or "union"]
    header = (name, "Shapley value" + (" (pp)" if view.unit.points else ""))
    rows = [(Cell(one), view.unit.score(found.value[one])) for one in found.ranked()]
    return Table(f"Shapley values of {name}s: a coalition scores as {how}", header, rows, is_folded=True)


def _show(section: Section, view: RunView, found: ShapleyValues, who: str) -> None:
    unit = view.unit
    gained = found.total - found.empty
    run = view.run
    alone = {name: run.value(run.pool.recipe({name: 1})) for name in found.players}
    chosen = view.parents if run.result is not None else ()
    bars, rows = [], []
    for name in found.ranked():
        worth = unit.score(found.value[name])
        value = found.value[name] * unit.times
        error = None if found.stderr is None else NORMAL_95 * found.stderr[name] * unit.times
        interval = None if error is None else (value - error, value + error)
        kind: RowKind = "soup" if name in chosen else "single"
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
            f"The Shapley value of {'an' if who == 'expert' else 'a'} {who} is what it adds to a uniform "
            f"soup, on average over every order in which the {who}s may join. The values sum to "
            f"{unit.score(gained).text}{unit.points}: what the "
            f"uniform soup of all of them scores on the {view.where}, counted from "
            f"{unit.score(found.empty).text} for no model."
        ),
        Figure(
            "shapley",
            f"Shapley value of each {who}",
            "; ".join(f"{row.label} {row.text}" for row in bars) + ".",
            Bars(bars, f"Shapley value{unit.points_axis}, {view.held_out}"),
            "In colour: the models of the soup." if {*found.players} > {*chosen} > set() else "",
        ),
        Table(
            "Shapley values",
            (who, "Shapley value" + (" (pp)" if unit.points else ""), "share of the whole", "alone"),
            rows,
        ),
        Text(
            f"{how} Another value for no model would move all Shapley values by the same amount and leave "
            "their order as it is.",
            soft=True,
        ),
    ]
