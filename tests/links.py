"""Every way that the schema leads from one list to another, as documents; and a database in which no list is empty."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from graphql import GraphQLField, GraphQLInterfaceType, GraphQLObjectType, get_named_type, is_leaf_type

from models.node_id import encode
from schema.execution import CONTRACT

Sql = Callable[..., list[tuple[Any, ...]]]

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
CATALOGUE = """
INSERT INTO skills (business_id, name) SELECT id, 'Skill ' || n FROM businesses, generate_series(1, 60) n;
INSERT INTO resources (business_id, name, quantity, location_id)
SELECT business_id, 'Chair', 1000, id FROM locations;
WITH numbered AS (
    SELECT p.business_id, p.id AS provider, s.id AS service, l.id AS location, k.id AS skill, r.id AS resource
      FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM providers) p
      JOIN (SELECT *, row_number() OVER (ORDER BY id) AS n FROM services) s USING (n)
      JOIN (SELECT *, row_number() OVER (ORDER BY id) AS n FROM locations) l USING (n)
      JOIN (SELECT *, row_number() OVER (ORDER BY id) AS n FROM skills) k USING (n)
      JOIN resources r ON r.business_id = l.business_id AND r.location_id = l.id
), offered AS (
    INSERT INTO offerings (business_id, provider_id, service_id, location_id)
    SELECT business_id, provider, service, location FROM numbered
), needed AS (
    INSERT INTO requirements (business_id, service_id, resource_id) SELECT business_id, service, resource FROM numbered
), had AS (
    INSERT INTO provider_skills (business_id, provider_id, skill_id) SELECT business_id, provider, skill FROM numbered
)
INSERT INTO service_skills (business_id, service_id, skill_id) SELECT business_id, service, skill FROM numbered;
"""
SCHEDULES = """
INSERT INTO holidays (business_id, location_id, date, name) SELECT business_id, id, '2027-12-24', 'Closed' FROM locations;
WITH numbered AS (
    SELECT o.business_id, o.provider_id, o.service_id, o.location_id FROM offerings o
), rules AS (
    INSERT INTO availability_rules (business_id, provider_id, service_id, location_id, weekday, starts_minute, ends_minute, slot_minutes)
    SELECT *, 1, 540, 1020, 30 FROM numbered
), exceptions AS (
    INSERT INTO availability_exceptions (business_id, provider_id, service_id, location_id, date) SELECT *, '2027-12-31' FROM numbered
)
INSERT INTO time_off (business_id, provider_id, starts_at, ends_at) SELECT business_id, provider_id, '2027-12-25Z', '2027-12-26Z' FROM numbered;
"""
KEYS = """
INSERT INTO api_keys (business_id, name, role, scopes, secret_hash, expires_at)
SELECT id, 'Key ' || n, 'ADMIN', ARRAY['READ'], sha256(n::text::bytea), '2030-01-01Z' FROM businesses, generate_series(1, 60) n
"""
# That times were published is told of their provider: of themselves nothing is, until one is taken back.
TOLD = """
INSERT INTO events (business_id, type, aggregate_id, data)
SELECT business_id, 'scheduling.appointment.withdrawn.v1', id, jsonb_build_object('id', id) FROM appointments
"""
CLAIM = "INSERT INTO reservations (business_id, client_id, appointment_id, status) VALUES (%s, %s, %s, %s)"


def fill(url: str) -> None:
    """Fill a database, past the API: this is about reading."""
    with psycopg.connect(url, autocommit=True, options="-c jit=off") as connection:
        for statement in (DATA + CATALOGUE + SCHEDULES).split(";\n"):
            if statement.strip():
                connection.execute(statement)
        connection.execute(KEYS)
        connection.execute(TOLD)
        appointments = connection.execute("SELECT business_id, id FROM appointments ORDER BY id").fetchall()
        clients = [key for (key,) in connection.execute("SELECT id FROM clients ORDER BY id")]
        for turn, (status, minutes) in enumerate((("HELD", 0.0001), ("HELD", 60), ("CONFIRMED", 60))):
            connection.execute("UPDATE businesses SET hold_time = %s", (timedelta(minutes=minutes),))
            for n, (business, appointment) in enumerate(appointments):
                connection.execute(CLAIM, (business, clients[(n * 7 + turn) % len(clients)], appointment, status))


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


QUERY = CONTRACT.query_type
assert QUERY is not None
ROOTS = [link for link in links(QUERY) if link.is_list and links(link.target)]
LEAVES = [link for link in links(QUERY) if link.is_list and not links(link.target)]  # lists that lead no further
NODE = CONTRACT.type_map["Node"]
assert isinstance(NODE, GraphQLInterfaceType)
TYPES = [type_ for type_ in CONTRACT.get_possible_types(NODE) if type_.name != "Business"]  # of which one is seen


# Of what follows a link, this part is asked for after each; where several lead to a type, they share it.
PART = 3


def _leading(type_: GraphQLObjectType) -> list[tuple[str, str]]:
    """Every link from the rows of a root list that leads to a type."""
    return [(root.name, link.name) for root in ROOTS for link in links(root.target) if link.target is type_]


def chains(root: Link) -> Iterator[tuple[Link, ...]]:
    """Ways of two steps from a root list by each of its links, and every way of one that leads no further.

    Together, those of all roots have each link of each type as their second step.
    """
    for first in links(root.target):
        further, leading = links(first.target), _leading(first.target)
        turn, part = leading.index((root.name, first.name)), min(PART, len(leading))
        if not further:
            yield (first,)
        for second in further[turn % part :: part]:
            yield first, second


def nested(chain: tuple[Link, ...]) -> str:
    """Select a chain, and at its end every link at once: three levels below the root."""
    last = chain[-1].target
    inside = " ".join(["id", *(link.select("id", SIZES[2]) for link in links(last))])
    for depth in range(len(chain) - 1, -1, -1):
        inside = f"id {chain[depth].select(inside, SIZES[depth])}"
    return inside


def columns(type_: GraphQLObjectType) -> list[str]:
    """Every field of a type that is asked for by its name alone."""
    return [name for name, field in type_.fields.items() if not field.args and is_leaf_type(get_named_type(field.type))]


TABLES = {
    "Appointment": "appointments",
    "AvailabilityException": "availability_exceptions",
    "AvailabilityRule": "availability_rules",
    "Client": "clients",
    "Holiday": "holidays",
    "Location": "locations",
    "Offering": "offerings",
    "Provider": "providers",
    "Requirement": "requirements",
    "Reservation": "reservations",
    "Resource": "resources",
    "Service": "services",
    "Skill": "skills",
    "TimeOff": "time_off",
}


def ids(sql: Sql, type_name: str, size: int) -> list[str]:
    return [encode(type_name, key) for (key,) in sql(f"SELECT id FROM {TABLES[type_name]} ORDER BY id LIMIT {size}")]
