"""Webhooks: what happens is signed and sent, at least once, in order, again and again; and nobody else's is there."""

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.webhook_message import PAUSES
from server.workers import webhooks
from tests.conftest import ROOT, Api
from tests.receiver import Message, Receiver, api, reachable, receiver, receiving, relayed

__all__ = ["api", "reachable", "receiver"]  # fixtures

Sql = Callable[..., list[tuple[Any, ...]]]

SECOND = timedelta(seconds=1)
SOON = SECOND / 2  # between two statements of one transaction

CREATE = """mutation ($input: WebhookEndpointCreateInput!) { webhookEndpointCreate(input: $input) {
  webhookEndpoint { id url description eventTypes document enabled disabledReason failingSince rotatedAt version } secret
  userErrors { code message field } } }"""
UPDATE = """mutation ($input: WebhookEndpointUpdateInput!) { webhookEndpointUpdate(input: $input) {
  webhookEndpoint { id url eventTypes enabled disabledReason version } userErrors { code message field } } }"""
DELETE = """mutation ($input: WebhookEndpointDeleteInput!) { webhookEndpointDelete(input: $input) {
  deletedId userErrors { code message field } } }"""
ROTATE = """mutation ($input: WebhookSecretRotateInput!) { webhookSecretRotate(input: $input) {
  webhookEndpoint { version rotatedAt } secret userErrors { code message field } } }"""
RETRY = """mutation ($input: WebhookDeliveryRetryInput!) { webhookDeliveryRetry(input: $input) {
  webhookDelivery { id status attempts } userErrors { code message field } } }"""
TRY = """mutation ($input: WebhookDryRunInput!) { webhookDryRun(input: $input) {
  url headers { name value } body userErrors { code message field } } }"""
LOG = """query ($filter: WebhookDeliveryFilter) { webhookDeliveries(filter: $filter, first: 100) { totalCount nodes {
  id eventId eventType status attempts nextAttemptAt lastStatus lastError deliveredAt endpoint { id }
  log { nodes { number status error milliseconds } } } } }"""
ENDPOINT = "query ($id: ID!) { webhookEndpoint(id: $id) { enabled disabledReason failingSince version } }"


async def endpoint(api: Api, url: str, **more: Any) -> tuple[str, str]:
    """The id and the secret of a new endpoint."""
    done = (await api(CREATE, input={"url": url, **more}))["webhookEndpointCreate"]
    assert done["userErrors"] == []
    return done["webhookEndpoint"]["id"], done["secret"]


async def work(api: Api) -> dict[str, int]:
    """Relay and send, as a worker does, one time."""
    stopping = asyncio.Event()
    await relayed(api.database)
    return await webhooks.run_once(api.database, stopping)


async def log(api: Api, **narrowed: Any) -> list[dict[str, Any]]:
    return (await api(LOG, filter=narrowed))["webhookDeliveries"]["nodes"]  # type: ignore[no-any-return]


def pause(sql: Sql) -> timedelta:
    """How long the only delivery waits after its last attempt, whatever time has passed since."""
    ((length,),) = sql(
        "SELECT next_attempt_at - (SELECT max(attempted_at) FROM webhook_attempts) FROM webhook_deliveries"
    )
    return cast(timedelta, length)


def due(sql: Sql) -> None:
    """Let whatever waits be due, as if the time had passed."""
    sql("UPDATE webhook_deliveries SET next_attempt_at = clock_timestamp() WHERE next_attempt_at IS NOT NULL")


async def test_what_happens_is_signed_and_sent(api: Api, receiver: Receiver, sql: Sql) -> None:
    key, secret = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])

    client = await api.client("Charles")
    done = await work(api)

    assert done == {"delivered": 1, "repeated": 0, "abandoned": 0}
    (message,) = receiver.messages
    ((event, occurred_at, correlation),) = sql(
        "SELECT id, occurred_at, correlation_id FROM events WHERE type = 'scheduling.client.created.v1'"
    )
    told = Webhook(secret).verify(message.body, message.headers)
    at = told.pop("occurred_at")
    assert (datetime.fromisoformat(at), at[-1]) == (occurred_at, "Z")
    assert told == {
        "id": str(event),
        "type": "scheduling.client.created.v1",
        "source": f"/businesses/{DEFAULT_BUSINESS}",
        "correlation_id": correlation,
        "data": {"id": told["data"]["id"], "version": 1},
    }
    assert encode("Client", UUID(told["data"]["id"])) == client
    assert "Charles" not in message.body.decode()
    assert message.headers["webhook-id"] == str(event)
    assert message.headers["content-type"] == "application/json"
    (delivery,) = await log(api)
    assert (delivery["status"], delivery["attempts"], delivery["lastStatus"]) == ("DELIVERED", 1, 200)
    assert (delivery["endpoint"]["id"], delivery["eventId"]) == (key, str(event))
    assert [(each["number"], each["status"], each["error"]) for each in delivery["log"]["nodes"]] == [(1, 200, None)]
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 43 + "=").verify(message.body, message.headers)
    assert await work(api) == {"delivered": 0, "repeated": 0, "abandoned": 0}


async def test_only_what_is_wanted_is_sent(api: Api, receiver: Receiver) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.provider.created.v1", "scheduling.location.*"])
    await api.client()

    await api.provider()
    await work(api)

    assert [message.json["type"] for message in receiver.messages] == ["scheduling.provider.created.v1"]


async def test_what_happened_before_an_endpoint_was_made_is_not_sent(api: Api, receiver: Receiver) -> None:
    await api.client()
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])

    assert await work(api) == {"delivered": 0, "repeated": 0, "abandoned": 0}
    assert receiver.messages == []


async def test_a_secret_is_told_once_and_under_the_same_key_again(api: Api, receiver: Receiver, sql: Sql) -> None:
    given = {"url": receiver.url, "idempotencyKey": "one"}
    first = (await api(CREATE, input=given))["webhookEndpointCreate"]

    again = await api.post(CREATE, input=given)
    other = await api.post(CREATE, input={**given, "description": "another"})

    assert again["extensions"] == {"idempotentReplay": True}
    assert again["data"]["webhookEndpointCreate"] == first
    assert other["data"]["webhookEndpointCreate"]["userErrors"][0]["code"] == "IDEMPOTENCY_KEY_REUSED"
    assert sql("SELECT count(*) FROM webhook_endpoints") == [(1,)]
    # Nothing else tells it: not the history, and not what the key is kept with.
    secret = first["secret"]
    for table in ("events", "idempotency_keys", "webhook_endpoints", "webhook_deliveries"):
        assert sql(f"SELECT count(*) FROM {table} t WHERE position(%s IN t::text) > 0", secret) == [(0,)]


async def test_while_a_secret_is_replaced_both_sign(api: Api, receiver: Receiver, sql: Sql) -> None:
    key, old = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])

    rotated = (await api(ROTATE, input={"id": key}))["webhookSecretRotate"]
    await api.client()
    await work(api)

    new, (message,) = rotated["secret"], receiver.messages
    assert rotated["webhookEndpoint"]["version"] == 2
    assert new != old
    assert len(message.headers["webhook-signature"].split(" ")) == 2
    for secret in (old, new):
        Webhook(secret).verify(message.body, message.headers)

    sql("UPDATE webhook_secrets SET expires_at = clock_timestamp() WHERE expires_at IS NOT NULL")
    await api.client()
    await work(api)

    Webhook(new).verify(receiver.messages[1].body, receiver.messages[1].headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(receiver.messages[1].body, receiver.messages[1].headers)


async def test_a_third_secret_leaves_two(api: Api, receiver: Receiver) -> None:
    key, first = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    second = (await api(ROTATE, input={"id": key, "expectedVersion": 1}))["webhookSecretRotate"]["secret"]
    stale = (await api(ROTATE, input={"id": key, "expectedVersion": 1}))["webhookSecretRotate"]
    third = (await api(ROTATE, input={"id": key}))["webhookSecretRotate"]["secret"]

    await api.client()
    await work(api)

    assert stale["userErrors"][0]["code"] == "VERSION_CONFLICT"
    assert stale["secret"] is None
    (message,) = receiver.messages
    for secret in (second, third):
        Webhook(secret).verify(message.body, message.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(first).verify(message.body, message.headers)


@pytest.mark.parametrize("status", [500, 404, 302, 403])
async def test_what_is_not_delivered_is_tried_again(api: Api, receiver: Receiver, sql: Sql, status: int) -> None:
    receiver.answer = lambda _: status if len(receiver.messages) == 1 else 204
    key, secret = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()

    assert await work(api) == {"delivered": 0, "repeated": 1, "abandoned": 0}
    assert await work(api) == {"delivered": 0, "repeated": 0, "abandoned": 0}
    wait = pause(sql)
    (waiting,) = await log(api, status=["PENDING"])
    failing = (await api(ENDPOINT, id=key))["webhookEndpoint"]
    due(sql)
    done = await work(api)

    assert 4 * SECOND - SOON < wait <= 6 * SECOND
    assert (waiting["lastStatus"], waiting["attempts"], waiting["deliveredAt"]) == (status, 1, None)
    assert waiting["lastError"].startswith(f"It answered {status}")
    assert failing["failingSince"] is not None
    assert done == {"delivered": 1, "repeated": 0, "abandoned": 0}
    first, second = receiver.messages
    assert first.id == second.id
    assert first.json == second.json
    Webhook(secret).verify(second.body, second.headers)
    (delivery,) = await log(api)
    assert [each["status"] for each in delivery["log"]["nodes"]] == [status, 204]
    # An endpoint that answers again is not failing; that is no change of it.
    assert (await api(ENDPOINT, id=key))["webhookEndpoint"] == {
        "enabled": True,
        "disabledReason": None,
        "failingSince": None,
        "version": 1,
    }


async def test_after_75_hours_it_is_given_up(api: Api, receiver: Receiver, sql: Sql) -> None:
    receiver.answer = lambda _: 503
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()

    pauses = []
    for _ in PAUSES:
        assert await work(api) == {"delivered": 0, "repeated": 1, "abandoned": 0}
        pauses.append(pause(sql))
        due(sql)
    last = await work(api)

    assert last == {"delivered": 0, "repeated": 0, "abandoned": 1}
    assert len(receiver.messages) == len(PAUSES) + 1 == 10
    for each, usual in zip(pauses, PAUSES, strict=True):
        assert usual * 0.8 - SOON < each <= usual * 1.2
    assert 75 < sum(each.total_seconds() for each in PAUSES) / 3600 < 76
    (delivery,) = await log(api)
    assert (delivery["status"], delivery["attempts"], delivery["nextAttemptAt"]) == ("FAILED", 10, None)
    assert await work(api) == {"delivered": 0, "repeated": 0, "abandoned": 0}


@pytest.mark.parametrize(("asked", "least", "most"), [("3600", 3600, 3600), ("999999", 86_400, 86_400), ("1", 4, 6)])
async def test_a_receiver_may_ask_for_more_time(
    api: Api, receiver: Receiver, sql: Sql, asked: str, least: int, most: int
) -> None:
    receiver.answer = lambda _: (429, {"retry-after": asked})
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()

    await work(api)

    assert least * SECOND - SOON < pause(sql) <= most * SECOND


async def test_an_endpoint_that_is_gone_is_switched_off(api: Api, receiver: Receiver, sql: Sql) -> None:
    receiver.answer = lambda _: 410
    key, _ = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    for _ in range(6):
        await api.client()

    done = await work(api)

    gone = (await api(ENDPOINT, id=key))["webhookEndpoint"]
    assert (gone["enabled"], gone["disabledReason"], gone["version"]) == (False, "GONE", 2)
    assert done["delivered"] == done["repeated"] == 0
    assert 1 <= len(receiver.messages) <= 4
    assert {each["status"] for each in await log(api)} == {"FAILED"}
    ((actor, diff),) = sql("SELECT actor, diff FROM events WHERE type = 'scheduling.webhook_endpoint.updated.v1'")
    assert (actor, diff) == ("worker", {"enabled": [True, False], "disabled_reason": [None, "GONE"]})

    refused = (await api(RETRY, input={"id": (await log(api))[0]["id"]}))["webhookDeliveryRetry"]
    await api.client()
    sent = len(receiver.messages)
    await work(api)

    assert refused["userErrors"] == [
        {"code": "ILLEGAL_STATE", "message": "The endpoint is switched off; switch it on first.", "field": ["id"]}
    ]
    assert len(receiver.messages) == sent

    receiver.answer = lambda _: 200
    await api(UPDATE, input={"id": key, "expectedVersion": 2, "enabled": True})
    await api(RETRY, input={"id": (await log(api))[0]["id"]})
    assert (await work(api))["delivered"] == 1


async def test_an_endpoint_that_fails_for_five_days_is_switched_off(api: Api, receiver: Receiver, sql: Sql) -> None:
    receiver.answer = lambda _: 500
    key, _ = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()
    await work(api)
    sql("UPDATE webhook_endpoints SET failing_since = clock_timestamp() - interval '119:59:00'")
    due(sql)
    assert await work(api) == {"delivered": 0, "repeated": 1, "abandoned": 0}
    sql("UPDATE webhook_endpoints SET failing_since = clock_timestamp() - interval '120:00:00'")
    due(sql)

    assert await work(api) == {"delivered": 0, "repeated": 0, "abandoned": 1}

    off = (await api(ENDPOINT, id=key))["webhookEndpoint"]
    assert (off["enabled"], off["disabledReason"], off["version"]) == (False, "FAILING", 2)


async def test_what_was_delivered_or_has_failed_is_sent_again_when_asked(api: Api, receiver: Receiver) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()
    await work(api)
    (delivery,) = await log(api)

    again = (await api(RETRY, input={"id": delivery["id"], "idempotencyKey": "k"}))["webhookDeliveryRetry"]
    await work(api)
    replayed = await api.post(RETRY, input={"id": delivery["id"], "idempotencyKey": "k"})
    await work(api)

    assert again == {"webhookDelivery": {"id": delivery["id"], "status": "PENDING", "attempts": 1}, "userErrors": []}
    assert replayed["data"]["webhookDeliveryRetry"]["webhookDelivery"]["status"] == "DELIVERED"
    assert [message.id for message in receiver.messages] == [delivery["eventId"]] * 2


async def test_a_receiver_that_fails_at_random_hears_of_each_thing_in_order(
    api: Api, receiver: Receiver, sql: Sql
) -> None:
    chance = Random(4711)
    accepted: dict[str, list[int]] = defaultdict(list)

    def answer(message: Message) -> int:
        if chance.random() < 0.5:
            return 500
        accepted[message.json["data"]["id"]].append(message.json["data"]["version"])
        return 200

    receiver.answer = answer
    await endpoint(api, receiver.url, eventTypes=["scheduling.skill.*"])
    for name in ("a", "b", "c", "d", "e"):
        sql("INSERT INTO skills (business_id, name) VALUES (%s, %s)", DEFAULT_BUSINESS, name)
    for version in range(2, 7):
        sql("UPDATE skills SET name = left(name, 1) || %s", version)
    while (await work(api))["repeated"] or sql("SELECT FROM webhook_deliveries WHERE status = 'PENDING'"):
        due(sql)

    assert len(accepted) == 5
    assert all(versions == [1, 2, 3, 4, 5, 6] for versions in accepted.values())
    assert len(receiver.messages) > 30


async def test_a_slow_endpoint_holds_up_nobody_else(api: Api, receiver: Receiver) -> None:
    all_others = asyncio.Event()

    async def slowly(_: Message) -> int:
        await all_others.wait()
        return 200

    def quickly(_: Message) -> int:
        if len(receiver.messages) == 6:
            all_others.set()
        return 200

    receiver.answer = quickly
    async with receiving(slowly) as slow:
        await endpoint(api, slow.url, eventTypes=["scheduling.client.*"])
        await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
        for _ in range(6):
            await api.client()

        done = await work(api)

    assert done["delivered"] == 12
    assert len(receiver.messages) == len(slow.messages) == 6


async def test_who_is_too_slow_is_tried_again(api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: Message) -> int:
        await asyncio.sleep(5)
        return 200

    receiver.answer = never
    monkeypatch.setattr(webhooks, "SECONDS_TO_ANSWER", 0.2)
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()

    assert await work(api) == {"delivered": 0, "repeated": 1, "abandoned": 0}

    (delivery,) = await log(api)
    assert delivery["lastError"] == "127.0.0.1 did not answer within 0.2 seconds."
    assert delivery["lastStatus"] is None


async def test_what_a_dead_worker_had_in_hand_is_sent_again(api: Api, receiver: Receiver, sql: Sql) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()
    await relayed(api.database)
    claimed = sql("SELECT delivery_id FROM claim_deliveries(10, 4, '{}', '00:01:00')")

    assert len(claimed) == 1
    assert await work(api) == {"delivered": 0, "repeated": 0, "abandoned": 0}
    ((lease,),) = sql("SELECT extract(epoch FROM next_attempt_at - clock_timestamp())::float FROM webhook_deliveries")
    assert 55 < lease <= 60
    due(sql)
    assert await work(api) == {"delivered": 1, "repeated": 0, "abandoned": 0}
    assert len(receiver.messages) == 1


async def test_many_workers_send_nothing_twice(api: Api, receiver: Receiver, sql: Sql) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    for n in range(40):
        sql("INSERT INTO clients (business_id, first_name, last_name) VALUES (%s, %s, 'x')", DEFAULT_BUSINESS, str(n))
    await relayed(api.database)

    done = await asyncio.gather(*(webhooks.run_once(api.database, asyncio.Event()) for _ in range(4)))

    assert sum(each["delivered"] for each in done) == 40
    assert len(receiver.messages) == len({message.id for message in receiver.messages}) == 40


async def test_who_is_told_to_stop_begins_nothing(api: Api, receiver: Receiver) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()
    stopping = asyncio.Event()
    await relayed(api.database)
    stopping.set()

    assert await webhooks.run_once(api.database, stopping) == {"delivered": 0, "repeated": 0, "abandoned": 0}
    assert receiver.messages == []


async def test_old_deliveries_are_forgotten(api: Api, receiver: Receiver, sql: Sql) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    for _ in range(2):
        await api.client()
        await work(api)
    oldest = "(SELECT id FROM webhook_deliveries ORDER BY id LIMIT 1)"
    sql(f"UPDATE webhook_deliveries SET created_at = clock_timestamp() - interval '720:00:01' WHERE id = {oldest}")

    assert await webhooks.prune(api.database, asyncio.Event()) == {"deliveries": 1}

    assert len(await log(api)) == 1
    assert sql("SELECT count(*) FROM webhook_attempts") == [(1,)]


async def test_a_deleted_endpoint_takes_its_log_along(api: Api, receiver: Receiver, sql: Sql) -> None:
    key, _ = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()
    await work(api)

    deleted = (await api(DELETE, input={"id": key, "idempotencyKey": "d"}))["webhookEndpointDelete"]
    again = await api.post(DELETE, input={"id": key, "idempotencyKey": "d"})
    other = (await api(DELETE, input={"id": key}))["webhookEndpointDelete"]

    assert deleted == {"deletedId": key, "userErrors": []}
    assert again["data"]["webhookEndpointDelete"] == deleted
    assert other["userErrors"][0]["code"] == "NOT_FOUND"
    for table in ("webhook_endpoints", "webhook_secrets", "webhook_deliveries", "webhook_attempts"):
        assert sql(f"SELECT count(*) FROM {table}") == [(0,)]


async def test_an_endpoint_of_another_business_is_not_there(api: Api, receiver: Receiver, sql: Sql) -> None:
    other = uuid4()
    sql("INSERT INTO businesses (id, name, time_zone) VALUES (%s, 'Other', 'UTC')", other)
    ((theirs,),) = sql(
        "INSERT INTO webhook_endpoints (business_id, url) VALUES (%s, %s) RETURNING id", other, receiver.url
    )
    sql("INSERT INTO skills (business_id, name) VALUES (%s, 'theirs')", other)
    await work(api)
    ((delivery,),) = sql("SELECT id FROM webhook_deliveries WHERE event_type LIKE %s", "scheduling.skill%")
    foreign, unknown = encode("WebhookEndpoint", theirs), encode("WebhookEndpoint", uuid4())

    await api('mutation { businessUpdate(input: {expectedVersion: 1, name: "x"}) { userErrors { code } } }')
    asked: tuple[tuple[str, str, dict[str, Any]], ...] = (
        (UPDATE, "id", {"expectedVersion": 1, "enabled": False}),
        (DELETE, "id", {}),
        (ROTATE, "id", {}),
        (TRY, "endpointId", {"type": "scheduling.business.updated.v1"}),
    )
    for query, named, given in asked:
        of_theirs, of_nobody = [await api(query, input={named: key, **given}) for key in (foreign, unknown)]
        assert of_theirs == of_nobody
        assert next(iter(of_theirs.values()))["userErrors"][0]["code"] == "NOT_FOUND"
    retried = (await api(RETRY, input={"id": encode("WebhookDelivery", delivery)}))["webhookDeliveryRetry"]
    assert retried["userErrors"][0]["code"] == "NOT_FOUND"
    assert await log(api, endpointId=foreign) == []
    assert (await api(LOG, filter={}))["webhookDeliveries"]["totalCount"] == 0
    assert (await api("{ webhookEndpoints { totalCount } }"))["webhookEndpoints"]["totalCount"] == 0


async def test_the_receiver_of_the_readme_tells_our_messages_from_others(api: Api, receiver: Receiver) -> None:
    readme = (ROOT / "README.md").read_text()
    example = next(code for code in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "standardwebhooks" in code)
    named: dict[str, Any] = {}
    exec(compile(example, "README.md", "exec"), named)
    _, secret = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    await api.client()
    await work(api)
    (message,), seen = receiver.messages, set[str]()

    answers = [
        named["receive"](secret, message.headers, message.body, seen),
        named["receive"](secret, message.headers, message.body, seen),
        named["receive"](secret, message.headers, message.body.replace(b"client", b"clients"), seen),
        named["receive"](secret, {}, message.body, seen),
    ]

    assert answers == [204, 204, 401, 401]
    assert seen == {message.id}
