"""A canvas in pixels, and its drawing as SVG that follows the page: its colours, its font, its theme.

matplotlib is given colours that stand for the page's own; text stays text, so it can be searched, selected
and read aloud.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass, field
from io import StringIO
from typing import TYPE_CHECKING, Any, Final, Protocol
from xml.etree import ElementTree as ET

from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PROPERTIES: Final = (
    *("ink", "soft", "line", "paper", "soup", "uniform", "single"),
    *("positive", "negative", "faint"),
)
_NAMES: Final = {f"#{place:02x}00{place:02x}": name for place, name in enumerate(_PROPERTIES, 1)}
"""Colours no drawing would have by chance → custom properties of the page."""
INK, SOFT, LINE, PAPER, SOUP, UNIFORM, SINGLE, POSITIVE, NEGATIVE, FAINT = _NAMES
TEXT: Final = 12.5
SMALL: Final = 11.5
_STYLE: Final[Any] = {
    **dict.fromkeys(("text.color", "ytick.labelcolor"), INK),
    **dict.fromkeys(("axes.labelcolor", "xtick.labelcolor"), SOFT),
    **dict.fromkeys(("axes.edgecolor", "grid.color", "xtick.color", "ytick.color"), LINE),
    **dict.fromkeys(("axes.facecolor", "figure.facecolor", "savefig.facecolor"), "none"),
    **dict.fromkeys(("font.size", "ytick.labelsize"), TEXT),
    **dict.fromkeys(("axes.labelsize", "xtick.labelsize"), SMALL),
    **dict.fromkeys(("axes.linewidth", "grid.linewidth"), 1.0),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 0),
    "axes.unicode_minus": True,
    "font.family": "DejaVu Sans",  # wider than what pages use: what fits here fits there
    "svg.fonttype": "none",
    "text.parse_math": False,  # a name may hold dollar signs
    "text.usetex": False,
}
_SVG: Final = "http://www.w3.org/2000/svg"
_UNUSED: Final = {f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"}
"""Elements to leave out: a style would hold for the whole page."""
_XLINK: Final = "http://www.w3.org/1999/xlink"
_NUMBER: Final = re.compile(r"-?\d+\.\d{3,}")
_UPRIGHT: Final = ("rotate(0 ", "rotate(-0 ")
_REFERENCE: Final = re.compile(r'(?:href="|url\()#([^")]+)')
"""An id that another element refers to."""


@dataclass(slots=True)
class Canvas:
    """A figure whose unit is the pixel, with the origin at the upper left."""

    figure: Figure
    width: float
    height: float
    tips: dict[str, str] = field(default_factory=dict)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes at this place, without a frame."""
        bottom = 1 - (top + height) / self.height
        place = (left / self.width, bottom, width / self.width, height / self.height)
        axes = self.figure.add_axes(place)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_axisbelow(True)
        return axes

    def strip(self, axes: Axes, colours: Sequence[tuple[str, float]]) -> None:
        """Fill the axes with colours and how opaque they are, from left to right."""
        low, high = axes.get_xlim()
        step = (high - low) / len(colours)
        for place, (colour, alpha) in enumerate(colours):
            rectangle(axes, (low + place * step, 0), step, 1, facecolor=colour, alpha=alpha, linewidth=0)

    def write(self, x: float, y: float, text: str, **style: Any) -> None:  # noqa: ANN401
        """Write text at this place."""
        self.figure.text(x / self.width, 1 - y / self.height, text, **style)

    def dot(self, axes: Axes, at: tuple[float, float], *, tip: str = "", **style: Any) -> None:  # noqa: ANN401
        """Draw a dot at a place of the axes; its size and colours are keywords of `Axes.plot`."""
        (dot,) = axes.plot([at[0]], [at[1]], "o", **style)
        if tip:
            self.tip(dot, tip)

    def tip(self, artist: Artist, text: str) -> None:
        """Say more of a mark when it is pointed at."""
        name = f"tip-{len(self.tips)}"
        artist.set_gid(name)
        self.tips[name] = shown(text, limit=600)


class Drawing(Protocol):
    """What can be drawn at any width."""

    def height(self, width: float) -> float:
        """Return how high it is, in pixels."""

    def paint(self, canvas: Canvas) -> None:
        """Draw it."""


def svg(drawing: Drawing, width: float, *, name: str, title: str, description: str) -> str:
    """Return a drawing as an SVG element for a page, whose ids begin with `name`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    height = drawing.height(width)
    with mpl.rc_context(_STYLE), mpl.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph .* missing")  # the page's fonts have it
        canvas = Canvas(Figure(figsize=(width / 72, height / 72), dpi=72), width, height)
        drawing.paint(canvas)
        text = StringIO()
        canvas.figure.savefig(text, format="svg", metadata={"Date": None})
    return _for_page(text.getvalue(), name, canvas, title=title, description=description)


def rectangle(
    axes: Axes,
    at: tuple[float, float],
    width: float,
    height: float,
    **style: Any,  # noqa: ANN401
) -> Artist:
    """Draw a rectangle from its lower left corner."""
    from matplotlib.patches import Rectangle

    return axes.add_patch(Rectangle(at, width, height, **style))


def text_width(text: str, size: float = TEXT) -> float:
    """Return how wide a text is, in pixels; somewhat wider than in a page's font.

    Wide characters of East Asia, which the drawing's own font lacks, count as a square.
    """
    from unicodedata import east_asian_width

    return sum(size if east_asian_width(c) in "WF" else size * _EXTENT.get(c, 0.63) for c in text)


_EXTENT: Final = {
    **dict.fromkeys("ijl.,:;'|!ftrI ()[]-", 0.39),
    **dict.fromkeys("mwMW%@", 0.95),
    **dict.fromkeys("ABCDEFGHKNOPQRSTUVXYZ", 0.74),
}


def cut(text: str, width: float, size: float = TEXT) -> str:
    """Return a name made safe, and shortened so that it is at most so wide."""
    text = shown(text)
    if text_width(text, size) <= width + 0.5:  # of a column as wide as its widest text
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def widest(texts: Sequence[str], size: float = TEXT) -> float:
    """Return the width of the widest."""
    return max((text_width(shown(text), size) for text in texts), default=0.0)


def _for_page(text: str, name: str, canvas: Canvas, *, title: str, description: str) -> str:
    """Return matplotlib's SVG as an element of a page: its ids its own, its colours and fonts the page's."""
    root = ET.fromstring(text)  # what matplotlib has just written
    referred = set(_REFERENCE.findall(text))
    for element in list(root.iter()):
        for child in list(element):
            if child.tag in _UNUSED:
                element.remove(child)
        own = element.get("id", "")
        if own not in referred:
            element.attrib.pop("id", None)
        element.attrib = {
            key.removeprefix(f"{{{_XLINK}}}"): _attribute(key, value, name)
            for key, value in element.attrib.items()
            if not (element is root and key in {"width", "height"}) and not value.startswith(_UPRIGHT)
        }
        if own in canvas.tips:
            _describe(element, 0, "title", canvas.tips[own])
            element.set("class", "tip")
        if element.tag != f"{{{_SVG}}}text":
            element.text = (element.text or "").strip()
        element.tail = None
    _unwrap(root)
    root.set("viewBox", f"0 0 {canvas.width:g} {round(canvas.height, 2):g}")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-description")
    _describe(root, 0, "title", shown(title, limit=4000)).set("id", f"{name}-title")
    _describe(root, 1, "desc", shown(description, limit=4000)).set("id", f"{name}-description")
    ET.register_namespace("", _SVG)
    return ET.tostring(root, encoding="unicode")


def _describe(element: ET.Element, place: int, kind: str, words: str) -> ET.Element:
    label = ET.Element(f"{{{_SVG}}}{kind}")
    label.text = words
    element.insert(place, label)
    return label


def _attribute(key: str, value: str, name: str) -> str:
    """Return an attribute with the page's colours and fonts, short numbers, and ids of this drawing."""
    if key == "id":
        return f"{name}-{value}"
    if key.endswith("href") or "url(#" in value:
        value = value.replace("#", f"#{name}-", 1)
    for colour, variable in _NAMES.items():
        value = value.replace(colour, f"var(--{variable})")
    value = _NUMBER.sub(lambda number: f"{float(number.group()):.2f}", value)
    return _style(value) if key == "style" else value.replace("  ", "").strip()


def _style(text: str) -> str:
    """Leave the font's family to the page."""
    kept = []
    for entry in text.split(";"):
        key, _, value = (part.strip() for part in entry.partition(":"))
        if key == "font":
            size = re.search(r"[\d.]+px", value)
            kept.append(f"font-size: {size.group() if size else '12px'}")
            if "bold" in value or re.search(r"\b[6-9]00\b", value):
                kept.append("font-weight: 600")
        elif key not in {"font-family", ""}:
            kept.append(f"{key}: {value}")
    return "; ".join(kept)


def _unwrap(parent: ET.Element) -> None:
    """Remove groups that say nothing, which are most."""
    children = []
    for child in list(parent):
        _unwrap(child)
        children += list(child) if child.tag == f"{{{_SVG}}}g" and not child.attrib else [child]
    parent[:] = children
