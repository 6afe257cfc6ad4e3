"""A report: a document that writes itself as HTML, as Markdown or as JSON."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from soce.exceptions import OutputError, Problem, shown
from soce.files.atomic import write_text
from soce.report.as_json import as_json
from soce.report.document import Document
from soce.report.markdown import markdown
from soce.report.page import page

if TYPE_CHECKING:
    import os

Format: TypeAlias = Literal["html", "markdown", "json"]

FORMATS: Final[dict[str, Format]] = {
    ".html": "html",
    ".htm": "html",
    ".md": "markdown",
    ".markdown": "markdown",
    ".json": "json",
}
"""Endings of files, and what is written into them."""


class Report(Document):
    """What `build_report` makes of a run."""

    __slots__ = ()

    def to_html(self) -> str:
        """Return one page that needs nothing beside it."""
        return page(self)

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own: its style is not the notebook's."""
        return (
            f'<iframe title="{escape(self.title)}" sandbox="allow-scripts" srcdoc="{escape(self.to_html())}" '
            'style="width:100%;height:720px;border:1px solid rgba(128,128,128,.35)"></iframe>'
        )

    def to_markdown(self) -> str:
        """Return the same as Markdown; figures are described."""
        return markdown(self)

    def to_json(self) -> dict[str, Any]:
        """Return the same as plain Python for JSON, with the numbers behind every section."""
        return as_json(self)

    def text(self, kind: Format) -> str:
        """Return it in that format."""
        if kind == "html":
            return self.to_html()
        if kind == "markdown":
            return self.to_markdown()
        # ASCII only: characters that hide or turn others are written as numbers.
        return json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"

    def write(self, path: str | os.PathLike[str], *, kind: Format | None = None) -> Path:
        """Write it to a file, which then is complete or as it was before; its ending may say the format."""
        target = Path(path)
        write_text(target, self.text(kind or format_of(target)))
        return target


def format_of(path: str | os.PathLike[str]) -> Format:
    """Return the format that a file's ending tells."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        what = f"a `{shown(suffix)}` file" if suffix else "a file without an ending"
        hint = "end the name in .html, .md or .json, or give `--format`"
        raise OutputError.of([Problem("output", str(path), None, f"a report is not written as {what}", hint)])
    return FORMATS[suffix]
