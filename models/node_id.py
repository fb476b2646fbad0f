"""Opaque ids: what the API shows instead of a table's key (Relay's Global Object Identification)."""

import base64
import binascii
import re
from functools import lru_cache
from uuid import UUID

from models.refusal import InvalidInput, NotFound

LONGEST = 200
_SHAPE = re.compile(r"([A-Z][A-Za-z]{1,40}):([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def encode(type_name: str, key: UUID) -> str:
    return base64.b64encode(f"{type_name}:{key}".encode()).decode()


def decode(value: str, *field: str | int) -> tuple[str, UUID]:
    """Read the type's name and the key, or refuse a text that no answer of ours ever contained."""
    found = _decoded(value) if len(value) <= LONGEST else None
    if found is None:
        raise InvalidInput(*field, problem="This is not an id; use one that an earlier answer contained.")
    return found


@lru_cache(maxsize=4096)
def _decoded(value: str) -> tuple[str, UUID] | None:
    try:
        text = base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    shape = _SHAPE.fullmatch(text)
    if shape is None or encode(shape[1], UUID(shape[2])) != value:
        return None
    return shape[1], UUID(shape[2])


def noun(type_name: str) -> str:
    """Call a thing by its name, in small letters: an availability rule."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type_name).lower()


def term(type_name: str) -> str:
    """Call a thing as events and modules do: availability_rule."""
    return noun(type_name).replace(" ", "_")


def key_of(type_name: str, value: str, *field: str | int) -> UUID:
    """Read the key of a thing of this type; the id of another type is an id that nothing has."""
    found, key = decode(value, *field)
    if found != type_name:
        raise NotFound(*field, noun=noun(type_name))
    return key


def key_if_given(type_name: str, value: str | None, *field: str | int) -> UUID | None:
    """Read the key of a thing that need not be named."""
    return None if value is None else key_of(type_name, value, *field)
