"""Connections: every row exactly once, forwards and backwards, at the root and nested, whatever order or filter."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from models.node_id import encode
from tests.conftest import Api

Sql = Callable[..., list[tuple[Any, ...]]]
PAGE = "edges { cursor node { id } } nodes { id } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount"
ROOTS = ("availableAppointments", "appointments", "reservations", "providers", "clients")
NESTED = [
    ("provider", "clients"),
    ("provider", "appointments"),
    ("provider", "availableAppointments"),
    ("provider", "confirmedAppointments"),
    ("provider", "reservedAppointments"),
    ("client", "providers"),
    ("client", "reservations"),
    ("client", "activeReservations"),
    ("client", "confirmedReservations"),
    ("client", "expiredReservations"),
    ("appointment", "reservations"),
]


@pytest.fixture
async def world(api: Api, sql: Sql) -> dict[str, str]:
    """Two providers and two clients who met in every state there is, seven times each; names are told apart by ids."""
    ids = {name: await api.provider("Same", "Name") for name in ("provider", "other")}
    ids |= {name: await api.client("Same", "Name") for name in ("client", "second")}
    for _ in range(5):
        await api.provider("Same", "Name")
        await api.client("Same", "Name")
    keys = {
        name: sql("SELECT id FROM providers ORDER BY id LIMIT 2")[n][0] for n, name in enumerate(("provider", "other"))
    }
    people = [key for (key,) in sql("SELECT id FROM clients ORDER BY id")]
    (business,) = sql("SELECT id FROM businesses")[0]
    wide = "INSERT INTO appointments (business_id, provider_id, starts_at, ends_at, capacity) SELECT %s, %s, '2027-05-03 09:00Z'::timestamptz + n * interval '1 hour', '2027-05-03 09:30Z'::timestamptz + n * interval '1 hour', 90 FROM generate_series(1, 7) n"
    for key in keys.values():
        sql(wide, business, key)
    slots = [
        key for (key,) in sql("SELECT id FROM appointments WHERE provider_id = %s ORDER BY starts_at", keys["provider"])
    ]
    (theirs,) = sql("SELECT id FROM appointments WHERE provider_id = %s ORDER BY starts_at LIMIT 1", keys["other"])[0]
    claim = "INSERT INTO reservations (business_id, client_id, appointment_id, status) VALUES (%s, %s, %s, %s)"
    for status, hold in (("HELD", "1 millisecond"), ("HELD", "1 hour"), ("CONFIRMED", "1 hour")):
        sql(f"UPDATE businesses SET hold_time = '{hold}'")
        for n, slot in enumerate(slots):
            sql(claim, business, people[0], slot, status)
            sql(claim, business, people[n % len(people)], slots[0], status)
    for (key,) in sql("SELECT id FROM providers WHERE id <> ALL(%s) ORDER BY id", list(keys.values())):
        sql(wide, business, key)
        (slot,) = sql("SELECT id FROM appointments WHERE provider_id = %s LIMIT 1", key)[0]
        sql(claim, business, people[0], slot, "CONFIRMED")
    sql(claim, business, people[0], theirs, "CONFIRMED")
    return {**ids, "appointment": encode("Appointment", slots[0])}


async def walk(ask: Callable[[str], Any], size: int, *, backward: bool) -> list[list[str]]:
    """Every page of a list, in the order of the list."""
    pages: list[list[str]] = []
    at = ""
    while True:
        found = await ask(f"{'last' if backward else 'first'}: {size}{at}")
        info = found["pageInfo"]
        ids = [node["id"] for node in found["nodes"]]
        assert [edge["node"]["id"] for edge in found["edges"]] == ids
        assert (info["startCursor"], info["endCursor"]) == (found["edges"][0]["cursor"], found["edges"][-1]["cursor"])
        behind, ahead = ("hasNextPage", "hasPreviousPage") if backward else ("hasPreviousPage", "hasNextPage")
        assert info[behind] is bool(pages)
        pages = [ids, *pages] if backward else [*pages, ids]
        if not info[ahead]:
            return pages
        at = f', before: "{info["startCursor"]}"' if backward else f', after: "{info["endCursor"]}"'


async def check_walks(ask: Callable[[str], Any]) -> None:
    whole = await ask("first: 100")
    ids = [node["id"] for node in whole["nodes"]]
    assert len(ids) == len(set(ids)) == whole["totalCount"] >= 7
    assert whole["pageInfo"]["hasNextPage"] is whole["pageInfo"]["hasPreviousPage"] is False
    for size in (1, 3, 7):
        for backward in (False, True):
            pages = await walk(ask, size, backward=backward)
            assert [identity for page in pages for identity in page] == ids
            full = pages[1:] if backward else pages[:-1]
            assert all(len(page) == size for page in full)


@pytest.mark.parametrize("root", ROOTS)
async def test_a_root_list_is_walked_both_ways(api: Api, world: dict[str, str], root: str) -> None:
    async def ask(arguments: str) -> Any:
        return (await api(f"{{ {root}({arguments}) {{ {PAGE} }} }}"))[root]

    await check_walks(ask)


@pytest.mark.parametrize(("parent", "name"), NESTED)
async def test_a_nested_list_is_walked_both_ways(api: Api, world: dict[str, str], parent: str, name: str) -> None:
    async def ask(arguments: str) -> Any:
        query = f'{{ {parent}(id: "{world[parent]}") {{ list: {name}({arguments}) {{ {PAGE} }} }} }}'
        return (await api(query))[parent]["list"]

    await check_walks(ask)


@pytest.mark.parametrize(("parent", "name"), NESTED)
async def test_of_several_parents_each_has_its_own_rows(
    api: Api, world: dict[str, str], parent: str, name: str
) -> None:
    inside = f"list: {name}(%s) {{ nodes {{ id }} totalCount }}"
    many = await api(f"{{ {parent}s(first: 100) {{ nodes {{ id {inside % 'first: 2'} }} }} }}")

    for node in many[f"{parent}s"]["nodes"]:
        alone = (await api(f'{{ {parent}(id: "{node["id"]}") {{ {inside % "first: 100"} }} }}'))[parent]["list"]
        assert node["list"] == {"nodes": alone["nodes"][:2], "totalCount": alone["totalCount"]}
        assert alone["totalCount"] == len(alone["nodes"])


async def test_clients_of_a_provider_are_theirs_alone(api: Api) -> None:
    for name in ("Ada", "Grace"):
        provider, client = await api.provider(name), await api.client(f"Of {name}")
        (slot,) = await api.publish(provider, "2027-05-03T09:00:00Z", "2027-05-03T09:15:00Z")
        await api.reserve(client, slot)

    found = await api(
        "{ providers(orderBy: {field: FIRST_NAME}) { nodes { clients { totalCount nodes { firstName } } } } }"
    )

    assert [node["clients"] for node in found["providers"]["nodes"]] == [
        {"totalCount": 1, "nodes": [{"firstName": "Of Ada"}]},
        {"totalCount": 1, "nodes": [{"firstName": "Of Grace"}]},
    ]


async def test_a_cursor_outlives_its_row(api: Api, sql: Sql) -> None:
    ids = [await api.client(name) for name in "ABCDE"]
    first = (await api(f"{{ clients(first: 2) {{ {PAGE} }} }}"))["clients"]

    sql("DELETE FROM clients WHERE first_name IN ('A', 'B')")

    after = f'{{ clients(first: 2, after: "{first["pageInfo"]["endCursor"]}") {{ nodes {{ id }} }} }}'
    assert [node["id"] for node in (await api(after))["clients"]["nodes"]] == ids[2:4]


@pytest.mark.parametrize(
    ("steps", "names"),
    [
        ("{field: LAST_NAME}", "B1 A1 B2 A2"),
        ("{field: LAST_NAME, direction: DESC}", "A2 B2 A1 B1"),
        ("{field: FIRST_NAME}", "A2 A1 B2 B1"),
        ("[{field: LAST_NAME, direction: DESC}, {field: FIRST_NAME}]", "A2 B2 A1 B1"),
        ("[{field: FIRST_NAME}, {field: LAST_NAME, direction: DESC}]", "A2 A1 B2 B1"),
        ("{field: CREATED_AT, direction: DESC}", "A1 A2 B1 B2"),
    ],
)
async def test_an_order_is_kept_by_its_cursors(api: Api, steps: str, names: str) -> None:
    for name in ("B2", "B1", "A2", "A1"):
        await api.client(name[0], name[1])

    async def ask(arguments: str) -> Any:
        query = f"{{ clients(orderBy: {steps}, {arguments}) {{ {PAGE} nodes {{ firstName lastName }} }} }}"
        return (await api(query))["clients"]

    whole = await ask("first: 9")
    assert [node["firstName"] + node["lastName"] for node in whole["nodes"]] == names.split()
    for backward in (False, True):
        pages = await walk(ask, 1, backward=backward)
        assert pages == [[node["id"]] for node in whole["nodes"]]


async def test_numbered_pages_and_searches_that_mean_what_they_say(api: Api) -> None:
    for name in ("100%", "1000", "a_b", "axb", "c\\d"):
        await api.client(name, "Z")

    page = await api(
        f"{{ clients(limit: 2, offset: 1, orderBy: {{field: FIRST_NAME}}) {{ {PAGE} nodes {{ firstName }} }} }}"
    )
    found = {
        search: [
            node["firstName"]
            for node in (await api("query ($s: String) { clients(search: $s) { nodes { firstName } } }", s=search))[
                "clients"
            ]["nodes"]
        ]
        for search in ("0%", "A_B", "c\\", "%", "_")
    }

    assert len(page["clients"]["nodes"]) == 2
    assert (page["clients"]["pageInfo"]["hasPreviousPage"], page["clients"]["pageInfo"]["hasNextPage"]) == (True, True)
    assert found == {"0%": ["100%"], "A_B": ["a_b"], "c\\": ["c\\d"], "%": ["100%"], "_": ["a_b"]}


async def test_filters_narrow_appointments(api: Api, sql: Sql) -> None:
    ada, grace = await api.provider(), await api.provider("Grace")
    (service,), (room,) = (
        sql(statement)[0]
        for statement in (
            "INSERT INTO services (business_id, name) SELECT id, 'Cut' FROM businesses RETURNING id",
            "INSERT INTO locations (business_id, name, time_zone) SELECT id, 'Room', 'UTC' FROM businesses RETURNING id",
        )
    )
    await api.publish(ada, "2027-03-27T22:00:00Z", "2027-03-29T00:00:00Z", slotMinutes=60)
    there = {"serviceId": encode("Service", service), "locationId": encode("Location", room)}
    await api.publish(grace, "2027-03-28T09:00:00Z", "2027-03-28T10:30:00Z", slotMinutes=90, **there)

    async def count(root: str, filter_: str) -> int:
        total: int = (await api(f"{{ {root}(filter: {filter_}) {{ totalCount }} }}"))[root]["totalCount"]
        return total

    for root in ("availableAppointments", "appointments"):
        assert await count(root, '{date: "2027-03-28", timeZone: "Europe/Berlin"}') == 23 + 1
        assert await count(root, f'{{date: "2027-03-28", timeZone: "Europe/Berlin", providerIds: ["{ada}"]}}') == 23
        assert await count(root, '{startsAt: {from: "2027-03-28T09:00:00Z", until: "2027-03-28T10:00:00Z"}}') == 2
        assert await count(root, "{minimumMinutes: 61}") == 1
        assert await count(root, f'{{providerIds: ["{ada}", "{grace}"]}}') == 27
        assert await count(root, "{providerIds: []}") == 0
        assert await count(root, f'{{locationId: "{there["locationId"]}"}}') == 1
        assert await count(root, f'{{serviceId: "{there["serviceId"]}"}}') == 1
    sql(
        "INSERT INTO offerings (business_id, provider_id, service_id) SELECT business_id, id, %s FROM providers",
        service,
    )
    for root in ("availableAppointments", "appointments"):
        assert await count(root, f'{{serviceId: "{there["serviceId"]}"}}') == 27


async def test_a_reservation_is_listed_by_what_it_is_now(api: Api, sql: Sql) -> None:
    ada, charles = await api.provider(), await api.client()
    slots = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T10:00:00Z")
    sql("UPDATE businesses SET hold_time = '1 millisecond'")
    lapsed = (await api.reserve(charles, slots[0]))["reservation"]["id"]
    sql("UPDATE businesses SET hold_time = '30 minutes'")
    held, booked, cancelled = [(await api.reserve(charles, slot))["reservation"]["id"] for slot in slots[1:]]
    await api.confirm(booked)
    await api.cancel(cancelled)

    lists = ("reservations", "activeReservations", "confirmedReservations", "expiredReservations")
    selected = " ".join(f"{name} {{ nodes {{ id }} totalCount }}" for name in lists)
    client = (await api(f'{{ client(id: "{charles}") {{ {selected} }} }}'))["client"]

    found = {name: [node["id"] for node in client[name]["nodes"]] for name in lists}
    assert found == dict(
        zip(lists, ([lapsed, held, booked, cancelled], [held, booked], [booked], [lapsed]), strict=True)
    )
    for status, wanted in (
        ("EXPIRED", [lapsed]),
        ("HELD", [held]),
        ("CONFIRMED", [booked]),
        ("[HELD, CANCELLED]", [held, cancelled]),
    ):
        listed = await api(f"{{ reservations(filter: {{status: {status}}}) {{ nodes {{ id }} }} }}")
        assert [node["id"] for node in listed["reservations"]["nodes"]] == wanted


async def test_a_cursor_of_the_longest_names_is_a_cursor(api: Api) -> None:
    long = "\N{GRINNING FACE}" * 200
    ids = [await api.client(long, long) for _ in range(3)]

    async def ask(arguments: str) -> Any:
        return (
            await api(
                f"{{ clients({arguments}, orderBy: [{{field: LAST_NAME}}, {{field: FIRST_NAME}}]) {{ {PAGE} }} }}"
            )
        )["clients"]

    for backward in (False, True):
        assert await walk(ask, 1, backward=backward) == [[identity] for identity in ids]
    assert len((await ask("first: 1"))["pageInfo"]["endCursor"]) > 2_000


async def test_a_status_that_is_named_5_000_times_is_one_status(api: Api) -> None:
    ada, charles = await api.provider(), await api.client()
    (nine, quarter_past) = await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T09:30:00Z")
    held = (await api.reserve(charles, nine))["reservation"]["id"]
    await api.cancel((await api.reserve(charles, quarter_past))["reservation"]["id"])
    query = "query ($filter: ReservationFilter) { reservations(filter: $filter) { totalCount nodes { id } } }"

    found = await api(query, filter={"status": ["HELD"] * 5_000})

    assert found["reservations"] == {"totalCount": 1, "nodes": [{"id": held}]}


@pytest.mark.parametrize("root", ["availableAppointments", "appointments"])
async def test_appointments_of_100_providers_may_be_asked_for_at_once(
    api: Api, statements: Callable[[], list[str]], root: str
) -> None:
    ada = await api.provider()
    await api.publish(ada, "2027-05-03T09:00:00Z", "2027-05-03T09:15:00Z")
    query = f"query ($filter: AvailabilityFilter) {{ {root}(filter: $filter) {{ totalCount }} }}"
    several = [ada, *(encode("Provider", uuid4()) for _ in range(100))]

    assert await api(query, filter={"providerIds": several[:100]}) == {root: {"totalCount": 1}}
    statements()
    answer = await api.post(query, filter={"providerIds": several})

    (error,) = answer["errors"]
    assert (error["extensions"]["code"], error["extensions"]["field"]) == ("INVALID_INPUT", "providerIds")
    assert "100" in error["message"]
    assert statements() == []
