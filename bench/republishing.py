"""Republishing: what it costs to change the rules of one provider, and whether anybody else has to wait meanwhile."""

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
import psycopg

from bench.contestants import loaded
from bench.layouts import Layout
from bench.load import Request, Work, post
from bench.practice import ZONES, Practice, node_id
from bench.processes import say
from bench.questions import A_RESERVATION
from bench.recorded import recorded
from bench.searches import reserves, searches
from bench.servers import Server
from bench.world import node_id as row_id

SET = """mutation ($input: WeeklyScheduleSetInput!) {
  weeklyScheduleSet(input: $input) { published { created kept removed } affectedCount userErrors { code message } } }"""
DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY")
USUAL = ("12:00", 30)
# What a week is changed to, and back: when Monday mornings end, and how many minutes an appointment has.
CHANGES = {
    "nothing": USUAL,
    "Monday mornings end half an hour earlier": ("11:30", 30),
    "every appointment has other minutes": ("12:00", 20),
}
TIMES = 4  # in a round
CHANGING = 20  # providers who are published anew in turn, while others reserve
# Not on the day that changes, in no zone.
UNCHANGED = (
    "provider_id {} (SELECT id FROM providers ORDER BY id LIMIT {}) AND extract(isodow FROM starts_at) BETWEEN 3 AND 5"
)
MOST_A_SECOND = 3_000
SECONDS_BETWEEN_LOOKS = 0.005
WAITING = """SELECT count(*) FROM pg_stat_activity
WHERE wait_event_type = 'Lock' AND wait_event <> 'extend' AND backend_type = 'client backend'"""


def republished(practice: Practice, server: Server, rounds: int) -> dict[str, Any]:
    """Change the weeks of providers by the API, and tell how many milliseconds it takes."""
    found = {}
    for name, changed in CHANGES.items():
        took: list[float] = []
        outcome: dict[str, Any] = {}
        for n in range(rounds * TIMES):
            provider = n // 2 % len(practice.providers(0))
            began = time.perf_counter()
            answer = _set(server, week(provider, *(USUAL if n % 2 else changed)))
            took.append((time.perf_counter() - began) * 1000)
            outcome = outcome if n % 2 else answer
        (ran,) = asyncio.run(recorded(practice.url, [week(0, *changed)]))
        found[name] = {"ms": round(statistics.median(took), 1), "statements": len(ran), **outcome}
        _set(server, week(0, *USUAL))
        say(f"  {name}: {found[name]['ms']} ms")
    return found


def week(provider: int, noon: str, slot: int) -> Request:
    """The week of a provider, whose Monday morning ends then."""
    day = [{"start": "09:00", "end": "12:00"}, {"start": "13:00", "end": "17:00"}]
    monday = [{"start": "09:00", "end": noon}, day[1]]
    wanted = {
        "providerId": row_id(1, provider),
        "locationId": node_id("Location", 0),
        "timeZone": ZONES[provider % len(ZONES)],
        "slotMinutes": slot,
        "days": [{"weekday": name, "intervals": day if name != "MONDAY" else monday} for name in DAYS],
    }
    return post({"query": SET, "variables": {"input": wanted}})


def _set(server: Server, request: Request) -> dict[str, Any]:
    address, json_ = f"http://127.0.0.1:{server.port}/graphql", {"content-type": "application/json"}
    answer = httpx2.post(address, content=request.body, headers=json_, timeout=60).json()
    if "errors" in answer or answer["data"]["weeklyScheduleSet"]["userErrors"]:
        raise RuntimeError(answer)
    done: dict[str, Any] = answer["data"]["weeklyScheduleSet"]
    return {**done["published"], "affected": done["affectedCount"]}


def undisturbed(practice: Practice, layout: Layout, server: Server, seconds: float) -> dict[str, Any]:
    """Reserve alone; beside somebody who only reads as much; and beside weeks that change, of others and of the very same."""
    others, same = (UNCHANGED.format(word, CHANGING) for word in ("NOT IN", "IN"))
    month = searches(practice)[0].ways
    cases: dict[str, tuple[str, Callable[[int], object] | None]] = {
        "nothing else happens": (others, None),
        "a month is counted again and again": (others, lambda n: server.ask(month[n % len(month)])),
        "others are republished": (others, lambda n: _change(server, n)),
        "the same providers are republished": (same, lambda n: _change(server, n)),
    }
    found: dict[str, Any] = {}
    for name, (where, beside) in cases.items():
        practice.world.release()
        requests = reserves(practice, int(seconds * MOST_A_SECOND), where)
        with _going_on(practice.url, beside) as going_on:
            run = loaded(layout, server, requests, Work(seconds, A_RESERVATION, again=False))
        found[name] = {"rps": run.rps, "p50_ms": run.p50_ms, "p99_ms": run.p99_ms, **going_on.told()}
        say(f"  {name}: {found[name]}")
    practice.world.release()
    return found


def _change(server: Server, n: int) -> None:
    """Change one week after the other, each to other hours and back."""
    _set(server, week(n // 2 % CHANGING, *(USUAL if n % 2 else CHANGES["Monday mornings end half an hour earlier"])))


@dataclass
class _GoingOn:
    """What is done again and again beside a load, and looks at who waits for whom."""

    stopping: threading.Event = field(default_factory=threading.Event)
    times: int = 0
    looks: int = 0
    waits: int = 0
    failures: list[Exception] = field(default_factory=list)

    def told(self) -> dict[str, int]:
        if self.failures:
            raise self.failures[0]
        return {"times": self.times, "looks": self.looks, "looks_with_a_wait": self.waits}

    def repeat(self, once: Callable[[int], object]) -> None:
        try:
            while not self.stopping.is_set():
                once(self.times)
                self.times += 1
        except Exception as failure:  # noqa: BLE001 -- a thread of its own: whoever started it is told
            self.failures.append(failure)

    def look(self, url: str) -> None:
        """Look again and again whether anybody waits for a lock."""
        with psycopg.connect(url, autocommit=True) as connection:
            while not self.stopping.wait(SECONDS_BETWEEN_LOOKS):
                row = connection.execute(WAITING.encode()).fetchone()
                self.looks += 1
                self.waits += row is not None and row[0] > 0


@contextmanager
def _going_on(url: str, beside: Callable[[int], object] | None) -> Iterator[_GoingOn]:
    """Do something beside a load until that is over."""
    going_on = _GoingOn()
    threads = [threading.Thread(target=going_on.look, args=(url,))]
    if beside is not None:
        threads.append(threading.Thread(target=going_on.repeat, args=(beside,)))
    for thread in threads:
        thread.start()
    try:
        yield going_on
    finally:
        going_on.stopping.set()
        for thread in threads:
            thread.join()
