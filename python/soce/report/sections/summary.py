"""The figures that matter most, before anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.files.words import counted
from soce.report.cells import Cell, count, names, relative, weights
from soce.report.document import Facts, Note, Text

if TYPE_CHECKING:
    from soce.report.document import Section
    from soce.report.run_view import RunView


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    if view.run.result is None:
        _unfinished(section, view)
        return
    result, unit = view.result, view.unit
    best, single, against = result.best, result.arm(result.best_single_report), result.against_best
    interval = against.interval
    tiles = (
        (
            f"Soup, {view.held_out}",
            Cell(unit.score(best.report.value).text + unit.percent, best.report.value * unit.times, "soup"),
            f"best single model {unit.score(single.report.value).text}{unit.percent} ({single.label})",
        ),
        (
            "Gain over best single",
            unit.difference(against.difference),
            f"{100 * interval.level:g} % interval {unit.interval(interval).text}" if interval else "",
        ),
        ("Relative gain", relative(against.relative_percent), "of the best single model's score"),
        (
            "Soups compared",
            count(result.n_candidates),
            f"{result.strategy.get('name', 'search')}, on {_items(best.selection.n_items)}",
        ),
    )
    text = (
        f"The soup is {weights(best.parts).text}: an exact average of "
        f"{counted(len(view.parents), 'checkpoint')}, as large and as fast as one of them. It was chosen by "
        f"`{result.objective}` on {_items(best.selection.n_items)} and is reported on "
        f"{_items(best.report.n_items)}"
    )
    text += ", the same ones." if result.is_optimistic else " that played no part in choosing it."
    section.blocks += [Facts(tiles, "tiles"), Text(text)]
    if len(view.parents) == 1:
        words = f"There is one ingredient, `{view.parents[0]}`: the soup is that model"
        section.blocks.append(Note(f"{words}, and no average was taken."))
    if result.is_optimistic:
        hint = "Hold items out with `--held-out-share` or `--held-out` to know what the soup is worth."
        words = "Selected and reported on the same items: the figures are optimistic."
        section.blocks.append(Note(words, "warning", hint))
    section.data |= {
        "verdict": result.verdict,
        "beats_best_single": result.beats_best_single,
        "optimistic": result.is_optimistic,
        "objective": result.objective,
        "scale": result.scale,
        "best": best.to_json(),
        "best_single": single.to_json(),
        "against_best_single": against.to_json(),
        "n_candidates": result.n_candidates,
    }


def _items(number: int | None) -> str:
    return "an unknown number of items" if number is None else f"{count(number).text} items"


def _unfinished(section: Section, view: RunView) -> None:
    run = view.run
    facts = []
    if run.selection is not None:
        facts.append(("Experts", names(run.selection.models), f"by {run.selection.rule}"))
    if run.trials is not None:
        facts.append(("Soups and models scored so far", count(run.trials.n_trials), ""))
        if run.trials.best is not None:
            best = Cell(f"{run.trials.best:.4g}", run.trials.best)
            facts.append(("Best objective so far", best, ""))
    if facts:
        section.blocks.append(Facts(facts))
    section.missing += run.why("result")
