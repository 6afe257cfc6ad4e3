"""The figures that matter most, before anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.report.document import Block, Cell, Facts, Note, Section, Text
from soce.report.units import count, relative, weights

if TYPE_CHECKING:
    from soce.report.material import Material


def build(material: Material) -> Section:
    """Return the section."""
    if material.run.result is None:
        return _unfinished(material)
    result, unit = material.result, material.unit
    best, single = result.best.report, result.arm(result.best_single_report)
    against = result.against_best
    interval = ""
    if against.interval is not None:
        ends = unit.interval(against.interval.low, against.interval.high).text
        interval = f"{100 * against.interval.level:g} % interval {ends}"
    tiles = Facts(
        (
            (
                f"Soup, {material.held_out}",
                Cell(unit.score(best.value).text + unit.percent, best.value * unit.times, "soup"),
                f"best single model {unit.score(single.report.value).text}{unit.percent} ({single.label})",
            ),
            ("Gain over best single", unit.difference(against.difference), interval),
            ("Relative gain", relative(against.relative_percent), "of the best single model's score"),
            (
                "Soups compared",
                count(result.n_candidates),
                f"{result.strategy.get('name', 'search')}, on {_items(result.best.selection.n_items)}",
            ),
        ),
        "tiles",
    )
    parents = material.parents
    blocks: list[Block] = [
        tiles,
        Text(
            f"The soup is {weights(dict(result.best.parts))}: an exact average of "
            f"{len(parents)} checkpoint{'' if len(parents) == 1 else 's'}, as large and as fast as one of "
            "them. "
            f"It was chosen by `{result.objective}` on {_items(result.best.selection.n_items)} and is "
            f"reported on {_items(result.best.report.n_items)}"
            + (", the same ones." if result.is_optimistic else " that played no part in choosing it.")
        ),
    ]
    if len(parents) == 1:
        blocks.append(
            Note(
                f"There is one ingredient, `{parents[0]}`: the soup is that model, and no average was taken."
            )
        )
    if result.is_optimistic:
        blocks.append(
            Note(
                "Selected and reported on the same items: the figures are optimistic.",
                "warning",
                "Hold items out with `--held-out-share` or `--held-out` to know what the soup is worth.",
            )
        )
    data = {
        "verdict": result.verdict,
        "beats_best_single": result.beats_best_single,
        "optimistic": result.is_optimistic,
        "objective": result.objective,
        "scale": result.scale,
        "best": result.best.to_json(),
        "best_single": single.to_json(),
        "against_best_single": against.to_json(),
        "n_candidates": result.n_candidates,
    }
    return Section("summary", "Summary", tuple(blocks), data=data)


def _items(number: int | None) -> str:
    return "an unknown number of items" if number is None else f"{count(number).text} items"


def _unfinished(material: Material) -> Section:
    run = material.run
    facts = []
    if run.selection is not None:
        experts = ", ".join(run.selection.models) or "none"
        facts.append(("Experts", Cell(experts, list(run.selection.models)), f"by {run.selection.rule}"))
    trials = run.trials
    if trials is not None:
        facts.append(("Soups and models scored so far", count(trials.n_trials), ""))
        if trials.best is not None:
            facts.append(("Best objective so far", Cell(f"{trials.best:.4g}", trials.best), ""))
    blocks = (Facts(tuple(facts)),) if facts else ()
    return Section("summary", "Summary", blocks, run.why("result"))
