"""The type TimeOff, and the inputs and payloads of its changes."""

from datetime import datetime
from typing import Any

import strawberry

from models import Proposal
from models import schedule_relations as relations
from models.node_id import key_of
from models.time_off import Absence, TimeOffSource
from resolvers.proposals import MOST_PROPOSED
from resolvers.schedules import Addition
from resolvers.supply import Supplied
from schema.access import EVERYBODY, TEAM
from schema.connection import Info, maybe, one, personal, several
from schema.cost import ListSize
from schema.edit_input import CreateInput, DeleteInput, UpdateInput, unchanged
from schema.error import thing
from schema.node import Node
from schema.schedule_input import said
from schema.supply import DeletePayload, SupplyPayload

strawberry.enum(TimeOffSource, description=TimeOffSource.__doc__)

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
    source: TimeOffSource = strawberry.field(
        description="Who says so; what is IMPORTED is changed in its own calendar."
    )
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")
    provider: Any = one(relations.TIME_OFF_PROVIDER, "Who is away.")


@strawberry.input(description="When and why a provider is away.")
class TimeOffCreateInput(CreateInput):
    provider_id: strawberry.ID
    starts_at: datetime = strawberry.field(description=STARTS)
    ends_at: datetime = strawberry.field(description=ENDS)
    reason: str | None = strawberry.field(default=None, description=REASON)

    reassign: bool = strawberry.field(
        default=False,
        description="Whether each reservation in that time, however the time was published, is proposed another provider's: for the same service, in the "
        "same place, at the same start, or else the nearest one on the same local day. Of several providers it is the one whom "
        "reservationCreateAnyProvider would choose. The time is held until the proposal is decided; no lead time counts.",
    )

    def addition(self) -> Addition:
        provider = key_of("Provider", self.provider_id, "providerId")
        return Addition(provider, Absence.read(said(self)), bool(self.reassign))


@strawberry.type(directives=[EVERYBODY])
class TimeOffCreatePayload(SupplyPayload):
    time_off: Any = thing(maybe("TimeOff"))
    proposed: strawberry.Private[Supplied | None] = None

    @strawberry.field(
        graphql_type=several("Proposal"),
        description=f"What is proposed to those whom it affects, at most {MOST_PROPOSED}; empty unless `reassign` is set.",
        directives=[ListSize(assumed_size=MOST_PROPOSED), TEAM],
    )
    async def proposals(self, info: Info) -> Any:
        keys = self.proposed.proposals if self.proposed else ()
        rows = [await row for row in [info.context.loaders.one(Proposal, key) for key in keys]]
        return [row for row in rows if row is not None]

    @strawberry.field(
        description="For how many of them nobody else was found; 0 unless `reassign` is set.", directives=[TEAM]
    )
    def without_proposal(self) -> int:
        return self.proposed.without_proposal if self.proposed else 0


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
