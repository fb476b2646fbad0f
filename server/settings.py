"""The settings, read once from the environment and checked before anything starts."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from models.outbound import Networks
from schema.limits import LIMITS
from server.address import is_loopback, is_trustworthy
from server.mail_server import MailServer, mail_address, mail_server

T = TypeVar("T")

LOG_LEVELS = ("debug", "info", "warning", "error")


class SettingsError(Exception):
    """One sentence for each bad value."""


@dataclass(frozen=True)
class Settings:
    host: str
    port: int
    data_dir: Path
    database_url: str | None
    workers: int
    background: bool
    pool_size: int
    lanes: int
    compile: bool
    log_level: str
    owner_database_url: str | None
    oidc_issuer: str | None
    oidc_audience: str | None
    oidc_token_types: tuple[str, ...]
    oidc_claim: str
    api_keys: bool
    rate_limit: int
    rate_limit_anonymous: int
    rate_store: str
    deadline: int
    introspection: bool
    trusted_documents: Path | None
    allowed_networks: Networks
    allowed_origins: frozenset[str]
    nats_url: str | None
    nats_stream: str
    public_url: str
    smtp_url: MailServer | None
    mail_from: str | None
    sms_url: str | None
    sms_token: str | None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """Read every setting; report all that is wrong at once."""
        reader = _Reader(environment)
        settings = cls(
            host=reader.read("HOST", "127.0.0.1", _text),
            port=reader.read("PORT", "8000", _between(0, 65535)),
            data_dir=Path(reader.read("DATA_DIR", ".data", _text)),
            database_url=reader.read("DATABASE_URL", "", _database_url),
            workers=reader.read("WORKERS", "1", _between(1, 64)),
            background=reader.read("BACKGROUND", "on", _one_of("on", "off")) == "on",
            pool_size=reader.read("POOL_SIZE", "8", _between(1, 100)),
            lanes=reader.read("LANES", "4", _between(1, 64)),
            compile=reader.read("COMPILE", "on", _one_of("on", "off")) == "on",
            log_level=reader.read("LOG_LEVEL", "info", _one_of(*LOG_LEVELS)),
            owner_database_url=reader.read("OWNER_DATABASE_URL", "", _database_url),
            oidc_issuer=reader.read("OIDC_ISSUER", "", _issuer),
            oidc_audience=reader.read("OIDC_AUDIENCE", "", _optional),
            oidc_token_types=reader.read("OIDC_TOKEN_TYPES", "at+jwt", _words),
            oidc_claim=reader.read("OIDC_CLAIM", "holdfast", _text),
            api_keys=reader.read("API_KEYS", "off", _one_of("on", "off")) == "on",
            rate_limit=reader.read("RATE_LIMIT", "60000", _rate),
            rate_limit_anonymous=reader.read("RATE_LIMIT_ANONYMOUS", "20000", _rate),
            rate_store=reader.read("RATE_STORE", "memory://", _store),
            deadline=reader.read("DEADLINE", "5", _between(1, 60)),
            introspection=reader.read("INTROSPECTION", "on", _one_of("on", "off")) == "on",
            trusted_documents=reader.read("TRUSTED_DOCUMENTS", "", _folder),
            allowed_networks=reader.read("ALLOWED_NETWORKS", "", _networks),
            allowed_origins=reader.read("ALLOWED_ORIGINS", "", _origins),
            nats_url=reader.read("NATS_URL", "", _nats),
            nats_stream=reader.read("NATS_STREAM", "HOLDFAST", _name),
            public_url=reader.read("PUBLIC_URL", "http://localhost:8000", _public),
            smtp_url=reader.read("SMTP_URL", "", mail_server),
            mail_from=reader.read("MAIL_FROM", "", mail_address),
            sms_url=reader.read("SMS_URL", "", _gateway),
            sms_token=reader.read("SMS_TOKEN", "", _token),
        )
        if (settings.oidc_issuer is None) != (settings.oidc_audience is None):
            reader.complaints.append("OIDC_ISSUER and OIDC_AUDIENCE belong together; set both, or neither.")
        if settings.owner_database_url is not None and settings.database_url is None:
            reader.complaints.append("OWNER_DATABASE_URL belongs to a DATABASE_URL; set both, or neither.")
        if (settings.smtp_url is None) != (settings.mail_from is None):
            reader.complaints.append("SMTP_URL and MAIL_FROM belong together; set both, or neither.")
        if reader.complaints:
            raise SettingsError("\n".join(reader.complaints))
        return settings

    @property
    def is_development(self) -> bool:
        """Whether nobody needs to say who they are: where no identity is set, and nobody elsewhere can ask."""
        return self.oidc_issuer is None and not self.api_keys

    def check_identity(self) -> None:
        """Refuse to serve other machines without knowing who asks."""
        if self.is_development and not is_loopback(self.host):
            raise SettingsError(
                f"HOST is {self.host!r}, where others can ask, but nothing tells who they are:"
                " set OIDC_ISSUER and OIDC_AUDIENCE, or API_KEYS=on."
            )


@cache
def current() -> Settings:
    """The settings of this process, for whatever it does in the background."""
    return Settings.read(os.environ)


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.complaints: list[str] = []

    def read(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        value = self.environment.get(name, default)
        try:
            return parse(value)
        except ValueError as bad:
            shown = (
                f"is {value[:40]!r}"
                if not name.endswith(("DATABASE_URL", "STORE", "NATS_URL", "SMTP_URL", "SMS_URL", "SMS_TOKEN"))
                else "cannot be read"
            )  # it may carry a password
            self.complaints.append(f"{name} {shown}, but it must be {bad}.")
            return parse(default)


def _text(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise ValueError("a text that is not empty")
    return value


def _optional(value: str) -> str | None:
    return _text(value) if value else None


def _words(value: str) -> tuple[str, ...]:
    return tuple(_text(word) for word in value.replace(",", " ").split()) or (_text(""),)


def _issuer(value: str) -> str | None:
    """OpenID Connect Discovery 1.0, section 2: https, with neither query nor fragment."""
    if not value:
        return None
    if not is_trustworthy(value) or "?" in value or "#" in value:
        raise ValueError("the https address of an OpenID Connect issuer")
    return value


def _rate(value: str) -> int:
    """Whoever may spend less than the costliest operation could never ask for it."""
    points = _between(0, 999_999_999)(value)
    if 0 < points < LIMITS.cost:
        raise ValueError(f"0, for no limit, or at least {LIMITS.cost}")
    return points


def _store(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_there = parts.path if parts.scheme == "unix" else parts.hostname and parts.port != 0
        is_known = parts.scheme in ("redis", "rediss", "valkey", "valkeys", "unix") and not parts.query and is_there
    except ValueError:
        is_known = False
    if value != "memory://" and not is_known:
        raise ValueError("memory://, or an address like redis://host:6379/0 or valkey://host:6379/0")
    return value


def _nats(value: str) -> str | None:
    """One address, or those of a cluster with a comma between them."""
    try:
        parts = [urlsplit(part.strip()) for part in value.split(",")]
        known = all(each.scheme in ("nats", "tls") and each.hostname and each.port != 0 for each in parts)
    except ValueError:
        known = False
    if value and not known:
        raise ValueError("unset, or an address like nats://user:password@host:4222")
    return value or None


def _name(value: str) -> str:
    if not (value.isascii() and value.replace("_", "").replace("-", "").isalnum() and len(value) <= 32):
        raise ValueError("at most 32 letters, digits, - and _")
    return value


def _gateway(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        known = False
    if value and not known:
        raise ValueError("unset, or the address of a gateway like https://sms.example.com/messages")
    return value or None


def _token(value: str) -> str | None:
    if value and not (value.isascii() and value.isprintable() and " " not in value):
        raise ValueError("unset, or a token of printable characters without spaces")
    return value or None


def _folder(value: str) -> Path | None:
    if value and not Path(value).is_dir():
        raise ValueError("unset, or a folder of documents")
    return Path(value) if value else None


def _public(value: str) -> str:
    if not is_trustworthy(value) or "?" in value or "#" in value:
        raise ValueError("the https address at which others reach this server, like https://booking.example.com")
    return value.rstrip("/")


def _networks(value: str) -> Networks:
    try:
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError:
        raise ValueError("unset, or networks like 10.0.0.0/8, fd00::/8, none with bits of a host") from None


def _origins(value: str) -> frozenset[str]:
    """Read the sites whose pages may connect; each as browsers write it, without a path."""
    origins = [part.strip().lower() for part in value.split(",") if part.strip()]
    for parts in map(urlsplit, origins):
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path or parts.query or parts.fragment:
            raise ValueError("unset, or sites like https://book.example.org, separated by commas")
    return frozenset(origins)


def _between(least: int, most: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 10 and least <= int(value) <= most):
            raise ValueError(f"a whole number from {least} to {most}")
        return int(value)

    return parse


def _one_of(*allowed: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in allowed:
            raise ValueError(f"one of {', '.join(allowed)}")
        return value.lower()

    return parse


def _database_url(value: str) -> str | None:
    if value:
        try:
            known = make_url(value).drivername in ("postgresql", "postgres")
        except (ArgumentError, ValueError):
            known = False
        if not known:
            raise ValueError("unset, or an address like postgresql://user:password@host:5432/database")
    return value or None
