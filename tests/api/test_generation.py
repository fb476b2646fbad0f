"""appointmentsGenerate and the worker: how far rules are published, of whom, and that doing it twice changes nothing."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import psycopg
import pytest

from models import zone
from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from resolvers.generation import PROVIDERS_AT_ONCE, due_businesses, extend
from tests.conftest import Api
from tests.rota import EVENTS, ROWS, Sql, at, day, generate, insert, key, published, rule, time_off, times

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
STATES = "SELECT published_until, zones FROM publications"
UNTIL = "SELECT date_trunc('day', clock_timestamp(), 'UTC') + make_interval(hours => 24 * (%s + 1))"


def written(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


async def test_rules_become_appointments_once(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule(sql, ada, [3, 4], "09:00-11:00")
    rule(sql, ada, [5], "22:00-25:00", slot=60, capacity=4)

    first = await published(api, providerIds=[ada])
    rows, events = sql(ROWS), sql(EVENTS)
    again = await published(api, providerIds=[ada])

    assert (first, again) == ((11, 0, 0), (0, 11, 0))
    assert times(sql) == ["09:00", "09:30", "10:00", "10:30"] * 2 + ["22:00", "23:00", "00:00"]
    assert sql("SELECT DISTINCT capacity FROM appointments WHERE ends_at - starts_at = '1 hour'") == [(4,)]
    assert sql(ROWS) == rows
    assert sql(EVENTS) == events == [(1,)]


async def test_weekly_rules_reach_as_far_as_the_business_publishes(api: Api, sql: Sql) -> None:
    sql("UPDATE businesses SET publication_days = 20")
    ada = await api.provider()
    for weekday in range(1, 8):
        fields = {"provider_id": key(ada), "weekday": weekday, "time_zone": "UTC", "slot_minutes": 60}
        insert(sql, "availability_rules", starts_minute=0, ends_minute=1440, **fields)
    ((until,),) = sql(UNTIL, 20)

    await published(api, providerIds=[ada])

    ((first, last),) = sql("SELECT min(starts_at), max(starts_at) FROM appointments")
    assert timedelta(0) < first - datetime.now(UTC) <= HOUR
    assert last == until - HOUR
    assert sql("SELECT count(*) FROM appointments") == [((until - first) // HOUR,)]
    assert sql(STATES) == [(until, zone.fingerprint())]


async def test_a_dry_run_tells_what_the_real_one_does_and_writes_nothing(api: Api, sql: Sql) -> None:
    ada, charles = await api.provider(), await api.client()
    old = rule(sql, ada, [3], "09:00-10:00")
    await published(api, providerIds=[ada])
    (held,) = sql("SELECT id FROM appointments ORDER BY starts_at LIMIT 1")
    held_by = (await api.reserve(charles, encode("Appointment", *held)))["reservation"]["id"]
    sql("DELETE FROM availability_rules WHERE id = %s", old)
    rule(sql, ada, [3], "09:15-11:15")
    before = sql(ROWS), sql(EVENTS), sql(STATES)

    dry = await generate(api, providerIds=[ada], dryRun=True)

    assert (sql(ROWS), sql(EVENTS), sql(STATES)) == before
    assert dry == await generate(api, providerIds=[ada])
    assert dry["published"] == {"created": 3, "kept": 0, "removed": 1}
    assert dry["affectedReservations"] == [{"id": held_by}]
    assert dry["affectedCount"] == 1
    assert sql(ROWS) != before[0]


async def test_a_span_touches_nothing_outside_of_it(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    old = rule(sql, ada, [3, 4, 5], "09:00-10:00")
    await published(api, providerIds=[ada])
    sql("DELETE FROM availability_rules WHERE id = %s", old)
    rule(sql, ada, [3, 4, 5], "12:00-13:00", slot=20)
    outside = sql("SELECT xmin::text, id FROM appointments WHERE starts_at < %s OR starts_at >= %s", at(4, "09:30"), at(5, "09:30"))  # fmt: skip

    done = await published(
        api, **{"from": written(at(4, "09:30")), "until": written(at(5, "09:30"))}, providerIds=[ada]
    )

    assert done == (3, 0, 2)
    assert times(sql) == ["09:00", "09:30", "09:00", "12:00", "12:20", "12:40", "09:30"]
    left = sql("SELECT xmin::text, id FROM appointments")
    assert set(outside) <= set(left)
    assert len(outside) == 4


async def test_a_span_that_begins_beyond_what_is_published_leaves_no_gap(api: Api, sql: Sql) -> None:
    sql("UPDATE businesses SET publication_days = 1")
    ada = await api.provider()
    rule(sql, ada, [10, 20, 30], "09:00-10:00")
    assert await published(api, providerIds=[ada]) == (0, 0, 0)

    done = await published(
        api, providerIds=[ada], **{"from": written(at(15, "00:00")), "until": written(at(25, "00:00"))}
    )

    assert done == (4, 0, 0)
    assert sql(STATES) == [(at(25, "00:00"), zone.fingerprint())]
    sql("DELETE FROM availability_rules")
    assert await published(api, providerIds=[ada]) == (0, 0, 4)


async def test_until_reaches_farther_and_stays_published(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule(sql, ada, [10, 300], "09:00-10:00")

    done = await published(api, providerIds=[ada], until=written(at(301, "00:00")))

    assert done == (4, 0, 0)
    assert await published(api) == (0, 4, 0)
    assert sql(STATES) == [(at(301, "00:00"), zone.fingerprint())]


@pytest.mark.parametrize(
    ("span", "field", "problem"),
    [
        ({"until": "2020-01-01T00:00:00Z"}, "until", "until must lie in the future, and after from."),
        ({"from": "+5", "until": "+5"}, "until", "until must lie in the future, and after from."),
        ({"from": "+6", "until": "+5"}, "until", "until must lie in the future, and after from."),
        ({"until": "+368"}, "until", "until lies more than 366 days ahead."),
        ({"from": "+368"}, "from", "from lies more than 366 days ahead."),
    ],
)
async def test_a_span_without_sense_is_refused(
    api: Api, sql: Sql, span: dict[str, str], field: str, problem: str
) -> None:
    rule(sql, ada := await api.provider(), [3], "09:00-10:00")
    instants = {name: written(at(int(to[1:]), "09:00")) if to[0] == "+" else to for name, to in span.items()}

    for providers in ({}, {"providerIds": [ada]}):
        refused = await generate(api, **instants, **providers)

        assert refused["userErrors"] == [{"code": "INVALID_INPUT", "message": problem, "field": [field]}]
        assert refused["published"] is None
    assert sql(ROWS) == sql(STATES) == []


async def test_a_provider_whom_nobody_knows_is_not_found_and_nothing_is_published(api: Api, sql: Sql) -> None:
    rule(sql, ada := await api.provider(), [3], "09:00-10:00")
    charles = await api.client()
    theirs = UUID(int=77)
    sql("INSERT INTO businesses (id, name) VALUES (%s, 'Elsewhere')", theirs)
    stranger = insert(sql, "providers", business_id=theirs, first_name="Eve", last_name="Elsewhere")

    for other in (encode("Provider", uuid4()), encode("Provider", stranger), charles):
        refused = await generate(api, providerIds=[ada, ada, other])

        (error,) = refused["userErrors"]
        assert (error["code"], error["message"]) == ("NOT_FOUND", "No provider has this id.")
        assert error["field"] == ["providerIds", "2"]
        assert (refused["published"], refused["providers"]) == (None, 0)
    assert sql(ROWS) == sql(STATES) == []


@pytest.mark.parametrize("count", [0, 1001])
async def test_no_providers_or_too_many_are_refused(api: Api, count: int) -> None:
    refused = await generate(api, providerIds=[encode("Provider", uuid4())] * count)

    (error,) = refused["userErrors"]
    assert (error["code"], error["field"]) == ("INVALID_INPUT", ["providerIds"])


async def test_more_slots_than_anybody_needs_are_refused_with_figures(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    for weekday in range(1, 8):
        fields = {"provider_id": key(ada), "weekday": weekday, "time_zone": "UTC", "slot_minutes": 1}
        insert(sql, "availability_rules", starts_minute=0, ends_minute=1440, **fields)
    begun = datetime.now(UTC)

    refused = await generate(api, providerIds=[ada])

    (error,) = refused["userErrors"]
    ((until,),) = sql(UNTIL, 90)
    assert error["code"] == "TOO_MANY_ROWS"
    assert error["limit"] == 20_000
    assert (until - begun) // MINUTE - 2 <= error["found"] <= (until - begun) // MINUTE
    assert str(error["found"]) in error["message"]
    assert sql(ROWS) == sql(STATES) == []
    assert await published(api, providerIds=[ada], until=written(at(1, "00:00"))) != (0, 0, 0)


async def test_all_who_have_rules_are_published_lot_by_lot(api: Api, sql: Sql) -> None:
    sql(
        "INSERT INTO providers (business_id, first_name, last_name) SELECT %s, 'P', n::text FROM generate_series(1, %s) n",
        *(DEFAULT_BUSINESS, 2 * PROVIDERS_AT_ONCE + 3),
    )
    everybody = [encode("Provider", made) for (made,) in sql("SELECT id FROM providers")]
    for provider in everybody[1:]:
        rule(sql, provider, [3], "09:00-10:00")
    idle = await api.provider()

    done = await generate(api)

    assert done["providers"] == len(everybody) - 1
    assert done["published"] == {"created": 2 * len(everybody) - 2, "kept": 0, "removed": 0}
    assert sql("SELECT count(*) FROM publications WHERE provider_id = %s", key(idle)) == [(0,)]
    assert await published(api) == (0, 2 * len(everybody) - 2, 0)
    assert await published(api, providerIds=everybody) == (0, 2 * len(everybody) - 2, 0)


async def test_nobody_has_rules(api: Api, sql: Sql) -> None:
    await api.provider()

    done = await generate(api)

    assert (done["published"], done["providers"]) == ({"created": 0, "kept": 0, "removed": 0}, 0)
    assert sql(ROWS) == []


async def test_twenty_providers_are_as_many_statements_as_one(api: Api, sql: Sql) -> None:
    some = [await api.provider() for _ in range(20)]
    for provider in some:
        rule(sql, provider, [3, 4], "09:00-17:00")
    counted = []

    for asked in (some[:1], some, some[:1], some):
        before = len(api.statements)
        await published(api, providerIds=asked)
        counted.append(len(api.statements) - before)

    assert counted == [7, 7, 7, 7]


async def test_another_database_of_zones_moves_what_is_free_and_reports_what_is_booked(api: Api, sql: Sql) -> None:
    ada, charles = await api.provider(), await api.client()
    rule(sql, ada, [3], "09:00-11:00", slot=60)
    await published(api, providerIds=[ada])
    free, booked = (made for (made,) in sql("SELECT id FROM appointments ORDER BY starts_at"))
    sql("ALTER TABLE appointments DISABLE TRIGGER refuse_change")
    sql("UPDATE appointments SET starts_at = starts_at + interval '15 min', ends_at = ends_at + interval '15 min'")
    sql("ALTER TABLE appointments ENABLE TRIGGER refuse_change")
    reservation = (await api.reserve(charles, encode("Appointment", booked)))["reservation"]["id"]
    assert await due_businesses(api.database) == []
    sql("UPDATE publications SET zones = 'those of last year'")

    due = await due_businesses(api.database)
    done = await extend(api.database, DEFAULT_BUSINESS)

    assert due == [DEFAULT_BUSINESS]
    assert (done.created, done.kept, done.removed, done.affected) == (1, 0, 1, (key(reservation),))
    assert times(sql) == ["09:00"]
    assert sql("SELECT withdrawn_at IS NOT NULL FROM appointments WHERE id = %s", booked) == [(True,)]
    assert sql("SELECT count(*) FROM appointments WHERE id = %s", free) == [(0,)]
    assert await due_businesses(api.database) == []
    assert (await extend(api.database, DEFAULT_BUSINESS)).providers == 0


async def test_a_part_that_is_published_leaves_the_rest_due_for_another_database_of_zones(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule(sql, ada, [3], "09:00-10:00")
    await published(api, providerIds=[ada])
    sql("UPDATE publications SET zones = 'those of last year'")

    await published(api, until=written(at(5, "00:00")))
    await published(api, **{"from": written(at(5, "00:00"))})

    assert await due_businesses(api.database) == [DEFAULT_BUSINESS]
    assert (await extend(api.database, DEFAULT_BUSINESS)).providers == 1
    assert await due_businesses(api.database) == []


async def test_the_horizon_moves_on_with_the_days(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule(sql, ada, [3, 40], "09:00-10:00")
    sql("UPDATE businesses SET publication_days = 30")
    await published(api, providerIds=[ada])
    assert len(times(sql)) == 2
    assert await due_businesses(api.database) == []

    sql("UPDATE businesses SET publication_days = 40")  # as if ten days had passed

    assert await due_businesses(api.database) == [DEFAULT_BUSINESS]
    done = await extend(api.database, DEFAULT_BUSINESS)
    assert (done.created, done.kept, done.removed, done.providers) == (2, 2, 0, 1)
    assert await due_businesses(api.database) == []


async def test_whom_another_worker_publishes_is_left_to_it(api: Api, sql: Sql, database: str) -> None:
    ada, bob = await api.provider(), await api.provider()
    for provider in (ada, bob):
        rule(sql, provider, [3], "09:00-10:00")
        insert_state = (
            "INSERT INTO publications (business_id, provider_id, published_until, zones) VALUES (%s, %s, %s, '')"
        )
        sql(insert_state, DEFAULT_BUSINESS, key(provider), at(3, "00:00"))

    with psycopg.connect(database) as other:
        other.execute("SELECT FROM providers WHERE id = %s FOR NO KEY UPDATE", [key(ada)])
        done = await extend(api.database, DEFAULT_BUSINESS)

    assert done.providers == 1
    assert sql("SELECT DISTINCT provider_id FROM appointments") == [(key(bob),)]
    assert (await extend(api.database, DEFAULT_BUSINESS)).providers == 1
    assert sql("SELECT count(DISTINCT provider_id) FROM appointments") == [(2,)]


async def test_what_has_begun_stays_as_it_is_and_nothing_is_published_over_it(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    begun = insert(
        sql, "appointments", provider_id=key(ada), starts_at=now - HOUR, ends_at=now + 90 * MINUTE, is_generated=True
    )
    dates = f"{{[{day(-1)},{day(3)})}}"
    rows = {"provider_id": key(ada), "dates": dates, "time_zone": "UTC", "slot_minutes": 10}
    insert(sql, "availability_rules", starts_minute=0, ends_minute=1440, **rows)

    await published(api, providerIds=[ada])

    ((first, others),) = sql("SELECT min(starts_at), count(*) > 1 FROM appointments WHERE id <> %s", begun)
    assert others
    assert now + 90 * MINUTE <= first < now + 100 * MINUTE
    assert sql("SELECT withdrawn_at FROM appointments WHERE id = %s", begun) == [(None,)]


async def test_nothing_is_published_over_what_begins_beyond_the_horizon(api: Api, sql: Sql) -> None:
    sql("UPDATE businesses SET publication_days = 5")
    ada = await api.provider()
    await api.publish(ada, written(at(6, "00:00")), written(at(6, "01:00")), slotMinutes=60)
    rule(sql, ada, [5], "22:30-24:30", slot=60)

    done = await published(api, providerIds=[ada])

    assert done == (1, 0, 0)
    assert times(sql) == ["22:30", "00:00"]


async def test_time_off_that_is_long_past_or_far_ahead_hides_nothing(api: Api, sql: Sql) -> None:
    ada, bob = await api.provider(), await api.provider()
    rule(sql, ada, [3], "09:00-10:00")
    time_off(sql, ada, at(-9, "00:00"), at(-1, "00:00"))
    time_off(sql, ada, at(4, "00:00"), at(5, "00:00"))
    time_off(sql, ada, at(3, "08:00"), at(3, "09:00"))
    time_off(sql, ada, at(3, "10:00"), at(3, "11:00"))
    time_off(sql, bob, at(3, "00:00"), at(4, "00:00"))

    assert await published(api, providerIds=[ada]) == (2, 0, 0)
