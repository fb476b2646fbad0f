"""Schedule inputs: what the inputs of rules, exceptions and weeks have in common."""

from typing import Any

import strawberry

from models.given import Edition, something
from models.node_id import key_of
from resolvers.writes import Request
from schema.edit_input import BESIDE, CreateInput, UpdateInput, unchanged
from schema.scalars import TimeZone

LOCATION = "Where; null for no particular place."
SERVICE = "What for, which the provider must give there; null for whatever the provider gives."
ZONE = "The zone of its wall time; null for the location's, else the provider's, else the business's."
SLOT = "How long an appointment is, 1 to 1440 minutes, no shorter than the service; null for as long as the service."
GRID = (
    "How far apart appointments begin, in minutes from the start of the window: as long as one at least, 1440 at most; "
    "null for one after the other."
)
CAPACITY = "How many clients each appointment can take, 1 to 1000."
# What of an input says nothing of the thing itself.
_BESIDE = BESIDE | {"provider_id"}
# Inputs that are called otherwise than the attributes of a row.
_ATTRIBUTES = {"weekday": "weekday_name", "start": "starts_minute"}
# Inputs that are ids, and of which type.
_LINKS = {"location_id": ("Location", "locationId"), "service_id": ("Service", "serviceId")}


@strawberry.input
class TermsInput(CreateInput):
    location_id: strawberry.ID | None = strawberry.field(default=None, description=LOCATION)
    service_id: strawberry.ID | None = strawberry.field(default=None, description=SERVICE)
    time_zone: TimeZone | None = strawberry.field(default=None, description=ZONE)
    slot_minutes: int | None = strawberry.field(default=None, description=SLOT)
    grid_minutes: int | None = strawberry.field(default=None, description=GRID)
    capacity: int | None = strawberry.field(default=1, description=CAPACITY)


@strawberry.input
class TermsUpdateInput(UpdateInput):
    location_id: strawberry.ID | None = unchanged(LOCATION)
    service_id: strawberry.ID | None = unchanged(SERVICE)
    time_zone: TimeZone | None = unchanged(ZONE)
    slot_minutes: int | None = unchanged(SLOT)
    grid_minutes: int | None = unchanged(GRID)
    capacity: int | None = unchanged(CAPACITY)


def edition(type_name: str, sent: Any, **read: Any) -> Request:
    """Read what is to change: what is left out stays as it is. Some of it may have been read already."""
    values = something(said(sent) | read)
    return Request(Edition(key_of(type_name, sent.id, "id"), sent.expected_version, values), sent.idempotency_key)


def said(sent: Any) -> dict[str, Any]:
    """Read what an input says of a thing, by the attributes of its row."""
    return {
        _ATTRIBUTES.get(name, name): _read(name, value)
        for name, value in vars(sent).items()
        if value is not strawberry.UNSET and name not in _BESIDE
    }


def _read(name: str, value: Any) -> Any:
    return key_of(_LINKS[name][0], value, _LINKS[name][1]) if name in _LINKS and value is not None else value
