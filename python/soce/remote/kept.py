"""Where the files of checkpoints lie that are in no cache of another program."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from soce.files.atomic import staged
from soce.files.cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from soce.recipes.names import WebName
    from soce.remote.transfer import Transfer


def kept_folder(name: WebName, versions: Mapping[str, str]) -> Path:
    """Return the folder of a checkpoint in the user's cache, another one for each version of its files."""
    where = urlsplit(name.url)
    version = hashlib.sha256(json.dumps(sorted(versions.items())).encode()).hexdigest()[:12]
    place = [where.netloc.replace(":", "_"), *where.path.strip("/").split("/")]
    return cache_folder("remote", name.scheme, *filter(None, place), version)


def keep(path: Path, pieces: Iterable[bytes], size: int, transfer: Transfer) -> None:
    """Write a file that appears whole or not at all, and count its bytes as they come.

    Raises
    ------
    EOFError
        Other than `size` bytes came.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with staged(path) as partial, partial.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            transfer.came(len(piece))
        if file.tell() != size:
            message = f"{file.tell()} of {size} bytes came"
            raise EOFError(message)
