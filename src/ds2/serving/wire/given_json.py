"""JSON as clients send it, read so that nothing which handles it further can stumble."""

import json
from typing import Any

MOST_LEVELS = 50
"""Of lists and objects within each other: what writes them out again fails at a few hundred."""


def json_in(given: str | bytes) -> Any:
    """What the JSON says.

    Raises ValueError if it is none, if it nests too deeply, or if a text in it holds half of a
    surrogate pair, which JSON can escape and no message can carry.
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
