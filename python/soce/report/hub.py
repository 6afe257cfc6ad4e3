"""Publish a soup on the Hub: file by file, then one commit, so that it is there whole or not at all."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from soce.adapters.output import MANIFEST as ADAPTER_MANIFEST
from soce.adapters.output import changed_files, read_manifest
from soce.exceptions import CheckpointError, OutputError, Problem, shown
from soce.files.arguments import expect_path
from soce.files.words import counted, listed
from soce.merging.verify import verify
from soce.recipes.names import HubName, is_url, remote_name
from soce.remote.hub_errors import hub_endpoint
from soce.report.card.card import write_card
from soce.report.card.metadata import require_hub
from soce.report.card.soup import MANIFEST, read_soup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.files.atomic import PathText
    from soce.merging.options import OnProgress

_README: Final = "README.md"
_HIDDEN: Final = ".eval_results"
"""The one folder whose name begins with a dot and that belongs to a soup."""
_EMPTY: Final = frozenset({".gitattributes"})
"""What the Hub itself puts into a new repository."""
_LIBRARY: Final = "soce"


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
    folder, name = Path(soup), _id_of(target)
    hub = require_hub()
    prepared = _prepared_adapter if (folder / ADAPTER_MANIFEST).is_file() else _prepared
    told, warnings, wrote_card = prepared(folder)
    files = _files(folder)
    api = hub.HfApi(endpoint=hub_endpoint(), library_name=_LIBRARY)
    with _refusals(name), _quietly(hub):
        head = _empty_repository(api, name, private=private)
        operations = _sent(api, hub, name, files, on_progress)
        made = api.create_commit(name, operations, commit_message=f"Add {told}", parent_commit=head)
    return OnHub(name, made.oid, f"{hub_endpoint()}/{name}", tuple(files), wrote_card, warnings)


def _id_of(target: str) -> str:
    found = remote_name(target) if is_url(target) else None
    if not isinstance(found, HubName) or "/" not in found.id or found.revision or found.folder:
        message, hint = "no name of a repository on the Hub", "write `hf://org/name`"
        raise OutputError.of([Problem("output", shown(target), None, message, hint)])
    return found.id


@contextmanager
def _quietly(hub: Any) -> Iterator[None]:  # noqa: ANN401 - a module
    """Keep the client from drawing bars."""
    if hub.utils.are_progress_bars_disabled():
        yield
        return
    hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        hub.utils.enable_progress_bars()


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


def _empty_repository(api: Any, name: str, *, private: bool) -> str | None:  # noqa: ANN401 - a client
    """Make the repository, or find it empty; return its head, on which the commit is to stand."""
    api.create_repo(name, private=private or None, exist_ok=True)
    info = api.model_info(name)
    names = {one.rfilename for one in info.siblings or ()}
    if others := sorted(names - _EMPTY):
        _refuse(name, f"the repository holds files already: {listed(others, limit=5)}", "choose another name")
    if private and not info.private:
        hint = f"make it private at {hub_endpoint()}/{name}/settings, or choose another name"
        _refuse(name, "the repository is there, and public", hint)
    head: str | None = info.sha
    return head


def _sent(
    api: Any,  # noqa: ANN401 - a client
    hub: Any,  # noqa: ANN401 - a module
    name: str,
    files: dict[str, Path],
    on_progress: OnProgress | None,
) -> Sequence[Any]:
    """Send what is too large for a commit, one file after the other."""
    sizes = {inside: path.stat().st_size for inside, path in files.items()}
    total, done = sum(sizes.values()), 0
    operations = []
    for inside, path in files.items():
        operation = hub.CommitOperationAdd(path_in_repo=inside, path_or_fileobj=str(path))
        api.preupload_lfs_files(name, additions=[operation], num_threads=1, free_memory=False)
        operations.append(operation)
        done += sizes[inside]
        if on_progress is not None:
            on_progress(done, total)
    return operations


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Tell what the Hub, or the way to it, refuses; no text of its answers, in which signatures may stand."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        _tell(name, error.response.status_code, error)
    except errors.LocalTokenNotFoundError as error:
        _tell(name, 401, error)
    except errors.OfflineModeIsEnabled as error:
        raise _error(name, "HF_HUB_OFFLINE is set", "unset it where there is a network") from error
    except HTTPError as error:
        _tell(name, 0, error)
    except RuntimeError as error:  # of a thread that sends a file
        if not isinstance(cause := error.__cause__, HTTPError):
            raise
        _tell(name, cause.response.status_code if isinstance(cause, errors.HfHubHTTPError) else 0, error)


def _tell(name: str, status: int, error: BaseException) -> NoReturn:
    match status:
        case 401 | 403:
            hint = "log in with `hf auth login`, or set HF_TOKEN to a token that may write there"
            raise _error(name, f"the Hub lets nobody write there (status {status})", hint) from error
        case 409 | 412:
            hint = "run this again: what was sent is not sent again"
            raise _error(name, "somebody else has just changed the repository", hint) from error
        case 429:
            raise _error(name, "the Hub limits how often it is asked", "wait, then run this again") from error
        case 0:
            hint = "check the network, then run this again: what was sent is not sent again"
            raise _error(name, f"{hub_endpoint()} cannot be reached", hint) from error
        case _:
            hint = "run this again later: what was sent is not sent again"
            raise _error(name, f"the Hub failed (status {status})", hint) from error


def _error(name: str, message: str, hint: str) -> OutputError:
    error = OutputError.of([Problem("output", f"hf://{name}", None, message, hint)])
    assert isinstance(error, OutputError)
    return error


def _refuse(name: str, message: str, hint: str) -> NoReturn:
    where = name if name.startswith("hf://") else f"hf://{name}"
    raise OutputError.of([Problem("output", shown(where), None, message, hint)])
