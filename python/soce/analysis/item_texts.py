"""The texts of a run's items, from its tasks file where that is known, and answers as people read them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from soce.files.plain import Plain
from soce.search.known_tasks import find_tasks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.answers import Answer
    from soce.evaluate.tasks.item import Item
    from soce.evaluate.tasks.items import Tasks
    from soce.files.atomic import PathText
    from soce.search.run import ItemSet, Run


@dataclass(frozen=True, slots=True)
class ItemText(Plain):
    """What an item asks and wants."""

    prompt: str
    wanted: str
    choices: tuple[str, ...] = ()

    @classmethod
    def of(cls, item: Item) -> ItemText:
        """Return the texts of an item."""
        return cls(item.question, "\nor ".join(item.answers), item.choices)


ItemTexts: TypeAlias = "Mapping[tuple[str, str], ItemText]"
"""By category and id."""


def texts_of(tasks: Tasks) -> dict[tuple[str, str], ItemText]:
    """Return the texts of all items."""
    return {item.key: ItemText.of(item) for item in tasks.items}


def find_item_texts(run: Run, *, on: ItemSet = "report", also: Sequence[PathText] = ()) -> ItemTexts:
    """Return the texts of the items of a run, as far as it is known where they are; see `find_tasks`."""
    found = find_tasks(run, on=on, also=also)
    return {key: text for one in found for key, text in texts_of(one.tasks).items()}


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
