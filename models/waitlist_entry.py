"""The waiting list: what clients wait for, whose turn it is, and how what they wish for is written and ended."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Select,
    Text,
    Update,
    Uuid,
    and_,
    case,
    exists,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Mapped, aliased, column_property, mapped_column

from models.appointment import Appointment
from models.availability import available
from models.client import Client
from models.idempotency_key import Key, is_new, remembered
from models.location import Location
from models.provider import Provider
from models.record import Record, bound, columns, generated_id, of_persons, stamped, versioned
from models.refusal import InvalidInput
from models.relation import rows
from models.reservation import HELD, Reservation
from models.service import Service
from models.viewer import Viewer

LONGEST_WAIT = timedelta(days=366)
MOST_ENTRIES = 10  # of one client, who waits for them at once; the database counts them


class WaitlistEntryStatus(StrEnum):
    """Where somebody stands who waits: WAITING, OFFERED a time, then ACCEPTED; or CANCELLED; or EXPIRED, too late for any."""

    WAITING = "WAITING"
    OFFERED = "OFFERED"
    ACCEPTED = "ACCEPTED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


WAITING, OFFERED, ACCEPTED, CANCELLED, EXPIRED = (literal_column(f"'{status}'", Text) for status in WaitlistEntryStatus)


_hold = aliased(Reservation, name="offered_hold")


def _has_lapsed(business_id: Any, reservation_id: Any) -> ColumnElement[bool]:
    """Whether the hold that is offered has lapsed, though nobody has noticed yet."""
    is_it = _hold.business_id == business_id, _hold.id == reservation_id
    return (
        exists()
        .where(*is_it, _hold.stored_status == HELD, _hold.expires_at <= func.statement_timestamp())
        .correlate_except(_hold)
    )


class WaitlistEntry(Record):
    """What a client waits for: a service, or anything of a provider, that begins within a span."""

    __tablename__ = "waitlist_entries"
    __table_args__ = (
        *(
            ForeignKeyConstraint(
                ["business_id", f"{noun}_id"], [f"{noun}s.business_id", f"{noun}s.id"], name=f"entry_{name}"
            )
            for noun, name in (
                ("client", "of_client"),
                ("service", "for_service"),
                ("provider", "with_provider"),
                ("location", "at_location"),
                ("reservation", "is_offered"),
            )
        ),
        CheckConstraint("service_id IS NOT NULL OR provider_id IS NOT NULL", name="entry_names_a_wish"),
        CheckConstraint(
            "starts_from < starts_until AND starts_until - starts_from <= '366 days'", name="entry_runs_forward"
        ),
        CheckConstraint("starts_from >= '2000-01-01Z' AND starts_until <= '2200-01-01Z'", name="entry_is_bounded"),
        CheckConstraint(
            "status IN ('WAITING', 'OFFERED', 'ACCEPTED', 'CANCELLED', 'EXPIRED')", name="entry_status_is_known"
        ),
        CheckConstraint("status NOT IN ('OFFERED', 'ACCEPTED') OR reservation_id IS NOT NULL", name="offer_is_there"),
        Index("waitlist_in_order", "business_id", "created_at", "id", postgresql_where=text("status = 'WAITING'")),
        Index("waitlist_by_end", "starts_until", postgresql_where=text("status = 'WAITING'")),
        Index("waitlist_of_client", "business_id", "client_id", "created_at", "id"),
        Index(
            "waitlist_of_reservation",
            "business_id",
            "reservation_id",
            postgresql_where=text("reservation_id IS NOT NULL"),
        ),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    client_id: Mapped[UUID] = mapped_column()
    service_id: Mapped[UUID | None] = mapped_column()
    provider_id: Mapped[UUID | None] = mapped_column()
    location_id: Mapped[UUID | None] = mapped_column()
    starts_from: Mapped[datetime] = mapped_column()
    starts_until: Mapped[datetime] = mapped_column()
    stored_status: Mapped[str] = mapped_column("status", server_default="WAITING", deferred=True)
    reservation_id: Mapped[UUID | None] = mapped_column(deferred=True)
    created_at: Mapped[datetime] = stamped()
    version: Mapped[int] = versioned()

    # What a reader sees: whose offer has lapsed waits again, and whose span is over waits no more, whoever wrote so.
    status: Mapped[str] = column_property(
        case(
            (stored_status.not_in([WAITING, OFFERED]), stored_status),
            (and_(stored_status == OFFERED, ~_has_lapsed(business_id, reservation_id)), OFFERED),
            (starts_until <= func.statement_timestamp(), EXPIRED),
            else_=WAITING,
        )
    )
    offer_id: Mapped[UUID | None] = column_property(
        case(
            (stored_status == ACCEPTED, reservation_id),
            (and_(stored_status == OFFERED, ~_has_lapsed(business_id, reservation_id)), reservation_id),
        )
    )
    position: Mapped[int | None] = column_property(
        case(
            (
                and_(stored_status == WAITING, starts_until > func.statement_timestamp()),
                func.waitlist_position(
                    *(business_id, id, created_at, service_id, provider_id, location_id, starts_from, starts_until),  # noqa: A003
                    type_=Integer,
                ),
            )
        )
    )

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """A client sees their own, the rest of a team all; a provider none: who waits for whom is nobody's calendar."""
        return of_persons(super().visible_to(viewer), viewer, client=cls.client_id == viewer.person_id)


class WaitlistOffer(Record):
    """What was offered to whom: nobody is offered the same time twice."""

    __tablename__ = "waitlist_offers"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "entry_id"], ["waitlist_entries.business_id", "waitlist_entries.id"], name="offer_to_entry"
        ),
        ForeignKeyConstraint(
            ["business_id", "reservation_id"], ["reservations.business_id", "reservations.id"], name="offer_is_hold"
        ),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    entry_id: Mapped[UUID] = mapped_column(primary_key=True)
    appointment_id: Mapped[UUID] = mapped_column(primary_key=True)
    reservation_id: Mapped[UUID]
    offered_at: Mapped[datetime] = stamped()


@dataclass(frozen=True)
class Waiting:
    """What a client wishes to wait for."""

    fixed: ClassVar[tuple[str, ...]] = ()

    client_id: UUID
    service_id: UUID | None
    provider_id: UUID | None
    location_id: UUID | None
    starts_from: datetime
    starts_until: datetime

    def check(self) -> "Waiting":
        """Refuse a wish that names nothing, or a span that runs backwards or is too long."""
        if self.service_id is None and self.provider_id is None:
            raise InvalidInput("serviceId", problem="Name a service, a provider, or both.")
        if self.starts_until <= self.starts_from:
            raise InvalidInput("startsUntil", problem="startsUntil must be after startsFrom.")
        if self.starts_until - self.starts_from > LONGEST_WAIT:
            raise InvalidInput("startsUntil", problem="The span is at most 366 days long.")
        return self


@dataclass(frozen=True)
class Wanted:
    """What a list of entries is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ("status",)

    client_id: UUID | None = None
    service_id: UUID | None = None
    provider_id: UUID | None = None
    status: tuple[WaitlistEntryStatus, ...] | None = None


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select the entries that are wanted."""
    statement = rows(WaitlistEntry, viewer)
    for name in ("client_id", "service_id", "provider_id"):
        if (value := getattr(wanted, name)) is not None:
            statement = statement.where(getattr(WaitlistEntry, name) == value)
    if wanted.status is not None:
        statement = statement.where(WaitlistEntry.status.in_([status.value for status in wanted.status]))
    return statement


def enter(viewer: Viewer, wish: Waiting, key: Key | None, authored: ColumnElement[bool]) -> Select[Any]:
    """Put a client on the waiting list: the entry, its event and its key in one statement; no row means no."""
    instant = DateTime(timezone=True)
    given: dict[str, ColumnElement[Any]] = {
        "business_id": bound(viewer.business_id, Uuid),
        "client_id": Client.id,  # type: ignore[dict-item]
        "starts_from": bound(wish.starts_from, instant),
        "starts_until": bound(wish.starts_until, instant),
    }
    known = []
    for record, name in _REFERRED:
        if (value := getattr(wish, name)) is not None:
            given[name] = bound(value, Uuid)
            known.append(_is_known(record, viewer, value))
    wanted = select(*given.values()).where(
        Client.visible_to(viewer),
        Client.id == wish.client_id,
        Client.erased_at.is_(None),
        given["starts_until"] > func.clock_timestamp(),
        *known,
        is_new(key),
        authored,
    )
    entry = insert(WaitlistEntry).from_select(list(given), wanted).returning(*columns(WaitlistEntry))
    return remembered(entry.cte("entry"), key)


_REFERRED: tuple[tuple[Any, str], ...] = ((Service, "service_id"), (Provider, "provider_id"), (Location, "location_id"))


def _is_known(record: Any, viewer: Viewer, key: UUID) -> ColumnElement[bool]:
    is_it = record.business_id == viewer.business_id, record.id == key
    return exists().where(*is_it, *((record.active,) if record is Service else ())).correlate_except(record)


def why_not(viewer: Viewer, wish: Waiting) -> Select[Any]:
    """Read what there is of what a wish names, and how much its client waits for already."""
    found_: list[ColumnElement[Any]] = [
        exists()
        .where(Client.visible_to(viewer), Client.id == wish.client_id, Client.erased_at.is_(None))
        .label("client_exists"),
        (bound(wish.starts_until, DateTime(timezone=True)) > func.clock_timestamp()).label("is_ahead"),
    ]
    for record, name in _REFERRED:
        if (value := getattr(wish, name)) is not None:
            found_.append(_is_known(record, viewer, value).label(f"{name}_exists"))
    return select(*found_)


def end(viewer: Viewer, entry_id: UUID, authored: ColumnElement[bool]) -> Update:
    """Take an entry that waits, and is offered nothing, off the list; no row means no."""
    return (
        update(WaitlistEntry)
        .values(stored_status=CANCELLED)
        .where(
            WaitlistEntry.visible_to(viewer),
            WaitlistEntry.id == entry_id,
            WaitlistEntry.stored_status == WAITING,
            authored,
        )
    )


def wishes(viewer: Viewer) -> Select[Any]:
    """Select what is waited for, each once, the oldest first, with the span in which any of it may begin."""
    wish: tuple[Any, ...] = (WaitlistEntry.service_id, WaitlistEntry.provider_id, WaitlistEntry.location_id)
    waits = WaitlistEntry.stored_status == WAITING, WaitlistEntry.starts_until > func.clock_timestamp()
    return (
        select(
            *wish,
            func.min(WaitlistEntry.starts_from).label("starts_from"),
            func.max(WaitlistEntry.starts_until).label("starts_until"),
        )
        .where(WaitlistEntry.business_id == viewer.business_id, *waits)
        .group_by(*wish)
        .order_by(func.min(WaitlistEntry.created_at))
    )


def fitting(viewer: Viewer, wish: Any, most: int) -> Select[Any]:
    """Select free appointments that serve what is waited for, the soonest first."""
    free = available(viewer.business_id, wish.service_id)
    for column, value in (
        (Appointment.provider_id, wish.provider_id),
        (Appointment.location_id, wish.location_id),
    ):
        free = free if value is None else free.where(column == value)
    return (
        free.with_only_columns(Appointment.id, maintain_column_froms=True)
        .where(Appointment.starts_at >= wish.starts_from, Appointment.starts_at < wish.starts_until, _suits(wish))
        .order_by(Appointment.starts_at, Appointment.id)
        .limit(most)
    )


def _suits(wish: Any) -> ColumnElement[bool]:
    """Whether somebody who waits for this has not been offered it before: most of what is free, nobody wanted."""
    entry, offer = aliased(WaitlistEntry), aliased(WaitlistOffer)
    was_offered = exists().where(
        offer.business_id == entry.business_id, offer.entry_id == entry.id, offer.appointment_id == Appointment.id
    )
    same = [
        getattr(entry, name).is_not_distinct_from(bound(getattr(wish, name), Uuid))
        for name in ("service_id", "provider_id", "location_id")
    ]
    return (
        exists()
        .where(
            entry.business_id == Appointment.business_id,
            entry.stored_status == WAITING,
            entry.starts_from <= Appointment.starts_at,
            entry.starts_until > Appointment.starts_at,
            *same,
            ~was_offered.correlate_except(offer),
        )
        .correlate_except(entry)
    )


def offer(viewer: Viewer, appointment_id: UUID, authored: ColumnElement[bool]) -> Select[Any]:
    """Hold an appointment for whoever is next of those who wait for it; null, if nobody is, or it is not free."""
    made = func.offer_appointment(
        bound(viewer.business_id, Uuid), bound(appointment_id, Uuid), None, None, literal_column("true"), type_=Uuid
    )
    return select(made.label("reservation_id")).where(authored)
