"""How much a client keeps from others: by holds, by requests, by series, or past all rules by plain SQL."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg import errors

from models.business import DEFAULT_BUSINESS
from tests.conftest import Api
from tests.life import as_client, done
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
