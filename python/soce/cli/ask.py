"""The command `soce ask`: a prompt for soups of a run, or for whatever a server holds."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from soce.cli.command import Subcommand, inform, print_blocks, print_json, usage, warn
from soce.cli.options.files import PLACE
from soce.cli.options.types import COUNT, ENGINE_NAME
from soce.cli.text.soup_names import SOUPS
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.evaluate.options import EvaluatorOptions
    from soce.evaluate.served.client import Client

_EXAMPLES = """\b
Examples:
  soce ask run/ "What is 17 + 25?"
  soce ask run/ --soup best --soup math "What is 17 + 25?"
  soce ask run/ --engine vllm < prompt.txt
  soce ask --server http://127.0.0.1:8000 --token-file FILE "Hello"
"""


@click.command(cls=Subcommand, short_help="Ask a soup something.", notes=(SOUPS, _EXAMPLES))
@click.argument("words", nargs=-1, type=PLACE, metavar="[RUN] [PROMPT]")
@click.option("--soup", "soups", multiple=True, metavar="SOUP", help="Whom to ask; may be repeated.")
@click.option(
    "--max-new-tokens",
    "most",
    type=COUNT,
    metavar="N",
    help="Most tokens of an answer; else 1024, or what fits.",
)
@click.option("--plain", is_flag=True, help="Let it go on from the prompt: no chat template.")
@click.option(
    "--engine", type=ENGINE_NAME, metavar="NAME", help="vllm or transformers; else in this process."
)
@click.option("--engine-python", type=PLACE, metavar="PATH", help="The python of the engine's environment.")
@click.option("--server", metavar="URL", help="A `soce serve` to use; without RUN, as it is now.")
@click.option("--token-file", type=PLACE, metavar="FILE", help="The server's token; else the usual one.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
def ask(
    *,
    words: tuple[str, ...],
    soups: tuple[str, ...],
    most: int | None,
    plain: bool,
    engine: str | None,
    engine_python: str | None,
    server: str | None,
    token_file: str | None,
    as_json: bool,
) -> None:
    """Print what soups of RUN write after PROMPT, always the likeliest token.

    Without PROMPT it is read from stdin. The model is made in this process, unless an engine or a server is
    named. Without RUN the server is asked as it is, or as the SOUP whose weights are named as its
    ingredients are.
    """
    from soce.evaluate.options import EvaluatorOptions
    from soce.evaluate.served.tokens import usual_token_file

    if server is not None and engine is not None:
        usage("give either `--engine` or `--server`")
    if engine_python is not None and engine is None:
        usage("`--engine-python` is for `--engine`")
    if token_file is not None and server is None:
        usage("`--token-file` is for `--server`")
    folder, prompt = _split(words, has_server=server is not None)
    token = token_file or str(usual_token_file())
    if folder is None:
        assert server is not None
        found = _ask_server(server, token, soups, prompt, most=most, plain=plain)
    else:
        options = EvaluatorOptions(
            engine=server or engine,
            engine_python=engine_python,
            engine_token=None if server is None else token,
        )
        found = _ask_run(folder, soups or ("best",), prompt, options, most=most, plain=plain)
    if as_json:
        print_json({"prompt": prompt, "soups": found})
    elif len(found) == 1:
        click.echo(found[0]["text"])
    else:
        print_blocks(*([f"{shown(one['soup'])}:", one["text"]] for one in found))
    cut = [shown(one["soup"]) for one in found if one["ending"] == "length"]
    if cut:
        inform(f"cut at its length: {', '.join(cut)}; `--max-new-tokens` lets it go on")


def _split(words: Sequence[str], *, has_server: bool) -> tuple[str | None, str]:
    """Return the folder of the run and the prompt."""
    if len(words) > 2:
        usage("give one RUN and one PROMPT; quote a prompt of several words")
    if not words and not has_server:
        usage("give a RUN, or a `--server`")
    run = None if has_server and len(words) < 2 else words[0]
    prompts = words if run is None else words[1:]
    prompt = prompts[0] if prompts else sys.stdin.read().rstrip("\n")
    if not prompt:
        usage("there is no prompt")
    return run, prompt


def _ask_run(
    folder: str,
    soups: Sequence[str],
    prompt: str,
    options: EvaluatorOptions,
    *,
    most: int | None,
    plain: bool,
) -> list[dict[str, Any]]:
    from dataclasses import replace

    from soce.cli.scoring import merge_of
    from soce.evaluate.live.opening import live_model
    from soce.evaluate.tasks.asking import ask_soups
    from soce.merging.options import MergeOptions
    from soce.recipes.wire import recipe_to_json
    from soce.search.open import open_run
    from soce.search.soup_names import parts_of

    run = open_run(folder)
    recipes = {label: run.pool.recipe(parts) for label, parts in (parts_of(run, name) for name in soups)}
    first = run.pool.names[0]  # gives config and tokenizer, as in the search
    used = {first, *(one.name for recipe in recipes.values() for one in recipe.ingredients)}
    paths = [run.pool.paths[name] for name in run.pool.names if name in used]
    with live_model(paths, replace(options, merge=merge_of(run, MergeOptions()))) as model:
        try:
            warn(model.warnings)
            is_chat = not plain and model.tokenizer.chat_template is not None
            if not plain and not is_chat:
                inform(
                    "the tokenizer has no chat template: the model goes on from the prompt, as with --plain"
                )
            said = list(ask_soups(model, recipes.values(), prompt, most=most, is_chat=is_chat))
        finally:
            model.close()
    pairs = zip(recipes.items(), said, strict=True)
    return [
        {
            "soup": label,
            "weights": _told_weights(recipe_to_json(recipe)),
            "text": one.text,
            "ending": one.ending,
        }
        for (label, recipe), one in pairs
    ]


def _ask_server(
    url: str, token_file: str, soups: Sequence[str], prompt: str, *, most: int | None, plain: bool
) -> list[dict[str, Any]]:
    """Return what a server's soups say: what it holds, or others that it is given."""
    from soce.evaluate.served.client import Client
    from soce.evaluate.served.tokens import read_token

    with Client(url.removesuffix("/").removesuffix("/v1"), token=read_token(token_file)) as client:
        told = client.get("/recipe")
        names = [one["name"] for one in told["ingredients"]]
        body: dict[str, Any] = {"model": told["model"], "temperature": 0}
        body["max_tokens"] = most or _usual(client)
        if plain:
            route, body = "/v1/completions", {**body, "prompt": prompt}
        else:
            messages = [{"role": "user", "content": prompt}]
            route, body = "/v1/chat/completions", {**body, "messages": messages}
        rows = []
        for soup in soups or (None,):
            if soup is not None:
                told = client.post("/recipe", {"weights": _weighted(soup, names)})
            client.expected = told["id"]
            choice = client.post(route, body)["choices"][0]
            text = choice["text"] if plain else choice["message"]["content"]
            weights = _told_weights(told["recipe"])
            label = soup or " + ".join(f"{weight} {name}" for name, weight in weights.items())
            ending = "length" if choice["finish_reason"] == "length" else "stop"
            rows.append({"soup": label, "weights": weights, "text": text or "", "ending": ending})
    return rows


def _usual(client: Client) -> int:
    """Return how many tokens an answer may have if nobody says: prompt and answer share the window."""
    from soce.evaluate.tasks.encoding import USUAL_NEW_TOKENS

    windows: list[int | None] = [one.get("max_model_len") for one in client.get("/v1/models")["data"]]
    return min([USUAL_NEW_TOKENS, *(window // 2 for window in windows if window)])


def _weighted(soup: str, names: Sequence[str]) -> dict[str, str]:
    """Return the weights that a text says, by names that the server looks at."""
    if soup in names:
        return {soup: "1"}
    pieces = [piece.strip().partition(" ") for piece in soup.split(" + ")]
    return {name.strip(): weight for weight, _, name in pieces}


def _told_weights(recipe: dict[str, Any] | None) -> dict[str, str]:
    """Return name → weight of the ingredients that have a part."""
    weights = {one["name"]: one["weight"] for one in (recipe or {"ingredients": []})["ingredients"]}
    return {name: weight for name, weight in weights.items() if weight not in {None, "0"}}
