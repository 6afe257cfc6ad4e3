"""How the weights were chosen: the objective over the weights that were tried, and the best of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from soce.report.document import Block, Cell, Facts, Figure, Note, Section, Table, Text
from soce.report.figures.weights import Point, curve, slices, ternary
from soce.report.units import count, weights

if TYPE_CHECKING:
    from soce.report.material import Material

_LISTED: Final = 10


def build(material: Material) -> Section:
    """Return the section."""
    title = "How the weights were chosen"
    run = material.run
    if run.result is None:
        return Section("weights", title, missing=run.why("result"))
    result, unit = material.result, material.unit
    experts = _experts(material)
    strategy = {key: value for key, value in result.strategy.items() if value is not None}
    facts = Facts(
        (
            (
                "Strategy",
                Cell(
                    ", ".join(
                        f"{key} {value}" if key != "name" else str(value) for key, value in strategy.items()
                    )
                ),
                "",
            ),
            (
                "Different soups scored",
                count(result.n_candidates),
                "the best of many noisy scores is optimistic",
            ),
            ("Chosen", Cell(weights(dict(result.best.parts)), dict(result.best.parts)), ""),
            (
                "As good on the selection items",
                Cell("no other" if not result.tied else str(len(result.tied)), len(result.tied)),
                "" if not result.tied else "; ".join(weights(dict(one.parts)) for one in result.tied[:4]),
            ),
        )
    )
    blocks: list[Block] = [facts]
    missing: tuple[str, ...] = ()
    points = _points(material, experts)
    if len(experts) < 2:
        blocks.append(Note("There is one expert, so there were no weights to search."))
    elif sum(not point.is_reference for point in points) < 2:
        missing = ("The objective over the weights: fewer than two soups were scored.",)
    else:
        blocks.append(_figure(material, experts, points))
    if result.ranked:
        rows = [
            (
                Cell(str(place), place),
                Cell(weights(dict(one.parts)), dict(one.parts)),
                unit.score(one.value),
                unit.difference(one.value - result.ranked[0].value),
            )
            for place, one in enumerate(result.ranked[:_LISTED], 1)
        ]
        blocks.append(
            Table(
                f"The best {len(rows)} of {len(result.ranked)} soups on the selection items",
                ("rank", "weights", f"{result.objective}{unit.axis}", "to the first"),
                tuple(rows),
                is_folded=True,
            )
        )
    near = _near(material)
    if near is not None:
        blocks.append(near)
    data: dict[str, Any] = {
        "experts": list(experts),
        "strategy": dict(result.strategy),
        "ranked": [one.to_json() for one in result.ranked],
        "tied": [one.to_json() for one in result.tied],
        "trace": dict(result.trace),
    }
    return Section("weights", title, tuple(blocks), missing, data)


def _experts(material: Material) -> tuple[str, ...]:
    """Return the models whose weights were searched: the experts, or all that some soup has."""
    result = material.result
    used = {name for one in result.ranked for name in one.parts}
    known = [name for name in material.run.experts if name in used]
    return (*known, *sorted(used - set(known))) or tuple(material.soup.parts)


def _points(material: Material, experts: tuple[str, ...]) -> list[Point]:
    result, times = material.result, material.unit.times

    def shares(parts: dict[str, int]) -> tuple[float, ...]:
        whole = sum(parts.values())
        return tuple(parts.get(name, 0) / whole for name in experts)

    chosen = shares(dict(result.best.parts))
    points = [
        Point(shares(dict(one.parts)), one.value * times, is_best=shares(dict(one.parts)) == chosen)
        for one in result.ranked
    ]
    tried = {point.weights for point in points}
    alone = [(shares(dict(arm.parts)), arm) for arm in result.singles if arm.label in experts]
    points += [
        Point(at, arm.selection.value * times, is_reference=True, label=arm.label)
        for at, arm in alone
        if at not in tried
    ]
    return points


def _figure(material: Material, experts: tuple[str, ...], points: list[Point]) -> Figure:
    result, unit = material.result, material.unit
    axis = f"{result.objective} on the selection items{unit.axis}"
    values = [point.value for point in points if not point.is_reference]
    best = max(points, key=lambda point: point.is_best)
    span = f"from {min(values):.2f} to {max(values):.2f}; chosen: {best.tip(experts)}."
    if len(experts) == 2:
        painter, title = curve, "The objective along the line between the two experts"
        caption = "Every dot is a soup; the large one was chosen. Rings are the experts alone."
    elif len(experts) == 3:
        painter, title = ternary, "The objective over the triangle of weights"
        caption = (
            "Every dot is a soup, fuller is better; the nearer to a corner, the more of that expert. The "
            "ring "
            "marks the chosen one. Numbers at the corners are the experts alone."
        )
    else:
        painter, title = slices, "The objective by the weight of each expert"
        caption = (
            "Every dot is a soup, shown once in each panel; the line is the best soup at each weight, and "
            "the "
            "large dot the chosen one. A flat line means that the weight hardly matters."
        )
    description = f"{len(values)} soups of {', '.join(experts)}: {axis} {span}"

    def draw(width: int) -> str:
        return painter(
            points, experts, width, name=f"weights-{width}", title=title, description=description, axis=axis
        )

    return Figure("weights", title, description, draw, caption)


def _near(material: Material) -> Text | None:
    """Return how many soups cannot be told from the chosen one by its own standard error."""
    margin = material.margins("selection").get(material.soup.label)
    if margin is None:
        return None
    result = material.result
    near = sum(one.value >= result.best.selection.value - margin for one in result.ranked) - 1
    return Text(
        f"{near} of the other {len(result.ranked) - 1} soups score within the chosen one's own 95 % interval "
        f"(± {margin * material.unit.times:.2f}{material.unit.points}) on the selection items: the exact "
        "weights matter less than having these experts."
        if near
        else "No other soup scores within the chosen one's own 95 % interval on the selection items.",
        soft=True,
    )
