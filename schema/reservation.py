"""The type Reservation."""

from datetime import datetime
from typing import Any

import strawberry

from models import relations
from models.reservation import ReservationStatus
from schema.access import MEMBERS
from schema.connection import in_zone, one, personal, same_as
from schema.money import price
from schema.node import Node
from schema.scalars import LocalDateTime

__all__ = ["Reservation", "ReservationStatus"]

strawberry.enum(ReservationStatus, description=ReservationStatus.__doc__)


@strawberry.type(description="A client's claim on an appointment.", directives=[MEMBERS])
class Reservation(Node):
    status: ReservationStatus = strawberry.field(description="Where it stands now: a lapsed hold is EXPIRED at once.")
    expired: bool = strawberry.field(description="Whether it was held and lapsed; never true once confirmed.")
    confirmed: bool = strawberry.field(description="Whether it is confirmed.")
    starts_at: datetime
    ends_at: datetime
    local_starts_at: LocalDateTime = in_zone("starts_at", "startsAt as a clock on a wall shows it.")
    local_ends_at: LocalDateTime = in_zone("ends_at", "endsAt as a clock on a wall shows it.")
    duration_minutes: int = strawberry.field(
        description="How long the service takes, in minutes, as it was agreed on; without one, how long the appointment is."
    )
    price: Any = price("What was agreed on when the time was chosen; null where nothing was said.")
    cancel_cutoff_minutes: int = strawberry.field(
        description="How long before the start the client may cancel at the latest, in minutes, as it was agreed on."
    )
    seat: int = strawberry.field(description="Its number among the seats of a group; 1 otherwise.")
    note: str | None = personal("note", "What the client wants the provider to know.")
    expires_at: datetime = strawberry.field(description="From this instant on an unconfirmed hold is free again.")
    created_at: datetime
    confirmed_at: datetime | None
    cancelled_at: datetime | None
    cancel_reason: str | None = personal("cancel_reason", "Why it was given back, in whoever's words.")
    version: int = strawberry.field(description="Grows by one with each change.")
    client: Any = one(relations.RESERVATION_CLIENT, "Who reserved.")
    provider: Any = one(relations.RESERVATION_PROVIDER, "With whom.")
    service: Any = one(relations.RESERVATION_SERVICE, "For what; null for anything.", optional=True)
    appointment: Any = one(
        relations.RESERVATION_APPOINTMENT,
        "The appointment; null when this reservation is closed and the provider has withdrawn the time since.",
        optional=True,
    )
    expiry: datetime = same_as("expires_at", "The same as expiresAt.")
