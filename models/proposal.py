"""Proposals: another provider's time, which is held for a client whose own provider will be away; and which one it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Select,
    Text,
    UniqueConstraint,
    Update,
    Uuid,
    and_,
    case,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Mapped, aliased, column_property, mapped_column

from models.any_provider import idle_since, load
from models.appointment import Appointment, is_for, is_long_enough, with_policies
from models.availability import is_free, missing_resource
from models.business import Business
from models.life import is_offer
from models.location import Location
from models.record import Record, array_of, bound, columns, generated_id, of_persons, stamped, versioned
from models.relation import rows
from models.reservation import CANCELLED, HELD, Reservation, is_claim
from models.service import Service
from models.time_off import TimeOff
from models.viewer import Viewer

MOST_CHOICES = 3  # of one reservation, at each try


class ProposalStatus(StrEnum):
    """What became of a proposal: it is PROPOSED until it is ACCEPTED or DECLINED, or its time is over (EXPIRED)."""

    PROPOSED = "PROPOSED"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"
    EXPIRED = "EXPIRED"


PROPOSED, ACCEPTED, DECLINED, EXPIRED = (literal_column(f"'{status}'", Text) for status in ProposalStatus)


class Proposal(Record):
    """A time that is held for a client, to which a reservation of theirs would be moved."""

    __tablename__ = "proposals"
    __table_args__ = (
        *(
            ForeignKeyConstraint(["business_id", column], [f"{table}.business_id", f"{table}.id"], name=name)
            for column, table, name in (
                ("reservation_id", "reservations", "proposal_for_reservation"),
                ("hold_id", "reservations", "proposal_is_held"),
                ("client_id", "clients", "proposal_to_client"),
                ("from_provider_id", "providers", "proposal_from_provider"),
                ("provider_id", "providers", "proposal_of_provider"),
            )
        ),
        UniqueConstraint("business_id", "hold_id", name="proposal_of_hold"),
        CheckConstraint("status IN ('PROPOSED', 'ACCEPTED', 'DECLINED', 'EXPIRED')", name="proposal_status_is_known"),
        CheckConstraint("length(reason) <= 2000", name="proposal_reason_is_short"),
        Index(
            "proposal_is_alone",
            "business_id",
            "reservation_id",
            unique=True,
            postgresql_where=text("status = 'PROPOSED'"),
        ),
        Index("proposals_by_end", "expires_at", postgresql_where=text("status = 'PROPOSED'")),
        Index("proposals_for_reservation", "business_id", "reservation_id", "id"),
        Index("proposals_to_client", "business_id", "client_id", "id"),
        Index("proposals_of_time_off", "business_id", "time_off_id"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    reservation_id: Mapped[UUID]
    hold_id: Mapped[UUID]
    appointment_id: Mapped[UUID]
    client_id: Mapped[UUID]
    from_provider_id: Mapped[UUID]
    provider_id: Mapped[UUID]
    time_off_id: Mapped[UUID]
    stored_status: Mapped[str] = mapped_column("status", server_default="PROPOSED", deferred=True)
    reason: Mapped[str | None]
    expires_at: Mapped[datetime] = mapped_column()
    created_at: Mapped[datetime] = stamped()
    version: Mapped[int] = versioned()

    # What a reader sees: from expires_at on it is over, whoever has written so.
    status: Mapped[str] = column_property(
        case((and_(stored_status == PROPOSED, expires_at <= func.statement_timestamp()), EXPIRED), else_=stored_status)
    )

    @classmethod
    def visible_to(cls, viewer: Viewer) -> ColumnElement[bool]:
        """A client sees their own, a provider those from and to them, the rest of a team all."""
        theirs = or_(cls.from_provider_id == viewer.person_id, cls.provider_id == viewer.person_id)
        return of_persons(super().visible_to(viewer), viewer, provider=theirs, client=cls.client_id == viewer.person_id)


@dataclass(frozen=True)
class Wanted:
    """What a list of proposals is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ("status",)

    reservation_id: UUID | None = None
    client_id: UUID | None = None
    provider_id: UUID | None = None
    time_off_id: UUID | None = None
    status: tuple[ProposalStatus, ...] | None = None


@dataclass(frozen=True)
class Decision:
    """What is decided about a proposal, and why."""

    fixed: ClassVar[tuple[str, ...]] = ()

    proposal_id: UUID
    reason: str | None = None


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select the proposals that are wanted."""
    statement = rows(Proposal, viewer)
    for name in ("reservation_id", "client_id", "provider_id", "time_off_id"):
        if (value := getattr(wanted, name)) is not None:
            statement = statement.where(getattr(Proposal, name) == value)
    if wanted.status is not None:
        statement = statement.where(Proposal.status.in_([status.value for status in wanted.status]))
    return statement


# Which times are proposed


def overtaken(viewer: Viewer, away: Any) -> Select[Any]:
    """Select the open proposals of times that an absence takes away again."""
    hold = aliased(Reservation)
    return (
        rows(Proposal, viewer)
        .join(hold, and_(hold.business_id == Proposal.business_id, hold.id == Proposal.hold_id))
        .where(
            Proposal.provider_id == away.provider_id,
            Proposal.stored_status == PROPOSED,
            Proposal.expires_at > func.clock_timestamp(),
            hold.starts_at < away.ends_at,
            hold.ends_at > away.starts_at,
        )
        .order_by(Proposal.id)
    )


def affected(viewer: Viewer, away: Any, others: Sequence[UUID] = ()) -> Select[Any]:
    """Select the reservations that an absence leaves behind, and some others: where each is, in which zone.

    However their times were published; but not what is only offered: nobody has asked for that.
    """
    left_behind = and_(
        Reservation.provider_id == away.provider_id,
        Reservation.starts_at < away.ends_at,
        Reservation.ends_at > away.starts_at,
    )
    told: tuple[Any, ...] = (
        *(Reservation.id, Reservation.provider_id, Reservation.service_id, Reservation.starts_at, Reservation.ends_at),
        Appointment.location_id.label("location_id"),
        func.coalesce(Location.time_zone, Business.time_zone).label("time_zone"),
    )
    return (
        select(*told)
        .join(Business, Business.id == Reservation.business_id)
        .outerjoin(Appointment, _same(Appointment, Reservation.appointment_id))
        .outerjoin(Location, _same(Location, Appointment.location_id))
        .where(
            Reservation.business_id == viewer.business_id,
            or_(left_behind, Reservation.id.in_(others)),
            ~is_offer(),
            is_claim(),
            Reservation.starts_at > func.statement_timestamp(),
        )
        .order_by(Reservation.starts_at, Reservation.id)
    )


def _same(record: Any, key: Any) -> ColumnElement[bool]:
    return and_(record.business_id == Reservation.business_id, record.id == key)


def _others(viewer: Viewer, booking: Any) -> Select[Any]:
    """Select free appointments of other providers, for the same and in the same place; the lead time is waived."""
    service = booking.service_id
    alike = Appointment.ends_at - Appointment.starts_at >= booking.ends_at - booking.starts_at
    return with_policies(select(Appointment.id), service).where(
        Appointment.business_id == viewer.business_id,
        Appointment.provider_id != booking.provider_id,
        Appointment.location_id.is_not_distinct_from(bound(booking.location_id, Uuid)),
        Appointment.withdrawn_at.is_(None),
        Appointment.starts_at > func.clock_timestamp(),
        Service.active.is_not(false()),
        is_long_enough(),
        is_free(),
        or_(Service.id.is_(None), missing_resource().is_(None)),
        ~_is_away(),
        and_(Appointment.service_id.is_(None), alike) if service is None else is_for(service),
    )


def _is_away() -> ColumnElement[bool]:
    """Whether the provider of an appointment is away then, though it was published by hand and stays so."""
    return (
        exists()
        .where(
            TimeOff.business_id == Appointment.business_id,
            TimeOff.provider_id == Appointment.provider_id,
            TimeOff.starts_at < Appointment.ends_at,
            TimeOff.ends_at > Appointment.starts_at,
        )
        .correlate_except(TimeOff)
    )


def at_the_same_time(viewer: Viewer, booking: Any) -> Select[Any]:
    """Select those that begin when the reservation does: first of whoever has the least to do, as for any provider."""
    then: Any = Appointment.starts_at
    ranked = load(then), idle_since(then).asc().nulls_first(), Appointment.provider_id
    return _others(viewer, booking).where(then == booking.starts_at).order_by(*ranked).limit(MOST_CHOICES)


def on_the_same_day(viewer: Viewer, booking: Any, day: tuple[datetime, datetime]) -> Select[Any]:
    """Select those that begin nearest to the reservation, between two instants."""
    then: Any = Appointment.starts_at
    distance = func.abs(func.extract("epoch", then - booking.starts_at))
    ranked = distance, then, load(then), idle_since(then).asc().nulls_first(), Appointment.provider_id
    near = _others(viewer, booking).where(then >= day[0], then < day[1], then != booking.starts_at)
    return near.order_by(*ranked).limit(MOST_CHOICES)


def propose(
    viewer: Viewer, booking: UUID, places: Sequence[UUID], away: UUID, authored: ColumnElement[bool]
) -> Select[Any]:
    """Hold the first of some appointments that can be held, and propose it; null, if none can."""
    made = func.propose(
        bound(viewer.business_id, Uuid), bound(booking, Uuid), array_of(places, Uuid), bound(away, Uuid), type_=Uuid
    )
    return select(made.label("id")).where(authored)


# How they are decided


def locked(viewer: Viewer, row: Any, authored: ColumnElement[bool]) -> Select[Any]:
    """Lock whatever a decision will meet, in the order in which everybody does."""
    done = func.lock_booking(
        bound(viewer.business_id, Uuid),
        array([bound(row.client_id, Uuid)]),
        array([bound(row.reservation_id, Uuid), bound(row.hold_id, Uuid)]),
        array([bound(row.appointment_id, Uuid)]),
    )
    return select(done.label("locked")).where(authored)


def accept(viewer: Viewer, decision: Decision) -> Update:
    """Take a proposal that is open, whose hold and reservation are locked; no row means no."""
    return (
        update(Proposal)
        .values(stored_status=ACCEPTED)
        .where(
            Proposal.visible_to(viewer),
            Proposal.id == decision.proposal_id,
            Proposal.stored_status == PROPOSED,
            Proposal.expires_at > func.clock_timestamp(),
        )
        .returning(*columns(Proposal))
    )


def overtake(viewer: Viewer, proposal: UUID) -> Update:
    """End an open proposal, whose hold and reservation are locked: its time is over."""
    mine = Proposal.business_id == viewer.business_id, Proposal.id == proposal
    open_ = Proposal.stored_status == PROPOSED
    return update(Proposal).values(stored_status=EXPIRED).where(*mine, open_).returning(Proposal.id)


def explain(viewer: Viewer, decision: Decision) -> Update:
    """Note why a proposal was declined."""
    mine = Proposal.visible_to(viewer), Proposal.id == decision.proposal_id
    return update(Proposal).values(reason=decision.reason).where(*mine).returning(Proposal.id)


def end_hold(viewer: Viewer, hold_id: UUID) -> Update:
    """Give back the hold of a proposal, which then is declined, unless it is accepted; no row means that it has lapsed."""
    return (
        update(Reservation)
        .values(stored_status=CANCELLED, cancelled_by=literal_column(f"'{viewer.role.value}'", Text))
        .where(
            Reservation.business_id == viewer.business_id,
            Reservation.id == hold_id,
            Reservation.stored_status == HELD,
            Reservation.expires_at > func.clock_timestamp(),
        )
        .returning(Reservation.id)
    )


def move(viewer: Viewer, row: Any) -> Update:
    """Move the reservation to what was proposed; no row means that it is no longer there to be moved."""
    ends = case((Reservation.stored_status == HELD, Reservation.expires_at), else_=Reservation.starts_at)
    return (
        update(Reservation)
        .values(appointment_id=row.appointment_id, lead_waived_by=row.id)
        .where(
            Reservation.business_id == viewer.business_id,
            Reservation.id == row.reservation_id,
            Reservation.live,
            Reservation.started_at.is_(None),
            ends > func.clock_timestamp(),
        )
        .returning(Reservation.id)
    )
