"""The type Holiday, and the inputs and payloads of its changes."""

import datetime as dt
from typing import Any

import strawberry

from models import schedule_relations as relations
from models.holiday import Closing
from schema.access import EVERYBODY, TEAM
from schema.connection import maybe, one
from schema.edit_input import CreateInput, DeleteInput, UpdateInput, unchanged
from schema.error import thing
from schema.node import Node
from schema.schedule_input import said
from schema.supply import DeletePayload, SupplyPayload

NAME = "What it is called, 1 to 200 characters."
LOCATION = "Which location is closed; null for the whole business."
DATE = "The local date, of which a location, or the business, has one holiday."


@strawberry.type(
    description="A local date on which rules make no times, at a location or in the whole business. "
    "A provider's exception for that date goes before it.",
    directives=[EVERYBODY],
)
class Holiday(Node):
    date: dt.date = strawberry.field(description="The local date.")
    name: str = strawberry.field(description="What it is called.")
    created_at: dt.datetime = strawberry.field(directives=[TEAM])
    version: int = strawberry.field(description="Grows by one with each change.", directives=[TEAM])
    location: Any = one(relations.HOLIDAY_LOCATION, LOCATION, optional=True)


@strawberry.input(description="A date on which a location, or the whole business, is closed.")
class HolidayCreateInput(CreateInput):
    date: dt.date = strawberry.field(description=DATE)
    name: str = strawberry.field(description=NAME)
    location_id: strawberry.ID | None = strawberry.field(default=None, description=LOCATION)

    def closing(self) -> Closing:
        return Closing.read(said(self))


@strawberry.type(directives=[EVERYBODY])
class HolidayCreatePayload(SupplyPayload):
    holiday: Any = thing(maybe("Holiday"))


@strawberry.input(description="What is to change of a holiday. What is left out stays as it is; null takes away.")
class HolidayUpdateInput(UpdateInput):
    date: dt.date | None = unchanged(DATE)
    name: str | None = unchanged(NAME)
    location_id: strawberry.ID | None = unchanged(LOCATION)


@strawberry.type(directives=[EVERYBODY])
class HolidayUpdatePayload(SupplyPayload):
    holiday: Any = thing(maybe("Holiday"))


@strawberry.input(description="A holiday that is to be deleted: the rules hold again.")
class HolidayDeleteInput(DeleteInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class HolidayDeletePayload(DeletePayload):
    pass
