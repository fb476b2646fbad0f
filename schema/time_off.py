"""The type TimeOff, and the inputs and payloads of its changes."""

from datetime import datetime
from typing import Any

import strawberry

from models import schedule_relations as relations
from models.node_id import key_of
from models.time_off import Absence
from resolvers.schedules import Addition
from schema.access import EVERYBODY, TEAM
from schema.connection import maybe, one, personal
from schema.edit_input import CreateInput, DeleteInput, UpdateInput, unchanged
from schema.error import thing
from schema.node import Node
from schema.schedule_input import said
from schema.supply import DeletePayload, SupplyPayload

STARTS = "From this instant on they are away."
ENDS = "From this instant on they are back; 366 days later at most."
REASON = "Why, up to 2000 characters."


@strawberry.type(
    description="When a provider is away: no rule makes a time that reaches into it. A PROVIDER sees their own.",
    directives=[TEAM],
)
class TimeOff(Node):
    starts_at: datetime = strawberry.field(description=STARTS)
    ends_at: datetime = strawberry.field(description=ENDS)
    reason: str | None = personal("reason", "Why, in whoever's words.")
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")
    provider: Any = one(relations.TIME_OFF_PROVIDER, "Who is away.")


@strawberry.input(description="When and why a provider is away.")
class TimeOffCreateInput(CreateInput):
    provider_id: strawberry.ID
    starts_at: datetime = strawberry.field(description=STARTS)
    ends_at: datetime = strawberry.field(description=ENDS)
    reason: str | None = strawberry.field(default=None, description=REASON)

    def addition(self) -> Addition:
        return Addition(key_of("Provider", self.provider_id, "providerId"), Absence.read(said(self)))


@strawberry.type(directives=[EVERYBODY])
class TimeOffCreatePayload(SupplyPayload):
    time_off: Any = thing(maybe("TimeOff"))


@strawberry.input(description="What is to change of time off. What is left out stays as it is; null takes away.")
class TimeOffUpdateInput(UpdateInput):
    starts_at: datetime | None = unchanged(STARTS)
    ends_at: datetime | None = unchanged(ENDS)
    reason: str | None = unchanged(REASON)


@strawberry.type(directives=[EVERYBODY])
class TimeOffUpdatePayload(SupplyPayload):
    time_off: Any = thing(maybe("TimeOff"))


@strawberry.input(description="Time off that is to be deleted: the rules hold again.")
class TimeOffDeleteInput(DeleteInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class TimeOffDeletePayload(DeletePayload):
    pass
