"""The catalogue: locations, skills and resources, made, changed, deleted and listed; and what is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from models.node_id import encode
from models.viewer import Role
from tests.conftest import Api, serving
from tests.keys import OTHER, Sql, another_business, bearer, send

ERRORS = "userErrors { __typename code field message ... on VersionConflictError { currentVersion } ... on UnknownTimeZoneError { suggestions } }"
WHOLE = {
    "location": "id name address postalCode timeZone version",
    "skill": "id name version",
    "resource": "id name kind quantity location { id } version",
    "provider": "id firstName lastName email phone timeZone version",
    "service": "id name durationMinutes bufferBeforeMinutes bufferAfterMinutes price { amount currency } active priority"
    " leadTimeMinutes holdTimeMinutes minimumHorizonMinutes maximumHorizonMinutes cancelCutoffMinutes version"
    " skills { nodes { name } } requirements { nodes { quantity resource { name } } }",
}
# What a thing of a kind has to have beside its name.
NEEDED: dict[str, dict[str, Any]] = {"location": {"timeZone": "UTC"}, "service": {"durationMinutes": 30}}
NOWHERE = encode("Location", OTHER)
NAMES = "{ %s%s { totalCount nodes { name } } }"


def verb(name: str) -> str:
    """The document of a mutation, which shows all of what it has written."""
    noun = next(each for each in WHOLE if name.startswith(each))
    shown = "deletedId" if name.endswith("Delete") else f"{noun} {{ {WHOLE[noun]} }}"
    return f"mutation ($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {{ {shown} {ERRORS} }} }}"


async def do(api: Api, mutation: str, /, **wanted: Any) -> Any:
    """The payload of a mutation."""
    answer = await api.post(verb(mutation), input=wanted)
    assert "errors" not in answer, answer["errors"]
    return answer["data"][mutation]


async def made(api: Api, noun: str, /, **wanted: Any) -> Any:
    """A thing that is made for a test."""
    payload = await do(api, f"{noun}Create", **wanted)
    assert payload["userErrors"] == []
    return payload[noun]


def told(payload: Any) -> list[tuple[str, list[str] | None]]:
    return [(error["code"], error["field"]) for error in payload["userErrors"]]


async def names(api: Api, list_: str, arguments: str = "") -> list[str]:
    page = (await api(NAMES % (list_, f"({arguments})" if arguments else "")))[list_]
    found = [node["name"] for node in page["nodes"]]
    assert page["totalCount"] == len(found)
    return found


@pytest.fixture(params=[True, False], ids=["compiled", "ordinary"])
async def either(database: str, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Either road."""
    async with serving(database, compile=request.param) as client:
        yield client


async def test_a_location_is_made_changed_and_deleted(api: Api, sql: Sql) -> None:
    wanted = {
        "name": " Mitte ",
        "address": "Straße 1\n10115 Berlin",
        "postalCode": "10115",
        "timeZone": "Europe/Berlin",
    }

    location = await made(api, "location", **wanted)
    changed = await do(api, "locationUpdate", id=location["id"], expectedVersion=1, name="North", address=None)
    found = await api(f'{{ location(id: "{location["id"]}") {{ {WHOLE["location"]} }} }}')
    gone = await do(api, "locationDelete", id=location["id"], expectedVersion=2)

    assert location == {**wanted, "id": location["id"], "name": "Mitte", "version": 1}
    assert changed["location"] == {**location, "name": "North", "address": None, "version": 2}
    assert found == {"location": changed["location"]}
    assert gone == {"deletedId": location["id"], "userErrors": []}
    assert sql("SELECT count(*) FROM locations") == [(0,)]
    assert sql("SELECT type, actor FROM events WHERE type LIKE '%.location.%' ORDER BY seq") == [
        (f"scheduling.location.{done}.v1", "anonymous") for done in ("created", "updated", "deleted")
    ]


async def test_a_resource_is_made_moved_and_deleted(api: Api, sql: Sql) -> None:
    location = await made(api, "location", name="Mitte", timeZone="Europe/Berlin")

    resource = await made(api, "resource", name="Laser", kind="EQUIPMENT", quantity=1000, locationId=location["id"])
    moved = await do(api, "resourceUpdate", id=resource["id"], expectedVersion=1, locationId=None, quantity=1)
    gone = await do(api, "resourceDelete", id=resource["id"])

    assert resource["location"] == {"id": location["id"]}
    assert (resource["kind"], resource["quantity"]) == ("EQUIPMENT", 1000)
    assert moved["resource"] == {**resource, "location": None, "quantity": 1, "version": 2}
    assert gone["deletedId"] == resource["id"]
    assert sql("SELECT count(*) FROM resources") == [(0,)]


async def test_a_resource_is_one_room_unless_more_is_said(api: Api) -> None:
    resource = await made(api, "resource", name="Chair")

    assert (resource["kind"], resource["quantity"], resource["location"]) == ("ROOM", 1, None)


async def test_two_skills_never_have_one_name(api: Api, sql: Sql) -> None:
    first, second = await made(api, "skill", name="Colour"), await made(api, "skill", name="Cut")

    again = await do(api, "skillCreate", name=" Colour")
    renamed = await do(api, "skillUpdate", id=second["id"], expectedVersion=1, name="Colour")
    kept = await do(api, "skillUpdate", id=first["id"], expectedVersion=1, name="Colour")

    assert told(again) == told(renamed) == [("ALREADY_EXISTS", ["name"])]
    assert (again["skill"], renamed["skill"]) == (None, None)
    assert kept["userErrors"] == []
    assert sql("SELECT name, version FROM skills ORDER BY name") == [("Colour", 2), ("Cut", 1)]


async def test_of_two_who_make_one_skill_at_once_one_does(api: Api, sql: Sql) -> None:
    payloads = await asyncio.gather(*(do(api, "skillCreate", name="Colour") for _ in range(6)))

    assert sorted(told(payload) for payload in payloads) == [[], *[[("ALREADY_EXISTS", ["name"])]] * 5]
    assert sql("SELECT count(*) FROM skills") == [(1,)]


async def test_what_is_asked_for_twice_is_done_once(api: Api, sql: Sql) -> None:
    wanted = {"name": "Mitte", "timeZone": "UTC", "idempotencyKey": "once"}

    first, second = [await api.post(verb("locationCreate"), input=wanted) for _ in range(2)]
    other = await do(api, "locationCreate", **{**wanted, "name": "North"})

    assert first["data"]["locationCreate"]["userErrors"] == []
    assert (second["data"], second["extensions"]) == (first["data"], {"idempotentReplay": True})
    assert told(other) == [("IDEMPOTENCY_KEY_REUSED", ["idempotencyKey"])]
    assert sql("SELECT name FROM locations") == [("Mitte",)]


async def test_twins_at_once_make_one_location(api: Api, sql: Sql) -> None:
    wanted = {"name": "Mitte", "timeZone": "UTC", "idempotencyKey": "once"}

    payloads = await asyncio.gather(*(do(api, "locationCreate", **wanted) for _ in range(6)))

    assert [told(payload) for payload in payloads] == [[]] * 6
    assert len({payload["location"]["id"] for payload in payloads}) == 1
    assert sql("SELECT count(*) FROM locations") == [(1,)]


async def test_a_deletion_that_is_sent_twice_is_done_once_and_told_twice(api: Api) -> None:
    location = await made(api, "location", name="Mitte", timeZone="UTC")
    wanted = {"id": location["id"], "idempotencyKey": "once"}

    first, second = [await do(api, "locationDelete", **wanted) for _ in range(2)]
    without_a_key = await do(api, "locationDelete", id=location["id"])

    assert first == second == {"deletedId": location["id"], "userErrors": []}
    assert told(without_a_key) == [("NOT_FOUND", ["id"])]


@pytest.mark.parametrize("name", ["locationUpdate", "locationDelete"])
async def test_a_version_that_is_no_longer_there_is_refused(api: Api, sql: Sql, name: str) -> None:
    location = await made(api, "location", name="Mitte", timeZone="UTC")
    await do(api, "locationUpdate", id=location["id"], expectedVersion=1, name="North")
    new = {} if name.endswith("Delete") else {"name": "South"}

    late = await do(api, name, id=location["id"], expectedVersion=1, **new)

    assert late["userErrors"] == [
        {
            "__typename": "VersionConflictError",
            "code": "VERSION_CONFLICT",
            "field": ["expectedVersion"],
            "message": "Somebody has changed this in the meantime: it is at version 2 now.",
            "currentVersion": 2,
        }
    ]
    assert sql("SELECT name, version FROM locations") == [("North", 2)]


async def test_what_others_refer_to_is_not_deleted(api: Api, sql: Sql) -> None:
    location = await made(api, "location", name="Mitte", timeZone="UTC")
    skill = await made(api, "skill", name="Colour")
    resource = await made(api, "resource", name="Chair", locationId=location["id"])
    needs = {"skillIds": [skill["id"]], "resources": [{"resourceId": resource["id"]}]}
    service = await made(api, "service", name="Dye", durationMinutes=60, **needs)
    provider = await api.provider()
    await do(api, "providerServicesSet", providerId=provider, services=[{"serviceId": service["id"]}])

    things = {"location": location, "skill": skill, "resource": resource, "service": service}
    refused = {noun: await do(api, f"{noun}Delete", id=each["id"]) for noun, each in things.items()}
    await do(api, "providerServicesSet", providerId=provider, services=[])
    deleted = [
        await do(api, f"{noun}Delete", id=things[noun]["id"]) for noun in ("service", "skill", "resource", "location")
    ]

    assert [told(payload) for payload in refused.values()] == [[("IN_USE", ["id"])]] * 4
    assert refused["location"]["userErrors"][0]["message"] == "Others still refer to this, so it cannot be deleted."
    assert [payload["userErrors"] for payload in deleted] == [[]] * 4
    assert sql("SELECT count(*) FROM requirements") == sql("SELECT count(*) FROM service_skills") == [(0,)]


async def test_a_location_where_times_are_published_is_not_deleted(api: Api, sql: Sql) -> None:
    location = await made(api, "location", name="Mitte", timeZone="UTC")
    service = await made(api, "service", name="Cut", durationMinutes=15)
    window = ("2027-05-03T09:00:00Z", "2027-05-03T10:00:00Z")
    await api.publish(await api.provider(), *window, serviceId=service["id"], locationId=location["id"])

    refused = [
        await do(api, f"{noun}Delete", id=each["id"]) for noun, each in (("location", location), ("service", service))
    ]

    assert [told(payload) for payload in refused] == [[("IN_USE", ["id"])]] * 2
    assert sql("SELECT (SELECT count(*) FROM locations), (SELECT count(*) FROM services)") == [(1, 1)]


BAD_NAMES = ["", "   ", "\u200b", "x" * 201, "a\nb", "nul\0"]


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
@pytest.mark.parametrize("noun", ["location", "skill", "resource", "service"])
async def test_a_name_that_cannot_be_is_refused(api: Api, sql: Sql, noun: str, name: str) -> None:
    more = NEEDED.get(noun, {})

    refused = await do(api, f"{noun}Create", name=name, **more)

    assert told(refused) == [("INVALID_INPUT", ["name"])]
    assert sql(f"SELECT count(*) FROM {noun}s") == [(0,)]


async def test_half_a_character_is_refused(api: Api, sql: Sql) -> None:
    sent = json.dumps({"query": verb("skillCreate"), "variables": {"input": {"name": "\ud800"}}})

    answer = await api.http.post("/graphql", content=sent, headers={"content-type": "application/json"})

    (error,) = answer.json()["errors"]
    assert error["extensions"]["code"] == "BAD_JSON"
    assert sql("SELECT count(*) FROM skills") == [(0,)]


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        ({"address": "x" * 501}, "INVALID_INPUT", "address"),
        ({"address": " \n "}, "INVALID_INPUT", "address"),
        ({"address": "a\x07b"}, "INVALID_INPUT", "address"),
        ({"postalCode": "1" * 21}, "INVALID_INPUT", "postalCode"),
        ({"postalCode": ""}, "INVALID_INPUT", "postalCode"),
        ({"postalCode": "10\n115"}, "INVALID_INPUT", "postalCode"),
        ({"name": None}, "INVALID_INPUT", "name"),
        ({"timeZone": None}, "INVALID_INPUT", "timeZone"),
        ({}, "INVALID_INPUT", None),
    ],
)
async def test_a_change_of_a_location_that_cannot_be_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], code: str, field: str | None
) -> None:
    location = await made(api, "location", name="Mitte", timeZone="UTC")

    refused = await do(api, "locationUpdate", id=location["id"], expectedVersion=1, **wanted)

    assert told(refused) == [(code, field and [field])]
    assert refused["location"] is None
    assert sql("SELECT name, address, postal_code, version FROM locations") == [("Mitte", None, None, 1)]


@pytest.mark.parametrize("zone", ["im so wrong", "", "XXX5", "+25", "europe/berlin", "Europe", "../../etc/passwd", "right/UTC", "z" * 300])  # fmt: skip
async def test_an_unknown_zone_is_refused_with_near_names(api: Api, sql: Sql, zone: str) -> None:
    answer = await api.post(verb("locationCreate"), input={"name": "Mitte", "timeZone": zone})

    (error,) = answer["errors"]
    assert error["extensions"]["code"] == "UNKNOWN_TIME_ZONE"
    if zone in ("europe/berlin", "Europe"):
        assert "Europe/" in error["message"]
    assert sql("SELECT count(*) FROM locations") == [(0,)]


@pytest.mark.parametrize("quantity", [0, -1, 1001, 2**31 - 1])
async def test_a_quantity_that_cannot_be_is_refused(api: Api, sql: Sql, quantity: int) -> None:
    refused = await do(api, "resourceCreate", name="Chair", quantity=quantity)

    assert told(refused) == [("INVALID_INPUT", ["quantity"])]
    assert refused["userErrors"][0]["message"] == "quantity must be from 1 to 1000."
    assert sql("SELECT count(*) FROM resources") == [(0,)]


async def test_a_thing_of_another_business_or_of_another_type_is_not_there(api: Api, sql: Sql) -> None:
    another_business(sql)
    sql("INSERT INTO locations (business_id, id, name, time_zone) VALUES (%s, %s, 'Theirs', 'UTC')", OTHER, OTHER)
    provider = await api.provider()

    refused = [
        await do(api, "resourceCreate", name="Chair", locationId=NOWHERE),
        await do(api, "resourceCreate", name="Chair", locationId=provider),
    ]
    changed = [
        await do(api, "locationUpdate", id=NOWHERE, expectedVersion=1, name="Mine"),
        await do(api, "locationDelete", id=NOWHERE),
        await do(api, "locationDelete", id=provider),
        await do(api, "providerSkillsSet", providerId=encode("Provider", OTHER), skillIds=[]),
    ]

    assert [told(payload) for payload in refused] == [[("NOT_FOUND", ["locationId"])]] * 2
    assert [told(payload) for payload in changed] == [*[[("NOT_FOUND", ["id"])]] * 3, [("NOT_FOUND", ["providerId"])]]
    assert sql("SELECT name, version FROM locations") == [("Theirs", 1)]


async def test_lists_are_searched_narrowed_and_sorted(either: Api) -> None:
    mitte = await made(either, "location", name="50%_off", timeZone="UTC", postalCode="10115")
    await made(either, "location", name="Annex", timeZone="UTC", postalCode="20095")
    await made(either, "resource", name="Chair", locationId=mitte["id"])
    await made(either, "resource", name="Laser", kind="EQUIPMENT")
    for name in ("Colour", "cut", "CURL"):
        await made(either, "skill", name=name)

    assert await names(either, "locations") == ["50%_off", "Annex"]
    assert await names(either, "locations", "orderBy: [{field: CREATED_AT, direction: DESC}]") == ["Annex", "50%_off"]
    assert await names(either, "locations", 'filter: {postalCode: "10115"}') == ["50%_off"]
    assert await names(either, "locations", 'search: "%_"') == ["50%_off"]
    assert await names(either, "locations", 'search: "%A"') == []
    assert await names(either, "skills", 'search: "CU", orderBy: [{field: CREATED_AT}]') == ["cut", "CURL"]
    assert await names(either, "skills", "orderBy: [{field: CREATED_AT}]") == ["Colour", "cut", "CURL"]
    assert await names(either, "resources", "filter: {kind: EQUIPMENT}") == ["Laser"]
    assert await names(either, "resources", f'filter: {{locationId: "{mitte["id"]}"}}') == ["Chair"]
    assert await names(either, "resources", 'search: "\'; DROP TABLE resources; --"') == []


async def test_lists_are_read_page_by_page_in_either_way(either: Api) -> None:
    for number in range(5):
        await made(either, "location", name=f"Place {number}", timeZone="UTC")
    query = "{ locations(%s) { nodes { name } pageInfo { hasNextPage endCursor } } }"

    first = (await either(query % "first: 2"))["locations"]
    second = (await either(query % f'first: 2, after: "{first["pageInfo"]["endCursor"]}"'))["locations"]
    numbered = (await either(query % "limit: 2, offset: 3"))["locations"]

    assert [node["name"] for node in first["nodes"] + second["nodes"]] == [f"Place {n}" for n in range(4)]
    assert [node["name"] for node in numbered["nodes"]] == ["Place 3", "Place 4"]
    assert (first["pageInfo"]["hasNextPage"], numbered["pageInfo"]["hasNextPage"]) == (True, False)


@pytest.mark.parametrize("list_", ["locations", "services", "skills", "resources"])
async def test_a_page_of_any_size_is_one_statement(either: Api, list_: str) -> None:
    more = NEEDED.get(list_[:-1], {})
    for number in range(3):
        await made(either, list_[:-1], name=f"Thing {number}", **more)

    for size in (1, 3):
        either.statements.clear()
        await either(f"{{ {list_}(first: {size}) {{ nodes {{ id name }} pageInfo {{ hasNextPage }} }} }}")

        assert len(either.statements) == 1


@pytest.mark.parametrize(
    ("role", "is_manager", "is_team"),
    [(Role.MANAGER, True, True), (Role.FRONT_DESK, False, True), (Role.PUBLIC, False, False)],
)
async def test_who_reads_and_who_writes_the_catalogue(
    database: str, sql: Sql, role: Role, *, is_manager: bool, is_team: bool
) -> None:
    sql("UPDATE businesses SET is_public = true")
    async with serving(database, API_KEYS="on") as api:
        headers = {} if role is Role.PUBLIC else await bearer(api, role)

        browsed = await send(api, "{ locations { nodes { name } } services { nodes { name } } }", headers)
        inner = await send(api, "{ skills { nodes { name } } resources { nodes { name } } }", headers)
        written = await send(api, verb("skillCreate"), headers, input={"name": "Colour"})

    assert browsed.status_code == 200
    assert (inner.status_code == 200) == is_team
    assert (written.status_code == 200) == is_manager
    assert sql("SELECT count(*) FROM skills") == [(int(is_manager),)]
