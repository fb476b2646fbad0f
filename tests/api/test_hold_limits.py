"""How much a client keeps from others: by holds, by requests, by series, or past all rules by plain SQL."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from time import sleep
from typing import Any

import psycopg
import pytest
from psycopg import errors

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from tests.conftest import Api
from tests.life import as_client, done, send
from tests.supply import Supply, key, soon

Sql = Callable[..., list[tuple[Any, ...]]]
App = psycopg.Connection[Any]
HOUR, WEEK = timedelta(hours=1), timedelta(weeks=1)
NINE = soon(10)
CREATE = (
    "mutation ($input: ReservationCreateInput!) { reservationCreate(input: $input) { reservation { id } userErrors {"
    " code field message ... on TooManyHoldsError { limit } } } }"
)
SERIES = (
    "mutation ($input: ReservationSeriesCreateInput!) { reservationSeriesCreate(input: $input) { series { id } userErrors {"
    " code field message ... on TooManyHoldsError { limit } } } }"
)
CONFIRM, CONFIRM_SERIES = (
    f"mutation ($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {{ {shown} userErrors {{"
    " code field ... on TooManyHoldsError { limit } } } }"
    for name, shown in (("reservationConfirm", "reservation { status }"), ("reservationSeriesConfirm", "series { id }"))
)
PLAIN = (
    "INSERT INTO reservations (business_id, client_id, appointment_id, {}) VALUES (%s, %s, %s, {})"
    " RETURNING offered, lead_waived_by IS NULL, expires_at - created_at <= '30 minutes', id"
)


@pytest.fixture
def supply(sql: Sql) -> Supply:
    return Supply(sql)


@pytest.fixture
def app(database: str) -> Iterator[App]:
    """The application's role, for one business, with a statement of its own choice."""
    with psycopg.connect(database, options="-c role=holdfast_app", autocommit=True) as connection:
        connection.execute("SELECT set_config('holdfast.business_id', %s, false)", [str(DEFAULT_BUSINESS)])
        yield connection


async def asked(api: Api, query: str, headers: dict[str, str] | None = None, **wanted: Any) -> Any:
    answer = await api.post(query, headers, input=wanted)
    assert "errors" not in answer, answer["errors"]
    (payload,) = answer["data"].values()
    return payload


async def test_requests_that_wait_for_an_approval_are_as_few_as_holds(api: Api, supply: Supply, sql: Sql) -> None:
    sql("UPDATE businesses SET hold_limit = 2")
    ada, me = supply.provider(), await api.client()
    tattoo = supply.service("Tattoo", approval_time=timedelta(days=2))
    supply.offer(ada, tattoo)
    times = [supply.appointment(ada, NINE + n * HOUR) for n in range(4)]
    mine = as_client(sql, me)
    for time in times[:2]:
        made = await asked(api, CREATE, mine, clientId=me, appointmentId=time, serviceId=tattoo)
        request = await done(api, "reservationConfirm", mine, reservationId=made["reservation"]["id"])
        assert request["status"] == "PENDING"

    third = await asked(api, CREATE, mine, clientId=me, appointmentId=times[2])
    series = await asked(api, SERIES, clientId=me, appointmentId=times[2], count=2, mode="SKIP_CONFLICTS")
    await done(api, "reservationApprove", reservationId=request["id"])
    fourth = await asked(api, CREATE, mine, clientId=me, appointmentId=times[3])

    for refused in (third, series):
        (error,) = refused["userErrors"]
        assert (error["code"], error["field"], error["limit"]) == ("TOO_MANY_HOLDS", ["clientId"], 2)
        assert error["message"].startswith("As many requests of the client as allowed wait for an approval")
    assert fourth["userErrors"] == []
    assert sql("SELECT count(*) FROM reservations") == [(3,)]


class Tattoos:
    """A client who has requested one tattoo of the two that may wait, and holds two more."""

    def __init__(self, api: Api, supply: Supply, sql: Sql) -> None:
        self.api, self.sql = api, sql
        sql("UPDATE businesses SET hold_limit = 2")
        self.ada, self.service = supply.provider(), supply.service("Tattoo", approval_time=timedelta(days=2))
        supply.offer(self.ada, self.service)
        self.times = [supply.appointment(self.ada, NINE + n * HOUR) for n in range(4)]

    async def begin(self) -> tuple[str, str]:
        self.me = await self.api.client()
        self.mine = as_client(self.sql, self.me)
        first, second = [await self.held(time) for time in self.times[:2]]
        await done(self.api, "reservationConfirm", self.mine, reservationId=first)
        return second, await self.held(self.times[2])

    async def held(self, time: str) -> str:
        wish = {"clientId": self.me, "appointmentId": time, "serviceId": self.service}
        identity: str = (await asked(self.api, CREATE, self.mine, **wish))["reservation"]["id"]
        return identity

    async def confirmed(self, reservation: str) -> tuple[Any, ...]:
        """What the client's own confirmation came to: the state, or why not."""
        payload = await asked(self.api, CONFIRM, self.mine, reservationId=reservation)
        if payload["reservation"]:
            return (payload["reservation"]["status"],)
        (error,) = payload["userErrors"]
        return error["code"], error["field"], error["limit"]

    def waiting(self) -> int:
        ((many,),) = self.sql("SELECT count(*) FROM reservations WHERE status = 'HELD' AND requested_at IS NOT NULL")
        return int(many)


FULL = ("TOO_MANY_HOLDS", ["reservationId"], 2)


async def test_no_more_holds_become_requests_than_may_wait(api: Api, supply: Supply, sql: Sql) -> None:
    tattoos = Tattoos(api, supply, sql)
    second, third = await tattoos.begin()

    told = [await tattoos.confirmed(each) for each in (second, third, second)]
    kept = sql("SELECT status, requested_at, version FROM reservations WHERE id = %s", key(third))
    waiting = tattoos.waiting()
    await done(api, "reservationApprove", reservationId=second)

    assert told == [("PENDING",), FULL, ("PENDING",)]
    assert (kept, waiting) == ([("HELD", None, 1)], 2)
    assert await tattoos.confirmed(third) == ("PENDING",)
    assert tattoos.waiting() == 2


async def test_what_the_desk_confirms_waits_for_nobody_and_is_not_counted(api: Api, supply: Supply, sql: Sql) -> None:
    tattoos = Tattoos(api, supply, sql)
    second, third = await tattoos.begin()
    await tattoos.confirmed(second)

    assert (await done(api, "reservationConfirm", reservationId=third))["status"] == "CONFIRMED"
    assert tattoos.waiting() == 2


async def test_what_was_offered_is_a_request_like_any_other_once_it_is_one(api: Api, supply: Supply, sql: Sql) -> None:
    tattoos = Tattoos(api, supply, sql)
    second, third = await tattoos.begin()
    await done(api, "reservationCancel", reservationId=third)
    ((offered,),) = sql(
        "INSERT INTO reservations (business_id, client_id, appointment_id, service_id, offered)"
        " VALUES (%s, %s, %s, %s, true) RETURNING id",
        *(DEFAULT_BUSINESS, key(tattoos.me), key(tattoos.times[3]), key(tattoos.service)),
    )

    assert await tattoos.confirmed(encode("Reservation", offered)) == ("PENDING",)
    assert await tattoos.confirmed(second) == FULL
    assert tattoos.waiting() == 2


async def test_a_series_is_one_request_and_is_not_made_where_as_many_wait(api: Api, supply: Supply, sql: Sql) -> None:
    tattoos = Tattoos(api, supply, sql)
    second, third = await tattoos.begin()
    await done(api, "reservationCancel", reservationId=third)
    supply.appointment(tattoos.ada, NINE + 3 * HOUR + WEEK)
    wish = {"clientId": tattoos.me, "appointmentId": tattoos.times[3], "serviceId": tattoos.service}
    series = await asked(api, SERIES, tattoos.mine, **wish, count=2)

    assert series["userErrors"] == []
    assert await tattoos.confirmed(second) == ("PENDING",)
    refused = await asked(api, CONFIRM_SERIES, tattoos.mine, seriesId=series["series"]["id"])
    await done(api, "reservationApprove", reservationId=second)
    agreed = await asked(api, CONFIRM_SERIES, tattoos.mine, seriesId=series["series"]["id"])

    (error,) = refused["userErrors"]
    assert (error["code"], error["field"], error["limit"]) == ("TOO_MANY_HOLDS", ["seriesId"], 2)
    assert agreed["userErrors"] == []
    assert tattoos.waiting() == 3  # the one from before, and both of the series


@pytest.mark.parametrize("turn", range(4))
async def test_of_confirmations_at_once_only_as_many_become_requests_as_may_wait(
    api: Api, supply: Supply, sql: Sql, turn: int
) -> None:
    tattoos = Tattoos(api, supply, sql)
    second, third = await tattoos.begin()

    async def late() -> tuple[Any, ...]:
        await asyncio.sleep(0.002 * turn)
        return await tattoos.confirmed(third)

    moving = {"reservationId": second, "appointmentId": tattoos.times[3]}
    told = await asyncio.gather(
        tattoos.confirmed(second), late(), send(api, "reservationReschedule", tattoos.mine, **moving)
    )

    assert sorted(told[:2]) == [("PENDING",), FULL]
    assert tattoos.waiting() == 2
    assert sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]


def somebody_waits(sql: Sql) -> None:
    """Come back once a statement waits for a lock."""
    for _ in range(150):
        if sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"):
            return
        sleep(0.01)
    pytest.fail("nobody waits")


async def test_who_requests_is_locked_before_what_they_request(
    api: Api, supply: Supply, sql: Sql, database: str
) -> None:
    tattoos = Tattoos(api, supply, sql)
    second, _ = await tattoos.begin()

    with psycopg.connect(database) as other:
        other.execute("SELECT FROM clients FOR NO KEY UPDATE")
        confirming = asyncio.create_task(tattoos.confirmed(second))
        await asyncio.to_thread(somebody_waits, sql)
        locked = other.execute("SELECT count(*) FROM (SELECT FROM reservations FOR NO KEY UPDATE NOWAIT) r").fetchone()

    assert locked == (3,)
    assert await confirming == ("PENDING",)


def test_by_plain_sql_no_more_are_requested_either(database: str, supply: Supply, sql: Sql) -> None:
    sql("UPDATE businesses SET hold_limit = 1")
    ada, tattoo = supply.provider(), supply.service("Tattoo", approval_time=timedelta(days=2))
    supply.offer(ada, tattoo)
    me = supply.add("Client", "clients", first_name="Charles", last_name="Babbage")
    insert = "INSERT INTO reservations (business_id, client_id, appointment_id, service_id, offered) VALUES (%s, %s, %s, %s, true)"
    for n in (0, 1):
        sql(insert, DEFAULT_BUSINESS, key(me), key(supply.appointment(ada, NINE + n * HOUR)), key(tattoo))

    with psycopg.connect(database, options="-c role=holdfast_app", autocommit=True) as app:
        app.execute("SELECT set_config('holdfast.business_id', %s, false)", [str(DEFAULT_BUSINESS)])
        with pytest.raises(errors.CheckViolation) as refused:
            app.execute("UPDATE reservations SET requested_at = now()")

    assert refused.value.diag.constraint_name == "requests_are_few"
    assert sql("SELECT count(*) FROM reservations WHERE requested_at IS NOT NULL") == [(0,)]


async def test_a_client_holds_one_series_of_12_at_a_time_and_the_desk_as_many_as_it_likes(
    api: Api, supply: Supply, sql: Sql
) -> None:
    ada, me = supply.provider(), await api.client()
    nine, ten = (supply.appointment(ada, NINE + n * HOUR) for n in (0, 1))
    for week in range(1, 13):
        for n in (0, 1):
            supply.appointment(ada, NINE + n * HOUR + week * WEEK)
    mine, wish = as_client(sql, me), {"clientId": me, "appointmentId": nine}

    long = await asked(api, SERIES, mine, **wish, count=13)
    first = await asked(api, SERIES, mine, **wish, count=12)
    second = await asked(api, SERIES, mine, clientId=me, appointmentId=ten, count=2)
    of_desk = await asked(api, SERIES, clientId=me, appointmentId=ten, count=13)

    assert [(error["code"], error["field"]) for error in long["userErrors"]] == [("INVALID_INPUT", ["count"])]
    assert first["userErrors"] == of_desk["userErrors"] == []
    (error,) = second["userErrors"]
    assert (error["code"], error["field"], error["limit"]) == ("TOO_MANY_HOLDS", ["clientId"], 1)
    assert sql("SELECT count(*) FROM reservations") == [(25,)]


async def test_a_hold_ends_when_its_time_begins(api: Api, supply: Supply, sql: Sql) -> None:
    sql("UPDATE businesses SET lead_time = '0', minimum_horizon = '0'")
    ada, me = supply.provider(), await api.client()
    ((in_ten,),) = sql("SELECT date_trunc('second', clock_timestamp() + interval '10 minutes')")
    time, later = supply.appointment(ada, in_ten), supply.appointment(ada, NINE)
    held = (await asked(api, CREATE, clientId=me, appointmentId=time))["reservation"]["id"]
    moving = (await asked(api, CREATE, clientId=me, appointmentId=later))["reservation"]["id"]

    renewed = await done(api, "reservationRenew", reservationId=held)
    await done(api, "reservationCancel", reservationId=held)
    moved = await done(api, "reservationReschedule", reservationId=moving, appointmentId=time)

    assert [datetime.fromisoformat(each["expiresAt"]) for each in (renewed, moved)] == [in_ten, in_ten]


async def test_by_plain_sql_nobody_offers_waives_or_hoards(api: Api, supply: Supply, sql: Sql, app: App) -> None:
    sql("UPDATE businesses SET hold_limit = 2")
    ada, me, other = supply.provider(), await api.client(), await api.client("Bob")
    times = [supply.appointment(ada, NINE + n * HOUR) for n in range(4)]
    at_once = supply.appointment(ada, soon(0, hour=0) + timedelta(days=1, hours=23))
    sql("UPDATE businesses SET lead_time = '5 days'")
    ((visit,),) = sql(
        "INSERT INTO visits (business_id, client_id) VALUES (%s, %s) RETURNING id", DEFAULT_BUSINESS, key(other)
    )

    def plain(place: str, columns: str, values: str) -> Any:
        try:
            found = app.execute(
                PLAIN.format(columns, values).encode(), [DEFAULT_BUSINESS, key(me), key(place)]
            ).fetchone()
        except psycopg.Error as error:
            return error.diag.constraint_name
        assert found is not None
        return found[:3]

    offered = [plain(time, "offered, expires_at", "true, '2300-01-01'") for time in times[:3]]
    waived = plain(at_once, "lead_waived_by", "uuidv7()")
    sql("UPDATE businesses SET hold_limit = NULL")
    of_another = plain(times[3], "visit_id", f"'{visit}'")

    assert offered == [(False, True, True), (False, True, True), "holds_are_few"]
    assert (waived, of_another) == ("holds_are_few", "reservation_of_visit")
    assert plain(at_once, "lead_waived_by", "uuidv7()") == "booked_ahead"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE proposals SET expires_at = '2300-01-01'",
        "UPDATE proposals SET appointment_id = uuidv7()",
        "UPDATE waitlist_entries SET reservation_id = uuidv7()",
        "UPDATE waitlist_entries SET created_at = '2000-01-01'",
        "INSERT INTO proposals (business_id) VALUES (uuidv7())",
        "INSERT INTO waitlist_offers (business_id) VALUES (uuidv7())",
    ],
)
def test_the_application_changes_only_what_it_has_to(app: App, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        app.execute(statement.encode())
