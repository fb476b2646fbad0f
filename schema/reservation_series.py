"""The type ReservationSeries."""

from datetime import datetime
from typing import Any

import strawberry

from models import relations
from schema.access import MEMBERS
from schema.connection import many, one
from schema.node import Node


@strawberry.type(
    description="The same appointment every so many weeks, held and confirmed together.", directives=[MEMBERS]
)
class ReservationSeries(Node):
    every_weeks: int = strawberry.field(description="How many weeks lie between one and the next.")
    count: int = strawberry.field(description="How many were asked for; of those in conflict none was made.")
    created_at: datetime
    version: int = strawberry.field(description="That of the series itself; its reservations have their own.")
    client: Any = one(relations.SERIES_CLIENT, "Who comes.")
    provider: Any = one(relations.SERIES_PROVIDER, "With whom; null for anybody who gives the service.", optional=True)
    service: Any = one(relations.SERIES_SERVICE, "For what; null for anything.", optional=True)
    reservations: Any = many(
        relations.SERIES_RESERVATIONS, "Its reservations that you see, by start: a provider sees those with them."
    )
