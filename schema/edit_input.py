"""Edits: what the inputs that make, change and delete a thing of the catalogue have in common, and how they are read."""

from collections.abc import Mapping
from typing import Any

import strawberry

from models.given import Creation, Deletion, Edition, Field, read, something
from models.node_id import key_of
from resolvers.writes import Request
from schema.root import KEY
from schema.supply import VERSION

# What every such input says beside the values of the thing itself.
BESIDE = {"id", "expected_version", "idempotency_key"}
NAME = "1 to 200 characters."


@strawberry.input
class CreateInput:
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input
class UpdateInput:
    id: strawberry.ID
    expected_version: int = strawberry.field(description=VERSION)
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.input
class DeleteInput:
    id: strawberry.ID
    expected_version: int | None = strawberry.field(default=None, description=VERSION)
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


def unchanged(description: str = "") -> Any:
    """Declare a value that may be left out."""
    return strawberry.field(default=strawberry.UNSET, description=description or None)


def given(sent: Any, *without: str) -> dict[str, Any]:
    """Tell what an input says of the thing itself: all that is not left out."""
    beside = BESIDE.union(without)
    return {name: value for name, value in vars(sent).items() if value is not strawberry.UNSET and name not in beside}


def creation(sent: Any, fields: Mapping[str, Field]) -> Request:
    """Read what is to be made."""
    return Request(Creation(read(given(sent), fields)), sent.idempotency_key)


def edition(type_name: str, sent: Any, fields: Mapping[str, Field]) -> Request:
    """Read what is to change."""
    key = key_of(type_name, sent.id, "id")
    return Request(Edition(key, sent.expected_version, something(read(given(sent), fields))), sent.idempotency_key)


def deletion(type_name: str, sent: Any) -> Request:
    """Read what is to be deleted."""
    return Request(Deletion(key_of(type_name, sent.id, "id"), sent.expected_version), sent.idempotency_key)
