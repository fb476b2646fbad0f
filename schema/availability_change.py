"""The type AvailabilityChange."""

from datetime import datetime
from typing import Any

import strawberry

from models import relations
from models.signal import AvailabilityChange as Changed
from models.signal import AvailabilityChangeReason
from resolvers import signals
from schema.access import EVERYBODY
from schema.connection import Info, maybe, one
from schema.cost import Cost

strawberry.enum(AvailabilityChangeReason, description=AvailabilityChangeReason.__doc__)


@strawberry.type(
    description="A time that may be free now, or no longer. Nothing tells whose reservation it was.",
    directives=[EVERYBODY],
)
class AvailabilityChange:
    reason: AvailabilityChangeReason = strawberry.field(
        description="What happened to the time, or to a reservation that kept it, or keeps it, from being free."
    )
    starts_at: datetime = strawberry.field(description="When the time begins; of several published at once, the first.")
    ends_at: datetime = strawberry.field(description="When the time ends; of several published at once, the last.")
    occurred_at: datetime = strawberry.field(description="When it happened, by the database's clock.")
    provider: Any = one(relations.APPOINTMENT_PROVIDER, "Whose time it is.")

    @strawberry.field(
        graphql_type=maybe("Appointment"),
        description="The appointment; null where several were published at once (search from startsAt to endsAt), and "
        "where it is no longer offered.",
    )
    async def appointment(root: strawberry.Parent[Changed], info: Info) -> Any:  # noqa: N805
        return await signals.appointment(info.context, root)

    @strawberry.field(
        description="Whether it can be reserved now, for the service that the filter names; of several, any of them.",
        directives=[Cost(weight="5")],
    )
    async def available(root: strawberry.Parent[Changed], info: Info) -> bool:  # noqa: N805
        return await signals.is_free(info.context, root)
