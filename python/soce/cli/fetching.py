"""What is about to come over the network, said before the first byte of weights."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from soce.cli.text.layout import duration, size, wrapped
from soce.files.words import listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from soce.remote.fetching import Fetching


@contextmanager
def fetches_told(tell: Callable[[str], object]) -> Iterator[None]:
    """Tell of everything that is fetched while the block runs, and show how far downloads are."""
    import logging

    from soce.remote.fetching import watcher

    def bar() -> AbstractContextManager[Callable[[int, int], object] | None]:
        from soce.cli.bars import byte_bar

        return byte_bar(enabled=True)

    class Teller(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            from soce.remote.fetching import Fetching

            if isinstance(record.msg, Fetching):
                tell("\n".join(wrapped(fetching_text(record.msg), "information: ")))

    log, teller = logging.getLogger("soce.remote"), Teller()
    before = log.level
    log.addHandler(teller)
    log.setLevel(logging.INFO)
    watched = watcher.set(bar)
    try:
        yield
    finally:
        watcher.reset(watched)
        log.removeHandler(teller)
        log.setLevel(before)


def fetching_text(found: Fetching) -> str:
    """Return what is fetched, how much it is, and how long that takes at least.

    Examples
    --------
    >>> from soce.remote.fetching import Fetching
    >>> fetching_text(Fetching(("hf://org/model@abc",), 30_000_000_000, "downloaded"))
    '30 GB are downloaded, 4 min over 1 Gbit/s: `hf://org/model@abc`'
    """
    from soce.recipes.checkpoint_paths import short_names
    from soce.remote.fetching import least_seconds

    time = f"{duration(least_seconds(found.bytes))} over 1 Gbit/s"
    return f"{size(found.bytes)} are {found.how}, {time}: {short_names(listed(found.names))}"
