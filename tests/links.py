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
CALENDARS = """
INSERT INTO calendar_feeds (business_id, provider_id, client_id, secret_hash)
SELECT business_id, provider, client, sha256(coalesce(provider, client)::text::bytea)
  FROM (SELECT business_id, id AS provider, NULL::uuid AS client, row_number() OVER (ORDER BY id) AS n FROM providers
        UNION ALL
        SELECT business_id, NULL, id, row_number() OVER (ORDER BY id) FROM clients) AS each
 ORDER BY n;
INSERT INTO calendar_imports (business_id, provider_id, url, host) SELECT business_id, id, 'https://x.example', 'x.example' FROM providers;
"""
WEBHOOKS = """
WITH endpoints AS (
    INSERT INTO webhook_endpoints (business_id, url) SELECT id, 'https://' || n || '.example' FROM businesses, generate_series(1, 60) n
    RETURNING business_id, id
), deliveries AS (
    INSERT INTO webhook_deliveries (business_id, endpoint_id, event_id, event_type, aggregate_id, position)
    SELECT w.business_id, w.id, e.id, e.type, e.aggregate_id, e.seq FROM endpoints w JOIN LATERAL (
        SELECT * FROM events e WHERE e.business_id = w.business_id ORDER BY e.id LIMIT 4) e ON true
    RETURNING business_id, id
)
INSERT INTO webhook_attempts (business_id, delivery_id, number, milliseconds)
SELECT business_id, id, n, 1 FROM deliveries, generate_series(1, 4) n;
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
NOTIFICATIONS = """
INSERT INTO notifications (business_id, event_id, channel, topic, template, client_id, provider_id, reservation_id)
SELECT business_id, uuidv7(), 'EMAIL', 'BOOKING', 'CONFIRMED', CASE WHEN n % 2 = 0 THEN client_id END,
       CASE WHEN n % 2 = 1 THEN provider_id END, id
  FROM (SELECT *, row_number() OVER (ORDER BY id) AS n FROM reservations) ORDER BY n;
INSERT INTO notification_reservations (business_id, notification_id, event_id, reservation_id)
SELECT n.business_id, n.id, uuidv7(), m.id
  FROM notifications n JOIN reservations r ON r.id = n.reservation_id JOIN reservations m ON m.client_id = r.client_id
"""
# Whatever a client has reserved is their one visit, and their one series.
BUNDLES = """
INSERT INTO visits (business_id, client_id) SELECT business_id, id FROM clients;
INSERT INTO reservation_series (business_id, client_id, provider_id, service_id, every_weeks, count)
SELECT c.business_id, c.id, p.id, s.id, 1, 3 FROM clients c, (SELECT min(id::text)::uuid AS id FROM providers) p,
       (SELECT min(id::text)::uuid AS id FROM services) s
"""
# Every client waits for each provider once, and was offered what they hold; and for each reservation the next one was proposed.
WAITLIST = """
INSERT INTO waitlist_entries (business_id, client_id, service_id, provider_id, location_id, starts_from, starts_until,
                              status, reservation_id)
SELECT r.business_id, r.client_id, r.service_id, r.provider_id, a.location_id, r.starts_at, r.ends_at, 'ACCEPTED', r.id
  FROM reservations r JOIN appointments a ON a.id = r.appointment_id WHERE r.status = 'CONFIRMED';
INSERT INTO proposals (business_id, reservation_id, hold_id, appointment_id, client_id, from_provider_id, provider_id,
                       time_off_id, status, expires_at)
SELECT r.business_id, r.id, h.id, h.appointment_id, r.client_id, r.provider_id, h.provider_id, r.id, 'DECLINED', r.expires_at
  FROM (SELECT *, row_number() OVER (ORDER BY id) AS n, count(*) OVER () AS total FROM reservations) r
  JOIN (SELECT *, row_number() OVER (ORDER BY id) AS n FROM reservations) h ON h.n = r.n % r.total + 1
"""
CLAIM = """
INSERT INTO reservations (business_id, client_id, appointment_id, status, visit_id, series_id)
SELECT c.business_id, c.id, %s, %s, v.id, r.id
  FROM clients c JOIN visits v ON v.client_id = c.id JOIN reservation_series r ON r.client_id = c.id
 WHERE c.business_id = %s AND c.id = %s
"""


def fill(url: str) -> None:
    """Fill a database, past the API: this is about reading."""
    with psycopg.connect(url, autocommit=True, options="-c jit=off") as connection:
        for statement in (DATA + CATALOGUE + SCHEDULES + CALENDARS + WEBHOOKS).split(";\n"):
            if statement.strip():
                connection.execute(statement)
        for statement in (KEYS, *BUNDLES.split(";\n")):
            connection.execute(statement)
        connection.execute(TOLD)
        appointments = connection.execute("SELECT business_id, id FROM appointments ORDER BY id").fetchall()
        clients = [key for (key,) in connection.execute("SELECT id FROM clients ORDER BY id")]
        for turn, (status, minutes) in enumerate((("HELD", 0.0001), ("HELD", 60), ("CONFIRMED", 60))):
            connection.execute("UPDATE businesses SET hold_time = %s", (timedelta(minutes=minutes),))
            for n, (business, appointment) in enumerate(appointments):
                client = clients[(n * 7 + turn) % len(clients)]
                connection.execute(CLAIM, (appointment, status, business, client))
        connection.execute(NOTIFICATIONS)
        with connection.transaction():
            connection.execute("ALTER TABLE waitlist_entries DISABLE TRIGGER admit")
            for statement in WAITLIST.split(";\n"):
                connection.execute(statement)
            connection.execute("ALTER TABLE waitlist_entries ENABLE TRIGGER admit")
        # Numbered as by a relay that hands them to nobody.
        connection.execute("UPDATE events SET position = seq, relayed_at = clock_timestamp() WHERE relayed_at IS NULL")


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
    "Visit": "visits",
    "WaitlistEntry": "waitlist_entries",
    "Proposal": "proposals",
    "ReservationSeries": "reservation_series",
    "WebhookEndpoint": "webhook_endpoints",
}


def ids(sql: Sql, type_name: str, size: int) -> list[str]:
    return [encode(type_name, key) for (key,) in sql(f"SELECT id FROM {TABLES[type_name]} ORDER BY id LIMIT {size}")]
