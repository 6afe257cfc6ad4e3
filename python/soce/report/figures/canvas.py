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

from soce.exceptions import OutputError, Problem, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK: Final = "#010001"
SOFT: Final = "#020002"
LINE: Final = "#030003"
PAPER: Final = "#040004"
SOUP: Final = "#050005"
UNIFORM: Final = "#060006"
SINGLE: Final = "#070007"
POSITIVE: Final = "#080008"
NEGATIVE: Final = "#090009"
FAINT: Final = "#0a000a"
_NAMES: Final = dict(
    zip(
        (INK, SOFT, LINE, PAPER, SOUP, UNIFORM, SINGLE, POSITIVE, NEGATIVE, FAINT),
        ("ink", "soft", "line", "paper", "soup", "uniform", "single", "positive", "negative", "faint"),
        strict=True,
    )
)
"""Colours no drawing would have by chance → custom properties of the page."""
TEXT: Final = 12.5
SMALL: Final = 11.5
_STYLE: Final[Any] = {
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.labelsize": SMALL,
    "axes.linewidth": 1.0,
    "axes.facecolor": "none",
    "axes.unicode_minus": True,
    "figure.facecolor": "none",
    "font.family": "DejaVu Sans",  # wider than what pages use: what fits here fits there
    "font.size": TEXT,
    "grid.color": LINE,
    "grid.linewidth": 1.0,
    "savefig.facecolor": "none",
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a name may hold dollar signs
    "text.usetex": False,
    "xtick.color": LINE,
    "xtick.labelcolor": SOFT,
    "xtick.labelsize": SMALL,
    "xtick.major.size": 0,
    "ytick.color": LINE,
    "ytick.labelcolor": INK,
    "ytick.labelsize": TEXT,
    "ytick.major.size": 0,
}
_SVG: Final = "http://www.w3.org/2000/svg"
_XLINK: Final = "http://www.w3.org/1999/xlink"
_NUMBER: Final = re.compile(r"-?\d+\.\d{3,}")
_UPRIGHT: Final = re.compile(r' transform="rotate\(-?0 [^)]*\)"')
_BLANKS: Final = re.compile(r">\s+<")


@dataclass(slots=True)
class Canvas:
    """A figure whose unit is the pixel, with the origin at the upper left."""

    figure: Figure
    width: float
    height: float
    tips: dict[str, str] = field(default_factory=dict)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return axes at this place, without a frame."""
        axes = self.figure.add_axes(
            (
                left / self.width,
                1 - (top + height) / self.height,
                width / self.width,
                height / self.height,
            )
        )
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_axisbelow(True)
        return axes

    def write(
        self,
        x: float,
        y: float,
        text: str,
        *,
        size: float = TEXT,
        color: str = INK,
        **style: Any,  # noqa: ANN401
    ) -> None:
        """Write text at this place."""
        self.figure.text(x / self.width, 1 - y / self.height, text, fontsize=size, color=color, **style)

    def dot(
        self,
        axes: Axes,
        at: tuple[float, float],
        size: float,
        *,
        face: str,
        edge: str | None = None,
        edge_width: float = 0,
        tip: str = "",
        **style: Any,  # noqa: ANN401
    ) -> None:
        """Draw a dot, `size` pixels wide, at a place of the axes."""
        (dot,) = axes.plot(
            [at[0]],
            [at[1]],
            "o",
            markersize=size,
            markerfacecolor=face,
            markeredgecolor=edge or face,
            markeredgewidth=edge_width,
            **style,
        )
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
    """Return a drawing as an SVG element for a page.

    Parameters
    ----------
    drawing : Drawing
    width : float
        In pixels.
    name : str
        Begins every id, so that two drawings of a page share none.
    title, description : str
        For those who do not see it.

    Raises
    ------
    OutputError
        matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        message = f"drawing needs matplotlib: {shown(str(error))}"
        raise OutputError.of(
            [Problem("output", None, None, message, "pip install 'soce[report]'")]
        ) from error
    height = drawing.height(width)
    with mpl.rc_context(_STYLE), mpl.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph .* missing")  # the page's fonts have it
        canvas = Canvas(Figure(figsize=(width / 72, height / 72), dpi=72), width, height)
        drawing.paint(canvas)
        text = StringIO()
        canvas.figure.savefig(text, format="svg", metadata={"Date": None})
    return _for_page(text.getvalue(), name, canvas, title=title, description=description)


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
    root = ET.fromstring(text)  # what matplotlib has just written
    for element in root.findall(f"{{{_SVG}}}metadata"):
        root.remove(element)
    _drop_styles(root)
    referred = _prefix_ids(root, name)
    for element in root.iter():
        own = element.get("id", "")
        tip = canvas.tips.get(own.removeprefix(f"{name}-"))
        if tip is not None:
            label = ET.Element(f"{{{_SVG}}}title")
            label.text = tip
            element.insert(0, label)
            element.set("class", "tip")
        if own not in referred:
            element.attrib.pop("id", None)
        _restyle(element)
    _unwrap(root)
    for key in ("width", "height"):
        root.attrib.pop(key, None)
    root.set("viewBox", f"0 0 {canvas.width:g} {canvas.height:g}")
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-description")
    for place, (kind, words) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(f"{{{_SVG}}}{kind}")
        element.set("id", f"{name}-{'title' if kind == 'title' else 'description'}")
        element.text = shown(words, limit=4000)
        root.insert(place, element)
    ET.register_namespace("", _SVG)
    found = ET.tostring(root, encoding="unicode")
    for colour, variable in _NAMES.items():
        found = found.replace(colour, f"var(--{variable})")
    found = _NUMBER.sub(lambda number: f"{float(number.group()):.2f}", found)
    return _BLANKS.sub("><", _UPRIGHT.sub("", found)).replace(" z ", "z").replace("  ", "")


def _drop_styles(root: ET.Element) -> None:
    """Take matplotlib's style element out: it would hold for the whole page."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{{{_SVG}}}style":
                parent.remove(child)


def _prefix_ids(root: ET.Element, name: str) -> set[str]:
    """Make ids the drawing's own; return those that something refers to."""
    referred: set[str] = set()
    for element in root.iter():
        if "id" in element.attrib:
            element.set("id", f"{name}-{element.get('id')}")
        for key, value in list(element.attrib.items()):
            if key == f"{{{_XLINK}}}href" and value.startswith("#"):
                del element.attrib[key]
                element.set("href", f"#{name}-{value[1:]}")
                referred.add(f"{name}-{value[1:]}")
            elif "url(#" in value:
                target = value.partition("url(#")[2].partition(")")[0]
                element.set(key, value.replace(f"url(#{target})", f"url(#{name}-{target})"))
                referred.add(f"{name}-{target}")
    return referred


def _restyle(element: ET.Element) -> None:
    """Leave the font's family to the page, and lines with round ends and joins."""
    style = element.get("style")
    if not style:
        return
    kept = []
    for entry in style.split(";"):
        key, _, value = (part.strip() for part in entry.partition(":"))
        if key == "font":
            size = re.search(r"[\d.]+px", value)
            kept.append(f"font-size: {size.group() if size else '12px'}")
            if "bold" in value or re.search(r"\b[6-9]00\b", value):
                kept.append("font-weight: 600")
        elif key not in {"font-family", ""}:
            kept.append(f"{key}: {value}")
    element.set("style", "; ".join(kept))


def _unwrap(root: ET.Element) -> None:
    """Remove groups that say nothing, which are most."""
    for parent in list(root.iter()):
        changed = True
        while changed:
            changed = False
            for place, child in enumerate(list(parent)):
                if child.tag == f"{{{_SVG}}}g" and not child.attrib:
                    children = list(child)
                    parent.remove(child)
                    for offset, grandchild in enumerate(children):
                        parent.insert(place + offset, grandchild)
                    changed = True
                    break
