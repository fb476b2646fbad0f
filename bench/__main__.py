"""The benchmark: fills a database, measures ours beside the limit, prints the ratios, and writes bench/results.json."""

import argparse
import itertools
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import httpx2
import psycopg

from bench import limit
from bench.load import Figures, get, measure, post
from bench.processes import children, cpu, free_port, postgres_processes, resident_mb, say, started, wait
from bench.world import CLIENTS, EACH, World, identity, node_id
from models.business import DEFAULT_BUSINESS
from server.migration import migrate
from server.postgres import embedded

RESULTS = Path(__file__).parent / "results.json"
READ = """query ($provider: ID!, $after: String, $size: Int!) {
  availableAppointments(filter: {providerIds: [$provider]}, first: $size, after: $after) {
    nodes { id startsAt endsAt provider { id firstName } } pageInfo { endCursor } } }"""
RESERVE = """mutation ($client: ID!, $appointment: ID!) {
  reservationCreate(input: {clientId: $client, appointmentId: $appointment}) {
    reservation { id status expiresAt } userErrors { code } } }"""
PUBLISH = """mutation ($provider: ID!, $from: DateTime!, $until: DateTime!) {
  appointmentBulkCreate(input: {providerId: $provider, startTime: $from, endTime: $until, slotMinutes: 5}) {
    created userErrors { code } } }"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--appointments", type=int, default=1_000_000)
    parser.add_argument("--largest", type=int, help="also show that a page costs the same in a table of this size")
    parser.add_argument("--seconds", type=float, default=6)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        Path(folder).chmod(0o711)
        with embedded(Path(folder) / "postgres", settings={"shared_buffers": "1GB", "max_wal_size": "8GB"}) as url:
            migrate(url)
            results = measured(World(url), asked)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


def measured(world: World, asked: argparse.Namespace) -> dict[str, Any]:
    """Measure everything, growing the table as it goes."""
    flat: dict[str, dict[str, float]] = {}
    for size in (EACH, asked.appointments):
        say(f"filling: {size:,} appointments")
        world.grow(size)
        flat[f"{size:,}"] = pages(world)
    runs: dict[str, Figures] = {}
    with ours(world) as (port, processes):
        check_read(port)
        runs["read_ours"] = timed(
            world, processes, lambda: measure(port, reads(world), check=ok, seconds=asked.seconds)
        )
        runs["reserve_ours"] = timed(
            world, processes, lambda: measure(port, reserves(world), check=ok, seconds=asked.seconds)
        )
        bulk = bulks(world, port)
        rss_mb = max(resident_mb(process) for process in processes)
    with plain(world) as (port, processes):
        requests = (get(f"/free/{identity(1, random.randrange(world.providers))}") for _ in itertools.count())
        runs["read_plain"] = timed(world, processes, lambda: measure(port, requests, check=ok, seconds=asked.seconds))
    runs["read_pgbench"] = timed(world, [], lambda: limit.pgbench(world, limit.read_sql(), seconds=int(asked.seconds)))
    runs["reserve_pgbench"] = timed(
        world, [], lambda: limit.pgbench(world, limit.reserve_sql(), seconds=int(asked.seconds))
    )
    if asked.largest:
        say(f"filling: {asked.largest:,} appointments")
        world.grow(asked.largest)
        flat[f"{asked.largest:,}"] = pages(world)
    rps = {name: run.rps for name, run in runs.items()}
    ratios = {
        "read_vs_plain": rps["read_ours"] / rps["read_plain"],
        "read_vs_pgbench": rps["read_ours"] / rps["read_pgbench"],
        "reserve_vs_pgbench": rps["reserve_ours"] / rps["reserve_pgbench"],
        "bulk_vs_copy": bulk["copy"] / bulk["ours"],
        "flat_first_page": spread([page["first_ms"] for page in flat.values()]),
        "flat_thousandth_page": spread([page["thousandth_ms"] for page in flat.values()]),
        "rss_mb": rss_mb,
    }
    return {
        "runs": {name: asdict(run) for name, run in runs.items()},
        "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "bulk_seconds": bulk,
        "pages": flat,
    }


def table(results: dict[str, Any]) -> str:
    """The results as a person reads them."""
    lines = [f"{'':18}{'req/s':>10}{'p50 ms':>10}{'p99 ms':>10}{'server us':>11}{'postgres us':>13}"]
    for name, run in results["runs"].items():
        lines.append(
            f"{name:18}{run['rps']:>10.0f}{run['p50_ms']:>10.2f}{run['p99_ms']:>10.2f}{run['cpu_us']:>11.0f}{run['postgres_us']:>13.0f}"
        )
    lines += ["", *(f"{name:24}{ratio:>8.3f}" for name, ratio in results["ratios"].items())]
    lines.append("")
    lines += [
        f"a page of 10 of one provider among {size:>12} appointments: first {page['first_ms']:.3f} ms, thousandth {page['thousandth_ms']:.3f} ms"
        for size, page in results["pages"].items()
    ]
    lines.append(
        f"10,000 appointments: COPY {results['bulk_seconds']['copy']:.3f} s, ours {results['bulk_seconds']['ours']:.3f} s"
    )
    return "\n".join(lines)


def spread(values: list[float]) -> float:
    return max(values) / min(values)


def timed(world: World, processes: list[int], run: Callable[[], Figures]) -> Figures:
    """Measure, and add what each request cost in CPU, in the server and in PostgreSQL."""
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")
    ours_before, postgres_before, began = cpu(processes), cpu(postgres_processes(world.url)), time.perf_counter()
    figures = run()
    requests = figures.rps * (time.perf_counter() - began)
    server, postgres = cpu(processes) - ours_before, cpu(postgres_processes(world.url)) - postgres_before
    return replace(figures, cpu_us=round(server / requests * 1e6, 1), postgres_us=round(postgres / requests * 1e6, 1))


def ok(body: bytes) -> None:
    """An answer that is not what was asked for would be measured for nothing."""
    if b'"errors"' in body or b"INTERNAL" in body or not body:
        raise RuntimeError(body[:500])


@contextmanager
def ours(world: World) -> Iterator[tuple[int, list[int]]]:
    """Our server with one worker; its port and its worker process."""
    port = free_port()
    command = [sys.executable, "-m", "server", "serve"]
    with started(command, DATABASE_URL=world.url, PORT=str(port), WORKERS="1", POOL_SIZE="16") as process:
        wait(f"http://127.0.0.1:{port}/readyz")
        workers = [pid for pid in children(process.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        yield port, workers


@contextmanager
def plain(world: World) -> Iterator[tuple[int, list[int]]]:
    """The hand-written endpoint."""
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as sql:
        sql.write(limit.json_sql())
        sql.flush()
        command = [sys.executable, "-m", "uvicorn", "bench.plain:app", "--port", str(port), "--no-access-log"]
        with started(command, DATABASE_URL=world.url, PLAIN_SQL=sql.name) as process:
            wait(f"http://127.0.0.1:{port}/free/{identity(1, 0)}")
            yield port, [process.pid]


def reads(world: World) -> Iterator[bytes]:
    """The first 50 free appointments of one provider after another, with the provider's name."""
    for _ in itertools.count():
        variables = {"provider": node_id(1, random.randrange(world.providers)), "size": 50}
        yield post("/graphql", {"query": READ, "variables": variables})


def reserves(world: World) -> Iterator[bytes]:
    """A reservation of another random appointment that nobody has, each time."""
    numbers = range(world.providers * EACH // 10)
    for n in random.sample(numbers, len(numbers)):
        variables = {"client": node_id(2, n % CLIENTS), "appointment": node_id(3, n * 10 + 9)}
        yield post("/graphql", {"query": RESERVE, "variables": variables})


def check_read(port: int) -> None:
    """The read that is measured answers 50 appointments with their provider."""
    body = {"query": READ, "variables": {"provider": node_id(1, 0), "size": 50}}
    nodes = httpx2.post(f"http://127.0.0.1:{port}/graphql", json=body).json()["data"]["availableAppointments"]["nodes"]
    if len(nodes) != 50 or nodes[0]["provider"]["firstName"] != "Provider":
        raise RuntimeError(nodes)


def bulks(world: World, port: int, rounds: int = 5) -> dict[str, float]:
    """Publish 10,000 appointments, by one COPY and by one mutation, in turns."""
    took: dict[str, list[float]] = {"copy": [], "ours": []}
    with psycopg.connect(world.url, autocommit=True) as connection, httpx2.Client(timeout=60) as http:
        for n in range(rounds):
            began = time.perf_counter()
            copied(connection, identity(1, 0), 2100 + n)
            took["copy"].append(time.perf_counter() - began)
            body = {"query": PUBLISH, "variables": window(node_id(1, 1), 2100 + n)}
            began = time.perf_counter()
            answer = http.post(f"http://127.0.0.1:{port}/graphql", json=body).json()
            took["ours"].append(time.perf_counter() - began)
            if answer["data"]["appointmentBulkCreate"]["created"] != 10_000:
                raise RuntimeError(answer)
    return {name: round(statistics.median(seconds), 4) for name, seconds in took.items()}


def window(provider: str, year: int) -> dict[str, str]:
    """10,000 slots of five minutes."""
    return {"provider": provider, "from": f"{year}-01-01T00:00:00Z", "until": f"{year}-02-04T17:20:00Z"}


def copied(connection: psycopg.Connection[Any], provider: str, year: int) -> None:
    rows = connection.execute(
        "SELECT slot, slot + interval '5 minutes' FROM generate_series(make_timestamptz(%s, 1, 1, 0, 0, 0, 'UTC'),"
        " make_timestamptz(%s, 1, 1, 0, 0, 0, 'UTC') + 9999 * interval '5 minutes', interval '5 minutes') slot",
        (year, year),
    ).fetchall()
    text = "".join(f"{DEFAULT_BUSINESS}\t{provider}\t{start.isoformat()}\t{end.isoformat()}\n" for start, end in rows)
    statement = "COPY appointments (business_id, provider_id, starts_at, ends_at) FROM STDIN"
    with connection.cursor().copy(statement) as copy:
        copy.write(text)


def pages(world: World, rounds: int = 100) -> dict[str, float]:
    """What the first and the thousandth page of 10 of one provider cost in the database, in milliseconds."""
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'; SET jit = off")
        last = connection.execute(limit.page_sql(after=None, size=9_990)).fetchall()[-1]
        return {
            "first_ms": middle(connection, limit.page_sql(after=None), rounds),
            "thousandth_ms": middle(connection, limit.page_sql(after=last), rounds),
        }


def middle(connection: psycopg.Connection[Any], sql: str, rounds: int) -> float:
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


if __name__ == "__main__":
    main()
