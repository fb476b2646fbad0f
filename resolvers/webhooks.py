"""Webhooks: making, changing and ending endpoints, sending something again, and showing what would be sent."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, func

from models import WebhookDelivery, WebhookEndpoint, webhook_endpoint, webhook_queue
from models.business import new_id
from models.given import Creation, Deletion, Edition
from models.idempotency_key import complete, remember
from models.node_id import noun
from models.refusal import Busy, EndpointDisabled, InvalidInput, NotFound
from models.relation import count, rows
from models.webhook_endpoint import url_within
from resolvers.context import Context
from resolvers.database import Database, Statements
from resolvers.idempotency import read_key, replayed
from resolvers.supply import Session
from resolvers.writes import Request

MOST_ENDPOINTS = 100
MOST_REPEATS = 100
LOT = 1000


@dataclass(frozen=True)
class Done:
    """What came of a change: its row (none, if it was deleted), and the secret, if it is the time to tell it."""

    row: Row[Any] | None
    key: UUID
    secret: str | None = None


@dataclass(frozen=True)
class Change:
    """How a mutation changes something of webhooks, and how it is answered `again`, under the same key."""

    name: str
    write: Callable[[Session, Any], Awaitable[Done]]
    again: Callable[[Session, UUID], Awaitable[Done]]


@dataclass(frozen=True)
class Rotation:
    """An endpoint that is to have another secret."""

    key: UUID
    expected_version: int | None


@dataclass(frozen=True)
class Retry:
    """A delivery that is to be sent again."""

    key: UUID


@dataclass(frozen=True)
class Trial:
    """What is to be shown as it would be sent: which event, to whom."""

    endpoint_id: UUID | None
    event_id: UUID | None
    type: str | None


@dataclass(frozen=True)
class Tried:
    """The event and the endpoint that are meant, and what would sign the message."""

    event: Row[Any]
    endpoint: Row[Any] | None
    secrets: Sequence[str]


async def changed(context: Context, change: Change, request: Request) -> Done:
    """Change something of webhooks, all of it or nothing; once for each idempotency key."""
    key = read_key(context, change.name, request.wanted, request.idempotency_key)

    async def work(statements: Statements) -> Done:
        session = Session(context, statements, None)
        if key is None:
            return await change.write(session, request.wanted)
        made = await statements.row(new_id())
        assert made is not None
        session.made = made.id
        if await statements.row(remember(key, made.id, None)) is None:
            first = await replayed(context, statements, key)
            if first is None:
                raise Busy
            return await change.again(session, first.result_id)
        done = await change.write(session, request.wanted)
        await statements.rows(complete(key, done.key, None))
        return done

    done = await context.database.transaction(work)
    context.loaders.forget()
    return done


async def try_out(context: Context, wanted: Trial) -> Tried:
    """Find what is needed to show what would be sent."""
    event = await context.database.row(webhook_queue.event_of(context.viewer, wanted.event_id, wanted.type))
    if event is None:
        raise NotFound("eventId" if wanted.event_id else "type", noun="event")
    if wanted.endpoint_id is None:
        return Tried(event, None, ())
    endpoint = await context.loaders.one(WebhookEndpoint, wanted.endpoint_id)
    if endpoint is None:
        raise NotFound("endpointId", noun=noun("WebhookEndpoint"))
    signing = await context.database.rows(webhook_endpoint.secrets_of(context.business, [endpoint.id]))
    return Tried(event, endpoint, [each.secret for each in signing])


async def _create(session: Session, wanted: Creation) -> Done:
    there = await session.statements.row(count(rows(WebhookEndpoint, session.viewer)))
    if there is not None and there.total >= MOST_ENDPOINTS:
        raise InvalidInput(problem=f"A business has at most {MOST_ENDPOINTS} webhook endpoints; delete one first.")
    url = url_within(wanted.values["url"], session.context.allowed_networks)
    row = await session.create(WebhookEndpoint, {**wanted.values, "url": url})
    return await _with_secret(session, row)


async def _update(session: Session, wanted: Edition) -> Done:
    values = dict(wanted.values)
    if "url" in values:
        values["url"] = url_within(values["url"], session.context.allowed_networks)
    if "enabled" in values:
        values |= {"disabled_reason": None if values["enabled"] else "ASKED", "failing_since": None}
    row = await session.change(WebhookEndpoint, wanted.key, wanted.expected_version, values)
    return Done(row, row.id)


async def _delete(session: Session, wanted: Deletion) -> Done:
    row = await session.remove(WebhookEndpoint, wanted.key, wanted.expected_version)
    return Done(None, row.id)


async def _rotate(session: Session, wanted: Rotation) -> Done:
    """From now on the new secret signs, and for a while the one before it as well."""
    there = await session.need(WebhookEndpoint, wanted.key, "id")
    assert there is not None
    version = there.version if wanted.expected_version is None else wanted.expected_version
    row = await session.change(WebhookEndpoint, wanted.key, version, {"rotated_at": func.clock_timestamp()})
    await session.statements.rows(webhook_endpoint.retire_secret(session.context.business, row.id))
    return await _with_secret(session, row)


async def _with_secret(session: Session, row: Row[Any]) -> Done:
    secret = webhook_endpoint.new_secret()
    await session.statements.rows(webhook_endpoint.keep_secret(session.context.business, row.id, secret))
    return Done(row, row.id, secret)


async def _retry(session: Session, wanted: Retry) -> Done:
    row = await _delivery(session, wanted.key)
    endpoint = await session.need(WebhookEndpoint, row.endpoint_id, "id")
    if endpoint is not None and not endpoint.enabled:
        raise EndpointDisabled("id")
    waiting = await session.statements.row(webhook_queue.repeats(session.viewer, row.endpoint_id))
    if waiting is not None and waiting.total >= MOST_REPEATS:
        raise InvalidInput("id", problem=f"At most {MOST_REPEATS} wait to be sent to an endpoint again; wait for them.")
    reset = await session.statements.row(webhook_queue.again(session.viewer, wanted.key))
    return Done(reset, row.id)


async def _delivery(session: Session, key: UUID) -> Row[Any]:
    row = await session.statements.row(rows(WebhookDelivery, session.viewer).where(WebhookDelivery.id == key))
    if row is None:
        raise NotFound("id", noun=noun("WebhookDelivery"))
    return row


async def _endpoint_again(session: Session, key: UUID) -> Done:
    found = await session.statements.row(rows(WebhookEndpoint, session.viewer).where(WebhookEndpoint.id == key))
    if found is None:
        raise NotFound(noun=noun("WebhookEndpoint"))
    return Done(found, key)


async def _secret_again(session: Session, key: UUID) -> Done:
    """Whoever lost the answer reads it again under its key, the secret too, as it is by now."""
    found = await _endpoint_again(session, key)
    current = await session.statements.row(webhook_endpoint.current_secret(session.context.business, key))
    return Done(found.row, key, current and current.secret)


async def _deleted_again(_session: Session, key: UUID) -> Done:
    return Done(None, key)


async def _delivery_again(session: Session, key: UUID) -> Done:
    return Done(await _delivery(session, key), key)


ENDPOINT_CREATE = Change("webhookEndpointCreate", _create, _secret_again)
ENDPOINT_UPDATE = Change("webhookEndpointUpdate", _update, _endpoint_again)
ENDPOINT_DELETE = Change("webhookEndpointDelete", _delete, _deleted_again)
SECRET_ROTATE = Change("webhookSecretRotate", _rotate, _secret_again)
DELIVERY_RETRY = Change("webhookDeliveryRetry", _retry, _delivery_again)


async def claim(database: Database, bounds: tuple[int, int, int], busy: Sequence[UUID]) -> Sequence[Row[Any]]:
    """Claim what is due, so much in all, of an endpoint and of a business; it is committed before anything is sent."""
    return await database.rows(webhook_queue.claim(*bounds, busy))


async def claimed(database: Database, business: UUID, deliveries: Sequence[UUID]) -> list[tuple[Row[Any], list[str]]]:
    """Read what is to be sent for one business, each with what signs it."""
    seen = database.of(business)
    found = await seen.rows(webhook_queue.claimed(business, deliveries))
    signing = await seen.rows(webhook_endpoint.secrets_of(business, [each.endpoint_id for each in found]))
    return [(row, [each.secret for each in signing if each.endpoint_id == row.endpoint_id]) for row in found]


async def settle(database: Database, row: Row[Any], answered: dict[str, Any]) -> str:
    """Write down what came of an attempt."""
    done = await database.of(row.business_id).row(webhook_queue.settle(row.business_id, row.id, row.attempts, answered))
    return "" if done is None else str(done.came)


async def tidy(database: Database) -> int:
    """Fail a lot of what waits for endpoints that are off, also those that too much waits for; tells how much it was."""
    done = await database.row(webhook_queue.tidy(LOT))
    return 0 if done is None else int(done.failed)


async def prune(database: Database) -> int:
    """Forget old deliveries, a lot at a time, so that it may end at any moment."""
    pruned = 0
    while (done := await database.row(webhook_queue.prune(LOT))) is not None and done.pruned:
        pruned += done.pruned
    return pruned
