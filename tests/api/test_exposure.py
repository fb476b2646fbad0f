"""Which times somebody is shown: a few, the same ones for seven minutes on every server, and a report of how fairly."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from models.candidate import MOST_THERE
from models.node_id import decode, encode
from models.viewer import Role
from resolvers import exposures
from tests.api.test_clock import Clock, clock, clockwork, database
from tests.conftest import Api, serving
from tests.keys import OTHER, another_business, bearer

__all__ = ["clock", "clockwork", "database"]
Sql = Callable[..., list[tuple[Any, ...]]]

DAY = date(2027, 5, 3)
NOW = datetime(2027, 5, 1, 9, tzinfo=UTC)
WINDOW = timedelta(minutes=7)
SECOND = timedelta(seconds=1)
SHOW = """query ($filter: AvailabilityFilter!, $viewer: String!, $variant: ExposureVariant) {
  exposedAppointments(filter: $filter, viewerKey: $viewer, variant: $variant) {
    seed variant validUntil appointments { id startsAt } %s } }"""
REPORT = """query ($from: DateTime!, $until: DateTime!, $location: ID, $limit: Int, $offset: Int) {
  exposureReport(from: $from, until: $until, locationId: $location, limit: $limit, offset: $offset) {
    provider { firstName } shown held confirmed } }"""
EVERY_QUARTER = """INSERT INTO appointments (business_id, provider_id, location_id, starts_at, ends_at)
SELECT business_id, id, %s, time, time + '15 minutes'
FROM providers, generate_series(%s + timetz '00:00Z', %s + timetz '23:45Z', '15 minutes') AS time WHERE id = ANY(%s)"""
EVERYTHING = {"from": "2027-05-01T00:00:00Z", "until": "2027-06-01T00:00:00Z"}


async def show(api: Api, viewer: str = "ada", more: str = "", variant: str | None = None, **wanted: Any) -> Any:
    filter_ = {"date": DAY.isoformat(), "timeZone": "UTC", **wanted}
    return (await api(SHOW % more, filter=filter_, viewer=viewer, variant=variant))["exposedAppointments"]


def ids(shown: Any) -> list[str]:
    return [each["id"] for each in shown["appointments"]]


async def publish(api: Api, *names: str, hours: str = "06:00 22:00", **more: Any) -> list[str]:
    """Providers with a time at each hour of the day; their ids."""
    first, last = hours.split()
    providers = [await api.provider(name) for name in names]
    for provider in providers:
        await api.publish(provider, f"{DAY}T{first}:00Z", f"{DAY}T{last}:00Z", slotMinutes=60, **more)
    return providers


def location(sql: Sql, time_zone: str = "UTC") -> str:
    """A location of the one business."""
    ((key,),) = sql(
        "INSERT INTO locations (business_id, name, time_zone) SELECT id, 'Here', %s FROM businesses RETURNING id",
        time_zone,
    )
    return encode("Location", key)


async def take(api: Api, appointment: str) -> str:
    held = await api.reserve(await api.client(), appointment)
    assert held["userErrors"] == []
    key: str = held["reservation"]["id"]
    return key


async def into_a_window(api: Api, clock: Clock, viewer: str = "ada", **wanted: Any) -> None:
    """Move the clock to where the next window of a viewer begins."""
    clock.set(datetime.fromisoformat((await show(api, viewer, **wanted))["validUntil"]))


async def test_a_few_of_the_free_times_of_a_date_are_shown(api: Api, clock: Clock) -> None:
    providers = await publish(api, "Ada", "Bob", "Cyd", "Dan", "Eve", "Fay")
    await api.publish(providers[0], "2027-05-04T09:00:00Z", "2027-05-04T10:00:00Z", slotMinutes=60)

    shown = await show(api, more="total hasMore")

    free = await api(
        '{ availableAppointments(first: 100, filter: {date: "2027-05-03", timeZone: "UTC"}) { nodes { id } } }'
    )
    assert 3 <= len(ids(shown)) <= 5
    assert set(ids(shown)) <= {node["id"] for node in free["availableAppointments"]["nodes"]}
    assert (shown["variant"], shown["total"], shown["hasMore"]) == ("STANDARD", 96, True)
    assert len(shown["seed"]) == 32
    assert clock.time < datetime.fromisoformat(shown["validUntil"]) <= clock.time + WINDOW


async def test_how_many_are_shown_depends_on_the_variant_and_on_the_providers(api: Api, clock: Clock, sql: Sql) -> None:
    providers = await publish(api, "Ada", "Bob", "Cyd", "Dan", "Eve")
    viewers = [f"viewer {n}" for n in range(40)]

    standard = {len(ids(await show(api, viewer))) for viewer in viewers}
    stylist = {len(ids(await show(api, viewer, variant="STYLIST"))) for viewer in viewers}
    of_one = {len(ids(await show(api, viewer, providerIds=providers[:1]))) for viewer in viewers}
    sql("UPDATE businesses SET exposure_variant = 'STYLIST'")
    by_policy = [await show(api, viewer) for viewer in viewers]
    asked_for = await show(api, variant="STANDARD")

    assert (standard, stylist, of_one) == ({3, 4, 5}, {2, 3, 4, 5}, {1, 2, 3})
    assert {len(ids(shown)) for shown in by_policy} == {2, 3, 4, 5}
    assert {shown["variant"] for shown in by_policy} == {"STYLIST"}
    assert asked_for["variant"] == "STANDARD"


async def test_times_lie_in_all_parts_of_the_locations_day_and_each_provider_has_one(
    api: Api, clock: Clock, sql: Sql
) -> None:
    kiritimati = location(sql, "Pacific/Kiritimati")  # 06:00 to 22:00 there: the parts begin at 16:00, 22:00 and 03:00
    providers = [await api.provider(name) for name in ("Ada", "Bob", "Cyd", "Dan", "Eve")]
    for provider in providers:
        await api.publish(
            provider, "2027-05-02T16:00:00Z", "2027-05-03T08:00:00Z", slotMinutes=60, locationId=kiritimati
        )
    wanted = {"locationId": kiritimati, "timeZone": "Pacific/Kiritimati"}

    for n in range(10):
        shown = await show(api, f"viewer {n}", "appointments { provider { id } }", **wanted)

        hours = [datetime.fromisoformat(each["startsAt"]) + timedelta(hours=14) for each in shown["appointments"]]
        assert {(hour.hour >= 12) + (hour.hour >= 17) for hour in hours} == {0, 1, 2}
        assert len({each["provider"]["id"] for each in shown["appointments"]}) == len(hours)


@pytest.mark.parametrize("providers", [3, 25])
async def test_at_a_location_those_who_work_there_are_shown_however_many_times_there_are(
    api: Api, clock: Clock, sql: Sql, providers: int
) -> None:
    here, elsewhere = location(sql), location(sql)
    at_both = {here: [await api.provider(f"Ada {n}") for n in range(providers)], elsewhere: [await api.provider("Bob")]}
    for place, names in at_both.items():
        keys = [decode(name)[1] for name in names]
        sql(EVERY_QUARTER, decode(place)[1], DAY, DAY, keys)
    assert (96 * providers > MOST_THERE) == (providers == 25)

    shown = await show(api, more="appointments { provider { id } } total", locationId=here)

    assert shown["total"] == 96 * providers
    assert len({each["provider"]["id"] for each in shown["appointments"]}) == min(len(ids(shown)), providers)
    assert {each["provider"]["id"] for each in shown["appointments"]} <= set(at_both[here])
    assert len(ids(shown)) >= 3


async def test_viewers_are_shown_other_times_and_one_viewer_on_other_dates(api: Api, clock: Clock) -> None:
    (ada,) = await publish(api, "Ada")

    seeds = {(await show(api, viewer))["seed"] for viewer in ("ada", "bob")}
    seeds |= {(await show(api, "ada", date="2027-05-04"))["seed"], (await show(api, "ada", providerIds=[ada]))["seed"]}
    chosen = {tuple(ids(await show(api, f"viewer {n}"))) for n in range(20)}

    assert len(seeds) == 4
    assert len(chosen) > 10


async def test_for_seven_minutes_the_same_is_shown_on_every_server_and_after_a_restart(
    api: Api, clock: Clock, database: str
) -> None:
    await publish(api, "Ada", "Bob", "Cyd")
    await into_a_window(api, clock)
    first = await show(api)

    async with serving(database) as another:
        elsewhere = await show(another)
    clock.move(WINDOW - SECOND)
    async with serving(database, compile=False) as restarted:
        last = await show(restarted)
    clock.move(SECOND)
    after = await show(api)

    assert first == elsewhere == last
    assert datetime.fromisoformat(first["validUntil"]) == clock.time
    assert datetime.fromisoformat(after["validUntil"]) == clock.time + WINDOW


async def test_a_window_does_not_end_with_the_hour_but_the_next_one_has_another_seed(api: Api, clock: Clock) -> None:
    await publish(api, "Ada", "Bob", "Cyd")
    await into_a_window(api, clock)
    while clock.time.minute < 54:
        clock.move(WINDOW)
    if clock.time.minute == 0:
        clock.move(-WINDOW)
    before = await show(api)
    clock.set(clock.time.replace(minute=59, second=59))
    still = await show(api)
    clock.move(SECOND)

    after = await show(api)
    clock.set(datetime.fromisoformat(after["validUntil"]))
    later = await show(api)

    assert clock.time.hour == 10
    assert before == still == after
    assert later["seed"] != after["seed"]


async def test_a_time_that_is_taken_meanwhile_is_replaced_where_it_stood(api: Api, clock: Clock, sql: Sql) -> None:
    await publish(api, "Ada", "Bob", "Cyd")
    await into_a_window(api, clock)
    before = await show(api, more="hasMore total")
    clock.move(SECOND)
    held = await take(api, ids(before)[1])

    after = await show(api, more="hasMore total")
    await api.cancel(held)
    given_back = await show(api, more="total")

    assert after["seed"] == before["seed"]
    assert len(ids(after)) == len(ids(before))
    assert [n for n, pair in enumerate(zip(ids(before), ids(after), strict=True)) if len({*pair}) > 1] == [1]
    assert (before["total"], after["total"], given_back["total"]) == (48, 47, 48)
    assert ids(given_back) == ids(after), "what was given back is shown only from the next window on"
    owners: dict[Any, Any] = dict(sql("SELECT id, provider_id FROM appointments"))
    assert len({owners[decode(shown["appointments"][1]["id"])[1]] for shown in (before, after)}) == 1


async def test_each_loss_moves_nothing_but_itself_until_there_is_nothing_left(api: Api, clock: Clock) -> None:
    (ada,) = await publish(api, "Ada", hours="09:00 15:00")
    await into_a_window(api, clock, providerIds=[ada])
    shown, taken = ids(await show(api, providerIds=[ada])), []

    while shown:
        clock.move(SECOND)
        await take(api, shown[0])
        taken.append(shown[0])
        after = ids(await show(api, providerIds=[ada]))
        assert after[-len(shown[1:]) :] == shown[1:] or not shown[1:]
        assert not set(after) & set(taken)
        shown = after

    assert len(taken) == 6
    nothing = await show(api, more="total hasMore", providerIds=[ada])
    assert (nothing["appointments"], nothing["total"], nothing["hasMore"]) == ([], 0, False)


async def test_a_hold_that_lapses_or_a_time_that_is_published_changes_nothing_in_a_window(
    api: Api, clock: Clock, sql: Sql
) -> None:
    ada, *_ = await publish(api, "Ada", "Bob", "Cyd", "Dan", "Eve")
    await into_a_window(api, clock)
    free = await api("{ availableAppointments(first: 100) { nodes { id } } }")
    for node in free["availableAppointments"]["nodes"][:30]:
        await take(api, node["id"])
    clock.move(timedelta(minutes=23, seconds=30))  # the holds lapse after 30 minutes
    await into_a_window(api, clock)
    assert sql("SELECT count(*) FROM reservations WHERE expires_at > %s", clock.time) == [(30,)]
    before = await show(api, more="total")

    clock.move(WINDOW - SECOND)
    await api.publish(ada, f"{DAY}T05:00:00Z", f"{DAY}T06:00:00Z", slotMinutes=60)
    after = await show(api, more="total")

    assert ids(after) == ids(before)
    assert (before["total"], after["total"]) == (50, 81)


async def test_where_nothing_was_free_what_is_published_is_shown_at_once(api: Api, clock: Clock) -> None:
    await api.provider("Zoe")
    await into_a_window(api, clock)
    before = await show(api, more="total hasMore")
    clock.move(SECOND)
    await publish(api, "Ada", "Bob", "Cyd")

    shown = await show(api)

    assert (ids(before), before["total"], before["hasMore"]) == ([], 0, False)
    assert 3 <= len(ids(shown)) <= 5
    assert ids(await show(api)) == ids(shown)


async def test_what_cannot_be_reserved_until_the_window_ends_is_not_shown(api: Api, clock: Clock) -> None:
    (ada,) = await publish(api, "Ada", hours="09:00 10:00")
    clock.set(datetime(2027, 5, 2, 9, tzinfo=UTC))

    on_the_last_instant = await show(api, more="total", providerIds=[ada])
    clock.move(-WINDOW)
    in_time = await show(api, more="total", providerIds=[ada])

    assert (ids(on_the_last_instant), on_the_last_instant["total"]) == ([], 1)
    assert (len(ids(in_time)), in_time["total"]) == (1, 1)


async def test_a_seat_of_a_group_leaves_it_shown_until_it_is_full(api: Api, clock: Clock) -> None:
    await publish(api, "Ada", hours="09:00 10:00", capacity=3)
    await into_a_window(api, clock)
    (group,) = ids(await show(api))

    seen = []
    for _ in range(3):
        clock.move(SECOND)
        held = await take(api, group)
        seen.append(ids(await show(api)))
    clock.move(SECOND)
    await api.cancel(held)
    after = ids(await show(api))
    clock.move(WINDOW)

    assert seen == [[group], [group], []]
    assert after == []
    assert ids(await show(api)) == [group]


async def test_buffers_take_the_neighbours_of_what_is_taken(api: Api, clock: Clock, sql: Sql) -> None:
    ((key,),) = sql(
        "INSERT INTO services (business_id, name, buffer_after) SELECT id, 'Cut', '1 minute' FROM businesses RETURNING id"
    )
    await publish(api, "Ada", hours="09:00 12:00", serviceId=encode("Service", key))
    await into_a_window(api, clock)
    before = await show(api, variant="STANDARD", more="total")
    clock.move(SECOND)
    await take(api, sorted(before["appointments"], key=lambda each: each["startsAt"])[1]["id"])

    after = await show(api, more="total hasMore")

    assert (len(ids(before)), before["total"]) == (3, 3)
    assert (after["appointments"], after["total"], after["hasMore"]) == ([], 0, False)


async def test_showing_is_two_statements_and_counting_one_more(
    api: Api, clock: Clock, statements: Callable[[], list[str]]
) -> None:
    await publish(api, "Ada", "Bob", "Cyd", "Dan", "Eve", "Fay")
    counted = {}

    for more in ("", "hasMore", "total", "total hasMore appointments { provider { id } }"):
        statements()
        await show(api, "new " + more, more)
        counted[more] = len(statements())
    statements()
    await api(
        'query { exposedAppointments(filter: {date: "2027-05-03", timeZone: "UTC"}, viewerKey: "x") { seed hasMore } }'
    )

    assert list(counted.values()) == [2, 2, 3, 4]
    assert len(statements()) == 1, "who is shown nothing is not on record"


async def test_what_is_shown_is_on_record_once_and_tells_nothing_of_the_viewer(
    api: Api, clock: Clock, sql: Sql
) -> None:
    await publish(api, "Ada", "Bob", "Cyd")
    await into_a_window(api, clock, viewer="somebody else")
    sql("DELETE FROM exposures")

    shown = await show(api, "ada@example.com")
    await show(api, "ada@example.com")

    found = sql("SELECT seed, appointment_id, provider_id, location_id, shown_at FROM exposures")
    owners: dict[Any, Any] = dict(sql("SELECT id, provider_id FROM appointments"))
    assert {encode("Appointment", row[1]) for row in found} == set(ids(shown))
    assert len(found) == len(ids(shown)) <= 5
    assert {row[0] for row in found} == {shown["seed"]}
    assert all(owners[row[1]] == row[2] and row[3] is None and row[4] == clock.time for row in found)
    assert "ada@example.com" not in repr(found)


async def test_the_report_tells_of_each_provider_what_was_shown_held_and_confirmed(
    api: Api, clock: Clock, sql: Sql, statements: Callable[[], list[str]]
) -> None:
    here = location(sql)
    ada, bob = await publish(api, "Ada", "Bob")
    (cyd,) = await publish(api, "Cyd", locationId=here)
    await api.provider("Nobody")
    sizes = {name: len(ids(await show(api, providerIds=[key]))) for name, key in (("Ada", ada), ("Cyd", cyd))}
    first, second = ids(await show(api, "x", providerIds=[bob]))[:1], ids(await show(api, "y", providerIds=[cyd]))[:1]
    of_bob = sql("SELECT count(*) FROM exposures WHERE provider_id = %s", decode(bob)[1])[0][0]
    of_cyd = sql("SELECT count(*) FROM exposures WHERE provider_id = %s", decode(cyd)[1])[0][0]
    await take(api, first[0])
    await api.confirm(await take(api, second[0]))
    statements()

    told = (await api(REPORT, **EVERYTHING))["exposureReport"]
    counted = len(statements())
    there = (await api(REPORT, **EVERYTHING, location=here))["exposureReport"]
    page = (await api(REPORT, **EVERYTHING, limit=1, offset=1))["exposureReport"]
    earlier = {"from": "2027-04-01T00:00:00Z", "until": clock.time.isoformat()}
    nothing = (await api(REPORT, **earlier))["exposureReport"]

    def line(name: str, shown: int, held: int, confirmed: int) -> dict[str, Any]:
        return {"provider": {"firstName": name}, "shown": shown, "held": held, "confirmed": confirmed}

    assert told == [line("Ada", sizes["Ada"], 0, 0), line("Bob", of_bob, 1, 0), line("Cyd", of_cyd, 1, 1)]
    assert there == [line("Cyd", of_cyd, 1, 1)]
    assert page == [line("Bob", of_bob, 1, 0)]
    assert nothing == []
    assert counted == 1


async def test_what_was_shown_90_days_ago_is_pruned_in_every_business(api: Api, clock: Clock, sql: Sql) -> None:
    another_business(sql)
    row = "INSERT INTO exposures (business_id, seed, appointment_id, provider_id, shown_at) SELECT id, %s, id, id, %s FROM businesses"
    for seed, age in (
        ("kept", timedelta(days=90)),
        ("old", timedelta(days=90, seconds=1)),
        ("older", timedelta(days=999)),
    ):
        sql(row, seed, clock.time - age)

    pruned = [await exposures.prune(api.database), await exposures.prune(api.database)]

    assert pruned == [4, 0]
    assert sql("SELECT DISTINCT seed FROM exposures") == [("kept",)]


async def test_everybody_is_shown_times_and_only_managers_get_the_report(api: Api, clock: Clock, sql: Sql) -> None:
    await publish(api, "Ada", "Bob", "Cyd")
    sql("UPDATE businesses SET is_public = true")
    person = await api.client()
    variables = {"filter": {"date": DAY.isoformat(), "timeZone": "UTC"}, "viewer": "ada"}
    async with serving(api.database.engine.url.render_as_string(hide_password=False), API_KEYS="on") as strict:
        client = await bearer(strict, Role.CLIENT, person=person)
        manager = await bearer(strict, Role.MANAGER)

        shown = [await strict.post(SHOW % "", headers, **variables) for headers in (client, manager)]
        refused = await strict.post(REPORT, client, **EVERYTHING)
        told = await strict.post(REPORT, manager, **EVERYTHING)

    assert shown[0] == shown[1]
    assert len(ids(shown[0]["data"]["exposedAppointments"])) >= 3
    assert refused["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert [row["held"] for row in told["data"]["exposureReport"]] == [0] * len(told["data"]["exposureReport"])


@pytest.mark.parametrize(
    ("wanted", "viewer", "code", "field"),
    [
        ({}, "", "INVALID_INPUT", "viewerKey"),
        ({}, "x" * 256, "INVALID_INPUT", "viewerKey"),
        ({}, "a\nb", "INVALID_INPUT", "viewerKey"),
        ({}, "a\x00b", "INVALID_INPUT", "viewerKey"),
        ({"date": None}, "x", "INVALID_INPUT", "date"),
        ({"timeZone": None}, "x", "INVALID_INPUT", "timeZone"),
        ({"providerIds": ["abc"]}, "x", "INVALID_INPUT", "providerIds.0"),
        ({"locationId": encode("Provider", OTHER)}, "x", "NOT_FOUND", "locationId"),
        ({"providerIds": [encode("Provider", OTHER)]}, "x", "NOT_FOUND", "providerIds"),
        ({"locationId": encode("Location", OTHER)}, "x", "NOT_FOUND", "locationId"),
        ({"serviceId": encode("Service", OTHER)}, "x", "NOT_FOUND", "serviceId"),
        ({"skillIds": [encode("Skill", OTHER)]}, "x", "NOT_FOUND", "skillIds"),
        ({"resourceId": encode("Resource", OTHER)}, "x", "NOT_FOUND", "resourceId"),
    ],
)
async def test_what_is_malformed_or_another_business_s_is_refused(
    api: Api, clock: Clock, sql: Sql, wanted: dict[str, Any], viewer: str, code: str, field: str
) -> None:
    another_business(sql)
    sql("INSERT INTO locations (business_id, id, name, time_zone) VALUES (%s, %s, 'Elsewhere', 'UTC')", OTHER, OTHER)
    sql("INSERT INTO services (business_id, id, name) VALUES (%s, %s, 'Else')", OTHER, OTHER)
    filter_ = {"date": DAY.isoformat(), "timeZone": "UTC", **wanted}

    answer = await api.post(SHOW % "", filter=filter_, viewer=viewer)

    (error,) = answer["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == (code, field)
    assert sql("SELECT count(*) FROM exposures") == [(0,)]


async def test_an_unknown_variant_is_refused_with_those_there_are(api: Api, clock: Clock) -> None:
    answer = await api.post(
        SHOW % "", filter={"date": DAY.isoformat(), "timeZone": "UTC"}, viewer="x", variant="stylist"
    )

    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "INVALID_INPUT"
    assert "STYLIST" in error["message"]


async def test_the_zone_of_the_header_is_that_of_the_date(api: Api, clock: Clock) -> None:
    await publish(api, "Ada", hours="22:00 23:00")
    variables = {"filter": {"date": "2027-05-04"}, "viewer": "x"}

    there = await api.post(SHOW % "", {"x-time-zone": "Asia/Tokyo"}, **variables)
    here = await api.post(SHOW % "", {"x-time-zone": "UTC"}, **variables)

    assert len(ids(there["data"]["exposedAppointments"])) == 1
    assert ids(here["data"]["exposedAppointments"]) == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"until": "2027-04-30T23:59:59Z"}, "INVALID_INPUT"),
        ({"until": "2028-05-02T00:00:01Z"}, "INVALID_INPUT"),
        ({"location": encode("Location", OTHER)}, "NOT_FOUND"),
        ({"location": encode("Provider", OTHER)}, "NOT_FOUND"),
        ({"limit": 0}, "INVALID_INPUT"),
        ({"limit": 101}, "INVALID_INPUT"),
        ({"offset": -1}, "INVALID_INPUT"),
        ({"from": "2027-05-01T00:00:00"}, "INVALID_INPUT"),
    ],
)
async def test_a_report_of_what_is_malformed_is_refused(
    api: Api, clock: Clock, changed: dict[str, Any], code: str
) -> None:
    answer = await api.post(REPORT, **{**EVERYTHING, **changed})

    (error,) = answer["errors"]
    assert error["extensions"]["code"] == code
