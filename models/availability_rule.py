"""Availability rules: when a provider works, in local wall time, every week or on certain dates."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Computed,
    Date,
    ForeignKeyConstraint,
    Index,
    Integer,
    Select,
    SmallInteger,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    text,
)
from sqlalchemy.dialects.postgresql import DATEMULTIRANGE, INT4MULTIRANGE, ExcludeConstraint, Range
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models.local_time import (
    MINUTES_OF_DAY,
    MINUTES_OF_WEEK,
    Interval,
    Weekday,
    is_next_day,
    weekday_name,
    within_day,
)
from models.record import OfBusiness, Record, bound
from models.recurrence import expanded
from models.refusal import InvalidInput
from models.relation import rows
from models.terms import NAMES as TERMS
from models.terms import Terms
from models.viewer import Viewer

LONGEST_RANGE = 366  # days


def _place(weekday: Any, dates: Any, start: Any) -> ColumnElement[str]:
    """Where a rule stands in its provider's calendar: the week from Monday on, then the dated rules by their first date."""
    dated = func.concat(literal_column("'8 '", Text), func.lower(dates, type_=Date))
    day = case((weekday.is_not(None), cast(weekday, Text)), else_=dated)
    late = func.to_char(start, literal_column("' 0000'", Text))
    return func.concat(day, late, type_=Text)


class AvailabilityRule(OfBusiness, Record):
    """A window of the local day. A weekly rule has a weekday; a dated one has dates, and goes before weekly ones there."""

    __tablename__ = "availability_rules"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="rule_of_provider"
        ),
        ForeignKeyConstraint(
            ["business_id", "location_id"], ["locations.business_id", "locations.id"], name="rule_at_location"
        ),
        ForeignKeyConstraint(
            ["business_id", "service_id"], ["services.business_id", "services.id"], name="rule_for_service"
        ),
        CheckConstraint(
            "(weekday IS NULL) = (dates IS NOT NULL) AND weekday BETWEEN 1 AND 7"
            " AND (weekday IS NULL OR recurrence IS NULL)",
            name="rule_is_weekly_or_dated",
        ),
        CheckConstraint(
            "starts_minute >= 0 AND starts_minute < 1440 AND ends_minute > starts_minute"
            " AND ends_minute - starts_minute <= 1440",
            name="rule_runs_forward",
        ),
        CheckConstraint(
            "slot_minutes BETWEEN 1 AND ends_minute - starts_minute AND grid_minutes BETWEEN coalesce(slot_minutes, 1)"
            " AND 1440 AND (slot_minutes IS NOT NULL OR service_id IS NOT NULL)",
            name="rule_is_cut_into_slots",
        ),
        CheckConstraint("valid_from <= valid_until", name="rule_is_valid"),
        CheckConstraint("capacity BETWEEN 1 AND 1000", name="rule_capacity_is_sane"),
        CheckConstraint("length(recurrence) <= 500", name="recurrence_is_short"),
        ExcludeConstraint(
            ("provider_id", "="),
            ("week_minutes", "&&"),
            (text("daterange(valid_from, valid_until, '[]')"), "&&"),
            ("business_id", "="),
            where=text("weekday IS NOT NULL"),
            using="gist",
            name="weekly_rules_agree",
        ),
        ExcludeConstraint(
            ("provider_id", "="),
            ("dates", "&&"),
            (text("int4range(starts_minute, ends_minute)"), "&&"),
            ("business_id", "="),
            where=text("weekday IS NULL"),
            using="gist",
            name="dated_rules_agree",
        ),
        Index("rules_of_provider", "business_id", "provider_id", "weekday", "starts_minute", "id"),
        Index("rules_of_service", "business_id", "service_id"),
        Index("rules_at_location", "business_id", "location_id"),
    )

    provider_id: Mapped[UUID]
    location_id: Mapped[UUID | None]
    service_id: Mapped[UUID | None]
    weekday: Mapped[int | None] = mapped_column(SmallInteger)
    starts_minute: Mapped[int] = mapped_column(SmallInteger)
    ends_minute: Mapped[int] = mapped_column(SmallInteger)
    valid_from: Mapped[date | None]
    valid_until: Mapped[date | None]
    recurrence: Mapped[str | None]
    dates: Mapped[Any | None] = mapped_column(DATEMULTIRANGE, deferred=True)
    time_zone: Mapped[str | None]
    slot_minutes: Mapped[int | None] = mapped_column(SmallInteger)
    grid_minutes: Mapped[int | None] = mapped_column(SmallInteger)
    capacity: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    week_minutes: Mapped[Any | None] = mapped_column(
        INT4MULTIRANGE,
        Computed(
            "CASE WHEN weekday IS NOT NULL THEN int4multirange("
            "int4range((weekday - 1) * 1440 + starts_minute, least((weekday - 1) * 1440 + ends_minute, 10080)), "
            "int4range(0, greatest((weekday - 1) * 1440 + ends_minute, 10080) - 10080)) END",
            persisted=True,
        ),
        deferred=True,
    )

    weekday_name: Mapped[str | None] = column_property(weekday_name(weekday))
    end: Mapped[int] = column_property(within_day(ends_minute))
    ends_next_day: Mapped[bool] = column_property(is_next_day(ends_minute))
    place: Mapped[str] = column_property(_place(weekday, dates, starts_minute))


# The fields of an input that tell of a rule, and the attributes of a row that has them.
NAMES = ("weekday_name", "starts_minute", "end", "ends_next_day", "valid_from", "valid_until", "recurrence", *TERMS)


@dataclass(frozen=True)
class Rule:
    """What a rule says, checked as far as it can be without looking anything up."""

    window: Interval
    terms: Terms
    weekday: int | None
    valid_from: date | None
    valid_until: date | None
    recurrence: str | None
    dates: tuple[tuple[date, date], ...] | None  # of each stretch of days the first, and the one after the last

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "Rule":
        """Check what was sent, or what a rule would be after a change."""
        for name, value in (("start", values["starts_minute"]), ("end", values["end"])):
            if value is None:
                raise InvalidInput(name, problem=f"{name} must not be null.")
        window = Interval.read(values["starts_minute"], values["end"], ends_next_day=bool(values["ends_next_day"]))
        terms, (first, last) = Terms.read(values), validity(values)
        weekday, recurrence = values["weekday_name"], values["recurrence"]
        if weekday is not None:
            if recurrence is not None:
                raise InvalidInput("recurrence", problem="A rule has either a weekday or a recurrence.")
            return cls(window, terms, Weekday(weekday).number, first, last, None, None)
        if first is None:
            raise InvalidInput("validFrom", problem="A rule without a weekday needs validFrom, its first date.")
        if recurrence is not None:
            written, dates = expanded(recurrence, first, last, "recurrence")
            stretches = tuple((day, day + dt.timedelta(days=1)) for day in dates)
            return cls(window, terms, None, first, last, written, stretches)
        return cls(window, terms, None, first, last, None, (_stretch(first, last),))

    def columns(self) -> dict[str, Any]:
        """Write it as the columns of a row."""
        return {
            "weekday": self.weekday,
            "starts_minute": self.window.start,
            "ends_minute": self.window.end,
            "valid_from": self.valid_from,
            "valid_until": self.valid_until,
            "recurrence": self.recurrence,
            "dates": None if self.dates is None else [Range(*stretch) for stretch in self.dates],
            **self.terms.columns(),
        }


def validity(values: Mapping[str, Any]) -> tuple[date | None, date | None]:
    """Check from which date until which a rule holds; both belong to it."""
    first, last = values["valid_from"], values["valid_until"]
    if first is not None and last is not None and last < first:
        raise InvalidInput("validUntil", problem="validUntil must not lie before validFrom.")
    return first, last


def _stretch(first: date, last: date | None) -> tuple[date, date]:
    if last is None:
        problem = "A rule without a weekday needs validUntil, its last date, unless it has a recurrence that ends."
        raise InvalidInput("validUntil", problem=problem)
    end = last + dt.timedelta(days=1)
    if (end - first).days > LONGEST_RANGE:
        raise InvalidInput("validUntil", problem=f"A rule without a weekday is for {LONGEST_RANGE} days at most.")
    return first, end


def contradicting(viewer: Viewer, provider: UUID, rule: Rule, but: UUID | None) -> Select[Any]:
    """Select the rules of a provider that say something for the same time as a rule would; as the database's constraints."""
    others = rows(AvailabilityRule, viewer).where(AvailabilityRule.provider_id == provider)
    if but is not None:
        others = others.where(AvailabilityRule.id != but)
    if rule.weekday is None:
        minutes = func.int4range(AvailabilityRule.starts_minute, AvailabilityRule.ends_minute)
        wanted = func.int4range(bound(rule.window.start, Integer), bound(rule.window.end, Integer))
        dates = literal(rule.columns()["dates"], DATEMULTIRANGE)
        return others.where(AvailabilityRule.dates.op("&&")(dates), minutes.op("&&")(wanted))
    span, start = literal_column("'[]'", Text), (rule.weekday - 1) * MINUTES_OF_DAY
    valid = func.daterange(AvailabilityRule.valid_from, AvailabilityRule.valid_until, span)
    wanted = func.daterange(bound(rule.valid_from, Date), bound(rule.valid_until, Date), span)
    taken = _in_week(start + rule.window.start, start + rule.window.end)
    return others.where(AvailabilityRule.week_minutes.op("&&")(literal(taken, INT4MULTIRANGE)), valid.op("&&")(wanted))


def _in_week(start: int, end: int) -> list[Range[int]]:
    """A window over the midnight of a Sunday reaches into Monday."""
    rest = [Range(0, end - MINUTES_OF_WEEK)] if end > MINUTES_OF_WEEK else []
    return [Range(start, min(end, MINUTES_OF_WEEK)), *rest]


def weekly(viewer: Viewer, provider: UUID) -> Select[Any]:
    """Select the weekly rules of a provider."""
    return rows(AvailabilityRule, viewer).where(
        AvailabilityRule.provider_id == provider, AvailabilityRule.weekday.is_not(None)
    )


@dataclass(frozen=True)
class Wanted:
    """What a list of rules is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ()

    provider_id: UUID | None = None
    location_id: UUID | None = None
    service_id: UUID | None = None
    weekday: int | None = None
    date: dt.date | None = None


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select the rules that are wanted."""
    statement = rows(AvailabilityRule, viewer)
    for name in ("provider_id", "location_id", "service_id", "weekday"):
        value = getattr(wanted, name)
        if value is not None:
            statement = statement.where(getattr(AvailabilityRule, name) == value)
    return statement if wanted.date is None else statement.where(_holds_on(bound(wanted.date, Date)))


def _holds_on(day: ColumnElement[date]) -> ColumnElement[bool]:
    """Whether a rule is for a date."""
    rule = AvailabilityRule
    is_weekly = and_(
        rule.weekday == func.extract("isodow", day),
        or_(rule.valid_from.is_(None), rule.valid_from <= day),
        or_(rule.valid_until.is_(None), rule.valid_until >= day),
    )
    return or_(is_weekly, rule.dates.op("@>")(day))
