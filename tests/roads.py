"""Both roads over one world: the compiled one and the ordinary one, asked the same, must answer the same."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import orjson
import psycopg

from schema.execution import CONTRACT
from tests.arguments import Known
from tests.conftest import GENEROUS, Api, serving
from tests.world import Bearer, World, known, write

# The one place where the two roads are told apart; until `serving` knows `compile`, both are the ordinary one.
COMPILER = "compile" in signature(serving.__init__).parameters
ROADS: tuple[dict[str, Any], ...] = ({"compile": True}, {"compile": False}) if COMPILER else ({}, {})
HEADERS = {"content-type": "application/json", "x-request-id": "both-roads"}
# Who asks is told by a token; a key of the world says so, and nobody is kept waiting.
NAMED: dict[str, Any] = {"API_KEYS": "on", "RATE_LIMIT": "0", "RATE_LIMIT_ANONYMOUS": "0", "DEADLINE": "60"}
EXHIBITION = "exposedAppointments"
READ = """SELECT type, aggregate_id::text, business_id::text, actor, correlation_id, data ->> 'id', relayed_at IS NOT NULL,
jsonb_array_elements_text(data -> 'fields') FROM events WHERE seq > %s"""


@dataclass
class Answer:
    """What came back: all of it that two roads must have in common."""

    status: int
    content: bytes
    kind: str
    read: set[tuple[Any, ...]]
    """What was put on record: of each thing, each personal field that was read, and by whom."""

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = orjson.loads(self.content)
        return body

    @property
    def codes(self) -> set[str]:
        return {error["extensions"]["code"] for error in self.body.get("errors", ())}

    @property
    def told(self) -> tuple[Any, ...]:
        """The very bytes; but errors that were found at the same time may be told in any order."""
        if not (errors := self.body.get("errors")):
            return self.status, self.kind, self.content
        rest = {name: value for name, value in self.body.items() if name != "errors"}
        return self.status, self.kind, orjson.dumps(rest), sorted(map(orjson.dumps, errors))


@dataclass
class Roads:
    """Both roads over one world, on an event loop of their own: Hypothesis knows no other."""

    runner: asyncio.Runner
    compiled: Api
    ordinary: Api
    world: World
    known: Known
    record: "Record"

    def ask(self, api: Api, body: dict[str, Any], bearer: Bearer | None = None) -> Answer:
        sent = json.dumps(body).encode()  # not orjson: lone surrogates are sent as well
        headers = {**HEADERS, **(bearer or self.world.bearers[0]).headers}
        done = self.runner.run(api.http.post("/graphql", content=sent, headers=headers))
        return Answer(done.status_code, done.content, done.headers["content-type"], self.record.taken())

    def both(self, body: dict[str, Any], bearer: Bearer | None = None) -> Answer:
        """Ask both, as an ADMIN if nobody is named; the one answer that they give, and what they put on record."""
        for api in (self.compiled, self.ordinary):
            api.statements.clear()
            on_lanes(api).clear()
        one, other = self._asked(body, bearer)
        if one.told != other.told and EXHIBITION in body["query"]:  # its time was up between the two
            one, other = self._asked(body, bearer)
        assert not (COMPILER and on_lanes(self.ordinary)), "a road compared with itself proves nothing"
        assert one.told == other.told, f"{bearer} {body}\ncompiled: {one.told}\nordinary: {other.told}"
        assert one.read == other.read, f"{bearer} {body}\ncompiled: {one.read}\nordinary: {other.read}"
        return one

    def _asked(self, body: dict[str, Any], bearer: Bearer | None) -> tuple[Answer, Answer]:
        return self.ask(self.compiled, body, bearer), self.ask(self.ordinary, body, bearer)

    def sql(self) -> list[str]:
        """Every statement that the last document was answered with, on either road."""
        return [each for api in (self.compiled, self.ordinary) for each in (*api.statements, *on_lanes(api))]


class Record:
    """What requests put on record, which is taken away again: the next one finds the world as it was."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.known = connection.execute("SELECT max(seq) FROM events").fetchone()
        self.since = connection.execute("SELECT clock_timestamp()").fetchone()

    def taken(self) -> set[tuple[Any, ...]]:
        found = set(self.connection.execute(READ, self.known).fetchall())
        self.connection.execute("DELETE FROM events WHERE seq > %s", self.known)
        self.connection.execute("DELETE FROM exposures WHERE shown_at > %s", self.since)
        return found


def on_lanes(api: Api) -> list[str]:
    lanes: list[str] = getattr(api, "on_lanes", [])
    return lanes


@contextmanager
def both_roads(url: str, world: World) -> Iterator[Roads]:
    """Write a world into a database, and open both roads to it."""
    write(url, world)
    past_the_triggers = "-c session_replication_role=replica"
    with asyncio.Runner() as runner, psycopg.connect(url, autocommit=True, options=past_the_triggers) as connection:
        opened = AsyncExitStack()
        try:
            served = [serving(url, limits=GENEROUS, **NAMED, **road) for road in ROADS]
            compiled, ordinary = (runner.run(opened.enter_async_context(each)) for each in served)
            ordinary.http.headers.update(world.bearers[0].headers)
            told = runner.run(known(ordinary, CONTRACT, world))
            del ordinary.http.headers["authorization"]
            yield Roads(runner, compiled, ordinary, world, told, Record(connection))
        finally:
            runner.run(opened.aclose())
