"""Businesses: the tenants, each with its policies."""

import re
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Integer,
    Select,
    SmallInteger,
    Text,
    UniqueConstraint,
    Uuid,
    cast,
    func,
    insert,
    literal_column,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, column_property, mapped_column, synonym

from models import zone
from models.locale import locale
from models.record import Record, bound, columns, generated_id, stamped, versioned
from models.refusal import InvalidInput
from models.text import name as checked_name

# A fresh installation has one business, made by the first migration.
DEFAULT_BUSINESS = UUID("00000000-0000-7000-8000-000000000001")
LONGEST_LEAD_MINUTES, LONGEST_HOLD_MINUTES, MOST_HOLDS, MOST_RENEWALS = 366 * 24 * 60, 24 * 60, 1000, 100
LONGEST_HOST = 253
MOST_PUBLICATION_DAYS = 366
MOST_REMINDERS, LEAST_REMINDER_MINUTES, MOST_REMINDER_MINUTES = 5, 15, 7 * 24 * 60
_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


def minutes(length: timedelta) -> int:
    """Tell a policy's length in whole minutes, as the API does."""
    return int(length.total_seconds() // 60)


def in_minutes(length: Any) -> ColumnElement[int]:
    """The same as a derived column."""
    return cast(func.div(func.extract("epoch", length), literal_column("60")), Integer)


def between(value: int | None, least: int, most: int, *field: str | int) -> int | None:
    """Check a number, if there is one."""
    if value is not None and not least <= value <= most:
        raise InvalidInput(*field, problem=f"{field[-1]} must be from {least} to {most}.")
    return value


def length(value: int | None, least: int, most: int, *field: str | int) -> timedelta | None:
    """Check a number of minutes, if there is one, and write it as a column does."""
    checked = between(value, least, most, *field)
    return None if checked is None else timedelta(minutes=checked)


class ExposureVariant(StrEnum):
    """How many times a client is shown at once: STANDARD for 3 to 5 of a location, STYLIST for 2 to 5."""

    STANDARD = "STANDARD"
    STYLIST = "STYLIST"


class Business(Record):
    """A tenant: nothing of one business can point at anything of another."""

    __tablename__ = "businesses"
    __table_args__ = (
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="business_has_a_name"),
        CheckConstraint("lead_time >= '0' AND lead_time <= '366 days'", name="lead_time_is_sane"),
        CheckConstraint("hold_time > '0' AND hold_time <= '24:00:00'", name="hold_time_is_sane"),
        CheckConstraint("host = lower(host) AND length(host) BETWEEN 1 AND 253", name="host_is_a_name"),
        CheckConstraint("hold_limit BETWEEN 1 AND 1000", name="hold_limit_is_sane"),
        UniqueConstraint("host", name="host_is_free"),
        CheckConstraint(
            "minimum_horizon >= '0' AND minimum_horizon <= '366 days' AND maximum_horizon > '0'"
            " AND maximum_horizon <= '366 days' AND maximum_horizon > minimum_horizon",
            name="horizon_is_sane",
        ),
        CheckConstraint("cancel_cutoff >= '0' AND cancel_cutoff <= '366 days'", name="cutoff_is_sane"),
        CheckConstraint("renewal_limit BETWEEN 0 AND 100", name="renewal_limit_is_sane"),
        CheckConstraint("length(locale) BETWEEN 2 AND 35", name="locale_is_short"),
        CheckConstraint(
            "cardinality(reminder_minutes) <= 5 AND 15 <= ALL (reminder_minutes) AND 10080 >= ALL (reminder_minutes)",
            name="reminders_are_sane",
        ),
        CheckConstraint("publication_days BETWEEN 1 AND 366", name="publication_is_sane"),
        CheckConstraint("exposure_variant IN ('STANDARD', 'STYLIST')", name="variant_is_known"),
    )

    id: Mapped[UUID] = generated_id()
    name: Mapped[str]
    time_zone: Mapped[str] = mapped_column(server_default="UTC")
    lead_time: Mapped[timedelta] = mapped_column(server_default=text("'24:00:00'"))
    hold_time: Mapped[timedelta] = mapped_column(server_default=text("'00:30:00'"))
    host: Mapped[str | None]
    is_public: Mapped[bool] = mapped_column(server_default=text("false"))
    hold_limit: Mapped[int | None] = mapped_column(SmallInteger, server_default=text("3"))
    minimum_horizon: Mapped[timedelta] = mapped_column(server_default=text("'0'"))
    maximum_horizon: Mapped[timedelta | None] = mapped_column()
    cancel_cutoff: Mapped[timedelta] = mapped_column(server_default=text("'0'"))
    renewal_limit: Mapped[int] = mapped_column(SmallInteger, server_default=text("2"))
    publication_days: Mapped[int] = mapped_column(SmallInteger, server_default=text("90"))
    exposure_variant: Mapped[str] = mapped_column(server_default="STANDARD")
    locale: Mapped[str] = mapped_column(server_default="en")
    reminder_minutes: Mapped[list[int]] = mapped_column(ARRAY(Integer), server_default=text("'{1440,120}'"))
    created_at: Mapped[datetime] = stamped()
    version: Mapped[int] = versioned()

    lead_time_minutes: Mapped[int] = column_property(in_minutes(lead_time))
    hold_time_minutes: Mapped[int] = column_property(in_minutes(hold_time))
    minimum_horizon_minutes: Mapped[int] = column_property(in_minutes(minimum_horizon))
    maximum_horizon_minutes: Mapped[int | None] = column_property(in_minutes(maximum_horizon))
    cancel_cutoff_minutes: Mapped[int] = column_property(in_minutes(cancel_cutoff))
    business_id: Mapped[UUID] = synonym("id")  # a business belongs to itself


def host_name(value: str, *field: str | int) -> str:
    """Check the name of a host, and write it as browsers send it."""
    if not value.isascii() or len(value) > LONGEST_HOST or not _HOST.fullmatch(value.lower()):
        raise InvalidInput(
            *field, problem=f"{field[-1]} must be the name of a host, like practice.example, with no port."
        )
    return value.lower()


@dataclass(frozen=True)
class NewBusiness:
    """A business that is to be made; its policies are the usual ones until it changes them."""

    name: str
    time_zone: str
    host: str | None = None

    @classmethod
    def read(cls, name: str, time_zone: str, host: str | None) -> "NewBusiness":
        """Check what was sent and make it uniform."""
        return cls(
            checked_name(name, "name"),
            zone.zone(time_zone, "timeZone").key,
            None if host is None else host_name(host, "host"),
        )


@dataclass(frozen=True)
class Revision:
    """What of a business is to change, from the version at which it was read; None leaves a value as it is."""

    expected_version: int
    name: str | None = None
    time_zone: str | None = None
    host: str | None = None  # "" takes it away
    is_public: bool | None = None
    lead_time_minutes: int | None = None
    hold_time_minutes: int | None = None
    hold_limit: int | None = None  # 0 takes it away
    minimum_horizon_minutes: int | None = None
    maximum_horizon_minutes: int | None = None  # 0 takes it away
    cancel_cutoff_minutes: int | None = None
    renewal_limit: int | None = None
    publication_days: int | None = None
    exposure_variant: ExposureVariant | None = None
    locale: str | None = None
    reminder_minutes: tuple[int, ...] | None = None  # an empty one takes all away


def new_id() -> Select[tuple[UUID]]:
    """Have the database make the id of a business: it has to be known before the business may be seen."""
    return select(func.uuidv7(type_=Uuid).label("id"))


def enter(business: UUID) -> Select[tuple[str]]:
    """See this business, and nothing of any other, until the transaction ends."""
    return select(func.set_config("holdfast.business_id", cast(bound(business, Uuid), Text), True))


def create(business: UUID, wanted: NewBusiness, authored: ColumnElement[bool]) -> Select[Any]:
    """Write a business with an id that was made for it."""
    values = {"id": business, **asdict(wanted)}
    row = select(*(bound(value, getattr(Business, name).type).label(name) for name, value in values.items()))
    written = insert(Business).from_select(list(values), row.where(authored)).returning(*columns(Business))
    return select(*written.cte("written").c)


def values(wanted: Revision) -> dict[str, Any]:
    """Check what is to change, and write it as columns."""
    given = {
        "name": None if wanted.name is None else checked_name(wanted.name, "name"),
        "time_zone": None if wanted.time_zone is None else zone.zone(wanted.time_zone, "timeZone").key,
        "host": wanted.host and host_name(wanted.host, "host"),
        "is_public": wanted.is_public,
        "lead_time": length(wanted.lead_time_minutes, 0, LONGEST_LEAD_MINUTES, "leadTimeMinutes"),
        "hold_time": length(wanted.hold_time_minutes, 1, LONGEST_HOLD_MINUTES, "holdTimeMinutes"),
        "hold_limit": between(wanted.hold_limit, 0, MOST_HOLDS, "holdLimit"),
        "minimum_horizon": length(wanted.minimum_horizon_minutes, 0, LONGEST_LEAD_MINUTES, "minimumHorizonMinutes"),
        "maximum_horizon": length(wanted.maximum_horizon_minutes, 0, LONGEST_LEAD_MINUTES, "maximumHorizonMinutes"),
        "cancel_cutoff": length(wanted.cancel_cutoff_minutes, 0, LONGEST_LEAD_MINUTES, "cancelCutoffMinutes"),
        "renewal_limit": between(wanted.renewal_limit, 0, MOST_RENEWALS, "renewalLimit"),
        "publication_days": between(wanted.publication_days, 1, MOST_PUBLICATION_DAYS, "publicationDays"),
        "exposure_variant": wanted.exposure_variant,
        "locale": locale(wanted.locale, "locale"),
        "reminder_minutes": _reminders(wanted.reminder_minutes),
    }
    changed = {name: value for name, value in given.items() if value is not None}
    if not changed:
        raise InvalidInput(problem="Send what is to change, one value at least.")
    taken_away = ("host", "hold_limit", "maximum_horizon")  # by an empty text, or by 0
    return changed | {name: changed[name] or None for name in taken_away if name in changed}


def _reminders(wanted: tuple[int, ...] | None) -> list[int] | None:
    """Check how long before an appointment its reminders are sent; the earliest comes first."""
    if wanted is None:
        return None
    if len(wanted) > MOST_REMINDERS:
        raise InvalidInput(
            "reminderMinutes", problem=f"{len(wanted)} reminders are too many; {MOST_REMINDERS} are allowed."
        )
    for n, each in enumerate(wanted):
        between(each, LEAST_REMINDER_MINUTES, MOST_REMINDER_MINUTES, "reminderMinutes", n)
    return sorted(set(wanted), reverse=True)
