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


def make_groups(command: click.Command, values: dict[str, Any]) -> dict[str, Any]:
    """Return a command's values with those of each group made into one."""
    members: dict[OptionGroup, dict[str, Any]] = {}
    for option in command.params:
        if isinstance(option, GroupedOption) and option.name is not None:
            members.setdefault(option.group, {})[option.name] = values[option.name]
    grouped = {name for own in members.values() for name in own}
    alone = {name: value for name, value in values.items() if name not in grouped}
    return alone | {group.name: group.make(**own) for group, own in members.items()}


def all_of(*options: Decorator) -> Decorator:
    """Add several options to a command, in the order of its help."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add
