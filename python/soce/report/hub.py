"""Publish a soup on the Hub: file by file, then one commit, so that it is there whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.adapters.output import MANIFEST as ADAPTER_MANIFEST
from soce.adapters.output import changed_files, read_manifest
from soce.exceptions import CheckpointError, OutputError, Problem, shown
from soce.files.arguments import expect_path
from soce.files.words import counted, listed
from soce.merging.verify import verify
from soce.recipes.names import HubName, is_url, remote_name
from soce.remote.repository import Repository
from soce.report.card.card import write_card
from soce.report.card.metadata import require_hub
from soce.report.card.soup import MANIFEST, read_soup

if TYPE_CHECKING:
    from soce.files.atomic import PathText
    from soce.merging.options import OnProgress

_README: Final = "README.md"
_HIDDEN: Final = ".eval_results"
"""The one folder whose name begins with a dot and that belongs to a soup."""


@dataclass(frozen=True, slots=True)
class OnHub:
    """A soup that is on the Hub."""

    id: str
    commit: str
    """The commit that it is."""
    url: str
    files: tuple[str, ...]
    wrote_card: bool
    """Whether it had no card before."""
    warnings: tuple[str, ...]
    """What the card's writer should know, such as licences that differ."""


def publish_to_hub(
    soup: PathText, target: str, *, private: bool = False, on_progress: OnProgress | None = None
) -> OnHub:
    """Put a soup and its model card into a new repository of the Hub.

    Parameters
    ----------
    soup : path-like
        A directory with a ``soce.json``, or a soup of adapters. If it has no ``README.md``, its card is
        written first.
    target : str
        ``hf://org/name``. A repository that is there must be empty.
    private : bool
        Make the repository visible to its owners only.
    on_progress : callable, optional
        Called with bytes done and bytes in all, after every file.

    Raises
    ------
    OutputError
        The repository holds something, the Hub cannot be reached or refuses, or huggingface_hub is missing.
    CheckpointError
        The soup is not what its manifest says.
    OSError
        Reading failed.

    Notes
    -----
    Shards are sent one after the other, and nothing is visible until the commit at the end. What was sent
    before something failed is not sent again by the next call. Tokens are those of `huggingface_hub`.
    """
    expect_path(soup, "soup")
    folder, repository = Path(soup), _repository(target, private=private)
    require_hub()
    prepared = _prepared_adapter if (folder / ADAPTER_MANIFEST).is_file() else _prepared
    told, warnings, wrote_card = prepared(folder)
    files = _files(folder)
    repository.prepare()
    total, done, parts = sum(path.stat().st_size for path in files.values()), 0, []
    for inside, path in files.items():
        parts.append(repository.sent(inside, path))
        done += path.stat().st_size
        if on_progress is not None:
            on_progress(done, total)
    commit = repository.commit(parts, f"Add {told}")
    return OnHub(repository.name.id, commit, repository.url, tuple(files), wrote_card, warnings)


def _repository(target: str, *, private: bool) -> Repository:
    found = remote_name(target) if is_url(target) else None
    if not isinstance(found, HubName) or found.revision:
        message, hint = "no name of a repository on the Hub", "write `hf://org/name`"
        raise OutputError.of([Problem("output", shown(target), None, message, hint)])
    return Repository(found, private=private)


def _prepared_adapter(folder: Path) -> tuple[str, tuple[str, ...], bool]:
    """Check a soup of adapters, which has its card from the beginning."""
    if changed := changed_files(folder):
        message = f"other files than its manifest says: {listed(changed)}"
        raise CheckpointError.of(
            [Problem("checkpoint", str(folder), None, message, "make the soup of adapters again")]
        )
    made_of = read_manifest(folder)["ingredients"]
    return f"a soup of {counted(len(made_of), 'adapter')}", (), False


def _prepared(folder: Path) -> tuple[str, tuple[str, ...], bool]:
    """Return what a soup is, what is said of its card, and whether it had none; the soup is checked first."""
    told = f"a soup of {counted(len(read_soup(folder).ingredients), 'checkpoint')}"
    found = verify(folder)
    if not found.ok:
        raise CheckpointError.of(found.findings)
    if (folder / _README).is_file():
        return told, (), False
    return told, write_card(folder).warnings, True


def _files(folder: Path) -> dict[str, Path]:
    """Return the files of a soup by their names in the repository; the manifest is the last."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.is_file() and not any(part.startswith(".") and part != _HIDDEN for part in parts):
            found["/".join(parts)] = path
    last = next(name for name in (MANIFEST, ADAPTER_MANIFEST) if name in found)
    found[last] = found.pop(last)
    return found
