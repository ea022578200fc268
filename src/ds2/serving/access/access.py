"""What decides who may come in, made once and shared by all guards of a process."""

from dataclasses import dataclass

from ds2.serving.access.client_secrets import ClientSecrets
from ds2.serving.access.keys import KeyRing
from ds2.serving.access.rates import RateLimit
from ds2.serving.config import ServeSettings


@dataclass(frozen=True)
class Access:
    """Keys, the secrets made from them, and rates; those of all ports together."""

    keys: KeyRing
    secrets: ClientSecrets
    rates: RateLimit | None  # None: clients may ask as often as they like


def build_access(settings: ServeSettings) -> Access:
    """What the settings ask for. Slow: the key of the secrets is derived here."""
    rate = settings.requests_per_minute
    return Access(
        keys=KeyRing(settings.api_keys),
        secrets=ClientSecrets(settings.api_keys),
        rates=RateLimit(rate) if rate else None,
    )
