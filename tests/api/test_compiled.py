"""On the compiled road a root field is one statement on a lane, whatever it selects, and answers what the ordinary road does.

The documents are made from the schema itself, so a new field is covered as soon as it is declared.
"""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import GraphQLObjectType

from schema.limits import Limits
from tests.conftest import GENEROUS, Api, serving
from tests.links import LEAVES, MANY, ROOTS, TYPES, Link, Sql, chains, columns, ids, links, nested

SOME = 10
DAY = "2027-06-01T{}:00:00Z"
PERSON = "id firstName lastName email timeZone createdAt version"
TIME = "id startsAt endsAt provider { id firstName } location { id name } service { id name }"
RESERVATION = f"""__typename id status expired confirmed seat note cancelReason startsAt expiresAt confirmedAt createdAt version
client {{ {PERSON} }} provider {{ {PERSON} }} service {{ id }} appointment {{ {TIME} }}"""
CHANGE = "mutation ($input: {0}Input!) {{ {1}(input: $input) {{ {2} {{ {3} }} userErrors {{ code field }} }} }}"


@pytest.fixture
def template(filled: str) -> str:
    return filled


@pytest.fixture
def limits() -> Limits:
    return GENEROUS


@pytest.fixture
async def ordinary(database: str) -> AsyncIterator[Api]:
    """The ordinary road over the same database."""
    async with serving(database, compile=False, limits=GENEROUS) as client:
        yield client


async def count(api: Api, query: str, **variables: Any) -> tuple[int, Any]:
    """How many statements a document is, all of which are on lanes; and its data."""
    api.statements.clear()
    api.on_lanes.clear()
    data = await api(query, **variables)
    assert api.statements == api.on_lanes, "a statement off the lanes"
    return len(api.on_lanes), data


async def same(api: Api, ordinary: Api, query: str, **variables: Any) -> int:
    """How many statements a document is that both roads answer alike."""
    statements, data = await count(api, query, **variables)
    ordinary.on_lanes.clear()
    assert data == await ordinary(query, **variables), query
    assert ordinary.on_lanes == []
    return statements


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
async def test_three_levels_are_one_statement(api: Api, ordinary: Api, root: Link) -> None:
    counted: dict[str, tuple[int, int]] = {}

    for chain in chains(root):
        query = f"{{ {root.name}(first: %d) {{ nodes {{ {nested(chain)} }} }} }}"
        many, found = await count(api, query % MANY)
        some = await same(api, ordinary, query % SOME)
        counted[".".join(link.name for link in (root, *chain))] = some, many
        assert len(found[root.name]["nodes"]) == MANY

    assert len(counted) >= len({link.name for link in links(root.target) if links(link.target)})
    assert {name: counts for name, counts in counted.items() if counts != (1, 1)} == {}


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
async def test_a_count_is_no_statement_of_its_own(api: Api, ordinary: Api, root: Link) -> None:
    lists = [link.name for link in links(root.target) if link.is_list]
    inside = ["nodes { id } totalCount", "totalCount", "pageInfo { hasNextPage endCursor } totalCount"]
    inside += [f"nodes {{ {name}(first: 1) {{ nodes {{ id }} totalCount }} }} totalCount" for name in lists]
    inside += [f"edges {{ cursor node {{ {name} {{ totalCount }} }} }}" for name in lists]

    counts = [await same(api, ordinary, f"{{ {root.name}(first: {SOME}) {{ {each} }} }}") for each in inside]

    assert counts == [1] * len(inside)


# What Python makes of a column, it makes of one statement, too; but that is no compiled one.
BY_PYTHON = {"auditEntries": {"nodeId", "diff", "fields"}}
FOUND_BY_PYTHON = [leaf for leaf in LEAVES if leaf.name not in BY_PYTHON]


async def test_what_is_no_more_than_columns_is_compiled(api: Api, ordinary: Api) -> None:
    (audit,) = (leaf for leaf in LEAVES if leaf.name in BY_PYTHON)
    plain = [name for name in columns(audit.target) if name not in BY_PYTHON[audit.name]]
    query = f"{{ {audit.name}(first: {SOME}) {{ nodes {{ %s }} edges {{ cursor }} totalCount }} }}"

    assert await same(api, ordinary, query % " ".join(plain)) == 1
    for name in BY_PYTHON[audit.name]:
        api.on_lanes.clear()
        assert await api(query % name) == await ordinary(query % name)
        assert api.on_lanes == [], name


@pytest.mark.parametrize("leaf", FOUND_BY_PYTHON, ids=lambda leaf: leaf.name)
async def test_a_list_that_python_finds_is_answered_alike(api: Api, ordinary: Api, leaf: Link) -> None:
    query = f"{{ {leaf.name}(first: {SOME}) {{ nodes {{ {' '.join(columns(leaf.target))} }} totalCount }} }}"
    api.on_lanes.clear()

    found = await api(query)

    assert found == await ordinary(query)
    assert len(found[leaf.name]["nodes"]) == SOME
    assert api.on_lanes == []


@pytest.mark.parametrize(
    "types", [TYPES[::2], TYPES[1::2]], ids=["one half", "the other"]
)  # all are too long a statement
async def test_nodes_of_many_types_are_one_statement(
    api: Api, ordinary: Api, sql: Sql, types: list[GraphQLObjectType]
) -> None:
    each = 100 // len(types)
    by_type = [ids(sql, type_.name, each) for type_ in types]
    wanted = [identity for row in zip(*by_type, strict=True) for identity in row]
    parts = [
        f"... on {type_.name} {{ {' '.join(f'{type_.name}{n}: {part}' for n, part in enumerate(selected))} }}"
        for type_ in types
        if (selected := [link.select("id", 1) for link in links(type_)[-1:]])  # more is too long a statement
    ]
    query = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ id __typename {' '.join(parts)} }} }}"

    statements, found = await count(api, query, ids=wanted)

    assert len(wanted) == each * len(types) >= 60
    assert [node["id"] for node in found["nodes"]] == wanted
    assert statements == await same(api, ordinary, query, ids=wanted) == 1


@pytest.mark.parametrize(
    ("query", "statements"),
    [
        ("{ __typename }", 0),
        ("{ viewer { principal business { name } } }", 1),
        ("{ providers(first: 2) { nodes { id } } clients(first: 2) { nodes { id } } }", 2),
        ("{ a: clients(first: 2) { totalCount } b: clients(first: 3) { nodes { id } } __typename }", 2),
        ("{ clients(first: 2) { totalCount } clients(first: 2) { nodes { id } } }", 1),
        ("{ clients(first: 2) @skip(if: true) { totalCount } providers(first: 1) { totalCount } }", 1),
        ("{ providers { nodes { a: appointments(first: 1) { totalCount } b: appointments(last: 1) { nodes { id } } } } }", 1),
        ("{ appointments(first: 9) { nodes { confirmedReservation { client { reservations { totalCount } } } } } }", 1),
    ],
)  # fmt: skip
async def test_each_root_field_is_one_statement(api: Api, ordinary: Api, query: str, statements: int) -> None:
    assert await same(api, ordinary, query) == statements


@pytest.mark.parametrize("noun", ["provider", "client"])
async def test_to_make_a_person_is_one_statement(api: Api, ordinary: Api, noun: str) -> None:
    change = CHANGE.format(f"{noun.title()}Create", f"{noun}Create", noun, PERSON)
    wanted = {"firstName": "Ada", "lastName": 'O"Lovelace', "email": "ada@example.com"}

    statements, done = await count(api, change, input=wanted)

    payload = done[f"{noun}Create"]
    identity = payload[noun]["id"]
    seen = await ordinary(f"query ($id: ID!) {{ {noun}(id: $id) {{ {PERSON} }} }}", id=identity)
    assert statements == 1
    assert (payload["userErrors"], payload[noun]) == ([], seen[noun])
    assert {name: payload[noun][name] for name in wanted} == wanted


async def wish(api: Api) -> dict[str, str]:
    """A client, and a free appointment."""
    (appointment,) = await api.publish(await api.provider(), DAY.format("09"), DAY.format("10"), slotMinutes=60)
    return {"clientId": await api.client(), "appointmentId": appointment}


async def test_a_reservation_and_its_changes_are_one_statement_each(api: Api, ordinary: Api) -> None:
    wanted = await wish(api)
    identity, statuses = "", []

    for name in ("Create", "Confirm", "Cancel"):
        change = CHANGE.format(f"Reservation{name}", f"reservation{name}", "reservation", RESERVATION)
        given = wanted if name == "Create" else {"reservationId": identity}

        statements, done = await count(api, change, input=given)

        payload = done[f"reservation{name}"]
        identity = payload["reservation"]["id"]
        seen = await ordinary(f"query ($id: ID!) {{ reservation(id: $id) {{ {RESERVATION} }} }}", id=identity)
        assert statements == 1, name
        assert (payload["userErrors"], payload["reservation"]) == ([], seen["reservation"])
        statuses.append(seen["reservation"]["status"])

    assert statuses == ["HELD", "CONFIRMED", "CANCELLED"]
    assert seen["reservation"]["client"]["id"] == wanted["clientId"]
    assert seen["reservation"]["appointment"]["id"] == wanted["appointmentId"]


@pytest.mark.parametrize(
    ("inside", "found"),
    [
        ("client { activeReservations { totalCount } }", {"client": {"activeReservations": {"totalCount": 1}}}),
        ("appointment { reservations { nodes { status } } }", {"appointment": {"reservations": {"nodes": [{"status": "HELD"}]}}}),
        ("appointment { confirmedReservation { id } }", {"appointment": {"confirmedReservation": None}}),
    ],
)  # fmt: skip
async def test_what_is_read_after_the_write_sees_the_new_row(api: Api, inside: str, found: dict[str, Any]) -> None:
    wanted = await wish(api)
    api.on_lanes.clear()

    done = await api(CHANGE.format("ReservationCreate", "reservationCreate", "reservation", inside), input=wanted)

    assert done == {"reservationCreate": {"reservation": found, "userErrors": []}}
    assert api.on_lanes == []


async def test_who_comes_too_late_is_told_so_and_writes_nothing(api: Api, sql: Sql) -> None:
    wanted = await wish(api)
    change = CHANGE.format("ReservationCreate", "reservationCreate", "reservation", RESERVATION)
    first = await api(change, input=wanted)
    before = sql("SELECT count(*), max(id::text) FROM reservations")

    second = await api.post(change, input=wanted)

    assert first["reservationCreate"]["userErrors"] == []
    refused = [{"code": "SLOT_UNAVAILABLE", "field": ["appointmentId"]}]
    assert second == {"data": {"reservationCreate": {"reservation": None, "userErrors": refused}}}
    assert sql("SELECT count(*), max(id::text) FROM reservations") == before


async def test_a_key_that_was_used_answers_what_it_made_and_writes_nothing(api: Api, sql: Sql) -> None:
    wanted = {**await wish(api), "idempotencyKey": "a key"}
    change = CHANGE.format("ReservationCreate", "reservationCreate", "reservation", RESERVATION)
    statements, first = await count(api, change, input=wanted)
    before = sql("SELECT count(*) FROM reservations")

    second = await api.post(change, input=wanted)

    assert statements == 1
    assert second["data"] == first
    assert second["extensions"].keys() == {"idempotentReplay"}
    assert sql("SELECT count(*) FROM reservations") == before
