"""What every test stands on: a real PostgreSQL, a fresh database, the API in-process, and a real server process."""

import gc
import os
import re
import shutil
import subprocess
import sys
import time
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import httpx2
import psycopg
import pytest
from sqlalchemy import event
from sqlalchemy.engine import make_url

from resolvers.database import Database
from resolvers.lane import Answer, Statement, Values
from schema.limits import Limits
from server import database as connections
from server.database import APPLICATION, connected, conninfo
from server.http import application
from server.listener import Listener
from server.migration import migrate, newest
from server.postgres import embedded
from server.settings import Settings
from tests import shared
from tests.links import fill

ROOT = Path(__file__).parent.parent
# A test's cluster need not outlive a power cut.
CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}
# Nor need it be on a disk: to copy a database for each test is what a run is busy with.
MEMORY, ROOM = Path("/dev/shm"), 4 * 2**30


# For tests of what is answered, however much is asked.
GENEROUS = Limits(
    bytes=2_000_000,
    tokens=100_000,
    depth=1_000,
    aliases=10_000,
    alias_characters=10_000,
    directives=10_000,
    cost=10**12,
    answer=100_000_000,
)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """What a failed test leaves behind is thrown away with it: else the next one would be blamed for it."""
    failed = item.session.testsfailed
    done = yield
    if item.session.testsfailed > failed:
        sys.last_value = sys.last_traceback = None
        with warnings.catch_warnings(action="ignore"):
            gc.collect()
    return done


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@contextmanager
def careless_cluster() -> Iterator[str]:
    """The address of a PostgreSQL that forgets everything with its power, and is in memory if there is plenty of it."""
    is_roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM
    with TemporaryDirectory(prefix="holdfast-", dir=MEMORY if is_roomy else None, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        with embedded(Path(folder) / "postgres", settings=CARELESS) as url:
            yield url


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    """The address of a PostgreSQL: that of DATABASE_URL, or one of this test run."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    with careless_cluster() as url:
        yield url


def _named(url: str, name: str) -> str:
    return make_url(url).set(database=name).render_as_string(hide_password=False)


@contextmanager
def fresh_database(cluster: str, template: str | None = None) -> Iterator[str]:
    """A database of its own, empty or a copy of another, which is dropped afterwards."""
    name = f"holdfast_test_{uuid4().hex}"
    with psycopg.connect(cluster, autocommit=True) as admin:
        copy = f" TEMPLATE {make_url(template).database} STRATEGY file_copy" if template else ""
        admin.execute(f"CREATE DATABASE {name}{copy}")
    try:
        yield _named(cluster, name)
    finally:
        with psycopg.connect(cluster, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def migrated(cluster: str) -> Iterator[str]:
    """A migrated database that nobody writes to: the others are copies of it."""
    with fresh_database(cluster) as url:
        migrate(url)
        with psycopg.connect(url, autocommit=True, options="-c session_replication_role=replica") as owner:
            owner.execute("UPDATE businesses SET hold_limit = NULL")  # tests/server/test_limits.py has the limit
        yield url


@pytest.fixture(scope="session")
def filled(cluster: str, migrated: str) -> Iterator[str]:
    """A database in which no list is empty, for copies of it."""
    with fresh_database(cluster, migrated) as url:
        fill(url)
        yield url


@pytest.fixture
def template(migrated: str) -> str:
    """What the database of each test is a copy of: a migrated one, otherwise empty."""
    return migrated


@pytest.fixture
def database(cluster: str, template: str) -> Iterator[str]:
    """The address of a database of this test."""
    with fresh_database(cluster, template) as url:
        yield url


@dataclass
class Api:
    """A client of the public API, over HTTP without a socket."""

    http: httpx2.AsyncClient
    database: Database
    statements: list[str] = field(default_factory=list)
    on_lanes: list[str] = field(default_factory=list)
    cost: Any = None

    async def post(self, query: str, headers: dict[str, str] | None = None, **variables: Any) -> dict[str, Any]:
        """The whole answer to a document, but for its cost, which is kept apart."""
        response = await self.http.post("/graphql", json={"query": query, "variables": variables}, headers=headers)
        answer: dict[str, Any] = response.json()
        self.cost = answer.get("extensions", {}).pop("cost", None)
        if answer.get("extensions") == {}:
            del answer["extensions"]
        return answer

    async def __call__(self, query: str, **variables: Any) -> Any:
        """The data of an answer that has no errors."""
        answer = await self.post(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def provider(self, first_name: str = "Ada", last_name: str = "Lovelace") -> str:
        query = "mutation ($input: ProviderCreateInput!) { providerCreate(input: $input) { provider { id } } }"
        done = await self(query, input={"firstName": first_name, "lastName": last_name})
        identity: str = done["providerCreate"]["provider"]["id"]
        return identity

    async def client(self, first_name: str = "Charles", last_name: str = "Babbage") -> str:
        query = "mutation ($input: ClientCreateInput!) { clientCreate(input: $input) { client { id } } }"
        done = await self(query, input={"firstName": first_name, "lastName": last_name})
        identity: str = done["clientCreate"]["client"]["id"]
        return identity

    async def publish(self, provider: str, start: str, end: str, **more: Any) -> list[str]:
        """Publish one window; the ids of its appointments, by start."""
        done = await self(PUBLISH, input={"providerId": provider, "startTime": start, "endTime": end, **more})
        assert done["appointmentBulkCreate"]["userErrors"] == []
        return [node["id"] for node in done["appointmentBulkCreate"]["appointments"]["nodes"]]

    async def reserve(self, client: str, appointment: str, **more: Any) -> Any:
        """The payload of reservationCreate."""
        done = await self(RESERVE, input={"clientId": client, "appointmentId": appointment, **more})
        return done["reservationCreate"]

    async def confirm(self, reservation: str) -> Any:
        """The payload of reservationConfirm."""
        return (await self(CONFIRM, input={"reservationId": reservation}))["reservationConfirm"]

    async def cancel(self, reservation: str, reason: str | None = None) -> Any:
        """The payload of reservationCancel."""
        return (await self(CANCEL, input={"reservationId": reservation, "reason": reason}))["reservationCancel"]


ERRORS = """userErrors {
  __typename code message field retryable
  ... on SlotUnavailableError { alternatives { id startsAt } }
  ... on LeadTimeError { earliestStart leadTimeMinutes }
  ... on HoldExpiredError { expiredAt }
  ... on IllegalStateError { state }
  ... on DuplicateRowsError { rows }
  ... on OverlappingRowsError { rows appointmentIds }
  ... on TooManyRowsError { found limit }
  ... on UnknownTimeZoneError { suggestions }
}"""
PUBLISH = (
    "mutation ($input: AppointmentBulkCreateInput!) { appointmentBulkCreate(input: $input) {"
    " created kept removed appointments(first: 100) { totalCount nodes { id startsAt endsAt capacity } }"
    " results { index created kept removed error { code message } bookedAppointments { id startsAt } } "
    + ERRORS
    + " } }"
)
_RESERVATION = "reservation { id status expired confirmed seat expiresAt createdAt confirmedAt version } "
RESERVE = (
    "mutation ($input: ReservationCreateInput!) { reservationCreate(input: $input) { " + _RESERVATION + ERRORS + " } }"
)
CONFIRM = (
    "mutation ($input: ReservationConfirmInput!) { reservationConfirm(input: $input) { "
    + _RESERVATION
    + ERRORS
    + " } }"
)
CANCEL = (
    "mutation ($input: ReservationCancelInput!) { reservationCancel(input: $input) { " + _RESERVATION + ERRORS + " } }"
)


@pytest.fixture
def limits() -> Limits | None:
    """The limits of documents, which a file of tests may choose: those of every server."""
    return None


@pytest.fixture
async def api(database: str, limits: Limits | None) -> AsyncIterator[Api]:
    """The API over a fresh database."""
    async with serving(database, limits=limits) as client:
        yield client


@pytest.fixture(autouse=True, scope="module")
def nothing_shared() -> None:
    """What another file has shared is forgotten: to look for garbage in so much of it would stop everybody."""
    shared.clear()


def pytest_collection_finish() -> None:
    """Never look for garbage among all that has been imported."""
    gc.collect()
    gc.freeze()


def patient(url: str, pool_size: int, lanes: int, role: str | None = APPLICATION) -> Database:
    """The database of a server, with ten times its patience: a machine that runs tests may stand still for seconds."""
    limits = {"statement_timeout": "50s", "idle_in_transaction_session_timeout": "50s"}
    seconds = 10 * connections.SECONDS_TO_WAIT
    with (
        patch.dict(connections.LIMITS, limits),
        patch.dict(connections.LANE, limits),
        patch.object(connections, "SECONDS_TO_WAIT", seconds),
    ):
        return connected(url, pool_size, lanes, role)


class serving:  # noqa: N801 -- reads as a verb: `async with serving(database) as api`
    """The application over a database, in this process; with other limits, or set up otherwise."""

    def __init__(
        self,
        database: str,
        pool_size: int = 8,
        *,
        compile: bool = True,  # noqa: A002
        limits: Limits | None = None,
        **environment: str,
    ) -> None:
        self.settings = Settings.read({"COMPILE": "on" if compile else "off", "DEADLINE": "50", **environment})
        self.url, self.database = database, patient(database, pool_size, self.settings.lanes)
        self.limits = limits

    async def __aenter__(self) -> Api:
        app = application(self.settings, limits=self.limits)
        shared.lend(app)
        app.state.database = self.database
        app.state.signals = self.listener = Listener(conninfo(self.url), self.database, app.state.feeds.turn)
        app.state.newest = newest()
        self.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")
        api = Api(self.http, self.database)

        def note(*given: Any) -> None:
            api.statements.append(given[2])

        event.listen(self.database.engine.sync_engine, "before_cursor_execute", note)
        run = self.database.lanes.run

        def noted(statement: Statement, values: Values, business: bytes = b"") -> Answer:
            for seen in (api.statements, api.on_lanes):
                seen.append(statement.sql.decode())
            return run(statement, values, business)

        self.database.lanes.run = noted  # type: ignore[method-assign]
        return api

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()
        await self.listener.close()
        await self.database.close()


@pytest.fixture
def statements(api: Api) -> Callable[[], list[str]]:
    """The SQL statements that were run since this was last asked."""

    def since() -> list[str]:
        seen = list(api.statements)
        api.statements.clear()
        return seen

    return since


@pytest.fixture
def sql(database: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Run a statement as psql would, and get its rows."""
    with psycopg.connect(database, autocommit=True) as connection:

        def run(statement: str, *values: Any) -> list[tuple[Any, ...]]:
            done = connection.execute(statement, values or None)
            return done.fetchall() if done.description else []

        yield run


@dataclass
class Running:
    """A server process."""

    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def wait(self, seconds: float = 30) -> None:
        """Wait until it is ready."""
        for _ in range(int(seconds * 20)):
            found = re.search(r"serves (http://[^/]+)/graphql", self.log.read_text())
            if found and not self.url:
                self.url = found[1].replace("127.0.0.1", "localhost")
            try:
                if self.url and httpx2.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())


@contextmanager
def running(log: Path, **environment: str) -> Iterator[Running]:
    """`python -m server serve` on a free port, stopped as an operator would."""
    command = [sys.executable, "-m", "server", "serve"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "PORT": "0", "BACKGROUND": "off", **environment},
            stdout=output,
            stderr=output,
        )
    try:
        server = Running(process, log)
        server.wait()
        yield server
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
def server(database: str, tmp_path: Path) -> Iterator[Running]:
    """A real server process over a fresh database."""
    with running(tmp_path / "server.log", DATABASE_URL=database) as process:
        yield process
