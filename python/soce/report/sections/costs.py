"""What the run cost: evaluations, items, time, bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.report.cells import Cell, count, seconds, size
from soce.report.document import Facts
from soce.search.folder import TRIALS

if TYPE_CHECKING:
    from soce.report.document import Section
    from soce.report.run_view import RunView


def build(section: Section, view: RunView) -> None:
    """Fill the section."""
    run, data = view.run, section.data
    facts: list[tuple[str, Cell, str]] = []
    if run.result is not None:
        facts.append(("Different soups compared", count(run.result.n_candidates), "by the strategy"))
        data["n_candidates"] = run.result.n_candidates
    if run.identity is not None:
        data["n_evaluations"] = run.n_evaluations
        remark = "calls of the evaluator; asking again for any of them is free"
        facts.append(("Evaluations kept", count(data["n_evaluations"]), remark))
        n_items = None if run.result is None else run.result.best.selection.n_items
        if n_items is not None:
            facts.append(("Items to choose on", count(n_items), "the most that a soup was scored on"))
    if run.trials is not None:
        whole, each = run.trials.seconds, run.trials.seconds_each
        remark = "from the first score recorded to the last, pauses included"
        facts.append(("Time of the search", seconds(whole), remark))
        facts.append(("Time per soup", seconds(each), "median from one to the next"))
        data |= {"n_trials": run.trials.n_trials, "seconds": whole, "seconds_each": each}
    else:
        other = "another storage may hold the trials"
        section.missing.append(f"Time of the search: there is no `{TRIALS}` to read it from; {other}.")
    if run.manifest is not None:
        facts += _merge(section, view)
    else:
        section.missing.append(f"Cost of the merge: {'; '.join(run.why('soup'))}.")
    if facts:
        section.blocks.append(Facts(facts))


def _merge(section: Section, view: RunView) -> list[tuple[str, Cell, str]]:
    merge, result = view.merge, (view.run.manifest or {})["result"]
    facts: list[tuple[str, Cell, str]] = []
    for name, key in (("Bytes read to publish", "bytes_read"), ("Bytes written", "bytes_written")):
        if isinstance(merge.get(key), int):
            facts.append((name, size(merge[key]), ""))
            section.data[key] = merge[key]
    if isinstance(merge.get("num_threads"), int):
        machine = merge.get("architecture", "an unknown machine")
        how = f"{merge.get('kernels', 'unknown')} kernels on {machine}"
        facts.append(("Threads of the merge", count(merge["num_threads"]), how))
    counts = result.get("counts")
    if isinstance(counts, dict) and all(isinstance(value, int) for value in counts.values()):
        text = ", ".join(f"{value} {kind}" for kind, value in counts.items() if value)
        facts.append(("Tensors", Cell(text, counts), ""))
        section.data["tensors"] = counts
    return facts
