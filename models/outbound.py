"""Outbound addresses: where this server may be told to send something, and which network addresses it never calls."""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from models.refusal import InvalidInput

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Networks = tuple[Network, ...]

LONGEST_URL = 2000
PORTS = (80, 443, 8080, 8443)  # where the world serves HTTP; others would make us a scanner of ports
# The last label tells a name from a number in disguise: 127.1, 0177.0.0.1, 2130706433 and 0x7f.1 all end in digits.
_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+(?:[a-z]{2,63}|xn--[a-z0-9-]{1,59})\.?")
_PRINTABLE = re.compile(r"[!-~]+")  # of ASCII: no spaces, no controls, nothing that turns into a dot or a digit
_PRIVATE_NAMES = (
    *("localhost", "local", "internal", "localdomain", "lan", "intranet", "private", "corp", "home"),
    *("arpa", "onion", "invalid", "test"),
)
_SPECIAL = tuple(
    ip_network(network)
    for network in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24"),
        *("192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
        *("224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32"),  # the last one is public, and a cloud's own
        *("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"),
    )
)
_UNICAST = ip_network("2000::/3")  # all that IPv6 has given out
_NAT64 = ip_network("64:ff9b::/96")


def public_url(value: str, *field: str | int, allowed: Networks = ()) -> str:
    """Check an address that somebody asks us to call: of a host that everybody can reach, by TLS.

    Inside `allowed` networks, numbers, localhost and names of a house are fine, and http with the first two. What a
    name means is only known when it is called, and is checked then.
    """
    if not 1 <= len(value) <= LONGEST_URL or not _PRINTABLE.fullmatch(value) or "\\" in value:
        _refuse(field, f"must be an address of at most {LONGEST_URL} plain characters, with what is special escaped")
    try:
        parts = urlsplit(value)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        _refuse(field, "must be an address like https://example.com/hooks")
    if parts.scheme not in ("http", "https") or not host:
        _refuse(field, "must be an address like https://example.com/hooks")
    if "@" in parts.netloc or "#" in value:
        _refuse(field, "must have no user, no password and no fragment")
    is_known = _is_allowed_literal(host, allowed)
    if parts.scheme == "http" and not is_known:
        _refuse(field, "must be of https")
    if not is_known and not _is_name(host, allowed):
        _refuse(field, "must name a host that everybody can reach, and not by its number")
    if not allowed and port is not None and port not in PORTS:
        _refuse(field, f"must be of one of the ports {', '.join(map(str, PORTS))}")
    return _normal(parts)


def is_callable(address: Address, allowed: Networks = ()) -> bool:
    """Whether we connect to an address: a public one of a single host, or one that the operator allows."""
    if any(address in network for network in allowed):
        return True
    if isinstance(address, IPv4Address):
        return address.is_global and not any(address in network for network in _SPECIAL)
    if address.ipv4_mapped is not None:
        return is_callable(address.ipv4_mapped, allowed)
    if address in _NAT64:
        return is_callable(IPv4Address(int(address) & 0xFFFFFFFF), allowed)
    return address in _UNICAST and address.is_global and not any(address in network for network in _SPECIAL)


def _is_name(host: str, allowed: Networks) -> bool:
    if allowed and not host.rpartition(".")[2][:1].isdigit() and re.fullmatch(r"[a-z0-9_.-]{1,253}", host):
        return not host.startswith(".") and ".." not in host and host.strip(".") != "localhost"
    is_public = _NAME.fullmatch(host) and host.rstrip(".").rpartition(".")[2] not in _PRIVATE_NAMES
    return is_public is True and len(host) <= 253


def _is_allowed_literal(host: str, allowed: Networks) -> bool:
    try:
        address = ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return False
    return any(address in network for network in allowed)


def _normal(parts: SplitResult) -> str:
    return parts._replace(scheme=parts.scheme.lower(), netloc=parts.netloc.lower(), path=parts.path or "/").geturl()


def _refuse(field: tuple[str | int, ...], problem: str) -> None:
    raise InvalidInput(*field, problem=f"{field[-1] if field else 'url'} {problem}.")
