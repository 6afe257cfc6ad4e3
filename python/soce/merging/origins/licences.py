"""Under which licences ingredients stand, as far as their own files say. Nothing is guessed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.files.words import grouped, listed
from soce.merging.origins.front_matter import README, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from soce.files.parsing import Value

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
    "derivatives": ({"nd", "noderivatives", "noderivs"}, {"no", "derivatives"}),
    "commercial use": ({"nc", "noncommercial", "research", "amlr"}, {"non", "commercial"}),
}
"""What a licence forbids whose identifier or name has one of the first words, or all of the second."""
_ALSO: Final = {"derivatives": ": a soup is one", "commercial use": ", also of the soup"}
_COPYLEFT: Final = frozenset({"gpl", "agpl", "lgpl", "mpl", "epl", "eupl", "osl", "sa"})
"""Words of licences under which what is derived has to stand as well."""
_UNSPECIFIC: Final = frozenset({"other", "unknown"})


def _folded(text: str) -> str:
    """Return an identifier without what people write differently.

    Examples
    --------
    >>> _folded("Apache License 2.0") == _folded("apache-2.0"), _folded("GPL-3.0-only") == _folded("gpl-3.0")
    (True, True)
    >>> _folded("llama3") == _folded("llama3.1"), _folded("gpl-3.0+") == _folded("gpl-3.0")
    (False, False)
    """
    words = re.sub(r"\+$", "-or-later", text.lower())
    words = re.sub(r"\b(?:the|licen[cs]e|version|community|agreement|only)\b", "", words)
    return re.sub(r"\.0(?![0-9])", "", re.sub(r"[^a-z0-9.]+", "", words))


_HUB: Final = {
    _folded(identifier): identifier
    for identifier in (
        *("apache-2.0", "mit", "gpl-3.0", "agpl-3.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0"),
        *("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4", "gemma"),
    )
}
"""Identifiers of the Hub that are often written in other ways."""


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
    def key(self) -> str | None:
        """What two ingredients under one licence share, however they spell it; None: not known."""
        if self.identifier is None:
            return None
        return _folded(self.name if self.name and self.identifier in _UNSPECIFIC else self.identifier)

    @property
    def title(self) -> str:
        """Its identifier, and its own name if it has one."""
        if self.identifier is None:
            return "not known"
        return f"{self.identifier}, {self.name}" if self.name else self.identifier

    @property
    def forbids(self) -> tuple[str, ...]:
        """What it forbids, by the words in its title."""
        said = set(re.split(r"[^a-z0-9]+", self.title.lower()))
        return tuple(
            what
            for what, (single, together) in _FORBIDDEN.items()
            if self.identifier and (single & said or together <= said)
        )

    @property
    def has_own_terms(self) -> bool:
        """Whether only its text says what it allows."""
        return self.identifier is not None and (
            self.identifier.startswith(_OWN_TERMS) or self.identifier in _UNSPECIFIC
        )

    @property
    def is_copyleft(self) -> bool:
        """Whether what is derived has to stand under it as well."""
        return not _COPYLEFT.isdisjoint(re.split(r"[^a-z]+", (self.identifier or "").lower()))


def licence_of(ingredient: str, folder: Path, said: Mapping[str, Value]) -> Licence:
    """Return what README.md, or else the licence file, of an ingredient says.

    `said` is what `read_front_matter` found in the README.md. A licence file counts if it has an
    ``SPDX-License-Identifier``, or is the text of Apache 2.0 or MIT word for word; any other text is told to
    be there, and not understood.
    """
    if not os.path.isdir(folder):  # noqa: PTH112 - never raises
        return Licence(ingredient, "the files are not where they were")
    identifier = said.get("license")
    if isinstance(identifier, list) and len(identifier) == 1:
        (identifier,) = identifier
    if isinstance(identifier, str):
        known = _HUB.get(_folded(identifier), identifier.lower())
        if _IDENTIFIER.fullmatch(known):
            name, link = (_line(said.get(key)) for key in ("license_name", "license_link"))
            return Licence(ingredient, README, known, name, link)
    if identifier is not None:
        return Licence(ingredient, "the README.md names no licence that can be read")
    for name in _FILES:
        text = read_text(folder / name)
        if text is None:
            continue
        recognised = _recognised(text)
        where = name if recognised else f"the text in {name} is none that is known word for word"
        return Licence(ingredient, where, recognised)
    return Licence(ingredient, "the files name none")


def agreed(licences: Sequence[Licence]) -> Licence | None:
    """Return the licence that all ingredients have, or None."""
    first = licences[0]
    return first if first.key is not None and all(one.key == first.key for one in licences) else None


def licences_differ(licences: Sequence[Licence]) -> str | None:
    """Return the sentence on licences that differ; None if they do not, as far as they are known.

    A model without a card is the usual thing among one's own, and no difference.
    """
    if len({one.key for one in licences if one.key is not None}) < 2:
        return None
    said = []
    for one in licences:
        source = "README.md, license" if one.where == README else one.where
        terms = [f"forbids {what}" for what in one.forbids]
        terms += ["copyleft"] * one.is_copyleft + ["terms of its own"] * one.has_own_terms
        said.append((one.ingredient, f"{one.title} ({'; '.join([source, *terms])})"))
    return f"the ingredients' licences differ: {grouped(said)}; find out which one the soup may have"


def licence_warnings(licences: Sequence[Licence]) -> tuple[str, ...]:
    """Return what whoever publishes the soup should know, one sentence each."""
    unknown = [one for one in licences if one.identifier is None]
    known = [one for one in licences if one.identifier is not None]
    found = []
    for where in dict.fromkeys(one.where for one in unknown):
        names = [one.ingredient for one in unknown if one.where == where]
        found.append(f"no licence is known of {listed(names, limit=len(names))}: {where}")
    if differ := licences_differ(known):
        found.append(differ)
    found += [
        f"`{shown(one.ingredient)}` is under {one.title}, which forbids {what}{_ALSO[what]}"
        for one in known
        for what in one.forbids
    ]
    if own := [one for one in known if one.has_own_terms]:
        words = ", ".join(f"`{shown(one.ingredient)}` ({one.title})" for one in own)
        found.append(f"licences with terms of their own, which the soup inherits: {words}; read them")
    return tuple(found)


def _line(value: object) -> str | None:
    return shown(value.strip()) if isinstance(value, str) and value.strip() else None


def _recognised(text: str) -> str | None:
    """Return the identifier of a licence's text, by its own tag or word for word."""
    tag = _SPDX.search(text)
    if tag:
        return tag[1].lower()
    import hashlib  # a merge without a licence file need not wait for it

    words = re.sub(r"\s+", " ", text).strip()
    if words.startswith("Apache License") and "END OF TERMS AND CONDITIONS" in words:
        terms = words.partition("END OF TERMS AND CONDITIONS")[0]
        if hashlib.sha256(terms.encode()).hexdigest() == _APACHE:
            return "apache-2.0"
    terms = _MIT_HEAD.sub("", words)
    return "mit" if hashlib.sha256(terms.encode()).hexdigest() == _MIT else None
