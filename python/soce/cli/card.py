"""The command `soce card`: the README.md of a soup, from its manifest, without touching tensors."""

from __future__ import annotations

import json

import click

from soce.cli.command import Subcommand, message, usage, warn
from soce.cli.options.files import PLACE
from soce.cli.options.types import TextPair
from soce.exceptions import shown

_EXAMPLES = """\b
Examples:
  soce card soup/
  soce card soup/ --run run/ --hub-id math=org/model-math
  soce card soup/ --benchmark gsm8k=openai/gsm8k:main --stdout
"""


@click.command(
    cls=Subcommand,
    short_help="Write the model card of a soup.",
    notes=(_EXAMPLES,),
)
@click.argument("soup", type=PLACE, metavar="DIR")
@click.option(
    "--run", metavar="RUN", help="Folder of the run that chose the soup; else what the soup records."
)
@click.option(
    "--hub-id",
    "hub_ids",
    multiple=True,
    type=TextPair("NAME=ORG/MODEL"),
    help="Which model on the Hub an ingredient is, where its path does not tell.",
)
@click.option("--license", metavar="ID", help="Licence of the soup; else the one that all ingredients have.")
@click.option(
    "--benchmark",
    "benchmarks",
    multiple=True,
    type=TextPair("CATEGORY=DATASET[:TASK]"),
    help="Write the held-out score of a category to .eval_results for a benchmark on the Hub.",
)
@click.option("--overwrite", is_flag=True, help="Replace a README.md that soce did not write.")
@click.option("--stdout", "to_stdout", is_flag=True, help="Print the card and write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print head and warnings as JSON on stdout.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors and warnings only.")
def card(
    *,
    soup: str,
    run: str | None,
    hub_ids: tuple[tuple[str, str], ...],
    license: str | None,
    benchmarks: tuple[tuple[str, str], ...],
    overwrite: bool,
    to_stdout: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write README.md into the soup DIR: what was souped, how it was chosen, what it scored, how to check it.

    Everything comes from the manifest `soce.json`, the run and the ingredients' own READMEs; no tensor is
    touched. Text that you write above or below the marked block, and what you write into the YAML head, is
    kept when the card is written again. A licence is stated only where all ingredients state the same.
    """
    if to_stdout and as_json:
        usage("--stdout and --json do not go together")
    from soce.report.card.card import make_card, write_card

    act = make_card if to_stdout else write_card
    made = act(
        soup,
        run=run,
        hub_ids=dict(hub_ids),
        license=license,
        benchmarks=dict(benchmarks),
        overwrite=overwrite,
    )
    warn(made.warnings)
    if to_stdout:
        click.echo(made.text, nl=False)
    elif as_json:
        click.echo(json.dumps(made.to_json(), indent=2, ensure_ascii=False, default=str))
    if not (quiet or to_stdout):
        scores = "" if made.has_scores else ", without scores: none are known, see `--run`"
        message(f"wrote `{shown(str(made.path))}`{scores}")
