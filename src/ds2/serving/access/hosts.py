"""Host names: the names that a server accepts, and facts about names."""

import ipaddress
from urllib.parse import urlsplit

from ds2.serving.config import ServeSettings


def known_hosts(settings: ServeSettings) -> frozenset[str] | None:
    """The host names that the server accepts besides addresses and localhost; None: any.

    A server that listens for other machines may have names that it does not know.
    """
    given = settings.allowed_hosts
    if "*" in given or not (given or is_loopback(settings.host)):
        return None
    return frozenset({settings.host.lower(), *(name.lower() for name in given)})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server on this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def name_of(host: str) -> str:
    """The name or address in a Host header, without the port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().rstrip(".")


def is_local(name: str) -> bool:
    """Whether this is an address, or a name that always means this machine."""
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return True


def host_of(origin: str) -> str | None:
    """The host and port of an origin; None if they cannot be valid."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None
