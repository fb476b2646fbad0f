"""Idempotency keys: one key is one request, whoever comes at once, however it ended, and only for as long as it is kept."""

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import decode
from tests.conftest import CANCEL, CONFIRM, PUBLISH, Api

Sql = Callable[..., list[tuple[Any, ...]]]
HOUR = {"startTime": "2027-05-03T09:00:00Z", "endTime": "2027-05-03T10:00:00Z"}
REPLAYED = {"idempotentReplay": True}
CREATE = """mutation ($input: ClientCreateInput!) {
  clientCreate(input: $input) { client { id firstName } userErrors { code field message } } }"""
AGED = """INSERT INTO idempotency_keys (business_id, principal, key, request_hash, result_id, created_at)
SELECT %s, principal, 'key ' || n, sha256('x'), uuidv7(), clock_timestamp() - %s::interval - n * interval '1 second'
  FROM generate_series(1, %s) n, unnest(ARRAY['anonymous', 'somebody']) principal"""
COUNT = "SELECT count(*) FROM idempotency_keys WHERE created_at < clock_timestamp() - interval '24:00:00'"


def key_of(identity: str) -> UUID:
    return decode(identity)[1]


def codes(payload: Any) -> list[str]:
    return [error["code"] for error in payload["userErrors"]]


async def publish_both(api: Api, providers: list[str], key: str) -> list[dict[str, Any]]:
    """Submit the same hour for each provider at once, under one key."""
    wishes = [{"providerId": provider, **HOUR, "idempotencyKey": key} for provider in providers]
    return await asyncio.gather(*(api.post(PUBLISH, input=wish) for wish in wishes))


def assert_one_was_published(sql: Sql, providers: list[str], answers: list[dict[str, Any]]) -> None:
    assert [answer for answer in answers if "errors" in answer] == []
    payloads = [answer["data"]["appointmentBulkCreate"] for answer in answers]
    assert sorted((codes(payload), payload["created"]) for payload in payloads) == [
        ([], 4),
        (["IDEMPOTENCY_KEY_REUSED"], 0),
    ]
    written = [
        sql("SELECT count(*) FROM appointments WHERE provider_id = %s", key_of(provider))[0][0]
        for provider in providers
    ]
    assert written == [payload["created"] for payload in payloads]


async def test_of_two_bulks_at_once_under_one_key_one_is_done_and_the_other_refused(api: Api, sql: Sql) -> None:
    for n in range(10):
        providers = [await api.provider(), await api.provider("Grace", "Hopper")]

        answers = await publish_both(api, providers, f"race {n}")

        assert_one_was_published(sql, providers, answers)
    assert sql("SELECT count(*) FROM idempotency_keys") == [(10,)]
    assert sql("SELECT count(*) FROM events WHERE type = 'scheduling.appointment.created.v1'") == [(10,)]


async def test_so_it_is_if_neither_could_see_the_key_of_the_other(api: Api, sql: Sql, database: str) -> None:
    providers = [await api.provider(), await api.provider("Grace", "Hopper")]
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    with psycopg.connect(database) as guard:
        guard.execute("LOCK TABLE idempotency_keys IN SHARE ROW EXCLUSIVE MODE")  # to be read, not yet to be written
        both = asyncio.ensure_future(publish_both(api, providers, "once"))
        async with asyncio.timeout(2):
            while sql(waiting) != [(2,)]:  # noqa: ASYNC110 -- it is PostgreSQL that we wait for
                await asyncio.sleep(0.01)
    answers = await both

    assert_one_was_published(sql, providers, answers)


@pytest.mark.parametrize("names", [("Mary", "Mary"), ("Mary", "Jane")], ids=["the same", "another"])
async def test_of_ten_clients_at_once_under_one_key_one_is_made(api: Api, sql: Sql, names: tuple[str, str]) -> None:
    wishes = [{"firstName": names[n % 2], "lastName": "Shelley", "idempotencyKey": "once"} for n in range(10)]

    answers = await asyncio.gather(*(api.post(CREATE, input=wish) for wish in wishes))

    assert [answer for answer in answers if "errors" in answer] == []
    assert sql("SELECT count(*) FROM clients") == [(1,)]
    ((made,),) = sql("SELECT first_name FROM clients")
    for wish, answer in zip(wishes, answers, strict=True):
        payload = answer["data"]["clientCreate"]
        if wish["firstName"] == made:
            assert (payload["client"]["firstName"], codes(payload)) == (made, [])
        else:
            assert (payload["client"], codes(payload)) == (None, ["IDEMPOTENCY_KEY_REUSED"])
    assert sum("extensions" not in answer for answer in answers) == 1 + sum(
        wish["firstName"] != made for wish in wishes
    )


async def held_twice(api: Api) -> list[str]:
    """Two reservations that are held."""
    ada, charles = await api.provider(), await api.client()
    quarters = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T09:30:00Z")
    return [(await api.reserve(charles, quarter))["reservation"]["id"] for quarter in quarters]


@pytest.mark.parametrize(("name", "document"), [("Confirm", CONFIRM), ("Cancel", CANCEL)])
async def test_a_key_under_which_nothing_was_left_to_do_is_kept_all_the_same(
    api: Api, sql: Sql, name: str, document: str
) -> None:
    first, second = await held_twice(api)
    await api.post(document, input={"reservationId": first})
    wish = {"reservationId": first, "idempotencyKey": "once"}

    again = await api.post(document, input=wish)
    once_more = await api.post(document, input=wish)
    other = await api.post(document, input={**wish, "reservationId": second})

    assert again["data"][f"reservation{name}"]["userErrors"] == []
    assert again["data"][f"reservation{name}"]["reservation"]["id"] == first
    assert once_more["data"] == again["data"]
    assert [answer.get("extensions") for answer in (again, once_more)] == [None, REPLAYED]
    refused = other["data"][f"reservation{name}"]
    assert (refused["reservation"], codes(refused)) == (None, ["IDEMPOTENCY_KEY_REUSED"])
    assert sql("SELECT status, version FROM reservations WHERE id = %s", key_of(second)) == [("HELD", 1)]
    assert sql("SELECT key, result_id FROM idempotency_keys") == [("once", key_of(first))]
    done = f"scheduling.reservation.{name.lower()}{'l' if name == 'Cancel' else ''}ed.v1"
    assert sql("SELECT count(*) FROM events WHERE type = %s", done) == [(1,)]


@pytest.mark.parametrize(("name", "document"), [("Confirm", CONFIRM), ("Cancel", CANCEL)])
async def test_twins_for_whom_nothing_was_left_to_do_get_the_same_answer(
    api: Api, sql: Sql, name: str, document: str
) -> None:
    first, _ = await held_twice(api)
    await api.post(document, input={"reservationId": first})
    before = sql("SELECT * FROM reservations ORDER BY id")

    for n in range(5):
        twins = await asyncio.gather(
            *(api.post(document, input={"reservationId": first, "idempotencyKey": f"twin {n}"}) for _ in range(4))
        )

        assert [answer["data"] for answer in twins] == [twins[0]["data"]] * 4
        assert codes(twins[0]["data"][f"reservation{name}"]) == []
    assert sql("SELECT * FROM reservations ORDER BY id") == before
    assert sql("SELECT count(*) FROM idempotency_keys") == [(5,)]


@pytest.mark.parametrize(("name", "document"), [("Confirm", CONFIRM), ("Cancel", CANCEL)])
async def test_of_two_at_once_for_whom_nothing_was_left_to_do_one_has_the_key(
    api: Api, name: str, document: str
) -> None:
    both = await held_twice(api)
    for reservation in both:
        await api.post(document, input={"reservationId": reservation})

    for n in range(5):
        wishes = [{"reservationId": reservation, "idempotencyKey": f"one {n}"} for reservation in both]
        answers = await asyncio.gather(*(api.post(document, input=wish) for wish in wishes))

        told = sorted(codes(answer["data"][f"reservation{name}"]) for answer in answers)
        assert told == [[], ["IDEMPOTENCY_KEY_REUSED"]]


async def test_a_row_that_is_gone_is_said_to_be_gone_and_not_made_again(api: Api, sql: Sql) -> None:
    wish = {"firstName": "Mary", "lastName": "Shelley", "idempotencyKey": "once"}
    silent = "mutation ($input: ClientCreateInput!) { clientCreate(input: $input) { client { id } } }"
    made = await api.post(CREATE, input=wish)
    sql("DELETE FROM clients WHERE id = %s", key_of(made["data"]["clientCreate"]["client"]["id"]))

    told, silently = await api.post(CREATE, input=wish), await api.post(silent, input=wish)

    assert (told["data"]["clientCreate"]["client"], codes(told["data"]["clientCreate"])) == (None, ["NOT_FOUND"])
    assert [error["extensions"]["code"] for error in silently["errors"]] == ["NOT_FOUND"]
    assert silently["data"] is None
    assert sql("SELECT count(*) FROM clients") == [(0,)]
    assert sql("SELECT key FROM idempotency_keys") == [("once",)]


async def test_old_keys_go_a_few_with_each_new_one_and_young_ones_stay(api: Api, sql: Sql) -> None:
    sql("SET session_replication_role = replica")  # or a key would be stamped with the time of now
    sql(AGED, DEFAULT_BUSINESS, "25:00:00", 500)
    sql(AGED.replace("'key '", "'young '"), DEFAULT_BUSINESS, "23:00:00", 5)
    sql("SET session_replication_role = origin")
    left = [1_000]

    for n in range(3):
        await api.post(CREATE, input={"firstName": "A", "lastName": "B", "idempotencyKey": f"new {n}"})
        left.append(sql(COUNT)[0][0])
    assert 900 < left[3] < left[2] < left[1] < 1_000

    ((oldest,),) = sql("SELECT max(length(key)) FROM idempotency_keys WHERE key LIKE 'key %%'")
    assert oldest == len("key 500")
    sql("DELETE FROM idempotency_keys WHERE key LIKE 'key %%' AND key NOT IN ('key 1', 'key 2', 'key 3')")
    for n in range(6):
        await api.post(CREATE, input={"firstName": "A", "lastName": "B", "idempotencyKey": f"newer {n}"})

    assert sql(COUNT) == [(0,)]
    assert sql("SELECT split_part(key, ' ', 1), count(*) FROM idempotency_keys GROUP BY 1 ORDER BY 1") == [
        ("new", 3),
        ("newer", 6),
        ("young", 10),
    ]


async def test_a_key_that_is_kept_too_long_is_used_for_the_first_time(api: Api, sql: Sql) -> None:
    mary = {"firstName": "Mary", "lastName": "Shelley", "idempotencyKey": "once"}
    await api.post(CREATE, input=mary)
    sql("ALTER TABLE idempotency_keys DISABLE TRIGGER USER")
    sql("UPDATE idempotency_keys SET created_at = created_at - interval '25:00:00'")
    sql("ALTER TABLE idempotency_keys ENABLE TRIGGER USER")

    jane = await api.post(CREATE, input={**mary, "firstName": "Jane"})

    assert jane["data"]["clientCreate"]["client"]["firstName"] == "Jane"
    assert "extensions" not in jane
    assert sql("SELECT count(*), bool_and(created_at > clock_timestamp() - interval '5 s') FROM idempotency_keys") == [
        (1, True)
    ]


@pytest.mark.parametrize("key", ["once", "k" * 255])
async def test_two_mutations_of_a_document_share_the_key_of_the_header(api: Api, sql: Sql, key: str) -> None:
    both = """mutation {
      mary: clientCreate(input: {firstName: "Mary", lastName: "Shelley"}) { client { id } userErrors { code } }
      jane: clientCreate(input: {firstName: "Jane", lastName: "Austen"}) { client { id } userErrors { code } }
      providerCreate(input: {firstName: "Ada", lastName: "Lovelace"}) { provider { id } userErrors { code } }
    }"""
    header = {"idempotency-key": key}

    first = await api.post(both, header)
    second = await api.post(both, header)
    other = await api.post(both.replace("Jane", "John"), header)

    assert [payload["userErrors"] for payload in first["data"].values()] == [[], [], []]
    assert first["data"]["mary"] != first["data"]["jane"]
    assert second["data"] == first["data"]
    assert (first.get("extensions"), second["extensions"]) == (None, REPLAYED)
    assert {name: codes(payload) for name, payload in other["data"].items()} == {
        "mary": [],
        "jane": ["IDEMPOTENCY_KEY_REUSED"],
        "providerCreate": [],
    }
    assert sql("SELECT first_name FROM clients ORDER BY id") == [("Mary",), ("Jane",)]
    assert sql("SELECT count(*) FROM providers") == [(1,)]
