"""Why texts ended that the harness had a model generate, which the harness itself does not say."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soce.evaluate.answers import Ending


class Endings:
    """The endings of one evaluation's texts, by what was asked.

    The harness generates batches of contexts of equal settings, and tells its cache what each context got, in
    the order of the batch. The same context may be asked several times; its texts are then in order.
    """

    def __init__(self) -> None:
        self._batch: deque[Ending] = deque()
        self._found: defaultdict[str, deque[Ending]] = defaultdict(deque)

    def generated(self, endings: Iterator[Ending]) -> None:
        """Take note of a batch."""
        self._batch = deque(endings)

    def told(self, arguments: Sequence[Any]) -> None:
        """Take note that the next text of the batch is for this request."""
        if self._batch:
            self.found(arguments, self._batch.popleft())

    def found(self, arguments: Sequence[Any], ending: Ending) -> None:
        """Take note of the ending of the next text for this request."""
        self._found[_request(arguments)].append(ending)

    def take(self, arguments: Sequence[Any]) -> Ending | None:
        """Return the ending of the next text for this request."""
        found = self._found[_request(arguments)]
        return found.popleft() if found else None


def endings_of(
    model: Any,  # noqa: ANN401 - the harness is not annotated
    rows: Any,  # noqa: ANN401
    *,
    start: int,
    most: int,
    stops: Sequence[str],
    settings: Mapping[str, Any],
) -> Iterator[Ending]:
    """Yield why each row of a batch ended, whose texts begin at `start` and which has room for `most` tokens.

    A row that met a stop goes on until all rows have met the same one: what counts is whether the harness
    cuts its text. So a text is whole if there is an end token or a stop in it, stops within a thought apart.
    """
    ends = settings.get("eos_token_id", model.model.generation_config.eos_token_id)
    end_tokens = {ends} if isinstance(ends, int) else {*(ends or ())}
    is_full = rows.shape[1] >= most
    for row in rows.tolist():
        tokens = row[start:]
        if not is_full or end_tokens.intersection(tokens):
            yield "stop"
            continue
        texts = without_thought(model, tokens)
        yield "stop" if any(stop and stop in text for stop in stops for text in texts) else "length"


def without_thought(model: Any, tokens: Sequence[int]) -> tuple[str, str]:  # noqa: ANN401
    """Return the text in which the harness looks for stops, without special tokens and with them."""
    mark = model.think_end_token
    if isinstance(mark, int):
        tokens = tokens[len(tokens) - tokens[::-1].index(mark) :] if mark in tokens else tokens
        mark = None
    texts = (model.tok_decode(tokens), model.tok_decode(tokens, skip_special_tokens=False))
    return texts if mark is None else (texts[0].split(mark)[-1], texts[1].split(mark)[-1])


def _request(arguments: Sequence[Any]) -> str:
    return json.dumps(arguments, sort_keys=True, default=str)
