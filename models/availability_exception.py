"""Availability exceptions: one local date on which a provider is away, or works other hours than the rules say."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Select, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import INT4MULTIRANGE, Range
from sqlalchemy.orm import Mapped, mapped_column

from models.local_time import Interval, agree
from models.record import OfBusiness, Record
from models.refusal import InvalidInput
from models.relation import rows
from models.span import ANY, Dates, within
from models.terms import NAMES as TERMS
from models.terms import Terms
from models.viewer import Viewer

MOST_WINDOWS = 50


class AvailabilityException(OfBusiness, Record):
    """The windows of one local date, instead of all rules; none of them: closed."""

    __tablename__ = "availability_exceptions"
    __table_args__ = (
        UniqueConstraint("business_id", "provider_id", "date", name="exception_is_new"),
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="exception_of_provider"
        ),
        ForeignKeyConstraint(
            ["business_id", "location_id"], ["locations.business_id", "locations.id"], name="exception_at_location"
        ),
        ForeignKeyConstraint(
            ["business_id", "service_id"], ["services.business_id", "services.id"], name="exception_for_service"
        ),
        CheckConstraint("windows <@ int4range(0, 2880)", name="exception_is_of_a_day"),
        CheckConstraint(
            "slot_minutes BETWEEN 1 AND 1440 AND grid_minutes BETWEEN coalesce(slot_minutes, 1) AND 1440"
            " AND (isempty(windows) OR slot_minutes IS NOT NULL OR service_id IS NOT NULL)",
            name="exception_is_cut_into_slots",
        ),
        CheckConstraint("capacity BETWEEN 1 AND 1000", name="exception_capacity_is_sane"),
    )

    provider_id: Mapped[UUID]
    date: Mapped[dt.date]
    windows: Mapped[Any] = mapped_column(INT4MULTIRANGE, server_default=text("'{}'"))
    location_id: Mapped[UUID | None]
    service_id: Mapped[UUID | None]
    time_zone: Mapped[str | None]
    slot_minutes: Mapped[int | None] = mapped_column(SmallInteger)
    grid_minutes: Mapped[int | None] = mapped_column(SmallInteger)
    capacity: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))


# The fields of an input that tell of an exception, and the attributes of a row that has them.
NAMES = ("date", "windows", *TERMS)


@dataclass(frozen=True)
class OtherHours:
    """What an exception says, checked as far as it can be without looking anything up."""

    date: dt.date
    windows: tuple[Interval, ...]
    terms: Terms

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "OtherHours":
        """Check what was sent, or what an exception would be after a change."""
        windows: Sequence[Interval] = values["windows"]
        if values["date"] is None:
            raise InvalidInput("date", problem="date must not be null.")
        if len(windows) > MOST_WINDOWS:
            problem = f"{len(windows)} windows are too many; {MOST_WINDOWS} are allowed."
            raise InvalidInput("windows", problem=problem)
        agree([(0, window) for window in windows], apart=True)  # the database would join what touches
        return cls(values["date"], tuple(windows), Terms.read(values))

    def columns(self) -> dict[str, Any]:
        """Write it as the columns of a row."""
        windows = [Range(window.start, window.end) for window in self.windows]
        return {"date": self.date, "windows": windows, **self.terms.columns()}


def windows_of(row: Any) -> tuple[Interval, ...]:
    """Read the windows of a row."""
    return tuple(Interval(window.lower, window.upper, ("windows", n)) for n, window in enumerate(row.windows))


@dataclass(frozen=True)
class Wanted:
    """What a list of exceptions is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ()

    provider_id: UUID | None = None
    dates: Dates = ANY


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select the exceptions that are wanted."""
    statement = within(rows(AvailabilityException, viewer), AvailabilityException.date, wanted.dates)
    if wanted.provider_id is not None:
        statement = statement.where(AvailabilityException.provider_id == wanted.provider_id)
    return statement


def same_date(viewer: Viewer, provider: UUID, date: dt.date, but: UUID | None) -> Select[Any]:
    """Select another exception of a provider for a date."""
    others = rows(AvailabilityException, viewer).where(
        AvailabilityException.provider_id == provider, AvailabilityException.date == date
    )
    return others if but is None else others.where(AvailabilityException.id != but)
