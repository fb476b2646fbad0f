"""Webhooks of many: what one business or one receiver does leaves the others what is theirs, however much of it there is."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.business import DEFAULT_BUSINESS
from models.node_id import decode
from models.viewer import Role
from models.webhook_message import asked_for
from resolvers import webhooks as resolved
from server.gate import Gate
from server.workers import webhooks
from tests.api.test_webhooks import ENDPOINT, RETRY, TRY, UPDATE, due, endpoint, log, work
from tests.conftest import Api, serving
from tests.keys import OTHER, another_business, bearer
from tests.receiver import LOOPBACK, Receiver, api, reachable, receiver, receiving, relayed

__all__ = ["api", "reachable", "receiver"]  # fixtures

Sql = Callable[..., list[tuple[Any, ...]]]

# Events of one thing, in one statement: of a business whose endpoint hears of all of them.
OF_ONE_THING = """INSERT INTO events (business_id, type, aggregate_id, data)
SELECT %s, 'scheduling.client.updated.v1', '01900000-0000-7000-8000-000000000001', jsonb_build_object('n', n)
  FROM generate_series(1, %s) n"""
WAITING = """INSERT INTO webhook_deliveries
    (business_id, endpoint_id, event_id, event_type, aggregate_id, position, next_attempt_at)
SELECT w.business_id, w.id, e.id, e.type, e.aggregate_id, e.position, CASE e.place WHEN 1 THEN clock_timestamp() END
  FROM webhook_endpoints w, (SELECT *, row_number() OVER (ORDER BY position) AS place FROM events
                              WHERE type = 'scheduling.client.updated.v1') e"""


@settings(deadline=None)
@given(st.text() | st.datetimes().map(lambda at: f"{at:%a, %d %b %Y %H:%M:%S} GMT"))
@example("Mon, 01 Jan 99999999999999999999 00:00:00 GMT")
@example("Mon, 01 Jan 0001 00:00:00 +2359")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("Mon, 01 Jan 2027 00:00:00 +99999999999999999999")
@example("9" * 5000)
@example("²")
def test_whatever_a_receiver_says_of_when_is_some_time_from_now(told: str) -> None:
    assert asked_for(told, datetime.now(UTC)) >= timedelta(0)


async def test_an_answer_that_makes_no_sense_leaves_the_others_theirs(api: Api, receiver: Receiver) -> None:
    absurd = {"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}
    async with receiving(lambda _: (503, absurd)) as strange:
        await endpoint(api, strange.url, eventTypes=["scheduling.client.*"])
        await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
        for _ in range(3):
            await api.client()

        done = await work(api)

    assert done == {"delivered": 3, "repeated": 3, "abandoned": 0}


async def test_a_fault_of_ours_is_one_of_the_attempts_and_ends_no_other(
    api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked = webhooks.Sending._asked

    async def faulty(self: Any, delivery: Any, text: str, secrets: list[str]) -> Any:
        if delivery.event_type == "scheduling.provider.created.v1":
            raise ZeroDivisionError
        return await asked(self, delivery, text, secrets)

    monkeypatch.setattr(webhooks.Sending, "_asked", faulty)
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*", "scheduling.provider.*"])
    await api.provider()
    await api.client()

    assert await work(api) == {"delivered": 1, "repeated": 1, "abandoned": 0}

    (waiting,) = await log(api, status=["PENDING"])
    assert waiting["lastError"] == "It could not be sent, by a fault of this server."
    assert [record.message for record in caplog.records].count("a webhook could not be sent") == 1


async def test_of_what_is_about_one_thing_only_the_first_is_due(api: Api, receiver: Receiver, sql: Sql) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    sql(OF_ONE_THING, DEFAULT_BUSINESS, 4)
    await relayed(api.database)
    sql(OF_ONE_THING, DEFAULT_BUSINESS, 4)
    await relayed(api.database)

    assert sql("SELECT count(*), count(next_attempt_at) FROM webhook_deliveries") == [(8, 1)]
    receiver.answer = lambda _: 500
    assert await work(api) == {"delivered": 0, "repeated": 1, "abandoned": 0}
    assert sql("SELECT count(*), count(next_attempt_at) FROM webhook_deliveries") == [(8, 1)]

    receiver.answer = lambda _: 200
    due(sql)
    assert (await work(api))["delivered"] == 8
    assert [message.json["data"]["n"] for message in receiver.messages[1:]] == [1, 2, 3, 4] * 2


async def test_to_claim_and_to_settle_reads_few_rows_however_many_wait(api: Api, receiver: Receiver, sql: Sql) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    sql("SET session_replication_role = replica")
    sql(OF_ONE_THING, DEFAULT_BUSINESS, 20_000)
    sql("UPDATE events SET position = seq, relayed_at = clock_timestamp()")
    sql(WAITING)
    sql("SET session_replication_role = origin")
    sql("ANALYZE webhook_deliveries")
    read = "SELECT idx_tup_fetch + seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'webhook_deliveries'"
    settled = json.dumps({"outcome": "DELIVERED", "status": 200, "milliseconds": 1})

    sql("BEGIN")
    ((business, delivery),) = sql("SELECT * FROM claim_deliveries(64, 4, '{}', '00:01:00')")
    assert sql("SELECT settle_delivery(%s, %s, 1, %s)", business, delivery, settled) == [("DELIVERED",)]
    ((rows,),) = sql(read)
    ((next_one,),) = sql("SELECT position FROM webhook_deliveries WHERE next_attempt_at IS NOT NULL")
    sql("COMMIT")

    assert rows < 50
    assert sql(
        "SELECT count(*) FROM events WHERE position < %s AND type = 'scheduling.client.updated.v1'", next_one
    ) == [(1,)]


async def test_an_endpoint_that_too_much_waits_for_is_switched_off(api: Api, receiver: Receiver, sql: Sql) -> None:
    key, _ = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    sql(OF_ONE_THING, DEFAULT_BUSINESS, 1500)
    await relayed(api.database)

    assert sql("SELECT tidy_deliveries(100, 1500)") == [(0,)]
    assert sql("SELECT tidy_deliveries(100, 1499)") == [(100,)]  # beside the thousand that went with the switch
    off = (await api(ENDPOINT, id=key))["webhookEndpoint"]
    assert await webhooks.tidy(api.database, asyncio.Event()) == {"deliveries": 400}

    assert (off["enabled"], off["disabledReason"], off["version"]) == (False, "OVERFLOWING", 2)
    assert sql("SELECT status, count(*) FROM webhook_deliveries GROUP BY 1") == [("FAILED", 1500)]
    assert sql("SELECT pending, age FROM webhook_state()") == [(0, 0)]


async def test_what_was_left_when_an_endpoint_is_switched_on_again_is_sent(
    api: Api, receiver: Receiver, sql: Sql
) -> None:
    key, _ = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    sql(OF_ONE_THING, DEFAULT_BUSINESS, 1003)
    await relayed(api.database)

    for version, enabled in ((1, False), (2, True)):
        await api(UPDATE, input={"id": key, "expectedVersion": version, "enabled": enabled})

    assert (await work(api))["delivered"] == 3
    assert sql("SELECT count(*) FROM webhook_deliveries WHERE status = 'PENDING'") == [(0,)]


async def test_the_operator_has_all_that_failed_sent_again_in_order(api: Api, receiver: Receiver, sql: Sql) -> None:
    key, _ = await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    sql(OF_ONE_THING, DEFAULT_BUSINESS, 5)
    await relayed(api.database)
    for version, enabled in ((1, False), (2, True)):
        await api(UPDATE, input={"id": key, "expectedVersion": version, "enabled": enabled})

    assert sql("SELECT redeliver(%s, clock_timestamp() - interval '1 hour')", decode(key)[1]) == [(5,)]

    assert (await work(api))["delivered"] == 5
    assert [message.json["data"]["n"] for message in receiver.messages] == [1, 2, 3, 4, 5]


async def test_what_is_sent_again_holds_back_nothing(api: Api, receiver: Receiver, sql: Sql) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    sql(OF_ONE_THING, DEFAULT_BUSINESS, 1)
    await work(api)
    (first,) = await log(api)
    receiver.answer = lambda message: 500 if message.id == first["eventId"] else 200

    assert (await api(RETRY, input={"id": first["id"]}))["webhookDeliveryRetry"]["userErrors"] == []
    sql(OF_ONE_THING, DEFAULT_BUSINESS, 2)

    assert await work(api) == {"delivered": 2, "repeated": 1, "abandoned": 0}


async def test_a_hundred_at_most_wait_to_be_sent_again(api: Api, receiver: Receiver, sql: Sql) -> None:
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"])
    sql(OF_ONE_THING, DEFAULT_BUSINESS, 101)
    await relayed(api.database)
    first = (await log(api, status=["PENDING"]))[0]["id"]
    sql(
        "UPDATE webhook_deliveries SET is_repeat = true, next_attempt_at = clock_timestamp() WHERE position > (SELECT min(position) FROM webhook_deliveries)"
    )

    (refused,) = (await api(RETRY, input={"id": first}))["webhookDeliveryRetry"]["userErrors"]

    assert (refused["code"], refused["field"]) == ("INVALID_INPUT", ["id"])


async def test_a_business_has_its_share_and_each_its_turn(api: Api, receiver: Receiver, sql: Sql) -> None:
    another_business(sql)
    for business, endpoints in ((DEFAULT_BUSINESS, 20), (OTHER, 1)):
        sql(
            "INSERT INTO webhook_endpoints (business_id, url, created_at)"
            " SELECT %s, 'https://hooks.example.com', clock_timestamp() FROM generate_series(1, %s)",
            *(business, endpoints),
        )
    for business in (DEFAULT_BUSINESS, OTHER):
        for _ in range(6):
            sql("INSERT INTO clients (business_id, first_name, last_name) VALUES (%s, 'a', 'b')", business)
    await relayed(api.database)

    two = await resolved.claim(api.database, (2, 4, 8), [])
    ((busy,),) = sql(
        "SELECT min(endpoint_id::text)::uuid FROM webhook_deliveries WHERE attempts = 1 AND business_id = %s",
        DEFAULT_BUSINESS,
    )
    rest = await resolved.claim(api.database, (64, 4, 8), [busy] * 3)

    assert {row.business_id for row in two} == {DEFAULT_BUSINESS, OTHER}
    assert Counter(row.business_id for row in rest) == {DEFAULT_BUSINESS: 5, OTHER: 4}


async def test_what_could_not_be_begun_has_all_its_attempts_still(
    api: Api, receiver: Receiver, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def slow(*_: Any) -> dict[str, Any]:
        await asyncio.sleep(0.3)
        return {"data": {}}

    monkeypatch.setattr(webhooks, "answered", slow)
    monkeypatch.setattr(webhooks, "SECONDS_FOR_A_TURN", 0.1)
    await endpoint(api, receiver.url, eventTypes=["scheduling.client.*"], document="{ serverTime }")
    for _ in range(2):
        await api.client()

    assert await work(api) == {"delivered": 1, "repeated": 1, "abandoned": 0}

    assert sql(
        "SELECT attempts, attempts_before, next_attempt_at > clock_timestamp() FROM webhook_deliveries WHERE status = 'PENDING'"
    ) == [(1, 1, True)]
    assert sql("SELECT count(*) FROM webhook_attempts") == [(1,)]


async def test_a_dry_run_costs_what_its_document_costs(
    database: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    sql("INSERT INTO clients (business_id, first_name, last_name) VALUES (%s, 'a', 'b')", DEFAULT_BUSINESS)
    async with serving(database, API_KEYS="on", RATE_LIMIT="20000", ALLOWED_NETWORKS=LOOPBACK) as api:
        headers = await bearer(api, Role.ADMIN)

        async def left() -> float:
            await api.post("{ serverTime }", headers)
            assert api.cost is not None
            return float(api.cost["throttleStatus"]["currentlyAvailable"])

        async def spent(document: str) -> float:
            before = await left()
            tried = await api.post(TRY, headers, input={"type": "scheduling.client.created.v1", "document": document})
            assert tried["data"]["webhookDryRun"]["userErrors"] == []
            return before - await left()

        cheap, dear = "{ serverTime }", "{ clients(first: 100) { nodes { id firstName lastName email } } }"
        for document in (cheap, dear):
            await spent(document)  # nobody knows it yet

        assert await spent(dear) - await spent(cheap) > 400
        monkeypatch.setattr(Gate, "takes", lambda *_: asyncio.sleep(0, result=False))  # nothing is left
        tried = await api.post(TRY, headers, input={"type": "scheduling.client.created.v1", "document": dear})

    (refused,) = tried["data"]["webhookDryRun"]["userErrors"]
    assert refused["code"] == "RATE_LIMITED"
