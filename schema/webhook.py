"""Webhooks: what can be asked and changed of where events are sent, and what was sent there."""

from typing import Any
from uuid import UUID

import strawberry

import models
from models.node_id import encode, key_if_given
from models.page import Page
from models.refusal import InvalidInput, RateLimited
from models.relation import Asked
from models.viewer import Viewer
from models.webhook_delivery import NEWEST_FIRST, WEBHOOK_DELIVERIES, WEBHOOK_ENDPOINTS
from models.webhook_endpoint import Wanted as WantedEndpoints
from models.webhook_message import body, headers, variables
from resolvers import webhooks
from resolvers.context import Context
from resolvers.webhooks import Trial, Tried, changed
from schema.access import EVERYBODY, MANAGERS
from schema.audit_entry import type_of
from schema.connection import After, Before, First, Info, Last
from schema.cost import FEW, Cost
from schema.error import UserError, user_errors
from schema.root import found, listing, mutation
from schema.stored_document import answered, checked, price, reader
from schema.webhook_delivery import (
    EVENT,
    WebhookDeliveryFilter,
    WebhookDeliveryRetryInput,
    WebhookDeliveryRetryPayload,
    WebhookEndpointFilter,
    deliveries,
    event_key,
)
from schema.webhook_endpoint import (
    DOCUMENT,
    WebhookEndpointCreateInput,
    WebhookEndpointCreatePayload,
    WebhookEndpointDeleteInput,
    WebhookEndpointDeletePayload,
    WebhookEndpointUpdateInput,
    WebhookEndpointUpdatePayload,
    WebhookSecretRotateInput,
    WebhookSecretRotatePayload,
)

TRYING = Cost(weight="500")
REPEATING = Cost(weight="50")


@strawberry.input(
    description="A message that is to be shown, and not sent: of eventId, or of the newest event of a type."
)
class WebhookDryRunInput:
    endpoint_id: strawberry.ID | None = strawberry.field(
        default=None, description="As it would be sent there; unsigned, and to nobody, if it is left out."
    )
    document: str | None = strawberry.field(default=None, description=f"Instead of the endpoint's own. {DOCUMENT}")
    event_id: str | None = strawberry.field(default=None, description=EVENT)
    type: str | None = strawberry.field(
        default=None, description="The type of an event, like `scheduling.reservation.confirmed.v1`."
    )

    def wanted(self) -> Trial:
        if (self.event_id is None) == (self.type is None):
            raise InvalidInput("eventId", problem="Give either eventId or type.")
        endpoint = key_if_given("WebhookEndpoint", self.endpoint_id, "endpointId")
        if self.type is not None and (len(self.type) > 200 or not self.type.isprintable()):
            raise InvalidInput("type", problem="This is no type of an event.")
        return Trial(endpoint, event_key(self.event_id, "eventId"), self.type)


@strawberry.type(description="A header of a message.", directives=[MANAGERS])
class WebhookHeader:
    name: str
    value: str


@strawberry.type(directives=[EVERYBODY])
class WebhookDryRunPayload:
    url: str | None = strawberry.field(default=None, description="Where it would be sent to.")
    headers: list[WebhookHeader] = strawberry.field(
        default_factory=list, description="What would be sent with it, signed at this moment.", directives=[FEW]
    )
    body: str | None = strawberry.field(default=None, description="What would be sent, byte by byte what is signed.")
    user_errors: list[UserError] = user_errors()


@strawberry.type
class WebhookQuery:
    @listing(WEBHOOK_ENDPOINTS, "Where events are sent, the newest first.", MANAGERS)
    def webhook_endpoints(
        self,
        filter: WebhookEndpointFilter | None = None,  # noqa: A002
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        listed = WEBHOOK_ENDPOINTS.listed(NEWEST_FIRST)
        return Asked(WantedEndpoints(filter.enabled if filter else None), Page.read(listed, first, after, last, before))

    @listing(WEBHOOK_DELIVERIES, "What was sent to endpoints, or is to be, the newest first.", MANAGERS)
    def webhook_deliveries(
        self,
        filter: WebhookDeliveryFilter | None = None,  # noqa: A002
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        return Asked(deliveries(filter), Page.read(WEBHOOK_DELIVERIES.listed(NEWEST_FIRST), first, after, last, before))

    webhook_endpoint = found(models.WebhookEndpoint, "The webhook endpoint with this id.", MANAGERS)


@strawberry.type
class WebhookMutation:
    @mutation(
        "Add a webhook endpoint: from now on, events are sent there. At most 100; the answer has its secret.", MANAGERS
    )
    async def webhook_endpoint_create(
        self,
        info: Info,
        input: WebhookEndpointCreateInput,  # noqa: A002
    ) -> WebhookEndpointCreatePayload:
        _check(info, input.document)
        done = await changed(info.context, webhooks.ENDPOINT_CREATE, input.wanted())
        return WebhookEndpointCreatePayload(webhook_endpoint=done.row, secret=done.secret)

    @mutation("Change a webhook endpoint, or switch it on or off.", MANAGERS)
    async def webhook_endpoint_update(
        self,
        info: Info,
        input: WebhookEndpointUpdateInput,  # noqa: A002
    ) -> WebhookEndpointUpdatePayload:
        _check(info, input.document)
        done = await changed(info.context, webhooks.ENDPOINT_UPDATE, input.wanted())
        return WebhookEndpointUpdatePayload(webhook_endpoint=done.row)

    @mutation("Delete a webhook endpoint, and the log of what was sent there. What still waits is not sent.", MANAGERS)
    async def webhook_endpoint_delete(
        self,
        info: Info,
        input: WebhookEndpointDeleteInput,  # noqa: A002
    ) -> WebhookEndpointDeletePayload:
        done = await changed(info.context, webhooks.ENDPOINT_DELETE, input.wanted())
        return WebhookEndpointDeletePayload(deleted_id=strawberry.ID(encode("WebhookEndpoint", done.key)))

    @mutation(
        "Give an endpoint another secret. For 24 hours both sign what is sent, so that the receiver can change over.",
        MANAGERS,
    )
    async def webhook_secret_rotate(
        self,
        info: Info,
        input: WebhookSecretRotateInput,  # noqa: A002
    ) -> WebhookSecretRotatePayload:
        done = await changed(info.context, webhooks.SECRET_ROTATE, input.wanted())
        return WebhookSecretRotatePayload(webhook_endpoint=done.row, secret=done.secret)

    @mutation(
        "Send something again, now: what failed, or what was delivered, both out of turn, so that nothing is held back by "
        "it; or what waits, in its turn. It has all of its attempts anew. At most 100 of an endpoint at a time. "
        "ILLEGAL_STATE if its endpoint is switched off.",
        MANAGERS,
        cost=REPEATING,
    )
    async def webhook_delivery_retry(
        self,
        info: Info,
        input: WebhookDeliveryRetryInput,  # noqa: A002
    ) -> WebhookDeliveryRetryPayload:
        done = await changed(info.context, webhooks.DELIVERY_RETRY, input.wanted())
        return WebhookDeliveryRetryPayload(webhook_delivery=done.row)

    @mutation(
        "Show what would be sent, to try a document or a receiver. Nothing is. What the document costs comes on top; "
        "RATE_LIMITED if that is more than is left.",
        MANAGERS,
        cost=TRYING,
    )
    async def webhook_dry_run(self, info: Info, input: WebhookDryRunInput) -> WebhookDryRunPayload:  # noqa: A002
        _check(info, input.document)
        tried = await webhooks.try_out(info.context, input.wanted())
        document = input.document or (tried.endpoint and tried.endpoint.document)
        text = body(tried.event, document and await _answered(info, document, tried))
        told = headers(tried.event, tried.event.now, text, tried.secrets)
        return WebhookDryRunPayload(
            url=tried.endpoint and tried.endpoint.url,
            headers=[WebhookHeader(name=name, value=value) for name, value in told.items()],
            body=text,
        )


def _check(info: Info, document: str | None) -> None:
    """A document is known to be good before it is stored."""
    if isinstance(document, str):  # neither left out nor null
        checked(info.schema._schema, document, "document")  # noqa: SLF001 -- graphql-core's own object


async def _answered(info: Info, document: str, tried: Tried) -> dict[str, Any]:
    """Answer a document as the worker does: not as whoever tries it."""
    context: Context = info.context
    contract = info.schema._schema  # noqa: SLF001 -- graphql-core's own object
    if context.pay is not None and not await context.pay(price(contract, document)):
        raise RateLimited
    viewer: Viewer = reader(context.business, tried.endpoint.id if tried.endpoint else UUID(int=0))
    asked = variables(tried.event, type_of(tried.event.type))
    seen = Context(context.database, viewer, context.request_id)
    return await answered(contract, document, asked, seen)
