"""A repository of the Hub that gets a soup: file by file, then one commit, so that it is whole or absent."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from soce.files.extras import install
from soce.files.words import listed
from soce.recipes.checkpoint_paths import hub_cache
from soce.remote.destination import AGAIN, MANIFEST, of_this_plan, refuse_output
from soce.remote.hub_errors import hub_endpoint, quiet_client
from soce.remote.waiting import waited_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

    from soce.recipes.names import HubName

_EMPTY: Final = frozenset({".gitattributes"})
"""What the Hub itself puts into a new repository."""
_LIBRARY: Final = "soce"
_MAIN: Final = "main"


class Repository:
    """A repository, or a branch of one, that is to hold one soup and nothing else: a `Destination`.

    Tokens are those of `huggingface_hub`. What was sent and belongs to no commit is seen by nobody, and the
    Hub knows it by its SHA-256 for a while.
    """

    def __init__(self, name: HubName, *, private: bool = False) -> None:
        if "/" not in name.id or name.folder:
            refuse_output(name, "no name of a repository on the Hub", "write `hf://org/name`")
        self.name = name
        self.url = f"{hub_endpoint()}/{name.id}"
        self._private = private
        self._hub = _client(name)
        self._api = self._hub.HfApi(endpoint=hub_endpoint(), library_name=_LIBRARY)
        self._head: str | None = None

    def standing(self, plan: str) -> str | None:
        """Return the `result_digest` of the plan's soup if it is there; refuse anything else that is."""
        found = self._done(self._look)
        if found is None or not (others := _names(found) - _EMPTY):
            return None
        if MANIFEST in others:
            path = self._done(
                lambda: self._api.hf_hub_download(
                    self.name.id, MANIFEST, revision=found.sha, cache_dir=hub_cache()
                )
            )
            if (digest := of_this_plan(Path(path).read_bytes(), plan)) is not None:
                return digest
        self._refuse_files(others)

    def prepare(self) -> None:
        """Make the repository and the branch, or find them empty."""
        found = self._done(self._made)
        if others := _names(found) - _EMPTY:
            self._refuse_files(others)
        if self._private and not found.private:
            hint = f"make it private at {self.url}/settings, or choose another name"
            refuse_output(self.name, "the repository is there, and public", hint)
        self._head = found.sha

    def still_there(self, sent: Sequence[tuple[str, str]]) -> list[bool]:
        """Return which shards the Hub has by their SHA-256."""
        from huggingface_hub.lfs import post_lfs_batch_info

        wanted = [_info(receipt) for _, receipt in sent]
        answers, _, _ = self._done(
            lambda: post_lfs_batch_info(wanted, None, "model", self.name.id, endpoint=hub_endpoint())
        )
        there = {answer["oid"] for answer in answers if "upload" not in (answer.get("actions") or {})}
        return [info.sha256.hex() in there for info in wanted]

    def send(self, name: str, file: Path, on_bytes: Callable[[int], object]) -> str:
        """Send a file that is too large for a commit; return its SHA-256 and size."""
        operation = self.sent(name, file)
        info = operation.upload_info
        if not operation._is_uploaded:
            hint = "its .gitattributes and .gitignore must be those of a new repository"
            refuse_output(self.name, f"the repository does not keep `{name}` as a large file", hint)
        on_bytes(info.size)
        return f"{info.sha256.hex()} {info.size}"

    def sent(self, name: str, file: Path) -> Any:  # noqa: ANN401 - a part of a commit
        """Send a file if it is too large for a commit; return the part of the commit that it is."""
        operation = self._hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(file))
        self._done(
            lambda: self._api.preupload_lfs_files(
                self.name.id,
                additions=[operation],
                revision=self.name.revision,
                num_threads=1,
                free_memory=False,
            )
        )
        return operation

    def commit(self, parts: Sequence[Any], message: str) -> str:
        """Make what was sent visible, all at once and on what `prepare` saw; return the commit."""
        made = self._done(
            lambda: self._api.create_commit(
                self.name.id,
                parts,
                commit_message=message,
                revision=self.name.revision,
                parent_commit=self._head,
            )
        )
        return str(made.oid)

    def complete(
        self,
        files: Sequence[tuple[str, Path]],
        sent: Sequence[tuple[str, str]],
        on_bytes: Callable[[int], object],
    ) -> None:
        """Commit the small files and what was sent."""
        parts = [self._known(name, receipt) for name, receipt in sent]
        for name, file in files:
            parts.append(self.sent(name, file))
            on_bytes(file.stat().st_size)
        self.commit(parts, "Add a soup made by soce")

    def _known(self, name: str, receipt: str) -> Any:  # noqa: ANN401 - a part of a commit
        """Return the part of a commit that a file is which was sent before, and is not here any more."""
        operation = self._hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=b"")
        operation.upload_info = _info(receipt)
        operation._upload_mode, operation._is_uploaded = "lfs", True
        return operation

    def _look(self) -> Any | None:  # noqa: ANN401 - a description of it
        from huggingface_hub import errors

        try:
            return self._api.model_info(self.name.id, revision=self.name.revision)
        except (errors.RevisionNotFoundError, errors.RepositoryNotFoundError):
            return None

    def _made(self) -> Any:  # noqa: ANN401 - a description of it
        self._api.create_repo(self.name.id, private=self._private or None, exist_ok=True)
        found = self._look()
        if found is not None:
            return found
        # A branch begins where the repository does: what came later is not part of the soup.
        first = self._api.list_repo_commits(self.name.id)[-1].commit_id
        self._api.create_branch(self.name.id, branch=self.name.revision, revision=first)
        return self._api.model_info(self.name.id, revision=self.name.revision)

    def _done(self, work: Callable[[], Any]) -> Any:  # noqa: ANN401 - the client's
        with self._refusals(), quiet_client(), _without_bars(self._hub):
            return waited_for(work, give_up=_give_up)

    def _refuse_files(self, others: set[str]) -> NoReturn:
        where = "repository" if self.name.revision in {None, _MAIN} else "branch"
        message = f"the {where} holds files already: {listed(sorted(others), limit=5)}"
        refuse_output(self.name, message, "choose another name")

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Tell what the Hub, or the way to it, refuses; none of its texts: signatures may stand in them."""
        from httpx2 import HTTPError
        from huggingface_hub import errors

        try:
            yield
        except errors.HfHubHTTPError as error:
            self._tell(error.response.status_code)
        except errors.LocalTokenNotFoundError:
            self._tell(401)
        except errors.OfflineModeIsEnabled:
            refuse_output(self.name, "HF_HUB_OFFLINE is set", "unset it where there is a network")
        except (HTTPError, ConnectionError, TimeoutError, errors.LocalEntryNotFoundError):
            self._tell(0)
        except PermissionError as error:  # of the client of Xet storage
            if not type(error).__module__.startswith("hf_xet"):
                raise
            self._tell(403)
        except RuntimeError as error:  # of a thread that sends a file
            if not isinstance(cause := error.__cause__, HTTPError):
                raise
            self._tell(cause.response.status_code if isinstance(cause, errors.HfHubHTTPError) else 0)

    def _tell(self, status: int) -> NoReturn:
        match status:
            case 401 | 403:
                message = f"the Hub lets nobody write there (status {status})"
                hint = (
                    "log in with `hf auth login`, or set HF_TOKEN to a token that may write there; "
                    "private storage that is full is refused like this too"
                )
            case 409 | 412:
                message = "somebody else has just changed the repository"
                hint = AGAIN
            case 429:
                message = "the Hub limits how often it is asked"
                hint = f"wait, then {AGAIN}"
            case 0:
                message = f"{hub_endpoint()} cannot be reached"
                hint = f"check the network, then {AGAIN}"
            case _:
                message = f"the Hub failed (status {status})"
                hint = f"wait, then {AGAIN}"
        refuse_output(self.name, message, hint)


def _names(found: Any) -> set[str]:  # noqa: ANN401 - a description of a repository
    return {one.rfilename for one in found.siblings or ()}


def _info(receipt: str) -> Any:  # noqa: ANN401 - the client's
    """Return what the Hub knows a file by."""
    from huggingface_hub.lfs import UploadInfo

    digest, size = receipt.split()
    return UploadInfo(size=int(size), sample=b"", sha256=bytes.fromhex(digest))


def _client(name: HubName) -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        refuse_output(name, f"the Hub needs huggingface_hub ({error})", install("hub"))
    return huggingface_hub


def _give_up() -> None:
    """End what goes to Xet storage; a request of HTTP ends by itself, and what it sent is of no commit."""
    if "hf_xet" in sys.modules:
        from huggingface_hub.utils._xet import abort_xet_session

        abort_xet_session()  # type: ignore[no-untyped-call]


@contextmanager
def _without_bars(hub: Any) -> Iterator[None]:  # noqa: ANN401 - a module
    """Keep the client from drawing bars."""
    if hub.utils.are_progress_bars_disabled():
        yield
        return
    hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        hub.utils.enable_progress_bars()
