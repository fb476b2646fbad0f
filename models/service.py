"""Services: what a provider does in an appointment, with its length, its price, its buffers and its own policies."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Integer,
    Numeric,
    and_,
    case,
    func,
    literal_column,
    true,
)
from sqlalchemy import text as sql
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models import text
from models.business import LONGEST_HOLD_MINUTES, LONGEST_LEAD_MINUTES, in_minutes, length
from models.given import Columns, Field, as_it_is, written
from models.money import money
from models.record import OfBusiness, Record
from models.viewer import Sight, Viewer

LONGEST_MINUTES = 24 * 60
ZERO, ONE, TWO = (literal_column(digit, Integer) for digit in "012")


class ServicePriority(StrEnum):
    """How much a business cares for a service: for those who sort."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class Service(OfBusiness, Record):
    """A treatment, a visit, a lesson. Where a policy is null, the business's holds."""

    __tablename__ = "services"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="service_of_business"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="service_has_a_name"),
        CheckConstraint(
            "buffer_before >= '0' AND buffer_before <= '24:00:00' AND buffer_after >= '0' AND buffer_after <= '24:00:00'",
            name="buffers_are_sane",
        ),
        CheckConstraint("lead_time >= '0' AND lead_time <= '366 days'", name="lead_time_is_sane"),
        CheckConstraint("hold_time > '0' AND hold_time <= '24:00:00'", name="hold_time_is_sane"),
        CheckConstraint("duration >= '00:01:00' AND duration <= '24:00:00'", name="duration_is_sane"),
        CheckConstraint(
            "(price IS NULL) = (currency IS NULL) AND price >= 0 AND price < 1000000000 AND scale(price) <= 4"
            " AND currency ~ '^[A-Z]{3}$'",
            name="price_is_money",
        ),
        CheckConstraint("priority IN ('LOW', 'MEDIUM', 'HIGH')", name="priority_is_known"),
        CheckConstraint(
            "minimum_horizon >= '0' AND minimum_horizon <= '366 days' AND maximum_horizon > '0'"
            " AND maximum_horizon <= '366 days' AND maximum_horizon > minimum_horizon",
            name="horizon_is_sane",
        ),
        CheckConstraint("cancel_cutoff >= '0' AND cancel_cutoff <= '366 days'", name="cutoff_is_sane"),
        CheckConstraint("approval_time > '0' AND approval_time <= '366 days'", name="approval_time_is_sane"),
        Index("services_by_name", "business_id", "name", "id"),
    )

    name: Mapped[str]
    duration: Mapped[timedelta | None] = mapped_column()
    buffer_before: Mapped[timedelta] = mapped_column(server_default=sql("'0'"))
    buffer_after: Mapped[timedelta] = mapped_column(server_default=sql("'0'"))
    price: Mapped[Decimal | None] = mapped_column(Numeric)
    currency: Mapped[str | None]
    active: Mapped[bool] = mapped_column(server_default=true())
    priority: Mapped[str] = mapped_column(server_default="MEDIUM")
    lead_time: Mapped[timedelta | None] = mapped_column()
    hold_time: Mapped[timedelta | None] = mapped_column()
    minimum_horizon: Mapped[timedelta | None] = mapped_column()
    maximum_horizon: Mapped[timedelta | None] = mapped_column()
    cancel_cutoff: Mapped[timedelta | None] = mapped_column()
    approval_time: Mapped[timedelta | None] = mapped_column()

    duration_minutes: Mapped[int | None] = column_property(in_minutes(duration))
    buffer_before_minutes: Mapped[int] = column_property(in_minutes(buffer_before))
    buffer_after_minutes: Mapped[int] = column_property(in_minutes(buffer_after))
    lead_time_minutes: Mapped[int | None] = column_property(in_minutes(lead_time))
    hold_time_minutes: Mapped[int | None] = column_property(in_minutes(hold_time))
    minimum_horizon_minutes: Mapped[int | None] = column_property(in_minutes(minimum_horizon))
    maximum_horizon_minutes: Mapped[int | None] = column_property(in_minutes(maximum_horizon))
    cancel_cutoff_minutes: Mapped[int | None] = column_property(in_minutes(cancel_cutoff))
    approval_minutes: Mapped[int | None] = column_property(in_minutes(approval_time))

    # What they are sorted by: numbers, and never null.
    priority_rank: Mapped[int] = column_property(
        case((priority == literal_column("'LOW'"), ZERO), (priority == literal_column("'HIGH'"), TWO), else_=ONE)
    )
    duration_rank: Mapped[int] = column_property(func.coalesce(in_minutes(duration), ZERO))

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """The public sees what is offered now; whoever has reserved a service once still sees what it was."""
        of_business = super().visible_to(viewer)
        return and_(of_business, cls.active) if viewer.sight is Sight.NONE else of_business


def _price(value: Any, field: str) -> Columns:
    if value is None:
        return {"price": None, "currency": None}
    amount, currency = money(value.amount, value.currency, field)
    return {"price": amount, "currency": currency}


def _minutes(column: str, least: int, most: int, *, is_needed: bool = False) -> Field:
    check: Callable[[Any, str], Any] = partial(_length, least, most)
    return written(column, check, is_needed=is_needed)


def _length(least: int, most: int, value: int, field: str) -> timedelta | None:
    return length(value, least, most, field)


FIELDS = {
    "name": written("name", text.name, is_needed=True),
    "duration_minutes": _minutes("duration", 1, LONGEST_MINUTES, is_needed=True),
    "buffer_before_minutes": _minutes("buffer_before", 0, LONGEST_MINUTES, is_needed=True),
    "buffer_after_minutes": _minutes("buffer_after", 0, LONGEST_MINUTES, is_needed=True),
    "price": Field(_price),
    "active": written("active", as_it_is, is_needed=True),
    "priority": written("priority", as_it_is, is_needed=True),
    "lead_time_minutes": _minutes("lead_time", 0, LONGEST_LEAD_MINUTES),
    "hold_time_minutes": _minutes("hold_time", 1, LONGEST_HOLD_MINUTES),
    "minimum_horizon_minutes": _minutes("minimum_horizon", 0, LONGEST_LEAD_MINUTES),
    "maximum_horizon_minutes": _minutes("maximum_horizon", 1, LONGEST_LEAD_MINUTES),
    "cancel_cutoff_minutes": _minutes("cancel_cutoff", 0, LONGEST_LEAD_MINUTES),
    "approval_minutes": _minutes("approval_time", 1, LONGEST_LEAD_MINUTES),
}
"""How what is given of a service is read."""
