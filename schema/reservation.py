"""The type Reservation."""

from datetime import datetime
from typing import Any

import strawberry
from sqlalchemy import Row

from models import relations, waitlist_relations
from models.page import Page
from models.reservation import ReservationStatus
from models.viewer import Role
from resolvers.calendars import file_of
from schema.access import MEMBERS
from schema.audit_entry import AuditEntry
from schema.connection import PAGED, After, Before, Connection, First, Info, Last, in_zone, many, one, personal, same_as
from schema.cost import Cost
from schema.declaration import Related
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
    expires_at: datetime = strawberry.field(
        description="From this instant on an unconfirmed hold, or a request that nobody has approved, is free again."
    )
    created_at: datetime
    requested_at: datetime | None = strawberry.field(
        description="When the client confirmed it, where that takes an approval; null otherwise."
    )
    confirmed_at: datetime | None
    started_at: datetime | None = strawberry.field(description="When the appointment began; null if nobody said so.")
    completed_at: datetime | None = strawberry.field(description="When it was over; null if nobody said so.")
    cancelled_at: datetime | None
    cancelled_by: Role | None = strawberry.field(description="The role of whoever gave it back; null if nobody did.")
    needs_approval: bool = strawberry.field(description="Whether a client's confirmation has to be approved.")
    renewals: int = strawberry.field(description="How often the hold was renewed.")
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
    visit: Any = one(relations.RESERVATION_VISIT, "The visit that it is a part of; null for most.", optional=True)
    series: Any = one(relations.RESERVATION_SERIES, "The series that it is a part of; null for most.", optional=True)
    proposals: Any = many(
        waitlist_relations.RESERVATION_PROPOSALS,
        "The times of others that are or were proposed to the client because its provider will be away, the newest first.",
    )
    expiry: datetime = same_as("expires_at", "The same as expiresAt.")

    @strawberry.field(
        graphql_type=Connection[AuditEntry],
        description="What was done to it, the newest first; for whoever answers for the business, also who read what is "
        "personal of it.",
        extensions=[Related(relations.RESERVATION_HISTORY)],
        directives=[PAGED, MEMBERS],
    )
    def history(self, first: First = None, after: After = None, last: Last = None, before: Before = None) -> Any:
        return Page.read(relations.RESERVATION_HISTORY.listed, first, after, last, before)

    @strawberry.field(
        description="The reservation as a file of calendar programs (RFC 5545, text/calendar): a hold is TENTATIVE, what was "
        "given back CANCELLED, and SEQUENCE grows with each change. It names the provider, and neither client nor note.",
        directives=[Cost(weight="5")],
    )
    async def calendar_file(root: strawberry.Parent[Row[Any]], info: Info) -> str | None:  # noqa: N805
        return await file_of(info.context, root.id)
