"""Overload: 500 clients at once, and a database that takes its time: everybody is answered in time, nothing is lost."""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from tests.conftest import RESERVE, Running, running
from tests.server.test_crash import PEOPLE, TIMES, workers

Sql = Callable[..., list[tuple[Any, ...]]]
CLIENTS, DELAY = 500, 0.2
DEADLINE, PATIENCE = 5.0, 0.5
LOADED = 3.0  # what a machine that does other things besides may add
MOST_BETWEEN_BEATS = 0.5  # seconds of the worker's CPU, which a busy machine makes longer, but cannot take away
TRY_AGAIN = {"UNAVAILABLE", "TIMEOUT", "BUSY"}
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holdfast' AND datname = current_database()"
READ = "query($p: ID!) { availableAppointments(filter: {providerIds: [$p]}, first: 3) { nodes { id startsAt } } }"
SEARCH = "{ providers(first: 3) { nodes { id } } __schema { queryType { name } } }"
STARTUP, TYPED = 4, 5  # how many bytes begin a message


class Slow:
    """A proxy between the server and PostgreSQL, in front of which each statement waits a while."""

    def __init__(self, database: str, folder: Path) -> None:
        self.delay = 0.0
        self._target = conninfo_to_dict(make_url(database).render_as_string(hide_password=False))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = f"postgresql://postgres@/{self._target['dbname']}?host={quote(str(folder))}&port=5432"
        self._thread.start()
        self._server = self._run(asyncio.start_unix_server(self._connected, folder / ".s.PGSQL.5432"))

    def close(self) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = str(self._target["host"]), int(self._target.get("port") or 5432)
        path = f"{host}/.s.PGSQL.{port}"
        opening = asyncio.open_unix_connection(path) if host.startswith("/") else asyncio.open_connection(host, port)
        answers, database = await opening
        for work in (self._statements(reader, database), self._answers(answers, writer)):
            task = asyncio.create_task(work)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _statements(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass on one message after the other; Execute and Query wait (PostgreSQL, Frontend/Backend Protocol)."""
        size = STARTUP
        with suppress(OSError, asyncio.IncompleteReadError), closing(writer):
            while True:
                head = await reader.readexactly(size)
                rest = await reader.readexactly(int.from_bytes(head[-4:]) - 4)
                if size == TYPED and head[:1] in b"EQ":
                    await asyncio.sleep(self.delay)
                writer.write(head + rest)
                size = TYPED

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError), closing(writer):
            while data := await reader.read(65_536):
                writer.write(data)


@pytest.fixture
def slow(database: str) -> Iterator[Slow]:
    with TemporaryDirectory(prefix="holdfast-slow-") as name:
        proxy = Slow(database, Path(name))
        yield proxy
        proxy.close()


@dataclass
class Asked:
    """What one client was told, and how long it took."""

    body: bytes
    wish: str = ""
    status: int = 0
    answer: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        """A word for it: a reservation, a page, or the code of what was refused."""
        refused = [error["extensions"]["code"] for error in self.answer.get("errors", ())]
        refused += [error["code"] for error in self._payload.get("userErrors", ())]
        return str((*refused, "reserved" if self.reservation else "read")[0])

    @property
    def reservation(self) -> str | None:
        return (self._payload.get("reservation") or {}).get("id")

    @property
    def _payload(self) -> dict[str, Any]:
        return (self.answer.get("data") or {}).get("reservationCreate") or {}


def cpu(process: int) -> float:
    """The seconds of CPU that the first thread of a process has used; a worker's loop runs there."""
    return int(Path(f"/proc/{process}/schedstat").read_text().split()[0]) / 1e9


class Crowd:
    """Clients of one server, each with a connection that is open already."""

    def __init__(self, server: Running) -> None:
        self.port = server.port
        (self.worker,) = workers(server)
        self.free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def connect(self, count: int) -> None:
        self.free += [await asyncio.open_connection("localhost", self.port) for _ in range(count)]

    async def ask(self, asked: Asked) -> Asked:
        """Send one request; the same connection is used for the next one."""
        head = (
            b"POST /graphql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        )
        asked.status, body, asked.seconds = await self._sent(head % len(asked.body) + asked.body)
        asked.answer = orjson.loads(body)
        return asked

    async def beat(self, until: asyncio.Event) -> list[tuple[float, float]]:
        """What it takes to hear that the server is alive, again and again: seconds, and seconds of the worker's CPU."""
        waits = []
        while not until.is_set():
            used = cpu(self.worker)
            status, _, seconds = await self._sent(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert status == 200
            waits.append((seconds, cpu(self.worker) - used))
            await asyncio.sleep(0.05)
        return waits

    async def _sent(self, request: bytes) -> tuple[int, bytes, float]:
        reader, writer = self.free.pop()
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(int(length.partition(b":")[2]))
        self.free.append((reader, writer))
        return int(head.split()[1]), body, time.perf_counter() - began

    def leave(self) -> None:
        for _, writer in self.free:
            writer.close()


def wishes(sql: Sql) -> list[Asked]:
    """Half of them reserve, each for a client of their own; a quarter reads a page, a quarter what is never compiled."""
    clients = [encode("Client", key) for (key,) in sql(PEOPLE, DEFAULT_BUSINESS, CLIENTS // 2)]
    appointments = [encode("Appointment", key) for (key,) in sql(TIMES, DEFAULT_BUSINESS, CLIENTS // 2)]
    ((provider,),) = sql("SELECT id FROM providers LIMIT 1")
    read = [Asked(orjson.dumps({"query": READ, "variables": {"p": encode("Provider", provider)}}))]
    search = [Asked(orjson.dumps({"query": SEARCH}))]
    found = []
    for n, (client, appointment) in enumerate(zip(clients, appointments, strict=True)):
        wish = {"clientId": client, "appointmentId": appointment, "idempotencyKey": f"wish {n}"}
        found.append(Asked(orjson.dumps({"query": RESERVE, "variables": {"input": wish}}), wish=client))
        found.append(Asked((read, search)[n % 2][0].body))
    return found


def rows(sql: Sql) -> set[tuple[str, str]]:
    """Every reservation and its client, as the API names them."""
    found = sql("SELECT id, client_id FROM reservations")
    named = {(encode("Reservation", key), encode("Client", client)) for key, client in found}
    assert len({client for _, client in named}) == len(found), "somebody has two"
    return named


def reserved(asked: list[Asked]) -> set[tuple[str, str]]:
    return {(each.reservation, each.wish) for each in asked if each.reservation}


async def rush(crowd: Crowd, asked: list[Asked]) -> list[tuple[float, float]]:
    """Send all of it at once; what it took meanwhile to hear that the server is alive."""
    over = asyncio.Event()
    beating = asyncio.create_task(crowd.beat(over))
    await asyncio.gather(*(crowd.ask(each) for each in asked))
    over.set()
    return await beating


async def connected(slow: Slow, crowd: Crowd, asked: list[Asked], sql: Sql) -> int:
    """Have so many read at once that every connection is needed; how many there are."""
    slow.delay = 0.02
    await rush(crowd, [Asked(each.body) for each in asked if not each.wish][:100])
    slow.delay = 0.0
    ((count,),) = sql(SESSIONS)
    return int(count)


def told(asked: list[Asked], waits: list[tuple[float, float]]) -> str:
    """What happened, for whoever wants the figures (pytest -s)."""
    seconds, used = (max(each) * 1000 for each in zip(*waits, strict=True))
    lines = [f"/livez {len(waits)} times, at most {seconds:.0f} ms, in which the worker used at most {used:.0f} ms"]
    for outcome, count in Counter(each.outcome for each in asked).most_common():
        took = sorted(each.seconds for each in asked if each.outcome == outcome)
        lines.append(f"{outcome:12}{count:>5}  median {took[count // 2]:.2f} s, at most {took[-1]:.2f} s")
    return "\n".join(lines)


async def test_500_at_once_are_answered_in_time_and_nothing_is_lost(slow: Slow, sql: Sql, tmp_path: Path) -> None:
    asked = wishes(sql)
    settings = {"DATABASE_URL": slow.url, "OWNER_DATABASE_URL": slow.url, "POOL_SIZE": "8", "LANES": "4"}
    serving = running(tmp_path / "server.log", **settings)
    server: Running = await asyncio.to_thread(serving.__enter__)
    try:
        crowd = Crowd(server)
        await crowd.connect(CLIENTS + 1)
        before = await connected(slow, crowd, asked, sql)

        slow.delay = DELAY
        waits = await rush(crowd, asked)
        slow.delay = 0.0
        kept = rows(sql)
        normal = [await crowd.ask(Asked(asked[n].body)) for n in (1, 3)]
        again = [each for each in asked if each.wish and not each.reservation]
        acknowledged = reserved(asked)
        failed = {each.wish for each in again}
        first = [replace(each) for each in asked]
        print(told(asked, waits))  # noqa: T201
        for each in again:
            await crowd.ask(each)
        after = await connected(slow, crowd, asked, sql)
        crowd.leave()
    finally:
        await asyncio.to_thread(serving.__exit__, None, None, None)

    assert {each.status for each in asked} == {200}
    assert acknowledged
    assert acknowledged <= kept
    assert {client for _, client in kept - acknowledged} <= failed
    assert max(used for _, used in waits) < MOST_BETWEEN_BEATS
    assert max(each.seconds for each in first) < DEADLINE + PATIENCE + LOADED
    assert {each.outcome for each in first} <= TRY_AGAIN | {"read", "reserved"}
    assert after == before == 12
    assert [each.outcome for each in normal] == ["read", "read"]
    assert max(each.seconds for each in normal) < PATIENCE
    assert reserved(asked) == rows(sql)
    assert len(rows(sql)) == CLIENTS // 2
