"""Locales: in which language somebody is written to, and how dates and times look there."""

import re

from babel import Locale, UnknownLocaleError

from models.refusal import InvalidInput

DEFAULT_LOCALE = "en"
LONGEST_LOCALE = 35
_TAG = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}", re.ASCII)


def locale(value: str | None, *field: str | int) -> str | None:
    """Check a language tag (BCP 47), and write it in its usual spelling."""
    if value is None:
        return None
    try:
        known = Locale.parse(value, sep="-") if len(value) <= LONGEST_LOCALE and _TAG.fullmatch(value) else None
    except (ValueError, UnknownLocaleError):
        known = None
    if known is None:
        raise InvalidInput(*field, problem=f"{field[-1]} must be the tag of a known language, like en, en-GB or pt-BR.")
    return str(known).replace("_", "-")
