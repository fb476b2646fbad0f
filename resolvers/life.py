"""The life of a reservation: confirming, approving, moving, giving back, renewing, missing it; and why not."""

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy import Row

from models import Reservation, life, move, obstacle
from models.idempotency_key import Key
from models.life import Change
from models.move import Move
from models.refusal import (
    CancellationWindow,
    Forbidden,
    HoldExpired,
    IllegalState,
    InvalidInput,
    MovingWindow,
    NotConfirmed,
    NotFound,
    NotOffered,
    ReasonNeeded,
    Refusal,
    TooEarly,
    TooManyRenewals,
    TooManyRequests,
    VersionConflict,
)
from models.reservation import ReservationStatus, Wish
from models.viewer import Sight
from resolvers.context import Context
from resolvers.idempotency import keep
from resolvers.prepared import prepared
from resolvers.reservations import is_too_long, not_there, taken, too_soon_or_far
from resolvers.writes import Write

Reason = Callable[[Context, Any, Row[Any]], Refusal | None]
HELD, PENDING, CONFIRMED, NO_SHOW, CANCELLED, EXPIRED = (
    ReservationStatus[name] for name in ("HELD", "PENDING", "CONFIRMED", "NO_SHOW", "CANCELLED", "EXPIRED")
)


async def _otherwise(
    is_done: Callable[[Context, Row[Any]], bool], why: Reason, context: Context, change: Change, key: Key | None
) -> Row[Any]:
    """Answer a reservation that already is what it was to become; refuse any other."""
    row = await _standing(context, change)
    if is_done(context, row):
        return await _as_it_is(context, row, key)
    raise why(context, change, row) or IllegalState("reservationId", state=row.status)


async def _standing(context: Context, change: Change | Move) -> Row[Any]:
    row = await context.database.row(*prepared(life.standing, context.viewer, change.reservation_id))
    if row is None:
        raise NotFound("reservationId", noun="reservation")
    return row


async def _as_it_is(context: Context, row: Row[Any], key: Key | None) -> Row[Any]:
    if key is not None:
        await keep(context, context.database, key, row.id)
    return row


def _is(*wanted: ReservationStatus) -> Callable[[Context, Row[Any]], bool]:
    return lambda _context, row: row.status in wanted


def _is_confirmed(context: Context, row: Row[Any]) -> bool:
    """What a client has confirmed may wait for approval; whoever else confirms it approves it."""
    return row.status == CONFIRMED or (row.status == PENDING and context.viewer.sight is Sight.CLIENT)


def _lapsed(_context: Context, _change: Any, row: Row[Any]) -> Refusal | None:
    return HoldExpired("reservationId", expired_at=row.expires_at) if row.status == EXPIRED else None


def _not_confirmed(context: Context, change: Change, row: Row[Any]) -> Refusal | None:
    """Tell whether it would be a request, of which as many as allowed wait already."""
    is_request = row.status == HELD and row.needs_approval and context.viewer.sight is Sight.CLIENT
    if is_request and row.hold_limit is not None and row.live_requests >= row.hold_limit:
        return TooManyRequests("reservationId", limit=row.hold_limit)
    return _lapsed(context, change, row)


def _too_late_to_cancel(context: Context, change: Change, row: Row[Any]) -> Refusal | None:
    if row.status != CONFIRMED or not row.ahead or row.before_cutoff:
        return None
    deadline = row.starts_at - row.cancel_cutoff
    if context.viewer.sight is Sight.CLIENT:
        return CancellationWindow("reservationId", deadline=deadline)
    return ReasonNeeded("reason", deadline=deadline) if change.reason is None else None


def _not_renewed(context: Context, change: Change, row: Row[Any]) -> Refusal | None:
    if row.status == HELD and not row.is_offer:
        return TooManyRenewals("reservationId", limit=row.renewal_limit)
    return _lapsed(context, change, row)


def _not_missed(_context: Context, _change: Change, row: Row[Any]) -> Refusal | None:
    if row.status == CONFIRMED and row.started_at is None:
        return TooEarly("reservationId", state=row.status, possible_at=row.starts_at)
    return None


def _nothing_more(_context: Context, _change: Change, _row: Row[Any]) -> Refusal | None:
    return None


async def _why_not_moved(context: Context, wanted: Move, key: Key | None) -> Row[Any]:
    row = await _standing(context, wanted)
    if wanted.expected_version is not None and row.version != wanted.expected_version:
        raise VersionConflict("expectedVersion", current_version=row.version)
    if refused := _not_to_be_moved(context, wanted, row):
        raise refused
    if row.appointment_id == wanted.appointment_id:
        return await _as_it_is(context, row, key)
    raise await _why_not_there(context, wanted, row)


def _not_to_be_moved(context: Context, wanted: Move, row: Row[Any]) -> Refusal | None:
    if refused := _lapsed(context, wanted, row):
        return refused
    if not row.ahead:
        return IllegalState("reservationId", state=row.status)
    if row.is_offer:
        return NotConfirmed("reservationId", state=row.status)
    if context.viewer.sight is Sight.CLIENT and row.status == CONFIRMED and not row.before_cutoff:
        return MovingWindow("reservationId", deadline=row.starts_at - row.cancel_cutoff)
    return None


async def _why_not_there(context: Context, wanted: Move, row: Row[Any]) -> Refusal:
    """Tell what stood in the way of the appointment that a reservation was to go to."""
    viewer = context.viewer
    wish = Wish(row.client_id, wanted.appointment_id, None, row.service_id)
    found = await context.database.row(*prepared(obstacle.why_not_held, viewer, wish))
    if found is None:
        return NotFound("appointmentId", noun="appointment")
    if refused := not_there(found):
        return refused
    if viewer.sight is Sight.PROVIDER and found.provider_id != viewer.person_id:
        return Forbidden("appointmentId", problem="This is another provider's time; a PROVIDER moves to their own.")
    if problem := _misfit(found, row.service_id):
        return InvalidInput("appointmentId", problem=problem)
    if found.active is False or is_too_long(found):
        return NotOffered("appointmentId")
    refused = too_soon_or_far(found, "appointmentId")
    return refused or await taken(context, found, row.service_id, plain=row.service_id is None)


def _misfit(found: Row[Any], service_id: Any) -> str | None:
    """Tell why the appointment is not for the service that was reserved, which stays."""
    if service_id == found.published_for:
        return None
    if found.published_for is not None:
        return "This appointment was published for another service."
    if not found.given:
        return "The provider does not give this service there."
    return None if found.long_enough else "This appointment is too short for the service."


def _write(name: str, statement: Any, is_done: Any, why: Reason = _nothing_more) -> Write:
    return Write(name, Reservation, statement, partial(_otherwise, is_done, why))


CONFIRM = _write("reservationConfirm", life.confirm, _is_confirmed, _not_confirmed)
CANCEL = _write("reservationCancel", life.cancel, _is(CANCELLED), _too_late_to_cancel)
RELEASE = _write("reservationRelease", life.release, _is(CANCELLED))
RENEW = _write("reservationRenew", life.renew, _is(), _not_renewed)
APPROVE = _write("reservationApprove", life.approve, _is(CONFIRMED), _lapsed)
DECLINE = _write("reservationDecline", life.decline, _is(CANCELLED), _lapsed)
MARK_NO_SHOW = _write("reservationMarkNoShow", life.mark_no_show, _is(NO_SHOW), _not_missed)
RESCHEDULE = Write("reservationReschedule", Reservation, move.reschedule, _why_not_moved)
