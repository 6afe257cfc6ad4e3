"""The texts of a run's items, from its tasks file where that is known, and answers as people read them."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from soce.evaluate.tasks.items import read_tasks
from soce.evaluate.tasks.lines import FIELDS
from soce.exceptions import EvaluationError
from soce.files.plain import Plain
from soce.search.folder import MODELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soce.evaluate.answers import Answer
    from soce.evaluate.tasks.item import Item
    from soce.evaluate.tasks.items import Tasks
    from soce.files.atomic import PathText
    from soce.search.run import ItemSet, Run

_ENDINGS: Final = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class ItemText(Plain):
    """What an item asks and wants."""

    prompt: str
    wanted: str
    choices: tuple[str, ...] = ()

    @classmethod
    def of(cls, item: Item) -> ItemText:
        """Return the texts of an item."""
        return cls(item.question, item.answer, item.choices)


ItemTexts: TypeAlias = "Mapping[tuple[str, str], ItemText]"
"""By category and id."""


def texts_of(tasks: Tasks) -> dict[tuple[str, str], ItemText]:
    """Return the texts of all items."""
    return {item.key: ItemText.of(item) for item in tasks.items}


def find_item_texts(run: Run, *, on: ItemSet = "report", also: Sequence[PathText] = ()) -> ItemTexts:
    """Return the texts of the items of a run, if a tasks file that is known to hold them is where it was.

    Looked at are the files `also`, a demo's own, and those that the command named by which the published soup
    was made. A file counts if its digest is that of the tasks that were scored, so that no text is another
    item's.
    """
    if run.identity is None:
        return {}
    other = run.identity.held_out_evaluator
    evaluator = other if on == "report" and other is not None else run.identity.evaluator
    digest = evaluator.get("tasks")
    for path in (*map(Path, also), *_known_files(run)):
        for tasks in _readings(path) if digest else ():
            if tasks.digest == digest:
                return texts_of(tasks)
    return {}


def _known_files(run: Run) -> Iterator[Path]:
    """Return where the tasks of a run may be."""
    if run.kind == "demo":
        yield from sorted((run.folder / MODELS).glob("*.jsonl"))
    made = (run.manifest or {}).get("run")
    command: Any = made.get("command") if isinstance(made, dict) else None
    for word in command if isinstance(command, list) else ():
        name = str(word).partition("=")[2] if str(word).startswith("--") else str(word)
        if name.lower().endswith(_ENDINGS):
            yield from (Path(name), run.folder / name, run.folder.parent / name)


def _readings(path: Path) -> Iterator[Tasks]:
    """Return what a file holds, its items of any kind if they name none."""
    for kind in (None, *FIELDS):
        with suppress(EvaluationError, OSError):
            yield read_tasks(path, kind=kind)  # type: ignore[arg-type]  # the keys are the kinds


def answer_text(answer: Answer, text: ItemText | None = None) -> str:
    """Return what was said, as people read it.

    Examples
    --------
    >>> from soce.evaluate.answers import Answer
    >>> answer_text(Answer("6f1c", choice=1, log_likelihoods=(-2.0, -1.25)))
    'choice 2 of 2'
    >>> answer_text(Answer("6f1c", log_likelihoods=(-2.0,)))
    'log-likelihood -2.00'
    """
    if answer.text is not None:
        return answer.text
    if answer.choice is not None:
        if text is not None and answer.choice < len(text.choices):
            return text.choices[answer.choice]
        of = f" of {len(answer.log_likelihoods)}" if answer.log_likelihoods else ""
        return f"choice {answer.choice + 1}{of}"
    logs = [one for one in answer.log_likelihoods if not math.isnan(one)]
    return f"log-likelihood {', '.join(f'{one:.2f}' for one in logs)}" if logs else ""


def excerpt(text: str, limit: int) -> str:
    """Return a text of about `limit` characters: of a longer one both ends, as what counts often comes last.

    Examples
    --------
    >>> excerpt("one two three four five six seven eight", 20)
    'one two ... (27 more characters) ... eight'
    """
    if len(text) <= limit:
        return text
    half = limit // 2
    # Words stay whole if there is one to end at nearby.
    end = max(text.rfind(space, half // 2, half + 1) for space in " \n")
    starts = [text.find(space, len(text) - half - 1, len(text) - half // 2) for space in " \n"]
    head = text[: half if end < 0 else end].rstrip()
    tail = text[min((start for start in starts if start >= 0), default=len(text) - half) :].lstrip()
    left_out = len(text) - len(head) - len(tail)
    return f"{head} ... ({left_out} more characters) ... {tail}" if left_out > 0 else text
