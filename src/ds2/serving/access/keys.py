"""API keys: finds them in requests, and checks them."""

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from ds2.errors import InputError
from ds2.files import read_text

SUBPROTOCOL = "openai-insecure-api-key."
"""OpenAI's browser clients put this before a key in the list of WebSocket subprotocols."""
SHORTEST_KEY = 8  # characters


class KeyRing:
    """The keys that open the server. Without keys, it is open to anybody."""

    def __init__(self, keys: Iterable[str]) -> None:
        # Digests have one length, so a comparison reveals nothing about a key's length.
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def holds(self, key: str) -> bool:
        """Whether the key is one of them. The time is the same for right and wrong keys."""
        given = _digest(key)
        return sum(hmac.compare_digest(given, digest) for digest in self._digests) > 0


def read_keys(path: Path) -> tuple[str, ...]:
    """Keys from a file, one per line. Empty lines and lines that begin with # do not count.

    Raises InputError.
    """
    lines = read_text(path).splitlines()
    keys = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not keys:
        raise InputError(f"{path}: holds no key: write one key per line")
    check_keys(keys, str(path))
    return keys


def check_keys(keys: Iterable[str], where: str) -> None:
    """Raise InputError for a key that no client can send or that is easy to guess."""
    for number, key in enumerate(keys, 1):
        if len(key) < SHORTEST_KEY or not key.isascii() or not key.isprintable() or " " in key:
            raise InputError(
                f"{where}: key {number}: must be {SHORTEST_KEY} or more printable ASCII "
                "characters without spaces"
            )


def keys_in(scope: Mapping[str, Any]) -> Iterator[str]:
    """The keys in a request (an ASGI scope), from all places that clients use."""
    for name, value in scope["headers"]:
        text = value.decode("latin-1").strip()
        if name == b"authorization":
            scheme, _, key = text.partition(" ")
            if scheme.lower() in ("bearer", "token"):
                yield key.strip()
        elif name == b"x-api-key":
            yield text
    yield from parse_qs(scope["query_string"].decode("latin-1")).get("api_key", [])
    offered = scope.get("subprotocols", [])
    yield from (each.removeprefix(SUBPROTOCOL) for each in offered if SUBPROTOCOL in each)
    if len(offered) > 1 and offered[0] in ("token", "bearer"):  # Deepgram's clients in a browser
        yield offered[1]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
