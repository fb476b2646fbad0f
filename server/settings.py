"""The settings, read once from the environment and checked before anything starts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

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
    pool_size: int
    lanes: int
    compile: bool
    log_level: str

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
            pool_size=reader.read("POOL_SIZE", "8", _between(1, 100)),
            lanes=reader.read("LANES", "4", _between(1, 64)),
            compile=reader.read("COMPILE", "on", _one_of("on", "off")) == "on",
            log_level=reader.read("LOG_LEVEL", "info", _one_of(*LOG_LEVELS)),
        )
        if reader.complaints:
            raise SettingsError("\n".join(reader.complaints))
        return settings


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.complaints: list[str] = []

    def read(self, name: str, default: str, parse: Callable[[str], T]) -> T:
        value = self.environment.get(name, default)
        try:
            return parse(value)
        except ValueError as bad:
            shown = f"is {value[:40]!r}" if name != "DATABASE_URL" else "cannot be read"  # it may carry a password
            self.complaints.append(f"{name} {shown}, but it must be {bad}.")
            return parse(default)


def _text(value: str) -> str:
    if not value.strip() or "\0" in value:
        raise ValueError("a text that is not empty")
    return value


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
