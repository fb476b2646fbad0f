"""What is done with reservations: holding, confirming and cancelling them, and saying why not."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from models import Reservation, availability, reservation
from models.business import minutes
from models.idempotency_key import Key
from models.page import Order, Page
from models.refusal import (
    AppointmentWithdrawn,
    HoldExpired,
    IllegalState,
    NotFound,
    Refusal,
    SlotUnavailable,
    TooLate,
)
from models.relation import rows
from models.reservation import ReservationStatus, Wish
from resolvers.connections import Connection, Listing, listed
from resolvers.context import Context
from resolvers.idempotency import keep, once, read_key


@dataclass(frozen=True)
class Change:
    """A reservation that is to change, and why."""

    reservation_id: UUID
    reason: str | None = None


async def create(context: Context, wish: Wish, idempotency_key: str | None) -> Row[Any]:
    """Hold an appointment for a client."""
    key = read_key(context, "reservationCreate", wish, idempotency_key)
    statement = reservation.hold(context.business, wish, key, context.authored())
    row = await once(context, statement, key, Reservation)
    if row is None:
        raise await _why_not_held(context, wish)
    return row


async def confirm(context: Context, change: Change, idempotency_key: str | None) -> Row[Any]:
    """Turn a hold into a booking; a second time, answer the same booking."""
    key = read_key(context, "reservationConfirm", change, idempotency_key)
    statement = reservation.confirm(context.business, change.reservation_id, key, context.authored())
    row = await once(context, statement, key, Reservation)
    return row or await _unless_already(context, change, ReservationStatus.CONFIRMED, key)


async def cancel(context: Context, change: Change, idempotency_key: str | None) -> Row[Any]:
    """Give a hold or a booking back; a second time, answer the same reservation."""
    key = read_key(context, "reservationCancel", change, idempotency_key)
    statement = reservation.cancel(context.business, change.reservation_id, change.reason, key, context.authored())
    row = await once(context, statement, key, Reservation)
    return row or await _unless_already(context, change, ReservationStatus.CANCELLED, key)


def listing(context: Context, wanted: reservation.Wanted, order: Order, page: Page) -> Connection:
    """List the reservations of the viewer's business."""
    statement = reservation.narrow(rows(Reservation, context.business), wanted)
    return listed(context, Listing("reservations", Reservation, statement, order), page)


async def _why_not_held(context: Context, wish: Wish) -> Refusal:
    found = await context.database.row(reservation.why_not_held(context.business, wish))
    if found is None or not found.client_exists:
        return NotFound("clientId", noun="client")
    if found.appointment_id is None:
        withdrawn = found.withdrawn
        return AppointmentWithdrawn("appointmentId") if withdrawn else NotFound("appointmentId", noun="appointment")
    if not found.ahead:
        earliest_start: datetime = found.clock + found.lead_time
        return TooLate("appointmentId", lead_time_minutes=minutes(found.lead_time), earliest_start=earliest_start)
    near = availability.alternatives(context.business, found.provider_id, found.appointment_id, found.starts_at)
    return SlotUnavailable("appointmentId", alternatives=await context.database.rows(near))


async def _unless_already(context: Context, change: Change, wanted: ReservationStatus, key: Key | None) -> Row[Any]:
    """Answer a reservation that already is what it was to become; refuse any other."""
    row = await context.database.row(rows(Reservation, context.business).where(Reservation.id == change.reservation_id))
    if row is None:
        raise NotFound("reservationId", noun="reservation")
    if row.status == wanted:
        if key is not None:
            await keep(context, context.database, key, row.id)
        return row
    if row.status == ReservationStatus.EXPIRED and wanted is ReservationStatus.CONFIRMED:
        raise HoldExpired("reservationId", expired_at=row.expires_at)
    raise IllegalState("reservationId", state=row.status, change=wanted.lower())
