"""The type WebhookDelivery, its filter, and the input and the payload that have it sent again."""

import re
from datetime import datetime
from typing import Any
from uuid import UUID

import strawberry

from models import webhook_delivery
from models.node_id import key_if_given, key_of
from models.refusal import InvalidInput
from models.webhook_delivery import DeliveryStatus, Wanted
from resolvers.webhooks import Retry
from resolvers.writes import Request
from schema.access import EVERYBODY, MANAGERS
from schema.connection import many, maybe, one
from schema.declaration import Identity
from schema.error import UserError, thing, user_errors
from schema.root import KEY

strawberry.enum(DeliveryStatus, name="WebhookDeliveryStatus", description=DeliveryStatus.__doc__)
EVENT = "The id of an event, as the header `webhook-id` of its messages has it."
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@strawberry.type(
    description="An event on its way to a webhook endpoint. It is kept for 30 days.", directives=[MANAGERS]
)
class WebhookDelivery:
    id: strawberry.ID = strawberry.field(
        description="An opaque id, by which it is sent again; it is no node.", extensions=[Identity()]
    )
    event_id: str = strawberry.field(description=EVENT)
    event_type: str = strawberry.field(description="What happened, like `scheduling.reservation.confirmed.v1`.")
    status: DeliveryStatus
    attempts: int = strawberry.field(description="How often it was sent, or tried to.")
    next_attempt_at: datetime | None = strawberry.field(
        description="When it is tried next; null also while something about the same thing has to be delivered first."
    )
    last_status: int | None = strawberry.field(description="The HTTP status that was answered last.")
    last_error: str | None = strawberry.field(description="Why it was not delivered, in one sentence.")
    delivered_at: datetime | None = strawberry.field(description="When it was answered with a status from 200 to 299.")
    created_at: datetime
    endpoint: Any = one(webhook_delivery.DELIVERY_ENDPOINT, "Where it goes.")
    log: Any = many(webhook_delivery.DELIVERY_LOG, "What came of each attempt, the first one first.")


@strawberry.input(description="What a list of webhook endpoints is narrowed to.")
class WebhookEndpointFilter:
    enabled: bool | None = strawberry.field(default=None, description="Switched on, or off.")


@strawberry.input(description="What a list of deliveries is narrowed to. All that is given must hold.")
class WebhookDeliveryFilter:
    endpoint_id: strawberry.ID | None = strawberry.field(default=None, description="To this endpoint.")
    status: list[DeliveryStatus] | None = strawberry.field(default=None, description="In one of these states.")
    event_id: str | None = strawberry.field(default=None, description=EVENT)


def deliveries(filter_: WebhookDeliveryFilter | None) -> Wanted:
    """Read what a list of deliveries is narrowed to."""
    wanted = filter_ or WebhookDeliveryFilter()
    return Wanted(
        key_if_given("WebhookEndpoint", wanted.endpoint_id, "endpointId"),
        event_key(wanted.event_id, "eventId"),
        None if wanted.status is None else tuple(dict.fromkeys(wanted.status)),
    )


def event_key(value: str | None, *field: str) -> UUID | None:
    """Read the id of an event, which the world outside knows as it is."""
    if value is None:
        return None
    if not _UUID.fullmatch(value):
        raise InvalidInput(*field, problem="This is not the id of an event; use one that a message had.")
    return UUID(value)


@strawberry.input(description="A delivery that is to be sent again, now.")
class WebhookDeliveryRetryInput:
    id: strawberry.ID
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def wanted(self) -> Request:
        return Request(Retry(key_of("WebhookDelivery", self.id, "id")), self.idempotency_key)


@strawberry.type(directives=[EVERYBODY])
class WebhookDeliveryRetryPayload:
    webhook_delivery: Any = thing(maybe("WebhookDelivery"))
    user_errors: list[UserError] = user_errors()
