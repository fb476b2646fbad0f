"""Subscribers: how soon each of 500 on one worker hears of a change, and what memory each of them takes.

python -m bench.subscribers [--subscribers 500] [--changes 40] [--documents 1]
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import psycopg

from models.business import DEFAULT_BUSINESS
from server.migration import migrate
from server.postgres import embedded
from tests.conftest import running
from tests.listening import Socket, relaying, socket
from tests.server.test_crash import workers

QUERY = """subscription {{ availabilityChanged {{ reason available startsAt endsAt occurredAt
  provider {{ id firstName }} appointment {{ id }} }} }} # {}"""
PUBLISH = """WITH ada AS (INSERT INTO providers (business_id, first_name, last_name) VALUES (%s, 'Ada', 'Lovelace') RETURNING *)
INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)
SELECT ada.business_id, ada.id, '2027-05-03 09:00Z'::timestamptz + n * interval '00:15:00',
       '2027-05-03 09:15Z'::timestamptz + n * interval '00:15:00' FROM ada, generate_series(1, %s) n RETURNING id"""
HOLD = """INSERT INTO reservations (business_id, client_id, appointment_id)
VALUES (%s, (SELECT id FROM clients WHERE business_id = %s LIMIT 1), %s)"""
CLIENT = "INSERT INTO clients (business_id, first_name, last_name) VALUES (%s, 'Charles', 'Babbage')"
PAUSE = 0.25  # seconds between two changes


def main() -> None:
    """Measure on a fresh database, and print what was found."""
    parser = argparse.ArgumentParser(prog="python -m bench.subscribers")
    parser.add_argument("--subscribers", type=int, default=500)
    parser.add_argument("--changes", type=int, default=40)
    parser.add_argument("--documents", type=int, default=1, help="how many different ones they ask, at most 49")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with embedded(folder / "postgres") as url:
            migrate(url)
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("UPDATE businesses SET hold_limit = NULL")
            environment = {"DATABASE_URL": url, "RATE_LIMIT_ANONYMOUS": "0", "WORKERS": "1"}
            with running(folder / "log", **environment) as server, relaying(url):
                asyncio.run(measure(url, server, asked))


async def measure(url: str, server: Any, asked: argparse.Namespace) -> None:
    (worker,) = workers(server)
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(socket(server.url))
        await first.listen(QUERY.format("first"))
        before = resident(worker)
        ears = [await stack.enter_async_context(socket(server.url)) for _ in range(asked.subscribers)]
        for n, each in enumerate(ears):
            await each.ask(QUERY.format(n % asked.documents))
        await first.listen(QUERY.format("first"), "again")
        taken = (resident(worker) - before) / asked.subscribers
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(CLIENT, [DEFAULT_BUSINESS])
            keys = connection.execute(PUBLISH, [DEFAULT_BUSINESS, asked.changes]).fetchall()
            await asyncio.gather(*(each.hear() for each in ears))
            delays = [delay for (key,) in keys for delay in await change(connection, key, ears)]
        after = (resident(worker) - before) / asked.subscribers
    print(told(delays, taken, after, asked))


async def change(connection: psycopg.Connection, key: Any, ears: list[Socket]) -> list[float]:
    """Hold one appointment; how long it took from its commit until each subscriber heard of it."""
    await asyncio.sleep(PAUSE)

    async def heard(each: Socket) -> float:
        text = await each.connection.recv()
        at = time.perf_counter()
        answer = json.loads(text)["payload"]["data"]["availabilityChanged"]
        assert (answer["reason"], answer["available"]) == ("HELD", False), answer
        return at

    waiting = [asyncio.create_task(heard(each)) for each in ears]
    await asyncio.sleep(0)
    connection.execute(HOLD, [DEFAULT_BUSINESS, DEFAULT_BUSINESS, key])
    committed = time.perf_counter()
    return [at - committed for at in await asyncio.gather(*waiting)]


def resident(process: int) -> int:
    """How much memory a process has that is in use, in bytes."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def told(delays: list[float], taken: float, after: float, asked: argparse.Namespace) -> str:
    centiles = statistics.quantiles(delays, n=100)
    found = {"p50": centiles[49], "p99": centiles[98], "max": max(delays)}
    shown = ", ".join(f"{name} {seconds * 1000:.0f} ms" for name, seconds in found.items())
    return (
        f"{asked.subscribers} subscribers of {asked.documents} documents, {asked.changes} changes: {shown} from commit "
        f"to client (the relay looks every 20 ms); {taken / 1024:.0f} kB a subscriber, {after / 1024:.0f} kB after it all"
    )


if __name__ == "__main__":
    main()
