"""Rules: windows of a weekday or of certain dates, none of which says something else for the same time as another."""

import asyncio
from typing import Any

import pytest

from models.node_id import encode
from models.viewer import Role
from tests.conftest import Api, serving
from tests.keys import another_business, bearer, send
from tests.schedules import NOTHING, REPLAYED, Sql, change, document, key, location, made, refusals, service

CREATE, UPDATE, DELETE = "availabilityRuleCreate", "availabilityRuleUpdate", "availabilityRuleDelete"
WEEKLY = {"slotMinutes": 30, "start": "09:00", "end": "17:00", "weekday": "MONDAY"}
DATED = {"slotMinutes": 30, "start": "09:00", "end": "17:00", "validFrom": "2027-05-03", "validUntil": "2027-05-07"}
RECURRING = DATED | {"recurrence": "FREQ=WEEKLY;BYDAY=MO,WE", "validUntil": "2027-05-20"}
STORED = "SELECT id, version, starts_minute, ends_minute FROM availability_rules ORDER BY id"


async def create(api: Api, provider: str, **wanted: Any) -> Any:
    """A rule that is made."""
    return await made(api, CREATE, providerId=provider, **wanted)


async def test_a_weekly_rule_is_added(api: Api, sql: Sql) -> None:
    ada = await api.provider()

    done = await change(api, CREATE, providerId=ada, **WEEKLY)

    assert done["userErrors"] == []
    assert done["availabilityRule"] | {"id": ""} == {
        "id": "",
        "weekday": "MONDAY",
        "start": "09:00",
        "end": "17:00",
        "endsNextDay": False,
        "validFrom": None,
        "validUntil": None,
        "recurrence": None,
        "timeZone": None,
        "slotMinutes": 30,
        "gridMinutes": None,
        "capacity": 1,
        "version": 1,
        "provider": {"id": ada},
        "service": None,
        "location": None,
    }
    assert done["published"]["created"] > 0
    assert sql("SELECT type, actor FROM events WHERE aggregate_id = %s", key(done["availabilityRule"]["id"])) == [
        ("scheduling.availability_rule.created.v1", "anonymous")
    ]


@pytest.mark.parametrize(
    ("wanted", "dates", "recurrence"),
    [
        ({}, "{[2027-05-03,2027-05-08)}", None),
        ({"validUntil": "2027-05-03"}, "{[2027-05-03,2027-05-04)}", None),
        ({"validUntil": "2028-05-02"}, "{[2027-05-03,2028-05-03)}", None),
        ({"recurrence": "FREQ=WEEKLY;BYDAY=MO,TU"}, "{[2027-05-03,2027-05-05)}", "FREQ=WEEKLY;BYDAY=MO,TU"),
        ({"recurrence": "rrule:freq=daily;interval=3"}, "{[2027-05-03,2027-05-04),[2027-05-06,2027-05-07)}", "FREQ=DAILY;INTERVAL=3"),
        ({"recurrence": "FREQ=MONTHLY;BYDAY=-1FR;COUNT=2", "validUntil": None}, "{[2027-05-28,2027-05-29),[2027-06-25,2027-06-26)}", "FREQ=MONTHLY;BYDAY=-1FR;COUNT=2"),
        ({"recurrence": "FREQ=DAILY;UNTIL=20270504", "validUntil": None}, "{[2027-05-03,2027-05-05)}", "FREQ=DAILY;UNTIL=20270504"),
        ({"recurrence": "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29", "validUntil": "2028-12-31"}, "{[2028-02-29,2028-03-01)}", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29"),
    ],
)  # fmt: skip
async def test_a_rule_is_for_dates(
    api: Api, sql: Sql, wanted: dict[str, Any], dates: str, recurrence: str | None
) -> None:
    ada = await api.provider()

    rule = await create(api, ada, **DATED | wanted)

    assert (rule["weekday"], rule["recurrence"]) == (None, recurrence)
    assert sql("SELECT dates::text FROM availability_rules") == [(dates,)]


INVALID = "INVALID_INPUT"
BAD_RULES: list[Any] = [
    pytest.param({"end": "09:00"}, (INVALID, "end"), id="no-length"),
    pytest.param({"end": "08:00"}, (INVALID, "end"), id="reversed"),
    pytest.param({"start": "24:00", "end": "24:00"}, (INVALID, "start"), id="24-as-start"),
    pytest.param({"endsNextDay": True}, (INVALID, "end"), id="longer-than-a-day"),
    pytest.param({"capacity": 0}, (INVALID, "capacity"), id="capacity-0"),
    pytest.param({"slotMinutes": 481}, (INVALID, "end"), id="slot-longer-than-its-window"),
    pytest.param({"slotMinutes": 0}, (INVALID, "slotMinutes"), id="slot-0"),
    pytest.param({"slotMinutes": None}, (INVALID, "slotMinutes"), id="no-slot"),
    pytest.param({"gridMinutes": 15}, (INVALID, "gridMinutes"), id="grid-shorter-than-a-slot"),
    pytest.param({"recurrence": "FREQ=DAILY"}, (INVALID, "recurrence"), id="weekday-and-recurrence"),
    pytest.param({"validFrom": "2027-05-04", "validUntil": "2027-05-03"}, (INVALID, "validUntil"), id="validity-reversed"),
    pytest.param({"weekday": None}, (INVALID, "validFrom"), id="neither-weekday-nor-dates"),
    pytest.param({"weekday": None, "validFrom": "2027-05-03"}, (INVALID, "validUntil"), id="dates-without-end"),
    pytest.param({"weekday": None, "validUntil": "2027-05-03"}, (INVALID, "validFrom"), id="dates-without-start"),
    pytest.param({"weekday": None, "validFrom": "2027-05-03", "validUntil": "2028-05-03"}, (INVALID, "validUntil"), id="367-days"),
    pytest.param({"providerId": encode("Provider", NOTHING)}, ("NOT_FOUND", "providerId"), id="nobody"),
    pytest.param({"providerId": encode("Location", NOTHING)}, ("NOT_FOUND", "providerId"), id="another-type"),
    pytest.param({"providerId": "{}"}, (INVALID, "providerId"), id="no-id"),
    pytest.param({"locationId": encode("Location", NOTHING)}, ("NOT_FOUND", "locationId"), id="nowhere"),
    pytest.param({"serviceId": encode("Service", NOTHING)}, ("NOT_FOUND", "serviceId"), id="no-service"),
]  # fmt: skip
GARBAGE = [
    "", ";", "FREQ", "FREQ=", "FREQ=HOURLY", "FREQ=SECONDLY", "DAILY", "FREQ=DAILY;FREQ=DAILY", "INTERVAL=2", "FREQ=DAILY;INTERVAL=0",
    "FREQ=DAILY;INTERVAL=-1", "FREQ=DAILY;INTERVAL=99999999999", "FREQ=DAILY;BYHOUR=9", "FREQ=DAILY;COUNT=0", "FREQ=DAILY;COUNT=2;UNTIL=20270504",
    "FREQ=DAILY;UNTIL=20271399", "FREQ=DAILY;UNTIL=20270504T000000Z", "FREQ=DAILY;UNTIL=99991231", "FREQ=WEEKLY;BYDAY=XX", "FREQ=WEEKLY;BYDAY=1MO",
    "FREQ=WEEKLY;BYMONTHDAY=1", "FREQ=MONTHLY;BYMONTHDAY=32", "FREQ=YEARLY;BYMONTH=13", "FREQ=MONTHLY;BYDAY=0MO", "FREQ=DAILY;BYSETPOS=1",
    "FREQ=DAILY;BYDAY=MO;BYSETPOS=999", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY;X-A=1",
    "DTSTART:20270503\nRRULE:FREQ=DAILY", "FREQ=DAILY\x00", "FREQ=DAILY;BYMONTH=" + ",".join(["1"] * 300), "'; DROP TABLE availability_rules; --",
    "FREQ=DAILY;COUNT=367", "FREQ=YEARLY;COUNT=4",
]  # fmt: skip


@pytest.mark.parametrize(("wanted", "refused"), BAD_RULES)
async def test_a_rule_that_cannot_be_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], refused: tuple[str, str]
) -> None:
    ada = await api.provider()

    done = await change(api, CREATE, **{"providerId": ada} | WEEKLY | wanted)

    assert refusals(done) == [refused]
    assert (done["availabilityRule"], done["published"], done["affectedCount"]) == (None, None, 0)
    assert sql(STORED) == []


@pytest.mark.parametrize("recurrence", GARBAGE)
async def test_a_recurrence_that_has_no_dates_is_refused(api: Api, sql: Sql, recurrence: str) -> None:
    ada = await api.provider()
    ends_by_itself = "COUNT" in recurrence or "UNTIL" in recurrence
    until = None if ends_by_itself else "2029-05-02"

    done = await change(api, CREATE, providerId=ada, **DATED | {"recurrence": recurrence, "validUntil": until})

    assert refusals(done) == [(INVALID, "recurrence")]
    assert sql(STORED) == []


@pytest.mark.parametrize("until", [None, "2029-05-04"])
async def test_a_recurrence_ends_within_two_years(api: Api, sql: Sql, until: str | None) -> None:
    ada = await api.provider()
    wanted = DATED | {"recurrence": "FREQ=WEEKLY", "validUntil": until}

    done = await change(api, CREATE, providerId=ada, **wanted)
    last = await change(api, CREATE, providerId=ada, **wanted | {"validUntil": "2029-05-03"})

    assert (refusals(done), refusals(last)) == ([(INVALID, "validUntil")], [])
    assert len(sql(STORED)) == 1


OVERLAPS: list[Any] = [
    pytest.param(WEEKLY, WEEKLY, True, id="twice"),
    pytest.param(WEEKLY, {"start": "16:59", "end": "18:00"}, True, id="one-minute"),
    pytest.param(WEEKLY, {"start": "17:00", "end": "18:00"}, False, id="touching"),
    pytest.param(WEEKLY, {"weekday": "TUESDAY"}, False, id="another-day"),
    pytest.param({"start": "22:00", "end": "03:00", "endsNextDay": True}, {"weekday": "TUESDAY", "start": "02:00", "end": "04:00"}, True, id="over-midnight"),
    pytest.param({"weekday": "SUNDAY", "start": "22:00", "end": "03:00", "endsNextDay": True}, {"start": "02:00", "end": "04:00"}, True, id="over-the-week"),
    pytest.param({"validUntil": "2027-05-31"}, {"validFrom": "2027-06-01"}, False, id="one-after-the-other"),
    pytest.param({"validUntil": "2027-06-01"}, {"validFrom": "2027-06-01"}, True, id="one-day-in-common"),
    pytest.param(WEEKLY, DATED | {"weekday": None}, False, id="a-date-goes-before-a-week"),
    pytest.param(DATED | {"weekday": None}, DATED | {"weekday": None, "validFrom": "2027-05-07", "validUntil": "2027-05-08"}, True, id="dates"),
    pytest.param(DATED | {"weekday": None}, DATED | {"weekday": None, "validFrom": "2027-05-08", "validUntil": "2027-05-08"}, False, id="other-dates"),
    pytest.param(DATED | {"weekday": None}, DATED | {"weekday": None, "start": "17:00", "end": "18:00"}, False, id="same-dates-later"),
    pytest.param(DATED | {"weekday": None}, RECURRING | {"weekday": None}, True, id="a-recurrence"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other", "contradict"), OVERLAPS)
async def test_rules_that_contradict_each_other_are_refused_and_named(
    api: Api, sql: Sql, one: dict[str, Any], other: dict[str, Any], *, contradict: bool
) -> None:
    ada, grace = await api.provider("Ada"), await api.provider("Grace")
    first = await create(api, ada, **WEEKLY | one)

    done = await change(api, CREATE, providerId=ada, **WEEKLY | other)
    of_another = await change(api, CREATE, providerId=grace, **WEEKLY | other)

    assert refusals(done) == ([("OVERLAPPING_RULES", None)] if contradict else [])
    assert [error["ruleIds"] for error in done["userErrors"]] == ([[first["id"]]] if contradict else [])
    assert refusals(of_another) == []
    assert len(sql(STORED)) == (2 if contradict else 3)


async def test_what_is_left_out_of_an_update_stays_and_null_takes_away(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    place, visit = location(sql), service(sql, 30, of=ada)
    terms = {"locationId": place, "serviceId": visit, "timeZone": "Asia/Tokyo", "gridMinutes": 60, "capacity": 2}
    before = await create(api, ada, **WEEKLY, **terms, validFrom="2027-05-03", validUntil="2027-12-31")
    taken_away = ["locationId", "slotMinutes", "gridMinutes", "timeZone", "validFrom", "validUntil"]

    first = await made(api, UPDATE, id=before["id"], expectedVersion=1, end="12:30", capacity=5)
    second = await made(api, UPDATE, id=before["id"], expectedVersion=2, **dict.fromkeys(taken_away))
    third = await made(
        api, UPDATE, id=before["id"], expectedVersion=3, serviceId=None, slotMinutes=20, weekday="FRIDAY"
    )

    assert first == before | {"end": "12:30", "capacity": 5, "version": 2}
    nothing = dict.fromkeys(["location", *taken_away[1:]])
    assert second == first | nothing | {"version": 3}
    assert third == second | {"service": None, "slotMinutes": 20, "weekday": "FRIDAY", "version": 4}


async def test_a_weekly_rule_becomes_one_for_dates(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule = await create(api, ada, **WEEKLY)
    dates = {"weekday": None, "validFrom": "2027-05-03", "recurrence": "FREQ=DAILY;COUNT=2"}

    changed = await made(api, UPDATE, id=rule["id"], expectedVersion=1, **dates)
    back = await made(api, UPDATE, id=rule["id"], expectedVersion=2, weekday="SUNDAY", recurrence=None)

    assert changed == rule | dates | {"version": 2}
    assert back == rule | {"weekday": "SUNDAY", "validFrom": "2027-05-03", "version": 3}
    assert sql("SELECT dates FROM availability_rules") == [(None,)]


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        ({}, (INVALID, None)),
        ({"start": None}, (INVALID, "start")),
        ({"end": None}, (INVALID, "end")),
        ({"end": "09:10"}, (INVALID, "end")),
        ({"capacity": None}, (INVALID, "capacity")),
        ({"weekday": None}, (INVALID, "validFrom")),
        ({"recurrence": "FREQ=DAILY"}, (INVALID, "recurrence")),
        ({"slotMinutes": None}, (INVALID, "slotMinutes")),
        ({"weekday": "TUESDAY"}, ("OVERLAPPING_RULES", None)),
        ({"expectedVersion": 2, "end": "12:00"}, ("VERSION_CONFLICT", "expectedVersion")),
        ({"id": encode("AvailabilityRule", NOTHING), "end": "12:00"}, ("NOT_FOUND", "id")),
        ({"id": encode("Holiday", NOTHING), "end": "12:00"}, ("NOT_FOUND", "id")),
    ],
)
async def test_a_change_of_a_rule_that_cannot_be_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], refused: tuple[str, str | None]
) -> None:
    ada = await api.provider()
    rule = await create(api, ada, **WEEKLY)
    await create(api, ada, **WEEKLY | {"weekday": "TUESDAY"})
    before = sql(STORED)

    done = await change(api, UPDATE, **{"id": rule["id"], "expectedVersion": 1} | wanted)

    assert refusals(done) == [refused]
    assert (done["availabilityRule"], done["published"]) == (None, None)
    assert sql(STORED) == before


async def test_of_two_who_change_the_same_version_at_once_one_wins(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule = await create(api, ada, **WEEKLY)

    done = await asyncio.gather(
        *(change(api, UPDATE, id=rule["id"], expectedVersion=1, capacity=n) for n in range(2, 8))
    )

    assert sorted(refusals(each) for each in done) == [[], *[[("VERSION_CONFLICT", "expectedVersion")]] * 5]
    assert [row[1] for row in sql(STORED)] == [2]


async def test_contradicting_rules_at_once_are_one_rule(api: Api, sql: Sql) -> None:
    ada = await api.provider()

    done = await asyncio.gather(*(change(api, CREATE, providerId=ada, **WEEKLY) for _ in range(6)))

    assert sorted(refusals(each) for each in done) == [[], *[[("OVERLAPPING_RULES", None)]] * 5]
    assert len(sql(STORED)) == 1


async def test_a_rule_is_deleted_at_its_version_or_at_any(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    one, other = await create(api, ada, **WEEKLY), await create(api, ada, **DATED)

    late = await change(api, DELETE, id=one["id"], expectedVersion=2)
    kept = len(sql(STORED))
    done = await change(api, DELETE, id=one["id"], expectedVersion=1)
    again = await change(api, DELETE, id=one["id"])
    at_any = await change(api, DELETE, id=other["id"])

    assert (refusals(late), late["userErrors"][0]["currentVersion"], late["deletedId"], kept) == (
        [("VERSION_CONFLICT", "expectedVersion")],
        1,
        None,
        2,
    )
    assert (done["deletedId"], at_any["deletedId"]) == (one["id"], other["id"])
    assert done["published"]["removed"] > 0
    assert refusals(again) == [("NOT_FOUND", "id")]
    assert sql(STORED) == []


@pytest.mark.parametrize("at_once", [True, False])
async def test_twins_make_change_and_delete_one_rule_once(api: Api, sql: Sql, *, at_once: bool) -> None:
    ada = await api.provider()

    async def twins(mutation: str, **wanted: Any) -> Any:
        query, several = document(mutation), range(4)
        asked = [api.post(query, input={**wanted, "idempotencyKey": mutation}) for _ in several]
        answers = await asyncio.gather(*asked) if at_once else [await each for each in asked]
        assert sorted("extensions" in answer for answer in answers) == [False, *[True] * 3]
        assert all(answer.get("extensions", REPLAYED) == REPLAYED for answer in answers)
        assert all(answer["data"] == answers[0]["data"] for answer in answers)
        payload = answers[0]["data"][mutation]
        assert payload["userErrors"] == []
        return payload

    rule = (await twins(CREATE, providerId=ada, **WEEKLY))["availabilityRule"]
    changed = (await twins(UPDATE, id=rule["id"], expectedVersion=1, end="12:00"))["availabilityRule"]
    deleted = await twins(DELETE, id=rule["id"], expectedVersion=2)

    assert changed == rule | {"end": "12:00", "version": 2}
    assert deleted["deletedId"] == rule["id"]
    assert sql("SELECT count(*) FROM events WHERE type LIKE 'scheduling.availability_rule.%%'") == [(3,)]


async def test_a_provider_changes_their_own_rules_and_no_others(api: Api, sql: Sql) -> None:
    ada, grace = await api.provider("Ada"), await api.provider("Grace")
    as_ada = await bearer(api, Role.PROVIDER, person=ada)
    theirs = await create(api, grace, **WEEKLY)
    before = sql(STORED)

    added = await change(api, CREATE, as_ada, providerId=grace, **DATED)
    changed = await change(api, UPDATE, as_ada, id=theirs["id"], expectedVersion=1, end="12:00")
    deleted = await change(api, DELETE, as_ada, id=theirs["id"])
    kept = sql(STORED)
    own = (await change(api, CREATE, as_ada, providerId=ada, **WEEKLY))["availabilityRule"]
    mine = await change(api, UPDATE, as_ada, id=own["id"], expectedVersion=1, end="12:00")
    gone = await change(api, DELETE, as_ada, id=own["id"])

    assert refusals(added) == [("FORBIDDEN", "providerId")]
    assert refusals(changed) == refusals(deleted) == [("FORBIDDEN", "id")]
    assert kept == before
    assert (refusals(mine), gone["deletedId"]) == ([], own["id"])


@pytest.mark.parametrize("role", [Role.CLIENT, Role.PUBLIC])
async def test_whoever_is_not_of_the_team_neither_sees_nor_changes_a_rule(api: Api, sql: Sql, role: Role) -> None:
    ada = await api.provider()
    rule = await create(api, ada, **WEEKLY)
    sql("UPDATE businesses SET is_public = true")
    headers = {"via": "1.1 a-proxy", "x-business": encode("Business", sql("SELECT id FROM businesses")[0][0])}
    if role is Role.CLIENT:
        headers = await bearer(api, role, person=await api.client())
    inputs = [(CREATE, {"providerId": ada, **DATED}), (DELETE, {"id": rule["id"]})]

    answers = [await send(api, document(mutation), headers, input=wanted) for mutation, wanted in inputs]
    answers += [await send(api, query, headers) for query in ("{ availabilityRules { totalCount } }", f'{{ availabilityRule(id: "{rule["id"]}") {{ id }} }}')]  # fmt: skip

    assert {answer.status_code for answer in answers} == {403 if role is Role.CLIENT else 401}
    assert all("data" not in answer.json() for answer in answers)
    assert len(sql(STORED)) == 1


async def test_a_rule_of_another_business_is_nobodys(api: Api, sql: Sql) -> None:
    another_business(sql)
    insert = (
        "INSERT INTO availability_rules (business_id, provider_id, weekday, starts_minute, ends_minute, slot_minutes)"
        " SELECT business_id, id, 1, 540, 600, 30 FROM providers WHERE first_name = 'No' RETURNING id"
    )
    theirs = encode("AvailabilityRule", sql(insert)[0][0])
    before = sql(STORED)

    changed = await change(api, UPDATE, id=theirs, expectedVersion=1, end="11:00")
    deleted = await change(api, DELETE, id=theirs)
    read = await api.post("query ($id: ID!) { availabilityRule(id: $id) { id } }", id=theirs)

    assert refusals(changed) == refusals(deleted) == [("NOT_FOUND", "id")]
    assert read["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert await api("{ availabilityRules { totalCount } }") == {"availabilityRules": {"totalCount": 0}}
    assert sql(STORED) == before


LISTED = "query ($f: AvailabilityRuleFilter) { availabilityRules(filter: $f) { totalCount nodes { start } } }"


async def test_rules_are_listed_by_what_they_are_for(api: Api, sql: Sql) -> None:
    ada, grace = await api.provider("Ada"), await api.provider("Grace")
    place, visit = location(sql), service(sql, 30, of=ada)
    await create(api, ada, **WEEKLY | {"start": "10:00", "weekday": "SUNDAY", "validUntil": "2027-05-02"})
    await create(api, ada, **WEEKLY | {"start": "11:00", "serviceId": visit, "locationId": place})
    await create(api, ada, **DATED | {"start": "12:00"})
    await create(api, grace, **WEEKLY | {"start": "13:00"})
    await create(api, grace, **RECURRING | {"start": "14:00"})
    expected: list[tuple[dict[str, Any] | None, list[str]]] = [
        (None, ["11:00", "13:00", "10:00", "12:00", "14:00"]),
        ({"providerId": ada}, ["11:00", "10:00", "12:00"]),
        ({"providerId": grace, "weekday": "MONDAY"}, ["13:00"]),
        ({"locationId": place}, ["11:00"]),
        ({"serviceId": visit}, ["11:00"]),
        ({"weekday": "SUNDAY"}, ["10:00"]),
        ({"date": "2027-05-02"}, ["10:00"]),
        ({"date": "2027-05-09"}, []),
        ({"date": "2027-05-03"}, ["11:00", "13:00", "12:00", "14:00"]),
        ({"date": "2027-05-04"}, ["12:00"]),
        ({"date": "2027-05-10", "providerId": grace}, ["13:00", "14:00"]),
        ({"providerId": encode("Provider", NOTHING)}, []),
    ]
    async with serving(str(api.database.engine.url.render_as_string(hide_password=False)), compile=False) as ordinary:
        for wanted, starts in expected:
            api.on_lanes.clear()

            found, same = [(await each(LISTED, f=wanted))["availabilityRules"] for each in (api, ordinary)]

            assert [node["start"] for node in found["nodes"]] == starts, wanted
            assert found["totalCount"] == len(starts)
            assert len(api.on_lanes) == 1
            assert same == found


PAGE = """query ($o: [AvailabilityRuleOrder!], $n: Int, $a: String, $l: Int, $s: Int) {
  availabilityRules(orderBy: $o, first: $n, after: $a, limit: $l, offset: $s) {
    nodes { weekday start end endsNextDay validFrom createdAt } pageInfo { hasNextPage endCursor }
  }
}"""


@pytest.mark.parametrize("compile", [True, False], ids=["compiled", "ordinary"])
@pytest.mark.parametrize(
    "order", [None, [{"field": "CREATED_AT", "direction": "DESC"}], [{"field": "WEEK", "direction": "DESC"}]], ids=str
)
async def test_rules_are_paged_in_their_order(database: str, order: Any, *, compile: bool) -> None:  # noqa: A002
    async with serving(database, compile=compile) as api:
        ada = await api.provider()
        for weekday, start in (("SUNDAY", "09:00"), ("MONDAY", "13:00"), ("MONDAY", "09:00"), ("WEDNESDAY", "23:00")):
            await create(api, ada, **WEEKLY | {"weekday": weekday, "start": start, "end": "00:00" if start == "23:00" else "24:00" if start != "09:00" else "12:00", "endsNextDay": start == "23:00"})  # fmt: skip
        await create(api, ada, **DATED)
        whole = (await api(PAGE, o=order))["availabilityRules"]["nodes"]
        seen, after = [], None
        for _ in whole:
            page = (await api(PAGE, o=order, n=1, a=after))["availabilityRules"]
            seen += page["nodes"]
            after = page["pageInfo"]["endCursor"]
        numbered = (await api(PAGE, o=order, l=2, s=1))["availabilityRules"]["nodes"]

    place = [(rule["weekday"], rule["start"]) for rule in whole]
    week = [("MONDAY", "09:00"), ("MONDAY", "13:00"), ("WEDNESDAY", "23:00"), ("SUNDAY", "09:00"), (None, "09:00")]
    by_age = [(None, "09:00"), ("WEDNESDAY", "23:00"), ("MONDAY", "09:00"), ("MONDAY", "13:00"), ("SUNDAY", "09:00")]
    assert place == (week if order is None else week[::-1] if order[0]["field"] == "WEEK" else by_age)
    assert {(rule["start"], rule["end"], rule["endsNextDay"]) for rule in whole} == {
        ("09:00", "12:00", False),
        ("13:00", "24:00", False),
        ("23:00", "24:00", False),
        ("09:00", "17:00", False),
    }
    assert (seen, page["pageInfo"]["hasNextPage"]) == (whole, False)
    assert numbered == whole[1:3]
