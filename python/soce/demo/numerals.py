"""The words for 0 to 999 in four languages, spelled as num2words 0.5.14 spells them.

Not a dependency, for it is LGPL; all 4,000 words were compared.
"""

from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ENGLISH = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
)
_ENGLISH_TENS = _words("- - twenty thirty forty fifty sixty seventy eighty ninety")

_GERMAN = _words(
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
    "siebzehn achtzehn neunzehn"
)
_GERMAN_TENS = _words("- - zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")

_SPANISH = _words(
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis "
    "diecisiete dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco "
    "veintiséis veintisiete veintiocho veintinueve"
)
_SPANISH_TENS = _words("- - - treinta cuarenta cincuenta sesenta setenta ochenta noventa")
_SPANISH_HUNDREDS = _words(
    "- ciento doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
)

_FRENCH = _words(
    "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix-sept "
    "dix-huit dix-neuf"
)
# 70-79 and 90-99 count on from 60 and 80: soixante-dix, quatre-vingt-dix.
_FRENCH_TENS = _words("- - vingt trente quarante cinquante soixante soixante quatre-vingt quatre-vingt")


def english(number: int) -> str:
    """Return the English words, with the British "and".

    Examples
    --------
    >>> english(342)
    'three hundred and forty-two'
    """
    hundreds, rest = divmod(_checked(number), 100)
    if rest < 20:
        small = _ENGLISH[rest]
    else:
        tens, units = divmod(rest, 10)
        small = _ENGLISH_TENS[tens] + (f"-{_ENGLISH[units]}" if units else "")
    if not hundreds:
        return small
    return f"{_ENGLISH[hundreds]} hundred" + (f" and {small}" if rest else "")


def german(number: int) -> str:
    """Return the German word.

    Examples
    --------
    >>> german(342)
    'dreihundertzweiundvierzig'
    """
    hundreds, rest = divmod(_checked(number), 100)
    if rest < 20:
        small = _GERMAN[rest]
    else:
        tens, units = divmod(rest, 10)
        small = (f"{_german_prefix(units)}und" if units else "") + _GERMAN_TENS[tens]
    if not hundreds:
        return small
    return f"{_german_prefix(hundreds)}hundert" + (small if rest else "")


def spanish(number: int) -> str:
    """Return the Spanish words.

    Examples
    --------
    >>> spanish(342)
    'trescientos cuarenta y dos'
    """
    hundreds, rest = divmod(_checked(number), 100)
    if rest < 30:
        small = _SPANISH[rest]
    else:
        tens, units = divmod(rest, 10)
        small = _SPANISH_TENS[tens] + (f" y {_SPANISH[units]}" if units else "")
    if not hundreds:
        return small
    if not rest:
        return "cien" if hundreds == 1 else _SPANISH_HUNDREDS[hundreds]
    return f"{_SPANISH_HUNDREDS[hundreds]} {small}"


def french(number: int) -> str:
    """Return the French words, as in France (soixante-dix, quatre-vingts).

    Examples
    --------
    >>> french(342)
    'trois cent quarante-deux'
    """
    hundreds, rest = divmod(_checked(number), 100)
    small = _french_below_hundred(rest)
    if not hundreds:
        return small
    cent = "cent" if hundreds == 1 else f"{_FRENCH[hundreds]} cent"
    if not rest:
        return cent if hundreds == 1 else f"{cent}s"
    return f"{cent} {small}"


def _checked(number: int) -> int:
    if not 0 <= number <= 999:
        message = f"expected a number from 0 to 999, got {number}"
        raise ValueError(message)
    return number


def _german_prefix(digit: int) -> str:
    """Return the digit as it stands in front of another word: ein, zwei, ..."""
    return "ein" if digit == 1 else _GERMAN[digit]


def _french_below_hundred(number: int) -> str:
    if number < 20:
        return _FRENCH[number]
    tens, units = divmod(number, 10)
    if tens in {7, 9}:
        units += 10
    if number == 80:
        return "quatre-vingts"
    if units in {1, 11} and tens < 8:
        return f"{_FRENCH_TENS[tens]} et {_FRENCH[units]}"
    return _FRENCH_TENS[tens] + (f"-{_FRENCH[units]}" if units else "")
