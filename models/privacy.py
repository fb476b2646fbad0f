"""Privacy: telling all that is kept about a client, and forgetting them; what statistics need stays."""

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Text, and_, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from models.api_key import ApiKey
from models.audit_entry import AuditEntry
from models.calendar_feed import CalendarFeed
from models.client import Client
from models.event import Event
from models.life import is_ahead
from models.proposal import DECLINED, PROPOSED, Proposal
from models.proposal import EXPIRED as LAPSED
from models.provider import Provider
from models.record import bound, columns
from models.relation import rows
from models.reservation import CANCELLED, Reservation
from models.service import Service
from models.viewer import Role, Viewer
from models.waitlist_entry import CANCELLED as NO_LONGER_WAITING
from models.waitlist_entry import OFFERED, WAITING, WaitlistEntry

MOST_ENTRIES = 10_000  # of a history: each export adds one to the next
EXPORTED = "audit.client.exported.v1"
ERASED_NAME = {"first_name": "Erased", "last_name": "Client"}
ERASED_KEY = "Erased client"


@dataclass(frozen=True)
class Erasure:
    """A client who is to be forgotten."""

    fixed: ClassVar[tuple[str, ...]] = ()

    client_id: UUID


def kept(viewer: Viewer, client_id: UUID) -> Select[Any]:
    """Find a client whose data is to be told; erasing them waits until it is."""
    return rows(Client, viewer).where(Client.id == client_id).with_for_update(read=True, key_share=True, of=Client)


def exported(viewer: Viewer, client_id: UUID, request_id: str) -> ReturningInsert[Any]:
    """Put on record that all of a client's data was told; like a reading, it is no message to anybody."""
    entry = {
        "business_id": viewer.business_id,
        "type": EXPORTED,
        "aggregate_id": client_id,
        "actor": viewer.principal,
        "correlation_id": request_id,
        "data": {"id": str(client_id)},
        "relayed_at": func.clock_timestamp(),
    }
    return insert(Event).values(entry).returning(Event.id)


def reservations_of(viewer: Viewer, client_id: UUID) -> Select[Any]:
    """Select all reservations of a client, with whom and for what they are."""
    return (
        select(
            *columns(Reservation),
            func.concat(Provider.first_name, " ", Provider.last_name).label("provider"),
            Service.name.label("service"),
        )
        .join(Provider, and_(Provider.business_id == Reservation.business_id, Provider.id == Reservation.provider_id))
        .outerjoin(Service, and_(Service.business_id == Reservation.business_id, Service.id == Reservation.service_id))
        .where(Reservation.visible_to(viewer), Reservation.client_id == client_id)
        .order_by(Reservation.starts_at, Reservation.id)
    )


def keys_of(viewer: Viewer, client_id: UUID) -> Select[Any]:
    """Select the API keys that act for a client."""
    return rows(ApiKey, viewer).where(_acts_for(client_id)).order_by(ApiKey.id)


def things_of(record: Any, viewer: Viewer, client_id: UUID) -> Select[Any]:
    """Select what is a client's own of some other table, the oldest first."""
    return rows(record, viewer).where(record.client_id == client_id).order_by(record.id)


def history_of(viewer: Viewer, ids: list[UUID]) -> Select[Any]:
    """Select what was done to things, and who read them, the newest first."""
    return (
        rows(AuditEntry, viewer).where(AuditEntry.thing_id.in_(ids)).order_by(AuditEntry.id.desc()).limit(MOST_ENTRIES)
    )


def lock_client(viewer: Viewer, erasure: Erasure, authored: ColumnElement[bool]) -> Select[Any]:
    """Find a client who is to be forgotten, and let nobody reserve for them, or read all of them, meanwhile."""
    return rows(Client, viewer).where(Client.id == erasure.client_id, authored).with_for_update(of=Client)


def lock_entries(viewer: Viewer, erasure: Erasure) -> Select[Any]:
    """Lock what a client waits for, before their reservations; what is offered is locked with its hold."""
    mine = WaitlistEntry.visible_to(viewer), WaitlistEntry.client_id == erasure.client_id
    waiting = select(WaitlistEntry.id).where(*mine, WaitlistEntry.stored_status == WAITING)
    return waiting.order_by(WaitlistEntry.id).with_for_update(of=WaitlistEntry)


def lock_reservations(viewer: Viewer, erasure: Erasure) -> Select[Any]:
    """Lock the reservations of a client in the order in which everybody locks several."""
    mine = Reservation.visible_to(viewer), Reservation.client_id == erasure.client_id
    return select(Reservation.id).where(*mine).order_by(Reservation.id).with_for_update(of=Reservation)


def forget_reservations(viewer: Viewer, erasure: Erasure) -> ReturningUpdate[Any]:
    """Give back the times that a client still claims, and take the words out of all their reservations.

    What has begun was taken, and is counted as before.
    """
    return (
        update(Reservation)
        .values(
            stored_status=case((is_ahead(), CANCELLED), else_=Reservation.stored_status),
            cancelled_by=bound(viewer.role_name, Text),
            note=None,
            cancel_reason=None,
        )
        .where(
            Reservation.visible_to(viewer),
            Reservation.client_id == erasure.client_id,
            or_(is_ahead(), Reservation.note.is_not(None), Reservation.cancel_reason.is_not(None)),
        )
        .returning(Reservation.id)
    )


def end_waiting(viewer: Viewer, erasure: Erasure) -> ReturningUpdate[Any]:
    """Take a client off the waiting list: before what they hold is freed, so that none of it is offered to them."""
    return (
        update(WaitlistEntry)
        .values(stored_status=NO_LONGER_WAITING)
        .where(
            WaitlistEntry.visible_to(viewer),
            WaitlistEntry.client_id == erasure.client_id,
            WaitlistEntry.stored_status.in_([WAITING, OFFERED]),
        )
        .returning(WaitlistEntry.id)
    )


def forget_proposals(viewer: Viewer, erasure: Erasure) -> ReturningUpdate[Any]:
    """Take the words out of what was proposed to a client; nothing of it stays open."""
    is_over = Proposal.expires_at <= func.clock_timestamp()
    is_open = Proposal.stored_status == PROPOSED
    return (
        update(Proposal)
        .values(
            reason=None,
            stored_status=case((is_open, case((is_over, LAPSED), else_=DECLINED)), else_=Proposal.stored_status),
        )
        .where(
            Proposal.visible_to(viewer),
            Proposal.client_id == erasure.client_id,
            or_(is_open, Proposal.reason.is_not(None)),
        )
        .returning(Proposal.id)
    )


def end_feeds(viewer: Viewer, erasure: Erasure) -> ReturningUpdate[Any]:
    """End the calendar feeds of a client: nobody reads on by an address that they gave away."""
    return (
        update(CalendarFeed)
        .values(revoked_at=func.clock_timestamp())
        .where(
            CalendarFeed.visible_to(viewer),
            CalendarFeed.client_id == erasure.client_id,
            CalendarFeed.revoked_at.is_(None),
        )
        .returning(CalendarFeed.id)
    )


def end_keys(viewer: Viewer, erasure: Erasure) -> ReturningUpdate[Any]:
    """End the API keys that act for a client; what they were called may have named somebody."""
    return (
        update(ApiKey)
        .values(name=ERASED_KEY, revoked_at=func.coalesce(ApiKey.revoked_at, func.clock_timestamp()))
        .where(ApiKey.visible_to(viewer), _acts_for(erasure.client_id))
        .where(or_(ApiKey.revoked_at.is_(None), ApiKey.name != ERASED_KEY))
        .returning(ApiKey.id)
    )


def forget_person(viewer: Viewer, erasure: Erasure) -> ReturningUpdate[Any]:
    """Take out of a client's row whatever tells who they were; no row, if that was done before."""
    return (
        update(Client)
        .values(**ERASED_NAME, email=None, phone=None, time_zone=None, locale=None, erased_at=func.clock_timestamp())
        .where(Client.visible_to(viewer), Client.id == erasure.client_id, Client.erased_at.is_(None))
        .returning(*columns(Client))
    )


def _acts_for(client_id: UUID) -> ColumnElement[bool]:
    return and_(ApiKey.role == Role.CLIENT.value, ApiKey.person_id == client_id)
