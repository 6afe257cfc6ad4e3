"""Commands that take part in an experiment: what its file says are the defaults of their options."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from soce.cli.command import Subcommand, inform, refusals, usage
from soce.cli.options.current import EXPERIMENT, experiment
from soce.cli.options.experiment import as_default, keys_of
from soce.cli.options.files import PATH, PLACE
from soce.cli.options.group import GroupedOption, Keyed, KeyedArgument, KeyedOption, names_experiment
from soce.exceptions import SoceError, shown
from soce.experiment.experiment import FILE, Experiment
from soce.experiment.reading import read_experiment
from soce.search.folder import SCORES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from soce.experiment.experiment import Statement
    from soce.experiment.keys import Names
    from soce.scores.table import ScoreTable


class ExperimentCommand(Subcommand):
    """A command whose options may also be said in the file of an experiment.

    The file is the one that is named, else `soce.yaml` in the current folder, if it is there. The command
    line comes first; `--set` says what is no flag. The file is read and checked as a whole before anything
    else is done.

    Parameters
    ----------
    flags : collection of str, optional
        The flags that the command shows, of options that an experiment may say as well; else all.
    opens : bool
        Whether the files that the experiment names must be there.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's
        flags: Collection[str] | None = None,
        opens: bool = True,
        **settings: Any,  # noqa: ANN401 - click's
    ) -> None:
        super().__init__(*args, **settings)
        self.opens = opens
        if flags is not None:
            for option in self.params:
                if isinstance(option, KeyedOption) and option.place and not {*option.opts} & {*flags}:
                    option.file_only = True
        hidden: dict[str, Any] = {"expose_value": False}
        words = f"Say it in the place of `{FILE}`."
        self.params.append(click.Option(["--set"], multiple=True, metavar="KEY=VALUE", help=words, **hidden))
        if not any(param.name == "tables" for param in self.params):
            words = f"Else `{FILE}`, if it is here."
            self.params.append(
                click.Option(["--experiment"], type=PLACE, metavar="FILE", help=words, **hidden)
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
                asks = self.get_help_option(ctx)
                if asks is None or not given.get(str(asks.name)):
                    self._take(ctx, given)
        return super().parse_args(ctx, args)

    def _take(self, ctx: click.Context, given: dict[str, Any]) -> None:
        """Make what an experiment says the defaults of the options."""
        path = _file_of(given)
        keys = keys_of(self, opens=self.opens)
        names = None if _names_tables(given) else self._names_of_scores
        experiment = read_experiment(path, given.get("set") or (), keys, names=names)
        if _is_of_another_run(experiment, given):
            experiment = experiment.without_file()
        elif _names_tables(given):
            experiment = experiment.without_file("scores")  # what it says of tables is said of its own
        if experiment.path is not None and not given.get("quiet"):
            inform(f"the experiment is `{shown(experiment.path)}`")
        ctx.meta[EXPERIMENT] = experiment
        ctx.default_map = self._defaults(experiment.said)

    def _defaults(self, said: Mapping[str, Statement]) -> dict[str, Any]:
        return {
            str(param.name): as_default(param, said[param.place].value)
            for param in self.params
            if isinstance(param, Keyed) and param.place is not None and param.place in said
        }

    def _names_of_scores(self, said: Mapping[str, Statement]) -> dict[Names, Collection[str]]:
        """Return the models and categories of the table that an experiment names, if it can be read."""
        from soce.scores.formats.options import ReadOptions
        from soce.scores.read import read_scores

        reading = [
            one for one in self.params if isinstance(one, GroupedOption) and one.group.name == "reading"
        ]
        tables, models = said.get("scores.tables"), said.get("models")
        if tables is None and models is not None and isinstance(models.value, dict):
            return {"models": models.value}
        if tables is None or not reading:
            return {}
        with suppress(SoceError, OSError, click.UsageError):
            # Resilient: as far as it can be understood. What cannot is told in any case.
            read = self.make_context("", [], resilient_parsing=True, default_map=self._defaults(said)).params
            options = reading[0].group.make(**{one.field: read[one.name] for one in reading})
            assert isinstance(options, ReadOptions)
            assert isinstance(tables.value, tuple)
            return _names_of(read_scores(tables.value, options=options))
        return {}

    def _tell_key(self, error: click.NoSuchOption) -> None:
        """Say where an option went that is no flag of this command."""
        for option in self.params:
            if isinstance(option, KeyedOption) and option.file_only and error.option_name in option.opts:
                name, place = error.option_name, option.place
                value = "true" if option.is_flag else "VALUE"
                text = f"`{name}` is no flag here: it is `{place}` in `{FILE}`, or `--set {place}={value}`"
                raise click.UsageError(text, click.get_current_context()) from error


run_argument = click.argument(
    "folder", metavar="RUN", cls=KeyedArgument, section="", key="output", files=PATH
)
"""The folder of a run; in an experiment its own, if none is given."""


def experiment_folder() -> Path | None:
    """Return the folder of the experiment's runs, if it names one."""
    folder = experiment().value("output")
    return None if folder is None else Path(str(folder))


def experiment_tasks() -> list[str]:
    """Return the task files that the experiment names."""
    found: list[object] = []
    for section in ("evaluate", "report_on"):
        one, more = (experiment().value(f"{section}.{key}") for key in ("tasks", "more-tasks"))
        found += [one, *(more if isinstance(more, list | tuple) else ())]
    return [path for path in found if isinstance(path, str)]


def experiment_words() -> list[str]:
    """Return how the next command is told of this experiment."""
    path = experiment().path
    named = [] if path in {None, FILE} else ["--experiment", str(path)]
    return [*named, *(word for change in experiment().changes for word in ("--set", change))]


def measured_table() -> tuple[str, ...]:
    """Return the scores that `soce run` has measured in the experiment, where no table is named."""
    folder = experiment_folder()
    if folder is None:
        usage("missing argument `TABLE...`")
    if not (folder / SCORES).is_file():
        table = shown(str(folder / SCORES))
        usage(f"no table is named, and `soce run` has not measured `{table}` yet: say `scores` in `{FILE}`")
    return (str(folder / SCORES),)


def check_names(table: ScoreTable) -> None:
    """Refuse models and categories of the experiment that a table does not have, with their places."""
    experiment().check_names(**_names_of(table))


def _names_of(table: ScoreTable) -> dict[Names, Collection[str]]:
    return {"models": {*table.models, *dict(table.no_models)}, "categories": table.categories}


def _file_of(given: dict[str, Any]) -> str | None:
    """Return the file that is named, or the one in the current folder."""
    tables: Any = given.get("tables")
    if names_experiment(tables):
        return str(tables[0])
    if isinstance(named := given.get("experiment"), str):
        return named
    return FILE if Path(FILE).is_file() else None


def _names_tables(given: dict[str, Any]) -> bool:
    tables = given.get("tables")
    return isinstance(tables, tuple) and bool(tables) and not names_experiment(tables)


def _is_of_another_run(experiment: Experiment, given: dict[str, Any]) -> bool:
    """Whether a run is named that is not the experiment's, whose file nobody has named."""
    run, own = given.get("folder"), experiment.value("output")
    if not isinstance(run, str) or isinstance(given.get("experiment"), str):
        return False
    return own is None or Path(run).absolute() != Path(str(own)).absolute()
