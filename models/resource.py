"""Resources: rooms, chairs, machines, which a reservation may claim beside its provider."""

from sqlalchemy import CheckConstraint, ForeignKeyConstraint
from sqlalchemy.orm import Mapped

from models.record import OfBusiness, Record


class Resource(OfBusiness, Record):
    """Something that only one reservation can use at a time."""

    __tablename__ = "resources"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="resource_of_business"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="resource_has_a_name"),
    )

    name: Mapped[str]
