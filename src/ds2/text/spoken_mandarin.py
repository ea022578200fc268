"""The characters that a Mandarin reader says for Arabic numerals: 阿拉伯数字 in 汉字."""

import re
from collections.abc import Callable
from functools import cache

DIGITS = dict(zip("0123456789", "零一二三四五六七八九", strict=True))

NUMBER = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?"
MOBILE = "1[3-9][0-9]{9}"  # a telephone number
ALONE = r"(?<![0-9.,])"  # not after a digit of a longer number

SHORTEST_CODE = 7
"""Digits. A number with so many digits that is not round is a code, such as a telephone number."""

LONGEST = 16
"""Digits of the longest numbers that have a name: 千万亿."""

CURRENCIES = {"$": "美元", "€": "欧元", "£": "英镑", "¥": "元"}

MONEY = "美元|美金|美刀|欧元|英镑|镑|日元|人民币|块钱|块|圆|元"
"""Words that may follow an amount with a sign before it: sign and word are read once."""

MEASURES = (
    "个只条张本位名次种件家台部辆块元米人岁天年周倍座所支队场句颗棵杯瓶套双封篇首小分点把头匹"
)
"""Characters after which two is 两, not 二."""


def spoken_mandarin(text: str) -> str:
    """The text with Chinese characters for all its digits.

    text: in lower case, half width and simplified.
    """
    if not re.search(r"[0-9]", text):
        return text
    text = text.replace("⁄", "/").replace("−", "-")
    for pattern, reading in _READINGS:
        text = pattern.sub(reading, text)
    return text


@cache
def _an2cn() -> Callable[..., str]:
    from cn2an import an2cn  # here, because it loads its own settings

    reading: Callable[..., str] = an2cn
    return reading


def _digits(text: str) -> str:
    """007 -> 零零七; characters other than digits stay."""
    return "".join(DIGITS.get(character, character) for character in text)


def _number(number: str) -> str:
    """1,000.25 -> 一千点二五; 20000 -> 两万."""
    whole, _, fraction = number.replace(",", "").partition(".")
    is_round = whole.endswith("000") and not re.fullmatch(MOBILE, whole)
    is_code = len(whole) >= SHORTEST_CODE and not is_round and "," not in number
    starts_with_zero = len(whole) > 1 and whole[0] == "0"
    if is_code or starts_with_zero or len(whole) > LONGEST:
        words = _digits(whole)
    else:
        words = re.sub("^二(?=[千万亿])", "两", _an2cn()(whole))
    return f"{words}点{_digits(fraction)}" if fraction else words


def _read_date(match: re.Match[str]) -> str:
    """2020-05-06 -> 二零二零年五月六日."""
    year, month, day = match.groups()
    return f"{_digits(year)}年{_number(str(int(month)))}月{_number(str(int(day)))}日"


def _read_year(match: re.Match[str]) -> str:
    """1999年 -> 一九九九年; 08年 -> 零八年."""
    return _digits(match[0])


def _read_time(match: re.Match[str]) -> str:
    """10:30 -> 十点三十分; 10:05 -> 十点零五分; 2:00 -> 两点."""
    hour, minute, second = match.groups()
    words = f"{_quantity(str(int(hour)))}点"
    if minute != "00" or second:
        words += f"{_two_digits(minute)}分"
    return words + (f"{_two_digits(second)}秒" if second else "")


def _two_digits(number: str) -> str:
    return _digits(number) if number[0] == "0" else _number(number)


def _quantity(number: str) -> str:
    """Like `_number`, but two is 两."""
    return "两" if number == "2" else _number(number)


def _read_money(match: re.Match[str]) -> str:
    """$20万 -> 二十万美元; ¥45元 -> 四十五元."""
    sign, number, scale, word = match.groups()
    currency = CURRENCIES[sign] if word in (None, "元") else word
    return f"{_quantity(number)}{scale}{currency}"


def _read_percent(match: re.Match[str]) -> str:
    """-3.5% -> 负百分之三点五."""
    minus, number, sign = match.groups()
    return f"{'负' if minus else ''}{'百' if sign == '%' else '千'}分之{_number(number)}"


def _read_fraction(match: re.Match[str]) -> str:
    """3/4 -> 四分之三; 2 1/2 -> 二又二分之一; 24/7 -> 二十四 七."""
    whole, above, below = match.groups()
    if int(above) >= int(below):
        return " ".join(_number(part) for part in match.groups() if part)
    return f"{_number(whole) + '又' if whole else ''}{_number(below)}分之{_number(above)}"


def _read_number(match: re.Match[str]) -> str:
    whole, *parts = match[0].split(".")
    if len(parts) > 1:  # a version
        return "点".join(_number(part) for part in (whole, *parts))
    return _number(match[0])


_READINGS: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = tuple(
    (re.compile(pattern), reading)
    for pattern, reading in (
        (r"(?<![0-9])([0-9]{4})[-/.]([0-9]{1,2})[-/.]([0-9]{1,2})(?![0-9./-])", _read_date),
        (rf"{ALONE}(?:[0-9]{{4}}|0[0-9])(?=年)", _read_year),
        (
            r"(?<![0-9:.])([01]?[0-9]|2[0-4]):([0-5][0-9])(?::([0-5][0-9]))?(?![0-9:])"
            r"(?:[点秒]|分(?!钟))?",
            _read_time,
        ),
        (rf"([$€£¥])\s*({NUMBER})([百千万亿]*)\s*({MONEY})?", _read_money),
        (r"(?<=零下)\s*-(?=[0-9])|(?<=负)\s*-(?=[0-9])", ""),
        (rf"(?:[百千]分之)?\s*(?:(?<![0-9a-z])(-))?({NUMBER})\s*([%‰])", _read_percent),
        (r"(?<![0-9/.])(?:([0-9]{1,9}) +)?([0-9]{1,9})/([0-9]{1,9})(?![0-9/])", _read_fraction),
        (r"(?<=[0-9])\s*[~–—]+\s*(?=[0-9])", "到"),
        (rf"(?<=[0-9])-(?=[0-9]{{1,4}}[{MEASURES}月日号])", "到"),
        (r"(?<=[0-9]):(?=[0-9])", "比"),
        (r"(?<![0-9a-z])-(?=[0-9])", "负"),
        (rf"(?<=摄氏)\s*([-负]?{NUMBER})\s*(?:℃|°c?)度?", r"\1度"),
        (r"(?<=[0-9])\s*(?:℃|°c)(?:摄氏度|度)?", "摄氏度"),
        (r"(?<=[0-9])\s*°度?", "度"),
        (r"(?<=[0-9])\s*\+\s*(?=[0-9])", "加"),
        (r"(?<=[0-9])\s*=\s*(?=[0-9])", "等于"),
        (rf"(?<![0-9.,第])2(?!分之)(?=[{MEASURES}])", "两"),
        (rf"{NUMBER}(?:\.[0-9]+)*", _read_number),
    )
)
"""Patterns in order: each works on the text that the previous left; the last takes all digits."""
