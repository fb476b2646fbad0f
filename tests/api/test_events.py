"""The feed of events: whoever reads on from a cursor misses nothing, hears nothing twice, and hears of nobody else."""

import json
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from threading import Event
from typing import Any

import psycopg
import pytest
from psycopg.errors import CheckViolation, InsufficientPrivilege
from psycopg.types.json import Jsonb

from models.business import DEFAULT_BUSINESS
from models.viewer import Role
from tests.conftest import Api
from tests.keys import OTHER, another_business, bearer, data

Sql = Callable[..., list[tuple[Any, ...]]]
FEED = """query ($after: String, $first: Int, $types: [String!]) {
  events(after: $after, first: $first, types: $types) {
    nodes { id type source occurredAt correlationId data }
    edges { cursor node { id } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
    totalCount
  }
}"""
AVAILABILITY = (
    "SELECT aggregate_id, data FROM events WHERE type = 'user.team_member.availability.changed.v1' ORDER BY seq"
)
IDS = "query ($after: String) { events(after: $after, first: 100) { nodes { id } pageInfo { endCursor } } }"
WRITERS, EACH = 30, 12
CLIENT = "INSERT INTO clients (business_id, first_name, last_name) VALUES (%s, 'Charles', 'Babbage') RETURNING id"


def relay(sql: Sql, most: int = 500) -> int:
    ((relayed,),) = sql("SELECT relay_events(%s)", most)
    return int(relayed)


async def page(api: Api, **variables: Any) -> Any:
    return (await api(FEED, **variables))["events"]


async def test_a_change_is_told_as_it_is_told_everywhere(api: Api, sql: Sql) -> None:
    answer = await api.post(
        'mutation { clientCreate(input: {firstName: "Charles", lastName: "Babbage"}) { client { id } } }',
        {"x-request-id": "a-request"},
    )
    assert "errors" not in answer
    before = await page(api)

    assert relay(sql) == 1

    found = await page(api)
    ((key, client, at),) = sql("SELECT id::text, aggregate_id::text, occurred_at FROM events")
    assert (before["nodes"], before["pageInfo"]["endCursor"]) == ([], None)
    (node,) = found["nodes"]
    assert datetime.fromisoformat(node.pop("occurredAt")) == at
    assert node == {
        "id": key,
        "type": "scheduling.client.created.v1",
        "source": f"/businesses/{DEFAULT_BUSINESS}",
        "correlationId": "a-request",
        "data": {"id": client, "version": 1},
    }
    assert found["totalCount"] == 1


async def test_a_cursor_is_used_again_also_where_a_page_is_empty(api: Api, sql: Sql) -> None:
    keys = [await api.client() for _ in range(5)]
    relay(sql)

    first = await page(api, first=3)
    second = await page(api, first=3, after=first["pageInfo"]["endCursor"])
    empty = await page(api, after=second["pageInfo"]["endCursor"])
    await api.client()
    unrelayed = await page(api, after=empty["pageInfo"]["endCursor"])
    relay(sql)
    news = await page(api, after=unrelayed["pageInfo"]["endCursor"])

    assert len(keys) == 5
    assert [len(each["nodes"]) for each in (first, second, empty, unrelayed, news)] == [3, 2, 0, 0, 1]
    assert [each["pageInfo"]["hasNextPage"] for each in (first, second, empty)] == [True, False, False]
    assert empty["pageInfo"] == {
        "hasNextPage": False,
        "hasPreviousPage": True,
        "startCursor": None,
        "endCursor": second["pageInfo"]["endCursor"],
    }
    told = [node["id"] for each in (first, second, news) for node in each["nodes"]]
    assert told == [key for (key,) in sql("SELECT id::text FROM events ORDER BY seq")]
    assert first["edges"][-1]["cursor"] == first["pageInfo"]["endCursor"]


async def test_positions_beyond_what_an_int_counts_are_read_on_from(api: Api, sql: Sql) -> None:
    await api.client()
    sql("UPDATE events SET relayed_at = clock_timestamp(), position = 5000000000")
    await api.client()
    relay(sql)

    first = await page(api, first=1)
    second = await page(api, first=1, after=first["pageInfo"]["endCursor"])

    assert [len(each["nodes"]) for each in (first, second)] == [1, 1]
    assert sql("SELECT position FROM events ORDER BY position") == [(5_000_000_000,), (5_000_000_001,)]


async def test_only_the_types_that_are_asked_for(api: Api, sql: Sql) -> None:
    await api.client()
    await api.provider()
    await api.client()
    relay(sql)

    found = await page(api, types=["scheduling.provider.created.v1", "scheduling.reservation.held.v1"])
    none = await page(api, types=["scheduling.reservation.held.v1"], after=found["pageInfo"]["endCursor"])

    assert [node["type"] for node in found["nodes"]] == ["scheduling.provider.created.v1"]
    assert (none["nodes"], none["pageInfo"]["endCursor"]) == ([], found["pageInfo"]["endCursor"])


@pytest.mark.parametrize(
    ("variables", "field"),
    [
        ({"first": 0}, "first"),
        ({"first": 101}, "first"),
        ({"after": ""}, "after"),
        ({"after": "x" * 9000}, "after"),
        ({"after": "WyJldmVudHMrcG9zaXRpb24iLDkyMjMzNzIwMzY4NTQ3NzU4MDhd"}, "after"),  # of position 2^63
        ({"after": "WyJldmVudHMrcG9zaXRpb24iLCIxIl0"}, "after"),
        ({"types": []}, "types"),
        ({"types": ["scheduling.client.created.v1"] * 51}, "types"),
        ({"types": ["scheduling.client.created.v1", "%"]}, "types.1"),
        ({"types": ["a\0"]}, "types.0"),
    ],
)
async def test_a_bad_question_is_one_clear_sentence(api: Api, variables: dict[str, Any], field: str) -> None:
    (error,) = (await api.post(FEED, **variables))["errors"]

    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("INVALID_INPUT", field)


async def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    await api.client()
    other = (await api("{ clients { pageInfo { endCursor } } }"))["clients"]["pageInfo"]["endCursor"]

    (error,) = (await api.post(FEED, after=other))["errors"]

    assert error["extensions"]["code"] == "INVALID_INPUT"


async def test_readings_and_other_businesses_never_appear(api: Api, sql: Sql) -> None:
    another_business(sql)
    admin, theirs = await bearer(api, Role.ADMIN), await bearer(api, Role.ADMIN, business=OTHER)
    await api.client()
    await data(api, "{ clients { nodes { email phone firstName } } }", admin)
    sql(
        "INSERT INTO events (business_id, type, aggregate_id, data, relayed_at)"
        " VALUES (%s, 'audit.client.read.v1', uuidv7(), '{}', clock_timestamp())",
        DEFAULT_BUSINESS,
    )
    relay(sql)

    ours = (await data(api, FEED, admin))["events"]["nodes"]
    others = (await data(api, FEED, theirs))["events"]["nodes"]

    assert {node["source"] for node in ours} == {f"/businesses/{DEFAULT_BUSINESS}"}
    assert {node["source"] for node in others} == {f"/businesses/{OTHER}"}
    assert not [node for node in ours + others if node["type"].startswith("audit.")]
    assert len(ours) + len(others) == sql("SELECT count(position) FROM events")[0][0] > 0
    assert sql("SELECT count(*) FROM events WHERE type LIKE 'audit.%%' AND position IS NOT NULL") == [(0,)]


async def test_who_may_not_manage_may_not_listen(api: Api, sql: Sql) -> None:
    client, provider = await api.client(), await api.provider()
    persons = {Role.CLIENT: client, Role.PROVIDER: provider}
    for role in (Role.FRONT_DESK, Role.PROVIDER, Role.CLIENT):
        answer = await api.post(FEED, await bearer(api, role, person=persons.get(role)))
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    relay(sql)
    assert (await data(api, FEED, await bearer(api, Role.MANAGER)))["events"]["nodes"]


def test_a_position_is_for_ever_and_the_application_gives_none(sql: Sql, database: str) -> None:
    sql(CLIENT, DEFAULT_BUSINESS)
    relay(sql)
    with pytest.raises(CheckViolation):
        sql("UPDATE events SET position = 7")
    with (
        psycopg.connect(database, options="-c role=holdfast_app") as app,
        pytest.raises(InsufficientPrivilege),
    ):
        app.execute("UPDATE events SET relayed_at = NULL")
    assert sql("SELECT position, relayed_at IS NOT NULL FROM events") == [(1, True)]


def test_one_relay_at_a_time(sql: Sql, database: str) -> None:
    for _ in range(3):
        sql(CLIENT, DEFAULT_BUSINESS)
    with psycopg.connect(database) as other:
        assert other.execute("SELECT relay_events(2)").fetchone() == (2,)

        assert relay(sql) == 0

        other.rollback()
    assert relay(sql) == 3
    assert relay(sql) == 0
    assert sql("SELECT position FROM events ORDER BY seq") == [(1,), (2,), (3,)]


def test_listeners_hear_of_each_event_once_it_has_its_position(sql: Sql, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as listener:
        listener.execute("LISTEN holdfast_events")
        ((client,),) = sql(CLIENT, DEFAULT_BUSINESS)
        sql(
            "INSERT INTO events (business_id, type, aggregate_id, data) VALUES (%s, 'a.large.one.v1', %s, %s)",
            *(DEFAULT_BUSINESS, client, Jsonb({"ids": ["x" * 36] * 300})),
        )
        relay(sql)

        told = [json.loads(notice.payload) for notice in listener.notifies(timeout=5, stop_after=2)]

    rows = sql("SELECT position, id, occurred_at, data FROM events ORDER BY position")
    first, second = told
    assert first.keys() == {"position", "business_id", "id", "type", "aggregate_id", "occurred_at", "data"}
    assert second.keys() == first.keys() - {"data"}
    assert [(each["position"], each["id"]) for each in (first, second)] == [(n, str(key)) for n, key, *_ in rows]
    assert first["data"] == rows[0][3]
    assert datetime.fromisoformat(first["occurred_at"]) == rows[0][2]


async def test_one_event_tells_that_somebody_works_at_other_times(sql: Sql) -> None:
    ((ada,), (bob,)) = sql(
        "INSERT INTO providers (business_id, first_name, last_name) SELECT %s, n, n FROM unnest(ARRAY['Ada', 'Bob']) n"
        " RETURNING id",
        DEFAULT_BUSINESS,
    )
    rules = (
        "INSERT INTO availability_rules (business_id, provider_id, weekday, starts_minute, ends_minute, slot_minutes)"
        " SELECT %s, p, day, 540, 600, 60 FROM unnest(%s::uuid[]) p, generate_series(1, 5) day"
    )

    sql(rules, DEFAULT_BUSINESS, [ada, bob])
    both = sql(AVAILABILITY)
    sql("UPDATE availability_rules SET capacity = 2 WHERE provider_id = %s", ada)
    sql("DELETE FROM availability_rules WHERE provider_id = %s", bob)
    sql("DELETE FROM availability_rules WHERE provider_id = %s", bob)  # nothing is left
    sql(
        "INSERT INTO time_off (business_id, provider_id, starts_at, ends_at)"
        " VALUES (%s, %s, '2027-05-03 09:00Z', '2027-05-04 09:00Z')",
        *(DEFAULT_BUSINESS, ada),
    )
    sql(
        "INSERT INTO availability_exceptions (business_id, provider_id, date) VALUES (%s, %s, '2027-05-03')",
        *(DEFAULT_BUSINESS, bob),
    )

    assert sorted(both) == sorted([(ada, {"provider_id": str(ada)}), (bob, {"provider_id": str(bob)})])
    assert [key for key, _ in sql(AVAILABILITY)[2:]] == [ada, bob, ada, bob]


@pytest.fixture
def writing(database: str) -> Iterator[list[Future[None]]]:
    """Writers whose transactions are open for a while, and commit in another order than they began in."""

    def write(seed: int) -> None:
        chance = random.Random(seed)
        with psycopg.connect(database) as connection:
            for _ in range(EACH):
                connection.execute(CLIENT, [DEFAULT_BUSINESS])
                time.sleep(chance.choice((0.0, 0.01, 0.15)))
                connection.commit()

    with ThreadPoolExecutor(WRITERS) as pool:
        yield [pool.submit(write, seed) for seed in range(WRITERS)]


async def test_a_reader_misses_nothing_of_what_commits_late(
    api: Api, sql: Sql, database: str, writing: list[Future[None]]
) -> None:
    over = Event()

    def relays() -> None:
        with psycopg.connect(database, autocommit=True) as connection:
            while not over.is_set():
                connection.execute("SELECT relay_events(7)")

    naive: list[str] = []
    told: list[str] = []
    seq, cursor = 0, None
    with ThreadPoolExecutor(2) as pool:
        relaying = [pool.submit(relays) for _ in range(2)]
        is_over = False
        while not is_over or len(told) < WRITERS * EACH:
            is_over = all(each.done() for each in writing)
            seen = sql("SELECT seq, id::text FROM events WHERE seq > %s ORDER BY seq LIMIT 100", seq)
            seq = max((n for n, _ in seen), default=seq)
            naive += [key for _, key in seen]
            answer = (await api(IDS, after=cursor))["events"]
            told += [node["id"] for node in answer["nodes"]]
            cursor = answer["pageInfo"]["endCursor"]
        over.set()
        for each in (*relaying, *writing):
            each.result()

    every = [key for (key,) in sql("SELECT id::text FROM events ORDER BY position")]
    assert len(every) == WRITERS * EACH
    assert told == every
    assert len(naive) == len(set(naive)) < len(every)  # which is why nobody reads on from a seq
