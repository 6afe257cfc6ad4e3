"""The command `soce init`: a commented experiment file of what is there."""

from __future__ import annotations

from pathlib import Path

import click

from soce.cli.command import Subcommand, inform, message, next_step, warn
from soce.cli.options.files import PLACE
from soce.exceptions import OutputError, Problem

_EXAMPLES = """\b
Examples:
  soce init --scores scores.csv --models checkpoints/ --tasks tasks.jsonl
  soce init --scores results/ --models models.yaml --tasks lm-eval:gsm8k
  soce init --models org/math --models org/code --tasks tasks.jsonl
"""


@click.command(cls=Subcommand, short_help="Write an experiment file of what is there.", notes=(_EXAMPLES,))
@click.option(
    "--scores",
    metavar="TABLE",
    multiple=True,
    help="The table, or several; else scores.csv or the like, if it is there.",
)
@click.option(
    "--models",
    type=PLACE,
    metavar="DIR|FILE|NAME",
    multiple=True,
    help="A folder of checkpoints, a YAML of them, or org/model and the like; else models.yaml or models/.",
)
@click.option(
    "--tasks", metavar="EVALUATOR", help="tasks.jsonl, lm-eval:TASK, bfcl:CATEGORY or module:function."
)
@click.option("--overwrite", is_flag=True, help="Replace an existing soce.yaml.")
@click.option("--schema", is_flag=True, help="Print the JSON schema of such files, for editors, and stop.")
@click.option("--quiet", "-q", is_flag=True, help="Print errors only on stderr.")
def init(
    *,
    scores: tuple[str, ...],
    models: tuple[str, ...],
    tasks: str | None,
    overwrite: bool,
    schema: bool,
    quiet: bool,
) -> None:
    """Write soce.yaml into the current folder, for `soce run` and all commands that go on from a run.

    It looks at the table, the checkpoints and the tasks, matches their names, and suggests a threshold. What
    it cannot know stands there as a comment with an example, and what to edit is marked with EDIT.
    """
    from soce.experiment.schema import SCHEMA
    from soce.experiment.surroundings import look_around
    from soce.experiment.template import experiment_text
    from soce.files.atomic import write_text

    if schema:
        click.echo(SCHEMA.read_text(encoding="utf-8"), nl=False)
        return
    target = Path("soce.yaml")
    if target.exists() and not overwrite:
        problem = Problem("output", str(target), None, "it exists", "`--overwrite` replaces it")
        raise OutputError.of([problem])
    found = look_around(scores=scores, models=models, tasks=tasks)
    write_text(target, text := experiment_text(found), overwrite=overwrite)
    if quiet:
        return
    warn(found.warnings)
    message(f"wrote `{target}`")
    if "# EDIT" in text:
        inform("edit what is marked with EDIT before `soce run`")
    next_step("soce", "run", "--dry-run")
