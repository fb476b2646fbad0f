"""Webhook deliveries: which event is on its way to which endpoint, how often that was tried, and what was answered."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    Select,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from models.page import Sort
from models.record import Record, generated_id, stamped
from models.relation import Listing, Many, One, rows
from models.viewer import Viewer
from models.webhook_endpoint import WebhookEndpoint
from models.webhook_endpoint import found as found_endpoints


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
