"""What a server knows and does, whoever asks and however."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import soce
from soce.evaluate.engines.canary import Canary
from soce.evaluate.evaluation import refuse
from soce.evaluate.served.client import CONCURRENCY
from soce.evaluate.served.holder import Holders
from soce.evaluate.served.state import ServedSoup
from soce.exceptions import shown
from soce.files.words import nearest
from soce.recipes.model import Ingredient, Recipe, same_path_key
from soce.recipes.parts import exact_weight
from soce.recipes.wire import recipe_from_json, recipe_to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from soce.evaluate.served.outline import ServedOutline


class Service:
    """An engine with the soup it serves, and who may change that.

    Parameters
    ----------
    outline : ServedOutline
        The soups, and the engine, which is not started yet.
    names : mapping of str to str
        What people call the ingredients: name → path.
    token : str
        What every request must show.
    """

    def __init__(self, outline: ServedOutline, names: Mapping[str, str], token: str) -> None:
        self.outline = outline
        self.engine = outline.engine
        self.names = dict(names)
        self.token = token
        self.soup = ServedSoup(self.engine)
        self.canary = Canary(self.engine, outline.ingredients, outline.options)
        self.holders = Holders()

    def start(self, first: str | None = None) -> None:
        """Start the engine, let it read the ingredients, and see that it answers as they do.

        It begins as the ingredient of a name, if there is one, before anybody can give it another soup.
        """
        recipe = None if first is None else self._weighted({first: 1})
        self.canary.prepare()
        self.soup.start(self.outline.ingredients, lambda: self.canary.check(at_start=True), recipe)

    def describe(self) -> dict[str, Any]:
        """Return what everybody with the token may know."""
        state, recipe, holder = self.soup.state, self.soup.recipe, self.holders.current
        return {
            "state": state,
            "reason": self.soup.reason,
            "id": None if recipe is None else recipe.id,
            "recipe": None if recipe is None else recipe_to_json(recipe),
            "changes": self.soup.changes,
            "ingredients": [{"name": name, "path": same_path_key(path)} for name, path in self.names.items()],
            "model": self.engine.model,
            "identity": dict(self.outline.identity),
            "concurrency": CONCURRENCY,
            "holder": None if holder is None else holder.to_json(),
            "canary": None if self.canary.report is None else self.canary.report.to_json(),
            "soce": soce.__version__,
        }

    def check_canary(
        self,
        asked: Any,  # noqa: ANN401 - JSON
        *,
        is_wanted: Callable[[], bool] = lambda: True,
    ) -> dict[str, Any]:
        """See again that the engine answers as its weights say, and return what `describe` does.

        Requests wait meanwhile; the soup is the same after it. Raises EngineLostError, and there is none any
        more, if the engine does not; and HeldError if it is somebody else's turn, see `change`.
        """
        check = self._turn_of(asked, ())
        check()
        self.soup.alone(self.canary.check, check=check, is_wanted=is_wanted)
        return self.describe()

    def hold(self, claim: Any) -> dict[str, object]:  # noqa: ANN401 - JSON
        """Let somebody hold the server, or let go of it, and return who does."""
        if isinstance(claim, dict) and claim.get("done"):
            self.holders.let_go(str(claim.get("id")))
            return {"holder": None}
        return {"holder": self.holders.hold(claim).to_json()}

    def change(self, asked: Any, *, is_wanted: Callable[[], bool] = lambda: True) -> None:  # noqa: ANN401 - JSON
        """Make a soup: ``{"recipe": …}`` as `recipe_to_json` tells it, or ``{"weights": {"A": "0.7"}}``.

        Raises HeldError if it is somebody else's turn, and what `ServedSoup.become` does.
        """
        if not isinstance(asked, dict) or ("recipe" in asked) == ("weights" in asked):
            hint = 'send {"weights": {"NAME": "0.7", …}} by the names that GET /recipe tells'
            refuse("a change names either `weights` or a `recipe`", hint)
        check = self._turn_of(asked, {"recipe", "weights"})
        recipe = self._weighted(asked["weights"]) if "weights" in asked else recipe_from_json(asked["recipe"])
        self.outline.check(recipe)  # before anybody must wait for it
        check()
        self.soup.become(recipe, check=check, is_wanted=is_wanted)

    def _turn_of(self, asked: Any, keys: Collection[str]) -> Callable[[], None]:  # noqa: ANN401 - JSON
        """Return what refuses a request if it is not the turn of the holder it names, or of nobody."""
        if not isinstance(asked, dict):
            refuse("the body is no JSON object")
        known = {*keys, "holder"}
        if strangers := sorted(asked.keys() - known):
            refuse(f"unknown key `{shown(strangers[0])}`", nearest(strangers[0], sorted(known), "known keys"))
        holder = None if asked.get("holder") is None else str(asked["holder"])
        return lambda: self.holders.check(holder)

    def _weighted(self, weights: Any) -> Recipe:  # noqa: ANN401 - JSON
        if not isinstance(weights, dict):
            refuse("`weights` maps names of ingredients to weights", 'such as {"A": "0.7", "B": "0.3"}')
        ingredients = []
        for name, weight in weights.items():
            if name not in self.names:
                hint = nearest(name, [*self.names], "ingredients")
                refuse(f"there is no ingredient `{shown(name)}`", hint)
            if isinstance(weight, bool) or not isinstance(weight, (str, int)):
                refuse(f"the weight of `{shown(name)}` is no number", 'write it as text, such as "1/3"')
            ingredients.append(Ingredient(self.names[name], exact_weight(weight), name))
        return Recipe(tuple(ingredients))
