"""Visits: services that a client has one after the other, reserved in one hold."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Integer,
    ScalarSelect,
    Text,
    UniqueConstraint,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, aliased, column_property, mapped_column

from models.bundle import is_seen
from models.record import Record, generated_id, stamped, versioned
from models.reservation import Reservation, ReservationStatus
from models.viewer import Viewer

_NAMED = ", ".join(f"'{status}'" for status in ReservationStatus)
_STATUSES: Any = literal_column(f"(ARRAY[{_NAMED}])", ARRAY(Text))
_member = aliased(Reservation, name="member")
_FIRST_STATUS = _STATUSES[func.min(func.array_position(_STATUSES, _member.status), type_=Integer)]
"""The first of the statuses, in their order, that any reservation has."""


def _of_members(told: Any, business_id: Any, visit_id: Any) -> ScalarSelect[Any]:
    """Select what is told of all reservations of a visit at once."""
    of_visit = select(told).where(_member.business_id == business_id, _member.visit_id == visit_id)
    return of_visit.correlate_except(_member).scalar_subquery()


class Visit(Record):
    """What a client has come for at once. What becomes of it is what becomes of its reservations."""

    __tablename__ = "visits"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "client_id"], ["clients.business_id", "clients.id"], name="visit_of_client"
        ),
        UniqueConstraint("business_id", "id", "client_id", name="visit_by_client"),
        Index("visits_of_client", "business_id", "client_id"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    client_id: Mapped[UUID]
    created_at: Mapped[datetime] = stamped()
    version: Mapped[int] = versioned()

    starts_at: Mapped[datetime] = column_property(_of_members(func.min(_member.starts_at), business_id, id))  # noqa: A003 -- the column
    ends_at: Mapped[datetime] = column_property(_of_members(func.max(_member.ends_at), business_id, id))  # noqa: A003 -- the column
    status: Mapped[str] = column_property(_of_members(_FIRST_STATUS, business_id, id))  # noqa: A003 -- the column

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """A client sees their own, a provider those of which a reservation is with them, the rest of a team all."""
        return is_seen(cls, super().visible_to(viewer), viewer)
