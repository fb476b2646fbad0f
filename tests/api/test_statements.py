"""Any page, any nesting: on the ordinary road, a question is a constant number of statements, however many rows it meets.

The documents are made from the schema itself, so a new field is covered as soon as it is declared.
"""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from graphql import GraphQLObjectType

from schema.limits import Limits
from tests.conftest import GENEROUS, Api, serving
from tests.links import FEW, LEAVES, MANY, ROOTS, TYPES, Link, Sql, chains, columns, ids, links, nested

Statements = Callable[[], list[str]]


@pytest.fixture
def template(filled: str) -> str:
    return filled


@pytest.fixture
def limits() -> Limits:
    return GENEROUS


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    """The ordinary road."""
    async with serving(database, compile=False, limits=GENEROUS, DEADLINE="60") as client:
        yield client


def paths(value: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The lists and links of an answer that have something in them."""
    if isinstance(value, list):
        for each in value:
            yield from paths(each, *path)
    elif isinstance(value, dict):
        yield path
        for name, each in value.items():
            yield from paths(each, *path, name)


def test_the_schema_leads_from_everywhere_to_everywhere() -> None:
    assert [root.name for root in ROOTS] == [
        *("calendarFeeds", "calendarImports", "locations", "services", "skills", "resources"),
        *("availabilityRules", "availabilityExceptions", "holidays", "timeOffs", "notifications"),
        *("webhookEndpoints", "webhookDeliveries", "waitlistEntries", "proposals", "availableAppointments"),
        *("appointments", "reservations", "providers", "clients"),
    ]
    assert {type_.name for type_ in TYPES if links(type_)} == {
        *("Appointment", "Client", "Provider", "Reservation", "Location", "Service", "Skill", "Resource"),
        *("Requirement", "Offering", "AvailabilityRule", "AvailabilityException", "Holiday", "TimeOff"),
        *("Visit", "ReservationSeries", "WaitlistEntry", "Proposal", "WebhookEndpoint"),
    }
    assert [leaf.name for leaf in LEAVES] == ["events", "auditEntries", "apiKeys"]
    second = {(step.target.name, last.name) for root in ROOTS for step, *rest in chains(root) for last in rest}
    led = [type_ for type_ in TYPES if type_.name not in ("Holiday", "WaitlistEntry")]  # to those no link leads
    of_deliveries = {("WebhookDelivery", "endpoint"), ("WebhookDelivery", "log")}  # which are no nodes
    assert second == {(type_.name, link.name) for type_ in led for link in links(type_)} | of_deliveries
    assert all("history" in {link.name for link in links(type_)} for type_ in TYPES)


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
async def test_three_levels_are_as_many_statements_for_fifty_rows_as_for_two(
    api: Api, statements: Statements, root: Link
) -> None:
    counted: dict[str, tuple[int, int]] = {}
    empty: list[str] = []
    most: dict[str, int] = {}

    for chain in chains(root):
        name = ".".join(link.name for link in (root, *chain))
        counts = []
        for size in (FEW, MANY):
            statements()
            found = await api(f"{{ {root.name}(first: {size}) {{ nodes {{ {nested(chain)} }} }} }}")
            counts.append(len(statements()))
            assert len(found[root.name]["nodes"]) == size
        asked = {".".join(link.name for link in chain[: depth + 1]) for depth in range(len(chain))}
        asked |= {".".join([*(link.name for link in chain), link.name]) for link in links(chain[-1].target)}
        seen = {
            ".".join(step for step in path[2:] if step not in ("nodes", "edges", "node", "pageInfo"))
            for path in paths(found)
        }
        empty += [f"{name}: {path}" for path in asked - seen]
        counted[name] = counts[0], counts[1]
        most[name] = 1 + len(chain) + len(links(chain[-1].target))

    assert {name: (few, many) for name, (few, many) in counted.items() if few != many} == {}
    # At most one for each list and link of the document; fewer where an outer level has loaded the very row.
    assert {name: count for name, count in counted.items() if count[1] > most[name]} == {}
    assert empty == [], "a list without rows proves nothing"


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.name)
async def test_all_that_a_list_tells_is_one_statement(api: Api, statements: Statements, leaf: Link) -> None:
    inside = " ".join(columns(leaf.target))
    for size in (FEW, MANY):
        statements()

        found = await api(f"{{ {leaf.name}(first: {size}) {{ nodes {{ {inside} }} edges {{ cursor }} }} }}")

        assert len(statements()) == 1
        assert len(found[leaf.name]["nodes"]) == size
        assert [*found[leaf.name]["nodes"][0]] == columns(leaf.target)


@pytest.mark.parametrize("root", [*ROOTS, *LEAVES], ids=lambda root: root.name)
async def test_a_count_is_one_more_statement_and_only_when_it_is_selected(
    api: Api, statements: Statements, root: Link
) -> None:
    lists = [link for link in links(root.target) if link.is_list]
    wrong: dict[str, tuple[int, int, int]] = {}

    async def count(size: int, inside: str) -> int:
        statements()
        await api(f"{{ {root.name}(first: {size}) {{ {inside} }} }}")
        return len(statements())

    assert await count(FEW, "nodes { id }") == 1
    assert await count(FEW, "nodes { id } totalCount") == 2
    assert await count(FEW, "totalCount") == 1
    assert await count(FEW, "totalCount @skip(if: true) nodes { id }") == 1
    for link in lists:
        page = f"nodes {{ {link.name}(first: 1) {{ nodes {{ id }} %s }} }}"
        few, many = await count(FEW, page % "totalCount"), await count(MANY, page % "totalCount")
        if (await count(MANY, page % ""), few, many) != (2, 3, 3):
            wrong[link.name] = await count(MANY, page % ""), few, many
        assert await count(MANY, f"nodes {{ {link.name} {{ totalCount }} }}") == 2

    assert wrong == {}


@pytest.mark.parametrize("type_", [type_ for type_ in TYPES if any(link.is_list for link in links(type_))], ids=str)
async def test_aliases_with_different_pages_are_one_statement_each(
    api: Api, statements: Statements, sql: Sql, type_: GraphQLObjectType
) -> None:
    query = f"query ($ids: [ID!]!) {{{{ nodes(ids: $ids) {{{{ ... on {type_.name} {{{{ {{}} }}}} }}}} }}}}"
    for link in (link for link in links(type_) if link.is_list):
        aliases = "a: {0}(first: 1) {{ nodes {{ id }} }} b: {0}(first: 2) {{ nodes {{ id }} }} c: {0}(last: 1) {{ nodes {{ id }} }}"
        twins = "a: {0}(first: 2) {{ nodes {{ id }} }} b: {0}(first: 2) {{ edges {{ cursor }} }} c: {0}(first: 2) {{ pageInfo {{ endCursor }} }}"
        counts = {}
        for name, document in (("aliases", aliases), ("twins", twins)):
            for size in (FEW, MANY):
                statements()
                found = await api(query.format(document.format(link.name)), ids=ids(sql, type_.name, size))
                counts[name, size] = len(statements())
        row = found["nodes"][0]

        assert counts == {("aliases", FEW): 4, ("aliases", MANY): 4, ("twins", FEW): 2, ("twins", MANY): 2}, link
        assert row["c"]["pageInfo"]["endCursor"] == row["b"]["edges"][-1]["cursor"]


@pytest.mark.parametrize("type_", TYPES, ids=str)
async def test_nodes_of_one_type_are_one_statement_and_each_of_their_links_one_more(
    api: Api, statements: Statements, sql: Sql, type_: GraphQLObjectType
) -> None:
    inside = " ".join(["__typename", *(link.select("id", 1) for link in links(type_))])
    query = f"query ($ids: [ID!]!) {{ nodes(ids: $ids) {{ id ... on {type_.name} {{ {inside} }} }} }}"
    for size in (1, MANY):
        wanted = ids(sql, type_.name, size)
        statements()

        found = (await api(query, ids=wanted))["nodes"]

        # Rows of one type are loaded together, whichever links lead to them.
        loads = {link.name if link.is_list else link.target.name for link in links(type_)}
        assert len(statements()) == 1 + len(loads)
        assert [node["id"] for node in found] == wanted


async def test_nodes_of_all_types_are_one_statement_for_each_type(api: Api, statements: Statements, sql: Sql) -> None:
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id __typename } }"
    for size in (1, 100 // len(TYPES)):
        by_type = [ids(sql, type_.name, size) for type_ in TYPES]
        wanted = [identity for row in zip(*by_type, strict=True) for identity in row]
        statements()

        found = (await api(query, ids=wanted))["nodes"]

        assert len(statements()) == len(TYPES)
        assert [node["id"] for node in found] == wanted


async def test_a_node_asked_for_twice_is_read_once(api: Api, statements: Statements, sql: Sql) -> None:
    (provider,) = ids(sql, "Provider", 1)
    statements()

    found = await api(
        "query ($id: ID!) { a: node(id: $id) { id } b: provider(id: $id) { id firstName } c: nodes(ids: [$id, $id]) { id } }",
        id=provider,
    )

    assert len(statements()) == 1
    assert found["a"]["id"] == found["b"]["id"] == found["c"][1]["id"] == provider


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("{ __typename viewer { principal } }", 0),
        ("{ serverTime }", 1),
        ("{ viewer { business { name } } }", 1),
        ("{ providers(first: 50) { nodes { firstName } } }", 1),
        ("{ providers(first: 50) { edges { cursor node { id } } nodes { id } pageInfo { endCursor hasNextPage } } }", 1),
        ('{ providers(search: "provider", limit: 50, offset: 5) { totalCount nodes { id } } }', 2),
        ("{ reservations(first: 50) { nodes { client { id } provider { id } service { id } appointment { location { id } } } } }", 6),
        ("{ providers(first: 50) { nodes { appointments { nodes { reservations { nodes { client { id } } } } } } } }", 4),
        ("{ clients(first: 50) { nodes { providers { nodes { availableAppointments(first: 2) { nodes { id } } } } } } }", 3),
        ("{ appointments(first: 50) { nodes { confirmedReservation { client { reservations { totalCount } } } } } }", 4),
    ],
)  # fmt: skip
async def test_a_question_is_exactly_so_many_statements(
    api: Api, statements: Statements, query: str, count: int
) -> None:
    statements()

    await api(query)

    assert len(statements()) == count


async def test_what_a_mutation_answers_is_read_as_frugally(api: Api, statements: Statements) -> None:
    publish = """
    mutation ($input: AppointmentBulkCreateInput!) {
      appointmentBulkCreate(input: $input) {
        created
        appointments(first: 50) { nodes { provider { id } reservations { nodes { id } } confirmedReservation { id } } }
      }
    }"""
    ada, counts = await api.provider(), []
    for day, size in ((4, FEW), (5, MANY)):
        window = {"providerId": ada, "startTime": f"2027-06-0{day}T09:00:00Z", "slotMinutes": 5}
        end = f"2027-06-0{day}T{9 + size * 5 // 60:02}:{size * 5 % 60:02}:00Z"
        statements()

        done = await api(publish, input={**window, "endTime": end})

        counts.append(len(statements()))
        assert done["appointmentBulkCreate"]["created"] == size
        assert len(done["appointmentBulkCreate"]["appointments"]["nodes"]) == size

    # Two of publishing (the provider's lock, the slots), one for the list, one for each link.
    assert counts == [6, 6]
