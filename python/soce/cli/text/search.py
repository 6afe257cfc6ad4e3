"""The result of a search as lines of text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from soce.cli.text.layout import fitted, wrapped
from soce.exceptions import shown
from soce.files.words import counted, signed
from soce.report import sentences
from soce.search.soup import is_plain, rows_of, soup_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.search.arm import Arm, ArmComparison
    from soce.search.result import SearchResult

_MAX_TIED = 5
_ROWS = 4
"""Of weights that are told one by one."""


def result_lines(result: SearchResult) -> list[str]:
    """Return arms, differences and notes: what there is to say before the verdict."""
    where = "the items it was chosen on" if result.is_optimistic else "the held-out items"
    chosen, reported = result.best.selection.n_items, result.best.report.n_items
    lines = [
        f"objective  {shown(result.objective)}{', in percent' if result.scale else ''}",
        f"strategy   {result.strategy['name']}: {counted(result.n_candidates, 'different soup')} scored",
        f"items      {_number(chosen)} to choose on, "
        + ("none held out" if result.is_optimistic else f"{_number(reported)} held out"),
        *([] if result.certificate is None else wrapped(result.certificate.text, "race       ")),
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
            f"{signed(result.best.drop * result.times)}{result.unit}, single models "
            f"{signed(singles * result.times)}{result.unit} on average",
            "drop       ",
        )
    for one in result.tied[:_MAX_TIED]:
        lines += wrapped(soup_text(one.parts), "tied       ")
    direction = sentences.of_the_direction(result)
    for note in (*([direction.removesuffix(".")] if direction else []), *result.notes):
        lines += wrapped(note, "note       ")
    return lines


def verdict_lines(result: SearchResult) -> list[str]:
    """Return the verdict, the difference that it is about, and that to the model chosen on other items.

    Above it stands what must be read before.
    """
    lines = [] if result.caution is None else wrapped(f"{result.caution}.")
    lines += wrapped(f"{result.verdict}:") + wrapped(_in_words(result, result.against_best))
    chosen, best = result.best_single_selection, result.best_single_report
    other = result.comparison(result.best.label, chosen)
    if other is not None and chosen != best:
        lines += wrapped(
            f"{shown(best)} is the best single model by these very items; by the items to choose on it is "
            f"{shown(chosen)}, against which there is {_in_words(result, other)}"
        )
    return lines


def _in_words(result: SearchResult, comparison: ArmComparison) -> str:
    words = f"a difference of {signed(comparison.difference * result.times)}{result.unit}"
    if comparison.interval is not None:
        return f"{words}, {_level(comparison)} interval {_interval(result, comparison)}"
    arms = [result.arm(label) for label in (comparison.first, comparison.second)]
    errors = [arm.report.stderr for arm in arms]
    if None in errors or arms[0].recipe.id == arms[1].recipe.id:
        return words
    error = math.hypot(*(one for one in errors if one is not None)) * result.times
    return (
        f"{words}, standard error {error:.2f}{result.unit} (unpaired, as for different items: "
        "more than for the same)"
    )


def _arm_lines(result: SearchResult) -> list[str]:
    """Return what was compared: the scores of single models and soups, then what the soups are made of."""
    report = "same items" if result.is_optimistic else "held out"
    rows = [["arm", "selection", report, "s.e.", f"{result.unit} to best".strip(), "", "relative"]]
    for arm in result.arms:
        error, against = arm.report.stderr, result.comparison(arm.label, result.best_single_report)
        difference, relative = (
            (0.0, 0.0) if against is None else (against.difference, against.relative_percent)
        )
        interval = "" if against is None else _interval(result, against)
        if interval and against is not None:
            rows[0][5] = f"{_level(against)} interval"
        rows.append(
            [
                shown(arm.label),
                result.number(arm.selection.value),
                result.number(arm.report.value),
                # Where there are outcomes, intervals of differences say more.
                "" if error is None or result.against_best.interval else result.number(error),
                signed(difference * result.times),
                interval,
                "" if relative is None else f"{signed(relative)} %",
            ]
        )
    singles = {result.best_single_selection: "selection"}
    held_out = result.best_single_report
    singles[held_out] = f"{singles[held_out]} and {report}" if held_out in singles else report
    bests = " and ".join(f"{shown(name)} (on {where})" for name, where in singles.items())
    n_soups = len(result.arms) - len(result.singles)
    models, soups = counted(len(result.singles), "single model"), counted(n_soups, "soup")
    head = f"arms, that is what is compared: {models} and {soups}"
    lines = [head, *fitted(rows, "lrrrrlr", spare=(6, 5)), *wrapped(bests, "  best single: ")]
    for arm in result.arms:
        if arm.kind != "single":
            lines += wrapped(_weights(arm), f"  {shown(arm.label)}: ")
    return lines


def _weights(arm: Arm) -> str:
    names = ", ".join(map(shown, arm.parts))
    if len(rows_of(arm.parts)) > _ROWS:
        return f"{counted(len(rows_of(arm.parts)), 'row')} of weights of {names}"
    if is_plain(arm.parts) and len(arm.parts) > 1 and len(set(arm.parts.values())) == 1:
        return f"equal parts of {names}"
    return soup_text(arm.parts)


def _difference_lines(result: SearchResult) -> list[str]:
    """Return the differences of the uniform soups, then those of the soup that was searched for."""
    found = result.best.label
    uniform = [
        one for one in result.comparisons if one.first != found and result.arm(one.first).kind != "single"
    ]
    named = [(f"{shown(one.first)} − {_second(result, one)}", one) for one in uniform]
    others = [(_second(result, one), one) for one in result.comparisons if one.first == found]
    lines = [
        *_table(result, "uniform soups", named, has_only=False),
        "",
        *_table(result, f"{shown(found)} minus", others),
    ]
    if any(one.test for one in result.comparisons):
        lines += wrapped("sign-flip test of that weighted difference, item by item", "  p: ")
    if any(one.mcnemar for one in result.comparisons):
        lines += wrapped("items that only the soup, and only the other one, has right", "  only in: ")
    return lines


def _table(
    result: SearchResult, head: str, named: Sequence[tuple[str, ArmComparison]], *, has_only: bool = True
) -> list[str]:
    level = next((f"{_level(one)} interval" for _, one in named if one.interval is not None), "")
    rows = [[head, result.unit.strip(), "relative", level, "only in", "p"]]
    for name, one in named:
        only, relative = one.mcnemar, one.relative_percent
        rows.append(
            [
                name,
                signed(one.difference * result.times),
                "" if relative is None else f"{signed(relative)} %",
                _interval(result, one),
                "" if only is None or not has_only else f"{only.only_first}:{only.only_second}",
                "" if one.test is None else _p(one.test.p),
            ]
        )
    return fitted(rows, "lrrlrr", spare=(2, 4))


def _second(result: SearchResult, comparison: ArmComparison) -> str:
    name = shown(comparison.second)
    return f"{name} (best)" if comparison.second == result.best_single_report else name


def _level(comparison: ArmComparison) -> str:
    assert comparison.interval is not None
    return f"{100 * comparison.interval.level:g} %"


def _interval(result: SearchResult, comparison: ArmComparison) -> str:
    interval = comparison.interval
    if interval is None:
        return ""
    return f"[{signed(interval.low * result.times)}, {signed(interval.high * result.times)}]"


def _p(p: float) -> str:
    return f"{p:.2g}" if p > 0 else "< 1e-300"  # what a float cannot hold


def _number(count: int | None) -> str:
    return "an unknown number" if count is None else str(count)
