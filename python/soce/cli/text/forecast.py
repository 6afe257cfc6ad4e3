"""What a search would do, as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.cli.text.layout import columns, duration, named, size, wrapped
from soce.files.words import counted

if TYPE_CHECKING:
    from soce.search.forecast import Forecast


def forecast_lines(found: Forecast) -> list[list[str]]:
    """Return who would be mixed, what would be scored and what that takes, in blocks."""
    experts = (
        f"{len(found.experts)}: {named(found.experts, 10)}; {counted(found.n_soups or 0, 'soup')} on the grid"
        if found.experts
        else "known when the candidates are scored, as are the soups"
    )
    head = [
        *wrapped(f"{len(found.candidates)}: {named(found.candidates, 10)}", "candidates  "),
        *wrapped(experts, "experts     "),
        f"strategy    {found.strategy}",
        *_race_lines(found),
        *([] if found.engine is None else [f"engine      {found.engine}"]),
        *([] if found.executor == "inline" else [f"executor    {found.executor}"]),
    ]
    rows = [["", "soups", "known", "to score", "items to score", ""]]
    for one in found.stages:
        items = "?" if one.missing_items is None else f"{one.missing_items:,}"
        items += "" if one.items is None else f" of {one.items:,}"
        more = f"at most {one.more_soups:,} more" if one.more_soups else ""
        known = one.soups - min(one.missing, one.soups)
        rows.append([one.stage, f"{one.soups:,}", f"{known:,}", f"{one.missing:,}", items, more])
    return [head, ["soups", *columns(rows, "lrrrrl")], _cost_lines(found)]


def _race_lines(found: Forecast) -> list[str]:
    """Return what a race costs beside the grid, if that is what is asked for and a race could be run."""
    if found.race_items is None or found.strategy not in {"grid", "race"} or found.n_soups == 1:
        return []
    least, most = found.race_items
    grid = f"grid: {most:,} items; race: {least:,} at least, {most:,} at most, as the soups differ"
    return wrapped(grid, "to compare  ")


def _cost_lines(found: Forecast) -> list[str]:
    to_do = counted(found.missing, "evaluation")
    if found.missing_items is not None:
        to_do += f", {found.missing_items:,} item{'' if found.missing_items == 1 else 's'}"
    if found.more_soups:
        to_do += f"; at most {counted(found.more_soups, 'evaluation')} more, as the scores will have it"
    elif not found.missing:
        to_do += ": all is known" if found.experts else ""
    lines = [
        *wrapped(to_do, "to do       "),
        f"to read     {size(found.read_bytes)}, of checkpoints of {size(found.checkpoint_bytes)}",
    ]
    if found.model_bytes is not None:
        has = "" if found.device_bytes is None else f", which has {size(found.device_bytes)}"
        takes = f"{size(found.model_bytes)} for the model on {found.device}{has}"
        if found.executor != "inline":
            takes = f"{size(found.model_bytes)} for the model of each replica, on {found.device}{has}"
        if found.machine_bytes is not None and found.at_once != 1:
            takes += f": {size(found.machine_bytes)} on this machine for {found.at_once} of them"
        lines += wrapped(f"{takes}; batches take more", "memory      ")
    return [*lines, *wrapped(_time(found), "time        ")]


def _time(found: Forecast) -> str:
    least, most = found.seconds, found.most_seconds
    if least is None:
        return "not known: nothing was scored yet that says how long an item takes"
    if most is None or duration(most) == duration(least):
        return f"about {duration(least)}"
    return f"about {duration(least)}, at most {duration(most)}"
