"""The scores of a soup and of what it was compared with, as tables that mark what was held out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soce.report.card.markdown import code, plain, table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.report.card.results import Compared, Measured, Results

_MAX_ARMS = 8
"""Columns of the table by category."""


def score_lines(results: Results) -> list[str]:
    """Return the section on scores."""
    unit = " in percent" if results.scale else ""
    same = results.is_optimistic
    header = ["", "weights", f"to choose on ({_items(results.soup.chosen)})"]
    if not same:
        header.append(f"**held out** ({_items(results.soup.reported)})")
    rows = []
    for arm in results.arms:
        cells = [_label(results, arm), _weights(arm), _number(results, arm.chosen.value)]
        rows.append(cells if same else [*cells, f"**{_number(results, arm.reported.value)}**"])
    mark = (
        "**Nothing was held out: the scores are those of the items that chose the weights, and optimistic.**"
        if same
        else "*Held out*: items that the search of the weights did not see. Whether they played a part in "
        "choosing the experts, the scores do not tell."
    )
    return [
        "## Scores",
        "",
        f"{code(results.objective)} over {len(results.soup.reported.categories)} categories{unit}, "
        "higher is better.",
        "",
        *table(header, rows, "llr" + "r" * (not same)),
        "",
        mark,
        "",
        *_differences(results),
        f"{plain(results.verdict)}.",
        *(line for note in results.notes for line in ("", f"Note: {plain(note)}.")),
        "",
        *_categories(results),
    ]


def _differences(results: Results) -> list[str]:
    own = [one for one in results.comparisons if one.get("first") == results.soup.label]
    rows = [
        [f"{code(str(one['first']))} − {code(str(one['second']))}", *_difference(results, one)] for one in own
    ]
    if not rows:
        return []
    unit = " (percentage points)" if results.scale else ""
    return [*table(["", f"difference{unit}", "interval", "McNemar"], rows, "lrrl"), ""]


def _difference(results: Results, one: Mapping[str, Any]) -> list[str]:
    interval, test = one.get("interval"), one.get("mcnemar")
    shown_interval = shown_test = ""
    if interval:
        low, high = interval["low"] * results.times, interval["high"] * results.times
        shown_interval = f"{100 * interval['level']:g} %: {low:+.2f} to {high:+.2f}"
    if test:
        p = f"= {test['p']:.2g}" if test["p"] > 0 else "< 1e-300"  # what a float cannot hold
        shown_test = f"{test['only_first']}:{test['only_second']}, p {p}"
    return [f"{one['difference'] * results.times:+.2f}", shown_interval, shown_test]


def _categories(results: Results) -> list[str]:
    """Return the reported scores by category: the soup, then what it is made of, best first."""
    going = [name for name, part in sorted(results.soup.parts.items(), key=lambda item: -item[1]) if part]
    others = [arm for arm in results.arms[:-1] if arm.kind != "single"]
    singles = [arm for name in going for arm in results.singles if arm.label == name]
    best = next(arm for arm in results.arms if arm.label == results.best_single)
    if best not in singles:
        singles.insert(0, best)
    arms = [results.soup, *singles, *others][:_MAX_ARMS]
    rows = []
    for category in results.soup.reported.categories:
        scores = [arm.reported.categories.get(category) for arm in arms]
        top = max(score for score in scores if score is not None)
        cells = ["" if score is None else _number(results, score) for score in scores]
        marked = [f"**{cell}**" if score == top else cell for cell, score in zip(cells, scores, strict=True)]
        rows.append([code(category), *marked])
    where = "on the items that chose it" if results.is_optimistic else "on the held-out items"
    return [
        f"<details open><summary>By category, {where}</summary>",
        "",
        *table(["category", *(code(arm.label) for arm in arms)], rows, "l" + "r" * len(arms)),
        "",
        "</details>",
    ]


def _label(results: Results, arm: Compared) -> str:
    if arm is results.soup:
        return f"{code(arm.label)} (this soup)"
    return f"{code(arm.label)}{' (best single)' if arm.label == results.best_single else ''}"


def _weights(arm: Compared) -> str:
    if arm.kind == "single":
        return ""
    whole = sum(arm.parts.values())
    return ", ".join(f"{part}/{whole} {code(name)}" for name, part in arm.parts.items() if part)


def _items(measured: Measured) -> str:
    return "items not counted" if measured.n_items is None else f"{measured.n_items:,} items"


def _number(results: Results, value: float) -> str:
    return f"{value * results.times:.2f}"
