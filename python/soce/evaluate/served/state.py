"""What a server's model holds, and who must wait while that changes."""

from __future__ import annotations

import time
from contextlib import contextmanager
from threading import Condition, Lock
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from soce.evaluate.evaluation import told
from soce.exceptions import EngineLostError, EvaluationError, Problem, SoceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from soce.evaluate.engines.engine import Engine
    from soce.recipes.model import Recipe

State: TypeAlias = Literal["starting", "empty", "ready", "changing", "failed", "lost"]

_POLL_SECONDS: Final = 1.0


class NoSoupError(EvaluationError):
    """There is no soup that could answer."""


class ServedSoup:
    """The soup that an engine serves: requests for it run at the same time, and a change runs alone.

    A change waits for the requests that run, and new ones wait for it. After one that failed there is no
    soup until another one succeeds; after the engine is lost there is none any more.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._turn = Lock()
        """Held by the one change there is."""
        self._condition = Condition()
        self._running = 0
        self._state: State = "starting"
        self._reason: Exception | None = None
        self._looking = Lock()
        """Held while the engine is asked for its health, which may take long, by the one who asks."""
        self._looked = 0.0
        """When that was last done."""
        self.recipe: Recipe | None = None
        """What the engine holds; None unless `state` is ready."""
        self.changes = 0
        """How often it was given a recipe: what is there twice need not have been there all the time."""

    @property
    def state(self) -> State:
        """Whether there is a soup, after a look at the engine."""
        if self._state not in {"starting", "changing", "lost"}:
            self._look(every=0.0)
        return self._state

    @property
    def reason(self) -> str | None:
        """Why there is no soup."""
        return None if self._reason is None else str(self._reason)

    def start(
        self,
        ingredients: Sequence[str],
        check: Callable[[], object] = lambda: None,
        recipe: Recipe | None = None,
    ) -> None:
        """Start the engine, let it read the ingredients, and check it; it serves a soup then, or none."""
        self.engine.start()
        self.engine.open(ingredients)
        check()
        if recipe is not None:
            self.engine.become(recipe)
        self._set("empty" if recipe is None else "ready", recipe=recipe)

    @contextmanager
    def request(self) -> Iterator[Recipe]:
        """Keep the soup as it is while a request runs; the value is its recipe.

        Waits while it changes. Raises EngineLostError, or NoSoupError with the reason, if there is none.
        """
        with self._condition:
            self._condition.wait_for(lambda: self._state != "changing")
            self._check_lost()
            if self.recipe is None:
                raise self._no_soup()
            self._running += 1
            recipe = self.recipe
        try:
            yield recipe
        finally:
            with self._condition:
                self._running -= 1
                self._condition.notify_all()

    def become(
        self,
        recipe: Recipe,
        *,
        check: Callable[[], object] = lambda: None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Change the soup; raises what `Engine.become` does, and what `check` does when it is its turn.

        `is_wanted` tells whether somebody still waits for it: asked when it is its turn, and every second
        while requests run.
        """

        def act(_: Recipe | None) -> Recipe:
            self.changes += 1
            self.engine.become(recipe)
            return recipe

        self._change(act, is_wanted, check)

    def alone(
        self,
        act: Callable[[], object],
        *,
        check: Callable[[], object] = lambda: None,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Do something that makes the engine other soups while nobody asks it, and put its soup back.

        See `become`.
        """

        def then_back(before: Recipe | None) -> Recipe | None:
            act()
            if before is not None:
                self.engine.become(before)
            return before

        self._change(then_back, is_wanted, check)

    def _change(
        self,
        act: Callable[[Recipe | None], Recipe | None],
        is_wanted: Callable[[], bool],
        check: Callable[[], object],
    ) -> None:
        """Let the engine become what `act` makes of the soup there is; None: none."""
        with self._turn:
            check()  # much may have happened while another change ran
            if not is_wanted():
                raise _unwanted()
            with self._condition:
                self._check_lost()
                if self._state == "starting":
                    raise self._no_soup()
                before = self._state
                self._state = "changing"
                while self._running:
                    is_noticed = self._condition.wait(_POLL_SECONDS)
                    self._check_lost()  # meanwhile
                    if not is_noticed and not is_wanted():
                        self._state = before
                        self._condition.notify_all()
                        raise _unwanted()
                soup, self.recipe, self._reason = self.recipe, None, None
            try:
                made = act(soup)
            except EngineLostError as error:
                self._set("lost", error)
                raise
            except (SoceError, OSError) as error:
                self._set("failed", error)
                raise
            except BaseException as error:  # nobody knows what it holds
                lost = _lost(error)
                self._set("lost", lost)
                raise lost from error
            self._set("empty" if made is None else "ready", recipe=made)
            self._check_lost()

    def check_engine(self) -> None:
        """Raise NoSoupError or EngineLostError if there is no engine that could answer."""
        with self._condition:
            if self._state == "starting":
                raise self._no_soup()
        self.look()

    def look(self, *, every: float = 0.0) -> None:
        """Raise EngineLostError if the engine is gone; the state is lost then.

        Whoever calls does not look again if somebody did in the last `every` seconds, or is about to.
        """
        self._look(every)
        with self._condition:
            self._check_lost()

    def _check_lost(self) -> None:
        if self._state == "lost" and self._reason is not None:
            raise self._reason

    def _look(self, every: float) -> None:
        if not self._looking.acquire(blocking=every == 0):
            return
        try:
            if self._state != "lost" and time.monotonic() - self._looked >= every:
                self.engine.check()
        except EngineLostError as error:
            self._set("lost", error)
        finally:
            self._looked = time.monotonic()
            self._looking.release()

    def _set(self, state: State, reason: Exception | None = None, recipe: Recipe | None = None) -> None:
        """Note what there is now; an engine that is lost stays so, with the first reason."""
        with self._condition:
            if self._state != "lost":
                self._state, self._reason, self.recipe = state, reason, recipe
            self._condition.notify_all()

    def _no_soup(self) -> NoSoupError:
        if self._state == "starting":
            return NoSoupError("the engine is starting")
        if self._reason is None:
            return NoSoupError("the server was given no recipe yet: send one to `/recipe`")
        return NoSoupError(f"the last recipe failed, so send another one to `/recipe`: {self.reason}")


def _unwanted() -> NoSoupError:
    return NoSoupError("nobody waits for the recipe any more")


def _lost(error: BaseException) -> SoceError:
    """Return what an unexpected failure means: nobody knows what the engine holds."""
    what = told(error) if isinstance(error, Exception) else type(error).__name__
    message = f"the engine failed in a way that is not known: {what}"
    return EngineLostError.of([Problem("engine", None, None, message, None)])
