"""The command `soce verify`: whether a soup is still what its manifest says."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import click

from soce.cli.bars import byte_bar
from soce.cli.command import Subcommand, given_words, inform, next_step, print_json, usage
from soce.cli.options.files import PLACE
from soce.cli.options.types import COUNT
from soce.exceptions import shown
from soce.files.words import counted
from soce.recipes.checkpoint_paths import short_names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Literal

    from soce.merging.verify import Verification

_EXAMPLES = """\b
Examples:
  soce verify soup                         every byte against its digest
  soce verify soup --quick                 no data, only headers, small files
  soce verify soup --recompute A B         every tensor computed again
  soce verify soup --recompute             from the paths in the manifest
"""
_LISTED = 100
"""Findings told on stdout without --json."""


@click.command(cls=Subcommand, notes=(_EXAMPLES,))
@click.argument("directory", type=PLACE, metavar="DIR")
@click.argument("ingredients", nargs=-1, type=PLACE, metavar="[INGREDIENT]...")
@click.option("--quick", is_flag=True, help="Read headers and small files only: seconds, but no data.")
@click.option(
    "--recompute",
    is_flag=True,
    help="Compute every tensor again from the INGREDIENTs, or else from the paths in the manifest.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON on stdout.")
@click.option("--num-threads", "-j", type=COUNT, metavar="N", help="Worker threads; else all cores.")
@click.option(
    "--io", type=click.Choice(["auto", "mmap", "pread"]), default="auto", help="How files are read."
)
@click.option(
    "--remote",
    type=click.Choice(["stream", "download"]),
    default="stream",
    help="Whether INGREDIENTs that are somewhere else are kept.",
)
@click.option("--follow-links", is_flag=True, help="Follow links that leave a checkpoint's directory.")
@click.option("--quiet", "-q", is_flag=True, help="Print findings only.")
def verify(
    *,
    directory: str,
    ingredients: tuple[str, ...],
    quick: bool,
    recompute: bool,
    as_json: bool,
    num_threads: int | None,
    io: Literal["auto", "mmap", "pread"],
    remote: Literal["stream", "download"],
    follow_links: bool,
    quiet: bool,
) -> int:
    """Say whether the soup in DIR is what its manifest says.

    Every byte of every tensor is compared with its digest in soce.json; headers, index, file names, sizes and
    side files with what stands there. A directory without one has its structure checked and its data scanned
    for values that are not finite. Exits with 0 if nothing is found, and with 1 if anything is; the first
    hundred findings are printed, all of them with --json. Writes nothing.
    """
    if ingredients and not recompute:
        usage("ingredients are compared with --recompute only: add it, or give one directory")
    from soce.adapters.output import MANIFEST

    if Path(directory, MANIFEST).is_file():
        if recompute:
            usage(
                "--recompute is for soups of checkpoints: the files of an adapter are compared with digests"
            )
        return _verify_adapters(directory, as_json=as_json, quiet=quiet)
    from soce.merging.verify import verify as look

    again: Sequence[str] | Literal[True] | None = (ingredients or True) if recompute else None
    with byte_bar(enabled=not quiet) as on_progress:
        found = look(
            directory,
            quick=quick,
            recompute=again,
            num_threads=num_threads,
            io=io,
            remote=remote,
            follow_links=follow_links,
            on_progress=on_progress,
        )
    if not quiet:
        for note in found.notes:
            inform(note)
    if as_json:
        print_json(found.to_json())
    else:
        for line in report_lines(found, quiet=quiet):
            click.echo(line)
    if found.ok and found.has_manifest and not recompute and not quiet:
        words = [] if quick else ["--recompute"]
        next_step("soce", "verify", *given_words(without=["--quick", "--json"]), *words)
    return 0 if found.ok else 1


def _verify_adapters(directory: str, *, as_json: bool, quiet: bool) -> int:
    """Compare the files of a soup of adapters, which are small, with their digests."""
    from soce.adapters.output import changed_files

    changed = changed_files(Path(directory))
    if as_json:
        print_json({"ok": not changed, "directory": directory, "changed": changed})
        return 1 if changed else 0
    for name in changed:
        click.echo(f"`{shown(directory)}/{name}`: other bytes than the manifest says, or none")
    if not quiet:
        verdict = counted(len(changed), "finding") if changed else "as its manifest says"
        click.echo(f"`{shown(directory)}`: {verdict}")
    return 1 if changed else 0


def report_lines(found: Verification, *, quiet: bool = False) -> list[str]:
    """Return the findings by name, what was looked at, and the verdict."""
    lines = []
    for finding in found.findings[:_LISTED]:
        lines.append(short_names(str(finding)))
        if finding.hint is not None:
            lines.append(f"  hint: {finding.hint}")
    rest = len(found.findings) - _LISTED
    if rest > 0:
        lines.append(f"and {rest} more: `--json` lists all")
    if quiet:
        return lines
    if lines:
        lines.append("")
    lines += wrap(f"looked at {_looked_at(found.checked)}", 80, subsequent_indent="  ")
    lines.append(f"`{shown(str(found.directory))}`: {_verdict(found)}")
    return lines


def _verdict(found: Verification) -> str:
    """Return the outcome, and whether it is about the data."""
    if found.findings:
        verdict = counted(len(found.findings), "finding")
    elif not found.has_manifest:
        verdict = "well formed; there is no manifest to compare it with"
    elif "recomputed" in found.checked or "tensor_digests" in found.checked:
        verdict = "as its manifest says"
    else:
        verdict = "headers and small files are as its manifest says"
    if not found.data_read:
        return f"{verdict}; no data was read"
    uncompared = found.level == "none" and "recomputed" not in found.checked
    return f"{verdict}; it has no digests to compare the data with" if uncompared else verdict


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
