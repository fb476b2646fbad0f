"""Overload: who waits too long is told so, what nobody waits for is not run, and what runs for nobody is cancelled."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection
from sqlalchemy import text

from models.refusal import Timeout, Unavailable
from resolvers.database import Database, Pool, Statements
from resolvers.lane import MOST_SENT, Lanes, Request, Statement
from resolvers.waiting import MOST_WAITING, SECONDS_TO_WAIT, Queue
from server.database import connected, conninfo, engine
from tests.conftest import fresh_database
from tests.server.test_lanes import ECHO, ROLE, SLEEP, WHO, Sql, blocked, outcomes
from tests.server.test_postgres import until

LOCK = Statement(b"lock", b"SELECT pg_advisory_lock_shared($1::int)::text")
WRITE = Statement(b"write", b"INSERT INTO written (number) VALUES ($1::int) RETURNING number::text")
SLOW = Statement(
    b"slow",
    b"""WITH slept AS MATERIALIZED (SELECT pg_sleep($2::float))
    INSERT INTO written (number) SELECT $1::int FROM slept RETURNING number::text""",
)
TABLE = "CREATE TABLE written (place serial, number int)"
NUMBERS = "SELECT number FROM written ORDER BY place"
ACTIVE = """SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'holdfast' AND datname = current_database() AND state <> 'idle'"""


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def address(cluster: str) -> Iterator[str]:
    with fresh_database(cluster) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute((ROLE + TABLE).encode())
        yield url


@pytest.fixture
def admin(address: str) -> Iterator[Sql]:
    """Another session of the same database."""
    with psycopg.connect(address, autocommit=True) as connection:

        def run(statement: str, *values: Any) -> list[tuple[Any, ...]]:
            done = connection.execute(statement.encode(), values or None)
            return done.fetchall() if done.description else []

        yield run


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Queue[Request]:
    return Queue(now=clock)


@pytest.fixture
async def one(address: str, queue: Queue[Request]) -> AsyncIterator[Database]:
    """A database with one lane and one connection in its pool."""
    database = Database(engine(address, 1), Lanes(conninfo(address), 1, queue))
    yield database
    await database.close()


@pytest.fixture
async def busy(one: Database, admin: Sql) -> AsyncIterator[asyncio.Task[bytes | None]]:
    """What keeps the lane busy, until the admin lets go of lock 1."""
    admin("SELECT pg_advisory_lock(1)")
    task = asyncio.create_task(one.text(LOCK, [b"1"]))
    await blocked(admin)
    yield task
    task.cancel()
    await asyncio.wait([task])


def go_on(admin: Sql) -> None:
    admin("SELECT pg_advisory_unlock(1)")


async def asked(one: Database, *numbers: int) -> list[asyncio.Task[bytes | None]]:
    """Everybody who wants a number to be written, in this order."""
    tasks = [asyncio.create_task(one.text(WRITE, [b"%d" % number])) for number in numbers]
    await asyncio.sleep(0)
    return tasks


async def idle(admin: Sql, within: float = 1) -> None:
    """Wait until no session of the application does anything."""
    await asyncio.to_thread(until, lambda: admin(ACTIVE) == [(0,)], within=within)


def taken(database: Database) -> int:
    pool: Any = database.engine.sync_engine.pool
    found: int = pool.checkedout()
    return found


@pytest.mark.usefixtures("busy")
async def test_a_lane_is_sent_so_many_and_the_others_follow_in_their_order(
    one: Database, queue: Queue[Request], admin: Sql
) -> None:
    tasks = await asked(one, *range(60))
    assert (len(one.lanes._lanes[0].waiting), len(queue.waiting)) == (MOST_SENT, 61 - MOST_SENT)

    go_on(admin)

    assert await outcomes(*tasks) == [b"%d" % number for number in range(60)]
    assert admin(NUMBERS) == [(number,) for number in range(60)]


@pytest.mark.usefixtures("busy")
async def test_what_was_given_up_before_it_was_sent_is_never_run(
    one: Database, queue: Queue[Request], admin: Sql
) -> None:
    tasks = await asked(one, *range(60))
    unsent = range(MOST_SENT - 1, 60)

    for number in unsent[::2]:
        tasks[number].cancel()
    await asyncio.sleep(0)
    assert len(queue.waiting) == len(unsent[1::2])
    go_on(admin)

    gone = set(unsent[::2])
    assert await outcomes(*tasks) == [asyncio.CancelledError if n in gone else b"%d" % n for n in range(60)]
    assert admin(NUMBERS) == [(number,) for number in range(60) if number not in gone]


@pytest.mark.usefixtures("busy")
async def test_who_has_waited_too_long_is_told_so_and_what_they_wanted_is_never_run(
    one: Database, queue: Queue[Request], clock: Clock, admin: Sql
) -> None:
    first = await asked(one, *range(20))
    clock.now = 1.5
    second = await asked(one, *range(20, 30))

    clock.now = SECONDS_TO_WAIT - 0.01
    queue.turn_away()
    assert len(queue.waiting) == 31 - MOST_SENT
    clock.now = SECONDS_TO_WAIT
    queue.turn_away()
    assert len(queue.waiting) == 10
    go_on(admin)

    sent = [b"%d" % n for n in range(MOST_SENT - 1)]
    assert await outcomes(*first) == sent + [Unavailable] * (20 - len(sent))
    assert await outcomes(*second) == [b"%d" % n for n in range(20, 30)]
    assert admin(NUMBERS) == [(n,) for n in [*range(MOST_SENT - 1), *range(20, 30)]]


async def test_the_queue_itself_looks_who_has_waited_too_long() -> None:
    queue = Queue[int](seconds=0.05)
    answers = [asyncio.get_running_loop().create_future() for _ in range(3)]
    for number, answer in enumerate(answers[:2]):
        queue.put(answer, number)
    assert queue.take() == 0
    queue.drop(answers[1])
    queue.put(answers[2], 2)

    async with asyncio.timeout(5):
        assert await outcomes(answers[2]) == [psycopg.OperationalError]

    assert not queue.waiting
    assert [answer.done() for answer in answers[:2]] == [False, False]


@pytest.mark.usefixtures("busy")
async def test_who_comes_when_too_many_wait_is_turned_away_at_once(
    one: Database, queue: Queue[Request], admin: Sql
) -> None:
    tasks = await asked(one, *range(MOST_SENT - 1 + MOST_WAITING))

    refused = await asked(one, *range(1000, 1010))

    assert [task.done() for task in refused] == [True] * 10
    assert await outcomes(*refused) == [Unavailable] * 10
    tasks[-1].cancel()
    await asyncio.sleep(0)
    assert len(queue.waiting) == MOST_WAITING - 1
    (allowed,) = await asked(one, 2000)
    go_on(admin)
    assert await outcomes(allowed) == [b"2000"]
    assert [number for (number,) in admin(NUMBERS)] == [*range(MOST_SENT - 2 + MOST_WAITING), 2000]


async def test_the_lane_that_is_free_first_takes_what_waits(address: str, admin: Sql) -> None:
    database = connected(address, pool_size=1, lanes=2)
    admin("SELECT pg_advisory_lock(1)")
    stuck = asyncio.create_task(database.text(LOCK, [b"1"]))
    await blocked(admin)

    tasks = await asked(database, *range(200))
    async with asyncio.timeout(1):
        while len(admin(NUMBERS)) < 201 - MOST_SENT:  # noqa: ASYNC110 -- it is PostgreSQL that we wait for
            await asyncio.sleep(0.01)

    assert sum(task.done() for task in tasks) <= 201 - MOST_SENT
    go_on(admin)
    assert await outcomes(stuck, *tasks) == [b"", *(b"%d" % number for number in range(200))]
    await database.close()


async def test_what_was_not_sent_outlives_its_lane(one: Database, admin: Sql, busy: asyncio.Task[bytes | None]) -> None:
    tasks = await asked(one, *range(30))

    admin("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'holdfast'")

    sent = MOST_SENT - 1
    assert await outcomes(busy, *tasks[:sent]) == [Unavailable] * MOST_SENT
    assert await outcomes(*tasks[sent:]) == [b"%d" % n for n in range(sent, 30)]
    assert admin(NUMBERS) == [(n,) for n in range(sent, 30)]


async def test_nobody_waits_for_lanes_that_cannot_connect() -> None:
    database = Database(engine("postgresql://nobody@127.0.0.1:1/x", 1), Lanes("host=127.0.0.1 port=1", 2))
    tasks = [asyncio.create_task(database.text(ECHO, [b"x"])) for _ in range(MOST_SENT * 2 + MOST_WAITING)]

    async with asyncio.timeout(SECONDS_TO_WAIT / 2):
        assert await outcomes(*tasks) == [Unavailable] * len(tasks)

    await database.close()


async def test_who_waits_for_a_closed_lane_is_told(one: Database, busy: asyncio.Task[bytes | None]) -> None:
    tasks = await asked(one, *range(30))

    await one.close()

    assert await outcomes(busy, *tasks) == [Unavailable] * 31


async def test_what_runs_for_nobody_is_cancelled_and_the_next_one_answers(one: Database, admin: Sql) -> None:
    backend = await one.text(WHO, [])
    sleeps = asyncio.create_task(one.text(SLEEP, []))
    behind = [asyncio.create_task(one.text(statement, values)) for statement, values in ((SLEEP, []), (ECHO, [b"x"]))]
    await asyncio.to_thread(until, lambda: admin(ACTIVE) == [(1,)], within=5)

    async with asyncio.timeout(2):
        for task in (sleeps, behind[0]):
            task.cancel()
        assert await outcomes(sleeps, *behind) == [asyncio.CancelledError, asyncio.CancelledError, b"x"]

    assert await one.text(WHO, []) == backend
    await idle(admin)


async def test_what_is_given_up_is_cancelled_when_its_turn_comes(
    one: Database, admin: Sql, busy: asyncio.Task[bytes | None]
) -> None:
    sleeps, echo = (asyncio.create_task(one.text(*each)) for each in ((SLEEP, []), (ECHO, [b"x"])))
    await asyncio.sleep(0)

    sleeps.cancel()
    await asyncio.sleep(0.05)  # it must not disturb whoever is at work
    assert not busy.done()
    go_on(admin)

    async with asyncio.timeout(2):
        assert await outcomes(busy, sleeps, echo) == [b"", asyncio.CancelledError, b"x"]


async def test_a_cancellation_that_hits_the_next_statement_has_it_sent_again(
    one: Database, admin: Sql, monkeypatch: pytest.MonkeyPatch, busy: asyncio.Task[bytes | None]
) -> None:
    late = asyncio.create_task(one.text(SLOW, [b"7", b"0.3"]))
    cancel, cancelled = AsyncConnection.cancel_safe, []

    async def tardy(connection: AsyncConnection, *, timeout: float) -> None:  # noqa: ASYNC109 -- as psycopg has it
        go_on(admin)
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        await asyncio.to_thread(until, lambda: bool(admin(sleeping)), within=5)
        cancelled.append(connection)
        await cancel(connection, timeout=timeout)

    monkeypatch.setattr(AsyncConnection, "cancel_safe", tardy)
    busy.cancel()

    assert await outcomes(busy, late) == [asyncio.CancelledError, b"7"]
    assert len(cancelled) == 1
    assert admin(NUMBERS) == [(7,)]


async def test_who_is_cancelled_by_somebody_else_is_not_sent_again(one: Database, admin: Sql) -> None:
    sleeps = asyncio.create_task(one.text(SLOW, [b"7", b"60"]))
    await asyncio.to_thread(until, lambda: admin(ACTIVE) == [(1,)], within=5)

    admin("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'holdfast'")

    assert await outcomes(sleeps) == [Timeout]
    assert admin(NUMBERS) == []


async def test_hundreds_of_whom_many_go_away_are_each_done_once_and_answered_right(
    address: str, admin: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.lane.SECONDS_TO_FINISH", 0)
    chosen = random.Random(20)
    database = connected(address, pool_size=1, lanes=3)

    async def one_of_many(number: int) -> bool:
        await asyncio.sleep(chosen.random() / 2)
        patience = chosen.choice([None, None, chosen.random() / 50])
        try:
            async with asyncio.timeout(patience):
                nap = b"%f" % (chosen.random() / 100)
                assert await database.text(SLOW, [b"%d" % number, nap]) == b"%d" % number
        except TimeoutError:
            return False
        return True

    answered = await asyncio.gather(*(one_of_many(number) for number in range(500)))
    await idle(admin)

    times = Counter(number for (number,) in admin(NUMBERS))
    assert 50 < answered.count(False) < 250
    assert [times[number] for number in range(500) if answered[number]] == [1] * answered.count(True)
    assert max(times.values()) == 1
    await database.close()


async def asleep(one: Database, how: str) -> None:
    async def work(statements: Statements) -> None:
        await statements.rows(text("INSERT INTO written (number) VALUES (1)"))
        await statements.rows(text("SELECT pg_sleep(60)"))

    await (one.rows(text("SELECT pg_sleep(60)")) if how == "a statement" else one.transaction(work))


@pytest.mark.parametrize("how", ["a statement", "a transaction"])
async def test_what_a_connection_runs_for_nobody_is_cancelled(one: Database, admin: Sql, how: str) -> None:
    task = asyncio.create_task(asleep(one, how))
    await asyncio.to_thread(
        until, lambda: bool(admin("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")), within=5
    )

    task.cancel()

    assert await outcomes(task) == [asyncio.CancelledError]
    await idle(admin)
    assert taken(one) == 0
    assert admin(NUMBERS) == []
    assert await one.rows(text("SELECT 1")) == [(1,)]


async def test_connections_whose_users_go_away_at_any_moment_all_come_back(address: str, admin: Sql) -> None:
    chosen = random.Random(21)
    database = connected(address, pool_size=3, lanes=1)

    async def work(statements: Statements) -> None:
        await statements.rows(text("INSERT INTO written (number) VALUES (1)"))
        await statements.rows(text("SELECT pg_sleep(0.002)"))

    async def one_of_many() -> bool:
        try:
            async with asyncio.timeout(chosen.random() / 10):
                await (database.transaction(work) if chosen.random() < 0.5 else database.rows(text(INSERT_SLOWLY)))
        except (TimeoutError, Unavailable):
            return False
        return True

    answered = await asyncio.gather(*(one_of_many() for _ in range(100)))
    await idle(admin)

    assert taken(database) == database.pool.waiting == 0
    assert 0 < answered.count(True) <= len(admin(NUMBERS)) < 100
    assert await database.rows(text("SELECT 1")) == [(1,)]
    await database.close()


INSERT_SLOWLY = "INSERT INTO written (number) SELECT 2 FROM (SELECT pg_sleep(0.002)) slept"


async def occupied(one: Database) -> tuple[asyncio.Event, asyncio.Task[None]]:
    """Keep the one connection of the pool until this event, and who keeps it."""
    free, has_begun = asyncio.Event(), asyncio.Event()

    async def work(_: Statements) -> None:
        has_begun.set()
        await free.wait()

    keeper = asyncio.create_task(one.transaction(work))
    await has_begun.wait()
    return free, keeper


async def test_who_would_wait_for_a_connection_behind_too_many_is_turned_away(one: Database) -> None:
    one.pool = Pool(one.engine, most_waiting=3)
    free, keeper = await occupied(one)
    waiting = [asyncio.create_task(one.rows(text("SELECT 1"))) for _ in range(3)]
    await asyncio.sleep(0)

    assert await outcomes(one.rows(text("SELECT 1"))) == [Unavailable]
    waiting[0].cancel()
    await asyncio.wait([waiting[0]])
    waiting.append(asyncio.create_task(one.rows(text("SELECT 1"))))
    free.set()

    assert await outcomes(keeper, *waiting) == [None, asyncio.CancelledError, *([[(1,)]] * 3)]
    assert (one.pool.waiting, taken(one)) == (0, 0)


async def test_who_waits_too_long_for_a_connection_is_told_so(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.database.SECONDS_TO_WAIT", 0.05)
    one = connected(address, pool_size=1, lanes=1)
    free, keeper = await occupied(one)

    async with asyncio.timeout(2):
        assert await outcomes(one.rows(text("SELECT 1"))) == [Unavailable]

    free.set()
    await keeper
    assert await one.rows(text("SELECT 1")) == [(1,)]
    await one.close()
