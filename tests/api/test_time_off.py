"""Time off: when a provider is away, and why, which is personal."""

import asyncio
from typing import Any

import pytest

from models.node_id import encode
from models.viewer import Role
from tests.conftest import Api, serving
from tests.keys import another_business, bearer, data, send
from tests.schedules import NOTHING, REPLAYED, Sql, change, document, key, made, refusals

CREATE, UPDATE, DELETE = "timeOffCreate", "timeOffUpdate", "timeOffDelete"
INVALID = "INVALID_INPUT"
AWAY = {"startsAt": "2027-05-03T09:00:00Z", "endsAt": "2027-05-05T09:00:00Z", "reason": "a knee"}
STORED = "SELECT id, version, starts_at, ends_at, reason FROM time_off ORDER BY id"
READS = "SELECT aggregate_id, data->'fields' FROM events WHERE type = 'audit.time_off.read.v1' ORDER BY seq"
LISTED = "{ timeOffs { totalCount nodes { id reason } } }"


async def test_time_off_is_added_changed_and_deleted(api: Api, sql: Sql) -> None:
    ada = await api.provider()

    before = await made(api, CREATE, providerId=ada, **AWAY)
    longer = await made(api, UPDATE, id=before["id"], expectedVersion=1, endsAt="2027-05-06T11:00:00+02:00")
    silent = await made(api, UPDATE, id=before["id"], expectedVersion=2, reason=None)
    late = await change(api, DELETE, id=before["id"], expectedVersion=1)
    kept = len(sql(STORED))
    gone = await change(api, DELETE, id=before["id"], expectedVersion=3)

    assert before | {"id": ""} == {"id": "", **AWAY, "version": 1, "provider": {"id": ada}}
    assert longer == before | {"endsAt": "2027-05-06T09:00:00Z", "version": 2}
    assert silent == longer | {"reason": None, "version": 3}
    assert (refusals(late), kept) == ([("VERSION_CONFLICT", "expectedVersion")], 1)
    assert (gone["deletedId"], sql(STORED)) == (before["id"], [])


@pytest.mark.parametrize("blank", ["", "  ", " \n\t ", "\u200b"])
async def test_a_blank_reason_is_none(api: Api, sql: Sql, blank: str) -> None:
    ada = await api.provider()

    added = await made(api, CREATE, providerId=ada, **AWAY | {"reason": blank})
    told = await made(api, UPDATE, id=added["id"], expectedVersion=1, reason="a knee")
    silent = await made(api, UPDATE, id=added["id"], expectedVersion=2, reason=blank)

    assert [each["reason"] for each in (added, told, silent)] == [None, "a knee", None]
    assert sql("SELECT reason FROM time_off") == [(None,)]


async def test_time_off_takes_the_times_that_reach_into_it(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    ((date,),) = sql("SELECT (current_date + 30)::text")
    hours = {"start": "09:00", "end": "12:00", "slotMinutes": 60, "timeZone": "UTC"}
    await made(api, "availabilityRuleCreate", providerId=ada, validFrom=date, validUntil=date, **hours)
    noon = {"startsAt": f"{date}T10:30:00Z", "endsAt": f"{date}T11:00:00Z"}

    away = await change(api, CREATE, providerId=ada, **noon)
    shorter = await change(api, UPDATE, id=away["timeOff"]["id"], expectedVersion=1, startsAt=f"{date}T10:59:59Z")
    back = await change(api, DELETE, id=away["timeOff"]["id"])

    assert [each["published"] for each in (away, shorter, back)] == [
        {"created": 0, "kept": 2, "removed": 1},
        {"created": 0, "kept": 2, "removed": 0},
        {"created": 1, "kept": 2, "removed": 0},
    ]
    assert sql("SELECT count(*) FROM appointments") == [(3,)]


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        ({"endsAt": AWAY["startsAt"]}, (INVALID, "endsAt")),
        ({"endsAt": "2027-05-01T00:00:00Z"}, (INVALID, "endsAt")),
        ({"endsAt": "2028-05-03T09:00:00.000001Z"}, (INVALID, "endsAt")),
        ({"reason": "x" * 2001}, (INVALID, "reason")),
        ({"reason": "\x00"}, (INVALID, "reason")),
        ({"providerId": encode("Provider", NOTHING)}, ("NOT_FOUND", "providerId")),
        ({"providerId": encode("TimeOff", NOTHING)}, ("NOT_FOUND", "providerId")),
        ({"idempotencyKey": "x" * 256}, (INVALID, "idempotencyKey")),
    ],
)
async def test_time_off_that_cannot_be_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], refused: tuple[str, str]
) -> None:
    ada = await api.provider()

    done = await change(api, CREATE, **{"providerId": ada} | AWAY | wanted)

    assert refusals(done) == [refused]
    assert (done["timeOff"], sql(STORED)) == (None, [])


@pytest.mark.parametrize("instant", ["2027-05-03T09:00:00", "2027-05-03", "soon", "1999-12-31T00:00:00Z", 1], ids=str)
async def test_what_is_no_instant_is_refused(api: Api, sql: Sql, instant: Any) -> None:
    wanted = AWAY | {"providerId": await api.provider(), "startsAt": instant}

    answer = await api.post(document(CREATE), input=wanted)

    assert [(e["extensions"]["code"], e["extensions"]["field"]) for e in answer["errors"]] == [(INVALID, "startsAt")]
    assert sql(STORED) == []


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        ({}, (INVALID, None)),
        ({"startsAt": None}, (INVALID, "startsAt")),
        ({"endsAt": None}, (INVALID, "endsAt")),
        ({"startsAt": AWAY["endsAt"]}, (INVALID, "endsAt")),
        ({"expectedVersion": 7, "reason": "x"}, ("VERSION_CONFLICT", "expectedVersion")),
        ({"id": encode("TimeOff", NOTHING), "reason": "x"}, ("NOT_FOUND", "id")),
    ],
)
async def test_a_change_of_time_off_that_cannot_be_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], refused: tuple[str, str | None]
) -> None:
    away = await made(api, CREATE, providerId=await api.provider(), **AWAY)
    before = sql(STORED)

    done = await change(api, UPDATE, **{"id": away["id"], "expectedVersion": 1} | wanted)

    assert refusals(done) == [refused]
    assert sql(STORED) == before


async def test_twins_at_once_are_away_once(api: Api, sql: Sql) -> None:
    wanted = {"providerId": await api.provider(), **AWAY, "idempotencyKey": "once"}

    answers = await asyncio.gather(*(api.post(document(CREATE), input=wanted) for _ in range(6)))

    assert sorted("extensions" in answer for answer in answers) == [False, *[True] * 5]
    assert all(answer["data"] == answers[0]["data"] for answer in answers)
    assert all(answer.get("extensions", REPLAYED) == REPLAYED for answer in answers)
    assert len(sql(STORED)) == 1


@pytest.mark.parametrize("compile", [True, False], ids=["compiled", "ordinary"])
async def test_a_provider_sees_and_changes_their_own_time_off_and_no_others(
    database: str,
    sql: Sql,
    *,
    compile: bool,  # noqa: A002
) -> None:
    async with serving(database, compile=compile) as api:
        ada, grace = await api.provider("Ada"), await api.provider("Grace")
        as_ada = await bearer(api, Role.PROVIDER, person=ada)
        theirs = await made(api, CREATE, providerId=grace, **AWAY)
        before = sql(STORED)
        by_provider = "{ providers { nodes { timeOff { totalCount nodes { id reason } } } } }"

        added = await change(api, CREATE, as_ada, providerId=grace, **AWAY)
        changed = await change(api, UPDATE, as_ada, id=theirs["id"], expectedVersion=1, reason="x")
        deleted = await change(api, DELETE, as_ada, id=theirs["id"])
        kept = sql(STORED)
        own = (await change(api, CREATE, as_ada, providerId=ada, **AWAY))["timeOff"]
        seen = (await data(api, LISTED, as_ada))["timeOffs"]
        nested = (await data(api, by_provider, as_ada))["providers"]["nodes"]
        found = await api.post(f'{{ timeOff(id: "{theirs["id"]}") {{ id }} }}', as_ada)
        whole = (await api(LISTED))["timeOffs"]

    assert refusals(added) == [("FORBIDDEN", "providerId")]
    assert refusals(changed) == refusals(deleted) == [("NOT_FOUND", "id")]
    assert kept == before
    assert seen == {"totalCount": 1, "nodes": [{"id": own["id"], "reason": "a knee"}]}
    assert sorted(each["timeOff"]["totalCount"] for each in nested) == [0, 1]
    assert [error["extensions"]["code"] for error in found["errors"]] == ["NOT_FOUND"]
    assert whole["totalCount"] == 2


@pytest.mark.parametrize("compile", [True, False], ids=["compiled", "ordinary"])
async def test_why_somebody_is_away_is_read_on_record(database: str, sql: Sql, *, compile: bool) -> None:  # noqa: A002
    async with serving(database, compile=compile) as api:
        ada = await api.provider()
        inputs = [{**AWAY, "reason": reason, "providerId": ada} for reason in ("a knee", None)]
        ids = [
            (
                await api.post(
                    "mutation ($i: TimeOffCreateInput!) { timeOffCreate(input: $i) { timeOff { id } } }", i=each
                )
            )["data"]["timeOffCreate"]["timeOff"]["id"]
            for each in inputs
        ]
        await api("{ timeOffs { nodes { id startsAt } } }")
        unread = sql(READS)

        await api(LISTED)
        history = await api(f'{{ timeOff(id: "{ids[0]}") {{ history {{ nodes {{ action nodeId fields }} }} }} }}')

    assert unread == []
    assert sql(READS) == [(key(ids[0]), ["reason"])]
    assert history["timeOff"]["history"]["nodes"] == [
        {"action": "audit.time_off.read.v1", "nodeId": ids[0], "fields": ["reason"]},
        {"action": "scheduling.time_off.created.v1", "nodeId": ids[0], "fields": None},
    ]


async def test_history_does_not_tell_why_somebody_was_away(api: Api, sql: Sql) -> None:
    away = await made(api, CREATE, providerId=await api.provider(), **AWAY)

    await made(api, UPDATE, id=away["id"], expectedVersion=1, reason="a secret")

    told = sql("SELECT data::text || coalesce(diff::text, '') FROM events WHERE aggregate_id = %s", key(away["id"]))
    assert not any("secret" in text or "knee" in text for (text,) in told)
    assert sql("SELECT diff FROM events WHERE diff ? 'reason'") == [({"reason": None},)]


@pytest.mark.parametrize("role", [Role.CLIENT, Role.PUBLIC])
async def test_whoever_is_not_of_the_team_learns_of_no_absence(api: Api, sql: Sql, role: Role) -> None:
    away = await made(api, CREATE, providerId=await api.provider(), **AWAY)
    sql("UPDATE businesses SET is_public = true")
    headers = {"via": "1.1 a-proxy", "x-business": encode("Business", sql("SELECT id FROM businesses")[0][0])}
    if role is Role.CLIENT:
        headers = await bearer(api, role, person=await api.client())

    refused = [
        await send(api, query, headers)
        for query in (
            LISTED,
            "{ providers { nodes { timeOff { totalCount } } } }",
            f'{{ timeOff(id: "{away["id"]}") {{ id }} }}',
        )
    ]
    sought = await send(api, f'{{ node(id: "{away["id"]}") {{ id }} }}', headers)

    assert {answer.status_code for answer in refused} == {403 if role is Role.CLIENT else 401}
    assert sought.json()["data"] == {"node": None}
    assert sought.json()["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_time_off_of_another_business_is_nobodys(api: Api, sql: Sql) -> None:
    another_business(sql)
    insert = (
        "INSERT INTO time_off (business_id, provider_id, starts_at, ends_at)"
        " SELECT business_id, id, now(), now() + '1 hour' FROM providers WHERE first_name = 'No' RETURNING id"
    )
    theirs = encode("TimeOff", sql(insert)[0][0])
    before = sql(STORED)

    changed = await change(api, UPDATE, id=theirs, expectedVersion=1, reason="x")
    deleted = await change(api, DELETE, id=theirs)

    assert refusals(changed) == refusals(deleted) == [("NOT_FOUND", "id")]
    assert (await api(LISTED))["timeOffs"] == {"totalCount": 0, "nodes": []}
    assert sql(STORED) == before


async def test_time_off_is_listed_by_provider_and_start(api: Api) -> None:
    ada, grace = await api.provider("Ada"), await api.provider("Grace")
    for provider, day in ((ada, 5), (ada, 3), (grace, 4)):
        away = {"startsAt": f"2027-05-0{day}T09:00:00Z", "endsAt": f"2027-05-0{day}T10:00:00Z"}
        await made(api, CREATE, providerId=provider, **away)
    query = "query ($f: TimeOffFilter, $o: [TimeOffOrder!], $l: Int, $s: Int) { timeOffs(filter: $f, orderBy: $o, limit: $l, offset: $s) { nodes { startsAt } } }"

    async def found(**wanted: Any) -> list[str]:
        return [node["startsAt"][8:10] for node in (await api(query, **wanted))["timeOffs"]["nodes"]]

    assert await found() == ["03", "04", "05"]
    assert await found(l=1, s=1) == ["04"]
    assert await found(o=[{"field": "ENDS_AT", "direction": "DESC"}]) == ["05", "04", "03"]
    assert await found(f={"providerId": ada}) == ["03", "05"]
    assert await found(f={"startsAt": {"from": "2027-05-03T09:00:01Z", "until": "2027-05-05T09:00:00Z"}}) == ["04"]
