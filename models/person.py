"""Persons: what providers and clients have in common, and how either is written and found."""

from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, func, insert, literal, or_, select

from models import text, zone
from models.idempotency_key import Key, is_new, remembered
from models.record import columns
from models.relation import rows


@dataclass(frozen=True)
class Person:
    """What somebody tells of themselves."""

    first_name: str
    last_name: str
    email: str | None = None
    time_zone: str | None = None

    @classmethod
    def read(cls, first_name: str, last_name: str, email: str | None, time_zone: str | None) -> "Person":
        """Check what was sent and make it uniform."""
        return cls(
            text.name(first_name, "firstName"),
            text.name(last_name, "lastName"),
            text.email(email, "email"),
            None if time_zone is None else zone.zone(time_zone, "timeZone").key,
        )


def create(record: Any, business: UUID, person: Person, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Write a person, and the key of the request in the same statement."""
    values = {"business_id": business, **asdict(person)}
    row = select(*(literal(value, getattr(record, name).type).label(name) for name, value in values.items())).where(
        is_new(key), authored
    )
    written = insert(record).from_select(list(values), row).returning(*columns(record))
    return remembered(written.cte("written"), key)


def found(record: Any, business: UUID, search: str | None) -> Select[Any]:
    """Select persons; `search` is looked for in both names and the email address, to the letter but for case."""
    statement = rows(record, business)
    if search is None:
        return statement
    full_name = func.concat(record.first_name, " ", record.last_name)
    return statement.where(
        or_(full_name.icontains(search, autoescape=True), record.email.icontains(search, autoescape=True))
    )
