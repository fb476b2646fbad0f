"""The figures of a reservation's life: confirm, cancel and reschedule over HTTP, beside the very same SQL under pgbench.

`python -m bench.life` prints a table and writes bench/life.json; with `--quick` all of it is smaller, and kept nowhere.
"""

import argparse
import asyncio
import json
import re
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from bench import limit
from bench.contestants import loaded
from bench.layouts import Layout, layouts, place_database
from bench.limit import Scripts
from bench.load import Figures, Request, Work, post
from bench.processes import POSTGRES, machine, on, say
from bench.recorded import SPACE, Recorded, recorded
from bench.servers import Server, ours
from bench.world import ID, World
from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from server.migration import migrate
from server.postgres import embedded

RESULTS = Path(__file__).parent / "life.json"
PROVIDERS = 100
MOST_A_SECOND, LARGEST = 8_000, 120_000
NEEDS = '"reservation":{"id"'
PLACE = re.compile(r"\$(\d+)")
DOCUMENT = """mutation ($input: {type}Input!) {{ {name}(input: $input) {{
reservation {{ id status version }} userErrors {{ code }} }} }}"""

# Every provider has a booked hour and a free one in turns; ids are made from numbers, so that pgbench can name any row.
WORLD = f"""
INSERT INTO providers (business_id, id, first_name, last_name)
SELECT '{DEFAULT_BUSINESS}', {ID.format(kind=1, n="n")}, 'Provider', n::text FROM generate_series(0, {PROVIDERS - 1}) n;
INSERT INTO clients (business_id, id, first_name, last_name)
SELECT '{DEFAULT_BUSINESS}', {ID.format(kind=2, n="n")}, 'Client', n::text FROM generate_series(0, 999) n;
INSERT INTO appointments (business_id, id, provider_id, starts_at, ends_at)
SELECT '{DEFAULT_BUSINESS}', {ID.format(kind=3, n="n")}, {ID.format(kind=1, n=f"n % {PROVIDERS}")},
       '2030-01-01Z'::timestamptz + n / {PROVIDERS} * interval '15 minutes',
       '2030-01-01Z'::timestamptz + (n / {PROVIDERS} + 1) * interval '15 minutes'
  FROM generate_series(0, 2 * {{most}} - 1) n;
"""
# Number n of so many has the appointment n; the one it may go to is as far on as there are others.
BOOKED = f"""TRUNCATE resource_claims, reservations, events, idempotency_keys CASCADE;
INSERT INTO reservations (business_id, id, client_id, appointment_id, status, provider_id, capacity, seat, starts_at, ends_at,
                          busy_from, busy_until, lead_time, created_at, scheduled_at, expires_at, confirmed_at, hold_time)
SELECT business_id, {ID.format(kind=4, n="n")}, {ID.format(kind=2, n="n % 1000")}, id, '{{status}}', provider_id, 1, 1,
       starts_at, ends_at, starts_at, ends_at, '24:00:00', now(), now(), now() + interval '12 hours', {{confirmed}}, '12:00:00'
  FROM generate_series(0, {{most}} - 1) n
  JOIN LATERAL (SELECT * FROM appointments a
                 WHERE a.business_id = '{DEFAULT_BUSINESS}' AND a.id = {ID.format(kind=3, n="n")}) a ON true;
"""


@dataclass(frozen=True)
class Change:
    """A mutation, and what the reservations are before it; whether it needs another time."""

    name: str
    status: str
    moves: bool = False

    def request(self, n: int, most: int) -> Request:
        target = {"appointmentId": encode("Appointment", _id(3, n + most))} if self.moves else {}
        given = {"reservationId": encode("Reservation", _id(4, n)), **target}
        query = DOCUMENT.format(name=self.name, type=self.name[0].upper() + self.name[1:])
        return post({"query": query, "variables": {"input": given}})


CHANGES = (
    Change("reservationConfirm", "HELD"),
    Change("reservationCancel", "CONFIRMED"),
    Change("reservationReschedule", "CONFIRMED", moves=True),
)


def _id(kind: int, n: int) -> UUID:
    return UUID(f"{kind}0000000-0000-7000-8000-{n:012x}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.life")
    parser.add_argument("--quick", action="store_true", help="one short round, for a look")
    parser.add_argument("--seconds", type=float, default=3, help="the length of a round")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many is told")
    asked = parser.parse_args()
    rounds, seconds = (1, 1.0) if asked.quick else (asked.rounds, asked.seconds)
    with tempfile.TemporaryDirectory(prefix="holdfast-life-") as folder:
        Path(folder).chmod(0o711)
        with embedded(Path(folder) / "postgres", settings=POSTGRES) as url:
            migrate(url)
            results = everything(url, rounds, seconds)
    if not asked.quick:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


def everything(url: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure each change, ours and pgbench in turns, on one server."""
    most = min(LARGEST, int(seconds * MOST_A_SECOND))
    world, layout = World(url), layouts()[0]
    _owned(url, WORLD.format(most=most), "VACUUM (ANALYZE)")
    place_database(world, layout)
    found: dict[str, Any] = {}
    with ours(world, layout, BACKGROUND="off") as server:
        stage = Stage(url, layout, server, most)
        for change in CHANGES:
            found[change.name] = stage.measured(change, rounds, seconds)
    return {"machine": machine(url), "length": {"rounds": rounds, "seconds": seconds}, "changes": found}


@dataclass(frozen=True)
class Stage:
    """Our server, and so many reservations."""

    url: str
    layout: Layout
    server: Server
    most: int

    def measured(self, change: Change, rounds: int, seconds: float) -> dict[str, Any]:
        self._begin(change)
        (ran,) = asyncio.run(recorded(self.url, [change.request(0, self.most)]))
        if len(ran) != 1:
            raise RuntimeError(f"{change.name} is {len(ran)} statements")
        requests = [change.request(n, self.most) for n in range(self.most)]
        script = Scripts([_script(ran[0], change, self)], ran[0].session, {"i": 0})
        runs: dict[str, list[Figures]] = {"ours": [], "pgbench": []}
        for number in range(1, rounds + 1):
            self._begin(change)
            runs["ours"].append(loaded(self.layout, self.server, requests, Work(seconds, NEEDS, again=False)))
            self._check(change, runs["ours"][-1])
            self._begin(change)
            with on(self.layout.server):
                done = limit.run(self.url, script, connections=self.layout.connections, seconds=seconds)
            runs["pgbench"].append(done)
            self._check(change, done)
            say(f"  round {number}: {change.name} {runs['ours'][-1].rps:,.0f}, by pgbench {done.rps:,.0f}")
        return _told(runs)

    def _begin(self, change: Change) -> None:
        confirmed = "now()" if change.status == "CONFIRMED" else "NULL"
        _owned(self.url, BOOKED.format(most=self.most, status=change.status, confirmed=confirmed), "CHECKPOINT")

    def _check(self, change: Change, figures: Figures) -> None:
        """Whoever answers has written: a change that was refused would be measured for nothing."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT count(*) FROM reservations WHERE version > 1").fetchone()
        assert row is not None
        if row[0] < min(figures.requests, self.most) * 0.99:
            raise RuntimeError(f"{change.name} answered {figures.requests} times, and changed {row[0]} reservations.")


def _owned(url: str, statements: str, then: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(statements.encode())
        connection.execute(then.encode())


def _script(sent: Recorded, change: Change, stage: Stage) -> str:
    """Write a statement for pgbench: another reservation at each turn, which no other connection asks for."""
    named = {str(_id(4, 0)): (4, ":k"), str(_id(3, stage.most)): (3, f":k + {stage.most}")}

    def place(found: re.Match[str]) -> str:
        value = sent.values[int(found[1]) - 1]
        if value in named:
            kind, n = named[value]
            return ID.format(kind=kind, n=f"({n})::bigint")
        return "NULL" if value is None else "'" + value.replace("'", "''") + "'"

    text = SPACE.sub(" ", PLACE.sub(place, sent.sql))
    if ":k" not in text:
        raise RuntimeError(f"{change.name} names no reservation")
    number = f"\\set k (:i * {stage.layout.connections} + :client_id) % {stage.most}\n\\set i :i + 1\n"
    return f"{number}{text};\n"


def _told(runs: dict[str, Sequence[Figures]] | dict[str, list[Figures]]) -> dict[str, Any]:
    middle = {name: round(statistics.median(one.rps for one in some)) for name, some in runs.items()}
    p99 = round(statistics.median(one.p99_ms for one in runs["ours"]), 1)
    return {**middle, "p99_ms": p99, "ratio": round(middle["ours"] / middle["pgbench"], 3)}


def table(results: dict[str, Any]) -> str:
    """Write the figures side by side."""
    lines = [f"{'':24}{'ours':>10}{'pgbench':>10}{'ratio':>8}{'p99 ms':>9}"]
    lines += [
        f"{name:24}{one['ours']:>10,}{one['pgbench']:>10,}{one['ratio']:>8.2f}{one['p99_ms']:>9.1f}"
        for name, one in results["changes"].items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
