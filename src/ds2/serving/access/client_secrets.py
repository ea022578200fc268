"""Short-lived keys that a web page may hold. OpenAI calls them client secrets."""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

PREFIX = "ek_"
LIFETIME_S = 600
SHORTEST_S, LONGEST_S = 10, 7200  # OpenAI's
LONGEST_SECRET = 4096  # characters; it goes into a header, whose line may have 8192

_SIGNATURE_BYTES = 24
_SECRET = re.compile(rf"{PREFIX}(?P<payload>[A-Za-z0-9_-]+)\.(?P<signature>[A-Za-z0-9_-]+)")
"""Python's decoder of base64 ignores all other characters."""


class ClientSecrets:
    """Makes and reads secrets that open live sessions and nothing else.

    A secret holds all its facts and a signature. The key of the signature comes from the server's
    own API keys. So the server stores nothing, and each process can read secrets of the others.
    """

    def __init__(self, api_keys: Sequence[str]) -> None:
        # Slow to derive, so that nobody can find a weak API key by trying keys on a secret.
        told = json.dumps(sorted(api_keys)).encode()
        self._key = hashlib.scrypt(told, salt=b"ds2 client secrets", n=1 << 14, r=8, p=1)

    def mint(self, session: Mapping[str, Any], lifetime_s: int = LIFETIME_S) -> tuple[str, int]:
        """A secret, and its end, in seconds since 1970.

        session: the first settings of a session that this secret opens.
        Raises ValueError if they are too long for a secret.
        """
        expires_at = int(time.time()) + lifetime_s
        payload = json.dumps([expires_at, session], separators=(",", ":")).encode()
        value = _secret(payload, self._signature(payload))
        if len(value) > LONGEST_SECRET:
            raise ValueError("too long for a header: send it with session.update")
        return value, expires_at

    def is_valid(self, value: str) -> bool:
        """Whether this server made the secret, and it has not expired."""
        return self.session_of(value) is not None

    def session_of(self, value: str) -> Mapping[str, Any] | None:
        """The settings in the secret; None if it is not valid."""
        match = _SECRET.fullmatch(value)
        if match is None:
            return None
        try:
            payload, given = _bytes(match["payload"]), _bytes(match["signature"])
        except ValueError:
            return None
        # A secret must have one spelling, because rates count by it.
        if value != _secret(payload, given):
            return None
        if not hmac.compare_digest(given, self._signature(payload)):
            return None
        expires_at, session = json.loads(payload)
        return session if time.time() < expires_at else None

    def _signature(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256")[:_SIGNATURE_BYTES]


def _secret(payload: bytes, signature: bytes) -> str:
    return f"{PREFIX}{_text(payload)}.{_text(signature)}"


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
