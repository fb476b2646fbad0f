"""Webhook deliveries: which event is on its way to which endpoint, how often that was tried, and what was answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKeyConstraint,
    Index,
    Select,
    Text,
    UniqueConstraint,
    Uuid,
    and_,
    case,
    column,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.event import Event
from models.page import Sort
from models.record import Record, array_of, bound, columns, generated_id, stamped
from models.relation import Listing, Many, One, count, rows
from models.viewer import Viewer
from models.webhook_endpoint import WebhookEndpoint
from models.webhook_endpoint import found as found_endpoints

LEASE = timedelta(seconds=60)
"""For how long a delivery is with whoever claimed it; longer than the longest attempt."""


class DeliveryStatus(StrEnum):
    """Whether it was DELIVERED, is PENDING (due, being sent, or waiting for the next attempt), or FAILED for good."""

    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"


class WebhookDelivery(Record):
    """An event on its way to an endpoint. Of one thing, an endpoint hears in the order of the events."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "endpoint_id"],
            ["webhook_endpoints.business_id", "webhook_endpoints.id"],
            name="delivery_to_endpoint",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["business_id", "event_id"], ["events.business_id", "events.id"], name="delivery_of_event"
        ),
        UniqueConstraint("business_id", "endpoint_id", "event_id", name="delivery_is_new"),
        CheckConstraint("status IN ('PENDING', 'DELIVERED', 'FAILED')", name="delivery_status_is_known"),
        CheckConstraint("status = 'PENDING' OR next_attempt_at IS NULL", name="only_pending_is_due"),
        CheckConstraint(
            "NOT is_repeat OR status <> 'PENDING' OR next_attempt_at IS NOT NULL", name="repeat_is_due_sometime"
        ),
        CheckConstraint("(status = 'DELIVERED') = (delivered_at IS NOT NULL)", name="delivered_at_some_time"),
        CheckConstraint("length(last_error) <= 500", name="error_is_short"),
        Index(
            "deliveries_due",
            "business_id",
            "endpoint_id",
            "next_attempt_at",
            postgresql_where=text("next_attempt_at IS NOT NULL"),
        ),
        Index(
            "deliveries_in_order",
            "business_id",
            "endpoint_id",
            "aggregate_id",
            "position",
            postgresql_where=text("status = 'PENDING'"),
        ),
        Index("deliveries_of_event", "business_id", "event_id"),
        Index("deliveries_by_age", "created_at", postgresql_using="brin"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    endpoint_id: Mapped[UUID]
    event_id: Mapped[UUID]
    event_type: Mapped[str]
    aggregate_id: Mapped[UUID]
    position: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(server_default=text("'PENDING'"))
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    attempts_before: Mapped[int] = mapped_column(server_default=text("0"))
    next_attempt_at: Mapped[datetime | None] = mapped_column(server_default=text("clock_timestamp()"))
    is_repeat: Mapped[bool] = mapped_column(server_default=text("false"))
    last_status: Mapped[int | None]
    last_error: Mapped[str | None]
    delivered_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = stamped()


class WebhookAttempt(Record):
    """What came of sending something once."""

    __tablename__ = "webhook_attempts"
    __table_args__ = (
        ForeignKeyConstraint(
            ["business_id", "delivery_id"],
            ["webhook_deliveries.business_id", "webhook_deliveries.id"],
            name="attempt_of_delivery",
            ondelete="CASCADE",
        ),
        UniqueConstraint("business_id", "delivery_id", "number", name="attempt_is_new"),
        CheckConstraint("length(error) <= 500", name="attempt_error_is_short"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = generated_id()
    delivery_id: Mapped[UUID]
    number: Mapped[int]
    attempted_at: Mapped[datetime] = stamped()
    status: Mapped[int | None]
    error: Mapped[str | None]
    milliseconds: Mapped[int]


@dataclass(frozen=True)
class Wanted:
    """What a list of deliveries is narrowed to; an empty one means everything."""

    fixed: ClassVar[tuple[str, ...]] = ("status",)

    endpoint_id: UUID | None = None
    event_id: UUID | None = None
    status: tuple[DeliveryStatus, ...] | None = None


def found(viewer: Viewer, wanted: Wanted) -> Select[Any]:
    """Select the deliveries that are wanted."""
    statement = rows(WebhookDelivery, viewer)
    if wanted.endpoint_id is not None:
        statement = statement.where(WebhookDelivery.endpoint_id == wanted.endpoint_id)
    if wanted.event_id is not None:
        statement = statement.where(WebhookDelivery.event_id == wanted.event_id)
    if wanted.status is not None:
        statement = statement.where(WebhookDelivery.status.in_([each.value for each in wanted.status]))
    return statement


NEWEST_FIRST = (Sort("id", descending=True),)  # ids are made in the order of creation
OLDEST_FIRST = (Sort("id"),)
WEBHOOK_ENDPOINTS = Listing("webhookEndpoints", WebhookEndpoint, found_endpoints)
WEBHOOK_DELIVERIES = Listing("webhookDeliveries", WebhookDelivery, found)
ENDPOINT_DELIVERIES = Many(
    "WebhookEndpoint.deliveries",
    WebhookDelivery,
    lambda endpoint: WebhookDelivery.endpoint_id == endpoint,
    NEWEST_FIRST,
)
DELIVERY_ENDPOINT = One("WebhookDelivery.endpoint", WebhookEndpoint, "endpoint_id")
DELIVERY_LOG = Many(
    "WebhookDelivery.log", WebhookAttempt, lambda delivery: WebhookAttempt.delivery_id == delivery, OLDEST_FIRST
)


def claim(most: int, each: int, of_business: int, busy: Sequence[UUID]) -> Select[Any]:
    """Claim what is due, a few of each endpoint and business, with those being sent to endpoints that are `busy`."""
    claimed = func.claim_deliveries(most, each, array_of(busy, Uuid), LEASE, of_business).table_valued(
        column("business_id", Uuid), column("delivery_id", Uuid)
    )
    return select(claimed.c.business_id, claimed.c.delivery_id)


def claimed(business: UUID, deliveries: Sequence[UUID]) -> Select[Any]:
    """Select what is to be sent: each delivery with its event and its endpoint, by the clock of the database."""
    event = [column.label(f"event_{name}") for name, column in Event.__table__.columns.items()]
    return (
        select(
            *columns(WebhookDelivery),
            WebhookEndpoint.url,
            WebhookEndpoint.document,
            func.clock_timestamp().label("now"),
            *(each for each in event if each.name not in ("event_id", "event_type")),
        )
        .join(
            WebhookEndpoint,
            and_(
                WebhookEndpoint.business_id == WebhookDelivery.business_id,
                WebhookEndpoint.id == WebhookDelivery.endpoint_id,
            ),
        )
        .join(Event, and_(Event.business_id == WebhookDelivery.business_id, Event.id == WebhookDelivery.event_id))
        .where(
            WebhookDelivery.business_id == business,
            WebhookDelivery.id == func.any(array_of(deliveries, Uuid)),
            WebhookDelivery.status == DeliveryStatus.PENDING.value,
        )
    )


def settle(business: UUID, delivery: UUID, attempt: int, answered: dict[str, Any]) -> Select[Any]:
    """Write down what came of an attempt."""
    came = func.settle_delivery(business, delivery, attempt, bound(answered, JSONB), type_=Text)
    return select(came.label("came"))


def repeats(viewer: Viewer, endpoint: UUID) -> Select[Any]:
    """Count what an endpoint is to be sent again because somebody asked."""
    pending = WebhookDelivery.status == DeliveryStatus.PENDING.value
    return count(
        rows(WebhookDelivery, viewer).where(WebhookDelivery.endpoint_id == endpoint, pending, WebhookDelivery.is_repeat)
    )


def again(viewer: Viewer, delivery: UUID) -> Select[Any]:
    """Make a delivery due now, and its attempts as many as if there had been none.

    What waits keeps its turn; what is settled is sent out of turn, so that what came after it is not held back.
    """
    is_settled = WebhookDelivery.status != DeliveryStatus.PENDING.value
    is_due = or_(is_settled, WebhookDelivery.next_attempt_at.is_not(None))
    reset = (
        update(WebhookDelivery)
        .values(
            status=DeliveryStatus.PENDING.value,
            attempts_before=WebhookDelivery.attempts,
            next_attempt_at=case((is_due, func.clock_timestamp())),
            is_repeat=or_(is_settled, WebhookDelivery.is_repeat),
            delivered_at=None,
        )
        .where(WebhookDelivery.visible_to(viewer), WebhookDelivery.id == delivery)
        .returning(*columns(WebhookDelivery))
    )
    return select(*reset.cte("reset").c)


def tidy(most: int) -> Select[Any]:
    """Switch off endpoints that too much waits for, and fail some of what waits for those that are off."""
    return select(func.tidy_deliveries(most).label("failed"))


def prune(most: int) -> Select[Any]:
    """Forget old deliveries."""
    return select(func.prune_deliveries(most).label("pruned"))


def state() -> Select[Any]:
    """Tell how many deliveries wait, how long the oldest of them has been due, and how many failed in the last day."""
    told = func.webhook_state().table_valued(
        column("pending", BigInteger), column("age", Double), column("failed", BigInteger)
    )
    return select(told.c.pending, told.c.age, told.c.failed)


def event_of(viewer: Viewer, key: UUID | None, type_: str | None) -> Select[Any]:
    """Select an event that was or will be sent: by its id, or the newest of a type."""
    chosen = Event.id == key if key is not None else Event.type == type_
    return (
        select(*columns(Event), func.clock_timestamp().label("now"))
        .where(Event.business_id == viewer.business_id, chosen, ~func.starts_with(Event.type, "audit."))
        .order_by(Event.id.desc())
        .limit(1)
    )
