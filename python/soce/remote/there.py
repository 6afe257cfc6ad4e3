"""Where soups can go that do not stay on this disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from soce.recipes.names import HubName
from soce.remote.destination import refuse_output

if TYPE_CHECKING:
    from soce.recipes.names import RemoteName
    from soce.remote.destination import Destination


def open_destination(name: RemoteName, *, private: bool) -> Destination:
    """Return where a soup is to go; nothing is asked there yet.

    Raises
    ------
    OutputError
        Soups cannot go there, or the client that could bring them is not installed.
    """
    if isinstance(name, HubName):
        from soce.remote.repository import Repository

        return Repository(name, private=private)
    if not name.is_store:
        refuse_output(name, "a web server takes no soups", "known are `hf://`, `s3://`, `gs://` and `az://`")
    if private:
        refuse_output(name, "`--private` is for repositories of the Hub", "the bucket says who may read it")
    from soce.remote.prefix import ObjectPrefix

    return ObjectPrefix(name)
