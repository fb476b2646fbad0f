"""The type AvailabilityExplanation."""

from datetime import datetime
from typing import Any

import strawberry

from models import relations
from models.explanation import AvailabilityReasonCode
from schema.access import TEAM
from schema.connection import one
from schema.cost import FEW

CODES = {
    "BUFFER": "Only the buffers around it are in the way of another reservation.",
    "CLOSED_BY_RULE": "No rule of the provider makes this time.",
    "EXCEPTION": "An exception of the provider, or a holiday, goes before the rules on this date.",
    "FULL": "It is booked; of a group, all seats are.",
    "HELD_UNTIL": "Somebody holds it, until `until` at the latest.",
    "HORIZON": "It lies farther ahead than is reserved; `latestStart` tells how far.",
    "LEAD_TIME": "It starts too soon; `earliestStart` tells what does not.",
    "NO_RESOURCE": "A resource that the service needs is in use.",
    "NOT_PUBLISHED": "The provider works then, but no appointment starts then: it is off the grid, or too far ahead.",
    "SERVICE_INACTIVE": "The service is switched off.",
    "SERVICE_NOT_GIVEN": "The provider does not give the service there, or the time is too short or for another one.",
    "TIME_OFF": "The provider is away, until `until`.",
}
ReasonCode = strawberry.enum(AvailabilityReasonCode, description=AvailabilityReasonCode.__doc__)
for value in ReasonCode.__strawberry_definition__.values:  # type: ignore[attr-defined]
    value.description = CODES[value.name]


@strawberry.type(description="One thing that stands in the way of reserving a time.", directives=[TEAM])
class AvailabilityReason:
    code: AvailabilityReasonCode = strawberry.field(description="What it is, for programs.")
    message: str = strawberry.field(description="One sentence, for people.")
    until: datetime | None = strawberry.field(description="From when on it no longer is, where that is known.")
    earliest_start: datetime | None = strawberry.field(description="What starts before this cannot be reserved now.")
    latest_start: datetime | None = strawberry.field(description="What starts after this cannot be reserved yet.")


@strawberry.type(
    description="Whether a time can be reserved now, by the rule by which search and reservationCreate go.",
    directives=[TEAM],
)
class AvailabilityExplanation:
    available: bool = strawberry.field(description="Whether it is among availableAppointments.")
    appointment: Any = one(
        relations.EXPLANATION_APPOINTMENT, "The appointment that starts then, if one does.", optional=True
    )
    reasons: list[AvailabilityReason] = strawberry.field(
        description="Everything that stands in the way; empty when nothing does.", directives=[FEW]
    )
