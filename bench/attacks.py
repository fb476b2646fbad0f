"""Attacks: what each costs a worker, what they leave in its memory, and how long others wait meanwhile.

`python -m bench.attacks` prints a table; the attacks are those of the tests. Others ask for a small page with a key. They
are measured alone, beside attackers whom no limit stops, and beside attackers whom the usual limit of an address stops.
"""

import argparse
import http.client
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, cycle, islice
from pathlib import Path

import orjson
import psycopg

from bench.load import Figures
from bench.processes import family, free_port, resident_mb, say, started, wait
from models.viewer import Role
from server.migration import migrate
from server.postgres import embedded
from tests.attacks import ATTACKS, Attack
from tests.links import fill
from tests.tokens import Headers, bearer, token

READ = orjson.dumps({"query": "{ availableAppointments(first: 5) { nodes { id startsAt provider { firstName } } } }"})
JSON = {"content-type": "application/json"}
ATTACKERS, OTHERS = 4, 8
MOST_MS, MOST_RATIO = 100, 2
WORST = 5
PAUSE = 3  # seconds, until what was asked before is over


@dataclass(frozen=True)
class Server:
    """A server of one worker, and a key to it."""

    port: int
    worker: int
    key: Headers

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)


@dataclass(frozen=True)
class Cost:
    """What one attack costs a worker: the least of several times."""

    name: str
    cpu_ms: float
    status: int
    answer: int


def main() -> None:
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="holdfast-attacks-") as folder:
        Path(folder).chmod(0o711)
        with embedded(Path(folder) / "postgres", settings={"max_connections": "200"}) as url:
            migrate(url)
            fill(url)
            with psycopg.connect(url, autocommit=True) as connection:
                key = bearer(token(lambda text, *values: connection.execute(text, values).fetchall(), Role.ADMIN))
            report(url, key, asked)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.attacks")
    parser.add_argument("--times", type=int, default=5, help="the least CPU of so many is told of each attack")
    parser.add_argument("--seconds", type=float, default=10, help="how long others are measured")
    return parser.parse_args()


def report(url: str, key: Headers, asked: argparse.Namespace) -> None:
    say(f"{len(ATTACKS)} attacks, {asked.times} times each")
    with served(url, key, RATE_LIMIT="0", RATE_LIMIT_ANONYMOUS="0") as server:
        costs(server, 1)
        before = resident_mb(server.worker)
        found = sorted(costs(server, asked.times), key=lambda cost: -cost.cpu_ms)
        grown = resident_mb(server.worker) - before
        say(f"others alone, and beside {ATTACKERS} attackers: {asked.seconds:g} s each")
        alone = others(server, asked.seconds)
        with attackers(server):
            free = others(server, asked.seconds)
    with served(url, key, RATE_LIMIT="999999999") as server, attackers(server):  # 0 would be no limit for anybody
        time.sleep(PAUSE)
        limited = others(server, asked.seconds)
    print(table(found, grown, {"alone": alone, "beside attackers": free, "beside limited attackers": limited}))


@contextmanager
def served(url: str, key: Headers, **settings: str) -> Iterator[Server]:
    """Our server, where everybody has to say who they are."""
    port = free_port()
    command = [sys.executable, "-m", "server", "serve"]
    told = {"DATABASE_URL": url, "PORT": str(port), "WORKERS": "1", "API_KEYS": "on", "LOG_LEVEL": "warning"}
    with started(command, **told, **settings) as process:
        wait(port)
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family(process)}
        (worker,) = [pid for pid, started_as in commands.items() if b"spawn_main" in started_as]
        yield Server(port, worker, key)


def body(attack: Attack, number: int) -> bytes:
    """Write an attack as a request that nobody has sent before."""
    document, variables = attack if isinstance(attack, tuple) else (attack, {})
    name = "Meant" if "query Meant" in document else None
    return orjson.dumps({"query": f"{document}#{number}", "variables": variables, "operationName": name})


def cpu_ms(process: int) -> float:
    """The milliseconds of CPU that all threads of a process have used, more exactly than in ticks."""
    used = sum(int(each.read_text().split()[0]) for each in Path(f"/proc/{process}/task").glob("*/schedstat"))
    return used / 1e6


def costs(server: Server, times: int) -> list[Cost]:
    """Send each attack so many times, as nobody else asks."""
    connection, found = server.connection(), []
    for name, attack in ATTACKS.items():
        spent = []
        for number in range(times):
            before = cpu_ms(server.worker)
            connection.request("POST", "/graphql", body(attack, number), JSON | server.key)
            response = connection.getresponse()
            answer = len(response.read())
            spent.append(cpu_ms(server.worker) - before)
        found.append(Cost(name, min(spent), response.status, answer))
    connection.close()
    return found


def others(server: Server, seconds: float) -> Figures:
    """Ask for a small page on several connections, each as soon as it is answered."""
    spent: list[float] = []
    until = time.perf_counter() + seconds

    def ask() -> None:
        connection = server.connection()
        while (began := time.perf_counter()) < until:
            connection.request("POST", "/graphql", READ, JSON | server.key)
            response = connection.getresponse()
            if b'"errors"' in response.read() or response.status != http.client.OK:
                raise ValueError("An ordinary request was refused.")
            spent.append(time.perf_counter() - began)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(OTHERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Figures.of(spent, seconds)


@contextmanager
def attackers(server: Server) -> Iterator[None]:
    """Attack on several connections, without a key, from processes of their own."""
    fork = multiprocessing.get_context("spawn")
    running = [fork.Process(target=attack, args=(server, n), daemon=True) for n in range(ATTACKERS)]
    for process in running:
        process.start()
    try:
        time.sleep(PAUSE)
        yield
    finally:
        for process in running:
            process.terminate()
            process.join()


def attack(server: Server, first: int) -> None:
    """Send every attack, one after the other, for ever; each attacker begins elsewhere."""
    connection = server.connection()
    ordered = islice(cycle(ATTACKS.values()), first * len(ATTACKS) // ATTACKERS, None)
    for number, each in zip(count(), ordered, strict=False):
        connection.request("POST", "/graphql", body(each, number * ATTACKERS + first), JSON)
        connection.getresponse().read()


def table(found: list[Cost], grown: float, waits: dict[str, Figures]) -> str:
    lines = [f"{'attack':48}{'worker CPU ms':>14}{'status':>8}{'bytes':>10}"]
    lines += [f"{cost.name[:46]:48}{cost.cpu_ms:>14.1f}{cost.status:>8}{cost.answer:>10,}" for cost in found[:WORST]]
    slow, largest = sum(cost.cpu_ms > MOST_MS for cost in found), max(cost.answer for cost in found)
    lines += [f"of {len(found)} attacks {slow} take more than {MOST_MS} ms; the longest answer has {largest:,} bytes"]
    lines += [f"the worker grew by {grown:.1f} MB", "", f"{'a small read':28}{'req/s':>10}{'p50 ms':>10}{'p99 ms':>10}"]
    lines += [f"{name:28}{run.rps:>10,.0f}{run.p50_ms:>10.1f}{run.p99_ms:>10.1f}" for name, run in waits.items()]
    alone, *beside = waits.values()
    ratios = [round(run.p99_ms / alone.p99_ms, 1) for run in beside]
    lines += [f"ratios of p99: {ratios}; under {MOST_RATIO} is the aim", f"load average: {os.getloadavg()[0]:.1f}"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
