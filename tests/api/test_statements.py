"""Any page, any nesting: a question is a constant number of statements, however many rows it meets.

The documents are made from the schema itself, so a new field is covered as soon as it is declared.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from graphql import GraphQLField, GraphQLInterfaceType, GraphQLObjectType, get_named_type
from sqlalchemy.engine import make_url

from models.node_id import encode
from schema import schema
from tests.conftest import Api

Sql = Callable[..., list[tuple[Any, ...]]]
Statements = Callable[[], list[str]]

FEW, MANY = 2, 50
# Each level has a size of its own: what an outer level has loaded is then not what an inner one asks for.
SIZES = (3, 2, 1)

# 60 of everything. Each appointment is a group with a confirmed, a held and a lapsed seat: so no list is empty anywhere.
DATA = """
WITH places AS (
    INSERT INTO locations (business_id, name, time_zone) SELECT id, 'Room ' || n, 'UTC' FROM businesses, generate_series(1, 60) n
), services AS (
    INSERT INTO services (business_id, name) SELECT id, 'Service ' || n FROM businesses, generate_series(1, 60) n
), providers AS (
    INSERT INTO providers (business_id, first_name, last_name) SELECT id, 'P' || n, 'Provider' FROM businesses, generate_series(1, 60) n
)
INSERT INTO clients (business_id, first_name, last_name) SELECT id, 'C' || n, 'Client' FROM businesses, generate_series(1, 60) n;

WITH numbered AS (
    SELECT p.business_id, p.id AS provider, s.id AS service, l.id AS location, p.n
      FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM providers) p
      JOIN (SELECT *, row_number() OVER (ORDER BY id) AS n FROM services) s USING (n)
      JOIN (SELECT *, row_number() OVER (ORDER BY id) AS n FROM locations) l USING (n)
)
INSERT INTO appointments (business_id, provider_id, service_id, location_id, starts_at, ends_at, capacity)
SELECT business_id, provider, service, location, start + n * interval '1 minute', start + n * interval '1 minute' + interval '15 minutes', 9
  FROM numbered, (VALUES ('2027-05-03 09:00Z'::timestamptz)) AS day (start);
"""
CLAIM = "INSERT INTO reservations (business_id, client_id, appointment_id, status) VALUES (%s, %s, %s, %s)"


def fill(url: str) -> None:
    """Fill a database, past the API: this is about reading."""
    with psycopg.connect(url, autocommit=True, options="-c jit=off") as connection:
        for statement in DATA.split(";\n"):
            if statement.strip():
                connection.execute(statement)
        appointments = connection.execute("SELECT business_id, id FROM appointments ORDER BY id").fetchall()
        clients = [key for (key,) in connection.execute("SELECT id FROM clients ORDER BY id")]
        for turn, (status, minutes) in enumerate((("HELD", 0.0001), ("HELD", 60), ("CONFIRMED", 60))):
            connection.execute("UPDATE businesses SET hold_time = %s", (timedelta(minutes=minutes),))
            for n, (business, appointment) in enumerate(appointments):
                connection.execute(CLAIM, (business, clients[(n * 7 + turn) % len(clients)], appointment, status))


@pytest.fixture(scope="module")
def filled(cluster: str, migrated: str) -> Iterator[str]:
    with copy_of(cluster, migrated) as url:
        fill(url)
        yield url


@pytest.fixture
def database(cluster: str, filled: str) -> Iterator[str]:
    """A full database, of each test its own."""
    with copy_of(cluster, filled) as url:
        yield url


@contextmanager
def copy_of(cluster: str, template: str) -> Iterator[str]:
    name = f"holdfast_full_{uuid4().hex}"
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {make_url(template).database} STRATEGY file_copy")
        try:
            yield make_url(cluster).set(database=name).render_as_string(hide_password=False)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@dataclass(frozen=True)
class Link:
    """A field that leads to another type: to one row of it, or to a page of them."""

    name: str
    target: GraphQLObjectType
    is_list: bool

    def select(self, inside: str, size: int) -> str:
        if not self.is_list:
            return f"{self.name} {{ {inside} }}"
        return f"{self.name}(first: {size}) {{ nodes {{ {inside} }} edges {{ node {{ id }} }} pageInfo {{ hasNextPage }} }}"


def links(type_: GraphQLObjectType) -> list[Link]:
    """Every field of a type that leads on, and needs no argument for it."""
    return [link for name, field in type_.fields.items() if (link := _link(name, field)) is not None]


def _link(name: str, field: GraphQLField) -> Link | None:
    target = get_named_type(field.type)
    if not isinstance(target, GraphQLObjectType):
        return None
    if "nodes" in target.fields:
        row = get_named_type(target.fields["nodes"].type)
        assert isinstance(row, GraphQLObjectType)
        return Link(name, row, is_list=True)
    is_node = any(interface.name == "Node" for interface in target.interfaces)
    return Link(name, target, is_list=False) if is_node and not field.args else None


CONTRACT = schema._schema
QUERY = CONTRACT.query_type
assert QUERY is not None
ROOTS = [link for link in links(QUERY) if link.is_list]
NODE = CONTRACT.type_map["Node"]
assert isinstance(NODE, GraphQLInterfaceType)
TYPES = list(CONTRACT.get_possible_types(NODE))


def chains(root: Link) -> Iterator[tuple[Link, ...]]:
    """Every way of two steps from a root list, and every way of one that leads no further."""
    for first in links(root.target):
        if not links(first.target):
            yield (first,)
        for second in links(first.target):
            yield first, second


def nested(chain: tuple[Link, ...]) -> str:
    """Select a chain, and at its end every link at once: three levels below the root."""
    last = chain[-1].target
    inside = " ".join(["id", *(link.select("id", SIZES[2]) for link in links(last))])
    for depth in range(len(chain) - 1, -1, -1):
        inside = f"id {chain[depth].select(inside, SIZES[depth])}"
    return inside


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
        "availableAppointments",
        "appointments",
        "reservations",
        "providers",
        "clients",
    ]
    assert {type_.name: len(links(type_)) for type_ in TYPES if links(type_)}.keys() == {
        "Appointment",
        "Client",
        "Provider",
        "Reservation",
    }


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


@pytest.mark.parametrize("root", ROOTS, ids=lambda root: root.name)
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
    api: Api, statements: Statements, type_: GraphQLObjectType
) -> None:
    root = next(root for root in ROOTS if root.target is type_)
    for link in (link for link in links(type_) if link.is_list):
        aliases = "a: {0}(first: 1) {{ nodes {{ id }} }} b: {0}(first: 2) {{ nodes {{ id }} }} c: {0}(last: 1) {{ nodes {{ id }} }}"
        twins = "a: {0}(first: 2) {{ nodes {{ id }} }} b: {0}(first: 2) {{ edges {{ cursor }} }} c: {0}(first: 2) {{ pageInfo {{ endCursor }} }}"
        counts = {}
        for name, document in (("aliases", aliases), ("twins", twins)):
            for size in (FEW, MANY):
                statements()
                found = await api(f"{{ {root.name}(first: {size}) {{ nodes {{ {document.format(link.name)} }} }} }}")
                counts[name, size] = len(statements())
        row = found[root.name]["nodes"][0]

        assert counts == {("aliases", FEW): 4, ("aliases", MANY): 4, ("twins", FEW): 2, ("twins", MANY): 2}, link
        assert row["c"]["pageInfo"]["endCursor"] == row["b"]["edges"][-1]["cursor"]


TABLES = {
    "Appointment": "appointments",
    "Client": "clients",
    "Location": "locations",
    "Provider": "providers",
    "Reservation": "reservations",
    "Service": "services",
}


def ids(sql: Sql, type_name: str, size: int) -> list[str]:
    return [encode(type_name, key) for (key,) in sql(f"SELECT id FROM {TABLES[type_name]} ORDER BY id LIMIT {size}")]


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

        assert len(statements()) == 1 + len(links(type_))
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
