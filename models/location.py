"""Locations: the places of a business, each in its own time zone."""

from functools import partial

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped

from models import text, zone
from models.given import written
from models.record import OfBusiness, Record

LONGEST_ADDRESS, LONGEST_POSTAL_CODE = 500, 20


class Location(OfBusiness, Record):
    """A place where appointments are kept."""

    __tablename__ = "locations"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="location_of_business"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="location_has_a_name"),
        CheckConstraint(
            "length(address) <= 500 AND length(postal_code) BETWEEN 1 AND 20",
            name="address_is_short",
        ),
        Index("locations_by_name", "business_id", "name", "id"),
    )

    name: Mapped[str]
    address: Mapped[str | None]
    postal_code: Mapped[str | None]
    time_zone: Mapped[str]


FIELDS = {
    "name": written("name", text.name, is_needed=True),
    "address": written("address", partial(text.name, longest=LONGEST_ADDRESS, allowed=text.BREAKS)),
    "postal_code": written("postal_code", partial(text.name, longest=LONGEST_POSTAL_CODE)),
    "time_zone": written("time_zone", lambda value, field: zone.zone(value, field).key, is_needed=True),
}
"""How what is given of a location is read."""
