"""Changes of what is supplied that reach far: to very many providers, to times far ahead, and to what was submitted."""

import asyncio
from datetime import timedelta

import psycopg
import pytest

from models.node_id import encode
from resolvers.generation import due_businesses, extend
from tests.conftest import Api
from tests.rota import Sql, day, insert, key, published, rule, times, until, waiting

IN_TURN = """
SELECT count(*) FROM pg_locks
 WHERE NOT granted AND locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


async def test_a_change_of_very_many_providers_is_left_to_the_worker(
    api: Api, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.generation.MOST_IN_A_CHANGE", 1)
    ada, bob = await api.provider(), await api.provider("Bob")
    for each in (ada, bob):
        rule(sql, each, [3], "09:00-11:00", slot=60, time_zone=None)
    await published(api, providerIds=[ada, bob])
    before = times(sql)

    change = "mutation { businessUpdate(input: {expectedVersion: 1, timeZone: %s}) { pendingProviders userErrors { code } } }"
    done = (await api(change % '"Asia/Tokyo"'))["businessUpdate"]
    meanwhile = times(sql)
    (business,) = await due_businesses(api.database)
    outcome = await extend(api.database, business)

    assert done == {"pendingProviders": 2, "userErrors": []}
    assert meanwhile == before
    assert (outcome.providers, outcome.created, outcome.removed) == (2, 4, 4)
    assert await due_businesses(api.database) == []


async def test_time_off_takes_back_what_was_submitted_however_far_ahead_and_gives_it_back(api: Api, sql: Sql) -> None:
    ada, client = await api.provider(), await api.client()
    first, second = await api.publish(ada, "2027-09-01T09:00:00Z", "2027-09-01T10:00:00Z", slotMinutes=30)
    held = (await api.reserve(client, first))["reservation"]["id"]
    away = """mutation ($id: ID!) { timeOffCreate(input: {providerId: $id, startsAt: "2027-08-30T00:00:00Z",
        endsAt: "2027-09-02T00:00:00Z"}) { timeOff { id } affectedReservations { id } userErrors { code } } }"""
    back = "mutation ($id: ID!) { timeOffDelete(input: {id: $id}) { userErrors { code } } }"
    free = "{ availableAppointments { nodes { id } } }"

    done = (await api(away, id=ada))["timeOffCreate"]
    hidden = (await api(free))["availableAppointments"]["nodes"]
    await api(back, id=done["timeOff"]["id"])

    assert done["affectedReservations"] == [{"id": held}]
    assert hidden == []
    assert (await api(free))["availableAppointments"]["nodes"] == [{"id": second}]


async def test_what_was_submitted_for_a_service_goes_with_the_offering_and_comes_back_with_it(
    api: Api, sql: Sql
) -> None:
    ada = await api.provider()
    cut = insert(sql, "services", name="Cut", duration=timedelta(minutes=30))
    service = encode("Service", cut)
    give = """mutation ($id: ID!, $services: [OfferingInput!]!) {
        providerServicesSet(input: {providerId: $id, services: $services}) { userErrors { code } } }"""
    bob = await api.provider("Bob")
    for each in (ada, bob):
        await api(give, id=each, services=[{"serviceId": service}])
    (only,) = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T09:30:00Z", slotMinutes=30, serviceId=service)
    free = "{ availableAppointments { nodes { id } } }"

    await api(give, id=ada, services=[])
    hidden = (await api(free))["availableAppointments"]["nodes"]
    await api(give, id=ada, services=[{"serviceId": service}])

    assert hidden == []
    assert (await api(free))["availableAppointments"]["nodes"] == [{"id": only}]


async def test_a_rule_that_is_made_while_its_service_changes_is_published_as_the_service_then_is(
    api: Api, sql: Sql, database: str
) -> None:
    ada, bob = await api.provider(), await api.provider("Bob")
    cut = insert(sql, "services", name="Cut", duration=timedelta(minutes=30))
    for each in (ada, bob):
        insert(sql, "offerings", provider_id=key(each), service_id=cut)
    rule(sql, ada, [3], "09:00-11:00", slot=None, service_id=cut)
    await published(api, providerIds=[ada])
    longer = """mutation ($id: ID!) { serviceUpdate(input: {id: $id, expectedVersion: 1, durationMinutes: 60}) {
        published { created removed } userErrors { code } } }"""
    make = """mutation ($input: AvailabilityRuleCreateInput!) { availabilityRuleCreate(input: $input) {
        published { created } userErrors { code } } }"""
    dates = {"validFrom": str(day(3)), "validUntil": str(day(3))}
    wanted = {"providerId": bob, "start": "09:00", "end": "11:00", "timeZone": "UTC", **dates}

    with psycopg.connect(database) as other:
        other.execute("SELECT FROM providers WHERE id = %s FOR NO KEY UPDATE", [key(ada)])
        changing = asyncio.create_task(api(longer, id=encode("Service", cut)))
        await waiting(sql)
        making = asyncio.create_task(api(make, input={**wanted, "serviceId": encode("Service", cut)}))
        await until(sql, IN_TURN, answer=1)
        assert not making.done()

    assert (await changing)["serviceUpdate"] == {"published": {"created": 2, "removed": 4}, "userErrors": []}
    assert (await making)["availabilityRuleCreate"] == {"published": {"created": 2}, "userErrors": []}
    assert sql("SELECT DISTINCT ends_at - starts_at FROM appointments") == [(timedelta(minutes=60),)]
