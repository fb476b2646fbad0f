"""The type Visit."""

from datetime import datetime
from typing import Any

import strawberry

from models import relations
from models.reservation import ReservationStatus
from schema.access import MEMBERS
from schema.connection import many, one
from schema.node import Node


@strawberry.type(
    description="Services that a client has one after the other, held and confirmed together.", directives=[MEMBERS]
)
class Visit(Node):
    status: ReservationStatus = strawberry.field(
        description="The first of these that any of its reservations has now: HELD, PENDING, CONFIRMED, COMPLETED, NO_SHOW, "
        "CANCELLED, EXPIRED. As long as something is still to be confirmed, that is HELD."
    )
    starts_at: datetime = strawberry.field(description="When its first reservation begins.")
    ends_at: datetime = strawberry.field(description="When its last reservation ends.")
    created_at: datetime
    version: int = strawberry.field(description="That of the visit itself; its reservations have their own.")
    client: Any = one(relations.VISIT_CLIENT, "Who comes.")
    reservations: Any = many(
        relations.VISIT_RESERVATIONS, "Its reservations that you see, by start: a provider sees those with them."
    )
