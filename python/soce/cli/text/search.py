"""The result of a search as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.cli.text.layout import columns
from soce.exceptions import shown
from soce.search.scoring import weights_text

if TYPE_CHECKING:
    from soce.search.result import ArmComparison, SearchResult

_MAX_TIED = 5


def result_lines(result: SearchResult) -> list[str]:
    """Return arms, differences, notes and, last, the verdict."""
    where = "the items it was chosen on" if result.is_optimistic else "the held-out items"
    chosen, reported = result.best.selection.n_items, result.best.report.n_items
    lines = [
        f"objective  {shown(result.objective)}{', in percent' if result.scale else ''}",
        f"strategy   {result.strategy['name']}: {result.n_candidates} different soups scored",
        f"items      {_number(chosen)} to choose on, "
        + ("none held out" if result.is_optimistic else f"{_number(reported)} held out"),
        "",
        *_arm_lines(result),
        "",
        f"differences on {where}",
        *columns([_row(result, comparison) for comparison in result.comparisons], "lrrll"),
        "",
    ]
    if not result.is_optimistic:
        singles = sum(arm.drop for arm in result.singles) / len(result.singles)
        lines.append(
            f"drop       from selection to held out: {result.best.label} "
            f"{result.best.drop * result.times:+.2f}{result.unit}, single models "
            f"{singles * result.times:+.2f}{result.unit} on average"
        )
    lines.extend(f"tied       {weights_text(one.parts)}" for one in result.tied[:_MAX_TIED])
    lines += [f"note       {note}" for note in result.notes]
    return [*lines, "", result.verdict]


def _arm_lines(result: SearchResult) -> list[str]:
    best = result.arm(result.best_single_report).report.value
    report = "same items" if result.is_optimistic else "held out"
    rows = [["arm", "weights", "selection", report, f"to best single{result.unit and ' (pp)'}", "relative"]]
    for arm in result.arms:
        difference = arm.report.value - best
        marks = ["selection"] if arm.label == result.best_single_selection else []
        if arm.label == result.best_single_report and not result.is_optimistic:
            marks.append(report)
        weights = "" if arm.kind == "single" else weights_text(arm.parts)
        rows.append(
            [
                shown(arm.label),
                f"best single on {' and '.join(marks)}" if marks else weights,
                result.number(arm.selection.value),
                result.number(arm.report.value),
                f"{difference * result.times:+.2f}",
                f"{100 * difference / abs(best):+.2f} %" if best else "",
            ]
        )
    return columns(rows, "llrrrr")


def _row(result: SearchResult, comparison: ArmComparison) -> list[str]:
    second = shown(comparison.second)
    if comparison.second == result.best_single_report:
        second = f"best single ({second})"
    test = comparison.mcnemar
    relative = comparison.relative_percent
    between = ""
    if interval := comparison.interval:
        low, high = interval.low * result.times, interval.high * result.times
        between = f"{100 * interval.level:g} % [{low:+.2f}, {high:+.2f}]{result.unit}"
    return [
        f"{shown(comparison.first)} − {second}",
        f"{comparison.difference * result.times:+.2f}{result.unit}",
        "" if relative is None else f"{relative:+.2f} %",
        between,
        "" if test is None else f"McNemar {test.only_first}:{test.only_second}, {_p(test.p)}",
    ]


def _p(p: float) -> str:
    return f"p = {p:.2g}" if p > 0 else "p < 1e-300"  # what a float cannot hold


def _number(count: int | None) -> str:
    return "an unknown number" if count is None else str(count)
