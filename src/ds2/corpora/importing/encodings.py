"""Detects the encoding of a text, and decodes it."""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ds2.errors import InputError

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""Byte order marks. A longer mark comes before its beginning."""

PACKED = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""The first bytes of what spreadsheets keep: a ZIP archive today, a file of OLE earlier."""

WESTERN = "cp1252"
"""Latin-1 with the quotation marks and dashes of Windows."""

LATIN = (WESTERN, "cp1250", "cp1254")
OTHER_SCRIPTS = ("gb18030", "cp1251", "big5", "cp932", "cp949", "cp1253", "cp1255", "cp1256")
"""The encodings other than Unicode that spreadsheets on Windows use most."""

OF_LANGUAGES = {
    "cp1250": "bs cs hr hu pl ro sk sl sq",
    "cp1251": "be bg kk ky mk mn ru sr tg tt uk",
    "cp1253": "el",
    "cp1254": "az tr",
    "cp1255": "he yi",
    "cp1256": "ar fa ps ur",
    "cp932": "ja",
    "cp949": "ko",
    "gb18030": "zh",
}
"""The languages that use each encoding on Windows."""

LATIN_SHARE = 0.35
"""The least share of plain letters among the bytes of words with accented letters."""

COMMON_SHARE = 0.7
"""The least share of GB2312's common half and its punctuation in a Chinese text."""

HANGUL_SHARE = 0.9
"""The least share of Hangul in a Korean text. Chinese characters are rare there."""

ENOUGH_HANGUL = 4  # fewer may be Chinese characters with the same bytes

NAMES = {
    "utf-8": "UTF-8",
    "utf-8-sig": "UTF-8 with a byte order mark",
    "utf-16": "UTF-16",
    "utf-16-le": "UTF-16",
    "utf-16-be": "UTF-16",
    "utf-32": "UTF-32",
    "cp1252": "Latin-1 (Windows-1252)",
    "gb18030": "GB18030 (GBK)",
}

ENOUGH = 1 << 16
"""Bytes that are enough to detect an encoding."""


@dataclass(frozen=True)
class Decoded:
    """A file's text and its encoding."""

    text: str
    encoding: str  # its name in Python
    is_guess: bool  # only the look of the text speaks for it

    @property
    def encoding_name(self) -> str:
        """The name of the encoding for the report."""
        return NAMES.get(self.encoding, self.encoding)


def read_any_text(path: Path, encoding: str | None = None, language: str | None = None) -> Decoded:
    """The text of a file in any encoding.

    encoding: of the file; None: detect it. A byte order mark decides first. Next comes UTF-8, if
    the bytes have no error, because other text almost never looks like UTF-8. Next comes the
    encoding of the language on Windows. Without a language, the look of the text decides.
    Raises InputError for an unreadable file, or for a file that is not text.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {str(error.strerror).lower()}") from None
    return decode(data, str(path), encoding, language)


def decode(
    data: bytes, where: str, encoding: str | None = None, language: str | None = None
) -> Decoded:
    """Decode bytes. Raises InputError."""
    if data.startswith(PACKED):
        raise InputError(
            f"{where}: is a spreadsheet or an archive: save the table as CSV, and name that file"
        )
    is_guess = False
    if encoding is None:
        encoding, is_guess = _told(data, language)
    if encoding is None:
        raise InputError(f"{where}: is not text: name a CSV, TSV, JSON or text file")
    try:
        return Decoded(data.decode(encoding), encoding, is_guess)
    except LookupError:
        raise InputError(
            f"--encoding {encoding}: no such encoding: use a name such as utf-8 or cp1252"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: byte {error.start + 1} is not {NAMES.get(encoding, encoding)}: name the "
            "right encoding with --encoding"
        ) from None


def _told(data: bytes, language: str | None) -> tuple[str | None, bool]:
    """The encoding, or None if this is not text, and whether it is a guess."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return encoding, False
    zeros = data[:ENOUGH].count(0)
    if zeros > len(data[:ENOUGH]) / 5:  # every other byte of Latin text in UTF-16
        odd = data[1:ENOUGH:2].count(0)
        return ("utf-16-le" if odd > zeros / 2 else "utf-16-be"), True
    if zeros:
        return None, False
    try:
        data.decode()
        return "utf-8", False
    except UnicodeDecodeError:
        return _of_language(data, language) or _guessed(data), True


def _of_language(data: bytes, language: str | None) -> str | None:
    """The encoding of the language on Windows, if the text fits it."""
    for encoding, languages in OF_LANGUAGES.items():
        if language in languages.split() and _can_be(data, encoding):
            return encoding
    return None


def _guessed(data: bytes) -> str | None:
    """The encoding that the text looks like; None if this is not text."""
    words = b"".join(re.findall(rb"[A-Za-z]*[\x80-\xff][A-Za-z\x80-\xff]*", data))
    num_plain = sum(byte < 0x80 for byte in words)
    if num_plain < LATIN_SHARE * len(words):
        found = _of_east_asia(words) or _likeliest(data, OTHER_SCRIPTS)
        if found is not None:
            return found
    if _can_be(data, WESTERN) and not re.search(r"\w[¡-¿×÷]+\w", data.decode(WESTERN)):
        return WESTERN
    # Signs inside words: the bytes stand for other letters.
    return _likeliest(data, LATIN[1:]) or (WESTERN if _can_be(data, WESTERN) else None)


def _of_east_asia(words: bytes) -> str | None:
    """The encoding of Chinese or Korean. Both fit the same bytes, so common characters decide."""
    high = bytes(byte for byte in words if byte >= 0x80)
    if not _can_be(high, "gb2312"):
        return None
    if _can_be(high, "cp949"):
        korean = high.decode("cp949")
        num_hangul = sum("가" <= character <= "힣" for character in korean)
        if num_hangul > max(ENOUGH_HANGUL, HANGUL_SHARE * len(korean)):
            return "cp949"
    first_bytes = high[::2]
    common = sum(byte <= 0xA3 or 0xB0 <= byte <= 0xD7 for byte in first_bytes)
    return "gb18030" if common > COMMON_SHARE * len(first_bytes) else None


def _can_be(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _likeliest(data: bytes, encodings: Sequence[str]) -> str | None:
    from charset_normalizer import from_bytes  # imported here, because few files need it

    # Lines of plain ASCII do not help, and would outweigh the others.
    lines = [line for line in data.splitlines() if not line.isascii()]
    found = from_bytes(b"\n".join(lines)[:ENOUGH], cp_isolation=list(encodings)).best()
    return found.encoding if found and _can_be(data, found.encoding) else None
