"""The words that an English reader says for numbers, money, times and signs."""

import re
from collections.abc import Callable
from functools import cache

WHOLE = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
NUMBER = rf"{WHOLE}(?:\.[0-9]+)?"

LONGEST = 15
"""Digits. A longer number, or a number that begins with 0, is read digit by digit."""

CURRENCIES = {
    "$": ("dollar", "dollars", "cent", "cents"),
    "€": ("euro", "euros", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "¥": ("yen", "yen", "sen", "sen"),
}

MONEY = "dollars?|bucks?|cents?|euros?|pounds?|quid|yen"
"""Words that may follow an amount with a sign: sign and word are read once."""

SCALES = {"k": "thousand", "m": "million", "bn": "billion", "b": "billion"}

SIGNS = (
    (r"%(?:\s*per ?cent\b)?", "percent"),
    ("&", "and"),
    ("@", "at"),
    (r"\+", "plus"),
    ("=", "equals"),
    (r"°c(?:\s*degrees?\b)?(?:\s*celsius\b)?", "degrees celsius"),
    (r"°f(?:\s*degrees?\b)?(?:\s*fahrenheit\b)?", "degrees fahrenheit"),
    (r"°(?:\s*degrees?\b)?", "degrees"),
)
"""Signs, with words that may follow and mean the same, and the words for both."""


def spoken_english(text: str) -> str:
    """The text with words for all its digits, and for the signs in SIGNS.

    text: in lower case, half width and without accents. The result may have extra spaces.
    """
    text = text.replace("⁄", "/").replace("−", "-")
    if re.search(r"[0-9]", text):
        for pattern, reading in _READINGS:
            text = pattern.sub(reading, text)
    for sign, words in SIGNS:
        text = re.sub(sign, f" {words} ", text)
    return text


@cache
def _num2words() -> Callable[..., str]:
    from num2words import num2words  # here, because it imports some sixty languages

    words: Callable[..., str] = num2words
    return words


def _words(number: int, to: str = "cardinal") -> str:
    """1,105 -> one thousand one hundred and five."""
    return re.sub(r"[-,]", " ", _num2words()(number, to=to)).replace("  ", " ")


def _digits(digits: str) -> str:
    """007 -> zero zero seven."""
    return " ".join(_words(int(digit)) for digit in digits if digit.isdigit())


def _number(number: str) -> str:
    """1,000.25 -> one thousand point two five."""
    whole, _, fraction = number.replace(",", "").partition(".")
    literal = len(whole) > LONGEST or (len(whole) > 1 and whole[0] == "0")
    words = _digits(whole) if literal else _words(int(whole))
    return f"{words} point {_digits(fraction)}" if fraction else words


def _year(year: int) -> str:
    """1999 -> nineteen ninety nine."""
    return _words(year, "year")


def _read_time(match: re.Match[str]) -> str:
    """10:30 -> ten thirty; 10:05 -> ten oh five; 10:00 -> ten o'clock."""
    hour, minute, second = (None if part is None else int(part) for part in match.groups()[:3])
    words = [_words(hour or 0)]
    if minute:
        words.append(f"oh {_words(minute)}" if minute < 10 else _words(minute))
    elif second is None and not match["half"]:
        words.append("o'clock")
    if second is not None:
        words.append(f"and {_words(second)} second{'' if second == 1 else 's'}")
    if match["half"]:
        words.append(f"{match['half']} m")
    return f" {' '.join(words)} "


def _read_money(match: re.Match[str]) -> str:
    """$3.50 -> three dollars and fifty cents; $3.5m -> three point five million dollars."""
    one, many, coin, coins = CURRENCIES[match["sign"] or match["sign_after"]]
    number = match["number"] or match["number_before"]
    scale = SCALES.get(match["scale"], match["scale"])
    if match["word"]:  # the word is read, not the sign
        return f" {_number(number)} {scale or ''} {match['word']} "
    if scale:
        return f" {_number(number)} {scale} {many} "
    whole, _, hundredths = number.partition(".")
    if len(hundredths) != 2:
        return f" {_number(number)} {one if number == '1' else many} "
    words = [f"{_number(whole)} {one if whole == '1' else many}"] if whole != "0" else []
    if int(hundredths):
        words.append(f"{_words(int(hundredths))} {coin if hundredths == '01' else coins}")
    return f" {' and '.join(words) or f'zero {many}'} "


def _read_fraction(match: re.Match[str]) -> str:
    """1/2 -> one half; 2 3/4 -> two and three quarters; 24/7 -> twenty four seven."""
    whole, above, below = (int(part or 0) for part in match.groups())
    before = f"{_words(whole)} and " if match[1] else ""
    if not (0 < above < below <= 10):
        return f" {_words(whole) + ' ' if match[1] else ''}{_number(match[2])} {_number(match[3])} "
    part = {2: "half", 4: "quarter"}.get(below) or _words(below, "ordinal")
    many = {2: "halves"}.get(below, f"{part}s")
    return f" {before}{_words(above)} {part if above == 1 else many} "


def _read_decade(match: re.Match[str]) -> str:
    """1990s -> nineteen nineties; 20s -> twenties."""
    words = _year(int(match[1]))
    return f" {words[:-1]}ies " if words.endswith("y") else f" {words}s "


def _read_ordinal(match: re.Match[str]) -> str:
    """21st -> twenty first."""
    number = match[1].replace(",", "")
    if len(number) > LONGEST:
        return f" {_digits(number)} th "
    return f" {_words(int(number), 'ordinal')} "


def _read_phone(match: re.Match[str]) -> str:
    return f" {_digits(match[0])} "


def _read_number(match: re.Match[str]) -> str:
    """1999 -> nineteen ninety nine; 1,999 -> one thousand nine hundred and ninety nine."""
    if re.fullmatch(r"(?:1[1-9]|20)[0-9]{2}", match[0]):
        return f" {_year(int(match[0]))} "
    whole, *parts = match[0].split(".")
    if len(parts) > 1:  # a version
        return " " + " point ".join(_number(part) for part in (whole, *parts)) + " "
    return f" {_number(match[0])} "


_READINGS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), reading)
    for pattern, reading in (
        (
            r"(?<![0-9:.])([01]?[0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9]))?(?![0-9:])"
            r"(?:\s*(?P<half>[ap])(?:m\b|\.m\b\.?)|\s*o'clock\b)?",
            _read_time,
        ),
        (r"(?<=[0-9])\s*([ap])(?:m\b|\.m\b\.?)", r" \1 m "),  # 5pm
        (
            rf"(?:(?P<sign>[$€£¥])\s*(?P<number>{NUMBER})"
            rf"|(?<![0-9.,])(?P<number_before>{NUMBER})\s*(?P<sign_after>[€£¥]))"
            r"(?:\s*(?P<scale>thousand|million|billion|trillion|k|m|bn|b)\b)?"
            rf"(?:\s*(?P<word>{MONEY})\b)?",
            _read_money,
        ),
        (r"(?<![0-9-])(?:[0-9]{1,3}-)?(?:[0-9]{3}-)?[0-9]{3}-[0-9]{4}(?![0-9-])", _read_phone),
        (r"(?<![0-9/.])(?:([0-9]{1,9})\s+)?([0-9]{1,9})/([0-9]{1,9})(?![0-9/])", _read_fraction),
        (r"(?<![0-9.,])((?:1[1-9]|20)[0-9]0|[2-9]0)'?s\b", _read_decade),
        (rf"(?<![0-9.,])({WHOLE})(?:st|nd|rd|th)\b", _read_ordinal),
        (r"(?<=[0-9])\s*–\s*(?=[0-9])", " to "),  # an en dash between the ends of a range
        (r"(?:\bminus\s*)?(?<![0-9a-z])-(?=[0-9.])", " minus "),
        (r"(?:\bnumber\s*)?#\s?(?=[0-9])", " number "),
        (r"(?<![0-9])\.(?=[0-9])", " point "),
        (rf"(?:{WHOLE})(?:\.[0-9]+)*", _read_number),
    )
)
"""Patterns in order: each works on the text that the previous left; the last takes all digits."""
