"""Coefficients fitted by gradients: step by step, with one live model however many experts there are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from soce.adapters.adapter import TENSORS
from soce.adapters.config import CONFIG
from soce.evaluate.evaluation import chosen_items, refuse
from soce.exceptions import shown
from soce.files.atomic import write_json, write_text
from soce.files.digests import digest_of
from soce.files.hashing import file_digests
from soce.fit.adam import Adam
from soce.fit.batches import ItemBatches
from soce.fit.coefficients import Clamped, Softmax
from soce.fit.folder import LOSSES, RECIPE, FitFolder
from soce.fit.losses import ItemLosses, check_answers
from soce.fit.options import FitOptions
from soce.fit.recipe import recipe_text, soup_of
from soce.recipes.model import same_path_key
from soce.recipes.names import parts_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from soce.evaluate.live.soup_model import SoupModel
    from soce.evaluate.tasks.items import Tasks
    from soce.recipes.model import Recipe

    OnStep = Callable[[int, int, float | None], object]
    """Called with steps done, steps in all, and the loss of the last batch."""

_VERSION: Final = 1
"""Of the arithmetic: raise it when the same question gives other coefficients."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a fit has found."""

    recipe: Recipe
    """The coefficients after the last step, in whole parts: what was evaluated at the end."""
    start: Recipe
    """Those before the first."""
    before: float
    """The objective of `start` on all items that were fitted on, in nats."""
    after: float
    """That of `recipe`."""
    steps: int


def fit_soup(
    soup: SoupModel,
    experts: Mapping[str, str],
    tasks: Tasks,
    folder: str | os.PathLike[str],
    options: FitOptions = FitOptions(),  # noqa: B008 - frozen
    *,
    items: Mapping[str, Sequence[str]] | None = None,
    on_step: OnStep | None = None,
) -> Fitted:
    """Fit the coefficients of experts by gradients, and return the recipe.

    Parameters
    ----------
    soup : SoupModel
        The one model in memory; the experts, and the base if there is one, are among its ingredients. It
        holds the recipe at the end.
    experts : mapping of name to path
        What is mixed, in this order in the recipe.
    tasks : Tasks
        The items. ``nll`` needs answers.
    folder : path-like
        Gets ``recipe.yaml``, which `soce.merge` takes as it is, ``trace.jsonl`` and ``losses.json``. A fit
        that was killed goes on here when the same is asked, and ends with the same bits; one that is finished
        evaluates nothing again.
    options : FitOptions
        What is minimised, and how.
    items : mapping of category to ids, optional
        The items to fit on, all otherwise. Leave held-out ones out.
    on_step : callable, optional
        Called after each step; raising from it stops the fit.

    Raises
    ------
    EvaluationError
        A single expert for ``nll``, items without answers, a base among the experts, a model whose tensors
        transformers rearranges, a folder that holds something else, a gradient that is not finite.
    RecipeError, SoceError, OSError
        As when the model is set.
    """
    return Fit(soup, experts, tasks, folder, options, items=items).run(on_step=on_step)


def check_fit(experts: Mapping[str, str], tasks: Tasks, options: FitOptions) -> None:
    """Refuse what nothing can be fitted of, as far as that is known without a model."""
    paths = [same_path_key(path) for path in experts.values()]
    if options.objective == "nll" and len(paths) == 1:
        refuse("there is one expert, whose weight is 1 whatever is fitted", "name two or more")
    if not paths:
        refuse("there is no expert to fit")
    for name, path in experts.items():
        if paths.count(same_path_key(path)) > 1:
            refuse(f"the expert `{shown(name)}` is there twice, under two names", "name it once", path)
        if options.base is not None and same_path_key(path) == same_path_key(options.base):
            hint = "name as base what the experts were trained from"
            refuse(f"the base is the expert `{shown(name)}`", hint, path)
    if options.objective == "nll":
        check_answers(tasks)


class Fit:
    """A fit that was checked and not yet begun; the parameters are those of `fit_soup`."""

    def __init__(
        self,
        soup: SoupModel,
        experts: Mapping[str, str],
        tasks: Tasks,
        folder: str | os.PathLike[str],
        options: FitOptions = FitOptions(),  # noqa: B008 - frozen
        *,
        items: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.soup, self.options = soup, options
        self._experts = dict(experts)
        check_fit(experts, tasks.only(items), options)
        soup.gradient_products([*self._experts.values()], self._reference)  # refuses what cannot be fitted
        self._items = chosen_items(tasks.item_ids(), items or tasks.item_ids())
        used = tasks.only(items)
        self.losses = self._losses(used)
        """What is minimised."""
        self.n_items = len(used.items)
        self.steps = options.steps_for(self.n_items)
        """How many there are in all."""
        self._batches = ItemBatches(self._items, options.batch, options.seed)
        self._tensors = soup.averaged
        self._rows = {name: 0 if options.by == "model" else i for i, name in enumerate(self._tensors)}
        self._shape = (max(self._rows.values()) + 1, len(self._experts))
        self._coefficients = Softmax() if options.base is None else Clamped()
        self._folder = FitFolder(folder)
        self._question = self._asked(used)
        recipe_text(self._recipe(Adam.at(self._coefficients.start, self._shape)), soup)
        self._folder.check(self._question)

    @property
    def bytes_per_step(self) -> int:
        """About how many bytes of ingredients a step reads: each for the mix, and for the gradient."""
        return 2 * len(self._paths) * sum(map(self.soup.size, self._tensors))

    def run(self, *, on_step: OnStep | None = None) -> Fitted:
        """Go on from where the folder stands, to the end."""
        tell = on_step or (lambda *_: None)
        start = Adam.at(self._coefficients.start, self._shape)
        with self._folder.opened(self._question) as kept:
            state, told = self._restored(kept, start)
            if "before" not in told:
                told["before"] = self._mean(start)
                self._folder.keep({**told, **state.to_json()})
            self._folder.cut_trace(state.steps)
            tell(state.steps, self.steps, None)
            while state.steps < self.steps:
                keys = self._batches.keys(state.steps)
                loss, gradient = self.gradient(state, keys)
                line = {
                    "step": state.steps,
                    "seed": self.options.seed,
                    "items": keys,
                    "loss": loss,
                    "coefficients": self._coefficients.values(state.free).tolist(),
                }
                state = state.step(gradient, self.options.rate)
                self._folder.keep({**told, **state.to_json()}, line)
                tell(state.steps, self.steps, loss)
            recipe = self._recipe(state)
            if "after" in told:
                self.soup.set(recipe)
            else:
                told["after"] = self._mean(state)
                write_text(self._folder.path / RECIPE, recipe_text(recipe, self.soup))
                asked = {"objective": self.options.objective, "steps": self.steps}
                write_json(self._folder.path / LOSSES, {**asked, **told})
                self._folder.keep({**told, **state.to_json()})
        return Fitted(recipe, self._recipe(start), told["before"], told["after"], self.steps)

    def loss_of(self, recipe: Recipe, tasks: Tasks) -> float:
        """Return the objective of a soup on all of these items, which may be others than those fitted on."""
        self.soup.set(recipe)
        return self._losses(tasks).mean(tasks.item_ids(), size=self.options.batch)

    def _losses(self, tasks: Tasks) -> ItemLosses:
        return ItemLosses(self.soup, tasks, self.options.objective, max_length=self.options.max_length)

    def gradient(self, state: Adam, keys: Sequence[tuple[str, str]]) -> tuple[float, NDArray[np.float64]]:
        """Return the loss of a batch at the mixed model, and the gradient in the free numbers."""
        self.soup.set(self._recipe(state))
        with self.soup.gradient_products([*self._experts.values()], self._reference) as products:
            loss = self.losses.loss(keys)
            loss.backward()  # type: ignore[no-untyped-call]
        value = float(loss.detach())
        if not math.isfinite(value):
            refuse(f"the loss of step {state.steps} is {value}", "a smaller learning rate may help")
        terms: list[list[NDArray[np.float64]]] = [[] for _ in range(self._shape[0])]
        for name, row in self._rows.items():
            if name in products:
                terms[row].append(products[name])
                if not np.isfinite(products[name]).all():
                    message = f"its gradient in step {state.steps} is not finite"
                    refuse(message, "a smaller learning rate, or a wider dtype, may help", tensor=name)
        sums = [
            [math.fsum(column) for column in zip(*row, strict=True)] or [0.0] * self._shape[1]
            for row in terms
        ]
        return value, self._coefficients.gradient(state.free, np.array(sums))

    @property
    def _paths(self) -> dict[str, str]:
        """The ingredients of the recipe: experts, then the base."""
        base = self.options.base
        if base is None:
            return self._experts
        return {**self._experts, (base if "base" in self._experts else "base"): base}

    @property
    def _reference(self) -> str:
        """What differences are taken to."""
        return self.options.base or next(iter(self._experts.values()))

    def _asked(self, used: Tasks) -> dict[str, object]:
        """Return all that the coefficients depend on, and what lines of the trace are about."""
        return {
            "version": _VERSION,
            "ingredients": {name: _digest(path) for name, path in self._paths.items()},
            "experts": [*self._experts],
            "model": dict(self.soup.identity),
            "tasks": used.digest,
            "items": {name: len(ids) for name, ids in self._items.items()},
            "objective": self.options.objective,
            "by": self.options.by,
            "steps": self.steps,
            "learning_rate": self.options.rate,
            "batch": self.options.batch,
            "seed": self.options.seed,
            "max_length": self.options.max_length,
            "rows": [*self._tensors] if self.options.by == "tensor" else ["*"],
        }

    def _restored(self, kept: Any, start: Adam) -> tuple[Adam, dict[str, float]]:  # noqa: ANN401 - of a file
        """Return where the fit stands, and the objectives that are known."""
        if kept is None:
            return start, {}
        try:
            told = {name: float(kept[name]) for name in ("before", "after") if name in kept}
            return Adam.from_json(kept, self._shape), told
        except (KeyError, TypeError, ValueError) as error:
            message = f"its state cannot be read: {shown(str(error))}"
            refuse(message, "name another folder, and fit anew", str(self._folder.path), cause=error)

    def _recipe(self, state: Adam) -> Recipe:
        values = self._coefficients.values(state.free)
        exact = [self._coefficients.exact(row.tolist()) for row in values]
        twins = {twin: self._rows[owner] for twin, owner in self.soup.twins.items() if owner in self._rows}
        rows = {"*": 0} if len(exact) == 1 else {**self._rows, **twins}
        return soup_of(self._paths, {pattern: exact[row] for pattern, row in rows.items()})

    def _mean(self, state: Adam) -> float:
        """Return the objective of the rounded coefficients on all items."""
        self.soup.set(self._recipe(state))
        return self.losses.mean(self._items, size=self.options.batch)


def _digest(path: str) -> str:
    """Return what tells the tensors of an ingredient from others, wherever they lie."""
    files = [
        (place, file)
        for place, part in enumerate(parts_of(path))
        for file in sorted(Path(part).iterdir())
        if file.suffix == Path(TENSORS).suffix or (place and file.name == CONFIG)
    ]
    digests = file_digests({file for _, file in files})
    return digest_of([[place, file.name, digests[file]] for place, file in files])
