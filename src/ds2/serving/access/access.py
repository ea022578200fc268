"""Keys, secrets and rates, made once and shared by all guards of a process."""

from dataclasses import dataclass

from ds2.serving.access.client_secrets import ClientSecrets
from ds2.serving.access.keys import KeyRing
from ds2.serving.access.rates import RateLimit
from ds2.serving.config import ServeSettings


@dataclass(frozen=True)
class Access:
    """The keys, the secrets made from them, and the rates of all ports together."""

    keys: KeyRing
    secrets: ClientSecrets
    rates: RateLimit | None  # None: no limit


def build_access(settings: ServeSettings) -> Access:
    """The access that the settings define. Slow, because it derives the key of the secrets."""
    rate = settings.requests_per_minute
    return Access(
        keys=KeyRing(settings.api_keys),
        secrets=ClientSecrets(settings.api_keys),
        rates=RateLimit(rate) if rate else None,
    )
