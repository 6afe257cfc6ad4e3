"""The result of a search as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.cli.text.layout import fitted, wrapped
from soce.exceptions import shown
from soce.files.words import counted
from soce.search.scoring import weights_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.search.result import Arm, ArmComparison, SearchResult

_MAX_TIED = 5


def result_lines(result: SearchResult) -> list[str]:
    """Return arms, differences and notes: what there is to say before the verdict."""
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
        f"differences on {where}{', in percentage points (pp)' if result.scale else ''}",
        *_difference_lines(result),
        "",
    ]
    if not result.is_optimistic:
        singles = sum(arm.drop for arm in result.singles) / len(result.singles)
        lines += wrapped(
            f"what is lost from selection to held out: {result.best.label} "
            f"{result.best.drop * result.times:+.2f}{result.unit}, single models "
            f"{singles * result.times:+.2f}{result.unit} on average",
            "drop       ",
        )
    for one in result.tied[:_MAX_TIED]:
        lines += wrapped(weights_text(one.parts), "tied       ")
    for note in result.notes:
        lines += wrapped(note, "note       ")
    return lines


def verdict_lines(result: SearchResult) -> list[str]:
    """Return the verdict, with the difference that it is about."""
    against = result.against_best
    difference = f"a difference of {against.difference * result.times:+.2f}{result.unit}"
    if against.interval is not None:
        difference += f", {100 * against.interval.level:g} % interval {_interval(result, against)}"
    return [*wrapped(f"{result.verdict}:"), difference]


def _arm_lines(result: SearchResult) -> list[str]:
    """Return what was compared: the scores of single models and soups, then what the soups are made of."""
    best = result.arm(result.best_single_report).report.value
    report = "same items" if result.is_optimistic else "held out"
    rows = [["arm", "selection", report, f"to best{' (pp)' if result.scale else ''}", "relative"]]
    for arm in result.arms:
        difference = arm.report.value - best
        rows.append(
            [
                shown(arm.label),
                result.number(arm.selection.value),
                result.number(arm.report.value),
                f"{difference * result.times:+.2f}",
                f"{100 * difference / abs(best):+.2f} %" if best else "",
            ]
        )
    singles = {result.best_single_selection: "selection"}
    held_out = result.best_single_report
    singles[held_out] = f"{singles[held_out]} and {report}" if held_out in singles else report
    bests = " and ".join(f"{shown(name)} (on {where})" for name, where in singles.items())
    n_soups = len(result.arms) - len(result.singles)
    models, soups = counted(len(result.singles), "single model"), counted(n_soups, "soup")
    head = f"arms, that is what is compared: {models} and {soups}"
    lines = [head, *fitted(rows, "lrrrr", spare=(4,)), *wrapped(bests, "  best single: ")]
    for arm in result.arms:
        if arm.kind != "single":
            lines += wrapped(_weights(arm), f"  {shown(arm.label)}: ")
    return lines


def _weights(arm: Arm) -> str:
    if len(arm.parts) > 1 and len(set(arm.parts.values())) == 1:
        names = ", ".join(map(shown, arm.parts))
        return f"equal parts of {names}"
    return weights_text(arm.parts)


def _difference_lines(result: SearchResult) -> list[str]:
    """Return the differences of the uniform soups, then those of the soup that was searched for."""
    found = result.best.label
    others = [one for one in result.comparisons if one.first != found]
    unit = result.unit.strip()
    rows = [[f"{shown(found)} minus", unit, "relative", "", "only in", "p"]]
    for one in result.comparisons:
        if one.first == found:
            test, only = one.test, one.mcnemar
            if one.interval is not None:
                rows[0][3] = f"{100 * one.interval.level:g} % interval"
            rows.append(
                [
                    _second(result, one),
                    *_sizes(result, one),
                    _interval(result, one),
                    "" if only is None else f"{only.only_first}:{only.only_second}",
                    "" if test is None else _p(test.p),
                ]
            )
    uniform = [["uniform soups", unit, "relative"]]
    uniform += [[f"{shown(one.first)} − {_second(result, one)}", *_sizes(result, one)] for one in others]
    lines = [*fitted(uniform, "lrr"), "", *fitted(rows, "lrrlrr", spare=(2, 4))]
    if any(one.mcnemar for one in result.comparisons):
        lines += wrapped("items that only the soup, and only the other one, has right", "  only in: ")
    return lines


def _second(result: SearchResult, comparison: ArmComparison) -> str:
    name = shown(comparison.second)
    return f"{name} (best)" if comparison.second == result.best_single_report else name


def _sizes(result: SearchResult, comparison: ArmComparison) -> Sequence[str]:
    relative = comparison.relative_percent
    return (
        f"{comparison.difference * result.times:+.2f}",
        "" if relative is None else f"{relative:+.2f} %",
    )


def _interval(result: SearchResult, comparison: ArmComparison) -> str:
    interval = comparison.interval
    if interval is None:
        return ""
    return f"[{interval.low * result.times:+.2f}, {interval.high * result.times:+.2f}]"


def _p(p: float) -> str:
    return f"{p:.2g}" if p > 0 else "< 1e-300"  # what a float cannot hold


def _number(count: int | None) -> str:
    return "an unknown number" if count is None else str(count)
