"""What the soup scores: every arm on the reported items, differences with intervals, and the ablation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from soce.report import sentences
from soce.report.cells import NONE, Cell, pair, probability, relative
from soce.report.document import Figure, Table, Text
from soce.report.figures.rows import Bar, Bars, Differences
from soce.search.named_arms import KIND
from soce.search.soup import soup_text

if TYPE_CHECKING:
    from soce.evaluate.truncation import Truncation
    from soce.report.cells import Tone, Unit
    from soce.report.document import Section
    from soce.report.figures.rows import RowKind
    from soce.report.run_view import RunView
    from soce.search.arm import Arm, ArmComparison

_ORDER: Final[tuple[RowKind, ...]] = ("soup", "uniform", "single")


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    section.blocks += [_arms_figure(view), _arms_table(view)]
    if made := [f"`{arm.label}` is {soup_text(arm.parts)}" for arm in view.result.arms if arm.kind == KIND]:
        section.blocks.append(Text(f"{'; '.join(made)}.", soft=True))
    if direction := sentences.of_the_direction(view.result):
        section.blocks.append(Text(direction, soft=True))
    _differences(section, view)
    with section.trying("The ablation"):
        _ablation(section, view)
    if change := sentences.of_the_change(view.result, view.change):
        section.blocks.append(Text(change))
    section.blocks += _cut_texts(view)
    section.data["score_intervals"] = {label: one.to_json() for label, one in view.score_intervals.items()}
    if not view.score_intervals:
        section.missing.append("Intervals of each arm's own score: no standard errors are kept for it.")


def _arms_figure(view: RunView) -> Figure:
    result, unit, intervals = view.result, view.unit, view.score_intervals
    rows = []
    for arm in sorted(result.arms, key=lambda arm: (_ORDER.index(_kind(arm)), -arm.report.value)):
        value, text = arm.report.value * unit.times, unit.score(arm.report.value).text
        interval = intervals.get(arm.label)
        around = "" if interval is None else f", 95 % interval {unit.span(interval).text}"
        tip = (
            f"{arm.label}: {text}{unit.percent} {view.held_out}{around}; "
            f"{unit.score(arm.selection.value).text}{unit.percent} on selection items"
        )
        ring = None if result.is_optimistic else arm.selection.value * unit.times
        rows.append(Bar(arm.label, value, text, _kind(arm), unit.ends(interval), ring, tip))
    others = ", methods that were named" if any(arm.kind == KIND for arm in result.arms) else ""
    caption = [f"Single models, uniform soups{others}, and the soup that was searched for."]
    if intervals:
        caption.append(sentences.of_own_intervals([*intervals.values()]))
    if not result.is_optimistic:
        caption.append("Rings are scores on the items to choose on.")
    listed = "; ".join(f"{row.label} {row.text}" for row in rows)
    full = {"unit": 100.0, "percent": 100.0}.get(result.scale or "")
    return Figure(
        "arms",
        "Every model and soup, on " + view.where.replace("it was", "the soup was"),
        f"Bars from 0, best first within models and soups: {listed}.",
        Bars(rows, f"{result.objective}, {view.held_out}{unit.axis}", full),
        " ".join(caption),
    )


def _kind(arm: Arm) -> RowKind:
    kinds: dict[str, RowKind] = {
        "single": "single",
        "uniform-all": "uniform",
        "uniform-selected": "uniform",
        KIND: "uniform",
    }
    return kinds.get(arm.kind, "soup")


def _arms_table(view: RunView) -> Table:
    result, unit = view.result, view.unit
    single = result.arm(result.best_single_report)
    rows = []
    for arm in result.arms:
        against = result.comparison(arm.label, single.label)
        tone: Tone = "soup" if arm is result.best else "best" if arm is single else ""
        rows.append(
            (
                Cell(arm.label + _mark(view, arm.label), None, tone),
                unit.score(arm.selection.value),
                unit.score(arm.report.value),
                unit.span(view.score_intervals.get(arm.label)),
                _bare(unit.difference(None if against is None else against.difference), unit),
                _bare(unit.interval(None if against is None else against.interval), unit),
                relative(None if against is None else against.relative_percent),
            )
        )
    scores = (f"selection{unit.axis}", f"{view.held_out}{unit.axis}", "its 95 % interval")
    caption = f"Every arm by `{result.objective}`, with its difference to the best single model"
    to_best = f"to best single{' (pp)' if unit.points else ''}"
    return Table(caption, ("arm", *scores, to_best, "95 % interval", "relative"), rows)


def _cut_texts(view: RunView) -> list[Table]:
    """Return how many texts of every arm ended by length, in categories where some did."""
    arms = view.result.arms
    names = {name: None for arm in arms for name, told in arm.report.truncation.items() if told.n_cut}
    rows = [
        (Cell(arm.label), *(_share(arm.report.truncation.get(name)) for name in names))
        for arm in arms
        if arm.report.truncation
    ]
    caption = "Texts that ended only because they had as many tokens as they may"
    return [Table(caption, ("arm", *names), rows, is_folded=view.result.caution is None)] if names else []


def _share(found: Truncation | None) -> Cell:
    return NONE if found is None else Cell(f"{100 * found.share:.1f} % ({found})", found.share)


def _bare(cell: Cell, unit: Unit) -> Cell:
    """Return a difference whose unit stands in the header."""
    return replace(cell, text=cell.text.removesuffix(unit.points))


def _mark(view: RunView, label: str) -> str:
    """Return what stands behind the name of a model that is the best one somewhere."""
    on = {"selection": view.result.best_single_selection, "held out": view.result.best_single_report}
    where = [which for which, best in on.items() if best == label]
    return {0: "", 1: f" (best on {where[0]})" if where else "", 2: " (best)"}[len(where)]


def _differences(section: Section, view: RunView) -> None:
    result, unit = view.result, view.unit

    def order(one: ArmComparison) -> tuple[bool, int, float]:
        is_best = one.second == result.best_single_report
        return (not is_best, _ORDER.index(_kind(result.arm(one.second))), one.difference)

    found = sorted((one for one in result.comparisons if one.first == result.best.label), key=order)
    if not found:
        return
    bars, rows = [], []
    for one in found:
        is_best = one.second == result.best_single_report
        label = f"{one.second} (best)" if is_best else one.second
        difference, interval = unit.difference(one.difference), unit.interval(one.interval)
        tip = f"soup − {one.second}: {difference.text}"
        tip += f", 95 % interval {interval.text}" if one.interval else ""
        tip += f", relative {relative(one.relative_percent).text}"
        kind, value = "soup" if is_best else _kind(result.arm(one.second)), one.difference * unit.times
        bars.append(Bar(label, value, difference.text, kind, unit.ends(one.interval), tip=tip))
        test, only = one.test, one.mcnemar
        tested = (
            pair(only.only_first, only.only_second) if only else NONE,
            probability(test.p) if test else NONE,
        )
        rows.append((Cell(label), difference, relative(one.relative_percent), interval, *tested))
    has_intervals = any(row.interval for row in bars)
    caption = sentences.INTERVALS if has_intervals else ""
    described = "; ".join(f"to {row.label} {row.text}" for row in bars)
    description = f"Differences of the soup: {described}."
    drawing = Differences(bars, f"difference{unit.points_axis}")
    title = "Differences of the soup, in points and in relative percent"
    tests_header = ("only soup : only model", "p")
    header = ("soup minus", "difference", "relative", "95 % interval", *tests_header)
    section.blocks += [
        Figure("differences", "The soup minus everything else", description, drawing, caption),
        Table(title, header, rows),
    ]
    if not has_intervals and any(one.recipe.id != result.best.recipe.id for one in result.arms):
        words = "There are no intervals: the evaluator gave no outcomes by item."
        section.blocks.append(Text(words, soft=True))
    tests = sum(one.test is not None for one in found)
    if tests > 1:
        words = f"p is that of the sign-flip test of the same difference, which was made {tests} times"
        section.blocks.append(Text(f"{words}; p is not corrected.", soft=True))


def _ablation(section: Section, view: RunView) -> None:
    from soce.analysis.ablation import ablation_table

    unit = view.unit
    found = ablation_table(view.result)
    rows = [
        (
            Cell(f"{one.first} − {one.second}"),
            Cell(one.isolates),
            unit.difference(one.difference),
            relative(one.relative_percent),
            unit.interval(one.interval),
        )
        for one in found.differences
    ]
    points = "points" if unit.points else "difference"
    header = ("difference", "what it changes", points, "relative", "95 % interval")
    said = (sentences.of_the_weights(view.result), sentences.of_the_experts(view.result))
    section.blocks += [
        Table("Ablation: one step at a time, in points and in relative percent", header, rows),
        *(Text(one) for one in said if one is not None),
        Text(
            f"{'Points are differences of two percentages; relative' if unit.points else 'Relative'} percent "
            "is the difference over the size of the second score. The best single model is the best on the "
            "reported items, chosen there with hindsight.",
            soft=True,
        ),
    ]
    section.data["ablation"] = found.to_json()
