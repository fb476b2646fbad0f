"""kill -9 of the database, of a worker and of everything, under load: nothing acknowledged is lost, nothing is booked twice."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote
from uuid import UUID

import httpx2
import psycopg
import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import decode, encode
from tests.conftest import RESERVE, Running, running

CLIENTS, APPOINTMENTS, AT_ONCE = 12_000, 6_000, 16
BACK_WITHIN, GONE_WITHIN, WHOLE_WITHIN = 3.0, 5.0, 15.0
SERVING_WITHIN = 60.0  # a worker begins slowly where many tests share a machine
MORE = 30  # acknowledged between two kills
KILLS = ["database", "worker", "database", "worker"]
TRY_AGAIN = ("UNAVAILABLE", "BUSY", "TIMEOUT")
PEOPLE = """INSERT INTO clients (business_id, first_name, last_name)
SELECT %s, 'Charles', 'Babbage' FROM generate_series(1, %s) RETURNING id"""
TIMES = """WITH ada AS (INSERT INTO providers (business_id, first_name, last_name) VALUES (%s, 'Ada', 'Lovelace') RETURNING *)
INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
SELECT ada.business_id, ada.id, '2027-05-03 09:00Z'::timestamptz + n * interval '00:15:00',
       '2027-05-03 09:15Z'::timestamptz + n * interval '00:15:00' FROM ada, generate_series(1, %s) n RETURNING id"""


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """The folder of one server after the other."""
    with TemporaryDirectory(prefix="holdfast-crash-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


def serve(data: Path, tmp_path: Path) -> contextlib.AbstractContextManager[Running]:
    """The server as an operator starts it: its own database, durable as delivered, and two workers."""
    return running(tmp_path / f"{time.monotonic_ns()}.log", DATA_DIR=str(data), DATABASE_URL="", WORKERS="2")


@contextlib.contextmanager
def connected(data: Path) -> Iterator[psycopg.Connection]:
    url = f"postgresql://postgres@/holdfast?host={quote(str(data / 'postgres'))}&port=5432"
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


def keys(connection: psycopg.Connection, statement: str, count: int) -> list[UUID]:
    return [key for (key,) in connection.execute(statement.encode(), [DEFAULT_BUSINESS, count])]


def children(parent: int) -> dict[int, bytes]:
    """The processes that a process started, and how: never found by a name that others' could have."""
    found = {}
    for path in Path(f"/proc/{parent}/task").glob("*/children"):
        for pid in map(int, path.read_text().split()):
            with contextlib.suppress(OSError):
                found[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()  # empty for one that is dead
    return {pid: command for pid, command in found.items() if command}


def workers(server: Running) -> list[int]:
    return [pid for pid, command in children(server.process.pid).items() if b"spawn_main" in command]


def postmaster(data: Path) -> int:
    return int((data / "postgres" / "postmaster.pid").read_text().split()[0])


def runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


def until(happened: Callable[[], bool], *, within: float) -> float:
    """How long it took."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() < began + within
        time.sleep(0.01)
    return time.monotonic() - began


@dataclass
class Load:
    """Clients who each want one appointment, two of them the same one, and who ask again until they are answered."""

    url: str
    clients: list[UUID]
    appointments: list[UUID]
    sent: int = 0
    tries: int = 0
    enough: bool = False
    acknowledged: dict[UUID, UUID] = field(default_factory=dict)  # by client
    refused: set[UUID] = field(default_factory=set)
    complaints: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        async with httpx2.AsyncClient(base_url=self.url, timeout=15) as http:
            await asyncio.gather(*(self._clients(http) for _ in range(AT_ONCE)))

    async def _clients(self, http: httpx2.AsyncClient) -> None:
        while not self.enough:
            n, self.sent = self.sent, self.sent + 1
            client, appointment = self.clients[n], self.appointments[n // 2]
            wish = {
                "clientId": encode("Client", client),
                "appointmentId": encode("Appointment", appointment),
                "idempotencyKey": str(client),
            }
            while not await self._answered(http, client, wish):  # noqa: ASYNC110 -- as a client would
                await asyncio.sleep(0.02)

    async def _answered(self, http: httpx2.AsyncClient, client: UUID, wish: dict[str, str]) -> bool:
        self.tries += 1
        try:
            response = await http.post("/graphql", json={"query": RESERVE, "variables": {"input": wish}})
        except httpx2.TransportError:
            return False
        answer = response.json()
        if response.status_code != 200 or "errors" in answer:
            self.complaints[f"{response.status_code} {answer.get('errors')}"] += 1
            return False
        payload = answer["data"]["reservationCreate"]
        if payload["reservation"]:
            _, self.acknowledged[client] = decode(payload["reservation"]["id"])
            return True
        (error,) = payload["userErrors"]
        if error["code"] in TRY_AGAIN:
            assert error["retryable"]
            return False
        assert error["code"] == "SLOT_UNAVAILABLE"
        self.refused.add(client)
        return True


async def back(url: str, is_new: Callable[[], bool]) -> float:
    """How long it takes until the API answers a new connection, out of what came in place of what was killed."""
    began = time.monotonic()
    while True:
        with contextlib.suppress(httpx2.TransportError, OSError, IndexError, ValueError):
            async with httpx2.AsyncClient(base_url=url, timeout=BACK_WITHIN) as http:
                response = await http.post("/graphql", json={"query": "{ serverTime }"})
                if is_new() and "errors" not in response.json():
                    return time.monotonic() - began
        assert time.monotonic() < began + WHOLE_WITHIN
        await asyncio.sleep(0.01)


async def kill(what: str, server: Running, data: Path) -> float:
    """Kill it, and tell how long the API did not answer."""
    if what == "worker":
        before = workers(server)
        os.kill(before[0], signal.SIGKILL)
        return await back(server.url, lambda: not runs(before[0]))
    old = postmaster(data)
    os.kill(old, signal.SIGKILL)
    return await back(server.url, lambda: postmaster(data) not in (old, 0) and not runs(old))


async def go_on(load: Load, server: Running, more: int) -> None:
    """Wait until as many more are served, and both workers serve: one that was just begun does not yet."""
    goal, deadline = len(load.acknowledged) + more, time.monotonic() + WHOLE_WITHIN
    while len(load.acknowledged) < goal or len(workers(server)) < 2:
        assert time.monotonic() < deadline, load
        await asyncio.sleep(0.05)
    async with httpx2.AsyncClient(base_url=server.url) as http, asyncio.timeout(SERVING_WITHIN):
        while not await is_whole(http):  # noqa: ASYNC110 -- it happens in another process
            await asyncio.sleep(0.05)


async def is_whole(http: httpx2.AsyncClient) -> bool:
    with contextlib.suppress(httpx2.TransportError):
        return "\nholdfast_workers 2\n" in (await http.get("/metrics")).text
    return False


async def test_nothing_acknowledged_is_lost_and_nothing_is_booked_twice(data: Path, tmp_path: Path) -> None:
    with serve(data, tmp_path) as server:
        with connected(data) as connection:
            load = Load(server.url, keys(connection, PEOPLE, CLIENTS), keys(connection, TIMES, APPOINTMENTS))
        under_way = asyncio.create_task(load.run())

        seconds = []
        for what in KILLS:
            await go_on(load, server, more=MORE)
            seconds.append(await kill(what, server, data))
        await go_on(load, server, more=MORE)
        load.enough = True
        await under_way

        with connected(data) as connection:
            stored = connection.execute("SELECT id, client_id, appointment_id FROM reservations WHERE live").fetchall()
            held = connection.execute(
                "SELECT aggregate_id FROM events WHERE type = 'scheduling.reservation.held.v1'"
            ).fetchall()
    ids = {row[0] for row in stored}
    lost = set(load.acknowledged.values()) - ids
    doubled = 2 * len(stored) - len({row[1] for row in stored}) - len({row[2] for row in stored})
    measured = ", ".join(f"{what} {time:.2f} s" for what, time in zip(KILLS, seconds, strict=True))
    counts = (load.sent, len(load.acknowledged), len(lost), doubled)
    print("\nsent / acknowledged / lost / doubled:", *counts, f"in {load.tries} tries; back after:", measured)  # noqa: T201

    assert lost == set()
    assert doubled == 0
    assert {row[1]: row[0] for row in stored} == load.acknowledged, "told no, and booked all the same"
    assert sorted(key for (key,) in held) == sorted(ids)
    assert len(load.acknowledged) + len(load.refused) == load.sent
    assert load.tries > load.sent
    assert load.complaints == {}
    assert max(seconds) < BACK_WITHIN


def in_flight(data: Path) -> int:
    """How many statements wait for a lock."""
    with connected(data) as connection:
        return len(connection.execute("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'").fetchall())


def test_what_is_in_flight_is_answered_before_a_server_stops(data: Path, tmp_path: Path) -> None:
    with serve(data, tmp_path) as server, ThreadPoolExecutor() as threads:
        with connected(data) as connection, connection.transaction(), idle(server) as idling:
            (client,), (time,) = keys(connection, PEOPLE, 1), keys(connection, TIMES, 1)
            connection.execute("COMMIT; BEGIN")
            connection.execute("SELECT FROM appointments WHERE id = %s FOR UPDATE", [time])
            wish: dict[str, Any] = {
                "clientId": encode("Client", client),
                "appointmentId": encode("Appointment", time),
            }
            asked = {"query": RESERVE, "variables": {"input": wish}}
            answer = threads.submit(httpx2.post, f"{server.url}/graphql", json=asked, timeout=30)
            until(lambda: in_flight(data) == 1, within=GONE_WITHIN)
            family = [*children(server.process.pid)]

            server.process.send_signal(signal.SIGTERM)
            assert idling.recv(1) == b""  # the workers have begun to stop
            assert not answer.done()

        assert answer.result().json()["data"]["reservationCreate"]["reservation"]["status"] == "HELD"
        assert server.process.wait(10) == 0
        assert len(family) >= 3
        until(lambda: not any(map(runs, family)), within=GONE_WITHIN)


@contextlib.contextmanager
def idle(server: Running) -> Iterator[socket.socket]:
    """A connection over which nothing more is asked."""
    with socket.create_connection(("localhost", server.port), timeout=10) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        while not connection.recv(4096).endswith(b"}"):
            pass
        yield connection


def test_when_everything_is_killed_nothing_stays_behind_and_the_next_start_works(data: Path, tmp_path: Path) -> None:
    with serve(data, tmp_path) as server:
        family = [*children(server.process.pid), postmaster(data)]
        with connected(data) as connection:
            (kept,) = keys(connection, PEOPLE, 1)

        server.process.kill()

        gone = until(lambda: not any(map(runs, family)), within=GONE_WITHIN)
        print(f"\nworkers and database gone after {gone:.2f} s")  # noqa: T201
    with serve(data, tmp_path) as server:
        query = {"query": "query ($id: ID!) { node(id: $id) { id } }", "variables": {"id": encode("Client", kept)}}
        answer = httpx2.post(f"{server.url}/graphql", json=query).json()

    assert answer.keys() == {"data", "extensions"}
    assert answer["data"] == {"node": {"id": encode("Client", kept)}}
    assert server.process.returncode == 0
