"""The figures that matter most, before anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.report import sentences
from soce.report.cells import Cell, count, names, relative
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
    tiles = (
        (
            f"Soup, {view.held_out}",
            Cell(unit.score(best.report.value).text + unit.percent, best.report.value * unit.times, "soup"),
            f"best single model {unit.score(single.report.value).text}{unit.percent} ({single.label})",
        ),
        ("Soup − best single", unit.difference(against.difference), sentences.interval_of(result, against)),
        ("Relative difference", relative(against.relative_percent), "of the best single model's score"),
        ("Soups compared", count(result.n_candidates), sentences.how_compared(result)),
    )
    text = f"{sentences.what_it_is(result)} {sentences.where_measured(result)}"
    section.blocks += [Facts(tiles, "tiles"), Text(text)]
    if result.is_optimistic:
        hint = "Hold items out with `--held-out-share` or `--held-out` to know what the soup is worth."
        section.blocks.append(Note(sentences.held_out(result), "warning", hint))
    if machine := (view.run.settings or {}).get("machine"):
        words = f"The models were trained on {machine}: elsewhere models and scores differ a little."
        section.blocks.append(Text(words, soft=True))
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
