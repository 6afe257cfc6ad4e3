"""Everything a command prints: errors, warnings, plans, reports and the progress bar.

stdout is data only; messages and progress go to stderr.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import click

from soce.exceptions import SoceError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.progress import TaskID

    from soce.merging.plan import MergePlan
    from soce.merging.report import MergeReport


class Outcome(click.Command):
    """A command whose usage errors read as all others do, and whose exit codes are 0, 1, 2, 130 or 143."""

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


def _print_notes(error: BaseException) -> None:
    """Print what the core notes on an exception: what of the work can be used again."""
    for note in getattr(error, "__notes__", ()):
        message(f"\nhint: {note}")


def plain(text: str) -> str:
    """Return one of click's sentences in soce's style: lower case first, no full stop, backticks."""
    text = text.rstrip(".").replace("'", "`")
    return text[:1].lower() + text[1:]


def print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    """Print the version and stop."""
    if wanted and not ctx.resilient_parsing:
        from soce import __version__

        click.echo(f"soce {__version__}")
        ctx.exit()


def message(text: str) -> None:
    """Print to stderr."""
    click.echo(text, err=True)


@contextmanager
def refusals(*, debug: bool) -> Iterator[None]:
    """Print what went wrong inside and exit with 1; `debug` prints the traceback first."""
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
        _print_notes(error)
        sys.exit(1)


def error_lines(error: SoceError | OSError) -> list[str]:
    """Return the lines of an error: each problem, then its hint, said once for neighbours that share it."""
    if isinstance(error, OSError):
        what = error.strerror or str(error)
        where = f"`{shown(os.fsdecode(error.filename))}`: " if isinstance(error.filename, str | bytes) else ""
        return [f"error: {where}{shown(what[:1].lower() + what[1:])}"]
    lines: list[str] = []
    found = error.problems
    for problem, following in zip(found, (*found[1:], None), strict=True):
        lines.append(f"error: {problem}")
        if problem.hint is not None and not (following is not None and following.hint == problem.hint):
            lines += ["", f"hint: {problem.hint}"]
            if following is not None:
                lines.append("")
    return lines


def warn(texts: Sequence[str]) -> None:
    """Print warnings."""
    for text in texts:
        message(f"warning: {text}")


def size(count: int) -> str:
    """Return bytes as people read them, in powers of 1000.

    Examples
    --------
    >>> size(999), size(2_470_000_000)
    ('999 B', '2.47 GB')
    """
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return (
                f"{count} B"
                if unit == "B"
                else f"{value:.3g} {unit}"
                if value < 1000
                else f"{value:.0f} {unit}"
            )
        value /= 1000
    raise AssertionError


def columns(rows: Sequence[Sequence[str]], right: str) -> list[str]:
    """Return rows as aligned lines; `right` has an r or l per column."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(right))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in rows
    ]


def plan_text(plan: MergePlan) -> str:
    """Return the plan for people: what goes in, with its parts, and what comes out."""
    data = plan.data
    paths = [ingredient["path"] for ingredient in data["ingredients"]]
    lines = ["ingredients"]
    rows = [["#", "shards", "tensors", "size", "path"]]
    for i, found in enumerate(data["ingredients"], 1):
        rows.append(
            [str(i), str(found["shards"]), str(found["tensors"]), size(found["bytes"]), shown(found["path"])]
        )
    lines += columns(rows, "rrrrl")
    for output in data["outputs"]:
        lines += ["", f"output {shown(output['path'])}"]
        for row in output["rows"]:
            lines.append(f"  tensors {shown(row['pattern'])}")
            table = [
                [f"{numerator}", f"of {row['whole']}", f"{100 * numerator / row['whole']:.4g} %", shown(path)]
                for numerator, path in zip(row["numerators"], paths, strict=True)
            ]
            lines += ["  " + line for line in columns(table, "rlrl")]
    counts = data["counts"]
    lines += [
        "",
        "tensors  "
        + ", ".join(f"{counts[kind]} {kind}" for kind in ("averaged", "copied", "tied", "refused")),
        f"read     {size(data['bytes_read'])}",
        f"written  {size(data['bytes_written'])} in {len(data['shards'])} shard(s) per output",
        f"memory   {size(data['memory_bytes'])}",
        f"config   from {shown(_donor_path(data, paths))}",
        f"copied   {_names(data['side_files'])}",
        f"left out {_names(data['left_out'])}",
        f"kernels  {data['kernels']}, {data['num_threads']} thread(s)",
    ]
    return "\n".join(lines)


def _donor_path(data: dict[str, Any], paths: Sequence[str]) -> str:
    donor = data["config_from"]
    return paths[donor] if isinstance(donor, int) else str(donor)


def _names(found: Sequence[Any]) -> str:
    names = [entry["name"] if isinstance(entry, dict) else str(entry) for entry in found]
    return ", ".join(shown(name) for name in names) or "nothing"


def print_report(report: MergeReport) -> None:
    """Print what a merge did, to stderr."""
    warn(report.warnings)
    counts = report.counts
    done = ", ".join(f"{counts[kind]} {kind}" for kind in ("averaged", "copied", "tied") if counts.get(kind))
    total = sum(counts.get(kind, 0) for kind in ("averaged", "copied", "tied"))
    tensors = f"{total} tensor{'' if total == 1 else 's'}"
    speed = (
        size(int((report.bytes_read + report.bytes_written) / report.seconds)) if report.seconds > 0 else "?"
    )
    outputs = [f"`{shown(os.fspath(output))}`" for output in report.outputs]
    where = outputs[0] if len(outputs) == 1 else f"{len(outputs)} soups, {outputs[0]} to {outputs[-1]}"
    message(
        f"wrote {where}: {tensors} ({done}), {size(report.bytes_written)} in {report.seconds:.1f} s "
        f"({speed}/s read and written)"
    )


@contextmanager
def progress(*, enabled: bool) -> Iterator[Callable[[int, int], object] | None]:
    """Show bytes, rate and time left while the block runs, on a terminal only."""
    if not (enabled and sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    with bar:
        tasks: list[TaskID] = []  # none until the size of the work is known: `0/?` would say nothing

        def tell(done: int, total: int) -> None:
            if not tasks:
                tasks.append(bar.add_task("merge", total=total))
            bar.update(tasks[0], completed=done, total=total)

        yield tell
