"""Resources: rooms and equipment, which a reservation claims beside its provider."""

from datetime import datetime
from enum import StrEnum
from functools import partial
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, SmallInteger
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models import text
from models.business import between
from models.given import as_it_is, written
from models.node_id import key_of
from models.record import OfBusiness, Record

MOST_UNITS = 1000


class ResourceKind(StrEnum):
    """ROOM for a room or a chair, EQUIPMENT for what can be carried."""

    ROOM = "ROOM"
    EQUIPMENT = "EQUIPMENT"


class Resource(OfBusiness, Record):
    """Something of which there are `quantity`, all alike; only one reservation uses each at a time."""

    __tablename__ = "resources"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="resource_of_business"),
        ForeignKeyConstraint(
            ["business_id", "location_id"], ["locations.business_id", "locations.id"], name="resource_at_location"
        ),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="resource_has_a_name"),
        CheckConstraint("kind IN ('ROOM', 'EQUIPMENT')", name="kind_is_known"),
        CheckConstraint("quantity BETWEEN 1 AND 1000", name="quantity_is_sane"),
        Index("resources_by_name", "business_id", "name", "id"),
    )

    name: Mapped[str]
    kind: Mapped[str] = mapped_column(server_default="ROOM")
    quantity: Mapped[int] = mapped_column(SmallInteger, server_default=sql("1"))
    location_id: Mapped[UUID | None]


class ResourceClaim(Record):
    """Which unit of a resource a live reservation uses; the guard writes it. Seats of one group share it."""

    __tablename__ = "resource_claims"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "reservation_id"],
            ["reservations.business_id", "reservations.id"],
            name="claim_of_reservation",
        ),
        ForeignKeyConstraint(
            ["business_id", "resource_id"], ["resources.business_id", "resources.id"], name="claim_on_resource"
        ),
        ExcludeConstraint(
            ("resource_id", "="),
            ("unit", "="),
            (sql("tstzrange(busy_from, busy_until)"), "&&"),
            ("session_id", "<>"),
            ("business_id", "="),
            using="gist",
            name="unit_is_free",
        ),
        Index("claims_on_resource", "business_id", "resource_id", "busy_from"),
        Index("claims_of_session", "business_id", "session_id"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    reservation_id: Mapped[UUID] = mapped_column(primary_key=True)
    resource_id: Mapped[UUID] = mapped_column(primary_key=True)
    unit: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    session_id: Mapped[UUID]
    busy_from: Mapped[datetime]
    busy_until: Mapped[datetime]


def units(value: int, *field: str | int) -> int:
    """Check how many of a resource there are, or are needed."""
    between(value, 1, MOST_UNITS, *field)
    return value


FIELDS = {
    "name": written("name", text.name, is_needed=True),
    "kind": written("kind", as_it_is, is_needed=True),
    "quantity": written("quantity", units, is_needed=True),
    "location_id": written("location_id", partial(key_of, "Location")),
}
"""How what is given of a resource is read."""
