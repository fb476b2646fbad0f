"""Holidays: local dates on which a location, or a whole business, is closed."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, ColumnElement, ForeignKeyConstraint, Select, UniqueConstraint, exists, or_, true
from sqlalchemy.orm import Mapped

from models.availability_exception import AvailabilityException
from models.availability_rule import AvailabilityRule
from models.provider import Provider
from models.record import OfBusiness, Record
from models.refusal import InvalidInput
from models.relation import rows
from models.span import ANY, Dates, within
from models.text import name as checked_name
from models.viewer import Viewer


class Holiday(OfBusiness, Record):
    """A date on which rules make no times; a provider's exception with other hours may."""

    __tablename__ = "holidays"
    __table_args__ = (
        UniqueConstraint(
            "business_id", "date", "location_id", name="holiday_is_new", postgresql_nulls_not_distinct=True
        ),
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="holiday_of_business"),
        ForeignKeyConstraint(
            ["business_id", "location_id"], ["locations.business_id", "locations.id"], name="holiday_at_location"
        ),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="holiday_has_a_name"),
    )

    location_id: Mapped[UUID | None]
    date: Mapped[dt.date]
    name: Mapped[str]


# The fields of an input that tell of a holiday, and the attributes of a row that has them.
NAMES = ("date", "name", "location_id")


@dataclass(frozen=True)
class Closing:
    """What a holiday says, checked as far as it can be without looking anything up."""

    date: dt.date
    name: str
    location_id: UUID | None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Closing":
        """Check what was sent, or what a holiday would be after a change."""
        for needed in ("date", "name"):
            if values[needed] is None:
                raise InvalidInput(needed, problem=f"{needed} must not be null.")
        return cls(values["date"], checked_name(values["name"], "name"), values["location_id"])

    def columns(self) -> dict[str, Any]:
        """Write it as the columns of a row."""
        return asdict(self)


@dataclass(frozen=True)
class Wanted:
    """What a list of holidays is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ()

    location_id: UUID | None = None
    dates: Dates = ANY


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select the holidays that are wanted: for a location those of the whole business are among them."""
    statement = within(rows(Holiday, viewer), Holiday.date, wanted.dates)
    if wanted.location_id is not None:
        statement = statement.where(or_(Holiday.location_id == wanted.location_id, Holiday.location_id.is_(None)))
    return statement


def same_date(viewer: Viewer, wanted: Closing, but: UUID | None) -> Select[Any]:
    """Select another holiday of the same date and place."""
    others = rows(Holiday, viewer).where(
        Holiday.date == wanted.date, Holiday.location_id.is_not_distinct_from(wanted.location_id)
    )
    return others if but is None else others.where(Holiday.id != but)


def lock_affected(viewer: Viewer, locations: Sequence[UUID | None], authored: ColumnElement[bool]) -> Select[Any]:
    """Take turns with whoever changes the schedule of a provider who works at one of the locations; None means anywhere."""
    works = or_(*(_works(record, locations) for record in (AvailabilityRule, AvailabilityException)))
    providers = rows(Provider, viewer).with_only_columns(Provider.id).where(works, authored)
    return providers.order_by(Provider.id).with_for_update(key_share=True, of=Provider)


def _works(record: Any, locations: Sequence[UUID | None]) -> ColumnElement[bool]:
    there = true() if None in locations else record.location_id.in_(locations)
    return exists().where(record.business_id == Provider.business_id, record.provider_id == Provider.id, there)
