"""How the weights were chosen: the objective over the weights that were tried, and the best of them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from soce.report import sentences
from soce.report.cells import Cell, count, weights
from soce.report.document import Facts, Figure, Note, Table, Text
from soce.report.figures.weights import Curve, Point, Slices, Ternary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from soce.report.document import Section
    from soce.report.run_view import RunView

_LISTED: Final = 10


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    result = view.result
    experts = _experts(view)
    section.blocks.append(_facts(view))
    points = _points(view, experts)
    if "making" in result.strategy:
        section.blocks.append(Note("The soups differ in more than weights, so these are not drawn."))
    elif len(experts) < 2:
        section.blocks.append(Note("There is one expert, so there were no weights to search."))
    elif sum(not point.is_reference for point in points) < 2:
        on = " on all items to choose on" if result.n_candidates > 1 else ""  # a race drops the others before
        section.missing.append(f"The objective over the weights: fewer than two soups were scored{on}.")
    else:
        section.blocks.append(_figure(view, experts, points))
    if result.ranked:
        section.blocks.append(_ranking(view))
    if race := sentences.of_the_race(result):
        section.blocks.append(Text(race))
    if near := sentences.of_soups_near(view.to_chosen.values()):
        section.blocks.append(Text(near, soft=True))
    section.data |= {
        "experts": list(experts),
        "strategy": dict(result.strategy),
        "ranked": [one.to_json() for one in result.ranked],
        "tied": [one.to_json() for one in result.tied],
        "trace": dict(result.trace),
    }


def _facts(view: RunView) -> Facts:
    result = view.result
    strategy = ", ".join(_setting(*one) for one in result.strategy.items() if one[1] is not None)
    race = result.certificate
    near = [one.parts for one in result.tied] if race is None else race.survivors
    few = "; ".join(weights(parts).text for parts in near[:4])
    label = "As good on the selection items" if race is None else "Not told apart from it by the race"
    return Facts(
        (
            ("Strategy", Cell(strategy), ""),
            ("Different soups scored", count(result.n_candidates), sentences.many_tried(result) or ""),
            ("Chosen", weights(result.best.parts), ""),
            (label, Cell(str(len(near)) if near else "no other", len(near)), few),
        )
    )


def _setting(key: str, value: object) -> str:
    """Return one setting of a strategy as people write it.

    Examples
    --------
    >>> _setting("name", "race"), _setting("epsilon", "1/200"), _setting("confidence", "19/20")
    ('race', 'epsilon 0.5 pp', 'confidence 95 %')
    """
    if key == "name":
        return str(value)
    if key in {"epsilon", "confidence"}:
        return f"{key} {float(100 * Fraction(str(value))):g} {'pp' if key == 'epsilon' else '%'}"
    return f"{key} {value}"


def _ranking(view: RunView) -> Table:
    ranked, unit = view.result.ranked, view.unit
    rows = []
    for place, one in enumerate(ranked[:_LISTED], 1):
        paired = view.to_chosen.get(place - 1)
        # That of an interval is exact; the values of a result that was read are rounded.
        difference = float(one.value - ranked[0].value) if paired is None else paired.difference
        behind, interval = unit.difference(difference), unit.interval(paired)
        score = unit.score(float(one.value))
        rows.append((Cell(str(place), place), weights(one.parts), score, behind, interval))
    on = (
        "scored on all selection items"
        if view.result.n_candidates > len(ranked)
        else "on the selection items"
    )
    caption = f"The best {len(rows)} of {len(ranked)} soups {on}"
    header = ("rank", "weights", f"{view.result.objective}{unit.axis}", "to the first", "95 % interval")
    return Table(caption, header, rows, is_folded=True)


def _experts(view: RunView) -> tuple[str, ...]:
    """Return the models whose weights were searched: the experts, or all that some soup has."""
    used = {name for one in view.result.ranked for name in one.parts}
    known = [name for name in view.run.experts if name in used]
    return (*known, *sorted(used - set(known))) or tuple(view.soup.parts)


def _points(view: RunView, experts: tuple[str, ...]) -> list[Point]:
    result, times = view.result, view.unit.times

    def shares(parts: Mapping[str, int]) -> tuple[float, ...]:
        whole = sum(parts.values())
        return tuple(parts.get(name, 0) / whole for name in experts)

    chosen = shares(result.best.parts)
    tried = [(shares(one.parts), one.value * times) for one in result.ranked]
    points = [Point(at, value, is_best=at == chosen) for at, value in tried]
    places = {at for at, _ in tried}
    return points + [
        Point(shares(arm.parts), arm.selection.value * times, is_reference=True, label=arm.label)
        for arm in result.singles
        if arm.label in experts and shares(arm.parts) not in places
    ]


def _figure(view: RunView, experts: tuple[str, ...], points: list[Point]) -> Figure:
    axis = f"{view.result.objective} on the selection items{view.unit.axis}"
    kinds: dict[int, type[Curve | Ternary | Slices]] = {2: Curve, 3: Ternary}
    drawing = kinds.get(len(experts), Slices)(points, experts, axis)
    values = [point.value for point in points if not point.is_reference]
    best = max(points, key=lambda point: point.is_best)
    description = (
        f"{len(values)} soups of {', '.join(experts)}: {axis} from {min(values):.2f} to {max(values):.2f}; "
        f"chosen: {best.tip(experts)}."
    )
    return Figure("weights", drawing.title, description, drawing, drawing.caption)
