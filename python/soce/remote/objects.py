"""Checkpoints in S3, Google Cloud Storage and Azure, by obstore, which has the credentials."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NoReturn, Protocol

from soce.files.extras import install
from soce.files.words import listed
from soce.recipes.names import SHARD
from soce.remote.host import DESCRIPTIONS, RemoteShard, is_inside, refuse, shard_names, side_files
from soce.remote.kept import keep, kept_folder
from soce.remote.transfer import Transfer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

    from soce.recipes.names import WebName

_VALID_FOR: Final = timedelta(hours=1)
_CREDENTIALS: Final = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL of a store of your own",
    "gs": "GOOGLE_SERVICE_ACCOUNT, or run `gcloud auth application-default login`",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


class Refuse(Protocol):
    """Raises the error of one problem: of an ingredient, or of an output."""

    def __call__(self, name: object, message: str, hint: str | None = None) -> NoReturn:  # noqa: D102
        ...


class ObjectFolder:
    """The objects under a prefix, each by its ETag and version: a `Host`."""

    def __init__(self, name: WebName) -> None:
        self._obstore = store_client(name)
        self._name = name
        bucket, _, self._prefix = name.url.partition("://")[2].partition("/")
        from obstore.store import from_url

        with store_refusals(name):
            self._store = from_url(f"{name.scheme}://{bucket}")
            self._objects = self._found()
        sizes = {file: int(found["size"]) for file, found in self._objects.items()}
        if not any(file.endswith(SHARD) for file in sizes):
            refuse(name, "no safetensors files are there", "check the spelling of bucket and prefix")
        if models := _models_below(sizes):
            hint = f"name one of them, such as `{name.url}/{models[0]}`"
            refuse(name, f"no safetensors files are there, but below it in {listed(models)}", hint)
        versions = {file: f"{found['size']} {_version(found)}" for file, found in self._objects.items()}
        self.origin = str(name)
        self.folder = kept_folder(name, versions)
        self.path = self.folder / (self._prefix.rpartition("/")[2] if self._prefix.endswith(SHARD) else "")
        self.folder.mkdir(parents=True, exist_ok=True)
        small = Transfer()
        small.run([partial(self._keep, file, small) for file in side_files(sizes)])
        absent = [one for one in shard_names(sizes, self.folder) if not (self.folder / one).exists()]
        self.shards = tuple(
            RemoteShard(one, sizes[one], self._objects[one]["e_tag"], _version(self._objects[one]))
            for one in absent
        )

    def url(self, shard: str) -> str:
        """Return a signed URL of a shard, good for an hour."""
        with store_refusals(self._name):
            return str(self._obstore.sign(self._store, "GET", self._objects[shard]["path"], _VALID_FOR))

    def download(self) -> list[Callable[[Transfer], None]]:
        """Return what puts each shard into the folder."""
        return [partial(self._keep, shard.name) for shard in self.shards]

    def _found(self) -> dict[str, Any]:
        if self._prefix.endswith(SHARD):
            return {self._prefix.rpartition("/")[2]: self._obstore.head(self._store, self._prefix)}
        batches = self._obstore.list(self._store, self._prefix or None)
        inside = f"{self._prefix}/" if self._prefix else ""
        named = {found["path"].removeprefix(inside): found for batch in batches for found in batch}
        return {file: found for file, found in named.items() if is_inside(file)}

    def _keep(self, file: str, transfer: Transfer) -> None:
        if (self.folder / file).exists():
            return
        found = self._objects[file]
        with store_refusals(self._name):
            answer = self._obstore.get(self._store, found["path"])
            if answer.meta["e_tag"] != found["e_tag"]:
                refuse(self._name, f"`{file}` changed while it was looked at", "try again")
            keep(self.folder / file, (bytes(piece) for piece in answer.stream()), found["size"], transfer)


def _models_below(files: Iterable[str]) -> list[str]:
    """Return the folders of shards where none are in the checkpoint's own, nor in parts that it names."""
    folders = {file.rpartition("/")[0] for file in files if file.endswith(SHARD)}
    return [] if "" in folders or DESCRIPTIONS.intersection(files) else sorted(folders)


def _version(found: Any) -> str:  # noqa: ANN401 - obstore's
    known = [found["e_tag"], found["version"]]
    return " ".join(map(str, filter(None, known))) or str(found["last_modified"])


def store_client(name: WebName, refuse: Refuse = refuse) -> ModuleType:
    """Return obstore, without which nothing can be read from a store or written there."""
    try:
        import obstore
    except ImportError as error:
        refuse(name, f"objects of a store need obstore ({error})", install("s3"))
    return obstore


@contextmanager
def store_refusals(name: WebName, refuse: Refuse = refuse) -> Iterator[None]:
    """Tell what a store refuses; no text of its own, in which signatures and keys may stand."""
    from obstore import exceptions

    credentials = f"credentials come from the environment: {_CREDENTIALS[name.scheme]}"
    try:
        yield
    except FileNotFoundError:
        refuse(name, "is not there", "check the spelling of bucket and prefix")
    except EOFError as error:
        refuse(name, f"the connection ended too early: {error}", "try again")
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        refuse(name, "access is refused", credentials)
    except exceptions.BaseError as error:
        text = str(error)
        if "NoSuchBucket" in text or "404" in text:
            refuse(name, "there is no such bucket", "check its spelling, and the region")
        if "403" in text or "401" in text or "redential" in text:
            refuse(name, "access is refused, or there are no credentials", credentials)
        if "429" in text or "503" in text or "SlowDown" in text:
            refuse(name, "the store limits how often it is asked", "try again later")
        if "error sending request" in text or "timed out" in text:
            refuse(name, "the store cannot be reached", f"check the network; {credentials}")
        refuse(name, f"the store failed ({type(error).__name__})", credentials)
