"""The command `soce log`: the questions that were asked in a folder, and how their results differ."""

from __future__ import annotations

import click

from soce.cli.command import print_blocks, print_json
from soce.cli.experiment import ExperimentCommand, run_argument

_EXAMPLES = """\b
Examples:
  soce log run/
  soce log run/ --json
"""


@click.command(
    cls=ExperimentCommand,
    opens=False,
    short_help="See what was asked in a run, and what was found.",
    notes=(_EXAMPLES,),
)
@run_argument
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON on stdout.")
def log(*, folder: str, as_json: bool) -> None:
    """Show the questions that were asked in RUN, how each differs from the one before, and what was found.

    RUN is the output of `soce run`, `soce demo` or `soce search`; in an experiment its own. Another
    selection, split, strategy, task or model is another question of the same output, and costs what is not
    known yet. The earlier ones are kept in its `history/`; asked again they cost nothing and give the same
    result.
    """
    from soce.cli.text.history import history_blocks
    from soce.search.history import differing, read_history, read_present

    present = read_present(folder)
    questions = [*read_history(folder), *([] if present is None else [present])]
    if as_json:
        before = [None, *questions]
        print_json(
            {
                "questions": [
                    {
                        **one.to_json(),
                        "is_present": one is present,
                        "differs": [] if earlier is None else differing(earlier, one),
                    }
                    for earlier, one in zip(before, questions, strict=False)
                ]
            }
        )
    elif questions:
        print_blocks(*history_blocks(questions, has_present=present is not None))
