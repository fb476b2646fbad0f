"""Addresses: which of them are of this machine, and of which one can know who answers."""

from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit


@lru_cache
def is_loopback(name: str) -> bool:
    """Whether a name or an address means this machine."""
    try:
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def is_trustworthy(address: str) -> bool:
    """Whether what comes from an address comes from its host: by TLS, or from this very machine."""
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    is_private = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    return is_private and host != "" and "@" not in parts.netloc
