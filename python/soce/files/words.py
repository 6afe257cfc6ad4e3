"""Wording of messages: names in a list, numbers with their noun, what a wrong word may have meant."""

from __future__ import annotations

import difflib
import math
from typing import TYPE_CHECKING, Final

from soce.exceptions import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ROUNDING: Final = 1e-9


def listed(names: Iterable[object], *, limit: int = 10) -> str:
    """Return names between backticks and commas, safe to print; those past `limit` are counted.

    Examples
    --------
    >>> listed(["a", "b"])
    '`a`, `b`'
    >>> listed("abcdef", limit=3)
    '`a`, `b`, `c` and 3 more'
    """
    written = [f"`{shown(str(name))}`" for name in names]
    more = f" and {len(written) - limit} more" if len(written) > limit else ""
    return ", ".join(written[:limit]) + more


def in_words(texts: Sequence[str], *, last: str = "and") -> str:
    """Return texts as a list in a sentence.

    Examples
    --------
    >>> in_words(["a"]), in_words(["a", "b", "c"], last="or")
    ('a', 'a, b or c')
    """
    if len(texts) < 2:
        return "".join(texts)
    return f"{', '.join(texts[:-1])} {last} {texts[-1]}"


def grouped(said: Iterable[tuple[str, str]], *, limit: int = 10) -> str:
    """Return names with what is said of each, those of which the same is said together; of many, some.

    Examples
    --------
    >>> grouped([("a", "mit"), ("b", "gpl-3.0"), ("c", "mit")])
    '`a` and `c` mit, `b` gpl-3.0'
    """
    names: dict[str, list[str]] = {}
    for name, text in said:
        names.setdefault(text, []).append(f"`{shown(name)}`")
    for group in names.values():
        if len(group) > limit + 1:
            group[limit:] = [f"{len(group) - limit} more"]
    return ", ".join(f"{in_words(group)} {text}" for text, group in names.items())


def signed(value: float, digits: int = 2) -> str:
    """Return a difference with its sign, and with as many digits as tell it from 0; 0 has no sign.

    What a float's rounding may have left is 0.

    Examples
    --------
    >>> signed(1.5), signed(-0.004), signed(0.00002), signed(0.0)
    ('+1.50', '-0.004', '+0.00002', '0.00')
    """
    text = f"{value:+.{digits}f}"
    if float(text):
        return text
    if abs(value) <= _ROUNDING:
        return f"{0:.{digits}f}"
    return f"{value:+.{-math.floor(math.log10(abs(value)))}f}"


def counted(number: float, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "model"), counted(2, "category", "categories"), counted(1.0, "second")
    ('1 model', '2 categories', '1 second')
    """
    told = f"{number:g}" if number % 1 else f"{number:.0f}"
    return f"{told} {noun if number == 1 else plural or noun + 's'}"


def nearest(name: str, known: Iterable[str], what: str) -> str:
    """Return a hint that names what `name` may have meant, or else what there is.

    Examples
    --------
    >>> nearest("wieghts", ["weights", "rows"], "keys")
    'did you mean `weights`?'
    >>> nearest("x", ["weights", "rows"], "keys")
    'keys: `weights`, `rows`'
    """
    known = list(known)
    folded = {other.casefold(): other for other in reversed(known)}
    near = difflib.get_close_matches(name.casefold(), list(folded), n=3, cutoff=0.5)
    near += [key for key in folded if name.casefold() in key and key not in near][: 3 - len(near)]
    if near:
        return f"did you mean {' or '.join(f'`{shown(folded[key])}`' for key in near)}?"
    return f"{what}: {listed(known)}"


def or_else(hint: str, other: str) -> str:
    """Return a hint that names another way out, too.

    Examples
    --------
    >>> or_else("did you mean `vllm`?", "give a URL"), or_else("engines: `vllm`", "give a URL")
    ('did you mean `vllm`? Or give a URL', 'engines: `vllm`; or give a URL')
    """
    return f"{hint} Or {other}" if hint.endswith("?") else f"{hint}; or {other}"
