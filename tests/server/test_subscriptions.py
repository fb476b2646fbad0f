"""Subscriptions: who hears of what, exactly once, in whichever process, whatever breaks on the way."""

import asyncio
import contextlib
import json
import os
import queue
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self
from urllib.parse import quote

import psycopg
import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.viewer import Role
from tests.conftest import Api, Running, fresh_database, running, serving
from tests.keys import OTHER, another_business, token
from tests.listening import AVAILABILITY, RESERVATION, WITHIN, relaying, socket
from tests.npm import installed
from tests.ports import free_port
from tests.server.test_crash import postmaster

Sql = Callable[..., list[tuple[Any, ...]]]
Quiet = Callable[[], Awaitable[None]]

DAY = ("2027-05-03T07:00:00Z", "2027-05-03T10:00:00Z")
FIRST = "2027-05-03T07:00:00Z"
PACKAGES = ("graphql-ws@6.0.6", "graphql-sse@2.6.0", "ws@8.18.3", "graphql@16.11.0")
UNKNOWN = encode("Reservation", OTHER)
PROVIDER = "INSERT INTO providers (business_id, first_name, last_name) VALUES (%s, 'Ada', 'Lovelace') RETURNING id"
PUBLISH = """INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
VALUES (%s, %s, '2027-05-03 07:00Z'::timestamptz + %s * interval '00:15:00',
        '2027-05-03 07:15Z'::timestamptz + %s * interval '00:15:00')"""


@pytest.fixture(scope="module")
def database(cluster: str, migrated: str) -> Iterator[str]:
    """One database for all tests of this file, each of which makes its own people."""
    with fresh_database(cluster, migrated) as url, relaying(url):
        yield url


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server") / "server.log", DATABASE_URL=database) as process:
        yield process


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as client:
        yield client


@dataclass
class Practice:
    """A provider with a morning of appointments, and a client."""

    api: Api
    provider: str
    client: str
    appointments: list[str]

    @property
    def filter(self) -> dict[str, Any]:
        return {"providerIds": [self.provider]}

    async def hold(self, n: int = 0) -> str:
        held = await self.api.reserve(self.client, self.appointments[n])
        assert held["userErrors"] == []
        identity: str = held["reservation"]["id"]
        return identity


@pytest.fixture
async def practice(api: Api, quiet: Quiet) -> Practice:
    provider, client = await api.provider(), await api.client()
    made = Practice(api, provider, client, await api.publish(provider, *DAY))
    await quiet()
    return made


@pytest.fixture
def quiet(sql: Sql) -> Quiet:
    """Wait until everything that has happened was told."""

    async def wait() -> None:
        async with asyncio.timeout(WITHIN):
            while sql("SELECT 1 FROM events WHERE relayed_at IS NULL LIMIT 1"):  # noqa: ASYNC110 -- another thread relays
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)

    return wait


async def test_whoever_searches_hears_of_every_change_once_and_in_order(server: Running, practice: Practice) -> None:
    async with socket(server.url) as one:
        await one.listen(AVAILABILITY, filter=practice.filter)

        held = await practice.hold()
        heard = [(await one.news())["availabilityChanged"]]
        await practice.api.confirm(held)
        heard.append((await one.news())["availabilityChanged"])
        await practice.api.cancel(held)
        heard.append((await one.news())["availabilityChanged"])

        assert [(each["reason"], each["available"]) for each in heard] == [
            ("HELD", False),
            ("CONFIRMED", False),
            ("CANCELLED", True),
        ]
        for each in heard:
            assert each.keys() == {"reason", "available", "startsAt", "endsAt", "occurredAt", "provider", "appointment"}
            assert (each["startsAt"], each["endsAt"]) == (FIRST, "2027-05-03T07:15:00Z")
            assert (each["provider"]["id"], each["appointment"]["id"]) == (practice.provider, practice.appointments[0])
        await one.silence()


async def test_a_hold_that_lapses_is_heard_of(server: Running, practice: Practice, sql: Sql) -> None:
    sql("UPDATE businesses SET hold_time = '1.5 seconds' WHERE id = %s", DEFAULT_BUSINESS)
    try:
        async with socket(server.url) as one:
            await one.listen(AVAILABILITY, filter=practice.filter)
            await practice.hold()

            held, lapsed = [(await one.news())["availabilityChanged"] for _ in range(2)]
    finally:
        sql("UPDATE businesses SET hold_time = '30 minutes' WHERE id = %s", DEFAULT_BUSINESS)

    assert (held["reason"], held["available"]) == ("HELD", False)
    assert (lapsed["reason"], lapsed["available"], lapsed["startsAt"]) == ("EXPIRED", True, FIRST)


async def test_what_is_published_is_told_as_a_span_and_what_is_withdrawn_has_no_appointment(
    server: Running, practice: Practice, sql: Sql
) -> None:
    async with socket(server.url) as one:
        await one.listen(AVAILABILITY, filter=practice.filter)

        await practice.api.publish(practice.provider, "2027-05-04T07:00:00Z", "2027-05-04T08:00:00Z")
        published = (await one.news())["availabilityChanged"]
        sql("DELETE FROM appointments WHERE starts_at = '2027-05-04 07:30Z'")
        withdrawn = (await one.news())["availabilityChanged"]

    assert (published["reason"], published["available"], published["appointment"]) == ("PUBLISHED", True, None)
    assert (published["startsAt"], published["endsAt"]) == ("2027-05-04T07:00:00Z", "2027-05-04T08:00:00Z")
    assert (withdrawn["reason"], withdrawn["available"], withdrawn["appointment"]) == ("WITHDRAWN", False, None)
    assert withdrawn["startsAt"] == "2027-05-04T07:30:00Z"


async def test_only_what_the_filter_could_find_is_heard_of(server: Running, practice: Practice, quiet: Quiet) -> None:
    another = await practice.api.provider("Grace", "Hopper")
    later = await practice.api.publish(another, "2027-05-03T08:00:00Z", "2027-05-03T09:00:00Z")
    await quiet()
    filters = {
        "theirs": {"providerIds": [another]},
        "late": {"startsAt": {"from": "2027-05-03T08:00:00Z"}, **practice.filter},
        "long": {"minimumMinutes": 30, **practice.filter},
        "afternoons": {"timeOfDay": {"from": "12:00"}, "timeZone": "Asia/Tokyo", **practice.filter},
        "mornings": {"timeOfDay": {"until": "12:00"}, "timeZone": "Asia/Tokyo", **practice.filter},
        "long afternoons": {"timeOfDay": {"from": "12:00"}, "timeZone": "UTC", "minimumMinutes": 15},
    }
    async with AsyncExitStack() as stack:
        heard = {name: await stack.enter_async_context(socket(server.url)) for name in filters}
        for name, chosen in filters.items():
            await heard[name].listen(AVAILABILITY, filter=chosen)

        await practice.hold()
        await practice.api.reserve(practice.client, later[0])

        assert (await heard["afternoons"].news())["availabilityChanged"]["startsAt"] == FIRST  # 16:00 in Tokyo
        assert (await heard["theirs"].news())["availabilityChanged"]["provider"]["id"] == another
        for each in heard.values():
            await each.silence(0.1)


async def test_fifty_subscribers_hear_of_a_change_exactly_once(server: Running, practice: Practice) -> None:
    async with AsyncExitStack() as stack:
        ears = [await stack.enter_async_context(socket(server.url)) for _ in range(50)]
        for n, each in enumerate(ears):
            await each.ask(AVAILABILITY + f"# {n % 3}", filter=practice.filter)
        await ears[-1].listen(AVAILABILITY, "another", filter=practice.filter)

        await practice.hold()

        heard = [(await each.hear())["payload"]["data"]["availabilityChanged"] for each in ears]
        again = (await ears[-1].hear())["payload"]["data"]["availabilityChanged"]
        assert {json.dumps(each) for each in heard} == {json.dumps(again)}
        assert again["reason"] == "HELD"
        await asyncio.gather(*(each.silence() for each in ears))


async def test_a_reservation_is_heard_of_by_whoever_sees_it(server: Running, practice: Practice) -> None:
    api, held = practice.api, await practice.hold()
    stranger, another = await api.client("Mary", "Shelley"), await api.provider("Grace", "Hopper")
    async with AsyncExitStack() as stack:

        async def ear(role: Role, person: str | None = None) -> Any:
            bearer = f"Bearer {await token(api, role, person=person)}"
            return await stack.enter_async_context(socket(server.url, Authorization=bearer))

        admitted = [
            await ear(Role.CLIENT, practice.client),
            await ear(Role.PROVIDER, practice.provider),
            await ear(Role.FRONT_DESK),
        ]
        refused = [await ear(Role.CLIENT, stranger), await ear(Role.PROVIDER, another)]
        for each in admitted:
            await each.listen(RESERVATION, id=held)
        for each in refused:
            await each.ask(RESERVATION, id=held)
            error = await each.hear()
            assert (error["type"], error["payload"][0]["extensions"]["code"]) == ("error", "NOT_FOUND")
            assert error["payload"][0]["message"] == "No reservation has this id."

        await api.confirm(held)
        await api.cancel(held)

        for each in admitted:
            heard = [(await each.news())["reservationChanged"] for _ in range(2)]
            assert {one["id"] for one in heard} == {held}
            assert [(one["status"], one["version"]) for one in heard][-1] == ("CANCELLED", 3)
        for each in refused:
            await each.silence(0.2)


async def test_nobody_else_hears_of_a_reservation(server: Running, practice: Practice) -> None:
    mine, other = await practice.hold(0), await practice.hold(1)
    bearer = f"Bearer {await token(practice.api, Role.CLIENT, person=practice.client)}"
    async with socket(server.url, authorization=bearer) as one, socket(server.url) as public:
        await one.listen(RESERVATION, id=mine)
        await public.listen(AVAILABILITY, filter=practice.filter)

        await practice.api.confirm(other)

        heard = json.dumps(await public.news())
        assert not any(part in heard for part in (other, mine, practice.client))
        await one.silence()


async def test_another_business_is_never_heard(server: Running, practice: Practice, sql: Sql) -> None:
    another_business(sql)
    bearer = f"Bearer {await token(practice.api, Role.ADMIN, business=OTHER)}"
    async with socket(server.url, authorization=bearer) as elsewhere, socket(server.url) as here:
        await elsewhere.listen(AVAILABILITY)
        await here.listen(AVAILABILITY)
        await elsewhere.ask(RESERVATION, "2", id=await practice.hold())
        assert (await here.news())["availabilityChanged"]["reason"] == "HELD"

        error = await elsewhere.hear()
        assert (error["type"], error["payload"][0]["extensions"]["code"]) == ("error", "NOT_FOUND")
        await elsewhere.silence()
        sql(PUBLISH, OTHER, OTHER, 0, 0)
        assert (await elsewhere.news())["availabilityChanged"]["provider"]["id"] == encode("Provider", OTHER)
        await here.silence()


async def test_every_process_hears(server: Running, practice: Practice, database: str, tmp_path: Path) -> None:
    with running(tmp_path / "second.log", DATABASE_URL=database, WORKERS="1") as second:
        async with socket(server.url) as one, socket(second.url) as two:
            await one.listen(AVAILABILITY, filter=practice.filter)
            await two.listen(AVAILABILITY, filter=practice.filter)

            await practice.hold()

            assert await one.news() == await two.news()


async def test_an_unknown_reservation_and_a_bad_filter_are_told_by_an_error(server: Running) -> None:
    wrong = {"providerIds": ["abc"]}
    async with socket(server.url) as one:
        await one.ask(RESERVATION, "1", id=UNKNOWN)
        await one.ask(RESERVATION, "2", id="nonsense")
        await one.ask(AVAILABILITY, "3", filter=wrong)
        await one.ask(AVAILABILITY, "4", filter=7)
        heard = {message["id"]: message for message in [await one.hear() for _ in range(4)]}

    codes = {name: message["payload"][0]["extensions"]["code"] for name, message in heard.items()}
    assert {message["type"] for message in heard.values()} == {"error"}
    assert codes == {"1": "NOT_FOUND", "2": "INVALID_INPUT", "3": "INVALID_INPUT", "4": "GRAPHQL_VALIDATION_FAILED"}
    assert heard["3"]["payload"][0]["extensions"]["field"] == "providerIds.0"


@contextmanager
def data() -> Iterator[Path]:
    """The folder of a server with a database of its own."""
    with TemporaryDirectory(prefix="holdfast-restart-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


async def test_nothing_is_missed_while_the_database_is_killed_and_restarted(tmp_path: Path) -> None:
    with data() as folder:
        url = f"postgresql://postgres@/holdfast?host={quote(str(folder / 'postgres'))}&port=5432"
        with running(tmp_path / "server.log", DATA_DIR=str(folder), DATABASE_URL="") as server, relaying(url):
            with psycopg.connect(url, autocommit=True) as connection:
                found = connection.execute(PROVIDER, [DEFAULT_BUSINESS]).fetchone()
                assert found is not None
            query = "subscription { availabilityChanged { startsAt } }"
            async with socket(server.url) as one:
                await one.listen(query)
                with publishing(url, found[0]) as published:
                    for end in (signal.SIGKILL, signal.SIGINT):
                        await _at_least(published, len(published) + 10)
                        os.kill(postmaster(folder), end)
                    await _at_least(published, len(published) + 10)
                heard = [(await one.news())["availabilityChanged"]["startsAt"] for _ in published]
                await one.silence()

    assert heard == published


async def _at_least(published: list[str], count: int) -> None:
    async with asyncio.timeout(60):
        while len(published) < count:  # noqa: ASYNC110 -- another thread publishes
            await asyncio.sleep(0.02)


@contextmanager
def publishing(url: str, provider: Any) -> Iterator[list[str]]:
    """Publish one time after the other, across restarts of the database; what was acknowledged."""
    published: list[str] = []
    stopping = threading.Event()

    def publish() -> None:
        while not stopping.is_set():
            with contextlib.suppress(psycopg.Error), psycopg.connect(url, autocommit=True) as connection:
                while not stopping.wait(0.01):
                    n = len(published)
                    with contextlib.suppress(psycopg.errors.UniqueViolation):  # it was, but nobody was told
                        connection.execute(PUBLISH, [DEFAULT_BUSINESS, provider, n, n])
                    hours, minutes = divmod(7 * 60 + n * 15, 60)
                    days, hours = divmod(hours, 24)
                    published.append(f"2027-05-{3 + days:02}T{hours:02}:{minutes:02}:00Z")
            stopping.wait(0.05)

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield published
    finally:
        stopping.set()
        thread.join()


class Subscriber:
    """A client of npm, in Node.js."""

    def __init__(self, kind: str, url: str, query: str, variables: dict[str, Any]) -> None:
        folder = installed(PACKAGES, "the npm clients of subscriptions run")
        script = str(Path(__file__).parent / "subscriber.mjs")
        command = ["node", script, str(folder), kind, f"{url}/graphql", query, json.dumps(variables)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.lines: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.put(json.loads(line))

    async def hear(self) -> dict[str, Any]:
        """The next line that is not about a connection."""
        while "connected" in (line := await asyncio.to_thread(self.lines.get, timeout=WITHIN)):
            pass
        return line

    async def listen(self) -> None:
        assert "serverTime" in (await self.hear())["next"]["data"]
        assert await self.hear() == {"complete": True}
        await asyncio.sleep(0.5)

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()


@pytest.mark.parametrize("kind", ["graphql-ws", "graphql-sse"])
async def test_the_clients_of_npm_hear_until_they_stop(server: Running, practice: Practice, kind: str) -> None:
    query = "subscription ($filter: AvailabilityFilter) { availabilityChanged(filter: $filter) { reason available } }"
    with Subscriber(kind, server.url, query, {"filter": practice.filter}) as one:
        await one.listen()

        held = await practice.hold()
        assert await one.hear() == {"next": {"data": {"availabilityChanged": {"reason": "HELD", "available": False}}}}
        await practice.api.cancel(held)
        assert (await one.hear())["next"]["data"]["availabilityChanged"]["reason"] == "CANCELLED"
        one.stop()
        assert await one.hear() == {"complete": True}
        await practice.hold(1)
        await asyncio.sleep(0.3)
        assert one.lines.empty()


@pytest.mark.parametrize("kind", ["graphql-ws", "graphql-sse"])
async def test_the_clients_of_npm_are_told_what_is_refused(server: Running, practice: Practice, kind: str) -> None:
    with Subscriber(kind, server.url, "subscription { nothing }", {}) as one:
        await one.listen()
    with Subscriber(kind, server.url, RESERVATION, {"id": UNKNOWN}) as one:
        await one.hear()
        await one.hear()
        told = await one.hear()

    errors = told.get("error") or told["next"]["errors"]
    assert errors[0]["extensions"]["code"] == "NOT_FOUND"


@pytest.mark.parametrize("kind", ["graphql-ws", "graphql-sse"])
async def test_a_server_that_stops_sends_its_subscribers_to_the_next_one(
    database: str, practice: Practice, tmp_path: Path, kind: str
) -> None:
    query = "subscription ($filter: AvailabilityFilter) { availabilityChanged(filter: $filter) { reason } }"
    port = str(free_port())
    with running(tmp_path / "first.log", DATABASE_URL=database, PORT=port) as server:
        one = Subscriber(kind, server.url, query, {"filter": practice.filter})
        await one.listen()
    with one, running(tmp_path / "second.log", DATABASE_URL=database, PORT=port):
        while "connected" not in await asyncio.to_thread(one.lines.get, timeout=WITHIN):
            pass
        await asyncio.sleep(0.5)

        await practice.hold()

        assert await one.hear() == {"next": {"data": {"availabilityChanged": {"reason": "HELD"}}}}
