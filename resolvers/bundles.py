"""What is done with visits and series: making all of one in a hold, and confirming, renewing or cancelling all of it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Update, select

from models import ReservationSeries, bundle
from models.bundle import Booking, Bundle
from models.business import Business, minutes
from models.idempotency_key import Key, remember
from models.node_id import noun
from models.page import Place
from models.refusal import (
    BeyondHorizon,
    Busy,
    CancellationWindow,
    HoldExpired,
    IllegalState,
    InvalidInput,
    NotFound,
    Refusal,
    TooLate,
    TooManyRenewals,
    TooManyRequests,
)
from models.relation import rows
from models.reservation import ReservationStatus
from models.series import held_series
from models.viewer import Sight, Viewer
from resolvers.context import Context
from resolvers.database import Statements
from resolvers.idempotency import NO, read_key, replayed
from resolvers.prepared import prepared
from resolvers.reservations import too_many_holds
from resolvers.writes import Request

LIVE = (ReservationStatus.HELD, ReservationStatus.PENDING, ReservationStatus.CONFIRMED)
MOST_TRIES = 3


class LostError(Exception):
    """Some of what was to be held together could not be, by now; nothing was."""

    def __init__(self, places: Sequence[UUID]) -> None:
        super().__init__()
        self.places = places


async def held(context: Context, booking: Booking, key: Key | None, result: str | None = None) -> Sequence[Row[Any]]:
    """Hold all places of a visit or a series; raise, if one is lost; answer no row, if nobody may ask for this, or a twin has."""
    author = Place((context.viewer.principal, context.request_id))

    async def work(statements: Statements) -> Sequence[Row[Any]]:
        rows = await statements.rows(*prepared(bundle.hold, context.viewer, booking, key, result, author))
        done = {row.appointment_id for row in rows}
        lost = [each for each in booking.appointments if each not in done]
        if rows and (lost or await _holds_two(context, statements, booking)):
            raise LostError(lost)
        return rows

    try:
        return await context.database.transaction(work)
    except NO:
        raise LostError(booking.appointments[-1:]) from None
    finally:
        context.loaders.forget()


async def _holds_two(context: Context, statements: Statements, booking: Booking) -> bool:
    """Tell whether a client who is to hold one series at a time has just come to hold two; their row is locked."""
    if context.viewer.sight is not Sight.CLIENT or booking.record is not ReservationSeries:
        return False
    row = await statements.row(select(held_series(context.viewer, booking.client_id).label("held")))
    return row is not None and row.held > 1


def refused(found: Row[Any]) -> Refusal | None:
    """Tell whether the client may hold anything at all."""
    if not found.client_exists:
        return NotFound("clientId", noun="client")
    return too_many_holds(found)


def too_soon_or_far(found: Row[Any], starts_at: Any, *field: str | int) -> Refusal | None:
    """Tell whether an instant lies outside of what the policies allow."""
    ahead = starts_at - found.clock
    if ahead < found.lead_time:
        earliest = found.clock + found.lead_time
        return TooLate(*field, lead_time_minutes=minutes(found.lead_time), earliest_start=earliest)
    if found.maximum_horizon is not None and ahead > found.maximum_horizon:
        return BeyondHorizon(*field, latest_start=found.clock + found.maximum_horizon)
    return None


@dataclass(frozen=True)
class Change:
    """How a mutation changes all of a visit or a series, and what stands in its way afterwards."""

    name: str
    field: str
    statement: Callable[[Viewer, Bundle], Update]
    obstacle: Callable[["Change", Viewer, Sequence[Row[Any]]], Refusal | None]


async def changed(context: Context, change: Change, request: Request) -> Row[Any]:
    """Change all reservations that are meant, or none; once for each idempotency key."""
    wanted: Bundle = request.wanted
    key = read_key(context, change.name, wanted, request.idempotency_key)

    async def work(statements: Statements) -> None:
        if key is not None and await statements.row(remember(key, wanted.key, None)) is None:
            if await replayed(context, statements, key) is None:
                raise Busy
            return
        if await statements.row(bundle.lock(context.viewer, wanted, context.authored())) is None:
            raise NotFound(change.field, noun=noun(wanted.record.__name__))
        await statements.rows(change.statement(context.viewer, wanted))
        members = await statements.rows(bundle.members(context.viewer, wanted))
        if refusal := change.obstacle(change, context.viewer, members):
            raise refusal

    await _done(context, change, work)
    context.loaders.forget()
    row = await context.loaders.one(wanted.record, wanted.key)
    if row is None:
        raise NotFound(change.field, noun=noun(wanted.record.__name__))
    return row


async def _done(context: Context, change: Change, work: Callable[[Statements], Awaitable[None]]) -> None:
    """Do it; what the database's own rules refuse at the last moment is looked at again, so that it is told in full."""
    for _ in range(MOST_TRIES):
        try:
            return await context.database.transaction(work)
        except NO as refusal:
            if getattr(refusal, "field", None):  # ours: the database names no field
                raise
            if isinstance(refusal, TooManyRenewals | TooManyRequests):
                business = await context.database.row(rows(Business, context.viewer))
                limit = "renewal_limit" if isinstance(refusal, TooManyRenewals) else "hold_limit"
                raise type(refusal)(change.field, limit=getattr(business, limit, 0)) from None
    raise Busy


def _not_confirmed(change: Change, _viewer: Viewer, members: Sequence[Row[Any]]) -> Refusal | None:
    """Refuse if a hold has lapsed, and if nothing was left to be confirmed; what was given back alone is passed over."""
    expired = [each for each in members if each.status == ReservationStatus.EXPIRED]
    if expired:
        return HoldExpired(change.field, expired_at=min(each.expires_at for each in expired))
    return None if _any_live(members) else _illegal(change, members)


def _not_renewed(change: Change, viewer: Viewer, members: Sequence[Row[Any]]) -> Refusal | None:
    """Refuse if a hold has lapsed, and if there is none."""
    if refusal := _not_confirmed(change, viewer, members):
        return refusal
    is_held = any(each.status == ReservationStatus.HELD for each in members)
    return None if is_held else _illegal(change, members)


def _not_cancelled(change: Change, viewer: Viewer, members: Sequence[Row[Any]]) -> Refusal | None:
    """Refuse if a claim could not be given back, and if there was none."""
    late = [each for each in members if each.is_late and each.is_ahead]
    if late and viewer.sight is Sight.CLIENT:
        return CancellationWindow(change.field, deadline=min(each.starts_at - each.cancel_cutoff for each in late))
    if late:
        return InvalidInput("reason", problem="The cut-off has passed; tell a reason for cancelling all the same.")
    left = [each for each in members if each.status in LIVE]
    is_done = any(each.status == ReservationStatus.CANCELLED for each in members)
    return _illegal(change, members) if (left and change.field == "visitId") or not is_done else None


def _any_live(members: Sequence[Row[Any]]) -> bool:
    return any(each.status in LIVE for each in members)


def _illegal(change: Change, members: Sequence[Row[Any]]) -> Refusal:
    """Name the first state, in their order, that stands in the way."""
    found = {each.status for each in members}
    state = next((status for status in ReservationStatus if status in found), ReservationStatus.CANCELLED)
    return IllegalState(change.field, state=state, change=change.name)


VISIT_CONFIRM = Change("visitConfirm", "visitId", bundle.confirm, _not_confirmed)
VISIT_RENEW = Change("visitRenew", "visitId", bundle.renew, _not_renewed)
VISIT_CANCEL = Change("visitCancel", "visitId", bundle.cancel, _not_cancelled)
SERIES_CONFIRM = Change("reservationSeriesConfirm", "seriesId", bundle.confirm, _not_confirmed)
SERIES_CANCEL = Change("reservationSeriesCancel", "seriesId", bundle.cancel, _not_cancelled)
