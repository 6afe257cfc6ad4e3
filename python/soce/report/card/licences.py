"""Under which licences a soup's ingredients stand, as far as their own files say. Nothing is guessed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.words import listed
from soce.report.card.readme import README, read_text, split_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from soce.report.card.soup import Source

_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,99}")
_SPDX: Final = re.compile(r"^\W*SPDX-License-Identifier:\s*([A-Za-z0-9.+-]{1,100})\s*\W*$", re.MULTILINE)
_MIT_HEAD: Final = re.compile(
    r"\A(?:(?:The )?MIT License (?:\(MIT\) )?)?(?:Copyright [^:;]{1,120}? (?=Permission ))?"
)
_MIT: Final = "fe2a9817987f862eaced948f0468c7f51d2fedfc48c5c505b246a49a3870e9a5"
_APACHE: Final = "d5e4c8942091934e8f11f49efe6055366918b8034549dbfffc2e71a2c4f5de32"
"""SHA-256 of the terms, with single blanks."""
_FILES: Final = ("LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "LICENCE.md", "LICENCE.txt", "COPYING")
_OWN_TERMS: Final = (
    *("llama", "gemma", "openrail", "creativeml"),
    *("bigscience", "bigcode", "deepfloyd", "intel-research"),
)
"""Beginnings of licences that are not common: only their text says what they allow."""
_FORBIDDEN: Final = {
    "derivatives: a soup is one": ({"nd", "noderivatives", "noderivs"}, {"no", "derivatives"}),
    "commercial use, also of the soup": (
        {"nc", "noncommercial", "research", "amlr"},
        {"non", "commercial"},
    ),
}
"""What a licence forbids whose identifier or name has one of the first words, or all of the second."""
_UNSPECIFIC: Final = frozenset({"other", "unknown"})


@dataclass(frozen=True, slots=True)
class Licence:
    """What an ingredient's files say about its licence."""

    ingredient: str
    where: str
    """Which file says so, or why nothing is known."""
    identifier: str | None = None
    """As on the Hub, such as ``apache-2.0``; None: not known."""
    name: str | None = None
    """``license_name`` of a licence of its own."""
    link: str | None = None
    """``license_link`` of a licence of its own."""

    @property
    def key(self) -> tuple[str | None, str | None]:
        """What two ingredients under one licence share."""
        named = self.name.lower() if self.name else None
        return (self.identifier, named if self.identifier in _UNSPECIFIC else None)


def licence_of(source: Source) -> Licence:
    """Return what the ingredient's README.md, or else its licence file, says.

    A licence file counts if it has an ``SPDX-License-Identifier``, or is the text of Apache 2.0 or MIT word
    for word; any other text is told to be there, and not understood.
    """
    path = Path(source.path)
    if not path.exists():
        return Licence(source.name, "the files are not where they were")
    folder = path if path.is_dir() else path.parent
    said = split_head(read_text(folder / README) or "")[0] or {}
    identifier = said.get("license")
    if isinstance(identifier, list) and len(identifier) == 1:
        (identifier,) = identifier
    if isinstance(identifier, str) and _IDENTIFIER.fullmatch(identifier):
        name, link = (_line(said.get(key)) for key in ("license_name", "license_link"))
        return Licence(source.name, README, identifier.lower(), name, link)
    if identifier is not None:
        return Licence(source.name, "the README.md names no licence that can be read")
    for name in _FILES:
        text = read_text(folder / name)
        if text is None:
            continue
        known = _recognised(text)
        where = name if known else f"the text in {name} is none that is known word for word"
        return Licence(source.name, where, known)
    return Licence(source.name, "the files name none")


def agreed(licences: Sequence[Licence]) -> Licence | None:
    """Return the licence that all ingredients have, or None."""
    first = licences[0]
    same = first.identifier is not None and all(one.key == first.key for one in licences)
    return first if same else None


def warnings_of(licences: Sequence[Licence]) -> tuple[str, ...]:
    """Return what whoever publishes the soup should know, one sentence each."""
    unknown = [one for one in licences if one.identifier is None]
    known = [one for one in licences if one.identifier is not None]
    found = []
    for where in dict.fromkeys(one.where for one in unknown):
        names = [one.ingredient for one in unknown if one.where == where]
        found.append(f"no licence is known of {listed(names, limit=len(names))}: {where}")
    if len({one.key for one in known}) > 1:
        words = ", ".join(f"`{shown(one.ingredient)}` {_title(one)}" for one in known)
        found.append(f"the ingredients' licences differ: {words}; find out which one the soup may have")
    for one in known:
        said = set(re.split(r"[^a-z0-9]+", _title(one).lower()))
        for what, (single, together) in _FORBIDDEN.items():
            if single & said or together <= said:
                found.append(f"`{shown(one.ingredient)}` is under {_title(one)}, which forbids {what}")
    own = [
        one for one in known if str(one.identifier).startswith(_OWN_TERMS) or one.identifier in _UNSPECIFIC
    ]
    if own:
        words = ", ".join(f"`{shown(one.ingredient)}` ({_title(one)})" for one in own)
        found.append(f"licences with terms of their own, which the soup inherits: {words}; read them")
    return tuple(found)


def _title(licence: Licence) -> str:
    return f"{licence.identifier}, {licence.name}" if licence.name else str(licence.identifier)


def _line(value: object) -> str | None:
    return shown(value.strip()) if isinstance(value, str) and value.strip() else None


def _recognised(text: str) -> str | None:
    """Return the identifier of a licence's text, by its own tag or word for word."""
    tag = _SPDX.search(text)
    if tag:
        return tag[1].lower()
    words = re.sub(r"\s+", " ", text).strip()
    if words.startswith("Apache License") and "END OF TERMS AND CONDITIONS" in words:
        terms = words.partition("END OF TERMS AND CONDITIONS")[0]
        if hashlib.sha256(terms.encode()).hexdigest() == _APACHE:
            return "apache-2.0"
    terms = _MIT_HEAD.sub("", words)
    return "mit" if hashlib.sha256(terms.encode()).hexdigest() == _MIT else None
