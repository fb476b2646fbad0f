"""Calendar feeds: what a calendar program reads again and again. Its address is a secret, of which only a hash is kept."""

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Select,
    TextClause,
    UniqueConstraint,
    Uuid,
    and_,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.appointment import Appointment
from models.business import Business
from models.client import Client
from models.location import Location
from models.node_id import key_if_given
from models.provider import Provider
from models.record import OfBusiness, Record, array_of, bound, columns, of_persons
from models.refusal import InvalidInput
from models.relation import rows
from models.reservation import CANCELLED, EXPIRED, Reservation
from models.service import Service
from models.viewer import Viewer

PATH = "/calendars"
MOST_FEEDS, MOST_ENTRIES = 10, 5_000
BACK, AHEAD, CANCELLED_SHOWN = timedelta(days=90), timedelta(days=366), timedelta(days=30)
_SHOWN = re.compile(r"[A-Za-z0-9_-]{43}")


class CalendarFeed(OfBusiness, Record):
    """Whoever shows its secret reads the appointments of a provider, or of a client, until it is revoked."""

    __tablename__ = "calendar_feeds"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "provider_id"], ["providers.business_id", "providers.id"], name="feed_of_provider"
        ),
        ForeignKeyConstraint(
            ["business_id", "client_id"], ["clients.business_id", "clients.id"], name="feed_of_client"
        ),
        UniqueConstraint("secret_hash", name="feed_secret_is_new"),
        CheckConstraint("num_nonnulls(provider_id, client_id) = 1", name="feed_is_of_one"),
        CheckConstraint("length(secret_hash) = 32", name="feed_secret_is_hashed"),
        Index("feeds_of_provider", "business_id", "provider_id", postgresql_where=text("provider_id IS NOT NULL")),
        Index("feeds_of_client", "business_id", "client_id", postgresql_where=text("client_id IS NOT NULL")),
    )

    provider_id: Mapped[UUID | None]
    client_id: Mapped[UUID | None]
    secret_hash: Mapped[bytes] = mapped_column(deferred=True)
    revoked_at: Mapped[datetime | None]

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """A provider and a client see their own, the rest of a team all."""
        return of_persons(
            super().visible_to(viewer),
            viewer,
            provider=cls.provider_id == viewer.person_id,
            client=cls.client_id == viewer.person_id,
        )


@dataclass(frozen=True)
class NewFeed:
    """Whose feed is asked for: a provider's or a client's."""

    provider_id: UUID | None
    client_id: UUID | None

    @classmethod
    def read(cls, provider: str | None, client: str | None) -> "NewFeed":
        """Check that it is one person's."""
        if (provider is None) == (client is None):
            raise InvalidInput("providerId", problem="Name either a provider or a client.")
        return cls(key_if_given("Provider", provider, "providerId"), key_if_given("Client", client, "clientId"))

    @property
    def person(self) -> tuple[Any, UUID, str]:
        """Of which table, under which key, and where the input says so."""
        if self.provider_id is not None:
            return Provider, self.provider_id, "providerId"
        assert self.client_id is not None
        return Client, self.client_id, "clientId"

    def columns(self) -> dict[str, Any]:
        return {name: key for name, key in vars(self).items() if key is not None}


@dataclass(frozen=True)
class Wanted:
    """What a list of feeds is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ()

    provider_id: UUID | None = None
    client_id: UUID | None = None


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select the feeds that are wanted."""
    statement = rows(CalendarFeed, viewer)
    if wanted.provider_id is not None:
        statement = statement.where(CalendarFeed.provider_id == wanted.provider_id)
    if wanted.client_id is not None:
        statement = statement.where(CalendarFeed.client_id == wanted.client_id)
    return statement


def secret() -> str:
    """Make the secret part of an address."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")


def hash_of(shown: str) -> bytes:
    """Hash whatever is shown: what cannot be a secret finds nothing, in the same time."""
    return hashlib.sha256(shown.encode(errors="surrogatepass")).digest()


def address(public_url: str, shown: str) -> str:
    return f"{public_url}{PATH}/{shown}.ics"


def lock_person(viewer: Viewer, wanted: NewFeed, authored: ColumnElement[bool]) -> Select[Any]:
    """Find whose feed it shall be, and let nobody erase them, or make another feed of theirs, meanwhile."""
    record, key, _ = wanted.person
    found = rows(record, viewer).where(record.id == bound(key, Uuid), record.erased_at.is_(None), authored)
    return found.with_for_update(key_share=True, of=record)


def alive(viewer: Viewer, wanted: NewFeed) -> Select[Any]:
    """Count the feeds of somebody that can still be read."""
    mine = [getattr(CalendarFeed, name) == bound(key, Uuid) for name, key in wanted.columns().items()]
    return select(func.count().label("total")).where(
        CalendarFeed.business_id == viewer.business_id, CalendarFeed.revoked_at.is_(None), *mine
    )


def revoke(viewer: Viewer, key: UUID, authored: ColumnElement[bool]) -> Select[Any]:
    """End a feed; no row, if there is none, or if it has ended before."""
    ended = (
        update(CalendarFeed)
        .values(revoked_at=func.clock_timestamp())
        .where(CalendarFeed.visible_to(viewer), CalendarFeed.id == key, CalendarFeed.revoked_at.is_(None), authored)
        .returning(*columns(CalendarFeed))
    )
    return select(*ended.cte("ended").c)


def shown(secret_hash: bytes) -> TextClause:
    """Find whose feed has this secret, if it can still be read; of any business."""
    found = text("SELECT business_id, provider_id, client_id FROM find_calendar_feed(:shown)")
    return found.bindparams(shown=secret_hash)


def named(business: UUID, provider: UUID | None) -> Select[Any]:
    """Read what a feed is called: as its provider, or as the business."""
    if provider is None:
        return select(Business.name.label("name")).where(Business.id == business)
    called = func.concat(Provider.first_name, " ", Provider.last_name).label("name")
    return select(called).where(Provider.business_id == business, Provider.id == provider)


def entries(business: UUID, provider: UUID | None, client: UUID | None) -> Select[Any]:
    """Select the reservations that a feed shows: those nearest to this moment, if there are too many."""
    now = func.clock_timestamp()
    is_shown = or_(
        Reservation.status.not_in([CANCELLED, EXPIRED]),
        and_(Reservation.status == CANCELLED, Reservation.cancelled_at > now - CANCELLED_SHOWN),
    )
    mine = Reservation.client_id == client if provider is None else Reservation.provider_id == provider
    chosen = (
        _told()
        .where(Reservation.business_id == business, mine, is_shown)
        .where(Reservation.starts_at > now - BACK, Reservation.starts_at < now + AHEAD)
        .order_by(func.greatest(Reservation.starts_at - now, now - Reservation.starts_at), Reservation.id)
        .limit(MOST_ENTRIES)
        .subquery("chosen")
    )
    return select(*chosen.c).order_by(chosen.c.starts_at, chosen.c.id)


def _told() -> Select[Any]:
    """Select all that is told of reservations."""

    def same(record: Any, key: Any) -> ColumnElement[bool]:
        return and_(record.business_id == Reservation.business_id, record.id == key)

    return (
        select(
            *columns(Reservation),
            Reservation.scheduled_at.label("scheduled_at"),
            func.concat(Provider.first_name, " ", Provider.last_name).label("provider"),
            Client.first_name.label("client"),
            Service.name.label("service"),
            Location.name.label("location"),
            Location.address.label("address"),
        )
        .join(Provider, same(Provider, Reservation.provider_id))
        .join(Client, same(Client, Reservation.client_id))
        .outerjoin(Service, same(Service, Reservation.service_id))
        .outerjoin(Appointment, same(Appointment, Reservation.appointment_id))
        .outerjoin(Location, same(Location, Appointment.location_id))
    )


def told(viewer: Viewer, reservations: Sequence[UUID]) -> Select[Any]:
    """Select some reservations with all that is told of them."""
    chosen = Reservation.id == func.any(array_of(reservations, Uuid))
    return _told().where(Reservation.visible_to(viewer), chosen)
