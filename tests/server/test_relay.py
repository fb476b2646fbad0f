"""The relay: workers are killed again and again while events are written, and each event is told once and in order."""

import asyncio
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import psycopg
import pytest

from models.business import DEFAULT_BUSINESS
from tests.server.test_crash import until
from tests.server.test_nats import BEHIND, EVERY
from tests.server.test_worker import working
from tests.streams import Delivered, streaming

Sql = Callable[..., list[tuple[Any, ...]]]
KILLS, WORKERS, WRITERS = 9, 2, 3
PROVIDER = "INSERT INTO providers (business_id, first_name, last_name) VALUES (%s, 'Ada', 'Lovelace') RETURNING id"
CLIENT = "INSERT INTO clients (business_id, first_name, last_name) VALUES (%s, 'Charles', 'Babbage') RETURNING id"
PUBLISH = """INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
SELECT %s, %s, start, start + interval '5 minutes'
  FROM (SELECT timestamptz '2027-05-03 09:00Z' + make_interval(mins => 5 * n) FROM generate_series(1, %s) n) t(start)
RETURNING id"""
RESERVE = "INSERT INTO reservations (business_id, client_id, appointment_id) VALUES (%s, %s, %s) RETURNING id"
CHANGE = "UPDATE reservations SET status = %s WHERE business_id = %s AND id = %s"
LAPSED = """UPDATE reservations SET created_at = created_at - interval '31 minutes',
scheduled_at = scheduled_at - interval '31 minutes', expires_at = clock_timestamp() - interval '1 second'"""


@contextmanager
def load(database: str) -> Iterator[list[Future[int]]]:
    """Writers who hold, confirm and cancel, until they are told to stop."""
    over = Event()

    def write(provider: UUID, client: UUID) -> int:
        done = 0
        with psycopg.connect(database, autocommit=True) as connection:
            for (appointment,) in connection.execute(PUBLISH, [DEFAULT_BUSINESS, provider, 2000]).fetchall():
                if over.is_set():
                    break
                ((key,),) = connection.execute(RESERVE, [DEFAULT_BUSINESS, client, appointment]).fetchall()
                for status in ("CONFIRMED", "CANCELLED"):
                    connection.execute(CHANGE, [status, DEFAULT_BUSINESS, key])
                done += 1
                time.sleep(0.002)
        return done

    with psycopg.connect(database, autocommit=True) as founder:
        persons = [
            [founder.execute(each, [DEFAULT_BUSINESS]).fetchall()[0][0] for each in (PROVIDER, CLIENT)]
            for _ in range(WRITERS)
        ]
    with ThreadPoolExecutor(WRITERS) as pool:
        try:
            yield [pool.submit(write, *each) for each in persons]
        finally:
            over.set()


def test_nine_kills_lose_nothing_invent_nothing_and_keep_the_order(
    database: str, sql: Sql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as running, streaming(tmp_path) as stream:
        monkeypatch.setenv("NATS_URL", stream.url)
        logs = (tmp_path / f"worker-{n}.log" for n in range(WORKERS + KILLS))
        workers = [running.enter_context(working(database, next(logs))) for _ in range(WORKERS)]
        with load(database) as writers:
            until(lambda: sql("SELECT count(*) > 0 FROM outlet_positions WHERE position > 0") == [(True,)], within=30)
            for n in range(KILLS):
                time.sleep(0.7)
                workers[n % WORKERS].kill()
                workers[n % WORKERS] = running.enter_context(working(database, next(logs)))
        reservations = sum(writer.result() for writer in writers)
        until(lambda: sql(BEHIND) == [(0,)], within=30)
        delivered = asyncio.run(stream.delivered())

    sent = [key for (key,) in sql(EVERY)]
    told = Counter(each.id for each in delivered)
    figures = {
        "reservations": reservations,
        "sent": len(sent),
        "delivered": len(delivered),
        "lost": len(set(sent) - set(told)),
        "invented": sum((told - Counter(sent)).values()),
        "out of order": out_of_order(delivered),
    }
    sys.stdout.write(f"{figures}\n")  # shown by `pytest -rP`
    assert reservations > 50
    assert figures["sent"] == figures["delivered"] == 3 * reservations + 3 * WRITERS
    assert (figures["lost"], figures["invented"], figures["out of order"]) == (0, 0, 0)
    assert [each.id for each in delivered] == sent


def out_of_order(delivered: list[Delivered]) -> int:
    """How many events of a reservation came before an earlier one of it."""
    versions: dict[str, list[int]] = defaultdict(list)
    for each in delivered:
        data = json.loads(each.body)["data"]
        if ".scheduling.reservation." in each.subject:
            versions[data["id"]].append(data["version"])
    return sum(later < earlier for told in versions.values() for earlier, later in pairwise(told))


def test_a_hold_that_lapses_is_told_within_a_moment(database: str, sql: Sql, tmp_path: Path) -> None:
    ((provider,),), ((client,),) = sql(PROVIDER, DEFAULT_BUSINESS), sql(CLIENT, DEFAULT_BUSINESS)
    (appointment,), (other,) = sql(PUBLISH, DEFAULT_BUSINESS, provider, 2)
    ((lapsed,),) = sql(RESERVE, DEFAULT_BUSINESS, client, appointment)
    ((confirmed,),) = sql(RESERVE, DEFAULT_BUSINESS, client, other)
    sql(CHANGE, "CONFIRMED", DEFAULT_BUSINESS, confirmed)
    with working(database, tmp_path / "worker.log"):
        until(lambda: sql("SELECT count(*) FROM events WHERE position IS NULL") == [(0,)], within=30)
        sql("SET session_replication_role = replica")
        sql(f"{LAPSED} WHERE id = %s", lapsed)
        sql("SET session_replication_role = origin")

        until(lambda: sql("SELECT status FROM reservations WHERE id = %s", lapsed) == [("EXPIRED",)], within=10)

        until(lambda: sql("SELECT count(*) FROM events WHERE position IS NULL") == [(0,)], within=10)
    assert sql("SELECT type, aggregate_id, actor FROM events ORDER BY position DESC LIMIT 1") == [
        ("scheduling.reservation.expired.v1", lapsed, "worker")
    ]
    assert sql("SELECT status FROM reservations WHERE id = %s", confirmed) == [("CONFIRMED",)]
