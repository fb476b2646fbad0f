"""The mail server of a setting: where it is, who we are there, and how the connection is kept private."""

from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import parseaddr
from urllib.parse import parse_qsl, unquote, urlsplit

from server.address import is_loopback

FORM = "unset, or an address like smtp://user:password@host:587?starttls=1 or smtps://user:password@host"


@dataclass(frozen=True)
class MailServer:
    """An SMTP server. `start_tls` is None where TLS is taken if it is offered."""

    host: str
    port: int
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    use_tls: bool = False
    start_tls: bool | None = None


def mail_server(value: str) -> MailServer | None:
    """Read an address; a password is sent to another machine by TLS alone, unless the address says otherwise."""
    if not value:
        return None
    try:
        parts = urlsplit(value)
        port = parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise ValueError(FORM) from None
    chosen = options.pop("starttls", None)
    is_known = parts.scheme in ("smtp", "smtps") and parts.hostname and port != 0 and parts.path in ("", "/")
    if not is_known or options or chosen not in (None, "0", "1") or (chosen and parts.scheme == "smtps"):
        raise ValueError(FORM)
    host, is_tls = parts.hostname or "", parts.scheme == "smtps"
    start_tls = {"0": False, "1": True, None: True if parts.password and not is_loopback(host) else None}[chosen]
    return MailServer(
        host,
        port or (465 if is_tls else 25),
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        is_tls,
        False if is_tls else start_tls,
    )


def mail_address(value: str) -> str | None:
    """Check the address that mail is sent from."""
    try:
        address = Address(addr_spec=value) if value else None
    except (MessageError, ValueError, LookupError):
        address = None
    if value and (address is None or not address.domain or not value.isascii() or parseaddr(value)[1] != value):
        raise ValueError("unset, or an email address like no-reply@example.com")
    return value or None
