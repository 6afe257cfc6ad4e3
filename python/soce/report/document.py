"""What a report is made of: sections of blocks, alike for HTML, Markdown and JSON. It draws nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Tone: TypeAlias = Literal["", "soup", "best", "soft", "warning"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table, or a fact: what people read, and what it stands for."""

    text: str
    value: object = None
    """A number, bool or list for JSON; None: the text itself."""
    tone: Tone = ""
    shade: float | None = None
    """Background: -1 is deep blue, 0 none, 1 deep red."""

    @property
    def is_number(self) -> bool:
        """Whether it stands right: a number, or a few of them."""
        values = self.value if isinstance(self.value, list) and len(self.value) == 2 else [self.value]
        return all(isinstance(one, (int, float)) and not isinstance(one, bool) for one in values)

    def to_json(self) -> object:
        """Return the value, the text if there is none; what is no finite number is null."""
        if isinstance(self.value, float) and not math.isfinite(self.value):
            return None
        return self.text if self.value is None else self.value


def cell(content: object, *, tone: Tone = "") -> Cell:
    """Return a cell of a text or a whole number as it is; None is an empty one."""
    if isinstance(content, Cell):
        return content
    if content is None:
        return Cell("", tone=tone)
    return Cell(str(content), content if isinstance(content, int) else None, tone)


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
    kind: Literal["information", "warning", "missing"] = "information"
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Names with values: as tiles if they are the figures that matter most, else as a list."""

    items: tuple[tuple[str, Cell, str], ...]
    """Name, value, remark."""
    style: Literal["tiles", "list"] = "list"


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a header; the first cell of a row is its heading."""

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    is_folded: bool = False
    """Closed until it is asked for; printed all the same."""

    @property
    def right(self) -> tuple[bool, ...]:
        """Which columns hold numbers, and stand right."""
        return tuple(
            any(row[place].is_number for row in self.rows if place < len(row))
            for place in range(len(self.header))
        )

    @classmethod
    def of(
        cls, caption: str, header: Sequence[str], rows: Sequence[Sequence[object]], *, is_folded: bool = False
    ) -> Table:
        """Return a table of cells, texts and whole numbers."""
        return cls(caption, tuple(header), tuple(tuple(cell(one) for one in row) for row in rows), is_folded)


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing, with words for those who do not see it."""

    name: str
    """Of the file it would be, unique in the report: ASCII letters, digits and hyphens."""
    title: str
    description: str
    """What it shows, with the numbers that matter."""
    draw: Callable[[int], str]
    """Width in pixels → SVG; called by the page only."""
    caption: str = ""
    is_half: bool = False
    """Whether two of it stand side by side on a wide page."""


@dataclass(frozen=True, slots=True)
class Code:
    """Lines to copy."""

    caption: str
    text: str


Block: TypeAlias = Text | Note | Facts | Table | Figure | Code


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the report."""

    anchor: str
    title: str
    blocks: tuple[Block, ...] = ()
    missing: tuple[str, ...] = ()
    """What it cannot show, and why: one sentence each."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """The numbers behind it, in plain Python, for JSON."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report that can be written in any format."""

    title: str
    subtitle: str
    verdict: str
    """One sentence."""
    tone: Literal["good", "bad", "open"]
    """Whether the soup beats what it must beat; ``open`` if that is not known, or not sure."""
    sections: tuple[Section, ...]
    version: str
    """Of soce."""

    def section(self, anchor: str) -> Section:
        """Return the section of that anchor."""
        return next(section for section in self.sections if section.anchor == anchor)

    def to_html(self) -> str:
        """Return one page that needs nothing beside it.

        Raises
        ------
        OutputError
            jinja2 or matplotlib is not installed.
        """
        from soce.report.page import page

        return page(self)

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own: its style is not the notebook's."""
        from html import escape

        return (
            f'<iframe title="{escape(self.title)}" sandbox="allow-scripts" srcdoc="{escape(self.to_html())}" '
            'style="width:100%;height:720px;border:1px solid rgba(128,128,128,.35)"></iframe>'
        )

    def to_markdown(self) -> str:
        """Return the same as Markdown; figures are described."""
        from soce.report.markdown import markdown

        return markdown(self)

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain Python for JSON, with the numbers behind every section."""
        from soce.report.data import data

        return data(self)
