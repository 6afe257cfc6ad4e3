"""A report as Markdown: tables of GitHub's kind, figures in words. Names cannot become markup.

`code`, `plain` and `table` are for model cards as well.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown
from soce.report.document import Code, Facts, Figure, Note, Quotes, Table, Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from soce.report.document import Block, Document, Quote

_LONGEST: Final = 20_000
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>()#+!|~&$])")
_NUMBER: Final = re.compile(r"^(\d+)([.)])")


def markdown(report: Document) -> str:
    """Return the report."""
    lines = [f"# {_text(report.title)}", "", _text(report.subtitle), ""]
    lines += [] if report.caution is None else [f"**{_text(report.caution)}**", ""]
    lines += [f"**{_text(report.verdict)}**", ""]
    for section in report.sections:
        lines += [f"## {_text(section.title)}", ""]
        for reason in section.missing:
            lines += [f"> *Not shown:* {_text(reason)}", ""]
        for block in section.blocks:
            lines += [*_block(block), ""]
    lines += ["---", "", f"Made by soce {_text(report.version)} with `soce report`."]
    return "\n".join(lines) + "\n"


def _block(block: Block) -> list[str]:
    match block:
        case Text():
            return [_text(block.text)]
        case Note():
            lead = "**Warning:** " if block.kind == "warning" else ""
            hint = [] if block.hint is None else [">", f"> {_text(block.hint)}"]
            return [f"> {lead}{_text(block.text)}", *hint]
        case Facts():
            return [
                f"- {_text(name)}: **{_text(found.text)}**{f' ({_text(remark)})' if remark else ''}"
                for name, found, remark in block.items
            ]
        case Table():
            return [f"*{_text(block.caption)}*", "", *_table(block)]
        case Figure():
            caption = [f"  {_text(block.caption)}"] if block.caption else []
            return [f"*Figure: {_text(block.title)}.* {_text(block.description)}", *caption]
        case Code():
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", block.text)), default=0))
            body = "\n".join(shown(line, limit=_LONGEST) for line in block.text.splitlines())
            return [_text(block.caption), "", fence, *body.split("\n"), fence]
        case Quotes():
            rows = [_quote(one) for one in (*block.asked, *block.said)]
            return table(["", _escaped(shown(block.title)), block.verdict], rows, "lll")


def _table(block: Table) -> list[str]:
    rows = [
        [
            f"**{_text(one.text)}**" if one.tone in {"soup", "best"} and one.text else _text(one.text)
            for one in row
        ]
        for row in block.rows
    ]
    return table([_text(name) for name in block.header], rows, ("r" if side else "l" for side in block.right))


def _quote(one: Quote) -> list[str]:
    mark = {True: "\u2713", False: "\u2717", None: ""}[one.is_right]
    name = _escaped(shown(one.name))
    remark = f" ({_escaped(shown(one.remark))})" if one.remark else ""
    lines = [_escaped(line) for line in visible_lines(one.excerpt or one.text)]
    if one.after:
        lines.append(f"*{_escaped(one.after)}*")
    return [mark, f"**{name}**{remark}" if one.is_soup else f"{name}{remark}", "<br>".join(lines)]


def _text(text: str) -> str:
    """Return text of which no character is markup, but for words between backticks, which are code."""
    pieces = shown(text, limit=_LONGEST).split("`")
    if len(pieces) % 2 == 0:  # a backtick of a name: none of them is markup then
        return _escaped("`".join(pieces))
    return "".join(
        f"`{piece.replace('|', chr(92) + '|')}`" if place % 2 and piece.strip() else _escaped(piece)
        for place, piece in enumerate(pieces)
    )


def _escaped(text: str) -> str:
    # A number with a full stop at the start of a line would be a list.
    return _NUMBER.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", text))


def visible_lines(text: str) -> list[str]:
    r"""Return the lines of a text, without characters that hide or turn others.

    Examples
    --------
    >>> visible_lines("a\r\nb\tc")
    ['a', 'b   c']
    """
    lines = text.replace("\r\n", "\n").expandtabs(4).split("\n")
    return [shown(line, limit=_LONGEST) for line in lines]


def code(text: str) -> str:
    r"""Return text as a code span, in which Markdown and HTML mean nothing, also within a table.

    Examples
    --------
    >>> print(code("model-7B"), code("<b>"), code("a`|b"))
    `model-7B` <code>&#60;b&#62;</code> <code>a&#96;&#124;b</code>
    """
    safe = shown(text)
    if safe.strip() == safe != "" and not re.search(r"[`|\\<>&]", safe):
        return f"`{safe}`"
    # A backtick ends a span, a bar ends a cell of a table, a backslash may hide the bar's own, and some
    # readers take HTML for HTML even within a span: as numbers they are only characters, for all of them.
    numbers = (c if c.isalnum() or ord(c) > 127 else f"&#{ord(c)};" for c in safe or " ")
    return f"<code>{''.join(numbers)}</code>"


def plain(text: str) -> str:
    r"""Return text with everything escaped that Markdown or HTML would take as its own.

    Examples
    --------
    >>> print(plain("[a](b) <i>"))
    \[a\]\(b\) &lt;i&gt;
    """
    safe = shown(text, limit=2_000).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#|~!])", r"\\\1", safe)


def with_code(text: str) -> str:
    r"""Return text whose words between backticks are code, and everything else is plain.

    Examples
    --------
    >>> print(with_code("the model `a|b` [x]"))
    the model <code>a&#124;b</code> \[x\]
    """
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # a name that has a backtick itself
        return plain(text)
    return "".join(code(piece) if place % 2 else plain(piece) for place, piece in enumerate(pieces))


def table(header: Sequence[str], rows: Sequence[Sequence[str]], sides: Iterable[str]) -> list[str]:
    """Return a table; cells are Markdown without bars of their own; `sides` has an r or l per column."""
    lines = [header, ["---:" if side == "r" else "---" for side in sides], *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]
