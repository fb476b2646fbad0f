"""Layouts: which process runs on which cores, and how many workers and connections there are."""

import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import psycopg

from bench.load import Figures
from bench.processes import Cores, all_cores, cpu, family, pin, postgres_processes, say
from bench.world import World


@dataclass(frozen=True)
class Layout:
    """How the processes of a run share the machine."""

    name: str
    workers: int
    connections: int
    postgres: Cores
    server: Cores
    generator: Cores


@dataclass(frozen=True)
class Contestant:
    """Whoever is measured: what runs for some seconds, and the process of its server."""

    name: str
    run: Callable[[float], Figures]
    process: int | None = None
    writes: bool = False
    is_guarded: bool = True
    """Whether the database keeps the tenants apart while it runs."""


def layouts() -> list[Layout]:
    """The two layouts of the benchmark, as far as this machine has the cores."""
    cores = sorted(all_cores())
    every = frozenset(cores)
    found = [Layout("shared", 2, 32, every, every, every)]
    if len(cores) > 1:
        first, second, last = (frozenset({core}) for core in (cores[0], cores[1], cores[min(2, len(cores) - 1)]))
        found.append(Layout("pinned", 1, 16, first, second, last))
    else:
        say("One core cannot be shared out: the layout `pinned` is left out.")
    return found


def place_database(world: World, layout: Layout) -> None:
    """Pin PostgreSQL, before anybody connects whose backend would be elsewhere."""
    pin(postgres_processes(world.url), layout.postgres)


def measured(world: World, contestants: list[Contestant], *, rounds: int, seconds: float) -> dict[str, dict[str, Any]]:
    """Measure everybody in turns, so that what else the machine does meets all; reads first, while nothing is reserved."""
    found: dict[str, list[Figures]] = {each.name: [] for each in contestants}
    for writes in (False, True):
        turn = [each for each in contestants if each.writes is writes]
        for each in turn:
            _prepare(world, each)
            each.run(min(1, seconds))
        for number in range(1, rounds + 1):
            for each in turn:
                found[each.name].append(_timed(world, each, seconds))
                say(f"  round {number}: {each.name} {found[each.name][-1].rps:,.0f}")
    if any(each.writes for each in contestants):
        world.release()
    return {name: _middle(figures) for name, figures in found.items()}


def _prepare(world: World, contestant: Contestant) -> None:
    """Let nothing of the last run reach into the next one."""
    if contestant.writes:
        world.release()
    world.guard(is_up=contestant.is_guarded)
    with psycopg.connect(world.url, autocommit=True) as connection:
        connection.execute("CHECKPOINT")


def _timed(world: World, contestant: Contestant, seconds: float) -> Figures:
    """Measure, and add what each request cost in CPU, in the server and in PostgreSQL."""
    _prepare(world, contestant)
    server = [] if contestant.process is None else family(contestant.process)
    before, postgres_before = cpu(server), cpu(postgres_processes(world.url))
    figures = contestant.run(seconds)
    requests = figures.requests
    used, postgres_used = cpu(server) - before, cpu(postgres_processes(world.url)) - postgres_before
    if contestant.writes and world.held() < requests * 0.99:
        raise RuntimeError(f"{contestant.name} answered {requests} times, and reserved {world.held()} appointments.")
    return replace(
        figures, server_us=round(used / requests * 1e6, 1), postgres_us=round(postgres_used / requests * 1e6, 1)
    )


def _middle(figures: list[Figures]) -> dict[str, Any]:
    """The median of each figure over the rounds, and how far the rounds lie apart."""
    rows = [asdict(each) for each in figures]
    middle = {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0] if name != "requests"}
    return {**middle, "rounds": [row["rps"] for row in rows]}
