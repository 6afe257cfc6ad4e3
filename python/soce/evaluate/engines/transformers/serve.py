"""The engine's process: loads the model, and answers on its Unix socket until it is ended."""

from __future__ import annotations

import json
import sys
from concurrent.futures import CancelledError
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

from soce.evaluate.engines.transformers.arguments import EngineArguments
from soce.evaluate.engines.transformers.asking import Asker
from soce.evaluate.engines.transformers.engine import MODEL
from soce.evaluate.engines.transformers.queue import AskQueue
from soce.evaluate.engines.transformers.requests import RequestReader
from soce.evaluate.engines.transformers.responses import ResponseWriter
from soce.evaluate.http.handler import ClientGone, JsonHandler, RequestRefused, json_of
from soce.evaluate.http.listener import Listener
from soce.evaluate.http.presence import still_waits
from soce.evaluate.live.soup_model import SoupModel
from soce.evaluate.tasks.encoding import Encoder
from soce.evaluate.tasks.forward import Batches
from soce.exceptions import shown
from soce.merging.options import MergeOptions
from soce.recipes.wire import recipe_from_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.evaluate.engines.transformers.asked import Ask, Reply


class LiveServer:
    """The live model with everything that answers requests about it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        arguments = EngineArguments(**settings["arguments"])
        self._soup = SoupModel(
            settings["ingredients"],
            device=arguments.device,
            device_map=arguments.device_map,
            compute_dtype=arguments.compute_dtype,
            merge=MergeOptions(**settings["merge"]),
        )
        tokenizer, config = self._soup.tokenizer, self._soup.model.config
        self.window = Encoder(tokenizer, config, max_length=arguments.max_length).max_length
        self._asker = Asker(self._soup, Batches(arguments.batch_size), window=self.window)
        self.reader = RequestReader(tokenizer, window=self.window, vocabulary=self._asker.vocabulary)
        self.writer = ResponseWriter(tokenizer)
        self.queue = AskQueue(self._answers)
        self._holds_mixture = False

    def become(self, recipe: Any) -> None:  # noqa: ANN401 - JSON
        """Take the weights of a soup, between two batches."""
        with self.queue.model_lock:
            self._holds_mixture = True
            self._soup.set(recipe_from_json(recipe))
            self._holds_mixture = False

    def _answers(self, asks: Sequence[Ask]) -> list[Reply]:
        if self._holds_mixture:
            raise RequestRefused(503, "the last recipe failed half-way", "send another one")
        return self._asker.answers(asks)


class LiveHandler(JsonHandler):
    """Answers for one `LiveServer`; whoever reaches the socket may ask anything."""

    live: LiveServer
    """Set by a subclass."""

    def answer(self, body: bytes | None) -> None:
        """Answer a request."""
        match self.command, self.path:
            case "GET", "/health":
                self.send(200, {})
            case "GET", "/v1/models":
                card = {"id": MODEL, "object": "model", "created": 0, "owned_by": "soce", "root": MODEL}
                card |= {"parent": None, "max_model_len": self.live.window}
                self.send(200, {"object": "list", "data": [card]})
            case "POST", "/recipe":
                self.live.become(json_of(body))
                self.send(200, {})
            case "POST", ("/v1/completions" | "/v1/chat/completions") as path:
                self._say(json_of(body), is_chat="chat" in path)
            case _:
                message = f"the engine transformers has no route `{shown(self.path)}` for {self.command}"
                raise RequestRefused(
                    404, message, "there are /v1/models, /v1/completions, /v1/chat/completions"
                )

    def _say(self, asked: Any, *, is_chat: bool) -> None:  # noqa: ANN401 - JSON
        live = self.live
        wanted = live.reader.chat(asked) if is_chat else live.reader.completion(asked)
        try:
            said = live.queue.ask(wanted.asks, still_waits(self.connection))
        except CancelledError:
            raise ClientGone from None
        if wanted.stream:
            self.send_pieces(200, live.writer.events(wanted, said), "text/event-stream")
        else:
            self.send(200, live.writer.whole(wanted, said))


def main() -> None:
    """Serve what the settings in a file say, which is the program's one argument."""
    settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    handler = type("_Handler", (LiveHandler,), {"live": LiveServer(settings)})
    Listener(settings["socket"], handler).start()
    Event().wait()


if __name__ == "__main__":
    main()
