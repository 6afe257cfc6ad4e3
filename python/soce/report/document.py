"""What a report is made of: sections of blocks, alike for HTML, Markdown and JSON. It knows none of these."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from soce.exceptions import SoceError
from soce.files.plain import Plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from soce.report.cells import Cell
    from soce.report.figures.canvas import Drawing


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph. Words between backticks are code."""

    text: str
    soft: bool = False
    """Small print."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that a reader must not miss."""

    text: str
    kind: Literal["information", "warning"] = "information"
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with values: as tiles if they are the figures that matter most, else as a list."""

    items: Sequence[tuple[str, Cell, str]]
    """Name, value, remark."""
    style: Literal["tiles", "list"] = "list"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a header; the first cell of a row is its heading."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    is_folded: bool = False
    """Closed until it is asked for; printed all the same."""

    @property
    def right(self) -> tuple[bool, ...]:
        """Which columns hold numbers, and stand right."""
        return tuple(any(row[place].is_number for row in self.rows) for place in range(len(self.header)))


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing, with words for those who do not see it."""

    name: str
    """Of the file it would be, unique in the report: ASCII letters, digits and hyphens."""
    title: str
    description: str
    """What it shows, with the numbers that matter."""
    drawing: Drawing
    caption: str = ""
    is_half: bool = False
    """Whether two of it stand side by side on a wide page."""


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to copy."""

    caption: str
    text: str


@dataclass(frozen=True, slots=True)
class Quote(Plain):
    """A text of somebody, as it was written: no word of it is markup."""

    name: str
    """Who says it, or what it is."""
    text: str
    excerpt: str | None = None
    """What is shown until all is asked for, of a long one."""
    remark: str = ""
    after: str = ""
    """What to know of its end."""
    is_right: bool | None = None
    """None if neither can be said."""
    is_soup: bool = False


@dataclass(frozen=True, slots=True)
class Quotes(Plain):
    """A question with what several said to it."""

    title: str
    verdict: str
    """What came of it, in a few words."""
    tone: Literal["good", "bad"]
    asked: tuple[Quote, ...]
    said: tuple[Quote, ...]


Block: TypeAlias = Text | Note | Facts | Table | Figure | Code | Quotes


@dataclass(slots=True)
class Section:
    """A part of the report."""

    anchor: str
    title: str
    blocks: list[Block] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """What it cannot show, and why: one sentence each."""
    data: dict[str, Any] = field(default_factory=dict)
    """The numbers behind it, in plain Python, for JSON."""

    @contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Say why something is missing if it cannot be had, and go on."""
        try:
            yield
        except SoceError as error:
            self.missing.append(f"{what}: {error.problems[0].message}.")


@dataclass(frozen=True, slots=True)
class Document:
    """Sections under a head."""

    title: str
    subtitle: str
    verdict: str
    """One sentence."""
    tone: Literal["good", "bad", "open"]
    """Whether the soup beats what it must beat; ``open`` if that is not known, or not sure."""
    sections: Sequence[Section]
    version: str
    """Of soce."""
    caution: str | None = None
    """One sentence that must be read before the verdict."""

    def section(self, anchor: str) -> Section:
        """Return the section of that anchor."""
        return next(section for section in self.sections if section.anchor == anchor)
