"""The type Appointment."""

from datetime import datetime
from typing import Any

import strawberry

from models import relations
from schema.access import EVERYBODY, MEMBERS
from schema.connection import first_of, in_zone, many, one, same_as
from schema.node import Node
from schema.scalars import LocalDateTime


@strawberry.type(
    description="One place in a provider's time that can be taken. It never changes; it can be withdrawn.",
    directives=[EVERYBODY],
)
class Appointment(Node):
    starts_at: datetime
    ends_at: datetime
    capacity: int = strawberry.field(description="How many clients can reserve it; more than one for a group.")
    created_at: datetime = strawberry.field(description="When it was published.")
    is_offered: bool = strawberry.field(description="Whether it is still offered; only then can it be reserved.")
    withdrawn_at: datetime | None = strawberry.field(
        description="Since when it is no longer offered. It stays only for whoever has reserved it."
    )
    provider: Any = one(relations.APPOINTMENT_PROVIDER, "Whose time it is.")
    service: Any = one(relations.APPOINTMENT_SERVICE, "What it was published for; null for anything.", optional=True)
    location: Any = one(relations.APPOINTMENT_LOCATION, "Where it takes place.", optional=True)
    reservations: Any = many(
        relations.APPOINTMENT_RESERVATIONS, "Every claim on it, closed ones too; of those that you see.", MEMBERS
    )

    local_starts_at: LocalDateTime = in_zone("starts_at", "startsAt as a clock on a wall shows it.")
    local_ends_at: LocalDateTime = in_zone("ends_at", "endsAt as a clock on a wall shows it.")
    time_slot: datetime = same_as("starts_at", "The same as startsAt.")
    confirmed_reservation: Any = first_of(
        relations.APPOINTMENT_CONFIRMED_RESERVATIONS, "The confirmed reservation; the first one of a group.", MEMBERS
    )
