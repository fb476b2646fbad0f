"""Locations: the places of a business, each in its own time zone."""

from sqlalchemy import CheckConstraint, ForeignKeyConstraint
from sqlalchemy.orm import Mapped

from models.record import OfBusiness, Record


class Location(OfBusiness, Record):
    """A place where appointments are kept."""

    __tablename__ = "locations"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="location_of_business"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="location_has_a_name"),
    )

    name: Mapped[str]
    time_zone: Mapped[str]
