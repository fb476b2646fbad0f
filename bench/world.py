"""The world that is measured: providers with 12,500 appointments each, every tenth of them booked."""

from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import sql

from models import api_key
from models.business import DEFAULT_BUSINESS
from models.node_id import encode

EACH = 12_500
FREE_EACH = EACH // 10 * 9
CLIENTS = 1_000
STRIDE = 1_000_003  # a prime: so many steps on, and on, meets every free appointment once
# Ids are made from numbers, so that a load generator can name any row without asking for it.
ID = "('{kind}0000000-0000-7000-8000-' || lpad(to_hex({n}), 12, '0'))::uuid"

PEOPLE = f"""
INSERT INTO providers (business_id, id, first_name, last_name)
SELECT '{DEFAULT_BUSINESS}', {ID.format(kind=1, n="n")}, 'Provider', n::text FROM generate_series({{first}}, {{last}}) n;
"""
CLIENTS_ONCE = f"""
INSERT INTO clients (business_id, id, first_name, last_name)
SELECT '{DEFAULT_BUSINESS}', {ID.format(kind=2, n="n")}, 'Client', n::text FROM generate_series(0, {CLIENTS - 1}) n;
"""
APPOINTMENTS = f"""
INSERT INTO appointments (business_id, id, provider_id, starts_at, ends_at)
SELECT '{DEFAULT_BUSINESS}', {ID.format(kind=3, n=f"p * {EACH} + n")}, {ID.format(kind=1, n="p")},
       day + n * interval '15 minutes', day + (n + 1) * interval '15 minutes'
  FROM generate_series({{first}}, {{last}}) p, generate_series(0, {EACH - 1}) n,
       (SELECT date_trunc('day', now()) + interval '3 days' AS day) d;
"""
RESERVATIONS = f"""
INSERT INTO reservations (business_id, client_id, appointment_id, status, provider_id, capacity, seat, starts_at, ends_at,
                          busy_from, busy_until, lead_time, created_at, scheduled_at, expires_at, confirmed_at)
SELECT business_id, {ID.format(kind=2, n=f"(p * 31 + n) % {CLIENTS}")}, id, 'CONFIRMED', provider_id, 1, 1, starts_at, ends_at,
       starts_at, ends_at, '24:00:00', now(), now(), now() + interval '30 minutes', now()
  FROM generate_series({{first}}, {{last}}) p, generate_series(0, {EACH - 1}, 10) n
  JOIN LATERAL (SELECT * FROM appointments a
                 WHERE a.business_id = '{DEFAULT_BUSINESS}' AND a.id = {ID.format(kind=3, n=f"p * {EACH} + n")}) a ON true;
"""


KEY = """
INSERT INTO api_keys (business_id, name, role, scopes, secret_hash, expires_at)
VALUES (%s, 'bench', 'ADMIN', '{READ,WRITE}', %s, now() + interval '1 day') RETURNING id
"""
MOST_HOLDS = 1000


@dataclass
class World:
    """How many providers there are by now."""

    url: str
    providers: int = 0

    @property
    def unclaimed(self) -> int:
        """How many appointments are free at first."""
        return self.providers * FREE_EACH

    def free_appointment(self, n: int) -> int:
        """The number of an appointment that is free at first: another one for each n, here and there in the table."""
        scattered = n * STRIDE % self.unclaimed
        slot = scattered // self.providers
        return scattered % self.providers * EACH + slot // 9 * 10 + slot % 9 + 1

    def grow(self, appointments: int) -> None:
        """Add providers until there are so many appointments; rows are copied in, no trigger runs."""
        first, last = self.providers, appointments // EACH - 1
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            if first == 0:
                connection.execute(CLIENTS_ONCE)
            for step in (PEOPLE, APPOINTMENTS, RESERVATIONS):
                connection.execute(step.format(first=first, last=last))
            connection.execute("VACUUM (ANALYZE) providers, clients, appointments, reservations")
            connection.execute("CHECKPOINT")
        self.providers = max(first, last + 1)

    def guard(self, *, is_up: bool) -> None:
        """Have the database keep tenants apart and holds few, or let go of both."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            tables = connection.execute("SELECT DISTINCT tablename FROM pg_policies WHERE schemaname = 'public'")
            change = sql.SQL("ENABLE" if is_up else "DISABLE")
            for (table,) in tables.fetchall():
                statement = sql.SQL("ALTER TABLE {} {} ROW LEVEL SECURITY")
                connection.execute(statement.format(sql.Identifier(table), change))
            connection.execute("UPDATE businesses SET hold_limit = %s", [MOST_HOLDS])
            trigger = sql.SQL("ALTER TABLE reservations {} TRIGGER admit")
            connection.execute(trigger.format(change))

    def key(self) -> str:
        """Make an API key, and give its token."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            made = api_key.secret()
            row = connection.execute(KEY, [DEFAULT_BUSINESS, api_key.hash_of(made)]).fetchone()
        assert row is not None
        return api_key.token(DEFAULT_BUSINESS, row[0], made)

    def held(self) -> int:
        """How many appointments were reserved since the world was made."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT count(*) FROM reservations WHERE status = 'HELD'").fetchone()
        return int(row[0]) if row else 0

    def release(self) -> None:
        """Give back what was reserved, so that every round finds the same world."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET session_replication_role = replica")
            connection.execute("DELETE FROM reservations WHERE status = 'HELD'")
            connection.execute("TRUNCATE events")
            connection.execute("VACUUM (ANALYZE) reservations")


def identity(kind: int, n: int) -> str:
    """The key of row n of a kind: 1 for providers, 2 for clients, 3 for appointments."""
    return f"{kind}0000000-0000-7000-8000-{n:012x}"


def node_id(kind: int, n: int) -> str:
    """The same, as the API shows it."""
    return encode(("", "Provider", "Client", "Appointment")[kind], UUID(identity(kind, n)))
