"""Who must wait for whom at a soup that is served."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from soce import Recipe
from soce.evaluate.served.state import ServedSoup
from soce.exceptions import EngineLostError

SOUP, OTHER = Recipe.of({"a": 1}), Recipe.of({"b": 1})


class Engine:
    """Tells its health late, and becomes soups when it may."""

    def __init__(self) -> None:
        self.is_asked, self.may_tell = threading.Event(), threading.Event()
        self.is_changing, self.may_change = threading.Event(), threading.Event()
        self.may_change.set()
        self.is_lost = False
        self.n_asked = 0

    def start(self) -> None: ...

    def open(self, ingredients: object) -> None: ...

    def check(self) -> None:
        self.n_asked += 1
        self.is_asked.set()
        assert self.may_tell.wait(20)
        if self.is_lost:
            raise EngineLostError("it is gone")

    def become(self, recipe: Recipe) -> None:
        self.is_changing.set()
        assert self.may_change.wait(20)


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.may_tell.set()
    made.may_change.set()


def test_an_engine_that_tells_its_health_late_makes_no_request_wait(engine: Engine) -> None:
    soup = ServedSoup(engine)
    soup.start([], recipe=SOUP)
    with ThreadPoolExecutor(2) as pool:
        looking = pool.submit(soup.look)
        assert engine.is_asked.wait(20)
        with soup.request() as recipe:
            assert recipe == SOUP
            soup.look(every=10)
        soup.become(OTHER)
        assert (soup.recipe, soup.changes) == (OTHER, 1)
        assert not looking.done()
        engine.may_tell.set()
        looking.result()
    assert engine.n_asked == 1


def test_an_engine_that_is_found_lost_while_it_changes_stays_lost(engine: Engine) -> None:
    soup = ServedSoup(engine)
    soup.start([], recipe=SOUP)
    engine.is_lost = True
    engine.may_tell.set()
    engine.may_change.clear()
    engine.is_changing.clear()
    with ThreadPoolExecutor(2) as pool:
        changing = pool.submit(soup.become, OTHER)
        assert engine.is_changing.wait(20)
        with pytest.raises(EngineLostError, match="it is gone"):
            soup.look()
        engine.may_change.set()
        with pytest.raises(EngineLostError, match="it is gone"):
            changing.result()
    assert (soup.state, soup.recipe, soup.reason) == ("lost", None, "it is gone")
    with pytest.raises(EngineLostError, match="it is gone"), soup.request():
        pass
