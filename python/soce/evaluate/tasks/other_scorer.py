"""A tasks file as it would be with another scorer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from soce.evaluate.evaluation import refuse
from soce.evaluate.tasks.item import WRITTEN
from soce.evaluate.tasks.items import Tasks, read_item
from soce.evaluate.tasks.scorers.registry import read_scorer
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from soce.evaluate.tasks.item import Kind


def with_scorer(
    path: Path, scorer: object, *, stop: Sequence[str], kind: Kind | None = None
) -> tuple[Tasks, str]:
    """Return the items of a file with another scorer for those whose text the model writes, and their lines.

    Their ids stay, and what they ask: an answer to one is an answer to the other.

    Parameters
    ----------
    path : Path
        A file that `read_tasks` reads.
    scorer : object
        As `read_scorer` takes it.
    stop : sequence of str
        Where the texts of items end that do not say it.
    kind : str, optional
        The kind of items that do not state it.

    Raises
    ------
    EvaluationError
        No such scorer, no item that it can score, or one that lacks what it needs, with its line.
    """
    try:
        read_scorer(scorer)
    except ValueError as error:
        refuse(str(error))
    items, lines = [], []
    n_changed = 0
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n")
    for number, line in enumerate(content.split(b"\n"), 1):
        item, data = read_item(line, kind), json.loads(line)
        data = {"kind": item.kind, **data, "id": item.id}
        if item.kind in WRITTEN:
            n_changed += 1
            data |= {"kind": "generation", "scorer": scorer}
            if item.kind == "exact_match" and item.stop is None:
                data["stop"] = list(stop)
            _mend_choices(data)
        text = json.dumps(data, ensure_ascii=False)
        try:
            items.append(read_item(text.encode("utf-8", "surrogatepass"), None))
        except ValueError as error:
            refuse(f"line {number}: {error}", "name its scorer in a file of your own", str(path))
        lines.append(text)
    if not n_changed:
        what = f"no item's text is written by the model, which `{shown(json.dumps(scorer))}` would score"
        refuse(what, None, str(path))
    return Tasks(tuple(items), str(path)), "".join(f"{line}\n" for line in lines)


def _mend_choices(data: dict[str, Any]) -> None:
    """Write the right choice out for a scorer that gives no choices."""
    scorer = data["scorer"]
    name = scorer.get("name") if isinstance(scorer, dict) else scorer
    if "choices" in data and name != "choice":
        data["answer"] = data.pop("choices")[data["answer"]]
