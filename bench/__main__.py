"""The benchmark: fills a database, measures everybody in turns, prints the ratios, and writes bench/results.json."""

import argparse
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg

from bench import npm, statements
from bench.bulk import bulks, pages
from bench.contestants import Stage
from bench.layouts import Layout, layouts, measured, place_database
from bench.processes import POSTGRES, all_cores, machine, say
from bench.ratios import ratios
from bench.report import table
from bench.servers import ours
from bench.world import EACH, World
from server.migration import migrate
from server.postgres import embedded

RESULTS = Path(__file__).parent / "results.json"


def main() -> None:
    asked = arguments()
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder, npm.cleaned():
        Path(folder).chmod(0o711)
        with embedded(Path(folder) / "postgres", settings=POSTGRES) as url:
            migrate(url)
            results = everything(World(url), asked)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(table(results))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--appointments", type=int, default=1_000_000)
    parser.add_argument("--largest", type=int, help="also show that a page costs the same in a table of this size")
    parser.add_argument("--seconds", type=float, default=3, help="the length of a round")
    parser.add_argument("--rounds", type=int, default=5, help="the median of so many is told")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME", help="runs to measure, like read_ours, or bulk"
    )
    parser.add_argument("--layout", nargs="+", default=["shared", "pinned"], choices=["shared", "pinned"])
    return parser.parse_args()


def everything(world: World, asked: argparse.Namespace) -> dict[str, Any]:
    """Measure all that is asked for, growing the table as it goes."""
    flat = {}
    for size in (EACH, asked.appointments):
        say(f"filling: {size:,} appointments")
        world.grow(size)
        flat[f"{size:,}"] = pages(world)
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute(statements.free_function().encode())
    wanted = [layout for layout in layouts() if layout.name in asked.layout]
    found = {layout.name: _layout(world, layout, asked) for layout in wanted}
    bulk, rss_mb = _bulk(world, asked) if not asked.only or "bulk" in asked.only else (None, None)
    if asked.largest:
        say(f"filling: {asked.largest:,} appointments")
        world.grow(asked.largest)
        flat[f"{asked.largest:,}"] = pages(world)
    results = {
        "machine": machine(world.url),
        "appointments": asked.appointments,
        "length": {"rounds": asked.rounds, "seconds": asked.seconds},
        "layouts": found,
        "bulk_seconds": bulk,
        "rss_mb": rss_mb,
        "pages": flat,
    }
    return {**results, "ratios": ratios(results)}


def _layout(world: World, layout: Layout, asked: argparse.Namespace) -> dict[str, Any]:
    say(f"layout {layout.name}: {layout.workers} workers, {layout.connections} connections")
    place_database(world, layout)
    with ExitStack() as servers:
        stage = Stage(world, layout, set(asked.only), servers)
        contestants = [each for each in stage.contestants() if stage.wants(each.name)]
        return measured(world, contestants, rounds=asked.rounds, seconds=asked.seconds)


def _bulk(world: World, asked: argparse.Namespace) -> tuple[dict[str, float], float]:
    """Publish many at once; and the memory of a worker that has read, reserved and published."""
    say("publishing 10,000 appointments at once")
    every = all_cores()
    layout = Layout("bulk", 1, 16, every, every, every)
    place_database(world, layout)
    with ExitStack() as servers:
        server = servers.enter_context(ours(world, layout))
        stage = Stage(world, layout, set(), servers)
        for contestant in stage.warming(server):
            contestant.run(asked.seconds)
        bulk = bulks(world, server.port, asked.rounds)
        rss_mb = server.worker_mb()
    world.release()
    return bulk, round(rss_mb, 1)


if __name__ == "__main__":
    main()
