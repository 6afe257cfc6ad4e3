"""What all commands share: how they end, and how what went wrong is told.

stdout is data only; messages and progress go to stderr.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click

from soce.cli.fetching import fetches_told
from soce.cli.options.group import as_said, make_groups
from soce.cli.text.layout import wrapped
from soce.exceptions import SoceError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence


_GIVEN: Final = "soce.given"


class Program(click.Command):
    """A command whose usage errors read as all others do, and whose exit codes are 0, 1, 2, 130 or 143."""

    def __init__(self, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(*args, **settings)
        self.context_settings = {"help_option_names": ["-h", "--help"]}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the words as they were given, for a command that goes on from here."""
        ctx.meta[_GIVEN] = tuple(args)
        return super().parse_args(ctx, args)

    def main(  # type: ignore[override]  # narrower: always ends the process
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: object
    ) -> NoReturn:
        """Run the command and exit."""
        extra["standalone_mode"] = False
        # A service manager's way to say Ctrl-C: threads are joined and nothing half done stays.
        with suppress(ValueError):  # only the main thread may ask for it
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            code = super().main(args, prog_name, **extra)  # type: ignore[call-overload]
        except click.UsageError as error:
            message(f"error: {plain(error.format_message())}")
            path = error.ctx.command_path if error.ctx else (prog_name or "")
            message(f"\nhint: see `{path} --help`")
            sys.exit(2)
        except click.ClickException as error:
            message(f"error: {error.format_message()}")
            sys.exit(1)
        except click.Abort as error:
            message("error: interrupted")
            _print_notes(error.__cause__ or error)
            sys.exit(130)
        except SystemExit as error:
            _print_notes(error)
            raise
        sys.exit(code if isinstance(code, int) else 0)


class Subcommand(Program):
    """A command that does something: `--debug` prints the traceback of what it refuses."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - click's
        notes: Sequence[str | Callable[[], str]] = (),
        **settings: Any,  # noqa: ANN401 - click's
    ) -> None:
        super().__init__(*args, **settings)
        self._notes = notes
        self.params.append(click.Option(["--debug"], is_flag=True, help="Print tracebacks."))

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the notes below the options; those that are asked for are made only now."""
        self.epilog = "\n".join(note if isinstance(note, str) else note() for note in self._notes)
        super().format_epilog(ctx, formatter)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; what soce or the system refuses ends it with exit code 1."""
        told = nullcontext() if ctx.params.get("quiet") else fetches_told(message)
        with refusals(debug=ctx.params.pop("debug")), told:
            ctx.params = make_groups(self, ctx.params)
            return super().invoke(ctx)


@contextmanager
def refusals(*, debug: bool) -> Iterator[None]:
    """End with exit code 1 on what soce or the system refuses."""
    try:
        yield
    except BrokenPipeError:
        # Whoever read stdout has seen enough, as `head` does: nothing to complain of, and nobody to tell.
        # What is still buffered must go somewhere, or the interpreter complains when it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (SoceError, OSError) as error:
        if debug:
            import traceback

            message(traceback.format_exc())
        for text in error_lines(error):
            message(text)
        if not _says_to_run_again(error):
            _print_notes(error)
        sys.exit(1)


def error_lines(error: SoceError | OSError) -> list[str]:
    """Return the lines of an error: each problem, then its hint, said once for neighbours that share it."""
    from soce.recipes.checkpoint_paths import short_names

    if isinstance(error, OSError):
        what = error.strerror or str(error)
        where = f"`{shown(os.fsdecode(error.filename))}`: " if isinstance(error.filename, str | bytes) else ""
        return [f"error: {where}{shown(what[:1].lower() + what[1:])}"]
    lines: list[str] = []
    found = [
        replace(one, message=as_said(one.message), hint=one.hint and as_said(one.hint))
        for one in error.problems
    ]
    for problem, following in zip(found, (*found[1:], None), strict=True):
        lines.append(f"error: {short_names(str(problem))}")
        if problem.hint is not None and not (following is not None and following.hint == problem.hint):
            lines += ["", f"hint: {problem.hint}"]
            if following is not None:
                lines.append("")
    return lines


def _says_to_run_again(error: SoceError | OSError) -> bool:
    """Whether a hint of an error already says what the core's note would: to run the same command again."""
    from soce.remote.destination import AGAIN

    return isinstance(error, SoceError) and any(AGAIN in (one.hint or "") for one in error.problems)


def _print_notes(error: BaseException) -> None:
    """Print what the core notes on an exception: what of the work can be used again."""
    for note in getattr(error, "__notes__", ()):
        message("\nhint: " + note)  # a `Hint` as it was written: for the command line


def usage(text: str) -> NoReturn:
    """Refuse what was asked for: exit code 2 and a pointer to the help of the command that runs."""
    raise click.UsageError(as_said(text), click.get_current_context())


def plain(text: str) -> str:
    """Return one of click's sentences in soce's style: lower case first, no full stop, backticks."""
    text = text.rstrip(".").replace("'", "`")
    return text[:1].lower() + text[1:]


def _print_version(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if wanted and not ctx.resilient_parsing:
        from soce.cli.text.version import version_text

        click.echo(version_text())
        ctx.exit()


version_option = click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Print the version and stop.",
)


def message(text: str) -> None:
    """Print to stderr."""
    click.echo(text, err=True)


def next_step(*words: str) -> None:
    """Print a command that goes on from here, to be copied as it is."""
    message(f"next: {shown(shlex.join(words), limit=2_000)}")


def given_words(*, without: Collection[str] = ()) -> list[str]:
    """Return the words that the command which runs was given, but for these options and their values."""
    context = click.get_current_context()
    options = [one for one in context.command.params if isinstance(one, click.Option)]
    flags = {name for one in options if one.is_flag for name in one.opts}
    words: list[str] = []
    is_value = False
    for word in context.meta[_GIVEN]:
        name, equals, _ = word.partition("=")
        if not is_value and name in without:
            is_value = name not in flags and not equals
            continue
        if not is_value:
            words.append(word)
        is_value = False
    return words


def inform(text: str) -> None:
    """Print what is worth knowing, in lines that fit."""
    from soce.recipes.checkpoint_paths import short_names

    message("\n".join(wrapped(short_names(as_said(text)), "information: ")))


def warn(texts: Sequence[str]) -> None:
    """Print warnings, in lines that fit."""
    from soce.recipes.checkpoint_paths import short_names

    for text in texts:
        message("\n".join(wrapped(short_names(as_said(text)), "warning: ")))


def print_blocks(*blocks: Sequence[str]) -> None:
    """Print blocks of lines to stdout, with an empty line between two."""
    click.echo("\n\n".join("\n".join(block) for block in blocks))


def print_json(value: object) -> None:
    """Print data to stdout as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
