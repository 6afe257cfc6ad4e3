"""What each expert is worth: Shapley values of the game in which a coalition scores what its soup does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.exceptions import SoceError
from soce.report.document import Block, Cell, Figure, Section, Table, Text
from soce.report.figures.rows import Bar, bars
from soce.report.units import share

if TYPE_CHECKING:
    from soce.analysis.shapley import ShapleyValues
    from soce.report.material import Material


def build(material: Material) -> Section:
    """Return the section."""
    title = "What each expert is worth"
    run = material.run
    if run.identity is None or run.result is None:
        return Section("shapley", title, missing=run.why("result", "study"))
    if len(run.pool.experts) < 2:
        return Section(
            "shapley", title, missing=("Shapley values: there is one expert, and nothing to divide.",)
        )
    try:
        found = _values(material)
    except SoceError as error:
        return Section("shapley", title, missing=(f"Shapley values: {error.problems[0].message}.",))
    if isinstance(found, str):
        return Section("shapley", title, missing=(f"Shapley values: {found}.",))
    blocks: list[Block] = [*_blocks(material, found)]
    data = {"singles": found.to_json()}
    for size, name in ((2, "pairs"), (3, "triplets")):
        more = _tuples(material, size)
        if more is not None:
            data[name] = more.to_json()
            blocks.append(_tuples_table(material, more, name))
    return Section("shapley", title, tuple(blocks), data=data)


def _values(material: Material) -> ShapleyValues | str:
    from soce.analysis.games import plan_shapley

    plan = plan_shapley(material.run)
    lacking = len(plan.missing())
    if lacking and material.score_more is not None:
        material.score_more(plan)
        lacking = len(plan.missing())
    if lacking:
        which = f"{lacking} of the {plan.n_soups} uniform soups of the experts were never scored"
        return f"{which}; {material.why_not_more}" if material.why_not_more else which
    return plan.values()


def _tuples(material: Material, size: int) -> ShapleyValues | None:
    """Return the values of pairs or triplets: their uniform soups are those that are scored by now."""
    from soce.analysis.games import plan_shapley

    run = material.run
    if len(run.pool.experts) <= size:
        return None
    try:
        return plan_shapley(run, size=size).values()
    except SoceError:  # too many players
        return None


def _tuples_table(material: Material, found: ShapleyValues, name: str) -> Table:
    unit = material.unit
    return Table(
        f"Shapley values of {name}: a coalition scores as the uniform soup of all its members' models",
        (name.removesuffix("s"), "Shapley value" + (" (pp)" if unit.points else "")),
        tuple((Cell(one), unit.score(found.value[one])) for one in found.ranked()),
        is_folded=True,
    )


def _blocks(material: Material, found: ShapleyValues) -> tuple[Text, Figure, Table, Text]:
    unit = material.unit
    gained = found.total - found.empty
    ranked = found.ranked()
    rows = []
    for name in ranked:
        value = found.value[name] * unit.times
        error = None if found.stderr is None else 1.959963984540054 * found.stderr[name] * unit.times
        rows.append(
            Bar(
                name,
                value,
                unit.score(found.value[name]).text,
                "soup" if name in material.parents else "single",
                None if error is None else value - error,
                None if error is None else value + error,
            )
        )
    title = "Shapley value of each expert"
    description = "; ".join(f"{row.label} {row.text}" for row in rows) + "."
    axis = f"Shapley value{unit.points_axis}, {material.held_out}"

    def draw(width: int) -> str:
        return bars(
            rows, width, name=f"shapley-{width}", title=title, description=description, axis=axis, full=None
        )

    text = Text(
        "An expert's Shapley value is what it adds to a uniform soup, on average over every order in "
        "which the "
        f"experts may join. The values sum to {unit.score(gained).text}{unit.points}: what the uniform "
        "soup of "
        f"all of them scores on the {material.where}, counted from {unit.score(found.empty).text} for no "
        "model."
    )
    table = Table(
        "Shapley values",
        ("expert", "Shapley value" + (" (pp)" if unit.points else ""), "share of the whole", "alone"),
        tuple(
            (
                Cell(name),
                unit.score(found.value[name]),
                share(found.value[name] / gained if gained else None),
                unit.score(_alone(material, name)),
            )
            for name in ranked
        ),
    )
    how = (
        f"Exact, from {found.n_coalitions} coalitions."
        if found.stderr is None
        else f"Sampled from {found.permutations} orders with seed {found.seed}; lines are 95 % intervals."
    )
    note = Text(
        f"{how} Another value for no model would move all Shapley values by the same amount and leave their "
        "order as it is.",
        soft=True,
    )
    return text, Figure("shapley", title, description, draw), table, note


def _alone(material: Material, name: str) -> float | None:
    return next((arm.report.value for arm in material.result.singles if arm.label == name), None)
