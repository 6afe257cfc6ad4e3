"""What the run cost: evaluations, items, time, bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from soce.report.document import Cell, Facts, Section
from soce.report.units import NONE, count, seconds, size

if TYPE_CHECKING:
    from soce.report.material import Material


def build(material: Material) -> Section:
    """Return the section."""
    title = "What it cost"
    run = material.run
    facts: list[tuple[str, Cell, str]] = []
    data: dict[str, Any] = {}
    if run.result is not None:
        facts.append(("Different soups compared", count(run.result.n_candidates), "by the strategy"))
        data["n_candidates"] = run.result.n_candidates
    if run.identity is not None:
        number = run.n_evaluations
        facts.append(
            (
                "Evaluations kept",
                count(number),
                "calls of the evaluator; asking again for any of them is free",
            )
        )
        data["n_evaluations"] = number
        n_items = None if run.result is None else run.result.best.selection.n_items
        if n_items is not None:
            facts.append(("Items scored for each soup", count(n_items), "on the selection side"))
    if run.trials is not None:
        trials = run.trials
        remark = "from the first score recorded to the last, pauses included"
        facts.append(("Time of the search", seconds(trials.seconds), remark))
        each = trials.seconds_each
        facts.append(
            ("Time per soup", NONE if each is None else seconds(each), "median from one to the next")
        )
        data |= {"n_trials": trials.n_trials, "seconds": trials.seconds, "seconds_each": each}
    facts += _merge(material, data)
    missing = []
    if run.trials is None:
        missing.append(
            "Time of the search: there is no `study.db` to read it from; another storage may hold the trials."
        )
    if run.manifest is None:
        missing.append(f"Cost of the merge: {'; '.join(run.why('soup'))}.")
    return Section("costs", title, (Facts(tuple(facts)),) if facts else (), tuple(missing), data)


def _merge(material: Material, data: dict[str, Any]) -> list[tuple[str, Cell, str]]:
    manifest = material.run.manifest
    if manifest is None:
        return []
    made, result = manifest.get("run"), manifest["result"]
    facts: list[tuple[str, Cell, str]] = []
    if isinstance(made, dict):
        for name, key in (("Bytes read to publish", "bytes_read"), ("Bytes written", "bytes_written")):
            if isinstance(made.get(key), int):
                facts.append((name, size(made[key]), ""))
                data[key] = made[key]
        if isinstance(made.get("num_threads"), int):
            machine = made.get("architecture", "an unknown machine")
            how = f"{made.get('kernels', 'unknown')} kernels on {machine}"
            facts.append(("Threads of the merge", count(made["num_threads"]), how))
    counts = result.get("counts")
    if isinstance(counts, dict) and all(isinstance(value, int) for value in counts.values()):
        text = ", ".join(f"{value} {kind}" for kind, value in counts.items() if value)
        facts.append(("Tensors", Cell(text, dict(counts)), ""))
        data["tensors"] = dict(counts)
    return facts
