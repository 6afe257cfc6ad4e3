"""The command `soce`: one file per subcommand, each loaded when it is called."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

_COMMANDS = (
    *("init", "analyze", "select", "doctor", "search", "fit", "run"),
    *("status", "log", "show", "ask", "rescore", "study"),
    *("merge", "trajectory", "verify", "report", "card", "publish", "serve", "demo", "bfcl"),
)
"""In the order of use; each is the command of that name in the module of that name."""


def _group() -> click.Group:
    import click

    from soce.cli.command import Program, message, usage, version_option
    from soce.exceptions import shown
    from soce.files.words import nearest

    class Lazy(Program, click.Group):
        """A group whose commands are imported when they are needed."""

        def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
            if not args and not ctx.resilient_parsing:
                message(ctx.get_help())
                ctx.exit(2)
            return super().parse_args(ctx, args)

        def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
            return list(_COMMANDS)

        def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
            from importlib import import_module

            if cmd_name not in _COMMANDS:
                if ctx.resilient_parsing:  # a shell asks for completions
                    return None
                hint = nearest(cmd_name, _COMMANDS, "commands")
                usage(f"no such command `{shown(cmd_name)}`: {hint}")
            command = getattr(import_module(f"soce.cli.{cmd_name}"), cmd_name)
            assert isinstance(command, click.Command)
            return command

    group = Lazy("soce", help="Soup Of Category Experts: from benchmark scores to one checkpoint.")
    return version_option(group)


@contextmanager
def _interrupts_told() -> Iterator[None]:
    """End as a command that is interrupted does, also while it is still being imported."""
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)


def main() -> None:
    """Run the command `soce`."""
    import logging

    # Commands print these things themselves; without a handler Python would print warnings a second time.
    logging.getLogger("soce").addHandler(logging.NullHandler())
    with _interrupts_told():
        _group().main(prog_name="soce")


def main_merge() -> None:
    """Run the command `soce-merge`."""
    with _interrupts_told():
        from soce.cli.merge import merge

        merge.main(prog_name="soce-merge")
