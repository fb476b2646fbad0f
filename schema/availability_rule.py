"""The type AvailabilityRule."""

from datetime import date, datetime
from typing import Any

import strawberry

from models import schedule_relations as relations
from schema.access import TEAM
from schema.connection import one, same_as
from schema.local_interval import END, NEXT_DAY, START, Weekday
from schema.node import Node
from schema.scalars import LocalTime, TimeZone
from schema.schedule_input import CAPACITY, GRID, SLOT, ZONE


@strawberry.type(
    description="A window in which a provider works: on a weekday of every week, or on certain dates. "
    "On a date that has rules of its own, those of its weekday do not hold.",
    directives=[TEAM],
)
class AvailabilityRule(Node):
    weekday: Weekday | None = same_as("weekday_name", "On which weekday; null for a rule that is for dates.")
    start: LocalTime = same_as("starts_minute", START)
    end: LocalTime = same_as("end", END)
    ends_next_day: bool = strawberry.field(description=NEXT_DAY)
    valid_from: date | None = strawberry.field(description="The first date on which it holds; null for no first one.")
    valid_until: date | None = strawberry.field(description="The last date on which it holds; null for no last one.")
    recurrence: str | None = strawberry.field(
        description="On which dates since validFrom (RFC 5545, 3.3.10); null for every one."
    )
    time_zone: TimeZone | None = strawberry.field(description=ZONE)
    slot_minutes: int | None = strawberry.field(description=SLOT)
    grid_minutes: int | None = strawberry.field(description=GRID)
    capacity: int = strawberry.field(description=CAPACITY)
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")
    provider: Any = one(relations.RULE_PROVIDER, "Who works.")
    service: Any = one(relations.RULE_SERVICE, "What for; null for whatever the provider gives.", optional=True)
    location: Any = one(relations.RULE_LOCATION, "Where; null for no particular place.", optional=True)
