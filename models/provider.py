"""Providers: the people (or teams) whose time is booked."""

from models.person import Person
from models.record import Record


class Provider(Person, Record):
    """Whoever offers appointments: a stylist, a doctor, a team member. Without a zone, the business's holds."""

    __tablename__ = "providers"
