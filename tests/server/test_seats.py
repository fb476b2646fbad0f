"""Seats: how many listen to a process, and for how long they may do so in vain."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from models.viewer import Role
from server import websocket
from server.rate import Rate
from tests.conftest import Api, fresh_database, serving
from tests.keys import token
from tests.listening import Line, subscribed

FOREIGN = {"host": "book.example.org"}  # so that no name is no operator at this machine, either


@pytest.fixture(scope="module")
def database(cluster: str, migrated: str) -> Iterator[str]:
    with fresh_database(cluster, migrated) as url:
        yield url


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as client:
        yield client


async def test_a_process_takes_so_many_connections(api: Api) -> None:
    seats = api.http._transport.app.state.gate.seats  # type: ignore[attr-defined]
    seats.most = 1
    first = Line(api)
    await first.begin()

    assert (await Line(api).closed())[0] == 1013
    assert "holdfast_listeners 1" in (await api.http.get("/metrics")).text
    first.queue.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await first.task
    assert (seats.taken, seats.nameless) == (0, {})


async def test_an_address_has_so_many_connections_without_a_name(api: Api) -> None:
    seats = api.http._transport.app.state.gate.seats  # type: ignore[attr-defined]
    seats.most_nameless = 1
    first = Line(api, FOREIGN)
    await first.begin()
    refused = await Line(api).closed()
    bearer = {"authorization": f"Bearer {await token(api, Role.MANAGER)}"}
    first.queue.put_nowait({"type": "websocket.disconnect", "code": 1000})
    await first.task
    for _ in range(2):
        named = Line(api, bearer)
        await named.begin()

    assert refused == (1013, "Too many of your address listen here without a name; leave some, or sign in.")
    assert (seats.taken, seats.nameless) == (2, {})


async def test_whoever_does_nothing_is_left_the_sooner_without_a_name(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "SECONDS_OF_REST_NAMELESS", 0.4)
    nameless, named, another = Line(api, FOREIGN), Line(api), Line(api)
    for each in (named, nameless):
        await each.begin()
    nameless.say("ping")

    assert await nameless.closed() == (4408, "No operation was under way for 0.4 seconds; connect again.")
    assert not named.task.done()
    monkeypatch.setattr(websocket, "SECONDS_OF_REST", 0.8)
    await another.begin()
    assert await another.closed() == (4408, "No operation was under way for 0.8 seconds; connect again.")


async def test_whoever_listens_is_left_only_once_they_have_stopped(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(api)
    await line.begin()
    monkeypatch.setattr(websocket, "SECONDS_OF_REST", 0.3)
    line.say("subscribe", id="1", payload={"query": "subscription { availabilityChanged { reason } }"})
    await subscribed(api.http._transport.app)  # type: ignore[attr-defined]
    await asyncio.sleep(0.8)
    assert not line.task.done()
    line.say("complete", id="1")

    assert (await line.closed())[0] == 4408


async def test_to_begin_costs(api: Api) -> None:
    gate = api.http._transport.app.state.gate  # type: ignore[attr-defined]
    gate.rate = Rate(20_000, 2 * websocket.COST_OF_A_CONNECTION)
    lines = [Line(api, FOREIGN) for _ in range(3)]
    for each in lines[:-1]:
        await each.begin()
    lines[-1].say("connection_init")

    closed = await lines[-1].closed()
    assert closed[0] == 1013
    assert closed[1].startswith("You have asked for too much")
    assert not any(each.task.done() for each in lines[:-1])
