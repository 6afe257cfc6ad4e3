"""Commands that take part in an experiment: what its file says are the defaults of their options."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from soce.cli.command import Subcommand, inform, refusals, usage
from soce.cli.options.experiment import as_default, keys_of
from soce.cli.options.group import Keyed, KeyedOption, names_experiment
from soce.exceptions import shown
from soce.experiment.experiment import FILE, Experiment
from soce.experiment.reading import read_experiment

if TYPE_CHECKING:
    from collections.abc import Collection

_EXPERIMENT: Final = "soce.experiment"


class ExperimentCommand(Subcommand):
    """A command whose options may also be said in the file of an experiment.

    The file is the one that is named, else `soce.yaml` in the current folder, if it is there. The command
    line comes first; `--set` says what is no flag. The file is read and checked as a whole before anything
    else is done.

    Parameters
    ----------
    flags : collection of str, optional
        The flags that the command shows, of options that an experiment may say as well; else all.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's
        flags: Collection[str] | None = None,
        **settings: Any,  # noqa: ANN401 - click's
    ) -> None:
        super().__init__(*args, **settings)
        if flags is not None:
            for option in self.params:
                if isinstance(option, KeyedOption) and option.place and not {*option.opts} & {*flags}:
                    option.file_only = True
        self.params += [
            click.Option(
                ["--set"],
                metavar="KEY=VALUE",
                multiple=True,
                expose_value=False,
                help=f"Say what `{FILE}` would.",
            )
        ]
        if not any(param.name == "tables" for param in self.params):
            self.params.append(
                click.Option(
                    ["--experiment"],
                    metavar="FILE",
                    expose_value=False,
                    help=f"Else `{FILE}`, if it is here.",
                )
            )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the experiment, then the words of the command line."""
        if not ctx.resilient_parsing:
            with refusals(debug="--debug" in args):
                try:
                    given = self.make_parser(ctx).parse_args(list(args))[0]
                except click.NoSuchOption as error:
                    self._tell_key(error)
                    raise
                if not given.get("help"):
                    self._take(ctx, given)
        return super().parse_args(ctx, args)

    def _take(self, ctx: click.Context, given: dict[str, Any]) -> None:
        """Make what an experiment says the defaults of the options."""
        tables = given.get("tables")
        has_tables = isinstance(tables, tuple) and bool(tables)
        path = _file_of(given)
        experiment = read_experiment(path, given.get("set") or (), keys_of(self))
        said = dict(experiment.said)
        if has_tables and not names_experiment(
            tables
        ):  # what the file says of its own tables is not about these
            said = {
                place: one for place, one in said.items() if one.key.section != "scores" or one.spot.line == 0
            }
        if path is not None and not given.get("quiet"):
            without = ", but for its `scores`" if len(said) < len(experiment.said) else ""
            inform(f"the experiment is `{shown(path)}`{without}")
        ctx.meta[_EXPERIMENT] = replace(experiment, said=said)
        ctx.default_map = {
            str(param.name): as_default(param, said[param.place].value)
            for param in self.params
            if isinstance(param, Keyed) and param.place in said
        }

    def _tell_key(self, error: click.NoSuchOption) -> None:
        """Say where an option went that is no flag of this command."""
        for option in self.params:
            if isinstance(option, KeyedOption) and option.file_only and error.option_name in option.opts:
                name, place = error.option_name, option.place
                usage(f"`{name}` is no flag here: it is `{place}` in `{FILE}`, or `--set {place}=VALUE`")


def experiment() -> Experiment:
    """Return the experiment of the command that runs; without a file it says what the command line set."""
    found = click.get_current_context().meta[_EXPERIMENT]
    assert isinstance(found, Experiment)
    return found


def _file_of(given: dict[str, Any]) -> str | None:
    """Return the file that is named, or the one in the current folder."""
    tables: Any = given.get("tables")
    if names_experiment(tables):
        return str(tables[0])
    if isinstance(named := given.get("experiment"), str):
        return named
    return FILE if Path(FILE).is_file() else None
