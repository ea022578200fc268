"""Reads JSON from clients, and refuses values on which later code could fail."""

import json
from typing import Any

MOST_LEVELS = 50
"""Most levels of nested lists and objects. Writing JSON fails at a few hundred levels."""


def json_in(given: str | bytes) -> Any:
    """The value of the JSON text.

    Raises ValueError if the text is not JSON, if it nests too deeply, or if a string in it holds
    half of a surrogate pair. JSON can escape such a half, but no message can carry it.
    """
    text = given if isinstance(given, str) else given.decode("utf-8-sig")
    try:
        parsed = json.loads(text)
    except RecursionError:
        raise ValueError("nests too deeply") from None
    if text.count("[") + text.count("{") > MOST_LEVELS and _nests_deeply(parsed):
        raise ValueError("nests too deeply")
    if "\\u" in text:
        json.dumps(parsed, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return parsed


def _nests_deeply(parsed: Any) -> bool:
    level = [parsed]
    for _ in range(MOST_LEVELS):
        level = [inner for each in level for inner in _within(each)]
        if not level:
            return False
    return True


def _within(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
