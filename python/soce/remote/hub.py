"""Models of the Hugging Face Hub, by its own client, which has the tokens, the cache and the offline mode."""

from __future__ import annotations

from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from soce.files.extras import install
from soce.recipes.checkpoint_paths import hub_cache
from soce.recipes.names import SHARD
from soce.remote.host import RemoteShard, is_inside, refuse, shard_names, side_files
from soce.remote.hub_errors import hub_endpoint, hub_refusals

if TYPE_CHECKING:
    from types import ModuleType

    from soce.recipes.names import HubName

_LIBRARY: Final = "soce"


class HubModel:
    """One commit of a model: a `Host`.

    Looking at it downloads the small files into the client's own cache, as any other program would, and asks
    for sizes and digests of the others.
    """

    def __init__(self, name: HubName) -> None:
        self._hub = _client(name)
        self._name = name
        is_file = name.folder.endswith(SHARD)
        above, _, single = name.folder.rpartition("/") if is_file else (name.folder, "", "")
        self._inside = inside = f"{above}/" if above else ""
        with hub_refusals(name):
            api = self._hub.HfApi(endpoint=hub_endpoint(), library_name=_LIBRARY)
            info = api.model_info(name.id, revision=name.revision, files_metadata=True)
        self.commit = str(info.sha)
        self.origin = str(type(name)(name.id, self.commit, name.folder))
        self._files = {
            file.rfilename.removeprefix(inside): file
            for file in info.siblings
            if file.rfilename.startswith(inside) and is_inside(file.rfilename)
        }
        sizes = {file: found.size or 0 for file, found in self._files.items()}
        if (single and single not in sizes) or (inside and not sizes):
            kind = "file" if single else "folder"
            refuse(name, f"`{name.id}` has no {kind} `{name.folder}`", "check the spelling")
        if not any(file.endswith(SHARD) for file in sizes):
            hint = "it holds another format, which transformers can load and save as safetensors"
            refuse(name, "no safetensors files are there", hint)
        self._side_files = side_files(sizes)
        self.folder = self._fetch(self._side_files) / above
        self.path = self.folder / single
        wanted = [single] if single else shard_names(sizes, self.folder)
        absent = [one for one in wanted if not (self.folder / one).exists()]
        self.shards = tuple(self._shard(one) for one in absent)

    def url(self, shard: str) -> str:
        """Return where the Hub keeps a shard, signed for a while; tokens stay with the client."""
        file = f"{self._inside}{shard}"
        url = self._hub.hf_hub_url(self._name.id, file, revision=self.commit, endpoint=hub_endpoint())
        with hub_refusals(self._name):
            found = self._hub.get_hf_file_metadata(url, library_name=_LIBRARY, retry_on_errors=True)
        listed = self._files[shard]
        digest = None if listed.lfs is None else listed.lfs.sha256
        if found.commit_hash != self.commit or found.size != listed.size or digest not in {None, found.etag}:
            refuse(self._name, f"the Hub offers another `{shard}` than it lists", "try again")
        return str(found.location)

    def download(self) -> tuple[()]:
        """Put all shards into the cache: the client takes several at once, and shows how far it is."""
        self._fetch([*self._side_files, *(shard.name for shard in self.shards)])
        return ()

    def _fetch(self, names: list[str]) -> Path:
        """Return the snapshot in the cache, with files of it that are fetched unless they are there."""
        patterns = [escape(f"{self._inside}{name}") for name in names] or ["/"]
        for revision in (self._name.revision, self.commit):  # the first leaves a note which commit it was
            with hub_refusals(self._name):
                found = Path(
                    self._hub.snapshot_download(
                        self._name.id,
                        revision=revision,
                        allow_patterns=patterns,
                        cache_dir=hub_cache(),
                        endpoint=hub_endpoint(),
                        library_name=_LIBRARY,
                        tqdm_class=_bars(),
                    )
                )
            if found.name == self.commit:  # else the branch has moved meanwhile
                break
        return found

    def _shard(self, name: str) -> RemoteShard:
        file = self._files[name]
        digest = file.blob_id if file.lfs is None else file.lfs.sha256
        return RemoteShard(name, file.size or 0, None, f"{self.commit} {digest}")


def _client(name: HubName) -> ModuleType:
    try:
        import huggingface_hub
    except ImportError as error:
        refuse(name, f"models of the Hub need huggingface_hub ({error})", install("hub"))
    return huggingface_hub


def _bars() -> type:
    """Return the client's bars, shown on terminals only."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *args: Any, **settings: Any) -> None:  # noqa: ANN401 - tqdm's
            super().__init__(*args, **{"disable": None, **settings})  # type: ignore[no-untyped-call]

    return Bar
