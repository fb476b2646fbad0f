"""The figures of supply: publishing from rules, changing them, and searching, each beside what PostgreSQL alone can do.

`python -m bench.supply` prints a table and writes bench/supply.json; with `--quick` all of it is smaller, and kept nowhere.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from bench import limit
from bench.contestants import loaded
from bench.layouts import Contestant, Layout, layouts, measured, place_database
from bench.load import Figures, Request, Work
from bench.practice import SIZES, Practice
from bench.processes import POSTGRES, machine, on, say
from bench.questions import A_RESERVATION
from bench.recorded import Cost, Recorded, cost, recorded, scripts_of
from bench.republishing import republished, undisturbed
from bench.searches import FIRST_PAGE, LOCAL_PAGE, PAGE, Search, reserves, reserves_of_any, searches
from bench.servers import Server, ours
from bench.supply_report import table
from server.migration import migrate
from server.postgres import embedded

RESULTS = Path(__file__).parent / "supply.json"
QUICK = (100, 30, 10)
LIMIT = ", pgbench"
PLAIN, ANY = "reserve", "reserve any provider"
MOST_A_SECOND = 4_000
WAYS_EXPLAINED = 3
CONNECTIONS = 8  # enough for two cores; a month of fifty providers is work for a while


def main() -> None:
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="holdfast-supply-") as folder:
        Path(folder).chmod(0o711)
        with embedded(Path(folder) / "postgres", settings=POSTGRES) as url:
            migrate(url)
            results = everything(Practice(url, QUICK if asked.quick else SIZES), asked.rounds, asked.seconds)
    if not asked.quick:
        RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.supply")
    parser.add_argument("--quick", action="store_true", help="a tenth of the providers, for a look")
    parser.add_argument("--seconds", type=float, default=1, help="the length of a round")
    parser.add_argument("--rounds", type=int, default=3, help="the median of so many is told")
    return parser.parse_args()


def everything(practice: Practice, rounds: int, seconds: float) -> dict[str, Any]:
    """Measure all of it, on one server, one after the other."""
    results = {
        "machine": machine(practice.url),
        "providers": practice.sizes,
        "length": {"rounds": rounds, "seconds": seconds},
        "publication": publication(practice, rounds),
    }
    practice.complete()
    layout = replace(layouts()[0], connections=CONNECTIONS)
    place_database(practice.world, layout)
    with ExitStack() as servers:
        server = servers.enter_context(ours(practice.world, layout, BACKGROUND="off"))
        stage = Stage(practice, layout, server)
        results["searches"] = stage.searched(rounds, seconds)
        results["reservations"] = stage.reserved(rounds, seconds)
        results["republication"] = republished(practice, server, rounds)
        results["undisturbed"] = undisturbed(practice, layout, server, seconds * rounds)
    return {**results, "ratios": ratios(results)}


def ratios(results: dict[str, Any]) -> dict[str, float]:
    """Divide the figures that count."""
    found, booked, waited = (results[name] for name in ("searches", "reservations", "undisturbed"))
    pages = [run["us"] for name, run in found.items() if name.startswith(FIRST_PAGE)]
    p99s = [run["p99_ms"] for run in waited.values()]
    divided = {
        "publish_vs_copy": results["publication"]["ratio"],
        "flat_first_page_of_a_location": max(pages) / min(pages),
        "local_times_vs_instants": found[LOCAL_PAGE]["rps"] / found[PAGE]["rps"],
        "any_provider_vs_one": booked[ANY]["rps"] / booked[PLAIN]["rps"],
        "p99_beside_republishing_vs_beside_reading": p99s[2] / p99s[1],
        "p99_of_the_same_providers_vs_of_others": p99s[3] / p99s[2],
    }
    return {name: round(ratio, 3) for name, ratio in divided.items()}


def publication(practice: Practice, rounds: int) -> dict[str, Any]:
    """Publish from rules into an empty table, and copy the same rows into the same table, in turns."""
    practice.begin()
    took: dict[str, list[float]] = {"ours": [], "copy": []}
    for number in range(1, rounds + 1):
        practice.emptied()
        published = asyncio.run(practice.published())
        rows = published.rows
        took["ours"].append(rows / published.seconds)
        took["copy"].append(rows / practice.copied())
        say(f"  round {number}: {rows:,} rows, {took['ours'][-1]:,.0f} a second, by COPY {took['copy'][-1]:,.0f}")
    middle = {name: round(statistics.median(rates)) for name, rates in took.items()}
    told = {"rows": rows, "statements": published.statements}
    return {**told, **middle, "ratio": round(middle["ours"] / middle["copy"], 3)}


@dataclass(frozen=True)
class Stage:
    """Our server over the practice, and what is asked of it."""

    practice: Practice
    layout: Layout
    server: Server

    def searched(self, rounds: int, seconds: float) -> dict[str, Any]:
        """Ask every search of our server, and run its statements under pgbench, in turns."""
        found = searches(self.practice)
        say("recording what each search runs")
        ran = {search.name: asyncio.run(recorded(self.practice.url, search.ways)) for search in found}
        contestants = [each for search in found for each in self._beside(search, ran[search.name])]
        runs = measured(self.practice.world, contestants, rounds=rounds, seconds=seconds)
        return {name: _run(runs[name], self._cost(some), runs[name + LIMIT]) for name, some in ran.items()}

    def reserved(self, rounds: int, seconds: float) -> dict[str, Any]:
        """Reserve with a provider that is chosen, and with whoever is the least loaded, in turns."""
        most = int(seconds * MOST_A_SECOND)
        asked = {PLAIN: reserves(self.practice, most), ANY: reserves_of_any(self.practice, most)}
        ran = {name: asyncio.run(recorded(self.practice.url, some[:1])) for name, some in asked.items()}
        contestants = [self._loading(name, some, A_RESERVATION, writes=True) for name, some in asked.items()]
        runs = measured(self.practice.world, contestants, rounds=rounds, seconds=seconds)
        return {name: _run(runs[name], self._cost(some)) for name, some in ran.items()}

    def _beside(self, search: Search, ran: list[list[Recorded]]) -> Iterator[Contestant]:
        yield self._loading(search.name, search.requests, search.needs)
        scripts = scripts_of(ran)

        def run(seconds: float) -> Figures:
            with on(self.layout.server):
                return limit.run(self.practice.url, scripts, connections=self.layout.connections, seconds=seconds)

        yield Contestant(search.name + LIMIT, run)

    def _loading(self, name: str, requests: list[Request], needs: str, *, writes: bool = False) -> Contestant:
        def run(seconds: float) -> Figures:
            return loaded(self.layout, self.server, requests, Work(seconds, needs, again=not writes))

        return Contestant(name, run, self.server.process, writes=writes)

    def _cost(self, ran: list[list[Recorded]]) -> tuple[int, Cost]:
        """How many statements a request is, and what they cost the database: the dearest of the ways."""
        found = max(
            (cost(self.practice.url, statements) for statements in ran[:WAYS_EXPLAINED]), key=lambda one: one.us
        )
        return max(len(statements) for statements in ran), found


def _run(run: dict[str, Any], counted: tuple[int, Cost], pgbench: dict[str, Any] | None = None) -> dict[str, Any]:
    statements, found = counted
    told = {name: run[name] for name in ("rps", "p50_ms", "p99_ms", "rounds")}
    beside = {"pgbench": pgbench["rps"], "ratio": round(run["rps"] / pgbench["rps"], 3)} if pgbench else {}
    return {**told, **beside, "statements": statements, **asdict(found)}


if __name__ == "__main__":
    main()
