"""Lanes: what one request sends never reaches another, whatever fails, is cancelled, dies or is restarted."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import text

from models.refusal import Busy, Refusal, SlotUnavailable, Timeout, Unavailable
from resolvers.database import Database, DatabaseFaultError, Failing, RaceLostError, Statements
from resolvers.lane import MOST_SENT, Lane, Statement
from resolvers.waiting import MOST_WAITING
from server.database import connected, conninfo
from server.postgres import embedded
from tests.conftest import Api, fresh_database
from tests.server.test_postgres import FAST, answers, postmaster, until

Sql = Callable[..., list[tuple[Any, ...]]]

ECHO = Statement(b"echo", b"SELECT $1::text")
WHO = Statement(b"who", b"SELECT pg_backend_pid()::text")
LOCK = Statement(b"lock", b"SELECT pg_advisory_lock_shared(1)::text || pg_backend_pid()")
SLEEP = Statement(b"sleep", b"SELECT pg_sleep(60)::text")
TAKE = Statement(b"take", b"INSERT INTO seats VALUES ($1::int) RETURNING number::text")
PUBLISH = Statement(b"publish", b"INSERT INTO published VALUES ($1::int)")
FAIL = Statement(b"fail", b"SELECT fail($1::text)")
PREPARED = Statement(b"prepared", b"SELECT string_agg(name, ' ' ORDER BY name) FROM pg_prepared_statements")
LIMITS = """SELECT concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'),
current_setting('idle_in_transaction_session_timeout'), current_setting('timezone'), current_setting('jit'),
current_setting('application_name'), current_setting('client_encoding'), current_user,
quote_literal(current_setting('holdfast.business_id')))"""
# As the migrations make it; a role belongs to the whole cluster, and so may be there already.
ROLE = """
DO $$ BEGIN CREATE ROLE holdfast_app NOLOGIN; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
GRANT ALL ON SCHEMA public TO holdfast_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO holdfast_app;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO holdfast_app;
"""
TABLES = """
CREATE TABLE seats (number int CONSTRAINT seat_is_free UNIQUE);
CREATE TABLE published (number int CONSTRAINT appointment_is_new UNIQUE);
CREATE FUNCTION fail(state text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'Ada Lovelace' USING ERRCODE = state; END $$
"""
MEGABYTE = 2**20


@pytest.fixture(scope="module", params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def address(cluster: str) -> Iterator[str]:
    with fresh_database(cluster) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute((ROLE + TABLES).encode())
        yield url


@pytest.fixture
def admin(address: str) -> Iterator[Sql]:
    """Another session of the same database."""
    with psycopg.connect(address, autocommit=True) as connection:

        def run(statement: str, *values: Any) -> list[tuple[Any, ...]]:
            done = connection.execute(statement.encode(), values or None)
            return done.fetchall() if done.description else []

        yield run


@pytest.fixture
async def one(address: str) -> AsyncIterator[Database]:
    """A database with one lane: who comes after waits behind."""
    database = connected(address, pool_size=1, lanes=1)
    yield database
    await database.close()


async def outcomes(*waited: Any) -> list[Any]:
    """What each answered, or the type of what it raised."""
    done = await asyncio.gather(*waited, return_exceptions=True)
    return [type(each) if isinstance(each, BaseException) else each for each in done]


async def blocked(admin: Sql) -> None:
    """Wait until somebody waits for the lock that the admin holds."""
    waiting = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    await asyncio.to_thread(until, lambda: bool(admin(waiting)), within=5)


async def test_each_of_many_on_one_lane_gets_its_own_answer(one: Database) -> None:
    values = [b"%d" % number for number in range(500)]

    answered = await asyncio.gather(*(one.text(ECHO, [value]) for value in values))
    backends = await asyncio.gather(*(one.text(WHO, []) for _ in range(50)))

    assert answered == values
    assert len(set(backends)) == 1


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        (b"SELECT NULL::text", None),
        (b"SELECT 'x' WHERE false", None),
        (b"SELECT ''", b""),
        (b"SELECT", None),
        (b"VALUES ('first', 'second'), ('third', 'fourth')", b"first"),
        (b"CREATE TABLE other ()", None),
    ],
)
async def test_the_answer_is_the_first_column_of_the_first_row(
    one: Database, query: bytes, answer: bytes | None
) -> None:
    assert await one.text(Statement(b"asked", query), []) == answer


@pytest.mark.parametrize(
    "value",
    [
        "",
        "'",
        '"',
        "\\",
        "''; DROP TABLE seats; --",
        "$1 $2 $$",
        "%s %(x)s %%",
        ":x ::text",
        "🦉 ü\u0301",
        "\r\n\t\x01",
        "NULL",
        "{}",
    ],
)
async def test_a_value_arrives_as_it_is(one: Database, value: str) -> None:
    assert await one.text(ECHO, [value.encode()]) == value.encode()


async def test_null_is_not_the_empty_text(one: Database) -> None:
    two = Statement(b"two", b"SELECT concat($1::text IS NULL, $2::text IS NULL)")

    assert await one.text(two, [None, b""]) == b"tf"


@pytest.mark.parametrize("value", [b"\0", b"cut\0off", b"end\0"])
async def test_the_character_nul_is_refused_and_not_cut(one: Database, value: bytes) -> None:
    refused = asyncio.gather(
        one.text(ECHO, [b"x"]), one.text(ECHO, [value]), one.text(ECHO, [b"z"]), return_exceptions=True
    )

    before, error, after = await refused

    assert isinstance(error, ValueError)
    assert (before, after) == (b"x", b"z")


async def test_large_values_travel_both_ways_at_once(one: Database) -> None:
    values = [b"%02d" % number * (MEGABYTE // 2) for number in range(50)]

    answered = await asyncio.gather(*(one.text(ECHO, [value]) for value in values))

    assert [len(value or b"") for value in answered] == [MEGABYTE] * 50
    assert answered == values
    assert await one.text(ECHO, [b"small"]) == b"small"


async def test_an_error_leaves_its_neighbours_alone(one: Database, admin: Sql) -> None:
    numbers = [b"1", b"x", b"2", b"1", b"3", b"99999999999", b"4"]

    done = await outcomes(*(one.text(TAKE, [number]) for number in numbers))

    fault, refused = DatabaseFaultError, SlotUnavailable
    assert done == [b"1", fault, b"2", refused, b"3", fault, b"4"]
    assert admin("SELECT number FROM seats ORDER BY number") == [(1,), (2,), (3,), (4,)]


async def test_a_fault_is_told_without_a_word_of_the_rows(one: Database) -> None:
    with pytest.raises(DatabaseFaultError) as told:
        await one.text(FAIL, [b"22012"])

    assert str(told.value) == "DivisionByZero 22012"
    assert told.value.__suppress_context__


@pytest.mark.parametrize(
    ("state", "raised"),
    [
        (b"40P01", RaceLostError),
        (b"40001", RaceLostError),
        (b"55P03", Busy),
        (b"57014", Timeout),
        (b"57P01", Unavailable),
        (b"53300", Unavailable),
        (b"XX000", DatabaseFaultError),
    ],
)
async def test_an_error_is_told_as_the_pool_tells_it(one: Database, state: bytes, raised: type[Exception]) -> None:
    with pytest.raises(raised) as by_lane:
        await one.text(FAIL, [state])
    with pytest.raises((Refusal, DatabaseFaultError)) as by_pool:
        await one.rows(text("SELECT fail(:state)").bindparams(state=state.decode()))

    assert raised is RaceLostError or (type(by_lane.value), str(by_lane.value)) == (
        type(by_pool.value),
        str(by_pool.value),
    )


async def test_who_comes_second_has_lost_the_race(one: Database, admin: Sql) -> None:
    done = await outcomes(one.text(PUBLISH, [b"1"]), one.text(PUBLISH, [b"1"]), one.text(PUBLISH, [b"2"]))

    assert done == [None, RaceLostError, None]
    assert admin("SELECT number FROM published ORDER BY number") == [(1,), (2,)]


async def test_what_takes_too_long_is_a_timeout(one: Database) -> None:
    limit = Statement(b"limit", b"SELECT set_config('statement_timeout', '50ms', false)")

    done = await outcomes(one.text(limit, []), one.text(SLEEP, []), one.text(ECHO, [b"x"]))

    assert done == [b"50ms", Timeout, b"x"]


async def test_a_lane_has_the_limits_of_the_pool(one: Database) -> None:
    by_lane = await one.text(Statement(b"limits", LIMITS.encode()), [])
    by_pool = await one.row(text(LIMITS))

    assert by_lane == b"5s 2s 5s UTC off holdfast UTF8 holdfast_app ''"
    assert by_pool is not None
    assert by_pool[0].encode() == by_lane


def test_everything_an_address_says_is_said_to_libpq() -> None:
    told = conninfo_to_dict(conninfo("postgresql://ada:p%40ss 'w'@db:6543/clinic?sslmode=require&keepalives_idle=9"))
    socket = conninfo_to_dict(conninfo("postgres://postgres@/clinic?host=/run/a b&port=5433"))

    assert told.pop("options") == (
        "-c statement_timeout=5s -c lock_timeout=2s -c idle_in_transaction_session_timeout=5s -c timezone=UTC -c jit=off"
        " -c holdfast.business_id= -c plan_cache_mode=force_generic_plan -c role=holdfast_app"
    )
    ours = {"application_name": "holdfast", "connect_timeout": 5, "client_encoding": "utf8"}
    where = {"user": "ada", "password": "p@ss 'w'", "host": "db", "port": "6543", "dbname": "clinic"}
    assert {name: str(value) for name, value in told.items()} == {
        name: str(value) for name, value in {**ours, **where, "sslmode": "require", "keepalives_idle": "9"}.items()
    }
    assert (socket["host"], str(socket["port"]), socket["user"]) == ("/run/a b", "5433", "postgres")


async def test_a_statement_is_prepared_once(one: Database) -> None:
    plans = Statement(
        b"plans",
        b"SELECT count(*) || ' ' || sum(generic_plans + custom_plans) FROM pg_prepared_statements WHERE name = 'echo'",
    )

    await asyncio.gather(*(one.text(ECHO, [b"x"]) for _ in range(7)))
    await one.text(ECHO, [b"x"])

    assert await one.text(plans, []) == b"1 8"


async def test_the_least_used_statement_gives_way(address: str) -> None:
    first, second, third = (Statement(name, b"SELECT '%s'" % name) for name in (b"a", b"b", b"c"))
    lane = Lane(conninfo(address), most_prepared=len(PREPARED.sql + first.sql + second.sql))

    for statement in (PREPARED, first, second):
        await lane.run(statement, [])
    assert await lane.run(PREPARED, []) == b"a b prepared"
    await lane.run(first, [])
    await lane.run(third, [])

    assert await lane.run(PREPARED, []) == b"a c prepared"
    assert await lane.run(second, []) == b"b"
    assert await lane.run(PREPARED, []) == b"b c prepared"
    await lane.close()


async def test_who_would_wait_behind_too_many_is_turned_away(one: Database) -> None:
    most = MOST_SENT + MOST_WAITING
    waiting = [asyncio.ensure_future(one.text(ECHO, [b"x"])) for _ in range(most)]
    await asyncio.sleep(0)

    with pytest.raises(Unavailable):
        await one.text(ECHO, [b"x"])

    assert await asyncio.gather(*waiting) == [b"x"] * most
    assert await one.text(ECHO, [b"x"]) == b"x"


async def test_more_statements_than_are_kept_at_once_all_answer(address: str) -> None:
    many = [Statement(b"s%d" % n, b"SELECT '%d'" % n) for n in range(20)]
    lane = Lane(conninfo(address), most_prepared=len(many[0].sql) * 2)

    answered = await asyncio.gather(*(lane.run(statement, []) for statement in many * 3))

    assert answered == [b"%d" % n for n in range(20)] * 3
    await lane.close()


async def test_what_could_not_be_prepared_does_not_count_as_prepared(one: Database, admin: Sql) -> None:
    late = Statement(b"late", b"SELECT number::text FROM late")
    refused = await asyncio.gather(
        *(one.text(late, []) for _ in range(3)), one.text(ECHO, [b"x"]), return_exceptions=True
    )

    admin("CREATE TABLE late AS SELECT 7 AS number")

    assert [str(error) for error in refused[:3]] == ["UndefinedTable 42P01"] * 3
    assert refused[3] == b"x"
    assert list(one.lanes._lanes[0]._prepared) == [b"echo"]
    assert await outcomes(*(one.text(late, []) for _ in range(3))) == [b"7"] * 3


async def test_who_stands_behind_a_statement_that_could_not_be_prepared_is_answered(one: Database, admin: Sql) -> None:
    admin("CREATE TABLE late AS SELECT 7 AS number")
    late = Statement(b"late", b"SELECT number::text FROM late")
    limit = Statement(b"limit", b"SELECT set_config('lock_timeout', $1::text, false)")

    await one.text(limit, [b"50ms"])
    admin("BEGIN; LOCK TABLE late")
    refused, _, answered = (
        asyncio.create_task(one.text(statement, values))
        for statement, values in ((late, []), (limit, [b"0"]), (late, []))
    )
    assert await outcomes(refused) == [Busy]
    admin("COMMIT")

    assert await outcomes(answered) == [b"7"]


async def test_a_statement_whose_type_has_changed_is_prepared_again(one: Database, admin: Sql) -> None:
    admin("CREATE TABLE changing AS SELECT 7 AS value")
    read = Statement(b"read", b"SELECT value FROM changing")
    assert await one.text(read, []) == b"7"

    admin("ALTER TABLE changing ALTER value TYPE text USING 'seven'")

    assert await outcomes(*(one.text(read, []) for _ in range(3))) == [b"seven"] * 3


async def test_who_goes_away_disturbs_nobody(one: Database, admin: Sql) -> None:
    admin("SELECT pg_advisory_lock(1)")
    waiting = [asyncio.create_task(one.text(LOCK, []))]
    waiting += [asyncio.create_task(one.text(ECHO, [value])) for value in (b"a", b"b", b"c")]
    await blocked(admin)

    for gone in (waiting[0], waiting[2]):
        gone.cancel()
    admin("SELECT pg_advisory_unlock(1)")

    assert await outcomes(*waiting) == [asyncio.CancelledError, b"a", asyncio.CancelledError, b"c"]
    assert await one.text(ECHO, [b"d"]) == b"d"


async def test_what_is_cancelled_before_there_is_a_connection_is_not_run(one: Database, admin: Sql) -> None:
    waiting = [asyncio.create_task(one.text(TAKE, [number])) for number in (b"1", b"2", b"3")]
    await asyncio.sleep(0)

    waiting[1].cancel()

    assert await outcomes(*waiting) == [b"1", asyncio.CancelledError, b"3"]
    assert admin("SELECT number FROM seats ORDER BY number") == [(1,), (3,)]


async def test_a_killed_backend_fails_who_waits_and_nobody_else(one: Database, admin: Sql) -> None:
    backend = await one.text(WHO, [])
    assert backend is not None
    waiting = [asyncio.create_task(one.text(SLEEP, []))]
    waiting += [asyncio.create_task(one.text(ECHO, [b"x"])) for _ in range(5)]
    await asyncio.sleep(0)

    assert admin("SELECT pg_terminate_backend(%s, 5000)", int(backend)) == [(True,)]

    assert await outcomes(*waiting) == [Unavailable] * 6
    assert list(one.lanes._lanes[0]._prepared) == []
    assert await one.text(PREPARED, []) == b"prepared"
    assert await one.text(WHO, []) != backend


async def test_a_backend_that_dies_while_nobody_waits_is_replaced_unseen(one: Database, admin: Sql) -> None:
    backend = await one.text(WHO, [])
    assert backend is not None

    admin("SELECT pg_terminate_backend(%s, 5000)", int(backend))
    await asyncio.sleep(0.05)  # the loop learns of it

    assert await one.text(WHO, []) not in (backend, None)


async def test_pool_and_lanes_survive_a_restart_of_the_database(tmp_path: Path) -> None:
    data = tmp_path / ".data" / "postgres"
    with embedded(data, settings=FAST) as url:
        database = connected(url, pool_size=1, lanes=2, role=None)
        assert await database.text(ECHO, [b"x"]) == b"x"
        assert await database.rows(text("SELECT 1")) == [(1,)]
        waiting = [asyncio.create_task(database.text(SLEEP, [])) for _ in range(4)]
        await asyncio.sleep(0)

        os.kill(postmaster(data), signal.SIGKILL)

        assert await outcomes(*waiting) == [Unavailable] * 4
        await asyncio.to_thread(until, lambda: answers(url), within=10)
        assert await outcomes(*(database.text(ECHO, [b"x"]) for _ in range(9))) == [b"x"] * 9
        with suppress(Unavailable):
            await database.rows(text("SELECT 1"))
        assert await database.rows(text("SELECT 1")) == [(1,)]
        await database.close()


async def test_while_the_database_is_stopped_everybody_is_told_and_later_served(tmp_path: Path) -> None:
    data = tmp_path / ".data" / "postgres"
    with embedded(data, settings=FAST) as url:
        database = connected(url, pool_size=1, lanes=2, role=None)
        assert await database.text(ECHO, [b"x"]) == b"x"

    assert await outcomes(*(database.text(ECHO, [b"x"]) for _ in range(9))) == [Unavailable] * 9
    assert await outcomes(*(database.text(ECHO, [b"x"]) for _ in range(9))) == [Unavailable] * 9

    with embedded(data, settings=FAST):
        assert await outcomes(*(database.text(ECHO, [b"x"]) for _ in range(9))) == [b"x"] * 9
        await database.close()


@asynccontextmanager
async def impostor(*says: bytes) -> AsyncIterator[tuple[Database, list[int]]]:
    """A lane to somebody who answers each message with the next of these and hangs up, and how many messages came."""
    heard: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(0)
        for said in says:
            await reader.read(MEGABYTE)
            writer.write(said)
            heard[-1] += 1
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = connected(f"postgresql://x@127.0.0.1:{port}/x?sslmode=disable&gssencmode=disable", pool_size=1, lanes=1)
    yield database, heard
    await database.close()
    server.close()
    await server.wait_closed()


async def test_a_lane_connects_once_for_all_who_wait() -> None:
    async with impostor() as (database, heard):
        assert await outcomes(*(database.text(ECHO, [b"x"]) for _ in range(20))) == [Unavailable] * 20
        assert heard == [0]

        assert await outcomes(database.text(ECHO, [b"x"])) == [Unavailable]
        assert heard == [0, 0]


async def test_what_makes_no_sense_ends_the_connection() -> None:
    ready, nonsense = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I", b"?\x7f\xff\xff\xff"

    async with impostor(ready, nonsense, b"") as (database, heard):
        assert await outcomes(*(database.text(ECHO, [b"x"]) for _ in range(20))) == [Unavailable] * 20
        assert heard[0] >= 2


async def test_a_lane_that_cannot_connect_is_chosen_last(address: str) -> None:
    database = connected(address, pool_size=1, lanes=2)
    database.lanes._lanes[0] = Lane("host=127.0.0.1 port=1")

    done = [(await outcomes(database.text(ECHO, [b"x"])))[0] for _ in range(5)]

    assert done == [Unavailable, b"x", b"x", b"x", b"x"]
    await database.close()


async def test_who_comes_goes_where_the_fewest_wait(address: str, admin: Sql) -> None:
    database = connected(address, pool_size=1, lanes=3)
    admin("SELECT pg_advisory_lock(1)")
    waiting = [asyncio.create_task(database.text(LOCK, [])) for _ in range(6)]
    await blocked(admin)

    admin("SELECT pg_advisory_unlock(1)")

    backends = await outcomes(*waiting)
    assert sorted(backends.count(backend) for backend in set(backends)) == [2, 2, 2]
    await database.close()


async def test_a_lane_that_is_closed_fails_who_waits_and_leaves_nothing_behind(address: str, admin: Sql) -> None:
    database = connected(address, pool_size=1, lanes=1)
    admin("SELECT pg_advisory_lock(1)")
    waiting = asyncio.create_task(database.text(LOCK, []))
    await blocked(admin)

    await database.close()

    assert await outcomes(waiting) == [Unavailable]


async def test_a_lane_that_is_closed_while_it_connects_fails_who_waits(address: str) -> None:
    database = connected(address, pool_size=1, lanes=1)
    waiting = asyncio.create_task(database.text(ECHO, [b"x"]))
    await asyncio.sleep(0)

    await database.close()

    assert await outcomes(waiting) == [Unavailable]


async def test_the_statements_of_lanes_are_seen_by_the_tests(api: Api) -> None:
    assert await api.database.text(ECHO, [b"x"]) == b"x"
    await api.database.rows(text("SELECT 2"))

    assert api.on_lanes == ["SELECT $1::text"]
    assert api.statements == ["SELECT $1::text", "SELECT 2"]


TENANT = "SELECT current_setting('holdfast.business_id')"
WHOSE = Statement(b"whose", TENANT.encode())
NAP = Statement(b"nap", b"SELECT pg_sleep(0.01)::text")
BUSINESSES = [UUID(int=n) for n in (1, 2, 3)]


async def whose_by_lane(view: Database) -> str:
    return (await view.text(WHOSE, []) or b"").decode()


async def whose_by_pool(view: Database) -> str:
    row = await view.row(text(TENANT))
    return row[0] if row else ""


async def whose_in_a_transaction(view: Database) -> str:
    async def work(statements: Statements) -> str:
        row = await statements.row(text(TENANT))
        return row[0] if row else ""

    return await view.transaction(work, keep=False)


ROADS = [whose_by_lane, whose_by_pool, whose_in_a_transaction]
Road = Callable[[Database], Awaitable[str]]


@pytest.mark.parametrize("road", ROADS)
async def test_a_statement_sees_its_own_business_whoever_came_before(one: Database, road: Road) -> None:
    chosen = random.Random(7).choices([None, *BUSINESSES], k=300)
    views = [one.of(business) if business else one for business in chosen]

    seen = await asyncio.gather(*(road(view) for view in views))

    assert seen == [str(business or "") for business in chosen]


@pytest.mark.parametrize("road", ROADS)
async def test_a_statement_that_fails_or_is_cancelled_leaves_everybody_their_business(
    one: Database, road: Road
) -> None:
    chosen = random.Random(8)

    async def disturb(view: Database) -> None:
        if chosen.random() < 0.5:
            await outcomes(view.text(FAIL, [b"XX000"]), view.rows(text("SELECT 1 / 0")))
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(chosen.random() / 100):
                await asyncio.gather(view.text(NAP, []), view.rows(text("SELECT pg_sleep(0.01)")), road(view))

    async def ask(n: int) -> bool:
        business = chosen.choice(BUSINESSES)
        if n % 5 == 0:
            await disturb(one.of(business))
        return await road(one.of(business)) == str(business)

    assert await asyncio.gather(*(ask(n) for n in range(100))) == [True] * 100


@pytest.mark.parametrize("road", ROADS)
async def test_a_new_connection_is_told_whose_it_is(one: Database, admin: Sql, road: Road) -> None:
    first, second, _ = (one.of(business) for business in BUSINESSES)
    assert await road(first) == str(BUSINESSES[0])

    admin("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'holdfast'")
    await asyncio.sleep(0.05)  # the loop learns of it

    assert await road(second) == str(BUSINESSES[1])
    assert await road(second) == str(BUSINESSES[1])
    assert await road(one) == ""


async def test_a_transaction_that_is_taken_back_does_not_take_back_whose_the_connection_is(one: Database) -> None:
    first, second, _ = (one.of(business) for business in BUSINESSES)

    async def fail(statements: Statements) -> None:
        await statements.rows(text("SELECT 1 / 0"))

    assert await outcomes(first.transaction(fail), second.transaction(fail)) == [DatabaseFaultError] * 2
    assert await whose_by_pool(second) == str(BUSINESSES[1])
    assert await whose_by_pool(first) == str(BUSINESSES[0])


async def test_one_business_alone_is_told_once(one: Database) -> None:
    runs = Statement(b"runs", b"SELECT generic_plans::text FROM pg_prepared_statements WHERE name = 'business'")
    first, second, _ = (one.of(business) for business in BUSINESSES)

    for _ in range(5):
        await whose_by_lane(first)
    assert await first.text(runs, []) == b"1"
    await whose_by_lane(second)

    assert await second.text(runs, []) == b"2"


async def test_a_lane_that_cannot_change_its_business_is_given_up(
    one: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = (one.of(business) for business in BUSINESSES)
    backend = await first.text(WHO, [])

    with monkeypatch.context() as broken:
        broken.setattr("resolvers.lane.BUSINESS", Statement(b"broken", b"SELECT fail(left($1::text, 0) || 'XX000')"))
        done = await outcomes(first.text(WHOSE, []), second.text(WHOSE, []), second.text(ECHO, [b"x"]))

    assert done == [str(BUSINESSES[0]).encode(), Unavailable, Unavailable]
    assert await whose_by_lane(second) == str(BUSINESSES[1])
    assert await second.text(WHO, []) not in (backend, None)


async def test_the_least_burdened_lane_that_needs_no_change_is_chosen(address: str) -> None:
    database = connected(address, pool_size=1, lanes=3)
    views = [database.of(business) for business in BUSINESSES]
    backends = await asyncio.gather(*(view.text(WHO, []) for view in views))

    again = [await view.text(WHO, []) for view in reversed(views * 3)]

    assert len(set(backends)) == 3
    assert again == [*reversed(backends * 3)]
    await database.close()


async def test_a_view_shares_the_connections_of_its_database(one: Database) -> None:
    view = one.of(BUSINESSES[0])

    assert (view.engine, view.lanes, view.pool) == (one.engine, one.lanes, one.pool)
    assert await view.text(WHO, []) == await one.text(WHO, [])
    failing = Failing(view, Unavailable())
    assert await outcomes(failing.row(text(TENANT)), failing.of(BUSINESSES[1]).row(text(TENANT))) == [Unavailable] * 2
