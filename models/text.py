"""Texts that people write: made uniform, and refused when they hide something."""

import re
import unicodedata

from models.refusal import InvalidInput

LONGEST_NAME = 200
BREAKS = "\n\r\t"
LONGEST_NOTE = 2000
_NUMBER = re.compile(r"\+?[0-9 ()/.x-]+", re.ASCII)


def name(value: str, *field: str | int, longest: int = LONGEST_NAME, allowed: str = "") -> str:
    """Check a text that must say something, on one line unless breaks are allowed."""
    clean = _clean(value, longest, field, allowed=allowed).strip()
    if _is_blank(clean):
        raise InvalidInput(*field, problem=f"{field[-1]} must not be empty.")
    return clean


def note(value: str | None, *field: str | int) -> str | None:
    """Check a text of many lines."""
    return None if value is None else _clean(value, LONGEST_NOTE, field, allowed=BREAKS)


def reason(value: str | None, *field: str | int) -> str | None:
    """Check a text of many lines that is kept only if it says something."""
    clean = note(value, *field)
    return None if clean is None or _is_blank(clean) else clean


def email(value: str | None, *field: str | int) -> str | None:
    """Check what must look like an address; only a message sent there can tell whether it is one."""
    if value is None:
        return None
    clean = _clean(value, 254, field, allowed="").strip()
    local, _, domain = clean.rpartition("@")
    if not local or "." not in domain.strip(".") or any(mark.isspace() for mark in clean):
        raise InvalidInput(*field, problem=f"{field[-1]} must be an email address.")
    return clean


def phone(value: str | None, *field: str | int) -> str | None:
    """Check what must look like a telephone number; only a call can tell whether it is one."""
    if value is None:
        return None
    clean = _clean(value, 32, field, allowed="").strip()
    if sum(mark.isdigit() for mark in clean) < 3 or not _NUMBER.fullmatch(clean):
        raise InvalidInput(*field, problem=f"{field[-1]} must be a telephone number, like +49 30 1234567.")
    return clean


def key(value: str | None, *field: str | int) -> str | None:
    """Check an idempotency key."""
    if value is None:
        return None
    if not 1 <= len(value) <= 255 or not value.isprintable() or _broken(value):
        raise InvalidInput(*field, problem="An idempotency key has 1 to 255 printable characters.")
    return value


def _clean(value: str, longest: int, field: tuple[str | int, ...], *, allowed: str) -> str:
    clean = unicodedata.normalize("NFC", value) if len(value) <= longest else value
    if len(clean) > longest:
        raise InvalidInput(*field, problem=f"{field[-1]} has {len(clean)} characters; {longest} are allowed.")
    if _broken(clean) or any(unicodedata.category(mark) == "Cc" and mark not in allowed for mark in clean):
        raise InvalidInput(*field, problem=f"{field[-1]} contains a control character or a broken one.")
    return clean


def _is_blank(value: str) -> bool:
    """Tell whether there is nothing in it that can be seen."""
    return all(unicodedata.category(mark)[0] in "ZC" for mark in value)


def _broken(value: str) -> bool:
    return any("\ud800" <= mark <= "\udfff" for mark in value)
