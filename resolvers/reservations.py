"""What is done with reservations: holding, confirming and cancelling them, and saying why not."""

from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Row

from models import Reservation, availability, reservation
from models.business import minutes
from models.idempotency_key import Key
from models.refusal import (
    AppointmentWithdrawn,
    HoldExpired,
    IllegalState,
    NotFound,
    Refusal,
    SlotUnavailable,
    TooLate,
    TooManyHolds,
)
from models.relation import rows
from models.reservation import Change, ReservationStatus, Wish
from resolvers.context import Context
from resolvers.idempotency import keep
from resolvers.writes import Write


async def _why_not_held(context: Context, wish: Wish, _key: Key | None) -> Row[Any]:
    raise await _obstacle(context, wish)


async def _obstacle(context: Context, wish: Wish) -> Refusal:
    found = await context.database.row(reservation.why_not_held(context.viewer, wish))
    if found is None or not found.client_exists:
        return NotFound("clientId", noun="client")
    if found.appointment_id is None:
        withdrawn = found.withdrawn
        return AppointmentWithdrawn("appointmentId") if withdrawn else NotFound("appointmentId", noun="appointment")
    if not found.ahead:
        earliest_start: datetime = found.clock + found.lead_time
        return TooLate("appointmentId", lead_time_minutes=minutes(found.lead_time), earliest_start=earliest_start)
    if found.hold_limit is not None and found.live_holds >= found.hold_limit:
        return TooManyHolds("clientId", limit=found.hold_limit)
    near = availability.alternatives(context.business, found.provider_id, found.appointment_id, found.starts_at)
    return SlotUnavailable("appointmentId", alternatives=await context.database.rows(near))


async def _unless_already(wanted: ReservationStatus, context: Context, change: Change, key: Key | None) -> Row[Any]:
    """Answer a reservation that already is what it was to become; refuse any other."""
    row = await context.database.row(rows(Reservation, context.viewer).where(Reservation.id == change.reservation_id))
    if row is None:
        raise NotFound("reservationId", noun="reservation")
    if row.status == wanted:
        if key is not None:
            await keep(context, context.database, key, row.id)
        return row
    if row.status == ReservationStatus.EXPIRED and wanted is ReservationStatus.CONFIRMED:
        raise HoldExpired("reservationId", expired_at=row.expires_at)
    raise IllegalState("reservationId", state=row.status, change=wanted.lower())


CREATE = Write("reservationCreate", Reservation, reservation.hold, _why_not_held)
CONFIRM = Write(
    "reservationConfirm", Reservation, reservation.confirm, partial(_unless_already, ReservationStatus.CONFIRMED)
)
CANCEL = Write(
    "reservationCancel", Reservation, reservation.cancel, partial(_unless_already, ReservationStatus.CANCELLED)
)
