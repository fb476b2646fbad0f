"""The settings, read once from the environment and checked before anything starts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar
from urllib.parse import urlsplit

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from schema.limits import LIMITS
from server.address import is_loopback, is_trustworthy

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
        )
        if (settings.oidc_issuer is None) != (settings.oidc_audience is None):
            reader.complaints.append("OIDC_ISSUER and OIDC_AUDIENCE belong together; set both, or neither.")
        if settings.owner_database_url is not None and settings.database_url is None:
            reader.complaints.append("OWNER_DATABASE_URL belongs to a DATABASE_URL; set both, or neither.")
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
                f"is {value[:40]!r}" if not name.endswith(("DATABASE_URL", "STORE")) else "cannot be read"
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


def _folder(value: str) -> Path | None:
    if value and not Path(value).is_dir():
        raise ValueError("unset, or a folder of documents")
    return Path(value) if value else None


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
