"""Groups of options: what the command line says, made into one value for each group.

An option that belongs to a group does not reach its command by itself. The command gets the group's value,
such as the `ReadOptions` of a score table, and passes it on whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class OptionGroup:
    """Options whose values reach a command as one value."""

    name: str
    """The command's parameter."""
    make: Callable[..., object]
    """Called with the value of every option by its name."""

    def option(self, *declarations: str, **settings: Any) -> Decorator:  # noqa: ANN401 - as `click.option`
        """Declare an option of this group."""
        return click.option(*declarations, cls=GroupedOption, group=self, **settings)


class GroupedOption(click.Option):
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


def all_of(*options: Decorator) -> Decorator:
    """Add several options to a command, in the order of its help."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add
