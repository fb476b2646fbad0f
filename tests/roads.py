"""Both roads over one world: the compiled one and the ordinary one, asked the same, must answer the same."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import orjson

from schema.execution import CONTRACT
from tests.arguments import Known
from tests.conftest import GENEROUS, Api, serving
from tests.world import World, known, write

# The one place where the two roads are told apart; until `serving` knows `compile`, both are the ordinary one.
COMPILER = "compile" in signature(serving.__init__).parameters
ROADS: tuple[dict[str, Any], ...] = ({"compile": True}, {"compile": False}) if COMPILER else ({}, {})
HEADERS = {"content-type": "application/json", "x-request-id": "both-roads"}


@dataclass
class Answer:
    """What came back: all of it that two roads must have in common."""

    status: int
    content: bytes
    kind: str

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

    def ask(self, api: Api, body: dict[str, Any]) -> Answer:
        sent = json.dumps(body).encode()  # not orjson: lone surrogates are sent as well
        done = self.runner.run(api.http.post("/graphql", content=sent, headers=HEADERS))
        return Answer(done.status_code, done.content, done.headers["content-type"])

    def both(self, body: dict[str, Any]) -> Answer:
        """Ask both; the one answer that they give."""
        for api in (self.compiled, self.ordinary):
            api.statements.clear()
            on_lanes(api).clear()
        one, other = self.ask(self.compiled, body), self.ask(self.ordinary, body)
        assert not (COMPILER and on_lanes(self.ordinary)), "a road compared with itself proves nothing"
        assert one.told == other.told, f"{body}\ncompiled: {one.told}\nordinary: {other.told}"
        return one

    def sql(self) -> list[str]:
        """Every statement that the last document was answered with, on either road."""
        return [each for api in (self.compiled, self.ordinary) for each in (*api.statements, *on_lanes(api))]


def on_lanes(api: Api) -> list[str]:
    lanes: list[str] = getattr(api, "on_lanes", [])
    return lanes


@contextmanager
def both_roads(url: str, world: World) -> Iterator[Roads]:
    """Write a world into a database, and open both roads to it."""
    write(url, world)
    with asyncio.Runner() as runner:
        opened = AsyncExitStack()
        try:
            compiled, ordinary = (runner.run(opened.enter_async_context(serving(url, limits=GENEROUS, **road))) for road in ROADS)
            yield Roads(runner, compiled, ordinary, world, runner.run(known(ordinary, CONTRACT, world)))
        finally:
            runner.run(opened.aclose())
