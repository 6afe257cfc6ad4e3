"""A live model behind a server: any program that speaks to an endpoint can score its soups."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from soce.evaluate.engines.engine import EngineOptions
from soce.evaluate.engines.limits import change_seconds
from soce.evaluate.evaluation import no_progress, refuse
from soce.evaluate.served.client import ANOTHER_RECIPE, Client
from soce.evaluate.served.holder import Hold
from soce.evaluate.served.outline import ServedOutline
from soce.evaluate.served.server import SoupServer
from soce.exceptions import EngineLostError, Problem, shown
from soce.files.words import listed
from soce.merging.options import MergeOptions
from soce.recipes.model import Recipe, same_path_key
from soce.recipes.wire import recipe_to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from soce.evaluate.engines.engine import EngineName
    from soce.evaluate.evaluation import OnProgress


class ServedModel(ServedOutline):
    """A live model whose weights are in a serving engine: `start` one, or `connect` to a server that runs.

    From its first soup on nobody else may give the server recipes, until `close`, which also ends server and
    engine if they are its own.

    Parameters
    ----------
    ingredients : sequence of str
        Checkpoint directories, all of them among the server's.
    url : str
        Of the server, with or without ``/v1``.
    token : str
        What requests must show.
    merge : MergeOptions
        The merge that soups are of.
    server : SoupServer, optional
        The server itself, if it is to be closed with the model.
    """

    def __init__(
        self,
        ingredients: Sequence[str],
        url: str,
        token: str,
        *,
        merge: MergeOptions = MergeOptions(),
        server: SoupServer | None = None,
    ) -> None:
        self._server = server
        self._begin(ingredients, merge)
        root = url.removesuffix("/").removesuffix("/v1")
        self.base_url = f"{root}/v1"
        """What clients of OpenAI's API are given."""
        self.token = token
        """What they send as their key."""
        self.socket = None if server is None else server.socket
        """Path of a Unix socket with the same routes, for programs without a network; None if it is another
        machine's."""
        self.client = Client(self.socket or root, token=token)
        """Asks the server, and refuses answers of other soups than the last that was `set`."""
        try:
            told = self.client.get("/recipe")
            self._check_server(told)
        except BaseException:
            self.client.close()
            raise
        self._engine_identity = dict(told["identity"])
        self.model = str(told["model"])
        """What requests call the model."""
        self.concurrency = int(told["concurrency"])
        """How many requests at once keep the engine busy."""
        self._hold = Hold(self.client)
        self._changes: object = None
        """How many changes the server had seen with the soup that was `set`."""

    @classmethod
    def start(
        cls, ingredients: Sequence[str], engine_name: EngineName, options: EngineOptions = EngineOptions()
    ) -> ServedModel:
        """Start an engine and a server for it, on a free port of this machine; `close` ends both.

        Raises EvaluationError, after which no process is left, if the engine does not start.
        """
        server = SoupServer(ServedOutline(ingredients, engine_name, options))
        try:
            server.start()
            return cls(ingredients, server.url, server.token, merge=options.merge, server=server)
        except BaseException:
            server.close()
            raise

    @classmethod
    def connect(
        cls, url: str, token: str, ingredients: Sequence[str], *, merge: MergeOptions = MergeOptions()
    ) -> ServedModel:
        """Use a server that runs; nothing of it is changed before the first soup is `set`.

        Raises EvaluationError if it does not answer, or serves other soups than those of these arguments.
        """
        return cls(ingredients, url, token, merge=merge)

    @property
    def environment(self) -> dict[str, str]:
        """What programs that speak OpenAI's API find the model by."""
        return {"OPENAI_BASE_URL": self.base_url, "OPENAI_API_KEY": self.token}

    @cached_property
    def max_length(self) -> int | None:
        """How many tokens the engine takes, prompt and answer together; None if it does not tell."""
        models = self.client.get("/v1/models").get("data", [])
        found = [one.get("max_model_len") for one in models if one.get("id") == self.model]
        return int(found[0]) if found and found[0] is not None else None

    def set(self, recipe: Recipe, *, on_progress: OnProgress | None = None) -> None:
        """Let the engine become a soup; see `SoupModel.set`.

        Progress is told when it begins and when it is done. Raises EvaluationError, too, if somebody else
        gives the server recipes, and EngineLostError if the engine is gone.
        """
        self.check(recipe)
        tell = on_progress or no_progress
        self.recipe = self.client.expected = None
        tell(0, self.nbytes)
        self._hold.take()
        asked = {"recipe": recipe_to_json(_absolute(recipe)), "holder": self._hold.id}
        # The server has a limit for the change, this is one for the server; and requests run before it.
        seconds = self.client.timeout_seconds + 2 * change_seconds(recipe)
        told = self.client.post("/recipe", asked, timeout_seconds=seconds)
        self._changes = told.get("changes")
        self.client.expected = recipe.id
        self.recipe = recipe
        tell(self.nbytes, self.nbytes)

    def look(self) -> None:
        """Raise EngineLostError if the engine is gone, or what tells that server or soup are."""
        told = self.client.get("/recipe")
        self._check_engine(told)
        if self.recipe is None:
            return
        place = f"the server at `{shown(self.base_url)}`"
        if told["id"] != self.recipe.id:
            refuse(f"{place} does not hold recipe `{self.recipe.id}` any more", ANOTHER_RECIPE)
        if told.get("changes") != self._changes:
            refuse(f"{place} held another recipe than `{self.recipe.id}` in between", ANOTHER_RECIPE)

    def close(self) -> None:
        """Let go of the server, or end it with its engine if they are this model's own."""
        try:
            self._hold.close()
            self.client.close()
        finally:
            if self._server is not None:
                self._server.close()
            super().close()

    def _check_engine(self, told: Mapping[str, Any]) -> None:
        if told["state"] == "lost":
            message = f"the engine of the server at `{shown(self.base_url)}` is gone: {told['reason']}"
            raise EngineLostError.of([Problem("engine", None, None, message, "start the server again")])

    def _check_server(self, told: Mapping[str, Any]) -> None:
        """Refuse a server that is no server of soce, whose engine is gone, or that serves other soups."""
        place = f"the server at `{shown(self.base_url)}`"
        missing = {"state", "ingredients", "identity", "model", "concurrency"} - told.keys()
        if missing:
            refuse(f"{place} is none of soce", "start one with `soce serve`")
        self._check_engine(told)
        paths = [str(one["path"]) for one in told["ingredients"]]
        for path in self.ingredients:
            if same_path_key(path) not in paths:
                refuse(f"{place} does not have this ingredient", f"it has {listed(paths)}", path)
        for name, value in self.soups_identity.items():
            if told["identity"].get(name) != value:
                what = f"`{shown(str(told['identity'].get(name)))}`, not `{shown(str(value))}`"
                hint = "start it with the same first ingredient and the same options of a merge"
                refuse(f"{place} serves other soups: its `{name}` is {what}", hint)


def _absolute(recipe: Recipe) -> Recipe:
    """Return a recipe that means the same in another directory, under the same id."""
    keys = [same_path_key(one.path) for one in recipe.ingredients]
    return recipe.moved(dict(zip(keys, keys, strict=True)))
