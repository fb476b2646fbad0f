"""The practice whose supply is measured: locations of ten, a hundred and a thousand providers, who work by weekly rules."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import event

from bench.world import CLIENTS, CLIENTS_ONCE, ID, PEOPLE, World, identity
from models.business import DEFAULT_BUSINESS
from models.generation import Generation
from models.node_id import encode
from models.viewer import Role, Viewer
from resolvers.context import Context
from resolvers.generation import generate
from server.database import connected

SIZES = (1_000, 100, 10)
"""How many providers work at each location; those of the first one are published against the clock."""
KINDS = {"Location": 4, "Service": 5}
# Mondays to Fridays, 9 to 12 and 13 to 17, in slots of 30 minutes, by the clocks of three zones in turn.
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")

PLACES = f"""
INSERT INTO locations (business_id, id, name, time_zone)
SELECT '{DEFAULT_BUSINESS}', {ID.format(kind=4, n="n")}, 'Location ' || n, 'Europe/Berlin'
  FROM generate_series(0, {len(SIZES) - 1}) n;
INSERT INTO services (business_id, id, name, duration)
VALUES ('{DEFAULT_BUSINESS}', {ID.format(kind=5, n=0)}, 'Visit', '00:30:00');
"""
SUPPLY = f"""
INSERT INTO offerings (business_id, provider_id, service_id)
SELECT '{DEFAULT_BUSINESS}', {ID.format(kind=1, n="n")}, {ID.format(kind=5, n=0)} FROM generate_series({{first}}, {{last}}) n;
INSERT INTO availability_rules (business_id, provider_id, location_id, weekday, starts_minute, ends_minute, slot_minutes, time_zone)
SELECT '{DEFAULT_BUSINESS}', {ID.format(kind=1, n="n")}, {ID.format(kind=4, n="{place}")}, weekday, starts, ends, 30,
       (ARRAY{list(ZONES)})[n % {len(ZONES)} + 1]
  FROM generate_series({{first}}, {{last}}) n, generate_series(1, 5) weekday, (VALUES (540, 720), (780, 1020)) w (starts, ends);
INSERT INTO publications (business_id, provider_id, published_until, published_at, zones)
SELECT '{DEFAULT_BUSINESS}', {ID.format(kind=1, n="n")}, now(), now(), 'none' FROM generate_series({{first}}, {{last}}) n;
"""
# Every tenth time is booked, here and there.
BOOKINGS = f"""
INSERT INTO reservations (business_id, client_id, appointment_id, status, provider_id, capacity, seat, starts_at, ends_at,
                          busy_from, busy_until, lead_time, created_at, scheduled_at, expires_at, confirmed_at)
SELECT business_id, {ID.format(kind=2, n=f"n / 10 % {CLIENTS}")}, id, 'CONFIRMED', provider_id, 1, 1, starts_at, ends_at,
       starts_at, ends_at, '00:00:00', now(), now(), now() + interval '30 minutes', now()
  FROM (SELECT *, abs(hashtext(provider_id::text || starts_at)) AS n FROM appointments) a WHERE n % 10 = 0;
"""
COLUMNS = "business_id, provider_id, location_id, starts_at, ends_at, capacity, is_generated"
GENERATED = f"COPY (SELECT {COLUMNS} FROM appointments ORDER BY provider_id, starts_at) TO STDOUT"
COPY = f"COPY appointments ({COLUMNS}) FROM STDIN"
VIEWER = Viewer(DEFAULT_BUSINESS, "bench", Role.ADMIN)


@dataclass(frozen=True)
class Published:
    """How many appointments were written, by how many statements, and how many seconds it took."""

    rows: int
    statements: int
    seconds: float


@dataclass(frozen=True)
class Practice:
    """The database of the practice, and how many providers each location has."""

    url: str
    sizes: tuple[int, ...]

    @property
    def world(self) -> World:
        return World(self.url, sum(self.sizes))

    def providers(self, place: int) -> range:
        """Number the providers of a location."""
        first = sum(self.sizes[:place])
        return range(first, first + self.sizes[place])

    def begin(self) -> None:
        """Write what does not depend on anything: places, clients, and the providers of the first location."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(CLIENTS_ONCE)
            connection.execute(PLACES)
        self.staff(0)

    def staff(self, place: int) -> None:
        """Give a location its providers, with their rules."""
        some = self.providers(place)
        with psycopg.connect(self.url, autocommit=True) as connection:
            for step in (PEOPLE, SUPPLY):
                connection.execute(step.format(first=some[0], last=some[-1], place=place))
            connection.execute("ANALYZE")

    async def published(self, places: Iterable[int] = (0,)) -> Published:
        """Publish the providers of some locations from their rules, some at once, as the worker does."""
        keys = tuple(UUID(identity(1, n)) for place in places for n in self.providers(place))
        self.checkpoint()
        database, ran = connected(self.url, 4, 1), []
        event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *given: ran.append(given[2]))
        try:
            context = Context(database.of(DEFAULT_BUSINESS), VIEWER, "bench")
            began = time.perf_counter()
            created = 0
            while keys:  # it ends after some seconds, and tells how many are still to be published
                done = await generate(context, Generation(provider_ids=keys))
                created, keys = created + done.created, keys[len(keys) - done.pending :]
            return Published(created, len(ran), time.perf_counter() - began)
        finally:
            await database.close()

    def copied(self) -> float:
        """Empty the table, and copy the same rows into it, under the same triggers and keys: how many seconds that takes."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            with connection.cursor().copy(GENERATED) as copy:
                rows = b"".join(bytes(part) for part in copy)
            self.emptied()
            self.checkpoint()
            began = time.perf_counter()
            with connection.cursor().copy(COPY) as copy:
                copy.write(rows)
            return time.perf_counter() - began

    def emptied(self) -> None:
        """Take back everything that was published."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("TRUNCATE appointments, reservations, resource_claims, events")

    def book(self) -> None:
        """Book every tenth time, and let the planner see what there is."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute(BOOKINGS)
            connection.execute("TRUNCATE events")
            connection.execute("VACUUM (ANALYZE)")

    def complete(self) -> None:
        """Give the other locations their providers, publish them, and book every tenth time of everybody."""
        others = range(1, len(self.sizes))
        for place in others:
            self.staff(place)
        asyncio.run(self.published(others))
        self.book()
        self.world.guard(is_up=True)  # clients may hold many

    def checkpoint(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Read something of the practice, to ask for it."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(statement.encode(), values).fetchall()


def node_id(type_name: str, n: int) -> str:
    """The id of a location or a service, as the API shows it."""
    return encode(type_name, UUID(identity(KINDS[type_name], n)))
