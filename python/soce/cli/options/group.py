"""Groups of options: what the command line says, made into one value for each group.

An option that belongs to a group does not reach its command by itself. The command gets the group's value,
such as the `ReadOptions` of a score table, and passes it on whole.

Options are also what may stand in an experiment, and the only place where that is said. The group names the
section, and the option its key, which is its name in the group if it says nothing else::

    _option = OptionGroup("selecting", _selection, section="select").option

    _option("--max-experts", type=COUNT, help="Stop after N experts.")  # select.max-experts, and a flag
    _option("--missing", file_only=True, help="...")  # select.missing, and no flag
    _option("--share", section="report_on", help="...")  # report_on.share
    _option("--overwrite", key="", help="...")  # a flag, and not in a file

`file_only` is for what few people need: it is no flag of any command, but may be said in the file or with
`--set select.missing=complete`. A command may show fewer flags than its options have, see `Subcommand`.
After a change of options `make keys` renews the page of the keys and the JSON schema of the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
from click.core import ParameterSource

from soce.cli.options.current import experiment
from soce.cli.options.files import PLACE
from soce.experiment.experiment import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from soce.cli.options.files import Files
    from soce.experiment.keys import Names

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_FLAG: Final = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


class Keyed:
    """An option or argument that may also be said in an experiment.

    Parameters
    ----------
    section, key : str
        Where in the file; without a key, nowhere. The section "" is beside the others.
    file_only : bool
        Whether it is no flag of the command line.
    files : Files, optional
        If it names files: relative ones begin in the experiment's folder.
    names : "models" or "categories", optional
        If it names those of the score table.
    either : str, optional
        Of the options of a section with the same word here, one may be given.
    is_short : bool
        Whether it is what a section stands for that is no mapping.
    """

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's
        section: str = "",
        key: str | None = None,
        file_only: bool = False,
        files: Files | None = None,
        names: Names | None = None,
        either: str | None = None,
        is_short: bool = False,
        **settings: Any,  # noqa: ANN401 - click's
    ) -> None:
        if files is not None:
            settings.setdefault("type", PLACE)
        super().__init__(*args, **settings)
        assert isinstance(self, click.Parameter)
        self.key = str(self.name).replace("_", "-") if key is None else key
        self.section = section
        self.files, self.names, self.either, self.is_short = files, names, either, is_short
        self.file_only = file_only

    @property
    def place(self) -> str | None:
        """What it is called in an experiment, such as `select.threshold`."""
        if not self.key:
            return None
        return f"{self.section}.{self.key}" if self.section else self.key


class KeyedOption(Keyed, click.Option):
    """An option that may also be said in an experiment."""

    def consume_value(self, ctx: click.Context, opts: Any) -> Any:  # noqa: ANN401 - click's
        """Return what is given; `--set` comes before a flag."""
        if experiment().is_changed(self.place):
            opts = {name: value for name, value in opts.items() if name != self.name}
        return super().consume_value(ctx, opts)

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:  # noqa: ANN401 - click hides its type
        """Make it a flag, if it is one."""
        if not self.file_only:
            super().add_to_parser(parser, ctx)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return its lines of the help, if it is a flag."""
        return None if self.file_only else super().get_help_record(ctx)


class KeyedArgument(Keyed, click.Argument):
    """An argument that may also be said in an experiment."""

    def consume_value(self, ctx: click.Context, opts: Any) -> Any:  # noqa: ANN401 - click's
        """Return what is given; what the experiment says if that is nothing, or the experiment itself."""
        given = opts.get(self.name)
        if not given or names_experiment(given) or experiment().is_changed(self.place):
            opts = {name: value for name, value in opts.items() if name != self.name}
        return super().consume_value(ctx, opts)


def names_experiment(given: object) -> bool:
    """Whether the arguments of a command are an experiment's file."""
    return isinstance(given, tuple) and len(given) == 1 and str(given[0]).lower().endswith(SUFFIXES)


@dataclass(frozen=True, slots=True)
class OptionGroup:
    """Options whose values reach a command as one value."""

    name: str
    """The command's parameter."""
    make: Callable[..., object]
    """Called with the value of every option by its name."""
    section: str = ""
    """Of an experiment; "" if its options are not in one, but for those that say where."""

    def option(self, *declarations: str, **settings: Any) -> Decorator:  # noqa: ANN401 - as `click.option`
        """Declare an option of this group; see `KeyedOption`."""
        place = {"section": self.section} if self.section else {"key": ""}
        settings = {**place, **settings}
        return click.option(*declarations, cls=GroupedOption, group=self, **settings)


class GroupedOption(KeyedOption):
    """An option of a group."""

    def __init__(self, *args: Any, group: OptionGroup, **settings: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(*args, **settings)
        self.group = group
        self.field = str(self.name)
        """Its name in the group, of which another group may have one as well: `metric`, for instance."""
        self.name = f"{group.name} {self.field}"


def make_groups(command: click.Command, values: dict[str, Any]) -> dict[str, Any]:
    """Return a command's values with those of each group made into one."""
    members: dict[OptionGroup, dict[str, Any]] = {}
    for option in command.params:
        if isinstance(option, GroupedOption):
            members.setdefault(option.group, {})[option.field] = values[option.name]
    alone = {
        str(option.name): values[str(option.name)]
        for option in command.params
        if option.name in values and not isinstance(option, GroupedOption)
    }
    return alone | {group.name: group.make(**own) for group, own in members.items()}


def flags_of(group: str) -> dict[str, str]:
    """Return how the command that runs calls the options of a group, by their names in it."""
    options = click.get_current_context().command.params
    own = [one for one in options if isinstance(one, GroupedOption) and one.group.name == group]
    return {one.field: one.opts[0] for one in own}


def is_given(option: click.Parameter) -> bool:
    """Whether the command that runs was told a value, on the command line or in an experiment."""
    source = click.get_current_context().get_parameter_source(str(option.name))
    return source is not ParameterSource.DEFAULT


def as_said(text: str) -> str:
    """Return a message with options called as they were said: a flag, or the key of an experiment.

    An option that is no flag of the command that runs is called by its key in any case. What is said of
    another command, `soce select --sweep`, stays as it is.
    """
    context = click.get_current_context(silent=True)
    keys = {} if context is None else dict(_keys_in_use(context))
    if not keys:
        return text

    def called(flag: re.Match[str]) -> str:
        return _with_line(keys[flag[0]]) if flag[0] in keys else flag[0]

    def words(part: str) -> str:
        """Return what stands between backticks: a flag, or one with a value, to be copied."""
        flag, sign, value = part.replace("=", " ", 1).partition(" ")
        if flag not in keys or part.startswith("soce "):
            return part
        return f"--set {keys[flag]}={value}" if sign else keys[flag]

    parts = enumerate(text.split("`"))
    return "`".join(words(part) if number % 2 else _FLAG.sub(called, part) for number, part in parts)


def _keys_in_use(context: click.Context) -> Iterator[tuple[str, str]]:
    """Give each flag that is none here, or was not used, with what to call it."""
    for option in context.command.params:
        if not isinstance(option, Keyed) or option.place is None:
            continue
        is_said = context.get_parameter_source(str(option.name)) is ParameterSource.DEFAULT_MAP
        if not (option.file_only or is_said):
            continue
        for flags, value in ((option.opts, "true"), (option.secondary_opts, "false")):
            is_switch = getattr(option, "is_flag", False)  # an argument is none
            how = f"--set {option.place}={value}" if is_switch and not is_said else option.place
            yield from ((flag, how) for flag in flags)


def _with_line(place: str) -> str:
    """Return a key with its line, if a file says it."""
    said = experiment().said.get(place)
    return f"{place} (line {said.spot.line})" if said is not None and said.spot.line else place


def all_of(*options: Decorator) -> Decorator:
    """Add several options to a command, in the order of its help."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add
