"""What changes only how a cell or a name looks: Markdown, HTML, LaTeX, medals."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

LONGEST: Final = 2000
ARROWS: Final = "↑↓⬆⬇▲▼△▽🔺🔻🔼🔽"
_TELLING_SYMBOLS: Final = frozenset(f"{ARROWS}🔟💯")
RAISED_DIGITS: Final = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_RAISED: Final = {ord(digit): raised for digit, raised in zip("0123456789", RAISED_DIGITS, strict=True)}
_SAME: Final[dict[int, str | None]] = {
    0x2212: "-",  # the minus sign
    **{wide: chr(wide - 0xFEE0) for wide in range(0xFF01, 0xFF5F)},  # full-width ASCII
    **dict.fromkeys([0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x2060, 0xFE0E, 0xFE0F, 0xFEFF]),  # no width
}
_QUOTES: Final = "\"'\u201c\u201d\u2018\u2019"

_SEAM: Final = "\0"
"""What is left where markup was, until it is known that no two numbers meet there."""
_SEAMED: Final = rf"{_SEAM}\1{_SEAM}"
_SEAMED_SECOND: Final = rf"{_SEAM}\2{_SEAM}"

_STRUCK: Final = re.compile(r"~~|</?(?:s|del|strike)(?:\s[^<>]*)?>|\\(?:sout|st)\b", re.IGNORECASE)
_BREAK: Final = re.compile(r"<br\s*/?>", re.IGNORECASE)
_RAISED_TAG: Final = re.compile(r"<(su[pb])>([^<>]*)</\1>", re.IGNORECASE)
_TAG: Final = re.compile(
    r"</?(?:a|abbr|b|big|center|code|div|em|font|i|img|ins|mark|p|small|span|strong|td|u)(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_LINK: Final = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\([^()\s]*\)[^()\s]*)?(?:\s+\"[^\"]*\")?\)")
_BOLD: Final = re.compile(r"(\*\*\*|\*\*|__|`)(?=\S)(.+?)(?<=\S)\1")
_SLANTED: Final = re.compile(r"(?<![\w*])([*_])(?=[^\s*_])([^*]*?)(?<=[^\s*_])\1(?![\w*])")
_TEX_SIGNS: Final = (
    (r"\\pm(?![A-Za-z])", "±"),
    (r"\\(?:textsuperscript|textsubscript)\b", lambda found: "^" if "super" in found[0] else "_"),
    (r"\\(?:d?dagger|ast|star)(?![A-Za-z])", "†"),
    (r"\\(?:bf|bfseries|it|em|boldmath|displaystyle)(?![A-Za-z])\s*|\\[,;! ]", ""),
    (r"\\%", "%"),
)
_TEX_WRAPPED: Final = re.compile(
    r"\\(?:text(?:bf|it|rm|sc|color\{[^{}]*\})|underline|emph|math(?:bf|rm|it)|bm|boldsymbol|uline)\s*\{([^{}]*)\}"
)
_TEX_RAISED: Final = re.compile(r"([_^])(?:\{([^{}]*)\}|(?<=\^)([*†‡\w]))")

_SIMPLE_NAME: Final = re.compile(r"[\w ./:()-]*", re.ASCII)


def clean_names(names: Sequence[str]) -> list[str]:
    """Return names without links, tags, bold and medals around them, where they stay different.

    Examples
    --------
    >>> clean_names(["🥇 **[org/a-7B](https://example.org/a)**", "b_c_d", "`e`", "e"])
    ['org/a-7B', 'b_c_d', '`e`', 'e']
    """
    cleaned = [_clean_name(name) for name in names]
    times = Counter(name.casefold() for name in cleaned)
    return [
        short if times[short.casefold()] == 1 else name for name, short in zip(names, cleaned, strict=True)
    ]


def _clean_name(text: str) -> str:
    if _SIMPLE_NAME.fullmatch(text) or len(text) > LONGEST:
        return text
    name = _unmarked(text.replace(_SEAM, "\ufffd"))
    slanted = re.fullmatch(r"\*([^*]+)\*", name)
    name = _without_ornaments(slanted[1] if slanted else name)
    return _unmarked(name) or text


def _unmarked(text: str) -> str:
    text = _LINK.sub(_SEAMED, _without_tags(text))
    return _joined(_BOLD.sub(_SEAMED_SECOND, text)).strip()


def undressed(text: str) -> str:
    """Return a cell without what changes only how it looks; two numbers that were apart do not become one."""
    text = html.unescape(text.replace(_SEAM, "\ufffd")).translate(_SAME)
    text = _LINK.sub(_SEAMED, _without_tags(_STRUCK.sub("", text)))
    text = _SLANTED.sub(_SEAMED_SECOND, _BOLD.sub(_SEAMED_SECOND, text))
    if "\\" in text or "$" in text or "{" in text:
        text = _without_tex(text)
    return _without_ornaments(_joined(text)).strip(_QUOTES)


def is_struck(text: str) -> bool:
    """Whether something in a cell is struck out."""
    return _STRUCK.search(text) is not None


def _joined(text: str) -> str:
    return re.sub(rf"(?<=[0-9.]){_SEAM}+(?=[0-9.])", " ", text).replace(_SEAM, "")


def _without_tags(text: str) -> str:
    if "<" not in text or (
        _TAG.search(text) is None and _RAISED_TAG.search(text) is None and "<br" not in text
    ):
        return text
    text = _RAISED_TAG.sub(lambda found: _beside(found[2], raised=found[1].lower() == "sup"), text)
    return html.unescape(_TAG.sub(_SEAM, _BREAK.sub(" ", text)))


def _without_tex(text: str) -> str:
    for sign, plain in _TEX_SIGNS:
        text = re.sub(sign, plain, text)
    text = re.sub(r"\$([^$]*)\$", _SEAMED, text)
    before = None
    while before != text:
        before, text = text, _TEX_WRAPPED.sub(_SEAMED, text)
    text = _TEX_RAISED.sub(lambda found: _beside(found[2] or found[3] or "", raised=found[1] == "^"), text)
    return re.sub(r"^\{([^{}]*)\}", r"\1", text.strip())


def _beside(text: str, *, raised: bool) -> str:
    """Return what stood above or below the line as it is written on it."""
    text = text.replace(_SEAM, "").strip()
    if "±" in text or "+/-" in text:
        return f" {text} "
    if not raised:
        return f" ({text}) "
    return text.translate(_RAISED) if text.isdecimal() else "†"


def _without_ornaments(text: str) -> str:
    """Return text without the medals and other pictures at its ends."""
    start, end = 0, len(text)
    while start < end and _is_ornament(text[start]):
        start += 1
    while start < end and _is_ornament(text[end - 1]):
        end -= 1
    return text[start:end]


def _is_ornament(character: str) -> bool:
    if character.isspace():
        return True
    return unicodedata.category(character) == "So" and character not in _TELLING_SYMBOLS
