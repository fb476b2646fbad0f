"""Appointments: the times that providers publish, and which of them can be reserved."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Integer,
    Select,
    SmallInteger,
    UniqueConstraint,
    and_,
    cast,
    false,
    func,
    literal_column,
    or_,
    text,
    true,
)
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models.business import Business
from models.offering import is_given
from models.record import Record, generated_id, stamped
from models.service import Service


class Appointment(Record):
    """One place in a provider's time that can be taken; of `capacity` clients when it is a group."""

    __tablename__ = "appointments"
    __table_args__ = (
        UniqueConstraint("business_id", "provider_id", "starts_at", name="appointment_is_new"),
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="appointment_of_provider"
        ),
        ForeignKeyConstraint(
            ["business_id", "service_id"], ["services.business_id", "services.id"], name="appointment_of_service"
        ),
        ForeignKeyConstraint(
            ["business_id", "location_id"], ["locations.business_id", "locations.id"], name="appointment_at_location"
        ),
        CheckConstraint("starts_at < ends_at AND ends_at - starts_at <= '24:00:00'", name="appointment_runs_forward"),
        CheckConstraint("starts_at >= '2000-01-01Z' AND ends_at <= '2200-01-01Z'", name="appointment_is_bounded"),
        CheckConstraint("capacity BETWEEN 1 AND 1000", name="capacity_is_sane"),
        Index("appointments_by_start", "business_id", "starts_at", "id"),
        Index(
            "appointments_of_location",
            "business_id",
            "location_id",
            "starts_at",
            "id",
            postgresql_where=text("location_id IS NOT NULL"),
        ),
        Index(
            "appointments_generated", "business_id", "provider_id", "starts_at", postgresql_where=text("is_generated")
        ),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    provider_id: Mapped[UUID]
    service_id: Mapped[UUID | None]
    location_id: Mapped[UUID | None]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    capacity: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    created_at: Mapped[datetime] = stamped()
    is_generated: Mapped[bool] = mapped_column(server_default=text("false"))
    withdrawn_at: Mapped[datetime | None] = mapped_column()

    is_offered: Mapped[bool] = column_property(withdrawn_at.is_(None))


def with_policies(statement: Select[*tuple[Any, ...]], service: Any = None) -> Select[*tuple[Any, ...]]:
    """Join a selection of appointments with the business and the service, whose policies hold for them.

    It is the service that they are wanted for, or else the one that each was published for, if any. That one is looked for
    by a range: it could be hashed otherwise, and where few have a service, what is then asked of each appointment looks
    free of charge. A page of fifty would be cut off a whole location, sorted.
    """
    its_own = Service.id.between(Appointment.service_id, Appointment.service_id)
    of_service = and_(
        Service.business_id == Appointment.business_id, its_own if service is None else Service.id == service
    )
    business = statement.join(Business, Business.id == Appointment.business_id)
    return business.join(Service, of_service, isouter=service is None)


def lead_time() -> ColumnElement[timedelta]:
    """How far ahead an appointment is reserved at least: the service's policy, or the business's."""
    notice = func.coalesce(Service.lead_time, Business.lead_time)
    return func.greatest(notice, func.coalesce(Service.minimum_horizon, Business.minimum_horizon))


def maximum_horizon() -> ColumnElement[timedelta]:
    """How far ahead it is reserved at most; null for however far it is published."""
    return func.coalesce(Service.maximum_horizon, Business.maximum_horizon)


def is_ahead() -> ColumnElement[bool]:
    """Whether there is still time to reserve. A difference is compared: an added interval would bend with DST."""
    return Appointment.starts_at - func.clock_timestamp() >= lead_time()


def nearly_always(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """Tell a condition so that the planner expects nearly every row to pass, as it does: of a number, that it is not 0.

    Half of them, as it would expect otherwise, and half of those for the next one, and it no longer walks an index in
    the order of the page, which is full soon.
    """
    return cast(condition, Integer) != literal_column("0")


def is_within_horizon() -> ColumnElement[bool]:
    """Whether it is near enough to be reserved already."""
    return (Appointment.starts_at - func.clock_timestamp() > maximum_horizon()).is_not(true())


def is_open() -> ColumnElement[bool]:
    """Whether it may be reserved now, whoever claims its time: it is offered, and its policies allow it."""
    is_fit = nearly_always(and_(is_within_horizon(), is_long_enough()))
    return and_(Appointment.withdrawn_at.is_(None), Service.active.is_not(false()), is_ahead(), is_fit)


def is_long_enough() -> ColumnElement[bool]:
    """Whether the service, if it says how long it takes, has the time that it takes."""
    return (Service.duration > Appointment.ends_at - Appointment.starts_at).is_not(true())


def is_given_then(service: Any) -> ColumnElement[bool]:
    """Whether the provider gives a service where the appointment takes place."""
    return is_given(Appointment.business_id, Appointment.provider_id, service, Appointment.location_id)


def is_for(service: Any) -> ColumnElement[bool]:
    """Whether it can be had for a service: it was published for it, or for anything, and the provider gives it there."""
    anything = and_(Appointment.service_id.is_(None), is_long_enough(), is_given_then(service))
    return or_(Appointment.service_id == service, anything)
