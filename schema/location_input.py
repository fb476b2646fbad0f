"""Locations: the inputs and the payloads of their mutations."""

from typing import Any

import strawberry

from models.location import FIELDS
from resolvers.writes import Request
from schema.access import EVERYBODY
from schema.connection import maybe
from schema.edit_input import NAME, CreateInput, DeleteInput, UpdateInput, creation, deletion, edition, unchanged
from schema.error import thing
from schema.scalars import TimeZone
from schema.supply import DeletePayload, SupplyPayload

ADDRESS = "Up to 500 characters, on several lines if need be."
POSTAL_CODE = "Up to 20 characters."


@strawberry.input(description="A new location.")
class LocationCreateInput(CreateInput):
    name: str = strawberry.field(description=NAME)
    address: str | None = strawberry.field(default=None, description=ADDRESS)
    postal_code: str | None = strawberry.field(default=None, description=POSTAL_CODE)
    time_zone: TimeZone

    def wanted(self) -> Request:
        return creation(self, FIELDS)


@strawberry.type(directives=[EVERYBODY])
class LocationCreatePayload(SupplyPayload):
    location: Any = thing(maybe("Location"))


@strawberry.input(
    description="What is to change of a location. What is left out stays as it is; null takes an address, or a postal code, away."
)
class LocationUpdateInput(UpdateInput):
    name: str | None = unchanged(NAME)
    address: str | None = unchanged(ADDRESS)
    postal_code: str | None = unchanged(POSTAL_CODE)
    time_zone: TimeZone | None = unchanged("In another zone the same local times are published anew.")

    def wanted(self) -> Request:
        return edition("Location", self, FIELDS)


@strawberry.type(directives=[EVERYBODY])
class LocationUpdatePayload(SupplyPayload):
    location: Any = thing(maybe("Location"))


@strawberry.input(description="A location that nothing refers to any longer.")
class LocationDeleteInput(DeleteInput):
    def wanted(self) -> Request:
        return deletion("Location", self)


@strawberry.type(directives=[EVERYBODY])
class LocationDeletePayload(DeletePayload):
    pass
