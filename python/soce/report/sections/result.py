"""What the soup gained: every arm on the reported items, differences with intervals, and the ablation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from soce.exceptions import SoceError
from soce.report.document import Block, Cell, Figure, Section, Table, Text
from soce.report.figures.rows import Bar, bars, differences
from soce.report.units import NONE, probability, relative

if TYPE_CHECKING:
    from soce.report.document import Tone
    from soce.report.material import Material
    from soce.search.result import Arm, Comparison


def build(material: Material) -> Section:
    """Return the section."""
    title = "What the soup gained"
    if material.run.result is None:
        return Section("result", title, missing=material.run.why("result"))
    margins = material.margins("report")
    blocks: list[Block] = [_arms_figure(material, margins), _arms_table(material, margins)]
    blocks += _differences(material)
    ablation, missing, data = _ablation(material)
    blocks += ablation
    blocks += _drop(material)
    data["margins"] = margins
    if not margins:
        missing = (*missing, "Intervals of each arm's own score: no standard errors are kept for it.")
    return Section("result", title, tuple(blocks), missing, data)


def _arms_figure(material: Material, margins: dict[str, float]) -> Figure:
    result, unit = material.result, material.unit
    rows = []
    for arm in sorted(result.arms, key=lambda arm: (_rank(arm), -arm.report.value)):
        value, margin = arm.report.value * unit.times, margins.get(arm.label, 0.0) * unit.times
        text = unit.score(arm.report.value).text
        around = f", 95 % interval {value - margin:.2f} to {value + margin:.2f}" if margin else ""
        rows.append(
            Bar(
                arm.label,
                value,
                text,
                _colour(arm),
                value - margin if margin else None,
                value + margin if margin else None,
                None if result.is_optimistic else arm.selection.value * unit.times,
                f"{arm.label}: {text}{unit.percent} {material.held_out}{around}; "
                f"{unit.score(arm.selection.value).text}{unit.percent} on selection items",
            )
        )
    title = "Every model and soup, on " + material.where.replace("it was", "the soup was")
    listed = "; ".join(f"{row.label} {row.text}" for row in rows)
    description = f"Bars from 0, best first within models and soups: {listed}."
    axis = f"{result.objective}, {material.held_out}{unit.axis}"
    full = {"unit": 100.0, "percent": 100.0}.get(result.scale or "")

    def draw(width: int) -> str:
        return bars(
            rows, width, name=f"arms-{width}", title=title, description=description, axis=axis, full=full
        )

    caption = ["Single models, uniform soups, and the soup that was searched for."]
    if margins:
        caption.append("Lines are 95 % intervals of each score alone; for differences see the next figure.")
    if not result.is_optimistic:
        caption.append("Rings are scores on the items to choose on.")
    return Figure("arms", title, description, draw, " ".join(caption))


def _rank(arm: Arm) -> int:
    kinds = {"single": 2, "uniform-all": 1, "uniform-selected": 1}
    return kinds.get(arm.kind, 0)


def _colour(arm: Arm) -> Literal["single", "uniform", "soup"]:
    colours: tuple[Literal["soup"], Literal["uniform"], Literal["single"]] = ("soup", "uniform", "single")
    return colours[_rank(arm)]


def _arms_table(material: Material, margins: dict[str, float]) -> Table:
    result, unit = material.result, material.unit
    best = result.arm(result.best_single_report).report.value
    rows = []
    for arm in result.arms:
        difference = arm.report.value - best
        margin = margins.get(arm.label)
        tone: Tone = (
            "soup" if arm is result.best else "best" if arm.label == result.best_single_report else ""
        )
        rows.append(
            (
                Cell(arm.label + _mark(material, arm.label), None, tone),
                unit.score(arm.selection.value),
                unit.score(arm.report.value),
                NONE if margin is None else Cell(f"± {margin * unit.times:.2f}", margin * unit.times),
                unit.difference(difference),
                relative(100 * difference / abs(best) if best else None),
            )
        )
    header = (
        "arm",
        f"selection{unit.axis}",
        f"{material.held_out}{unit.axis}",
        "95 %",
        "to best single",
        "relative",
    )
    caption = f"Every arm by `{result.objective}`, with its difference to the best single model"
    return Table(caption, header, tuple(rows))


def _mark(material: Material, label: str) -> str:
    """Return what stands behind the name of a model that is the best one somewhere."""
    result = material.result
    on = {"selection": result.best_single_selection, "held out": result.best_single_report}
    where = [which for which, best in on.items() if best == label]
    if not where:
        return ""
    return f" (best on {where[0]})" if len(where) == 1 else " (best)"


def _differences(material: Material) -> list[Block]:
    result, unit = material.result, material.unit
    found = sorted(
        (one for one in result.comparisons if one.first == result.best.label),
        key=lambda one: (
            one.second != result.best_single_report,
            _rank(result.arm(one.second)),
            one.difference,
        ),
    )
    if not found:
        return []
    rows = []
    for one in found:
        low, high = (None, None) if one.interval is None else (one.interval.low, one.interval.high)
        kind = "soup" if one.second == result.best_single_report else _colour(result.arm(one.second))
        text = unit.difference(one.difference).text
        interval = "" if low is None else f", 95 % interval {unit.interval(low, high).text}"
        rows.append(
            Bar(
                _second(material, one),
                one.difference * unit.times,
                text,
                kind,
                None if low is None else low * unit.times,
                None if high is None else high * unit.times,
                tip=f"soup − {one.second}: {text}{interval}, relative {relative(one.relative_percent).text}",
            )
        )
    title = "The soup minus everything else"
    description = "Differences of the soup: " + "; ".join(f"to {row.label} {row.text}" for row in rows) + "."
    axis = f"difference{unit.points_axis}"

    def draw(width: int) -> str:
        return differences(
            rows, width, name=f"differences-{width}", title=title, description=description, axis=axis
        )

    caption = (
        "Lines are 95 % intervals of a paired bootstrap over the same items; a hollow dot cannot be told "
        "from 0."
        if any(row.low is not None for row in rows)
        else ""
    )
    table = Table(
        "Differences of the soup, in points and in relative percent",
        ("soup minus", "difference", "relative", "95 % interval", "only soup : only model", "McNemar\u00a0p"),
        tuple(
            (
                Cell(_second(material, one)),
                unit.difference(one.difference),
                relative(one.relative_percent),
                NONE if one.interval is None else unit.interval(one.interval.low, one.interval.high),
                NONE
                if one.mcnemar is None
                else Cell(
                    f"{one.mcnemar.only_first} : {one.mcnemar.only_second}",
                    [one.mcnemar.only_first, one.mcnemar.only_second],
                ),
                NONE if one.mcnemar is None else probability(one.mcnemar.p),
            )
            for one in found
        ),
    )
    blocks: list[Block] = [Figure("differences", title, description, draw, caption), table]
    if all(one.interval is None for one in found):
        blocks.append(Text("There are no intervals: the evaluator gave no outcomes by item.", soft=True))
    tests = sum(one.mcnemar is not None for one in found)
    if tests > 1:
        blocks.append(
            Text(
                f"McNemar's exact test was made {tests} times, once for each single model; p is not "
                "corrected.",
                soft=True,
            )
        )
    return blocks


def _second(material: Material, one: Comparison) -> str:
    return f"{one.second} (best)" if one.second == material.result.best_single_report else one.second


def _ablation(material: Material) -> tuple[list[Block], tuple[str, ...], dict[str, Any]]:
    from soce.analysis.ablation import ablation_table

    unit = material.unit
    try:
        found = ablation_table(material.result)
    except SoceError as error:
        return [], (f"The ablation: {error.problems[0].message}.",), {}
    table = Table(
        "Ablation: what each step adds, in points and in relative percent",
        ("difference", "is due to", "points" if unit.points else "difference", "relative", "95 % interval"),
        tuple(
            (
                Cell(f"{one.first} − {one.second}"),
                Cell(one.isolates),
                unit.difference(one.difference),
                relative(one.relative_percent),
                NONE if one.interval is None else unit.interval(one.interval["low"], one.interval["high"]),
            )
            for one in found.differences
        ),
    )
    text = Text(
        "Points are differences of two percentages; relative percent is the difference over the second "
        "score. "
        "The best single model is the best on the reported items, the harder one to beat.",
        soft=True,
    )
    return [table, text], (), {"ablation": found.to_json()}


def _drop(material: Material) -> list[Block]:
    result, unit = material.result, material.unit
    if result.is_optimistic:
        return []
    singles = sum(arm.drop for arm in result.singles) / len(result.singles) if result.singles else 0.0
    return [
        Text(
            f"From the selection items to the held-out ones, the soup's score changes by "
            f"{unit.difference(-result.best.drop).text} and that of single models by "
            f"{unit.difference(-singles).text} on average: a soup that falls further than they do was "
            "chosen by "
            "luck to that extent."
        )
    ]
