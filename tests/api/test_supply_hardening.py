"""Supply, hardened: what shrinks or grows under a booking, what is sent twice, and what nobody else may run."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from graphql import GraphQLField, GraphQLInputObjectType, GraphQLObjectType, get_named_type

from models.node_id import encode
from schema.execution import CONTRACT
from tests.api.test_any_provider import NINE
from tests.api.test_catalogue import do, made, told
from tests.api.test_examples import filled, user_errors, world
from tests.api.test_explain import FREE, codes
from tests.api.test_resources import Rooms, code
from tests.conftest import RESERVE, Api
from tests.schedules import REPLAYED, change, refusals

Sql = Callable[..., list[tuple[Any, ...]]]
HOLD = (
    "INSERT INTO reservations (business_id, client_id, appointment_id) SELECT business_id, id, %s FROM clients LIMIT 1"
)


async def offered(api: Api, **wanted: str) -> set[str]:
    return {node["id"] for node in (await api(FREE, f=wanted))["availableAppointments"]["nodes"]}


# Resources of which there are fewer now


async def test_a_unit_is_in_use_though_there_are_fewer_now(api: Api, sql: Sql) -> None:
    rooms = Rooms(sql, 2)
    first, second, third = rooms.times(3)
    released = rooms.claim(first)
    assert await code(api, rooms, second) == "HELD"
    sql("UPDATE reservations SET status = 'CANCELLED' WHERE id = %s", released)
    assert sql("SELECT unit FROM resource_claims") == [(2,)]

    fewer = await do(api, "resourceUpdate", id=encode("Resource", rooms.room), expectedVersion=1, quantity=1)
    shown = await offered(api)

    assert (fewer["resource"]["quantity"], fewer["userErrors"]) == (1, [])
    assert encode("Appointment", third) not in shown
    assert shown == set()
    assert await code(api, rooms, third) == "SLOT_UNAVAILABLE"
    assert sql("SELECT unit FROM resource_claims") == [(2,)]


async def test_the_other_unit_is_had_where_one_beyond_the_quantity_is_in_use(api: Api, sql: Sql) -> None:
    rooms = Rooms(sql, 3)
    *earlier, last, next_, one_too_many = rooms.times(5)
    released = [rooms.claim(time) for time in earlier]
    rooms.claim(last)
    sql("UPDATE reservations SET status = 'CANCELLED' WHERE id = ANY (%s)", released)
    sql("UPDATE resources SET quantity = 2")

    outcomes = [await code(api, rooms, time) for time in (next_, one_too_many)]

    assert outcomes == ["HELD", "SLOT_UNAVAILABLE"]
    assert sql("SELECT unit FROM resource_claims ORDER BY unit") == [(1,), (3,)]


async def test_a_group_keeps_its_unit_though_there_are_fewer_now(api: Api, sql: Sql) -> None:
    rooms = Rooms(sql, 2)
    (alone,), (group,) = rooms.times(1), rooms.times(1, capacity=3)
    released = rooms.claim(alone)
    rooms.claim(group)
    sql("UPDATE reservations SET status = 'CANCELLED' WHERE id = %s", released)
    sql("UPDATE resources SET quantity = 1")

    shown = await offered(api)
    outcomes = [await code(api, rooms, time) for time in (group, alone)]

    assert shown == {encode("Appointment", group)}
    assert outcomes == ["HELD", "SLOT_UNAVAILABLE"]
    assert sql("SELECT count(*), min(unit), max(unit) FROM resource_claims") == [(2, 2, 2)]


async def test_there_are_never_fewer_of_a_resource_than_a_service_needs(api: Api, sql: Sql) -> None:
    chair = await made(api, "resource", name="Chair", quantity=3)
    for name, quantity in (("Cut", 1), ("Balayage", 2)):
        needs = [{"resourceId": chair["id"], "quantity": quantity}]
        await made(api, "service", name=name, durationMinutes=30, resources=needs)

    fewer = await do(api, "resourceUpdate", id=chair["id"], expectedVersion=1, quantity=1)
    enough = await do(api, "resourceUpdate", id=chair["id"], expectedVersion=1, quantity=2)

    assert told(fewer) == [("INVALID_INPUT", ["quantity"])]
    assert fewer["userErrors"][0]["message"] == "Balayage needs 2 of this resource."
    assert (enough["resource"]["quantity"], enough["resource"]["version"]) == (2, 2)
    assert sql("SELECT quantity, version FROM resources") == [(2, 2)]


# Services that take longer now


async def test_a_time_that_has_become_too_short_for_its_service_is_not_offered(api: Api, sql: Sql) -> None:
    rooms = Rooms(sql)
    provider = rooms.insert("providers", first_name="Ada", last_name="Lovelace")
    time = rooms.publish(provider, NINE, service_id=rooms.service)
    rooms.insert("offerings", provider_id=provider, service_id=rooms.service)
    service, key = encode("Service", rooms.service), encode("Appointment", time)
    before = await offered(api)

    longer = await do(api, "serviceUpdate", id=service, expectedVersion=1, durationMinutes=90)
    after = [await offered(api), await offered(api, serviceId=service)]
    wish = {"clientId": rooms.client(), "appointmentId": key}
    payloads = [
        (await api(RESERVE, input=wish | chosen))["reservationCreate"] for chosen in ({}, {"serviceId": service})
    ]
    why = [await codes(api, encode("Provider", provider), NINE, chosen) for chosen in (None, service)]

    assert longer["service"]["durationMinutes"] == 90
    assert (before, after) == ({key}, [set(), set()])
    assert [payload["reservation"] for payload in payloads] == [None, None]
    assert [refusals(payload) for payload in payloads] == [[("NOT_OFFERED", "appointmentId")]] * 2
    assert why == [["SERVICE_NOT_GIVEN"]] * 2
    with pytest.raises(psycopg.errors.CheckViolation, match="the provider does not give this service"):
        sql(HOLD, time)
    assert sql("SELECT count(*) FROM reservations") == [(0,)]


async def test_a_time_that_is_as_long_as_its_service_is_offered(api: Api, sql: Sql) -> None:
    rooms = Rooms(sql)
    (time,) = rooms.times(1)

    shown = await offered(api)

    assert shown == {encode("Appointment", time)}
    assert await code(api, rooms, time) == "HELD"


# Changes that are sent twice


def is_supply(field: GraphQLField) -> bool:
    """Whether a mutation changes the supply, once for each idempotency key."""
    wanted, payload = get_named_type(field.args["input"].type), get_named_type(field.type)
    assert isinstance(wanted, GraphQLInputObjectType)
    assert isinstance(payload, GraphQLObjectType)
    return "idempotencyKey" in wanted.fields and "published" in payload.fields


assert CONTRACT.mutation_type is not None
SUPPLYING = sorted(name for name, field in CONTRACT.mutation_type.fields.items() if is_supply(field))


def test_the_contract_has_changes_of_the_supply() -> None:
    assert len(SUPPLYING) >= 28
    assert {"weeklyScheduleDelete", "providerSkillsSet", "timeOffDelete", "serviceCreate"} <= {*SUPPLYING}


@pytest.mark.parametrize("is_header", [False, True], ids=["input", "header"])
@pytest.mark.parametrize("name", SUPPLYING)
async def test_a_change_that_is_sent_twice_is_made_once(api: Api, sql: Sql, name: str, is_header: bool) -> None:
    document, variables = filled(name, await world(api, name))
    headers = {"Idempotency-Key": "once"} if is_header else None
    if not is_header:
        variables["input"]["idempotencyKey"] = "once"

    first = await api.post(document, headers, **variables)
    written = sql("SELECT count(*) FROM events")
    second = await api.post(document, headers, **variables)

    assert "errors" not in first
    assert user_errors(first["data"]) == []
    assert "extensions" not in first
    assert second == {"data": first["data"], "extensions": REPLAYED}
    assert sql("SELECT count(*) FROM events") == written


async def test_a_key_of_a_deleted_week_is_no_key_of_another_providers(api: Api) -> None:
    ada, bob = await api.provider(), await api.provider("Bob")
    await change(api, "weeklyScheduleDelete", providerId=ada, idempotencyKey="once")

    other = await change(api, "weeklyScheduleDelete", providerId=bob, idempotencyKey="once")

    assert refusals(other) == [("IDEMPOTENCY_KEY_REUSED", "idempotencyKey")]
    assert other["provider"] is None


# Rules that recur on days that there are not


@pytest.mark.parametrize("recurrence", ["FREQ=MONTHLY;BYDAY=53MO;COUNT=3", "FREQ=MONTHLY;BYDAY=+99MO;COUNT=3"])
async def test_a_weekday_that_no_month_has_is_refused(api: Api, sql: Sql, recurrence: str) -> None:
    ada = await api.provider()
    hours = {"start": "09:00", "end": "12:00", "slotMinutes": 60, "validFrom": "2027-05-03"}

    refused = await change(api, "availabilityRuleCreate", providerId=ada, recurrence=recurrence, **hours)

    assert refusals(refused) == [("INVALID_INPUT", "recurrence")]
    assert sql("SELECT count(*) FROM availability_rules") == [(0,)]


# What the database does for all businesses


def test_nobody_but_the_server_runs_what_reads_or_deletes_for_all_businesses(sql: Sql) -> None:
    who = "has_function_privilege('public', p.oid, 'EXECUTE'), has_function_privilege('holdfast_app', p.oid, 'EXECUTE')"
    names = ["businesses_to_publish", "prune_exposures"]

    found = sql(f"SELECT p.proname, {who} FROM pg_proc p WHERE p.proname = ANY (%s) ORDER BY 1", names)

    assert found == [(name, False, True) for name in names]


def test_no_more_than_what_is_90_days_old_can_be_pruned(sql: Sql) -> None:
    for days in (89, 91):
        row = "INSERT INTO exposures (business_id, seed, appointment_id, provider_id, shown_at)"
        sql(f"{row} SELECT id, %s, id, id, now() - %s FROM businesses", f"{days}", timedelta(days=days))

    pruned = sql("SELECT prune_exposures(1000)")

    assert pruned == [(1,)]
    assert sql("SELECT seed FROM exposures") == [("89",)]
    assert sql("SELECT pg_get_function_identity_arguments('prune_exposures'::regproc)") == [("most integer",)]


# What the public's searches cost


@pytest.mark.parametrize(
    "document",
    [
        '{ availableDates(from: "2027-05-03", until: "2027-05-04", filter: { timeZone: "UTC" }) { count } }',
        '{ exposedAppointments(filter: { date: "2027-05-03", timeZone: "UTC" }, viewerKey: "me") { validUntil } }',
    ],
    ids=["availableDates", "exposedAppointments"],
)
async def test_what_reads_a_month_or_writes_for_anybody_costs_100(api: Api, document: str) -> None:
    await api(document)

    assert 100 < api.cost["requestedQueryCost"] < 200
