"""The queue of webhooks: what is due to be sent, who claims it, and what came of it."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Double, Select, Text, Uuid, and_, case, column, func, or_, select, update
from sqlalchemy.dialects.postgresql import JSONB

from models.event import Event
from models.record import array_of, bound, columns
from models.relation import count, rows
from models.viewer import Viewer
from models.webhook_delivery import DeliveryStatus, WebhookDelivery
from models.webhook_endpoint import WebhookEndpoint

LEASE = timedelta(seconds=60)
"""For how long a delivery is with whoever claimed it; longer than the longest attempt."""


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
