"""Privacy: telling all that is kept about a client, and forgetting them; what statistics need stays."""

from dataclasses import dataclass
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import ReturningInsert, ReturningUpdate

from models.api_key import ApiKey
from models.audit_entry import AuditEntry
from models.client import Client
from models.event import Event
from models.provider import Provider
from models.record import columns
from models.relation import rows
from models.reservation import CANCELLED, HELD, Reservation
from models.service import Service
from models.viewer import Role, Viewer

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


def history_of(viewer: Viewer, ids: list[UUID]) -> Select[Any]:
    """Select what was done to things, and who read them, the newest first."""
    return (
        rows(AuditEntry, viewer).where(AuditEntry.thing_id.in_(ids)).order_by(AuditEntry.id.desc()).limit(MOST_ENTRIES)
    )


def lock_client(viewer: Viewer, erasure: Erasure, authored: ColumnElement[bool]) -> Select[Any]:
    """Find a client who is to be forgotten, and let nobody reserve for them, or read all of them, meanwhile."""
    return rows(Client, viewer).where(Client.id == erasure.client_id, authored).with_for_update(of=Client)


def lock_reservations(viewer: Viewer, erasure: Erasure) -> Select[Any]:
    """Lock the reservations of a client in the order in which everybody locks several."""
    mine = Reservation.visible_to(viewer), Reservation.client_id == erasure.client_id
    return select(Reservation.id).where(*mine).order_by(Reservation.id).with_for_update(of=Reservation)


def forget_reservations(viewer: Viewer, erasure: Erasure) -> ReturningUpdate[Any]:
    """Give back the times that a client still claims, and take the words out of all their reservations.

    What has begun was taken, and is counted as before.
    """
    ends = case((Reservation.stored_status == HELD, Reservation.expires_at), else_=Reservation.starts_at)
    is_ahead = and_(Reservation.live, ends > func.clock_timestamp())
    return (
        update(Reservation)
        .values(
            stored_status=case((is_ahead, CANCELLED), else_=Reservation.stored_status),
            note=None,
            cancel_reason=None,
        )
        .where(
            Reservation.visible_to(viewer),
            Reservation.client_id == erasure.client_id,
            or_(is_ahead, Reservation.note.is_not(None), Reservation.cancel_reason.is_not(None)),
        )
        .returning(Reservation.id)
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
        .values(**ERASED_NAME, email=None, phone=None, time_zone=None, erased_at=func.clock_timestamp())
        .where(Client.visible_to(viewer), Client.id == erasure.client_id, Client.erased_at.is_(None))
        .returning(*columns(Client))
    )


def _acts_for(client_id: UUID) -> ColumnElement[bool]:
    return and_(ApiKey.role == Role.CLIENT.value, ApiKey.person_id == client_id)
