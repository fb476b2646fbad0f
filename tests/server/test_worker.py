"""The background worker: what is due is published once, whoever is at it, whatever is killed, and nobody is kept waiting."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest

from models.business import DEFAULT_BUSINESS
from server.worker import FEW, LOOPS
from tests.conftest import ROOT, Running, running
from tests.server.test_crash import children, runs, until

Sql = Callable[..., list[tuple[Any, ...]]]

DAYS, A_DAY = 60, 8
WITHIN = 30.0  # it begins slowly where many tests share a machine
# A few providers work from tomorrow on, eight hours of each day, and nothing of it is published yet.
PEOPLE = """
WITH people AS (
    INSERT INTO providers (business_id, first_name, last_name) SELECT %s, 'P' || n, 'Provider' FROM generate_series(1, %s) n
    RETURNING business_id, id
), rules AS (
    INSERT INTO availability_rules
           (business_id, provider_id, weekday, starts_minute, ends_minute, slot_minutes, time_zone, valid_from)
    SELECT business_id, id, day, 540, 1020, 60, 'UTC', date(clock_timestamp()) + 1 FROM people, generate_series(1, 7) day
)
INSERT INTO publications (business_id, provider_id, published_until, zones)
SELECT business_id, id, clock_timestamp(), '' FROM people RETURNING provider_id"""
PUBLISHED = "SELECT count(*), count(DISTINCT (provider_id, starts_at)) FROM appointments"
OF_EACH = "SELECT count(*) FROM appointments GROUP BY business_id, provider_id"
CLIENT = "INSERT INTO clients (business_id, first_name, last_name) VALUES (%s, 'Charles', 'Babbage') RETURNING id"
RESERVE = "INSERT INTO reservations (business_id, client_id, appointment_id) VALUES (%s, %s, %s) RETURNING id"
CONNECTED = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'holdfast'"


@pytest.fixture
def practice(sql: Sql) -> Callable[[int], list[UUID]]:
    """Providers of a business that publishes 60 days ahead."""

    def make(providers: int, business: UUID = DEFAULT_BUSINESS) -> list[UUID]:
        sql("UPDATE businesses SET publication_days = %s WHERE id = %s", DAYS, business)
        return [key for (key,) in sql(PEOPLE, business, providers)]

    return make


Practice = Callable[..., list[UUID]]


@dataclass
class Done:
    """What a worker that ran once has said."""

    code: int
    output: str
    errors: str

    @property
    def publication(self) -> dict[str, int]:
        """How many of what, as it is printed."""
        return {what: int(count) for count, what in re.findall(r"(\d+) (\w+)", self.output.partition("\n")[0])}

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.errors.splitlines() if line.startswith("{")]


def begun(database: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "server", "worker", *arguments]
    given = {**os.environ, "DATABASE_URL": database, **environment}
    return subprocess.Popen(command, cwd=ROOT, env=given, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def ended(process: subprocess.Popen[str]) -> Done:
    with process:
        try:
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    return Done(process.returncode, output, errors)


def once(database: str) -> Done:
    return ended(begun(database, "--once"))


@contextmanager
def working(database: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that goes on until it is stopped, and its log."""
    command = [sys.executable, "-m", "server", "worker"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "DATABASE_URL": database}, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def told(log: Path, event: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def counts(published: int = 0, removed: int = 0, affected: int = 0, failed: int = 0) -> dict[str, int]:
    return {"published": published, "removed": removed, "affected": affected, "failed": failed}


def background(server: Running) -> list[int]:
    return [pid for pid, command in children(server.process.pid).items() if b"\0--child\0" in command]


def test_the_horizon_moves_on_with_time(database: str, sql: Sql, practice: Practice) -> None:
    practice(3)
    assert once(database).publication == counts(published=3 * DAYS * A_DAY)
    first = sql("SELECT id FROM appointments ORDER BY id")
    sql("UPDATE businesses SET publication_days = publication_days + 7")  # as if a week had gone by

    done = once(database)

    assert (done.code, done.publication) == (0, counts(published=3 * 7 * A_DAY))
    assert sql("SELECT id FROM appointments WHERE id <= %s ORDER BY id", first[-1][0]) == first
    assert sql(OF_EACH) == [((DAYS + 7) * A_DAY,)] * 3
    assert sql(
        "SELECT DISTINCT published_until = date_trunc('day', clock_timestamp(), 'UTC') + make_interval(hours => 24 * %s)"
        " FROM publications",
        DAYS + 7 + 1,
    ) == [(True,)]


def test_a_second_run_changes_nothing(database: str, sql: Sql, practice: Practice) -> None:
    practice(3)
    once(database)
    state = "SELECT count(*), max(xmin::text::bigint) FROM {}"
    before = [sql(state.format(table)) for table in ("appointments", "publications", "events")]

    done = once(database)

    assert (done.code, done.publication, done.errors) == (0, counts(), "")
    assert [sql(state.format(table)) for table in ("appointments", "publications", "events")] == before


def test_a_pass_is_one_line_of_the_log(database: str, practice: Practice) -> None:
    practice(2)

    (line,) = once(database).lines

    assert line.pop("ms") > 0
    assert line.pop("timestamp")
    assert line == {
        "event": "worked",
        "level": "info",
        "logger": "holdfast.worker",
        "loop": "publication",
        **counts(published=2 * DAYS * A_DAY),
    }


def test_what_was_shown_long_ago_is_forgotten(database: str, sql: Sql, practice: Practice) -> None:
    (provider,) = practice(1)
    sql(
        "INSERT INTO exposures (business_id, seed, appointment_id, provider_id, shown_at)"
        " SELECT %s, days, uuidv7(), %s, clock_timestamp() - make_interval(hours => 24 * days)"
        " FROM unnest(ARRAY[0, 89, 91, 400]) days",
        DEFAULT_BUSINESS,
        provider,
    )

    done = once(database)

    assert (done.code, done.output.splitlines()[1]) == (0, "exposures: 2 pruned")
    assert sql("SELECT seed FROM exposures ORDER BY seed") == [("0",), ("89",)]
    assert {line["loop"] for line in done.lines} == {"publication", "exposures"}
    assert once(database).output.splitlines()[1] == "exposures: 0 pruned"


def test_three_at_once_publish_everything_once(database: str, sql: Sql, practice: Practice) -> None:
    practice(200)
    total = 200 * DAYS * A_DAY

    done = [ended(process) for process in [begun(database, "--once") for _ in range(3)]]

    assert [(each.code, each.publication["failed"]) for each in done] == [(0, 0)] * 3
    assert sum(each.publication["published"] for each in done) == total
    assert sql(PUBLISHED) == [(total, total)]
    assert [line["event"] for each in done for line in each.lines if line["level"] != "info"] == []


def test_providers_in_the_hands_of_another_worker_are_left_to_it(database: str, sql: Sql, practice: Practice) -> None:
    taken, *_ = sorted(practice(3))
    with psycopg.connect(database) as other:
        other.execute("SELECT FROM providers WHERE id = %s FOR NO KEY UPDATE", [taken])

        done = once(database)

        assert (done.code, done.publication) == (0, counts(published=2 * DAYS * A_DAY))
        assert sql("SELECT count(*) FROM appointments WHERE provider_id = %s", taken) == [(0,)]

    assert once(database).publication == counts(published=DAYS * A_DAY)


def test_a_killed_worker_leaves_nobody_half_published(
    database: str, sql: Sql, practice: Practice, tmp_path: Path
) -> None:
    practice(400)
    with working(database, tmp_path / "worker.log") as process:
        until(lambda: sql(PUBLISHED)[0][0] > 0, within=WITHIN)

        process.kill()

        process.wait()
    until(lambda: sql(CONNECTED) == [], within=WITHIN)
    whole = sql(OF_EACH)

    done = once(database)

    assert set(whole) == {(DAYS * A_DAY,)}
    assert done.code == 0
    assert done.publication == counts(published=(400 - len(whole)) * DAYS * A_DAY)
    assert sql(OF_EACH) == [(DAYS * A_DAY,)] * 400


def test_a_worker_that_is_stopped_finishes_what_it_has_in_hand(
    database: str, sql: Sql, practice: Practice, tmp_path: Path
) -> None:
    practice(400)
    with working(database, tmp_path / "worker.log") as process:
        until(lambda: sql(PUBLISHED)[0][0] > 0, within=WITHIN)

        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
    (line,) = told(tmp_path / "worker.log", "worked")
    assert line["published"] == sql(PUBLISHED)[0][0] < 400 * DAYS * A_DAY
    assert set(sql(OF_EACH)) == {(DAYS * A_DAY,)}


def test_what_cannot_be_published_of_one_business_keeps_no_other_waiting(
    database: str, sql: Sql, practice: Practice
) -> None:
    practice(1)
    sql("UPDATE availability_rules SET starts_minute = 0, ends_minute = 1440, slot_minutes = 1")
    sql("UPDATE businesses SET publication_days = 366")  # more than half a million times
    ((other,),) = sql("INSERT INTO businesses (name) VALUES ('Elsewhere') RETURNING id")
    practice(2, other)

    done = once(database)

    assert done.code == 2
    (said,) = [line for line in done.errors.splitlines() if line.startswith("publication: ")]
    assert re.findall(r"\d+ \w+", said) == [
        *(f"{2 * DAYS * A_DAY} published", "0 removed", "0 affected", "1 failed"),
    ]
    assert [line["business"] for line in done.lines if line["level"] == "error"] == [str(DEFAULT_BUSINESS)]
    assert sql("SELECT business_id, count(*) FROM appointments GROUP BY business_id") == [(other, 2 * DAYS * A_DAY)]


def test_a_new_database_of_time_zones_moves_what_is_free_and_reports_what_is_booked(
    database: str, sql: Sql, practice: Practice
) -> None:
    (provider,) = practice(1)
    once(database)
    ((client,),) = sql(CLIENT, DEFAULT_BUSINESS)
    at = "SELECT id FROM appointments WHERE starts_at = date_trunc('day', clock_timestamp(), 'UTC') + %s::interval"
    ((free,),), ((booked,),) = sql(at, "10 days 09:00"), sql(at, "11 days 09:00")
    ((reservation,),) = sql(RESERVE, DEFAULT_BUSINESS, client, booked)
    _shift(sql, free, booked)
    events = sql("SELECT max(seq) FROM events")[0][0]

    done = once(database)

    # Where the booked one now stands, half an hour too early, its proper time cannot be offered.
    assert (done.code, done.publication) == (0, counts(published=1, removed=1, affected=1))
    assert sql("SELECT 1 FROM appointments WHERE id = %s", free) == []
    assert len(sql(at, "10 days 09:00")) == 1
    assert sql("SELECT id FROM appointments WHERE withdrawn_at IS NOT NULL") == [(booked,)]
    assert sql("SELECT status FROM reservations WHERE id = %s", reservation) == [("HELD",)]
    assert sql(
        "SELECT type, aggregate_id, actor FROM events WHERE seq > %s AND type LIKE %s", events, "%outdated%"
    ) == [("scheduling.appointment.outdated.v1", booked, "worker")]
    assert sql("SELECT DISTINCT actor FROM events WHERE seq > %s", events) == [("worker",)]
    (line,) = [line for line in done.lines if line["level"] == "warning"]
    assert (line["event"], line["business"], line["reservations"]) == (
        *("reservations no longer fit", str(DEFAULT_BUSINESS), 1),
    )
    assert sql("SELECT zones <> 'older' FROM publications WHERE provider_id = %s", provider) == [(True,)]
    assert once(database).publication == counts()


def _shift(sql: Sql, *appointments: UUID) -> None:
    """Make it so as if another database of time zones had said when they begin."""
    sql("SET session_replication_role = replica")
    for table, key, columns in (
        ("appointments", "id", ("starts_at", "ends_at")),
        ("reservations", "appointment_id", ("starts_at", "ends_at", "busy_from", "busy_until")),
    ):
        moved = ", ".join(f"{column} = {column} - interval '30 minutes'" for column in columns)
        sql(f"UPDATE {table} SET {moved} WHERE {key} = ANY (%s)", list(appointments))
    sql("SET session_replication_role = origin")
    sql("UPDATE publications SET zones = 'older'")


@pytest.mark.parametrize("arguments", [(), ("--once",)])
def test_outdated_migrations_are_refused(
    database: str, sql: Sql, practice: Practice, arguments: tuple[str, ...]
) -> None:
    practice(1)
    sql("UPDATE alembic_version SET version_num = '0011'")

    done = ended(begun(database, *arguments))

    assert done.code == 2
    assert done.output == ""
    assert done.errors == (
        "The migrations of the database are not current: run `python -m server migrate` before the worker.\n"
    )
    assert sql(PUBLISHED) == [(0, 0)]


def test_no_transaction_is_open_while_it_sleeps_and_it_stops_at_once(
    database: str, sql: Sql, practice: Practice, tmp_path: Path
) -> None:
    practice(1)
    with working(database, tmp_path / "worker.log") as process:
        until(lambda: len(told(tmp_path / "worker.log", "worked")) == 1, within=WITHIN)
        until(lambda: 1 <= len(sql(CONNECTED)) <= FEW, within=WITHIN)  # of what is done often
        kept = sql(CONNECTED)
        assert sql(f"{CONNECTED} AND state LIKE 'idle in transaction%'") == []
        until(lambda: sql("SELECT count(*) FROM events WHERE relayed_at IS NULL") == [(0,)], within=WITHIN)
        assert set(sql(CONNECTED)) >= set(kept)

        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
    until(lambda: sql(CONNECTED) == [], within=WITHIN)
    assert [line["level"] for line in map(json.loads, (tmp_path / "worker.log").read_text().splitlines())] == ["info"]


def test_a_database_that_is_away_is_told_once_and_tried_again(
    database: str, cluster: str, sql: Sql, practice: Practice, tmp_path: Path
) -> None:
    practice(1)
    log, name = tmp_path / "worker.log", psycopg.conninfo.conninfo_to_dict(database)["dbname"]
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        with working(database, log):
            until(lambda: bool(told(log, "a pass failed and is tried again")), within=WITHIN)
            assert sql(PUBLISHED) == [(0, 0)]
            admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

            until(lambda: len(told(log, "worked")) == 1, within=WITHIN)

    lines = [json.loads(line) for line in log.read_text().splitlines()]
    failed = [line for line in lines if line["level"] != "info"]
    loops = Counter(line["loop"] for line in failed)
    assert {"publication", "exposures", "relay", "holds"} <= loops.keys() <= LOOPS.keys()
    assert set(loops.values()) == {1}
    assert {line["problem"] for line in failed} == {"The database is out of reach for a moment; try again."}
    assert [line["published"] for line in lines if line not in failed] == [DAYS * A_DAY]


def test_a_server_has_one_of_its_own_that_comes_back_and_goes_with_it(
    database: str, sql: Sql, practice: Practice, tmp_path: Path
) -> None:
    practice(2)
    with running(tmp_path / "server.log", DATABASE_URL=database, BACKGROUND="on") as server:
        until(lambda: bool(told(tmp_path / "server.log", "worked")), within=WITHIN)
        (first,) = background(server)
        os.kill(first, signal.SIGKILL)
        until(lambda: background(server) not in ([], [first]), within=WITHIN)
        (second,) = background(server)
        metrics = httpx2.get(f"{server.url}/metrics").text

    assert server.process.returncode == 0
    assert not runs(second)
    assert f'holdfast_publication_total{{outcome="published"}} {2 * DAYS * A_DAY:.1f}' in metrics
    assert sql(PUBLISHED) == [(2 * DAYS * A_DAY,) * 2]


def test_a_killed_server_takes_its_worker_along(database: str, tmp_path: Path) -> None:
    with running(tmp_path / "server.log", DATABASE_URL=database, BACKGROUND="on") as server:
        (own,) = background(server)

        server.process.kill()

        until(lambda: not runs(own), within=10)


def test_a_server_without_one_leaves_it_to_others(database: str, sql: Sql, practice: Practice, tmp_path: Path) -> None:
    practice(1)
    with running(tmp_path / "server.log", DATABASE_URL=database, BACKGROUND="off") as server:
        metrics = httpx2.get(f"{server.url}/metrics").text

        assert background(server) == []
        assert len(children(server.process.pid)) > 0

    assert "holdfast_publication" not in metrics
    assert sql(PUBLISHED) == [(0, 0)]
