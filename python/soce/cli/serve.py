"""The command `soce serve`: soups of some checkpoints on a serving engine, for any client of OpenAI's API."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from soce.cli.command import Subcommand, error_lines, inform, message, print_json, usage, warn
from soce.cli.options.files import PLACE
from soce.cli.options.merge import merge_decisions
from soce.cli.options.types import ENGINE_NAME
from soce.exceptions import EngineLostError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from soce.evaluate.engines.engine import EngineName, EngineOptions
    from soce.evaluate.served.server import SoupServer
    from soce.merging.options import MergeOptions

_ENGINE_WORDS: Final = "soce.engine"
_POLL_SECONDS: Final = 0.5
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})

_EXAMPLES = """\b
Examples:
  soce serve math=path/A code=path/B
  soce serve path/A path/B --engine transformers --port 0 --json
  soce serve path/A path/B -- --tensor-parallel-size 2
"""


class _WithEngineWords(Subcommand):
    """A command whose words after `--` are the engine's own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the engine's words, and parse those before them."""
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[_ENGINE_WORDS] = tuple(args[end + 1 :])
        return super().parse_args(ctx, args[:end])

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write where they stand."""
        formatter.write_usage(ctx.command_path, "[OPTIONS] [NAME=]PATH... [-- ENGINE ARGUMENTS]")


@click.command(
    cls=_WithEngineWords, short_help="Serve soups, to try them with any client.", notes=(_EXAMPLES,)
)
@click.argument("ingredients", nargs=-1, required=True, type=PLACE, metavar="[NAME=]PATH...")
@click.option(
    "--engine", type=ENGINE_NAME, default="vllm", metavar="NAME", help="vllm or transformers. Default: vllm."
)
@click.option("--engine-python", type=PLACE, metavar="PATH", help="The engine's own python.")
@click.option("--engine-untried", is_flag=True, help="Take a version that was not tried.")
@click.option("--host", default="127.0.0.1", metavar="HOST", help="Where to listen; else this machine only.")
@click.option("--port", type=int, default=8000, metavar="PORT", help="0: a free one. Default: 8000.")
@click.option("--token-file", type=PLACE, metavar="FILE", help="Holds the token; made if it is not there.")
@click.option("--json", "as_json", is_flag=True, help="Print where it serves as JSON on stdout.")
@merge_decisions
def serve(
    *,
    ingredients: tuple[str, ...],
    engine: EngineName,
    engine_python: str | None,
    engine_untried: bool,
    host: str,
    port: int,
    token_file: str | None,
    as_json: bool,
    merging: MergeOptions,
) -> None:
    """Serve soups of checkpoints by an engine whose weights become any recipe in place.

    Clients of OpenAI's API find the model below /v1, and `POST /recipe` changes it. It begins as the first
    ingredient, which also gives config and tokenizer. Every request needs the token in the file. Nothing of a
    soup is written to the disk. It ends with Ctrl-C, or with the program that started it unless that was
    `nohup`, and leaves no process.
    """
    from soce.evaluate.engines.engine import EngineOptions
    from soce.evaluate.served.tokens import find_token, usual_token_file

    names = _named(ingredients)
    path = Path(token_file) if token_file is not None else usual_token_file()
    token = find_token(path)
    words = click.get_current_context().meta[_ENGINE_WORDS]
    options = EngineOptions(engine_python, words, merging, untried=engine_untried)
    if host not in _LOOPBACK:
        warn([f"`{shown(host)}` may be reached from other machines, and nothing is encrypted on the way"])
    parent = os.getppid()
    survives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # as `nohup` asks for
    if not survives:
        signal.signal(signal.SIGHUP, lambda *_: sys.exit(129))
    with _server(names, engine, options, token, (host, port)) as server:
        _explain(server, names, path)
        if as_json:  # whoever waits for it may ask at once
            print_json(_told(server, names, path))
            sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            _wait(server, None if survives else parent)
        inform("stopping")


def _named(words: Sequence[str]) -> dict[str, str]:
    """Return name → path of ingredients; a path without a name is called as its last part, an adapter's."""
    from soce.recipes.names import parts_of

    found: dict[str, str] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (name and equals and path) or Path(word).exists():
            name, path = Path(parts_of(word)[-1]).resolve().name, word
        if name in found:
            usage(f"two ingredients are called `{shown(name)}`: name them, such as `a={shown(path)}`")
        found[name] = path
    return found


@contextmanager
def _server(
    names: Mapping[str, str], engine: EngineName, options: EngineOptions, token: str, address: tuple[str, int]
) -> Iterator[SoupServer]:
    from soce.evaluate.served.outline import ServedOutline
    from soce.evaluate.served.server import SoupServer

    outline = ServedOutline([*names.values()], engine, options)
    warn(outline.warnings)
    server = SoupServer(outline, names=names, token=token, address=address)
    try:
        inform(f"starting {engine}")
        server.start(next(iter(names)))
        yield server
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # it takes a second, and is not to be left half done
        server.close()


def _wait(server: SoupServer, parent: int | None) -> None:
    """Return when the program that started this one is gone, and say once if the engine is."""
    is_lost = False
    while parent is None or os.getppid() == parent:
        time.sleep(_POLL_SECONDS)
        if not is_lost:
            try:
                server.service.soup.look()
            except EngineLostError as error:
                is_lost = True
                for line in error_lines(error):
                    message(line)
                inform("requests are refused from now on; stop with Ctrl-C and start again")


def _told(server: SoupServer, names: Mapping[str, str], token_file: Path) -> dict[str, Any]:
    return {
        "url": server.url,
        "base_url": f"{server.url}/v1",
        "socket": server.socket,
        "model": server.service.engine.model,
        "token_file": str(token_file.absolute()),
        "ingredients": dict(names),
        "identity": dict(server.service.outline.identity),
        "process": os.getpid(),
    }


def _explain(server: SoupServer, names: Mapping[str, str], token_file: Path) -> None:
    """Print where it serves, and lines to be pasted."""
    model, file = server.service.engine.model, shlex.quote(str(token_file.absolute()))
    # The token stays out of curl's arguments, which everybody on the machine may read.
    head = f'curl -H @<(echo "Authorization: Bearer $(cat {file})") -H "Content-Type: application/json"'
    equal = json.dumps({"weights": dict.fromkeys(names, "1")}, ensure_ascii=False)
    prompt = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "Hello"}], "temperature": 0}
    )
    inform(f"serving `{model}` at {server.url}/v1, now as `{shown(next(iter(names)))}`")
    inform(f"the token is in `{shown(str(token_file))}`")
    for route, body in (("/recipe", equal), ("/v1/chat/completions", prompt)):
        message(f"  {head} {server.url}{route} -d {shlex.quote(body)}")
    message(f"  soce ask --server {server.url} --token-file {file} Hello")
