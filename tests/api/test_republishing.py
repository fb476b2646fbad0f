"""When supply changes: what differs is touched and nothing else, what is booked stays, and those who reserve meanwhile hear it."""

from datetime import timedelta

from models.business import DEFAULT_BUSINESS
from resolvers.generation import Outcome
from tests.conftest import Api
from tests.rota import (
    EVENTS,
    ROWS,
    Sql,
    at,
    changed,
    codes,
    generate,
    ids,
    insert,
    key,
    published,
    reserve,
    rule,
    set_week,
    time_off,
    times,
    week,
)

WITHDRAWN = "withdrawn_at IS NOT NULL"
FREE = "{ availableAppointments(first: 100) { nodes { startsAt } } }"


async def free(api: Api) -> list[str]:
    """The times that a client is shown."""
    return [node["startsAt"][11:16] for node in (await api(FREE))["availableAppointments"]["nodes"]]


async def test_what_stays_is_not_touched(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule(sql, ada, [3], "09:00-11:00")
    evening = rule(sql, ada, [4], "18:00-20:00")
    await published(api, providerIds=[ada])
    before = {row[2]: row for row in sql(ROWS)}

    sql("UPDATE availability_rules SET starts_minute = 1110, slot_minutes = 45 WHERE id = %s", evening)
    done = await published(api, providerIds=[ada])

    assert done == (2, 4, 4)
    assert times(sql) == ["09:00", "09:30", "10:00", "10:30", "18:30", "19:15"]
    after = {row[2]: row for row in sql(ROWS)}
    assert [before[same] for same in after.keys() & before.keys()] == [
        after[same] for same in after.keys() & before.keys()
    ]
    assert len(after.keys() & before.keys()) == 4


async def test_what_a_rule_says_of_a_slot_counts_as_much_as_when_it_begins(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    here = insert(sql, "locations", name="Here", time_zone="UTC")
    made = rule(sql, ada, [3], "09:00-10:00")
    await published(api, providerIds=[ada])

    for change in ("capacity = 2", f"location_id = '{here}'", "slot_minutes = 29, grid_minutes = 30"):
        sql(f"UPDATE availability_rules SET {change} WHERE id = %s", made)

        assert await published(api, providerIds=[ada]) == (2, 0, 2)
        assert await published(api, providerIds=[ada]) == (0, 2, 0)


async def test_what_is_booked_stays_until_nobody_has_it(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    made = rule(sql, ada, [3], "09:00-10:30")
    await published(api, providerIds=[ada])
    by = ids(sql)
    confirmed = await reserve(api, by["09:00"])
    assert (await api.confirm(confirmed))["userErrors"] == []
    held = await reserve(api, by["09:30"])
    given_back = await reserve(api, by["10:00"])
    await api.cancel(given_back)
    events = sql(EVENTS)

    sql(
        "UPDATE availability_rules SET dates = datemultirange(daterange('2030-01-01', '2030-01-02')) WHERE id = %s",
        made,
    )
    done = await generate(api, providerIds=[ada])

    assert done["published"] == {"created": 0, "kept": 0, "removed": 1}
    assert done["affectedReservations"] == [{"id": confirmed}, {"id": held}]
    assert times(sql) == []
    assert times(sql, WITHDRAWN) == ["09:00", "09:30"]
    assert sql(EVENTS) == [(events[0][0] + 3,)]  # one withdrawn, two outdated
    assert sql("SELECT status FROM reservations ORDER BY starts_at") == [("CONFIRMED",), ("HELD",), ("CANCELLED",)]

    await api.cancel(held)
    assert await codes(api, by["09:30"]) == ["APPOINTMENT_WITHDRAWN"]
    assert await codes(api, by["10:00"]) == ["APPOINTMENT_WITHDRAWN"]
    assert await free(api) == []
    again = await generate(api, providerIds=[ada])
    assert again["published"] == {"created": 0, "kept": 0, "removed": 1}
    assert again["affectedReservations"] == [{"id": confirmed}]
    assert sql("SELECT id FROM appointments") == [(by["09:00"],)]


async def test_what_is_booked_is_offered_again_when_its_rule_comes_back(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    made = rule(sql, ada, [3], "09:00-10:00")
    await published(api, providerIds=[ada])
    by = ids(sql)
    held = await reserve(api, by["09:00"])
    sql("UPDATE availability_rules SET starts_minute = 570 WHERE id = %s", made)
    assert await published(api, providerIds=[ada]) == (0, 1, 0)
    assert times(sql) == ["09:30"]

    sql("UPDATE availability_rules SET starts_minute = 540 WHERE id = %s", made)
    done = await generate(api, providerIds=[ada])

    assert done["published"] == {"created": 0, "kept": 2, "removed": 0}
    assert done["affectedReservations"] == []
    assert ids(sql) == by
    await api.cancel(held)
    assert await free(api) == ["09:00", "09:30"]
    assert await codes(api, by["09:00"]) == []


async def test_nothing_is_published_over_what_is_booked(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    made = rule(sql, ada, [3], "09:00-11:00", slot=60)
    await published(api, providerIds=[ada])
    held = await reserve(api, ids(sql)["10:00"])

    sql("UPDATE availability_rules SET slot_minutes = 45 WHERE id = %s", made)
    done = await published(api, providerIds=[ada])

    assert done == (1, 0, 1)
    assert times(sql) == ["09:00"]
    await api.cancel(held)
    assert await published(api, providerIds=[ada]) == (1, 1, 1)
    assert times(sql) == ["09:00", "09:45"]


async def test_a_lapsed_hold_keeps_nothing(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule(sql, ada, [3], "09:00-10:00")
    await published(api, providerIds=[ada])
    sql("UPDATE businesses SET hold_time = '1 millisecond'")
    await reserve(api, ids(sql)["09:00"])

    sql("DELETE FROM availability_rules")
    done = await generate(api, providerIds=[ada])

    assert done["published"] == {"created": 0, "kept": 0, "removed": 2}
    assert done["affectedReservations"] == []
    assert sql("SELECT status, live_appointment_id FROM reservations") == [("EXPIRED", None)]


async def test_of_a_group_only_those_who_still_have_a_seat_are_told(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule(sql, ada, [3], "09:00-10:00", slot=60, capacity=3)
    await published(api, providerIds=[ada])
    (group,) = ids(sql).values()
    sql("UPDATE businesses SET hold_time = '1 millisecond'")
    await reserve(api, group)
    sql("UPDATE businesses SET hold_time = '30 minutes'")
    seated = [await reserve(api, group) for _ in range(2)]
    sql("UPDATE businesses SET hold_time = '1 millisecond'")
    await reserve(api, group)

    sql("DELETE FROM availability_rules")
    done = await generate(api, providerIds=[ada])

    assert sorted(row["id"] for row in done["affectedReservations"]) == sorted(seated)
    assert done["affectedCount"] == 2
    assert times(sql, WITHDRAWN) == ["09:00"]


async def test_a_change_tells_only_what_it_has_affected(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    first, second = rule(sql, ada, [3], "09:00-10:00", slot=60), rule(sql, ada, [3], "10:00-11:00", slot=60)
    await published(api, providerIds=[ada])
    earlier, later = await reserve(api, ids(sql)["09:00"]), await reserve(api, ids(sql)["10:00"])
    told = []

    for gone in (first, second):
        sql("DELETE FROM availability_rules WHERE id = %s", gone)
        told.append((await changed(api, ada)).affected)

    assert told == [(key(earlier),), (key(later),)]
    assert (await changed(api, ada)) == Outcome(providers=1)


async def test_time_off_takes_back_what_reaches_into_it_and_gives_it_again(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule(sql, ada, [3], "09:00-12:00")
    await published(api, providerIds=[ada])
    noon = await reserve(api, ids(sql)["10:30"])

    away = time_off(sql, ada, at(3, "09:45"), at(3, "11:00"))
    done = await generate(api, providerIds=[ada])

    assert done["published"] == {"created": 0, "kept": 3, "removed": 2}
    assert done["affectedReservations"] == [{"id": noon}]
    assert times(sql) == ["09:00", "11:00", "11:30"]
    sql("DELETE FROM time_off WHERE id = %s", away)
    assert await published(api, providerIds=[ada]) == (2, 4, 0)
    assert times(sql) == ["09:00", "09:30", "10:00", "10:30", "11:00", "11:30"]


async def test_submitted_times_are_hidden_by_time_off_and_never_removed(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    await api.publish(ada, at(3, "09:00").isoformat(), at(3, "10:00").isoformat(), slotMinutes=30)
    by = ids(sql)
    held = await reserve(api, by["09:30"])
    assert await published(api, providerIds=[ada]) == (0, 0, 0)

    away = time_off(sql, ada, at(3, "09:00"), at(3, "10:00"))
    done = await generate(api, providerIds=[ada])

    assert done["published"] == {"created": 0, "kept": 0, "removed": 0}
    assert done["affectedReservations"] == [{"id": held}]
    assert times(sql, WITHDRAWN) == ["09:00", "09:30"]
    assert await codes(api, by["09:00"]) == ["APPOINTMENT_WITHDRAWN"]
    assert await free(api) == []
    sql("DELETE FROM time_off WHERE id = %s", away)
    assert await published(api, providerIds=[ada]) == (0, 0, 0)
    assert ids(sql) == by
    assert await free(api) == ["09:00"]
    assert await codes(api, by["09:00"]) == []


async def test_what_is_submitted_inside_time_off_is_offered_when_that_ends(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    away = time_off(sql, ada, at(3, "09:15"), at(3, "10:00"))

    await api.publish(ada, at(3, "08:30").isoformat(), at(3, "10:30").isoformat(), slotMinutes=30)

    assert times(sql) == ["08:30", "10:00"]
    assert times(sql, WITHDRAWN) == ["09:00", "09:30"]
    assert await codes(api, ids(sql)["09:00"]) == ["APPOINTMENT_WITHDRAWN"]
    sql("DELETE FROM time_off WHERE id = %s", away)
    await published(api, providerIds=[ada])
    assert await free(api) == ["08:30", "09:00", "09:30", "10:00"]


async def test_rules_publish_nothing_over_submitted_times(api: Api, sql: Sql) -> None:
    ada, bob = await api.provider(), await api.provider()
    await api.publish(ada, at(3, "09:40").isoformat(), at(3, "10:10").isoformat(), slotMinutes=30)
    await api.publish(bob, at(3, "09:00").isoformat(), at(3, "10:00").isoformat(), slotMinutes=30)
    rule(sql, ada, [3], "09:00-11:00")

    done = await published(api, providerIds=[ada])

    assert done == (2, 0, 0)
    assert times(sql, "is_generated") == ["09:00", "10:30"]
    assert await published(api, providerIds=[ada]) == (0, 2, 0)


async def test_a_service_says_how_long_its_times_are_and_whether_they_are_offered(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    cut = insert(sql, "services", name="Cut", duration=timedelta(minutes=40))
    rule(sql, ada, [3], "09:00-11:00", slot=None, service_id=cut)
    assert await published(api, providerIds=[ada]) == (0, 0, 0)  # nobody says that she gives it

    insert(sql, "offerings", provider_id=key(ada), service_id=cut)
    assert await published(api, providerIds=[ada]) == (3, 0, 0)
    sql("UPDATE services SET duration = '60 minutes'")
    assert await published(api, providerIds=[ada]) == (2, 0, 3)
    sql("UPDATE services SET active = false")
    assert await published(api, providerIds=[ada]) == (0, 2, 0)
    assert (await api("{ availableAppointments { nodes { id } } }"))["availableAppointments"]["nodes"] == []
    sql("UPDATE services SET active = true")
    colour = insert(sql, "skills", name="Colour")
    sql("INSERT INTO service_skills VALUES (%s, %s, %s)", DEFAULT_BUSINESS, cut, colour)
    assert await published(api, providerIds=[ada]) == (0, 0, 2)
    sql("INSERT INTO provider_skills VALUES (%s, %s, %s)", DEFAULT_BUSINESS, key(ada), colour)
    assert await published(api, providerIds=[ada]) == (2, 0, 0)
    assert sql("SELECT DISTINCT service_id FROM appointments") == [(cut,)]
    sql("UPDATE services SET duration = '121 minutes'")
    assert await published(api, providerIds=[ada]) == (0, 0, 2)


async def test_a_rule_without_a_zone_follows_its_location_then_its_provider_then_the_business(
    api: Api, sql: Sql
) -> None:
    ada = await api.provider()
    kathmandu = insert(sql, "locations", name="Kathmandu", time_zone="Asia/Kathmandu")
    made = rule(sql, ada, [3], "12:00-12:30", time_zone=None)
    sql("UPDATE businesses SET time_zone = 'Asia/Tokyo'")
    sql("UPDATE providers SET time_zone = NULL")
    seen = []

    for change in (
        "SELECT %s",
        "UPDATE providers SET time_zone = 'Asia/Kolkata' WHERE %s IS NOT NULL",
        f"UPDATE availability_rules SET location_id = '{kathmandu}' WHERE id = %s",
        "UPDATE availability_rules SET time_zone = 'UTC' WHERE id = %s",
    ):
        sql(change, made)
        await published(api, providerIds=[ada])
        seen += times(sql)

    assert seen == ["03:00", "06:30", "06:15", "12:00"]


async def test_exceptions_and_holidays_are_published(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    here = insert(sql, "locations", name="Here", time_zone="UTC")
    rule(sql, ada, [3, 4, 5, 6], "09:00-10:00", location_id=here)
    await published(api, providerIds=[ada])

    fields = {"provider_id": key(ada), "slot_minutes": 30, "time_zone": "UTC"}
    insert(sql, "availability_exceptions", date=at(3, "00:00").date(), windows="{[600,660),[1380,1470)}", **fields)
    insert(sql, "availability_exceptions", date=at(4, "00:00").date(), windows="{}", **fields)
    insert(sql, "holidays", date=at(5, "00:00").date(), location_id=here, name="Here")
    done = await published(api, providerIds=[ada])

    assert done == (5, 2, 6)
    assert times(sql) == ["10:00", "10:30", "23:00", "23:30", "00:00", "09:00", "09:30"]
    insert(sql, "holidays", date=at(6, "00:00").date(), name="Everywhere")
    assert await published(api, providerIds=[ada]) == (0, 5, 2)


async def test_a_week_that_is_saved_is_published_and_tells_whom_it_affects(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    first = await set_week(api, week(ada, "09:00", "10:00"))
    (early, late) = sql("SELECT id FROM appointments ORDER BY starts_at LIMIT 2")
    held = await reserve(api, early[0])
    kept = await reserve(api, late[0])

    later = await set_week(api, week(ada, "09:30", "10:30"))
    rows = sql(ROWS)
    again = await set_week(api, week(ada, "09:30", "10:30"))

    counts = [done["published"] for done in (first, later, again)]
    assert counts == [
        {"created": 14, "kept": 0, "removed": 0},
        {"created": 7, "kept": 7, "removed": 6},
        {"created": 0, "kept": 14, "removed": 0},
    ]
    assert [done["affectedReservations"] for done in (first, later, again)] == [[], [{"id": held}], []]
    assert times(sql) == ["09:30", "10:00"] * 7
    assert sql(ROWS) == rows
    assert sql("SELECT id FROM reservations WHERE live AND id <> %s", key(held)) == [(key(kept),)]


async def test_a_week_that_is_refused_publishes_nothing(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    await set_week(api, week(ada, "09:00", "10:00"))
    rows = sql(ROWS)

    refused = await set_week(api, week(ada, "14:00", "13:00"))
    crowded = await set_week(api, {**week(ada, "00:00", "24:00", slot=1), "validFrom": None, "validUntil": None})

    assert refused["userErrors"] != []
    assert [error["code"] for error in crowded["userErrors"]] == ["TOO_MANY_ROWS"]
    assert (refused["published"], crowded["published"]) == (None, None)
    assert sql(ROWS) == rows
    assert sql("SELECT DISTINCT starts_minute, ends_minute FROM availability_rules") == [(540, 600)]
