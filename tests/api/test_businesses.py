"""Businesses: made by operators, changed by their admins, each kept apart from the others."""

import asyncio
from typing import Any

import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.viewer import Role
from tests.conftest import Api, serving
from tests.keys import OTHER, Headers, Sql, another_business, bearer, data, key_of, send

BUSINESS = "id name timeZone leadTimeMinutes holdTimeMinutes holdLimit isPublic host version"
ERRORS = "userErrors { __typename code field message ... on VersionConflictError { currentVersion } }"
CREATE = f"mutation ($input: BusinessCreateInput!) {{ businessCreate(input: $input) {{ business {{ {BUSINESS} }} {ERRORS} }} }}"
UPDATE = f"mutation ($input: BusinessUpdateInput!) {{ businessUpdate(input: $input) {{ business {{ {BUSINESS} }} {ERRORS} }} }}"
MINE = f"{{ viewer {{ business {{ {BUSINESS} }} }} }}"
REPLAYED = {"idempotentReplay": True}
NEW = {"name": "Annex", "timeZone": "Europe/Berlin", "host": "Annex.example"}
NAMES = "SELECT name FROM businesses ORDER BY name"


async def mine(api: Api, headers: Headers | None = None) -> Any:
    """The business of whoever asks."""
    return (await data(api, MINE, headers or {}))["viewer"]["business"]


async def update(api: Api, headers: Headers | None = None, **wanted: Any) -> Any:
    """The payload of businessUpdate, from the version that is there, unless another one is named."""
    before = {"expectedVersion": (await mine(api, headers))["version"]}
    return (await data(api, UPDATE, headers or {}, input=before | wanted))["businessUpdate"]


def refusals(payload: Any) -> list[tuple[str, list[str] | None]]:
    return [(error["code"], error["field"]) for error in payload["userErrors"]]


async def test_an_operator_makes_a_business_and_finds_it_there(api: Api, sql: Sql) -> None:
    operator = await bearer(api, Role.OPERATOR)

    made = (await data(api, CREATE, operator, input=NEW))["businessCreate"]

    business = made["business"]
    assert made["userErrors"] == []
    assert business | {"id": ""} == {
        "id": "",
        "name": "Annex",
        "timeZone": "Europe/Berlin",
        "leadTimeMinutes": 1440,
        "holdTimeMinutes": 30,
        "holdLimit": 3,
        "isPublic": False,
        "host": "annex.example",
        "version": 1,
    }
    assert await mine(api, {**operator, "x-business": business["id"]}) == business
    assert (await mine(api, operator))["id"] == encode("Business", DEFAULT_BUSINESS)
    assert sql("SELECT business_id, aggregate_id, actor FROM events WHERE type = 'scheduling.business.created.v1'") == [
        (key := sql("SELECT id FROM businesses WHERE name = 'Annex'")[0][0], key, f"key:{key_of(operator)}")
    ]


async def test_a_business_is_made_without_a_host(api: Api) -> None:
    operator = await bearer(api, Role.OPERATOR)

    made = (await data(api, CREATE, operator, input={"name": "Annex", "timeZone": "UTC"}))["businessCreate"]

    assert (made["business"]["host"], made["userErrors"]) == (None, [])


async def test_the_connection_that_made_a_business_shows_its_own_business_again(database: str) -> None:
    async with serving(database, pool_size=1) as api:
        operator = await bearer(api, Role.OPERATOR)
        await data(api, CREATE, operator, input=NEW)

        keys = await data(api, "{ apiKeys { totalCount } }", operator)

    assert keys == {"apiKeys": {"totalCount": 1}}


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MANAGER, Role.FRONT_DESK])
async def test_nobody_else_makes_a_business(api: Api, sql: Sql, role: Role) -> None:
    refused = await send(api, CREATE, await bearer(api, role), input=NEW)

    assert refused.status_code == 403
    assert refused.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert sql("SELECT count(*) FROM businesses") == [(1,)]


async def test_a_business_that_is_asked_for_twice_is_made_once(api: Api, sql: Sql) -> None:
    operator = await bearer(api, Role.OPERATOR)

    first, second = [await api.post(CREATE, operator, input={**NEW, "idempotencyKey": "once"}) for _ in range(2)]
    other = await api.post(CREATE, operator, input={**NEW, "name": "Another", "idempotencyKey": "once"})

    assert first["data"]["businessCreate"]["userErrors"] == []
    assert "extensions" not in first
    assert (second["data"], second["extensions"]) == (first["data"], REPLAYED)
    assert refusals(other["data"]["businessCreate"]) == [("IDEMPOTENCY_KEY_REUSED", ["idempotencyKey"])]
    assert sql("SELECT count(*) FROM businesses") == [(2,)]
    assert sql("SELECT business_id, principal, key FROM idempotency_keys") == [
        (DEFAULT_BUSINESS, f"key:{key_of(operator)}", "once")
    ]


async def test_twins_at_once_make_one_business(api: Api, sql: Sql) -> None:
    operator = await bearer(api, Role.OPERATOR)
    wanted = {"name": "Annex", "timeZone": "UTC", "idempotencyKey": "once"}

    answers = await asyncio.gather(*(api.post(CREATE, operator, input=wanted) for _ in range(6)))

    assert [refusals(answer["data"]["businessCreate"]) for answer in answers] == [[]] * 6
    assert len({answer["data"]["businessCreate"]["business"]["id"] for answer in answers}) == 1
    assert sorted("extensions" in answer for answer in answers) == [False, *[True] * 5]
    assert sql("SELECT count(*) FROM businesses") == [(2,)]


async def test_a_host_belongs_to_one_business(api: Api, sql: Sql) -> None:
    operator = await bearer(api, Role.OPERATOR)
    await data(api, CREATE, operator, input=NEW)
    again = {**NEW, "name": "Another", "host": "ANNEX.example", "idempotencyKey": "once"}

    made = (await data(api, CREATE, operator, input=again))["businessCreate"]
    changed = await update(api, operator, host="annex.example", name="Another")
    corrected = (await data(api, CREATE, operator, input={**again, "host": "other.example"}))["businessCreate"]

    assert refusals(made) == refusals(changed) == [("INVALID_INPUT", ["host"])]
    assert made["userErrors"][0]["message"] == "Another business is asked for at this host."
    assert (made["business"], changed["business"]) == (None, None)
    assert refusals(corrected) == []
    assert sql(NAMES) == [("Annex",), ("Another",), ("Holdfast",)]


BAD_HOSTS = ["", "a b", "example.com:8000", "https://example.com", "-a.example", "a..b", "x.", "ü.example", "\u212a.example", f"{'a' * 64}.example", ".".join(["a" * 49] * 6)]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "field"),
    [({"name": ""}, "name"), ({"name": "x" * 201}, "name"), *(({"host": host}, "host") for host in BAD_HOSTS)],
)
async def test_a_business_that_cannot_be_is_refused(api: Api, sql: Sql, wanted: dict[str, Any], field: str) -> None:
    operator = await bearer(api, Role.OPERATOR)

    refused = (await data(api, CREATE, operator, input=NEW | wanted))["businessCreate"]

    assert refusals(refused) == [("INVALID_INPUT", [field])]
    assert sql("SELECT count(*) FROM businesses") == [(1,)]


async def test_an_admin_changes_their_business_and_what_is_left_out_stays(api: Api, sql: Sql) -> None:
    admin = await bearer(api, Role.ADMIN)
    before = await mine(api, admin)
    all_ = {
        "name": "Practice",
        "timeZone": "Europe/Paris",
        "isPublic": True,
        "leadTimeMinutes": 0,
        "holdTimeMinutes": 1440,
        "holdLimit": 1000,
    }

    first = await update(api, admin, **all_)
    second = await update(api, admin, **dict.fromkeys(all_) | {"leadTimeMinutes": 527_040})
    third = await update(api, admin, holdLimit=0, isPublic=False)

    versions = [before["version"] + n for n in (1, 2, 3)]
    assert first == {"business": before | all_ | {"version": versions[0]}, "userErrors": []}
    assert second["business"] == first["business"] | {"leadTimeMinutes": 527_040, "version": versions[1]}
    taken_away = {"holdLimit": None, "isPublic": False, "version": versions[2]}
    assert third["business"] == second["business"] | taken_away
    assert sql("SELECT DISTINCT actor, count(*) FROM events WHERE type = 'scheduling.business.updated.v1' AND actor IS NOT NULL GROUP BY 1") == [
        (f"key:{key_of(admin)}", 3)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({}, None),
        ({"name": "\u200b"}, ["name"]),
        ({"leadTimeMinutes": -1}, ["leadTimeMinutes"]),
        ({"leadTimeMinutes": 527_041}, ["leadTimeMinutes"]),
        ({"holdTimeMinutes": 0}, ["holdTimeMinutes"]),
        ({"holdTimeMinutes": 1441}, ["holdTimeMinutes"]),
        ({"holdLimit": -1}, ["holdLimit"]),
        ({"holdLimit": 1001}, ["holdLimit"]),
        *(({"host": host}, ["host"]) for host in BAD_HOSTS[1:]),
    ],
)
async def test_a_change_that_cannot_be_is_refused(api: Api, wanted: dict[str, Any], field: list[str] | None) -> None:
    operator, before = await bearer(api, Role.OPERATOR), await mine(api)

    refused = await update(api, operator, isPublic=None, **wanted)

    assert refusals(refused) == [("INVALID_INPUT", field)]
    assert refused["business"] is None
    assert await mine(api) == before


async def test_an_operator_gives_a_business_its_host_and_takes_it_away(api: Api) -> None:
    operator, before = await bearer(api, Role.OPERATOR), await mine(api)

    given = await update(api, operator, host="Practice.example")
    left = await update(api, operator, host=None, name="Practice")
    taken = await update(api, operator, host="")

    assert [payload["userErrors"] for payload in (given, left, taken)] == [[]] * 3
    assert [payload["business"]["host"] for payload in (given, left, taken)] == ["practice.example"] * 2 + [None]
    assert taken["business"] == before | {"name": "Practice", "version": before["version"] + 3}


@pytest.mark.parametrize("host", ["taken.example", "practice.example", "", "a b"])
async def test_an_admin_neither_gives_nor_takes_a_host_nor_changes_anything_beside_it(
    api: Api, sql: Sql, host: str
) -> None:
    sql("UPDATE businesses SET host = 'practice.example'")
    admin = await bearer(api, Role.ADMIN)
    before = await mine(api, admin)

    refused = await update(api, admin, host=host, name="Mine")
    changed = await update(api, admin, name="Practice", host=None)

    assert refusals(refused) == [("FORBIDDEN", ["host"])]
    assert refused["userErrors"][0]["message"] == "Only an OPERATOR gives a host to a business, or takes it away."
    assert refused["business"] is None
    assert changed["business"] == before | {"name": "Practice", "version": before["version"] + 1}


@pytest.mark.parametrize(
    ("role", "is_told"),
    [(Role.OPERATOR, True), (Role.ADMIN, True), (Role.MANAGER, True), (Role.FRONT_DESK, False)],
)
@pytest.mark.parametrize("field", ["host", "version"])
async def test_who_is_told_of_the_host_and_the_version_of_a_business(
    api: Api, sql: Sql, role: Role, field: str, *, is_told: bool
) -> None:
    sql("UPDATE businesses SET host = 'practice.example'")
    ((version,),) = sql("SELECT version FROM businesses")

    answer = (await send(api, f"{{ viewer {{ business {{ {field} }} }} }}", await bearer(api, role))).json()

    told = {"host": "practice.example", "version": version}[field]
    if is_told:
        assert answer["data"] == {"viewer": {"business": {field: told}}}
    else:
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
        assert "data" not in answer


async def test_of_two_who_change_the_same_version_the_later_one_is_told(api: Api) -> None:
    before = await mine(api)
    version = before["version"]
    await update(api, name="First")

    late = await update(api, expectedVersion=version, name="Second", isPublic=True)

    assert late == {
        "business": None,
        "userErrors": [
            {
                "__typename": "VersionConflictError",
                "code": "VERSION_CONFLICT",
                "field": ["expectedVersion"],
                "message": f"Somebody has changed this in the meantime: it is at version {version + 1} now.",
                "currentVersion": version + 1,
            }
        ],
    }
    assert await mine(api) == before | {"name": "First", "version": version + 1}


async def test_of_two_who_change_the_same_version_at_once_one_wins(api: Api) -> None:
    version = (await mine(api))["version"]
    inputs = [{"expectedVersion": version, "name": f"Name {n}"} for n in range(6)]

    answers = await asyncio.gather(*(data(api, UPDATE, {}, input=each) for each in inputs))

    told = sorted(refusals(answer["businessUpdate"]) for answer in answers)
    assert told == [[], *[[("VERSION_CONFLICT", ["expectedVersion"])]] * 5]
    assert (await mine(api))["version"] == version + 1


async def test_a_change_that_is_sent_twice_is_made_once(api: Api) -> None:
    version = (await mine(api))["version"]
    wanted = {"expectedVersion": version, "name": "Practice", "idempotencyKey": "once"}

    first, second = [await api.post(UPDATE, input=wanted) for _ in range(2)]

    assert first["data"]["businessUpdate"]["userErrors"] == []
    assert (second["data"], second["extensions"]) == (first["data"], REPLAYED)
    assert (await mine(api))["version"] == version + 1


async def test_an_admin_changes_no_business_but_their_own(api: Api, sql: Sql) -> None:
    another_business(sql)
    admin, theirs = await bearer(api, Role.ADMIN), encode("Business", OTHER)

    changed = await update(api, {**admin, "x-business": theirs}, name="Mine")

    assert changed["business"]["id"] == encode("Business", DEFAULT_BUSINESS)
    assert sql(NAMES) == [("Elsewhere",), ("Mine",)]


async def test_an_operator_changes_the_business_they_name(api: Api, sql: Sql) -> None:
    another_business(sql)
    operator, theirs = await bearer(api, Role.OPERATOR), encode("Business", OTHER)

    changed = await update(api, {**operator, "x-business": theirs}, name="Theirs")

    assert (changed["business"]["id"], changed["business"]["name"]) == (theirs, "Theirs")
    assert sql(NAMES) == [("Holdfast",), ("Theirs",)]


@pytest.mark.parametrize("role", [Role.MANAGER, Role.FRONT_DESK])
async def test_nobody_else_changes_a_business(api: Api, sql: Sql, role: Role) -> None:
    headers = await bearer(api, role)

    refused = await send(api, UPDATE, headers, input={"expectedVersion": 1, "name": "Mine"})

    assert refused.status_code == 403
    assert refused.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert sql(NAMES) == [("Holdfast",)]


async def test_who_may_browse_a_business_and_where_holds_at_once(api: Api) -> None:
    anonymous = {"host": "practice.example"}
    operator, query = await bearer(api, Role.OPERATOR), "{ viewer { role business { id } } }"

    closed = await send(api, query, anonymous)
    await update(api, operator, isPublic=True, host="practice.example")
    opened = await send(api, query, anonymous)
    await update(api, isPublic=False)
    closed_again = await send(api, query, anonymous)

    seen = {"viewer": {"role": "PUBLIC", "business": {"id": encode("Business", DEFAULT_BUSINESS)}}}
    assert [closed.status_code, opened.status_code, closed_again.status_code] == [401, 200, 401]
    assert opened.json()["data"] == seen


async def test_the_new_business_is_browsed_at_its_host_once_it_is_open(api: Api) -> None:
    operator = await bearer(api, Role.OPERATOR)
    made = (await data(api, CREATE, operator, input=NEW))["businessCreate"]["business"]
    query = "{ viewer { business { id } } }"
    closed = await send(api, query, {"host": "annex.example:8443"})

    await update(api, {**operator, "x-business": made["id"]}, isPublic=True)

    opened = await send(api, query, {"host": "annex.example:8443"})
    assert (closed.status_code, opened.status_code) == (401, 200)
    assert opened.json()["data"] == {"viewer": {"business": {"id": made["id"]}}}
