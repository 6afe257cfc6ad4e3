"""The command `soce`: one file per subcommand, each loaded when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

_COMMANDS = ("analyze", "select", "doctor", "search", "run", "merge", "verify", "report", "card", "demo")
"""In the order of use; each is the command of that name in the module of that name."""


def _group() -> click.Group:
    import click

    from soce.cli.command import Program, print_version

    class Lazy(Program, click.Group):
        """A group whose commands are imported when they are needed."""

        def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
            return list(_COMMANDS)

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
            if cmd_name not in _COMMANDS:
                return None
            from importlib import import_module

            command = getattr(import_module(f"soce.cli.{cmd_name}"), cmd_name)
            assert isinstance(command, click.Command)
            return command

    group = Lazy("soce", help="Soup Of Category Experts: from benchmark scores to one checkpoint.")
    group.params.append(
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=print_version,
            help="Print the version and stop.",
        )
    )
    return group


def main() -> None:
    """Run the command `soce`."""
    _group().main(prog_name="soce")
