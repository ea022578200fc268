"""Transcripts of any language in one style, by Unicode's properties of their characters.

Languages have different words for numbers and signs, so numbers and signs stay as they are.
`ds2 check` names them, and training refuses them.
"""

import re
import unicodedata
from functools import cache

WIDTHS = ("<wide>", "<narrow>")
SAME_LETTERS = ("<compat>", "<initial>", "<medial>", "<final>", "<isolated>")
"""Kinds of characters that replace other characters with the same meaning: widths, ligatures,
forms of position. Superscripts, fractions and similar kinds have another meaning."""

TURKIC = frozenset(("az", "tr"))
"""Languages in which i and dotless i are two letters, small and capital."""

DECORATION = "\u0640"  # Arabic's sign that stretches a line

JOINERS = "\u200c\u200d"
"""They change the forms of letters in Persian and in scripts of India; elsewhere they are noise."""


def written_alike(text: str, language: str) -> str:
    """The text in small letters and in composed form (NFC), each letter in its plain form."""
    text = unicodedata.normalize("NFC", "".join(map(_plain_form, text)))
    if language in TURKIC:
        text = text.replace("İ", "i").replace("I", "ı")
    return unicodedata.normalize("NFC", text.lower()).replace(DECORATION, "")


@cache
def _plain_form(character: str) -> str:
    kind, _, codes = unicodedata.decomposition(character).partition(" ")
    is_letter = unicodedata.category(character)[0] == "L"
    if kind in WIDTHS or (kind in SAME_LETTERS and is_letter):
        return "".join(_plain_form(chr(int(code, 16))) for code in codes.split())
    return character


def without_stray_joiners(text: str) -> str:
    """The text with joiners only inside words."""
    return re.sub(rf"(?<!\S)[{JOINERS}]+|[{JOINERS}]+(?!\S)", "", text)
