"""Many clients at once, over real HTTP and two workers: as many winners as there are places, and a clear no for the rest."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from tests.conftest import RESERVE, Running, running

Sql = Callable[..., list[tuple[Any, ...]]]
Answer = dict[str, Any]

TRIES = 20  # a machine with much else to do turns some away for a moment
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
PUBLISH = """INSERT INTO appointments (business_id, provider_id, starts_at, ends_at, capacity)
SELECT %s, %s, slot, slot + '15 minutes', %s FROM generate_series('2027-05-03 09:00Z'::timestamptz, %s, '15 minutes') slot
RETURNING id"""


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[Running]:
    """Two workers, who never run into a deadlock: each connection tells what it counted when it is closed."""
    with psycopg.connect(database, autocommit=True) as connection:
        before = connection.execute(DEADLOCKS).fetchone()
        with running(tmp_path / "server.log", DATABASE_URL=database, WORKERS="2") as process:
            yield process
        connection.execute("SELECT pg_stat_clear_snapshot()")
        assert connection.execute(DEADLOCKS).fetchone() == before


@pytest.fixture
async def http(server: Running) -> AsyncIterator[httpx2.AsyncClient]:
    """As many connections as there are clients."""
    limits = httpx2.Limits(max_connections=None, keepalive_expiry=3)  # before the server lets go of it
    async with httpx2.AsyncClient(base_url=server.url, limits=limits, timeout=30) as client:
        yield client


def people(sql: Sql, count: int) -> list[str]:
    found = sql(
        "INSERT INTO clients (business_id, first_name, last_name)"
        " SELECT %s, 'Charles', n::text FROM generate_series(1, %s) n RETURNING id",
        DEFAULT_BUSINESS,
        count,
    )
    return [encode("Client", key) for (key,) in found]


def publish(sql: Sql, until: str, capacity: int = 1) -> list[UUID]:
    ((provider,),) = sql(
        "INSERT INTO providers (business_id, first_name, last_name) VALUES (%s, 'Ada', 'Lovelace') RETURNING id",
        DEFAULT_BUSINESS,
    )
    return [key for (key,) in sql(PUBLISH, DEFAULT_BUSINESS, provider, capacity, until)]


def wish(client: str, appointment: UUID, key: str) -> Answer:
    return {"clientId": client, "appointmentId": encode("Appointment", appointment), "idempotencyKey": key}


async def all_at_once(http: httpx2.AsyncClient, wishes: Sequence[Answer]) -> list[Answer]:
    """Open every connection first, so that the requests come together."""
    await asyncio.gather(*(http.get("/livez") for _ in wishes))
    return await asyncio.gather(*(wished(http, wish) for wish in wishes))


async def wished(http: httpx2.AsyncClient, wish: Answer) -> Answer:
    """The answer to a wish; whoever is told to try again does so, under the same key."""
    for _ in range(TRIES):
        response = await http.post("/graphql", json={"query": RESERVE, "variables": {"input": wish}})
        answer: Answer = response.json()
        assert response.status_code == 200
        cost = answer["extensions"].pop("cost")
        assert cost["requestedQueryCost"] == cost["actualQueryCost"] > 0
        told = [error["extensions"] for error in answer.get("errors", ())]
        told += answer["data"]["reservationCreate"]["userErrors"] if answer["data"] else []
        if not any(error.get("retryable") for error in told):
            break
        assert answer["data"] is None or answer["data"]["reservationCreate"]["reservation"] is None
    assert "errors" not in answer
    return answer


def code(answer: Answer) -> str:
    """HELD, or the code of the one refusal."""
    payload = answer["data"]["reservationCreate"]
    if payload["reservation"]:
        assert payload["userErrors"] == []
        return str(payload["reservation"]["status"])
    (error,) = payload["userErrors"]
    return str(error["code"])


def claims(sql: Sql) -> tuple[int, int]:
    """How many live claims there are, and how many events of holding."""
    ((live, held),) = sql(
        "SELECT (SELECT count(*) FROM reservations WHERE live),"
        " (SELECT count(*) FROM events WHERE type = 'scheduling.reservation.held.v1')"
    )
    return live, held


async def test_150_clients_race_for_5_appointments(http: httpx2.AsyncClient, sql: Sql) -> None:
    times = publish(sql, "2027-05-03 12:00Z")
    wishes = [wish(client, times[n % 5], f"key {n}") for n, client in enumerate(people(sql, 150))]
    assert len(times) > 5 + 3

    answers = await all_at_once(http, wishes)

    assert Counter(map(code, answers)) == {"HELD": 5, "SLOT_UNAVAILABLE": 145}
    winners = {n for n, answer in enumerate(answers) if code(answer) == "HELD"}
    assert {n % 5 for n in winners} == set(range(5))
    for n, answer in enumerate(answers):
        if n not in winners:
            (error,) = answer["data"]["reservationCreate"]["userErrors"]
            assert 1 <= len(error["alternatives"]) <= 3
            assert wishes[n]["appointmentId"] not in [near["id"] for near in error["alternatives"]]
    assert claims(sql) == (5, 5)

    again = await all_at_once(http, wishes)

    assert Counter(map(code, again)) == {"HELD": 5, "SLOT_UNAVAILABLE": 145}
    for n in range(150):
        assert again[n]["extensions"] == ({"idempotentReplay": True} if n in winners else {})
        if n in winners:
            assert again[n]["data"] == answers[n]["data"]
    assert claims(sql) == (5, 5)
    assert sql("SELECT count(*), count(DISTINCT result_id) FROM idempotency_keys") == [(5, 5)]


async def test_200_clients_race_for_the_15_seats_of_a_group(http: httpx2.AsyncClient, sql: Sql) -> None:
    (group,) = publish(sql, "2027-05-03 09:00Z", capacity=15)
    wishes = [wish(client, group, str(uuid4())) for client in people(sql, 200)]

    answers = await all_at_once(http, wishes)

    assert Counter(map(code, answers)) == {"HELD": 15, "SLOT_UNAVAILABLE": 185}
    seats = [answer["data"]["reservationCreate"]["reservation"]["seat"] for answer in answers if code(answer) == "HELD"]
    assert sorted(seats) == list(range(1, 16))
    assert claims(sql) == (15, 15)


@pytest.mark.parametrize("capacity", [1, 15])
async def test_20_twins_make_one_reservation_and_get_the_same_answer(
    http: httpx2.AsyncClient, sql: Sql, capacity: int
) -> None:
    (time,) = publish(sql, "2027-05-03 09:00Z", capacity=capacity)
    (charles,) = people(sql, 1)

    answers = await all_at_once(http, [wish(charles, time, "once")] * 20)

    assert [answer["data"] for answer in answers] == [answers[0]["data"]] * 20
    assert code(answers[0]) == "HELD"
    assert [answer["extensions"] for answer in answers].count({"idempotentReplay": True}) == 19
    assert claims(sql) == (1, 1)
