"""The command `soce verify`: whether a soup is still what its manifest says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from soce.cli.output import Outcome, message, progress, refusals
from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from soce.merging.verify import Verification

_EPILOG = """\b
Examples:
  soce verify soup                             headers, index, side files, manifest: seconds
  soce verify soup --data                      every byte against its digest
  soce verify soup --recompute path/A path/B   every tensor computed again, bit for bit
  soce verify soup --recompute                 from the paths that the manifest names
"""
_LISTED = 100
"""Findings told on stdout without --json."""


@click.command(cls=Outcome, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("directory", metavar="DIR")
@click.argument("ingredients", nargs=-1, metavar="[INGREDIENT]...")
@click.option("--data", is_flag=True, help="Read every byte and compare it with the manifest's digests.")
@click.option(
    "--recompute",
    is_flag=True,
    help="Compute every tensor again from the INGREDIENTs, or else from the paths in the manifest.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
@click.option(
    "--num-threads", "-j", type=click.IntRange(min=1), metavar="N", help="Worker threads; else all cores."
)
@click.option(
    "--io", type=click.Choice(["auto", "mmap", "pread"]), default="auto", help="How files are read."
)
@click.option("--follow-links", is_flag=True, help="Follow links that leave a checkpoint's directory.")
@click.option("--quiet", "-q", is_flag=True, help="Print findings only.")
@click.option("--debug", is_flag=True, help="Print tracebacks.")
def verify(
    *,
    directory: str,
    ingredients: tuple[str, ...],
    recompute: bool,
    as_json: bool,
    quiet: bool,
    debug: bool,
    **options: Any,  # noqa: ANN401 - as declared by the decorators above
) -> int:
    """Say whether the soup in DIR is what its manifest says.

    Headers, index, file names, sizes and side files are compared with soce.json. A directory without one has
    its structure checked and its data scanned for values that are not finite. Exits with 0 if nothing is
    found, and with 1 if anything is; the first hundred findings are printed, all of them with --json. Writes
    nothing.
    """
    if ingredients and not recompute:
        text = "ingredients are compared with --recompute only: add it, or give one directory"
        raise click.UsageError(text, click.get_current_context())
    with refusals(debug=debug):
        from soce.merging.verify import verify as look

        again: Sequence[str] | Literal[True] | None = (ingredients or True) if recompute else None
        with progress(enabled=not quiet) as on_progress:
            found = look(directory, recompute=again, on_progress=on_progress, **options)
        if not quiet:
            for note in found.notes:
                message(f"note: {note}")
        if as_json:
            click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False, allow_nan=False))
        else:
            for line in report_lines(found, quiet=quiet):
                click.echo(line)
    return 0 if found.ok else 1


def report_lines(found: Verification, *, quiet: bool = False) -> list[str]:
    """Return the findings by name, what was looked at, and the verdict."""
    lines = []
    for finding in found.findings[:_LISTED]:
        lines.append(str(finding))
        if finding.hint is not None:
            lines.append(f"  hint: {finding.hint}")
    rest = len(found.findings) - _LISTED
    if rest > 0:
        lines.append(f"and {rest} more: `--json` lists all")
    if quiet:
        return lines
    if lines:
        lines.append("")
    lines.append(f"looked at {_looked_at(found.checked)}")
    if found.level is not None and not {"non_finite", "recomputed"} & found.checked.keys():
        data = "compared with digests" if found.level != "none" else "scanned: the manifest has no digests"
        lines.append(f"not looked at: the data; with `--data` they are {data} (level {found.level})")
    where = f"`{shown(str(found.directory))}`"
    if found.findings:
        count = len(found.findings)
        lines.append(f"{where}: {count} finding{'' if count == 1 else 's'}")
    elif found.has_manifest:
        lines.append(f"{where}: as its manifest says")
    else:
        lines.append(f"{where}: well formed; there is no manifest to compare it with")
    return lines


_WORDS = {
    "manifest": "the manifest",
    "shards": "# shard*",
    "tensors": "# tensor*",
    "files": "# listed file*",
    "side_files": "# side file* by SHA-256",
    "tensor_digests": "# tensor* by BLAKE3",
    "shard_digests": "# shard* by SHA-256",
    "non_finite": "# tensor* for values that are not finite",
    "ingredient_contents": "# ingredient* by content",
    "recomputed": "# tensor* computed again and equal",
}


def _looked_at(checked: Mapping[str, int]) -> str:
    """Return what was counted, in words."""
    words = [(_WORDS[what], count) for what, count in checked.items()]
    return ", ".join(text.replace("#", f"{n:,}").replace("*", "" if n == 1 else "s") for text, n in words)
