"""Changing exceptions: the inputs and payloads of availabilityExceptionCreate, -Update and -Delete."""

import datetime as dt
from typing import Any

import strawberry

from models.availability_exception import MOST_WINDOWS, OtherHours
from models.node_id import key_of
from models.refusal import InvalidInput
from resolvers.schedules import Addition
from resolvers.writes import Request
from schema.access import EVERYBODY
from schema.connection import maybe
from schema.edit_input import DeleteInput, unchanged
from schema.error import thing
from schema.local_interval import LocalIntervalInput, intervals
from schema.schedule_input import TermsInput, TermsUpdateInput, edition, said
from schema.supply import DeletePayload, SupplyPayload

DATE = "The local date. A provider has one exception a date."
WINDOWS = (
    f"When the provider works instead, {MOST_WINDOWS} windows at most, none touching another; empty for not at all."
)


@strawberry.input(description="A date on which a provider is away, or works other hours than the rules say.")
class AvailabilityExceptionCreateInput(TermsInput):
    provider_id: strawberry.ID
    date: dt.date = strawberry.field(description=DATE)
    windows: list[LocalIntervalInput] = strawberry.field(description=WINDOWS)

    def addition(self) -> Addition:
        values = said(self) | {"windows": intervals(self.windows, "windows")}
        return Addition(key_of("Provider", self.provider_id, "providerId"), OtherHours.read(values))


@strawberry.type(directives=[EVERYBODY])
class AvailabilityExceptionCreatePayload(SupplyPayload):
    availability_exception: Any = thing(maybe("AvailabilityException"))


@strawberry.input(description="What is to change of an exception. What is left out stays as it is; null takes away.")
class AvailabilityExceptionUpdateInput(TermsUpdateInput):
    date: dt.date | None = unchanged(DATE)
    windows: list[LocalIntervalInput] | None = unchanged(WINDOWS)

    def edition(self) -> Request:
        if self.windows is None:
            raise InvalidInput("windows", problem="windows must not be null; none at all is [].")
        read = {} if self.windows is strawberry.UNSET else {"windows": intervals(self.windows, "windows")}
        return edition("AvailabilityException", self, **read)


@strawberry.type(directives=[EVERYBODY])
class AvailabilityExceptionUpdatePayload(SupplyPayload):
    availability_exception: Any = thing(maybe("AvailabilityException"))


@strawberry.input(description="An exception that is to be deleted: the rules hold again.")
class AvailabilityExceptionDeleteInput(DeleteInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class AvailabilityExceptionDeletePayload(DeletePayload):
    pass
