"""The outbox: relaying events in order, how far each outlet has taken them outside, and sweeping holds that lapsed."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    Interval,
    Select,
    Text,
    Uuid,
    column,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.event import Event
from models.record import Record, stamped

BATCH = 500  # events that get their positions in one transaction
HANDED = 2000  # rows that whoever sends events on is to write in one
SWEPT = 100  # holds that are flipped in one


class OutletPosition(Record):
    """How far an outlet has come, and who is at it."""

    __tablename__ = "outlet_positions"
    __table_args__ = (
        CheckConstraint("(claimed_by IS NULL) = (claimed_until IS NULL)", name="outlet_is_claimed_by_someone"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    claimed_by: Mapped[UUID | None]
    claimed_until: Mapped[datetime | None]


class HandOver(Record):
    """How far events were handed to somebody who sends them on."""

    __tablename__ = "hand_overs"
    __table_args__ = (CheckConstraint("consumer IN ('webhooks', 'recipients')", name="consumer_is_known"),)

    consumer: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class PassedOver(Record):
    """An event that could not be handed over, or waits behind one about the same thing, and when that is tried again."""

    __tablename__ = "passed_over"
    __table_args__ = (
        ForeignKeyConstraint(["consumer"], ["hand_overs.consumer"], name="passed_over_by_consumer"),
        Index("passed_over_about", "consumer", "aggregate_id", "position"),
    )

    consumer: Mapped[str] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    aggregate_id: Mapped[UUID]
    problem: Mapped[str]
    attempts: Mapped[int] = mapped_column(server_default=text("1"))
    passed_over_at: Mapped[datetime] = stamped()
    next_attempt_at: Mapped[datetime] = mapped_column(server_default=text("clock_timestamp() + interval '00:01:00'"))


def relay() -> Select[Any]:
    """Give a batch of committed events their positions, unless somebody else is at it."""
    return select(func.relay_events(BATCH).label("relayed"))


def hand_over(consumer: str, most: int) -> Select[Any]:
    """Hand events over that become about so many rows, or one event; tells how many, or why it was none or passed over."""
    handed = func.hand_over(literal(consumer, Text), literal(most, Integer)).table_valued(
        column("handed", BigInteger), column("problem", Text)
    )
    return select(handed.c.handed, handed.c.problem)


def hand_over_again() -> Select[Any]:
    """Try an event again that was passed over, and tell whether it was handed over; null if none is due."""
    return select(func.hand_over_again().label("done"))


def state() -> Select[Any]:
    """Tell how many events wait for the relay, for how many seconds, how many to be handed over, and how many failed."""
    names = ("unhanded", "passed_over")
    waiting = func.outbox_state().table_valued(
        column("backlog", BigInteger), column("age", Double), *(column(name, BigInteger) for name in names)
    )
    return select(waiting.c.backlog, waiting.c.age, waiting.c.unhanded, waiting.c.passed_over)


def sweep(within: timedelta, most: int = SWEPT) -> Select[Any]:
    """Flip a batch of the holds that lapsed within so long."""
    return select(func.sweep_lapsed_holds(most, literal(within, Interval)).label("swept"))


def claim(outlet: str, claimant: UUID, lease: timedelta) -> Select[Any]:
    """Take an outlet for so long, if there is anything to be taken outside; else the position is null."""
    claimed = func.claim_outlet(literal(outlet, Text), literal(claimant, Uuid), literal(lease, Interval))
    return select(claimed.label("position"))


def waiting(outlet: str, claimant: UUID, most: int) -> Select[Any]:
    """Read the next events that an outlet takes outside; none for whoever has not claimed it."""
    events = func.events_for_outlet(
        literal(outlet, Text), literal(claimant, Uuid), literal(most, Integer)
    ).table_valued(*(column(each.name, each.type) for each in Event.__table__.columns), name="waiting")
    return select(events).order_by(events.c.position)


def advance(outlet: str, claimant: UUID, reached: int, lease: timedelta) -> Select[Any]:
    """Record how far an outlet has come, and keep it for so long; false for whoever has lost it."""
    values = literal(outlet, Text), literal(claimant, Uuid), literal(reached, BigInteger), literal(lease, Interval)
    return select(func.advance_outlet(*values).label("kept"))


def release(outlet: str, claimant: UUID) -> Select[Any]:
    """Give an outlet back."""
    return select(func.release_outlet(literal(outlet, Text), literal(claimant, Uuid)))
