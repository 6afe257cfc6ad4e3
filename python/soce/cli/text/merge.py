"""Plans and reports of merges as text."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from soce.cli.text.layout import columns, named, size
from soce.exceptions import shown
from soce.files.words import counted, listed
from soce.recipes.checkpoint_paths import short_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.merging.plan import MergePlan
    from soce.merging.report import MergeReport
    from soce.merging.zeros import TensorZeros

_LISTED = 3
_ROWS = 8
"""Rows of a recipe that a plan shows: methods that look at tensors have one for each of them."""
_GLUED = "\0"
"""Stands for a blank at which no line breaks: `shown` leaves none of it."""


def plan_text(plan: MergePlan) -> str:
    """Return the plan for people: what goes in, with its parts, and what comes out."""
    data = plan.data
    paths = _named(plan)
    rows = [["#", "shards", "tensors", "size", "path"]]
    for number, found in enumerate(data["ingredients"], 1):
        counts = str(found["shards"]), str(found["tensors"]), size(found["bytes"])
        rows.append([str(number), *counts, shown(paths[number - 1])])
    lines = ["ingredients", *columns(rows, "rrrrl")]
    for output in data["outputs"]:
        there = ", which holds this soup already" if output["path"] in data["complete"] else ""
        lines += ["", f"output {shown(output['path'])}{there}"]
        for row in output["rows"][:_ROWS]:
            lines.append(f"  tensors {shown(row['pattern'])}")
            if "filters" in row:
                each = counted(row["filters"], "row")
                lines[-1] += f", each of {each} with parts of its own: the sums of their sizes"
            table = [
                [f"{numerator}", f"of {row['whole']}", f"{100 * numerator / row['whole']:.4g} %", shown(path)]
                for numerator, path in zip(row["numerators"], paths, strict=True)
            ]
            lines += ["  " + line for line in columns(table, "rlrl")]
        if (more := len(output["rows"]) - _ROWS) > 0:
            lines.append(f"  and {counted(more, 'more row')}: `--json` has all")
    counts = data["counts"]
    chosen = [f"{counts[kind]} {kind.replace('_', ' ')}" for kind in ("taken", "left_out") if counts[kind]]
    tensors = [*(f"{counts[kind]} {kind}" for kind in ("averaged", "copied", "tied", "refused")), *chosen]
    donor = data["config_from"]
    lines += [
        "",
        f"tensors  {', '.join(tensors)}",
        *_adapted(data["ingredients"], paths),
        *(f"         {line}" for line in choices_text(plan)),
        f"read     {size(data['bytes_read'])}",
        *([f"fetched  {size(data['bytes_to_fetch'])}"] if data["bytes_to_fetch"] else []),
        f"written  {size(data['bytes_written'])} in {counted(len(data['shards']), 'shard')} per output",
        *(
            [f"sent     {size(data['bytes_to_send'])}", f"disk     {size(data['disk_bytes'])}"]
            if data["bytes_to_send"]
            else []
        ),
        f"memory   {size(data['memory_bytes'])}",
        f"config   from {shown(paths[donor] if isinstance(donor, int) else short_names(str(donor)))}",
        f"copied   {_files(data['side_files'])}",
        f"left out {_files(data['left_out'])}",
        f"kernels  {data['kernels']}, {counted(data['num_threads'], 'thread')}",
    ]
    return "\n".join(lines)


def _adapted(ingredients: Sequence[Mapping[str, Any]], paths: Sequence[str]) -> list[str]:
    """Return how many tensors of each base an adapter changes, a line for each that has one."""
    return [
        f"adapted  {found['adapted']} of {shown(path)}: W + s·B·A, rounded once with the mean"
        for found, path in zip(ingredients, paths, strict=True)
        if found["adapted"]
    ]


def _named(plan: MergePlan) -> list[str]:
    """Return paths of ingredients; of those that are on the Hub or somewhere else, their names."""
    paths = [ingredient["path"] for ingredient in plan.data["ingredients"]]
    return [short_names(plan.data["origins"].get(path, path)) for path in paths]


def choices_text(plan: MergePlan) -> list[str]:
    """Return which tensors are left out or taken from one checkpoint by choice, a line for each."""
    data = plan.data
    paths = _named(plan)
    groups: dict[str, list[str]] = {}
    for found in data["tensors_left_out"]:
        if found["pattern"] is not None:  # there is a warning about the others
            groups.setdefault(f"left out by `{shown(found['pattern'])}`", []).append(found["name"])
    for tensor in data["tensors"]:
        if tensor["from"] is not None:
            groups.setdefault(f"taken from `{shown(paths[tensor['from']])}`", []).append(tensor["name"])
    return [f"{why}: {listed(names, limit=_LISTED)}" for why, names in groups.items()]


def nonfinite_text(report: MergeReport) -> list[str]:
    """Return that a soup was completed although values are not finite, if so."""
    names = list(dict.fromkeys(found.tensor for found in report.nonfinite))
    if not names:
        return []
    return [f"NaN or infinities in {counted(len(names), 'tensor')}: {listed(names, limit=_LISTED)}"]


def zeros_lines(found: Sequence[TensorZeros], soups: Sequence[str]) -> list[str]:
    """Return the zeros of every tensor and of all together: of each ingredient, shared, and of each soup."""
    if not found:
        return ["no tensor is averaged"]
    named = [*found[0].ingredients]
    rows = [["zeros of", "elements", *map(shown, named), "shared", *map(shown, soups)]]
    total = [0] * (2 + len(named) + len(soups))
    for one in found:
        counts = [one.size, *one.ingredients.values(), one.shared, *one.outputs]
        total = [before + count for before, count in zip(total, counts, strict=True)]
        rows.append([shown(one.tensor), *_zeros(counts)])
    return columns([*rows, ["all tensors", *_zeros(total)]], "l" + "r" * len(total))


def _zeros(counts: Sequence[int]) -> list[str]:
    size, *zeros = counts
    return [f"{size:,}", *(f"{count:,} ({100 * count / max(size, 1):.1f} %)" for count in zeros)]


def _files(names: Sequence[str]) -> str:
    return named(names, limit=len(names)) or "nothing"


def report_text(report: MergeReport) -> str:
    """Return what a merge did: what it wrote, which small files came along and which did not."""
    if report.did_nothing:
        return "nothing was read or written"
    kinds = ("averaged", "copied", "taken", "tied")
    counts = {kind: report.counts[kind] for kind in kinds if report.counts.get(kind)}
    done = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    moved = report.bytes_read + report.bytes_written
    speed = size(int(moved / report.seconds)) if report.seconds > 0 else "?"
    made = [output for output in report.outputs if output not in report.complete_before]
    outputs = [f"`{shown(str(output))}`" for output in made]
    where = outputs[0] if len(outputs) == 1 else f"{len(outputs)} soups, {outputs[0]} to {outputs[-1]}"
    is_here = all(isinstance(output, Path) for output in made)
    first = f"{'wrote' if is_here else 'sent'} {where}:"
    first = first.replace(" ", _GLUED)  # a line never breaks in it, wherever a path has blanks
    texts = [
        f"{first} {counted(sum(counts.values()), 'tensor')} ({done}), {size(report.bytes_written)} in "
        f"{report.seconds:.1f} s ({speed}/s read and written)"
    ]
    for what, names in (("copied", report.side_files), ("left out", report.left_out)):
        if names:
            texts.append(f"{what} {counted(len(names), 'file')}: {named(names)}")
    lines = [
        wrap(text, 80, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
        for text in texts
    ]
    return "\n".join(line for part in lines for line in part).replace(_GLUED, " ")
