"""Bundles: reservations that were made together, as a visit or as a series, and are confirmed, renewed and given back together."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CTE,
    ColumnElement,
    LargeBinary,
    Select,
    Text,
    Update,
    Uuid,
    and_,
    case,
    cast,
    column,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, array, insert

from models import event
from models.client import Client
from models.idempotency_key import IdempotencyKey, Key, is_new
from models.life import given_back, is_ahead, is_before_cutoff
from models.record import Record, array_of, bound, columns
from models.reservation import CONFIRMED, HELD, Reservation
from models.viewer import Sight, Viewer


@dataclass(frozen=True)
class Bundle:
    """A visit or a series, of which something is to become; of a series perhaps only from an instant on."""

    record: type[Record]
    key: UUID
    reason: str | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class Booking:
    """What is to be written at once: a visit or a series, and a hold of each appointment, in this order, for its service."""

    fixed: ClassVar[tuple[str, ...]] = ("record",)

    record: type[Record]
    client_id: UUID
    appointments: tuple[UUID, ...]
    services: tuple[UUID | None, ...]
    note: str | None
    terms: "Terms | None" = None


@dataclass(frozen=True)
class Terms:
    """What is kept of a series beside its reservations."""

    fixed: ClassVar[tuple[str, ...]] = ()

    provider_id: UUID | None
    service_id: UUID | None
    every_weeks: int
    count: int


def link(record: type[Record]) -> Any:
    """Tell by which column a reservation names its visit, or its series."""
    return Reservation.visit_id if record.__tablename__ == "visits" else Reservation.series_id


def is_seen(record: Any, of_business: ColumnElement[bool], viewer: Viewer) -> ColumnElement[bool]:
    """Whether somebody sees a visit or a series: a client their own, a provider those with a reservation with them."""
    match viewer.sight:
        case Sight.ALL:
            return of_business
        case Sight.PROVIDER:
            theirs = exists().where(
                Reservation.business_id == record.business_id,
                link(record) == record.id,
                Reservation.provider_id == viewer.person_id,
            )
            return and_(of_business, theirs.correlate_except(Reservation))
        case Sight.CLIENT:
            return and_(of_business, record.client_id == viewer.person_id)
    return false()


def hold(
    viewer: Viewer, booking: Booking, key: Key | None, result: str | None, authored: tuple[str, str]
) -> Select[Any]:
    """Hold several appointments; each row is a reservation, and no row means that there is no such client, or a twin.

    All that they will meet is locked beforehand, in the order in which everybody does. What is not free any more has no
    row: whoever wants all or none of them has to look, and to take the rest back.
    """
    record: Any = booking.record
    appointments, services = array_of(booking.appointments, Uuid), array_of(booking.services, Uuid)
    client = (
        select(Client.business_id, Client.id)
        .where(Client.visible_to(viewer), Client.id == booking.client_id, Client.erased_at.is_(None))
        .where(is_new(key), event.authored(*authored))
        .where(func.lock_places(bound(viewer.business_id, Uuid), Client.id, appointments, services))
        .cte("client")
        .prefix_with("MATERIALIZED")
    )
    terms = {} if booking.terms is None else vars(booking.terms)
    values = {name: bound(value, getattr(record, name).type) for name, value in terms.items()}
    made = (
        insert(record)
        .from_select(["business_id", "client_id", *values], select(client.c.business_id, client.c.id, *values.values()))
        .returning(record.business_id, record.id, record.client_id)
        .cte("made")
    )
    claim = _claim(booking, made, appointments, services)
    answer = select(made.c.id.label("made_id"), *claim.c).join_from(made, claim, true(), isouter=True)
    return answer if key is None else answer.add_cte(_kept(made, key, result))


def _claim(booking: Booking, made: CTE, appointments: Any, services: Any) -> CTE:
    place = (
        func.unnest(appointments, services)
        .table_valued(column("appointment_id", Uuid), column("service_id", Uuid), with_ordinality="turn")
        .render_derived(name="place")
    )
    wanted = select(
        *(made.c.business_id, made.c.client_id, place.c.appointment_id, place.c.service_id),
        *(bound(booking.note, Text), made.c.id),
    )
    names = ["business_id", "client_id", "appointment_id", "service_id", "note", link(booking.record).key]
    return (
        insert(Reservation)
        .from_select(names, wanted.join_from(made, place, true()).order_by(place.c.turn))
        .on_conflict_do_nothing()
        .returning(*columns(Reservation))
        .cte("claim")
    )


def _kept(made: CTE, key: Key, result: str | None) -> CTE:
    """Keep the key that they were made under: of two twins at once, one fails here."""
    values = {
        "business_id": bound(key.business_id, Uuid),
        "principal": bound(key.principal, Text),
        "key": bound(key.key, Text),
        "request_hash": bound(key.request_hash, LargeBinary),
        "result_id": made.c.id,
        "result": cast(bound(result, Text), JSONB),
    }
    return insert(IdempotencyKey).from_select(list(values), select(*values.values())).cte("kept")


def lock(viewer: Viewer, bundle: Bundle, authored: ColumnElement[bool]) -> Select[Any]:
    """Find a visit or a series, and lock all of its reservations; its own do not change, but for what becomes of them."""
    record: Any = bundle.record
    members = select(Reservation.id).where(Reservation.business_id == record.business_id, link(record) == record.id)
    locked = func.lock_booking(
        *(record.business_id, array([record.client_id]), func.array(members.scalar_subquery())),
        literal_column("'{}'::uuid[]"),
    )
    return select(record.id, locked.label("locked")).where(record.visible_to(viewer), record.id == bundle.key, authored)


def members(viewer: Viewer, bundle: Bundle) -> Select[Any]:
    """Select the reservations that are meant, by start, and which of them a client may no longer give back."""
    is_late = and_(Reservation.stored_status == CONFIRMED, ~is_before_cutoff())
    told = Reservation.cancel_cutoff.label("cancel_cutoff"), is_late.label("is_late"), is_ahead().label("is_ahead")
    found = select(*columns(Reservation), *told).where(*_meant(viewer, bundle))
    return found.order_by(Reservation.starts_at, Reservation.id)


def confirm(viewer: Viewer, bundle: Bundle) -> Update:
    """Confirm every hold, or request it where a client needs an approval."""
    is_held = and_(Reservation.stored_status == HELD, Reservation.expires_at > func.clock_timestamp())
    change = update(Reservation).where(*_meant(viewer, bundle), is_held)
    if viewer.sight is not Sight.CLIENT:
        return change.values(stored_status=CONFIRMED, approved_by=bound(viewer.principal, Text))
    needs_approval = Reservation.approval_time.is_not(None)
    return change.where(Reservation.requested_at.is_(None)).values(
        stored_status=case((needs_approval, HELD), else_=CONFIRMED),
        requested_at=case((needs_approval, func.clock_timestamp())),
    )


def cancel(viewer: Viewer, bundle: Bundle) -> Update:
    """Give back every claim that has not begun; the cut-off binds clients, and whoever tells no reason."""
    change = given_back(viewer, bundle.reason).where(*_meant(viewer, bundle), is_ahead())
    if viewer.sight is Sight.CLIENT or bundle.reason is None:
        change = change.where(or_(Reservation.stored_status == HELD, is_before_cutoff()))
    return change


def renew(viewer: Viewer, bundle: Bundle) -> Update:
    """Have every hold last as long again."""
    is_held = and_(Reservation.stored_status == HELD, Reservation.requested_at.is_(None), is_ahead())
    return update(Reservation).where(*_meant(viewer, bundle), is_held).values(renewals=Reservation.renewals + 1)


def _meant(viewer: Viewer, bundle: Bundle) -> list[ColumnElement[bool]]:
    meant = [Reservation.business_id == viewer.business_id, link(bundle.record) == bundle.key]
    return meant if bundle.since is None else [*meant, Reservation.starts_at >= bundle.since]
