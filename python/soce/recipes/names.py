"""The names of ingredients: one grammar for paths, models of the Hub, object stores, the web, and adapters.

=====================================  ================================================================
``path/to/model``                      a directory or file of this machine; what exists wins
``org/model``, ``org/model@rev``       a model of the Hub, where no such path and no folder ``org`` is
``hf://org/model@rev/folder``          the same, said outright, or a folder of it, or one file
                                       ``….safetensors``; a slash in a revision is written ``%2F``
``s3://bucket/prefix``, ``gs://…``,    the objects under a prefix, or one object ``….safetensors``
``az://container/prefix``
``https://host/folder``                a folder that a web server has, or one file ``….safetensors``
``NAME+ADAPTER``                       any of these with an adapter, which is named in the same way
=====================================  ================================================================
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote, unquote, urlsplit

from soce.exceptions import OutputError, Problem, shown
from soce.files.arguments import expect_path
from soce.recipes.parts import refuse

if TYPE_CHECKING:
    from soce.files.atomic import PathText

SHARD: Final = ".safetensors"
_WORD: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
_REVISION: Final = r"[A-Za-z0-9_][\w./-]*"
_BARE: Final = re.compile(rf"(?P<id>{_WORD}(?:/{_WORD})?)(?:@(?P<revision>{_REVISION}))?", re.ASCII)
_HUB: Final = re.compile(
    rf"hf://(?:models/)?(?P<id>{_WORD}(?:/{_WORD})?)(?:@(?P<revision>refs/[a-z]+/[\w.-]+|[^/@?]+))?"
    r"(?:/(?P<folder>[^@?]*))?",
    re.ASCII,
)
_PAGE: Final = re.compile(
    rf"huggingface\.co/(?P<id>{_WORD}/{_WORD})(?:/(?:tree|blob|commit)/(?P<revision>[^/]+).*|/?)$", re.ASCII
)
"""Where a browser is that looks at a model; files themselves are below ``resolve``."""
_NO_MODELS: Final = frozenset({"datasets", "spaces", "buckets", "kernels"})
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)://")
_STORES: Final = frozenset({"s3", "gs", "az"})
_WEB: Final = frozenset({"https", "http"})
_KNOWN: Final = "known are `hf://`, `s3://`, `gs://`, `az://` and `https://`"
_FILES: Final = (SHARD, ".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class HubName:
    """A model of the Hugging Face Hub."""

    id: str
    """``org/model``; models of the first days have no organisation."""
    revision: str | None = None
    """Branch, tag or commit; None is ``main``."""
    folder: str = ""
    """A folder of the repository, with slashes, or one file ``….safetensors``."""

    def __str__(self) -> str:
        """Return the name that says outright what it is.

        Examples
        --------
        >>> str(HubName("org/model", "refs/pr/1", "unet")), str(HubName("org/model", "a/b"))
        ('hf://org/model@refs/pr/1/unet', 'hf://org/model@a%2Fb')
        """
        text = f"hf://{self.id}"
        if self.revision is not None:
            is_plain = re.fullmatch(r"refs/[a-z]+/[\w.-]+", self.revision, re.ASCII) is not None
            text += f"@{self.revision if is_plain else quote(self.revision, safe='')}"
        return f"{text}/{self.folder}" if self.folder else text


@dataclass(frozen=True, slots=True)
class WebName:
    """Objects of a store under a prefix, or a folder of a web server."""

    scheme: str
    """``s3``, ``gs``, ``az``, ``https`` or ``http``."""
    url: str
    """All of it, without a slash at its end."""

    @property
    def is_store(self) -> bool:
        """Whether it is in an object store."""
        return self.scheme in _STORES

    def __str__(self) -> str:
        """Return the name."""
        return self.url


RemoteName: TypeAlias = HubName | WebName


def is_url(text: str) -> bool:
    """Whether a name says outright that it is somewhere else: ``hf://…``, ``s3://…``.

    Examples
    --------
    >>> is_url("hf://org/model"), is_url("org/model"), is_url("C:/models")
    (True, False, False)
    """
    return _SCHEME.match(text) is not None


def bare_hub_name(text: str) -> HubName | None:
    """Return the model that ``org/model`` or ``org/model@revision`` names, if it can be one of the Hub."""
    found = _BARE.fullmatch(text)
    return None if found is None or text.endswith(_FILES) else HubName(found["id"], found["revision"])


def is_hub_name_here(text: str, folder: str = "") -> bool:
    """Whether a bare ``org/model`` is a model of the Hub: nothing is there, not even a folder ``org``."""
    found = bare_hub_name(text)
    if found is None or "/" not in found.id:
        return False
    owner = text.partition("/")[0]
    return not any(os.path.lexists(os.path.join(folder, place)) for place in (text, owner))  # noqa: PTH118


def remote_name(text: str) -> RemoteName | None:
    """Return what is named if it is not on this machine; None for a path.

    Raises
    ------
    RecipeError
        A URL that is none of the grammar's.

    Examples
    --------
    >>> remote_name("hf://org/model@v1/unet")
    HubName(id='org/model', revision='v1', folder='unet')
    >>> remote_name("s3://bucket/models/a/")
    WebName(scheme='s3', url='s3://bucket/models/a')
    >>> remote_name("./org/model") is None
    True
    """
    if is_url(text):
        return _named_by_url(text)
    return bare_hub_name(text) if is_hub_name_here(text) else None


def split_adapter(text: str, folder: str = "") -> tuple[str, str | None]:
    """Return the names of a checkpoint and of the adapter on top of it, None without one.

    What exists as a whole has no adapter, whatever it is called, nor has what begins with no checkpoint. Of
    several ``+`` the last one counts at which a path ends that exists, else at which one begins, else the
    last.

    Examples
    --------
    >>> split_adapter("org/base@v1+hf://org/lora"), split_adapter("org/c++"), split_adapter("+a")
    (('org/base@v1', 'hf://org/lora'), ('org/c++', None), ('+a', None))
    """

    def is_here(name: str) -> bool:
        return os.path.lexists(os.path.join(folder, name))  # noqa: PTH118

    if "+" not in text or is_here(text):
        return text, None
    found = [end for end, sign in enumerate(text) if sign == "+" and 0 < end < len(text) - 1]
    found = [end for end in found if text[end + 1] != "+" and text[end - 1] != "+"]
    here = [end for end in found if is_here(text[:end])]
    ends = here or [end for end in found if is_url(text[:end]) or is_hub_name_here(text[:end], folder)]
    if not ends:
        return text, None
    end = (here or [end for end in ends if is_here(text[end + 1 :])] or ends)[-1]
    return text[:end], text[end + 1 :]


def base_of(text: str) -> str:
    """Return an ingredient without the adapter on top of it: what has config, tokenizer and shards."""
    return split_adapter(text)[0]


def parts_of(text: str) -> tuple[str, ...]:
    """Return the names in that of an ingredient: its checkpoint, and the adapter if it has one."""
    return tuple(part for part in split_adapter(text) if part is not None)


def with_adapter(base: str, adapter: str | None) -> str:
    """Return the name of a checkpoint with an adapter on top, if there is one; raises `RecipeError` for two.

    Examples
    --------
    >>> with_adapter("path/base", "path/lora"), with_adapter("path/base", None)
    ('path/base+path/lora', 'path/base')
    """
    if adapter is None:
        return base
    text = f"{base}+{adapter}"
    if any(split_adapter(part)[1] is not None for part in (base, adapter)):
        hint = "average the adapters first, `soce-merge --adapters`, and put their soup on the base"
        refuse(f"`{shown(text)}` has several adapters on one base", hint)
    return text


def output_of(output: PathText) -> Path | RemoteName:
    """Return where a soup is to be: a path, unless a URL says outright that it is somewhere else."""
    expect_path(output, "output")
    text = os.fspath(output)
    return _named_by_url(text) if is_url(text) else Path(text)


def local_output(output: PathText, what: str) -> Path:
    """Return the path of an output of which there are none elsewhere; `what` they are begins the refusal."""
    expect_path(output, "output")
    text = os.fspath(output)
    if is_url(text):
        hint = "give a path, then publish what is there: `soce publish soup hf://org/name`"
        message = f"{what} are made on this disk"
        raise OutputError.of([Problem("output", _without_secrets(text), None, message, hint)])
    return Path(text)


def _named_by_url(text: str) -> RemoteName:
    scheme, _, rest = text.partition("://")
    told = shown(_without_secrets(text))
    if scheme == "hf":
        if rest.partition("/")[0] in _NO_MODELS:
            refuse(f"`{told}` is no model", "ingredients are models: `hf://org/model`")
        found = _HUB.fullmatch(text.rstrip("/"))
        parts = (found["folder"] or "").split("/") if found else [".."]
        if found is None or any(part in {".", ".."} for part in parts):
            refuse(f"`{told}` is no name of a model", "write `hf://org/model@revision/folder`")
        revision = None if found["revision"] is None else unquote(found["revision"])
        return HubName(found["id"], revision, "/".join(part for part in parts if part))
    if scheme not in _STORES | _WEB:
        lower = scheme.lower()
        meant = f"write `{lower}://`" if lower in {"hf"} | _STORES | _WEB else _KNOWN
        hint = f"write the path itself, `{shown(rest)}`" if lower == "file" else meant
        refuse(f"`{told}`: `{shown(scheme)}://` is not known", hint)
    where = urlsplit(text)
    if where.query or where.fragment or "@" in where.netloc:
        hint = "name the object itself, such as `s3://bucket/model`: soce signs it, and keeps no signature"
        refuse(f"`{told}` is given with a query, a fragment or a password, which names do not have", hint)
    if page := _PAGE.match(f"{where.netloc}{where.path}"):
        revision = f"@{page['revision']}" if page["revision"] else ""
        refuse(f"`{told}` is a page of the Hugging Face Hub", f"write `hf://{page['id']}{revision}`")
    path = where.path.strip("/")
    if not where.netloc or any(part in {"", ".", ".."} for part in (path.split("/") if path else ())):
        hint = f"write `{scheme}://{'host/folder' if scheme in _WEB else 'bucket/prefix'}`"
        refuse(f"`{told}` has no {'host' if scheme in _WEB else 'bucket'}, or an empty part", hint)
    return WebName(scheme, f"{scheme}://{where.netloc}{'/' if path else ''}{path}")


def _without_secrets(text: str) -> str:
    """Return a URL without password, query and fragment."""
    head, _, rest = text.partition("://")
    place = re.split(r"[?#]", rest, maxsplit=1)[0]
    host, slash, path = place.partition("/")
    return f"{head}://{host.rpartition('@')[2]}{slash}{path}"
