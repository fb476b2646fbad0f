"""NATS: what was done is in the stream once and in order, whatever was restarted, and nobody waits for it."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from models.business import DEFAULT_BUSINESS
from server.database import connected
from server.settings import current
from server.workers import nats, relay
from tests.server.test_crash import until
from tests.server.test_worker import begun, ended, told, working
from tests.streams import Nats, streaming

Address = Callable[[str], None]
Sql = Callable[..., list[tuple[Any, ...]]]
CLIENTS = "INSERT INTO clients (business_id, first_name, last_name) SELECT %s, 'Charles', 'Babbage' FROM generate_series(1, %s)"
EVERY = "SELECT id::text FROM events ORDER BY position"
BEHIND = "SELECT count(*) FROM events WHERE position IS NULL OR position > (SELECT max(position) FROM outlet_positions)"
WITHIN = 30.0


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[Nats]:
    with streaming(tmp_path) as server:
        yield server


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Set where NATS is, for this process."""

    def set_address(url: str) -> None:
        monkeypatch.setenv("NATS_URL", url)
        current.cache_clear()

    yield set_address
    monkeypatch.undo()
    current.cache_clear()


async def passed(database: str) -> int:
    """Relay and publish what there is, as a worker does in a pass; how much was published."""
    worker = connected(database, pool_size=1, lanes=1)
    try:
        await relay.run_once(worker, asyncio.Event())
        return (await nats.run_once(worker, asyncio.Event()))["told"]
    finally:
        await worker.close()


async def ids(stream: Nats) -> list[str]:
    return [each.id for each in await stream.delivered()]


async def test_an_event_is_published_as_it_is_told_everywhere(
    database: str, sql: Sql, stream: Nats, address: Address
) -> None:
    address(stream.url)
    sql(CLIENTS, DEFAULT_BUSINESS, 1)

    published = await passed(database)

    ((key, client, at),) = sql(
        "SELECT id::text, aggregate_id::text, to_char(occurred_at, 'YYYY-MM-DD\"T\"HH24:MI:SS') FROM events"
    )
    (found,) = await stream.delivered()
    assert published == 1
    assert found.subject == f"holdfast.{DEFAULT_BUSINESS}.scheduling.client.created.v1"
    assert found.id == key
    body = json.loads(found.body)
    assert body.pop("occurred_at").startswith(at)
    assert body == {
        "id": key,
        "type": "scheduling.client.created.v1",
        "source": f"/businesses/{DEFAULT_BUSINESS}",
        "correlation_id": None,
        "data": {"id": client, "version": 1},
    }


async def test_what_was_published_and_not_recorded_is_not_there_twice(
    database: str, sql: Sql, stream: Nats, address: Address
) -> None:
    address(stream.url)
    sql(CLIENTS, DEFAULT_BUSINESS, 450)
    assert await passed(database) == 450
    sql(CLIENTS, DEFAULT_BUSINESS, 10)

    for position in (449, 300, 0):  # as if whoever published them had died
        sql("UPDATE outlet_positions SET position = %s", position)
        assert await passed(database) == 460 - position

        assert await ids(stream) == [key for (key,) in sql(EVERY)]
        assert sql("SELECT name, position, claimed_by FROM outlet_positions") == [("nats", 460, None)]


async def test_one_publisher_at_a_time(database: str, sql: Sql, stream: Nats, address: Address) -> None:
    address(stream.url)
    sql(CLIENTS, DEFAULT_BUSINESS, 1)
    sql("INSERT INTO outlet_positions VALUES ('nats', 0, uuidv7(), clock_timestamp() + interval '1 hour')")
    assert await passed(database) == 0

    sql("UPDATE outlet_positions SET claimed_until = clock_timestamp()")  # it has died

    assert await passed(database) == 1


def test_a_server_that_is_away_is_told_once_and_misses_nothing(
    database: str, sql: Sql, stream: Nats, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NATS_URL", stream.url)
        with working(database, log):
            sql(CLIENTS, DEFAULT_BUSINESS, 5)
            until(lambda: sql(BEHIND) == [(0,)], within=WITHIN)
            stream.stop()
            sql(CLIENTS, DEFAULT_BUSINESS, 300)
            until(lambda: sql("SELECT count(*) FROM events WHERE position IS NULL") == [(0,)], within=WITHIN)
            until(lambda: bool(told(log, "a pass failed and is tried again")), within=WITHIN)
            stream.start()
            sql(CLIENTS, DEFAULT_BUSINESS, 5)

            until(lambda: sql(BEHIND) == [(0,)], within=WITHIN)

    assert asyncio.run(ids(stream)) == [key for (key,) in sql(EVERY)]
    (failure,) = told(log, "a pass failed and is tried again")
    assert failure["loop"] == "nats"
    assert failure["problem"].startswith("NATS ")


def test_what_nobody_listens_to_is_one_sentence(database: str, sql: Sql) -> None:
    sql(CLIENTS, DEFAULT_BUSINESS, 1)

    done = ended(begun(database, "--once", NATS_URL="nats://user:secret@127.0.0.1:9"))

    assert done.code == 2
    assert done.errors.splitlines()[-1].startswith("nats: NATS cannot be used: ")
    assert "secret" not in done.errors + done.output
    assert sql("SELECT position, claimed_by FROM outlet_positions") == [(0, None)]


async def test_without_an_address_nothing_is_claimed(database: str, sql: Sql, address: Address) -> None:
    address("")
    sql(CLIENTS, DEFAULT_BUSINESS, 1)

    assert await passed(database) == 0

    assert sql("SELECT count(*) FROM outlet_positions") == [(0,)]
    assert sql("SELECT position FROM events") == [(1,)]
