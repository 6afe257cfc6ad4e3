"""A report as one HTML page: style, script and drawings inside, nothing fetched, every name escaped."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Final

from soce.exceptions import OutputError, Problem, shown
from soce.files.extras import install
from soce.report.figures.canvas import svg
from soce.report.markdown import visible_lines

if TYPE_CHECKING:
    from markupsafe import Markup

    from soce.report.cells import Cell
    from soce.report.document import Block, Document, Figure

WIDE: Final = 720
NARROW: Final = 340
"""Pixels; a page shows one of two drawings of a figure, so that text is readable on a phone as well."""
_LONGEST: Final = 20_000
_MOST: Final = 32
"""Characters of code that is kept on one line."""
_CODE: Final = "<code>{}</code>"
_LONG: Final = '<code class="long">{}</code>'


def page(report: Document) -> str:
    """Return a whole HTML document; the same report gives the same text with the same matplotlib."""
    check_renderers()
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    environment = Environment(
        autoescape=True,
        loader=FunctionLoader(_source),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"words": words, "visible": visible, "lines": visible_lines}
    environment.globals |= {"kind_of": _kind_of, "draw": _draw, "cell_class": _cell_class}
    style, script = _source("style.css"), _source("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # Nothing but this style and this script: a page that is opened from a disk can be trusted as a picture.
    policy = (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"script-src 'sha256-{digest}'"
    )
    return environment.get_template("page.html.j2").render(
        report=report, policy=policy, wide=WIDE, narrow=NARROW, style=_trusted(style), script=_trusted(script)
    )


def check_renderers() -> None:
    """Raise `OutputError` if jinja2 or matplotlib is not installed."""
    try:
        import jinja2  # noqa: F401
        import matplotlib as mpl  # noqa: F401
    except ImportError as error:
        message = f"an HTML report needs jinja2 and matplotlib: {shown(str(error))}"
        hint = f"{install('report')}, or write Markdown or JSON"
        raise OutputError.of([Problem("output", None, None, message, hint)]) from error


def words(text: str) -> Markup:
    """Return text as HTML: all of it escaped, what stands between backticks as code."""
    from markupsafe import Markup, escape

    pieces = visible(text).split("`")
    if len(pieces) % 2 == 0:  # a backtick of a name
        return escape("`".join(pieces))
    return Markup("").join(
        Markup(_LONG if len(piece) > _MOST else _CODE).format(piece) if place % 2 else escape(piece)
        for place, piece in enumerate(pieces)
    )


def visible(text: str) -> str:
    """Return text without characters that hide or turn others."""
    return shown(text, limit=_LONGEST)


def _source(name: str) -> str:
    return files("soce.report").joinpath("templates", name).read_text(encoding="utf-8")


def _trusted(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)  # our own files and drawings, in which matplotlib escapes


def _kind_of(block: Block) -> str:
    return type(block).__name__.lower()


def _draw(figure: Figure, width: int) -> Markup:
    name = f"{figure.name}-{width}"
    return _trusted(svg(figure.drawing, width, name=name, title=figure.title, description=figure.description))


def _cell_class(cell: Cell, is_right: bool) -> str:  # noqa: FBT001 - a template's call
    return " ".join(name for name in ("number" if is_right else "", cell.tone) if name)
