"""The type WebhookEndpoint, and the inputs and the payloads of its changes."""

from datetime import datetime
from typing import Any

import strawberry

from models import webhook_delivery
from models.node_id import key_of
from models.webhook_endpoint import FIELDS, LONGEST_DOCUMENT, DisabledReason
from resolvers.webhooks import Rotation
from resolvers.writes import Request
from schema.access import EVERYBODY, MANAGERS
from schema.connection import many, maybe
from schema.edit_input import CreateInput, DeleteInput, UpdateInput, creation, deletion, edition, unchanged
from schema.error import UserError, thing, user_errors
from schema.node import Node
from schema.root import KEY
from schema.supply import VERSION

strawberry.enum(DisabledReason, name="WebhookDisabledReason", description=DisabledReason.__doc__)

URL = (
    "An https address of a host that everybody can reach, at port 80, 443, 8080 or 8443, up to 2000 characters; "
    "INVALID_INPUT for numbers, private names, users and fragments."
)
DESCRIPTION = "What it is for, 1 to 200 characters."
TYPES = (
    "Which events are sent: their types, like `scheduling.reservation.confirmed.v1`, or how they begin, like "
    "`scheduling.reservation.*`; 1 to 100 of them. Null for all."
)
DOCUMENT = (
    f"A query, up to {LONGEST_DOCUMENT} characters, whose answer is sent as `data` instead of the event's own. It may "
    "have the variables `$id: ID!` (of the thing that the event is about), `$eventId: String!`, `$type: String!` and "
    "`$occurredAt: DateTime!`, sees what a MANAGER sees, and is answered whenever a message is sent. If it fails, the "
    "event's own data is sent, with `errors` beside it."
)
SIGNS = "Signs what is sent, as the Standard Webhooks say. Shown now, and again only under the same idempotency key."


@strawberry.type(
    description="Where events are sent, as messages of the Standard Webhooks: signed, at least once, those about one "
    "thing in their order, again and again for 75 hours if need be.",
    directives=[MANAGERS],
)
class WebhookEndpoint(Node):
    url: str = strawberry.field(description="Where to.")
    description: str | None = strawberry.field(description="What it is for.")
    event_types: list[str] | None = strawberry.field(description=TYPES)
    document: str | None = strawberry.field(
        description="The query whose answer is sent; null for the event's own data."
    )
    enabled: bool = strawberry.field(
        description="Whether anything is sent. What happens while it is off is never sent; `events` has it."
    )
    disabled_reason: DisabledReason | None = strawberry.field(description="Why nothing is sent; null while it is on.")
    failing_since: datetime | None = strawberry.field(
        description="Since when every attempt has failed; five days later the endpoint is switched off."
    )
    rotated_at: datetime | None = strawberry.field(
        description="When its secret was last replaced; for 24 hours from then on the one before signs as well."
    )
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")
    deliveries: Any = many(webhook_delivery.ENDPOINT_DELIVERIES, "What was sent, or is to be, the newest first.")


@strawberry.input(description="A new webhook endpoint.")
class WebhookEndpointCreateInput(CreateInput):
    url: str = strawberry.field(description=URL)
    description: str | None = strawberry.field(default=None, description=DESCRIPTION)
    event_types: list[str] | None = strawberry.field(default=None, description=TYPES)
    document: str | None = strawberry.field(default=None, description=DOCUMENT)

    def wanted(self) -> Request:
        return creation(self, FIELDS)


@strawberry.type(directives=[EVERYBODY])
class WebhookEndpointCreatePayload:
    webhook_endpoint: Any = thing(maybe("WebhookEndpoint"))
    secret: str | None = strawberry.field(default=None, description=SIGNS)
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="What is to change of a webhook endpoint. What is left out stays; null takes away.")
class WebhookEndpointUpdateInput(UpdateInput):
    url: str | None = unchanged(URL)
    description: str | None = unchanged(DESCRIPTION)
    event_types: list[str] | None = unchanged(TYPES)
    document: str | None = unchanged(DOCUMENT)
    enabled: bool | None = unchanged("Switched off, what still waits has failed.")

    def wanted(self) -> Request:
        return edition("WebhookEndpoint", self, FIELDS)


@strawberry.type(directives=[EVERYBODY])
class WebhookEndpointUpdatePayload:
    webhook_endpoint: Any = thing(maybe("WebhookEndpoint"))
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="A webhook endpoint that is to be deleted, with the log of what was sent there.")
class WebhookEndpointDeleteInput(DeleteInput):
    def wanted(self) -> Request:
        return deletion("WebhookEndpoint", self)


@strawberry.type(directives=[EVERYBODY])
class WebhookEndpointDeletePayload:
    deleted_id: strawberry.ID | None = strawberry.field(default=None, description="Null when nothing was deleted.")
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="A webhook endpoint that is to have another secret.")
class WebhookSecretRotateInput:
    id: strawberry.ID
    expected_version: int | None = strawberry.field(default=None, description=VERSION)
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)

    def wanted(self) -> Request:
        key = key_of("WebhookEndpoint", self.id, "id")
        return Request(Rotation(key, self.expected_version), self.idempotency_key)


@strawberry.type(directives=[EVERYBODY])
class WebhookSecretRotatePayload:
    webhook_endpoint: Any = thing(maybe("WebhookEndpoint"))
    secret: str | None = strawberry.field(default=None, description=SIGNS)
    user_errors: list[UserError] = user_errors()
