"""The type AvailabilityException."""

import datetime as dt
from typing import Any

import strawberry
from sqlalchemy import Row

from models import schedule_relations as relations
from models.availability_exception import MOST_WINDOWS, windows_of
from schema.access import TEAM
from schema.connection import one
from schema.cost import ListSize
from schema.local_interval import LocalInterval
from schema.node import Node
from schema.scalars import TimeZone
from schema.schedule_input import CAPACITY, GRID, SLOT, ZONE


@strawberry.type(
    description="A local date on which a provider is away, or works other hours: it goes before rules and holidays.",
    directives=[TEAM],
)
class AvailabilityException(Node):
    date: dt.date = strawberry.field(description="The local date.")
    time_zone: TimeZone | None = strawberry.field(description=ZONE)
    slot_minutes: int | None = strawberry.field(description=SLOT)
    grid_minutes: int | None = strawberry.field(description=GRID)
    capacity: int = strawberry.field(description=CAPACITY)
    created_at: dt.datetime
    version: int = strawberry.field(description="Grows by one with each change.")
    provider: Any = one(relations.EXCEPTION_PROVIDER, "Whose day it is.")
    service: Any = one(relations.EXCEPTION_SERVICE, "What for; null for whatever the provider gives.", optional=True)
    location: Any = one(relations.EXCEPTION_LOCATION, "Where; null for no particular place.", optional=True)

    @strawberry.field(
        description="When the provider works on this date; empty when they are away all day.",
        directives=[ListSize(assumed_size=MOST_WINDOWS)],
    )
    def windows(root: strawberry.Parent[Row[Any]]) -> list[LocalInterval]:  # noqa: N805
        return [LocalInterval.of(window) for window in windows_of(root)]
