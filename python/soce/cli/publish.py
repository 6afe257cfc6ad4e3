"""The command `soce publish`: a soup and its card to the Hub."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from soce.cli.bars import byte_bar
from soce.cli.command import Subcommand, message, print_json, warn
from soce.cli.options.files import PLACE
from soce.exceptions import shown

_EXAMPLES = """\b
Examples:
  soce publish soup/ hf://org/name
  soce publish run/ hf://org/name --private       the soup of a run
"""


@click.command(cls=Subcommand, short_help="Put a soup and its card on the Hub.", notes=(_EXAMPLES,))
@click.argument("soup", type=PLACE, metavar="(SOUP|RUN)")
@click.argument("target", metavar="hf://ORG/NAME")
@click.option("--private", is_flag=True, help="Make the repository visible to its owners only.")
@click.option("--json", "as_json", is_flag=True, help="Print repository and commit as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors and warnings only.")
def publish(*, soup: str, target: str, private: bool, as_json: bool, quiet: bool) -> None:
    """Put a soup and its model card into a new repository of the Hugging Face Hub.

    SOUP is a folder of a soup, RUN the output of `soce run` or `soce demo` with its soup. The soup is
    compared with its manifest first, and gets a README.md if it has none. Shards are sent one after the
    other; nothing is visible until one commit at the end, and what was sent before something failed is not
    sent again. A repository that holds files is refused. Log in with `hf auth login`, or set HF_TOKEN.
    """
    from soce.report.hub import publish_to_hub

    soup = _soup_of(soup)
    with byte_bar(enabled=not quiet) as on_progress:
        made = publish_to_hub(soup, target, private=private, on_progress=on_progress)
    warn(made.warnings)
    if not quiet:
        if made.wrote_card:
            message(f"wrote `{shown(soup.rstrip('/'))}/README.md`")
        message(f"published `{made.url}` (commit {made.commit[:12]}, {len(made.files)} files)")
    if as_json:
        print_json(asdict(made))


def _soup_of(folder: str) -> str:
    """Return a folder, or that of the soup if it is of a run."""
    from soce.exceptions import CheckpointError, Problem
    from soce.search.folder import RESULT, SEARCH, SOUP

    run = Path(folder)
    if (run / SEARCH).is_dir() and (run / SOUP).is_dir():
        return os.fspath(run / SOUP)
    if (run / SEARCH).is_dir() or (run / RESULT).is_file():
        hint = "`soce run` writes it, or `soce search ... --publish DIR`: then name that folder"
        raise CheckpointError.of([Problem("checkpoint", folder, None, "a run, and no soup is in it", hint)])
    return folder
