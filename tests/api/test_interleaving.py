"""Two requests about one appointment, in every order in which PostgreSQL can run their steps, answer as if one came first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations_with_replacement, product
from typing import Any
from uuid import UUID, uuid4

import httpx2
import psycopg
import pytest
from sqlalchemy import TextClause, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.applications import Starlette

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.refusal import Unavailable
from server.database import engine
from server.http import application
from server.settings import Settings
from tests.conftest import CANCEL, CONFIRM, RESERVE
from tests.orders import Orders
from tests.paced import PacedDatabase, Turn, driver

Outcome = dict[str, Any]

STATES = ["free", "held", "lapsed", "confirmed"]
OPERATIONS = ["reserve", "confirm", "cancel", "replace", "lapse"]
ROADS = {"compiled": "on", "ordinary": "off"}
PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "jit": "off"}
SECONDS_TO_SETTLE, SECONDS_TO_LOOK = 10, 0.002

# Free means: somebody had it and gave it back, so that there is a reservation to confirm and to cancel.
REACH = {
    "free": "{hold}; UPDATE reservations SET status = 'CANCELLED' WHERE provider_id = '{provider}'",
    "held": "{hold}",
    "lapsed": "UPDATE businesses SET hold_time = '0.000001'; {hold}; UPDATE businesses SET hold_time = '00:30:00'",
    "confirmed": "{hold}; UPDATE reservations SET status = 'CONFIRMED' WHERE provider_id = '{provider}'",
}
BEGIN = """
INSERT INTO providers (business_id, id, first_name, last_name) VALUES ('{business}', '{provider}', 'Ada', 'Lovelace');
INSERT INTO clients (business_id, id, first_name, last_name)
SELECT '{business}', id, 'Charles', 'Babbage' FROM unnest('{{{owner}, {first}, {second}}}'::uuid[]) id;
INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
VALUES ('{business}', '{provider}', '2027-05-03 09:00Z', '2027-05-03 09:15Z');
"""
HOLD = """INSERT INTO reservations (business_id, client_id, appointment_id)
SELECT business_id, '{owner}', id FROM appointments WHERE provider_id = '{provider}'"""
LAPSE = """UPDATE reservations SET status = 'EXPIRED'
WHERE business_id = :business AND live_appointment_id = :appointment AND status = 'HELD' AND expires_at <= clock_timestamp()
RETURNING id"""
REPLACE = """mutation ($input: AppointmentBulkCreateInput!) { appointmentBulkCreate(input: $input) {
  created kept removed results { index created kept removed error { code } } userErrors { code field } } }"""
APPOINTMENTS = "SELECT id, starts_at, ends_at, capacity FROM appointments WHERE provider_id = %s ORDER BY starts_at"
RESERVATIONS = """SELECT id, client_id, appointment_id, status, version, seat, confirmed_at IS NOT NULL, cancelled_at IS NOT NULL
FROM reservations WHERE provider_id = %s ORDER BY created_at, id"""
EVENTS = """SELECT type, aggregate_id, count(*) FROM events
WHERE business_id = %(business)s AND aggregate_id IN (
    SELECT unnest(%(ids)s) UNION SELECT id FROM reservations WHERE provider_id = %(provider)s
    UNION SELECT id FROM appointments WHERE provider_id = %(provider)s)
GROUP BY 1, 2"""


@dataclass(frozen=True)
class Trial:
    """What is tried: operations on an appointment in some state, and the road that they take."""

    state: str
    names: Sequence[str]
    road: str = "compiled"
    first_fails: bool = False


@dataclass
class Operation:
    """A request under way."""

    backend: int
    turn: Turn
    task: asyncio.Task[Any] | None = None


@dataclass
class Case:
    """One appointment in one state, and the names of its ids."""

    state: str
    ids: dict[str, UUID] = field(
        default_factory=lambda: {name: uuid4() for name in ("provider", "owner", "first", "second")}
    )

    def begin(self, connection: psycopg.Connection) -> None:
        """Write the rows; the database chooses the ids of the appointment and of its reservation."""
        names = {"business": DEFAULT_BUSINESS, **self.ids}
        connection.execute((BEGIN + REACH[self.state].replace("{hold}", HOLD)).format(**names).encode())
        for name in ("appointment", "reservation"):
            found = f"SELECT id FROM {name}s WHERE provider_id = %s"
            ((self.ids[name],),) = connection.execute(found.encode(), [self.ids["provider"]]).fetchall()

    @property
    def opaque(self) -> dict[str, str]:
        return {encode(name.title(), self.ids[name]): name for name in ("appointment", "reservation")}

    def name(self, value: Any) -> Any:
        """Write the names of ids for the ids; every other id is of something new."""
        opaque = self.opaque
        known: dict[Any, str] = {key: name for name, key in self.ids.items()} | opaque

        def named(value: Any) -> Any:
            if isinstance(value, dict):
                return {
                    key: "new" if key == "id" and inner not in opaque else named(inner) for key, inner in value.items()
                }
            if isinstance(value, (list, tuple)):
                return [named(inner) for inner in value]
            return known.get(value, "new" if isinstance(value, UUID) else value)

        return named(value)


class Laboratory:
    """Runs two operations on a fresh appointment, in an order that is told."""

    passing: frozenset[str] = frozenset()  # operations that pass over what is locked

    def __init__(self, database: str, engine: AsyncEngine) -> None:
        self.engine = engine
        self.watch = psycopg.connect(database, autocommit=True)
        self.apps = {
            road: [application(Settings.read({"COMPILE": compiles})) for _ in range(2)]
            for road, compiles in ROADS.items()
        }
        for app in chain.from_iterable(self.apps.values()):
            app.state.http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://localhost")
        self.connections: list[AsyncConnection] = []
        self.backends: list[int] = []
        self.steps: list[list[str]] = []  # of each operation of the last run
        self.ran = 0

    async def open(self) -> None:
        for _ in range(2):
            pooled = await self.engine.connect()
            connection = await pooled.execution_options(isolation_level="READ COMMITTED")
            self.backends.append((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())
            for name, value in {"holdfast.business_id": DEFAULT_BUSINESS, **PLANNED_ONCE}.items():
                await connection.execute(text(f"SELECT set_config('{name}', '{value}', false)"))
            await connection.commit()
            raw = await driver(connection)
            raw.prepare_threshold, raw.prepared_max = 0, None
            self.connections.append(connection)

    async def close(self) -> None:
        for connection in self.connections:
            await connection.close()
        for app in chain.from_iterable(self.apps.values()):
            await app.state.http.aclose()
        await self.engine.dispose()
        self.watch.close()

    async def run(self, trial: Trial, orders: Orders | None = None, *, first: int = 0) -> Outcome:
        """Run the operations in an order, or else one after the other, and one of them first."""
        case = self.case_of(trial.state)
        case.begin(self.watch)
        operations = [await self._start(case, n, trial) for n in range(len(trial.names))]
        turns = [operation.turn for operation in operations]
        if orders:
            orders.begin(turns)
        while not all(turn.is_done for turn in turns):
            ready = [n for n, turn in enumerate(turns) if turn.parked]
            assert ready, "both wait for each other"
            pick = ready[0] if len(ready) == 1 else orders.choose() if orders else first
            turns[pick].give()
            for operation in (operations[pick], operations[pick - 1]):  # the other one may go on as well
                await self._settled(operation)
            if orders:
                orders.done(pick)
        self.ran += len(operations) == 2
        answers = [await operation.task for operation in operations if operation.task]
        self.steps = [turn.steps for turn in turns]
        return self.outcome(case, answers[1:] if trial.first_fails else answers)

    async def schedules(self, trial: Trial) -> AsyncIterator[tuple[Outcome, str]]:
        """Run every order of two operations: first one after the other, then the other after the one."""
        passing = frozenset(n for n, name in enumerate(trial.names) if name in self.passing)
        orders = Orders(passing, are_alike=len({*trial.names}) == 1 and not trial.first_fails)
        yield await self.run(trial, orders), orders.told
        orders.mirror()
        is_new = True
        while is_new:
            yield await self.run(trial, orders), orders.told
            is_new = orders.turn()

    async def _start(self, case: Case, n: int, trial: Trial) -> Operation:
        operation = Operation(self.backends[n], Turn())
        app = self.apps[trial.road][n]
        fails = trial.first_fails and n == 0
        app.state.database = PacedDatabase(self.connections[n], operation.turn, fails=fails)
        client = [case.ids[role] for role in ("first", "second")][n - len(trial.names)]
        operation.task = asyncio.create_task(self.perform(app, case, client, trial.names[n]))
        operation.task.add_done_callback(lambda _: operation.turn.end())
        await self._settled(operation)
        return operation

    async def _settled(self, operation: Operation) -> None:
        """Wait until an operation has come to its next step or its end, or waits for a lock."""
        seconds = SECONDS_TO_LOOK
        async with asyncio.timeout(SECONDS_TO_SETTLE):
            while not operation.turn.settled.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(operation.turn.settled.wait(), seconds)
                    return
                seconds *= 2
                blocked = self.watch.execute("SELECT pg_blocking_pids(%s) <> '{}'", [operation.backend]).fetchone()
                if blocked == (True,):
                    return

    def case_of(self, state: str) -> Case:
        return Case(state)

    async def perform(self, app: Starlette, case: Case, client: UUID, name: str) -> Any:
        return await _perform(app, case, client, name)

    def outcome(self, case: Case, answers: list[Any]) -> Outcome:
        provider = case.ids["provider"]
        events = {"business": DEFAULT_BUSINESS, "provider": provider, "ids": list(case.ids.values())}
        found = {
            "answers": answers,
            "appointments": self.watch.execute(APPOINTMENTS, [provider]).fetchall(),
            "reservations": self.watch.execute(RESERVATIONS, [provider]).fetchall(),
            "events": self.watch.execute(EVENTS, events).fetchall(),
        }
        named = {name: case.name(value) for name, value in found.items()}
        return {**named, "events": sorted(named["events"])}


async def _perform(app: Starlette, case: Case, client: UUID, name: str) -> Any:
    """Send one request through the API, or do what a sweeper would."""
    if name == "lapse":
        statement: TextClause = text(LAPSE).bindparams(business=DEFAULT_BUSINESS, appointment=case.ids["appointment"])
        try:
            return [tuple(row) for row in await app.state.database.rows(statement)]
        except Unavailable:
            return None
    return _without_times(await asked(app, *_request(case, client, name)))


async def asked(app: Starlette, query: str, given: dict[str, Any]) -> Any:
    """The data of an answer that has no errors."""
    response = await app.state.http.post("/graphql", json={"query": query, "variables": {"input": given}})
    answer = response.json()
    assert "errors" not in answer, answer
    return answer["data"]


def _request(case: Case, client: UUID, name: str) -> tuple[str, dict[str, Any]]:
    reservation = {"reservationId": encode("Reservation", case.ids["reservation"])}
    window = {"startTime": "2027-05-03T09:00:00Z", "endTime": "2027-05-03T09:15:00Z"}
    provider = {"providerId": encode("Provider", case.ids["provider"])}
    wish = {"clientId": encode("Client", client), "appointmentId": encode("Appointment", case.ids["appointment"])}
    requests: dict[str, tuple[str, dict[str, Any]]] = {
        "reserve": (RESERVE, wish),
        "confirm": (CONFIRM, reservation),
        "cancel": (CANCEL, reservation),
        "replace": (REPLACE, {**provider, **window, "capacity": 2, "mode": "REPLACE_WINDOW"}),
    }
    return requests[name]


def _without_times(value: Any) -> Any:
    """Write a dash for each instant that differs from run to run."""
    if isinstance(value, list):
        return [_without_times(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    times = ("expiresAt", "createdAt", "confirmedAt", "expiredAt")
    return {key: "-" if key in times and inner else _without_times(inner) for key, inner in value.items()}


@pytest.fixture(scope="module")
def database(cluster: str, migrated: str) -> Iterator[str]:
    """One database for all: each run has its own provider, its own clients and its own appointment."""
    name = f"holdfast_interleaving_{uuid4().hex}"
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {make_url(migrated).database}")
        yield make_url(cluster).set(database=name).render_as_string(hide_password=False)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="module")
async def laboratory(database: str) -> AsyncIterator[Laboratory]:
    laboratory = Laboratory(database, engine(database, 2))
    await laboratory.open()
    yield laboratory
    await laboratory.close()
    print(f"\n{laboratory.ran} interleavings")  # noqa: T201 -- what was tried is part of the answer


@pytest.mark.parametrize(("one", "other"), [*combinations_with_replacement(OPERATIONS, 2)])
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("road", ROADS)
async def test_every_interleaving_of_two_requests_is_one_of_the_two_orders(
    laboratory: Laboratory, road: str, state: str, one: str, other: str
) -> None:
    in_turn = Trial(state, [one, other], "ordinary")
    one_first, other_first = [await laboratory.run(in_turn, first=n) for n in range(2)]

    async for outcome, order in laboratory.schedules(Trial(state, [one, other], road)):
        assert outcome in (one_first, other_first), order


# On the ordinary road one state will do: a transaction is taken back in the same way wherever it began.
@pytest.mark.parametrize(("failing", "other"), [*product(OPERATIONS, OPERATIONS)])
@pytest.mark.parametrize(("road", "state"), [*product(["compiled"], STATES), ("ordinary", "held")])
async def test_a_request_that_is_taken_back_leaves_no_trace(
    laboratory: Laboratory, road: str, state: str, failing: str, other: str
) -> None:
    alone = await laboratory.run(Trial(state, [other], "ordinary"))

    async for outcome, order in laboratory.schedules(Trial(state, [failing, other], road, first_fails=True)):
        assert outcome == alone, order


@pytest.mark.parametrize(
    ("road", "state", "steps"),
    [
        ("compiled", "free", ["compiled", "commit"]),
        ("ordinary", "free", ["write", "commit"]),
        ("compiled", "held", ["compiled", "release", "write", "release", "read", "read"]),
        ("ordinary", "held", ["write", "release", "read", "read"]),
    ],
)
async def test_a_request_takes_the_steps_of_its_road(
    laboratory: Laboratory, road: str, state: str, steps: list[str]
) -> None:
    await laboratory.run(Trial(state, ["reserve"], road))

    assert laboratory.steps == [steps]
