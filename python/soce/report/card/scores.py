"""The scores of a soup and of what it was compared with, as tables that mark what was held out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.files.words import signed
from soce.report import sentences
from soce.report.markdown import code, plain, table, with_code
from soce.search.soup import method_of, soup_text

if TYPE_CHECKING:
    from soce.search.arm import Arm, ArmComparison, ArmScore
    from soce.search.result import SearchResult

_MAX_ARMS = 8
"""Columns of the table by category."""


def score_lines(result: SearchResult) -> list[str]:
    """Return the section on scores."""
    soup, same = result.best, result.is_optimistic
    header = ["", "weights", f"to choose on ({_items(soup.selection)})"]
    header += [] if same else [f"**held out** ({_items(soup.report)})"]
    rows = []
    for arm in result.arms:
        held_out = [] if same else [f"**{result.number(arm.report.value)}**"]
        rows.append([_label(result, arm), _weights(arm), result.number(arm.selection.value), *held_out])
    mark, direction = plain(sentences.held_out(result)), sentences.of_the_direction(result)
    return [
        "## Scores",
        "",
        f"{code(result.objective)}{' in percent' if result.scale else ''}, higher is better."
        f"{f' {with_code(direction)}' if direction else ''}",
        "",
        *table(header, rows, "llr" + "r" * (not same)),
        "",
        f"**{mark}**" if same else mark,
        "",
        *_differences(result),
        *([] if result.caution is None else [f"**{with_code(result.caution)}.**", ""]),
        f"{plain(result.verdict)}.",
        *(line for note in result.notes for line in ("", f"Note: {with_code(note)}.")),
        "",
        *_categories(result),
    ]


def _differences(result: SearchResult) -> list[str]:
    rows = [_difference(result, one) for one in result.comparisons if one.first == result.best.label]
    if not rows:
        return []
    unit = " (percentage points)" if result.scale else ""
    return [*table(["", f"difference{unit}", "interval", "sign-flip test"], rows, "lrrl"), ""]


def _difference(result: SearchResult, one: ArmComparison) -> list[str]:
    interval, test, times = one.interval, one.test, result.times
    between = tested = ""
    if interval:
        ends = f"{signed(interval.low * times)} to {signed(interval.high * times)}"
        between = f"{100 * interval.level:g} %: {ends}"
    if test:
        p = f"= {test.p:.2g}" if test.p > 0 else "< 1e-300"  # what a float cannot hold
        tested = f"p {p}"
    return [f"{code(one.first)} − {code(one.second)}", signed(one.difference * times), between, tested]


def _categories(result: SearchResult) -> list[str]:
    """Return the reported scores by category: the soup, then what it is made of, best first."""
    soup, best = result.best, result.arm(result.best_single_report)
    going = [name for name, part in sorted(soup.parts.items(), key=lambda item: -item[1]) if part]
    singles = [arm for name in going for arm in result.singles if arm.label == name]
    if best not in singles:
        singles.insert(0, best)
    others = [arm for arm in result.arms[:-1] if arm.kind != "single"]
    arms = [soup, *singles, *others][:_MAX_ARMS]
    rows = []
    for category in soup.report.categories:
        scores = [arm.report.categories.get(category) for arm in arms]
        top = result.best_score(category, arms)
        cells = ["" if score is None else result.number(score) for score in scores]
        marked = [f"**{cell}**" if score == top else cell for cell, score in zip(cells, scores, strict=True)]
        rows.append([code(category), *marked])
    where = "on the items that chose it" if result.is_optimistic else "on the held-out items"
    scores_by_arm = table(["category", *(code(arm.label) for arm in arms)], rows, "l" + "r" * len(arms))
    return [f"<details open><summary>By category, {where}</summary>", "", *scores_by_arm, "", "</details>"]


def _label(result: SearchResult, arm: Arm) -> str:
    if arm is result.best:
        return f"{code(arm.label)} (this soup)"
    return f"{code(arm.label)}{' (best single)' if arm.label == result.best_single_report else ''}"


def _weights(arm: Arm) -> str:
    if arm.kind == "single":
        return ""
    if method_of(arm.parts) is not None:
        return soup_text(arm.parts, called=code)
    whole = sum(arm.parts.values())
    return ", ".join(f"{part}/{whole} {code(name)}" for name, part in arm.parts.items() if part)


def _items(scored: ArmScore) -> str:
    return "items not counted" if scored.n_items is None else f"{scored.n_items:,} items"
