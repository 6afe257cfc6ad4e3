"""HTML tables for notebooks, shared by every `_repr_html_`. Everything is escaped, nothing is fetched."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

# Only what both light and dark pages bear: no text colour, see-through backgrounds and lines.
_TABLE: Final = "border-collapse:collapse;font-variant-numeric:tabular-nums"
_CAPTION: Final = "caption-side:top;text-align:left;padding:4px 0"
_LINE: Final = "border:1px solid rgba(128,128,128,.35);padding:2px 6px;background:none"
_POSITIVE: Final = "178,24,43"
_NEGATIVE: Final = "33,102,172"
_LONGEST: Final = 2_000
"""Characters of a cell: what lint says may name many models, a name in a hostile file may be a novel."""


def html_table(
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    caption: str | None = None,
    shades: Sequence[Sequence[float | None]] | None = None,
) -> str:
    """Return a table as HTML, readable on light and on dark pages.

    Parameters
    ----------
    header : sequence of str
        Column headings.
    rows : sequence of sequences
        Cells; numbers stand right, None is an empty cell, anything else is text. The first cell of a row is
        its heading.
    caption : str, optional
        Stands above the table.
    shades : sequence of sequences of float, optional
        Background of each cell behind the first: -1 is deep blue, 0 none, 1 deep red; None is none.

    Returns
    -------
    str

    Examples
    --------
    >>> "&lt;b&gt;" in html_table(["model"], [["<b>"]])
    True
    """
    parts = [f'<table style="{_TABLE}">']
    if caption is not None:
        parts.append(f'<caption style="{_CAPTION}">{_text(caption)}</caption>')
    cells = "".join(
        f'<th scope="col" style="{_LINE};text-align:{"right" if _is_numeric(rows, place) else "left"}">'
        f"{_text(name)}</th>"
        for place, name in enumerate(header)
    )
    parts.append(f"<thead><tr>{cells}</tr></thead><tbody>")
    for number, row in enumerate(rows):
        cells = ""
        for place, cell in enumerate(row):
            align = "right" if isinstance(cell, (int, float)) else "left"
            shade = None if shades is None or place == 0 else shades[number][place - 1]
            if place == 0:
                cells += (
                    f'<th scope="row" style="{_LINE};text-align:left;font-weight:normal">{_text(cell)}</th>'
                )
            else:
                cells += f'<td style="{_LINE};text-align:{align}{_background(shade)}">{_text(cell)}</td>'
        parts.append(f"<tr>{cells}</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


def _text(cell: object) -> str:
    return "" if cell is None else escape(shown(str(cell), limit=_LONGEST))


def _is_numeric(rows: Sequence[Sequence[object]], place: int) -> bool:
    cells = [row[place] for row in rows if place < len(row) and row[place] is not None]
    return bool(cells) and all(isinstance(cell, (int, float)) for cell in cells)


def _background(shade: float | None) -> str:
    # Half transparent at most: the page's own text colour stays readable on it.
    if shade is None or shade != shade:
        return ""
    colour = _POSITIVE if shade > 0 else _NEGATIVE
    return f";background:rgba({colour},{min(abs(shade), 1.0) * 0.45:.2f})"
