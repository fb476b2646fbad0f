"""Appointments: the times that providers publish, and which of them can be reserved."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Select,
    SmallInteger,
    UniqueConstraint,
    and_,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.business import Business
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


def with_policies(statement: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
    """Join a selection of appointments with the business and the service, whose policies hold for them."""
    of_service = and_(Service.business_id == Appointment.business_id, Service.id == Appointment.service_id)
    return statement.join(Business, Business.id == Appointment.business_id).outerjoin(Service, of_service)


def lead_time() -> ColumnElement[timedelta]:
    """How far ahead an appointment is reserved: the service's policy, or the business's."""
    return func.coalesce(Service.lead_time, Business.lead_time)


def is_ahead() -> ColumnElement[bool]:
    """Whether there is still time to reserve. A difference is compared: an added interval would bend with DST."""
    return Appointment.starts_at - func.clock_timestamp() >= lead_time()
