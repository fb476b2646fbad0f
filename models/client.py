"""Clients: the people who reserve."""

from models.person import Person
from models.record import Record


class Client(Person, Record):
    """Whoever takes appointments. Without a zone, the business's holds."""

    __tablename__ = "clients"
