"""Many appointments at once: one mutation beside one COPY, and pages of tables that grow."""

import statistics
import time
from typing import Any

import httpx2
import psycopg

from bench.questions import PUBLISH
from bench.statements import page_of
from bench.world import World, identity, node_id
from models.business import DEFAULT_BUSINESS

APPOINTMENTS = 10_000
COPY = "COPY appointments (business_id, provider_id, starts_at, ends_at) FROM STDIN"
SLOTS = """SELECT slot, slot + interval '5 minutes' FROM generate_series(make_timestamptz(%s, 1, 1, 0, 0, 0, 'UTC'),
make_timestamptz(%s, 1, 1, 0, 0, 0, 'UTC') + 9999 * interval '5 minutes', interval '5 minutes') slot"""


def bulks(world: World, port: int, rounds: int) -> dict[str, float]:
    """Publish 10,000 appointments, by one COPY and by one mutation, in turns."""
    took: dict[str, list[float]] = {"copy": [], "ours": []}
    with psycopg.connect(world.url, autocommit=True) as connection, httpx2.Client(timeout=60) as client:
        for n in range(rounds):
            text = _rows(connection, identity(1, 0), 2100 + n)
            connection.execute("CHECKPOINT")
            began = time.perf_counter()
            with connection.cursor().copy(COPY) as copy:
                copy.write(text)
            took["copy"].append(time.perf_counter() - began)
            body = {"query": PUBLISH, "variables": _window(node_id(1, 1), 2100 + n)}
            connection.execute("CHECKPOINT")
            began = time.perf_counter()
            answer = client.post(f"http://127.0.0.1:{port}/graphql", json=body).json()
            took["ours"].append(time.perf_counter() - began)
            if answer["data"]["appointmentBulkCreate"]["created"] != APPOINTMENTS:
                raise RuntimeError(answer)
    return {name: round(statistics.median(seconds), 4) for name, seconds in took.items()}


def _window(provider: str, year: int) -> dict[str, str]:
    """10,000 slots of five minutes."""
    return {"provider": provider, "from": f"{year}-01-01T00:00:00Z", "until": f"{year}-02-04T17:20:00Z"}


def _rows(connection: psycopg.Connection[Any], provider: str, year: int) -> str:
    rows = connection.execute(SLOTS, (year, year)).fetchall()
    return "".join(f"{DEFAULT_BUSINESS}\t{provider}\t{start.isoformat()}\t{end.isoformat()}\n" for start, end in rows)


def pages(world: World, rounds: int = 100) -> dict[str, float]:
    """What the first and the thousandth page of 10 of one provider cost in the database, in milliseconds."""
    provider = identity(1, 0)
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'; SET jit = off")
        last = connection.execute(page_of(provider, None, 9_990)).fetchall()[-1]
        return {
            "first_ms": _middle(connection, page_of(provider, None, 10), rounds),
            "thousandth_ms": _middle(connection, page_of(provider, last, 10), rounds),
        }


def _middle(connection: psycopg.Connection[Any], sql: str, rounds: int) -> float:
    """The median of a round, of the quietest of five: what else the machine does only ever adds."""
    medians = []
    for _ in range(5):
        took = []
        for _ in range(rounds):
            began = time.perf_counter()
            connection.execute(sql, prepare=True).fetchall()
            took.append(time.perf_counter() - began)
        medians.append(statistics.median(took))
    return round(min(medians) * 1000, 4)
