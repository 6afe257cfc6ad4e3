"""What can go wrong between here and the Hub, each in one line with what mends it."""

from __future__ import annotations

import logging
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NoReturn

from soce.exceptions import shown
from soce.remote.host import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from soce.recipes.names import HubName


def hub_endpoint() -> str:
    """Return the address of the Hub, or of what HF_ENDPOINT puts in its place."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


class _Quiet:
    """Keeps warnings of the client's log away while anybody, on any thread, is in a call of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._level = logging.NOTSET

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            log = logging.getLogger("huggingface_hub")
            if self._inside == 1:
                self._level = log.level
                if log.level == logging.WARNING:  # what it is unless somebody wants to hear more, or less
                    log.setLevel(logging.ERROR)

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                logging.getLogger("huggingface_hub").setLevel(self._level)


_QUIET: Final = _Quiet()


@contextmanager
def quiet_client() -> Iterator[None]:
    """Keep the client from telling of each try: what fails in the end is told once, by soce."""
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()


@contextmanager
def hub_refusals(name: HubName) -> Iterator[None]:
    """Tell what the Hub, or the way to it, refuses; no text of its answers, in which signatures may stand."""
    from httpx2 import HTTPError
    from huggingface_hub.errors import EntryNotFoundError

    try:
        with quiet_client():
            yield
    except (HTTPError, EntryNotFoundError, ConnectionError) as error:
        _tell(name, error)


def _tell(name: HubName, error: BaseException) -> NoReturn:
    import httpx2
    from huggingface_hub import errors

    cause = error.__cause__
    if isinstance(error, errors.LocalEntryNotFoundError) and cause is not None:
        _tell(name, cause)  # it looked into the cache because of what went wrong first
    endpoint = hub_endpoint()
    where, fetch = f"{endpoint}/{name.id}", f"`hf download {name.id}{_revision(name)}`"
    status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else None
    match error:
        case errors.GatedRepoError():
            hint = f"accept its licence at {where}, and log in with `hf auth login` or HF_TOKEN"
            refuse(name, "is gated, and this account has no access to it", hint)
        case errors.RevisionNotFoundError():
            hint = f"see its branches and tags at {where}"
            refuse(name, f"`{name.id}` has no revision `{shown(name.revision or 'main')}`", hint)
        case errors.RepositoryNotFoundError():
            hint = "check the spelling; of a private model, log in with `hf auth login` or HF_TOKEN"
            refuse(name, f"there is no such path here, and no public model `{name.id}` on the Hub", hint)
        case errors.OfflineModeIsEnabled():
            hint = f"unset HF_HUB_OFFLINE, or fetch it where there is a network: {fetch}"
            refuse(name, "is not whole in the cache, and HF_HUB_OFFLINE is set", hint)
        case errors.EntryNotFoundError():
            refuse(name, "a file of it is not there any more", "run this again")
        case errors.HfHubHTTPError() if status == 429:
            hint = "wait, or log in with `hf auth login` or HF_TOKEN: accounts may ask more often"
            refuse(name, f"the Hub limits how often it is asked{_wait(error.response.headers)}", hint)
        case errors.HfHubHTTPError() if status in {401, 403}:
            hint = "log in with `hf auth login`, or set HF_TOKEN to a token that may read it"
            refuse(name, f"the Hub refuses access (status {status})", hint)
        case errors.HfHubHTTPError():
            refuse(
                name, f"the Hub failed (status {status})", "try again later; https://status.huggingface.co"
            )
        case httpx2.TimeoutException():
            hint = "try again; HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT are seconds to wait"
            refuse(name, f"{endpoint} does not answer in time", hint)
        case _:
            hint = f"check the network; where there is one, {fetch} fetches it"
            refuse(name, f"is not whole in the cache, and {endpoint} cannot be reached", hint)


def _revision(name: HubName) -> str:
    return f" --revision {name.revision}" if name.revision else ""


def _wait(headers: Mapping[str, str]) -> str:
    from huggingface_hub.utils._http import parse_ratelimit_headers

    found = parse_ratelimit_headers(headers)
    return "" if found is None else f"; the next {found.reset_in_seconds} seconds nothing is answered"
