"""Moving a reservation to another appointment: rescheduling it, or reassigning it to another provider. Its id stays."""

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Select, Uuid, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import array

from models.appointment import Appointment
from models.idempotency_key import Key, is_new
from models.life import Change, changed, is_ahead, is_before_cutoff, is_offer
from models.record import bound
from models.reservation import HELD, Reservation
from models.viewer import Sight, Viewer


@dataclass(frozen=True)
class Move:
    """A reservation, the appointment that it is to go to, and the version at which it was read, if one is told."""

    fixed: ClassVar[tuple[str, ...]] = ()

    reservation_id: UUID
    appointment_id: UUID
    expected_version: int | None = None


def reschedule(viewer: Viewer, asked: Move, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Move a reservation in place; no row means no, that it is only offered, or that it is there already.

    The guard checks the new time as if it were reserved, and passes over the reservation's own. What both times are of is
    locked beforehand, in the order in which everybody does. A client moves a booking as long as they may cancel it, and a
    provider to their own times.
    """
    mine = Reservation.visible_to(viewer), Reservation.id == asked.reservation_id
    locked = func.lock_booking(
        bound(viewer.business_id, Uuid),
        literal_column("'{}'::uuid[]"),
        array([bound(asked.reservation_id, Uuid)]),
        array([bound(asked.appointment_id, Uuid)]),
    )
    wanted = select(Reservation.id, locked.label("locked")).where(*mine, is_new(key), authored)
    ready = wanted.cte("ready").prefix_with("MATERIALIZED")
    change = (
        update(Reservation)
        .values(appointment_id=bound(asked.appointment_id, Uuid))
        .where(
            ready.c.id == Reservation.id,
            ready.c.locked,
            Reservation.appointment_id != asked.appointment_id,
            is_ahead(),
            ~is_offer(),
        )
    )
    if asked.expected_version is not None:
        change = change.where(Reservation.version == bound(asked.expected_version, Integer))
    if viewer.sight is Sight.CLIENT:
        change = change.where(or_(Reservation.stored_status == HELD, is_before_cutoff()))
    if viewer.sight is Sight.PROVIDER:
        change = change.where(
            Appointment.business_id == Reservation.business_id,
            Appointment.id == asked.appointment_id,
            Appointment.provider_id == viewer.person_id,
        )
    return changed(change, viewer, Change(asked.reservation_id), key, authored)
