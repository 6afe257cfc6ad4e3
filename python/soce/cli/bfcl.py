"""The commands `soce bfcl …`: the benchmark that is run in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import click

from soce.cli.command import Program, Subcommand, inform, message, print_json
from soce.cli.progress import waiting
from soce.cli.text.layout import columns
from soce.files.words import counted


class Commands(Program, click.Group):
    """A group of commands."""

    command_class = Subcommand


@click.group(cls=Commands, short_help="The function calling benchmark, run for real.")
def bfcl() -> None:
    """Set up the Berkeley Function Calling Leaderboard, and say what of it can be scored.

    Soups are scored with it by the evaluator `bfcl:CATEGORY,GROUP`, on a serving engine.
    """


@bfcl.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def setup(*, folder: Path, quiet: bool) -> None:
    """Make an environment with BFCL in DIR.

    By uv if it is there, else by pip. It takes some 6 GB and, for the packages, a network. What is whole is
    left as it is, and what was left half made is completed. Printed is the interpreter, for `bfcl-python` in
    the section `evaluate` of `soce.yaml`.
    """
    from soce.evaluate.bfcl.setup import make_environment

    with waiting(f"making an environment for BFCL in `{folder}`", enabled=not quiet):
        python = make_environment(folder, on_step=_no_step if quiet else message)
    click.echo(python)


@bfcl.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
def categories(*, as_json: bool) -> None:
    """List categories and groups.

    With how many items they have, and why some cannot be scored.
    """
    from soce.evaluate.bfcl.categories import CATEGORIES, GROUPS, N_ITEMS, REFUSED
    from soce.evaluate.bfcl.environment import VERSION

    if as_json:
        print_json(
            {
                "version": VERSION,
                "categories": [
                    {"name": name, "items": N_ITEMS[name], "refused": REFUSED.get(name)}
                    for name in CATEGORIES
                ],
                "groups": {name: list(members) for name, members in GROUPS.items()},
            }
        )
        return
    rows = [[name, str(N_ITEMS[name]), _refusal(REFUSED.get(name))] for name in CATEGORIES]
    click.echo("\n".join(columns([["category", "items", ""], *rows], "lrl")))
    groups = [[name, *_counts(members)] for name, members in GROUPS.items()]
    click.echo("\n" + "\n".join(columns([["group", "items", "categories that run"], *groups], "lrl")))


@bfcl.command()
@click.argument("version", type=click.Choice(["v3", "v4"]))
def weights(*, version: str) -> None:
    """Print the weights of a board's overall accuracy.

    As a file for `--objective weights:FILE`. Left out is what cannot be scored: the board's own command
    counts it as 0, for every model alike, so the order of models is the same.
    """
    from soce.evaluate.bfcl.categories import weights_of

    found = weights_of("v3" if version == "v3" else "v4")
    click.echo("\n".join(f'{name}: "{weight}"' for name, weight in found.items()))
    inform(
        f"weights of {counted(len(found), 'category', 'categories')}: `--objective weights:FILE` takes them"
    )


def _counts(members: tuple[str, ...]) -> list[str]:
    """Return how many items a group has that can be scored, and how many of its categories."""
    from soce.evaluate.bfcl.categories import N_ITEMS, REFUSED

    run = [member for member in members if member not in REFUSED]
    return [str(sum(N_ITEMS[member] for member in run)), f"{len(run)} of {len(members)}"]


def _refusal(reason: str | None) -> str:
    return "" if reason is None else f"no: {reason}"


def _no_step(_: str) -> None:
    """Say nothing."""
