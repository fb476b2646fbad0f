"""Proposals: another provider's time, which is held for a client whose own provider will be away; and how it is decided."""

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
    func,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import array
from sqlalchemy.orm import Mapped, column_property, mapped_column

from models.record import Record, bound, columns, generated_id, of_persons, stamped, versioned
from models.relation import rows
from models.reservation import CANCELLED, HELD, Reservation
from models.viewer import Viewer


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
