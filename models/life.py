"""The life of a reservation: how it is confirmed, given back, renewed, begun and completed, one statement each."""

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, Update, and_, case, exists, func, or_, select, update
from sqlalchemy.orm import aliased

from models.business import Business
from models.client import Client
from models.idempotency_key import Key, is_new, remembered
from models.record import bound, columns
from models.reservation import CANCELLED, CONFIRMED, HELD, NO_SHOW, Reservation
from models.viewer import Sight, Viewer


@dataclass(frozen=True)
class Change:
    """A reservation that is to change, and why."""

    fixed: ClassVar[tuple[str, ...]] = ()

    reservation_id: UUID
    reason: str | None = None


def confirm(viewer: Viewer, asked: Change, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Turn a hold that has not lapsed into a booking, or a client's into a request where approval is needed; no row means no.

    Whoever is not the client approves by confirming. Who requests is locked first: what they have requested is counted.
    """
    is_held = and_(Reservation.stored_status == HELD, Reservation.expires_at > func.clock_timestamp())
    change = update(Reservation).where(is_held)
    if viewer.sight is Sight.CLIENT:
        needs_approval = Reservation.approval_time.is_not(None)
        asking = select(Client.id).where(Client.visible_to(viewer)).with_for_update(key_share=True).cte("asking")
        is_locked = or_(~needs_approval, exists(select(asking.c.id)))
        change = change.where(Reservation.requested_at.is_(None), is_locked).values(
            stored_status=case((needs_approval, HELD), else_=CONFIRMED),
            requested_at=case((needs_approval, func.clock_timestamp())),
        )
    else:
        change = change.values(stored_status=CONFIRMED, approved_by=bound(viewer.principal, Text))
    return changed(change, viewer, asked, key, authored)


def cancel(viewer: Viewer, asked: Change, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Give back a hold that has not lapsed, or a booking that has not begun; no row means no.

    The cut-off that was agreed on binds clients; others have to tell a reason for passing over it.
    """
    change = given_back(viewer, asked.reason).where(is_ahead())
    if viewer.sight is Sight.CLIENT or asked.reason is None:
        change = change.where(or_(Reservation.stored_status == HELD, is_before_cutoff()))
    return changed(change, viewer, asked, key, authored)


def release(viewer: Viewer, asked: Change, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Give back a hold, or a request that waits for approval, and never a booking; no row means no."""
    change = given_back(viewer, asked.reason).where(is_ahead(), Reservation.stored_status == HELD)
    return changed(change, viewer, asked, key, authored)


def approve(viewer: Viewer, asked: Change, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Turn a request that waits for approval into a booking; no row means no."""
    change = update(Reservation).values(stored_status=CONFIRMED, approved_by=bound(viewer.principal, Text))
    return changed(change.where(is_pending()), viewer, asked, key, authored)


def decline(viewer: Viewer, asked: Change, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Give back a request that waits for approval; no row means no."""
    return changed(given_back(viewer, asked.reason).where(is_pending()), viewer, asked, key, authored)


def is_pending() -> ColumnElement[bool]:
    """Whether a reservation waits for approval, and has not done so for too long."""
    return and_(Reservation.stored_status == HELD, Reservation.requested_at.is_not(None), is_ahead())


def given_back(viewer: Viewer, reason: str | None) -> Update:
    """Give reservations back, in the name of a role."""
    role = bound(viewer.role_name, Text)
    return update(Reservation).values(stored_status=CANCELLED, cancel_reason=reason, cancelled_by=role)


def is_ahead() -> ColumnElement[bool]:
    """Whether a reservation has not come to its end, or to its beginning: a hold lapses, a booking begins."""
    ends = case((Reservation.stored_status == HELD, Reservation.expires_at), else_=Reservation.starts_at)
    return and_(Reservation.live, Reservation.started_at.is_(None), ends > func.clock_timestamp())


def is_offer() -> ColumnElement[bool]:
    """Whether a reservation is held for a client who has not said yet that they want it: that time, and no other."""
    return and_(Reservation.offered, Reservation.stored_status == HELD, Reservation.requested_at.is_(None))


def is_before_cutoff() -> ColumnElement[bool]:
    """Whether a client may still cancel a booking, by what was agreed on when it was made."""
    return Reservation.starts_at - func.clock_timestamp() >= Reservation.cancel_cutoff


def kept_by(business: Any, client: Any) -> list[ColumnElement[int]]:
    """Count what a client holds at this moment, and what of theirs waits for an approval, as the guard does.

    A visit or a series is one wish; what is only offered is none.
    """
    other = aliased(Reservation)
    wishes = func.coalesce(other.visit_id, other.series_id, other.id)
    found = select(func.count(wishes.distinct())).where(
        other.business_id == business,
        other.client_id == client,
        other.live,
        other.stored_status == HELD,
        other.expires_at > func.clock_timestamp(),
    )
    held = found.where(other.requested_at.is_(None), ~other.offered)
    requested = found.where(other.requested_at.is_not(None))
    return [held.scalar_subquery().label("live_holds"), requested.scalar_subquery().label("live_requests")]


def standing(viewer: Viewer, reservation_id: UUID) -> Select[Any]:
    """Read, after a change was refused, a reservation with what may have stood in the way of it."""
    mine = Reservation.visible_to(viewer), Reservation.id == reservation_id
    told: tuple[ColumnElement[Any], ...] = (
        Reservation.cancel_cutoff.label("cancel_cutoff"),
        is_offer().label("is_offer"),
        is_ahead().label("ahead"),
        is_before_cutoff().label("before_cutoff"),
        Business.renewal_limit.label("renewal_limit"),
        Business.hold_limit.label("hold_limit"),
        *kept_by(Reservation.business_id, Reservation.client_id),
    )
    return select(*columns(Reservation), *told).join(Business, Business.id == Reservation.business_id).where(*mine)


def renew(viewer: Viewer, asked: Change, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Have a hold that has not lapsed last as long again, as often as the business allows; no row means no."""
    change = (
        update(Reservation)
        .values(renewals=Reservation.renewals + 1)
        .where(Reservation.stored_status == HELD, Reservation.requested_at.is_(None), is_ahead())
        .where(~Reservation.offered)
    )
    return changed(change, viewer, asked, key, authored)


def mark_no_show(viewer: Viewer, asked: Change, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Put on record that nobody came to a booking whose time has come; no row means no."""
    change = (
        update(Reservation)
        .values(stored_status=NO_SHOW)
        .where(
            Reservation.stored_status == CONFIRMED,
            Reservation.started_at.is_(None),
            Reservation.starts_at <= func.clock_timestamp(),
        )
    )
    return changed(change, viewer, asked, key, authored)


def changed(
    change: Update, viewer: Viewer, asked: Change, key: Key | None, authored: ColumnElement[bool]
) -> Select[Any]:
    """Make a change to one reservation, its event and its key in one statement; no row means no."""
    one = change.where(Reservation.visible_to(viewer), Reservation.id == asked.reservation_id, is_new(key), authored)
    return remembered(one.returning(*columns(Reservation)).cte("change"), key)
