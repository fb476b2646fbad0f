"""Persons: what providers and clients have in common, and how either is written and found."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, ClassVar

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Select,
    func,
    insert,
    literal_column,
    or_,
    select,
)
from sqlalchemy.orm import Mapped, declared_attr, mapped_column
from sqlalchemy.schema import SchemaItem

from models import text, zone
from models.idempotency_key import Key, is_new, remembered
from models.record import OfBusiness, bound, columns
from models.relation import rows
from models.viewer import Sight, Viewer


class Person(OfBusiness):
    """The columns of a person."""

    first_name: Mapped[str]
    last_name: Mapped[str]
    email: Mapped[str | None]
    phone: Mapped[str | None]
    time_zone: Mapped[str | None]
    locale: Mapped[str | None]
    erased_at: Mapped[datetime | None] = mapped_column(deferred=True)

    @declared_attr.directive
    @classmethod
    def __table_args__(cls) -> tuple[SchemaItem, ...]:
        names: str = cls.__tablename__  # type: ignore[attr-defined]
        name = names.removesuffix("s")
        return (
            ForeignKeyConstraint(["business_id"], ["businesses.id"], name=f"{name}_of_business"),
            CheckConstraint(
                "length(first_name) BETWEEN 1 AND 200 AND length(last_name) BETWEEN 1 AND 200",
                name=f"{name}_has_a_name",
            ),
            CheckConstraint("length(phone) BETWEEN 3 AND 32", name="phone_is_short"),
            CheckConstraint("length(locale) BETWEEN 2 AND 35", name="locale_is_short"),
            Index(f"{names}_by_name", "business_id", "last_name", "first_name", "id"),
        )


@dataclass(frozen=True)
class Details:
    """What somebody tells of themselves."""

    fixed: ClassVar[tuple[str, ...]] = ()

    first_name: str
    last_name: str
    email: str | None = None
    phone: str | None = None
    time_zone: str | None = None
    locale: str | None = None

    @classmethod
    def read(
        cls, first_name: str, last_name: str, email: str | None, phone: str | None, time_zone: str | None
    ) -> "Details":
        """Check what was sent and make it uniform."""
        return cls(
            text.name(first_name, "firstName"),
            text.name(last_name, "lastName"),
            text.email(email, "email"),
            text.phone(phone, "phone"),
            None if time_zone is None else zone.zone(time_zone, "timeZone").key,
        )


def create(record: Any, viewer: Viewer, person: Details, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Write a person, and the key of the request in the same statement."""
    values = {"business_id": viewer.business_id, **asdict(person)}
    row = select(*(bound(value, getattr(record, name).type).label(name) for name, value in values.items())).where(
        is_new(key), authored
    )
    written = insert(record).from_select(list(values), row).returning(*columns(record))
    return remembered(written.cte("written"), key)


@dataclass(frozen=True)
class Sought:
    """What a list of persons is narrowed to."""

    fixed: ClassVar[tuple[str, ...]] = ()

    search: str | None = None

    @classmethod
    def read(cls, search: str | None) -> "Sought":
        """Check what is looked for."""
        return cls(None if search is None else text.name(search, "search"))


def found(record: Any, viewer: Viewer, sought: Sought) -> Select[Any]:
    """Select persons; what is sought may stand in both names, to the letter but for case.

    For whoever may read email addresses it may stand there, too: others could find them out by seeking.
    """
    statement = rows(record, viewer)
    if sought.search is None:
        return statement
    full_name = func.concat(record.first_name, " ", record.last_name)
    in_name, in_email = contains(full_name, sought.search), contains(record.email, sought.search)
    reads_email = viewer.sight in (Sight.ALL, Sight.PROVIDER)
    return statement.where(or_(in_name, in_email) if reads_email else in_name)


def contains(text: Any, part: str) -> ColumnElement[bool]:
    """Whether a text has this part, to the letter but for case."""
    return func.strpos(func.lower(text), func.lower(part)) > literal_column("0")
