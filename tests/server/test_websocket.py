"""The protocol graphql-transport-ws to the letter, and what a connection may cost."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from models.node_id import encode
from models.viewer import Role
from server import websocket
from tests.conftest import Api, Running, fresh_database, running, serving
from tests.keys import key_of, token
from tests.listening import AVAILABILITY, PROTOCOL, Line, dialled, socket
from tests.server.test_crash import until

Sql = Callable[..., list[tuple[Any, ...]]]
TIME = "{ serverTime }"
LONG = 100_001
ANY = UUID(int=1)


@pytest.fixture(scope="module")
def database(cluster: str, migrated: str) -> Iterator[str]:
    with fresh_database(cluster, migrated) as url:
        yield url


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("server") / "server.log"
    with running(log, DATABASE_URL=database, ALLOWED_ORIGINS="https://book.example.org") as process:
        yield process


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as client:
        yield client


async def test_queries_and_mutations_are_answered_too(server: Running) -> None:
    create = "mutation ($name: String!) { clientCreate(input: {firstName: $name, lastName: $name}) { client { id } } }"
    async with socket(server.url) as one:
        await one.ask(TIME)
        answered, complete = await one.hear(), await one.hear()
        await one.ask(create, "2", name="Mary")
        created = await one.hear()

    assert (answered["id"], answered["type"]) == ("1", "next")
    assert answered["payload"]["data"].keys() == {"serverTime"}
    assert answered["payload"]["extensions"]["cost"]["requestedQueryCost"] == 1
    assert complete == {"id": "1", "type": "complete"}
    assert created["payload"]["data"]["clientCreate"]["client"]["id"]


async def test_what_is_refused_is_told_by_one_error_and_the_id_is_free_again(server: Running) -> None:
    two = "subscription { availabilityChanged { reason } again: availabilityChanged { reason } }"
    cases = {
        "{ serverTim }": "GRAPHQL_VALIDATION_FAILED",
        "{": "GRAPHQL_PARSE_FAILED",
        "{ serverTime }" + "#" * 20_000: "DOCUMENT_TOO_LARGE",
        " ": "BAD_REQUEST",
        two: "GRAPHQL_VALIDATION_FAILED",
        "subscription { availabilityChanged { provider { services(first: 100) { nodes {"
        " providers(first: 100) { nodes { id } } } } } } }": "TOO_COSTLY",
        "subscription { availabilityChanged { nothing } }": "GRAPHQL_VALIDATION_FAILED",
    }
    async with socket(server.url) as one:
        for document, code in cases.items():
            await one.ask(document)
            error = await one.hear()

            assert (error["id"], error["type"]) == ("1", "error")
            assert [each["extensions"]["code"] for each in error["payload"]] == [code], document[:100]
            assert error["payload"][0]["extensions"]["requestId"]


async def test_a_ping_is_answered_with_what_it_carries(server: Running) -> None:
    async with dialled(server.url) as one:
        await one.say("ping")
        assert await one.hear() == {"type": "pong"}
        await one.begin()
        await one.say("ping", payload={"n": 1})
        assert await one.hear() == {"type": "pong", "payload": {"n": 1}}
        await one.say("pong")
        await one.say("complete", id="of nothing")
        await one.silence(0.2)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (["nonsense"], 4400),
        (["[]"], 4400),
        (['"text"'], 4400),
        (["{}"], 4400),
        (['{"type":1}'], 4400),
        (['{"type":"start"}'], 4400),
        (['{"type":"ping","type":"ping"}'], 4400),
        ([b'{"type":"connection_init"}'], 4400),
        (['{"type":"connection_init","payload":7}'], 4400),
        (['{"type":"connection_init","payload":{"Authorization":7}}'], 4400),
        (['{"type":"connection_init","payload":{"Authorization":"\u00e9"}}'], 4400),
        (['{"type":"connection_init","payload":{"Authorization":"Bearer nonsense"}}'], 4401),
        (['{"type":"connection_init","payload":{"X-Business":"nonsense"}}'], 4401),
        (['{"type":"subscribe","id":"1","payload":{"query":"{ serverTime }"}}'], 4401),
        (['{"type":"connection_init"}', '{"type":"connection_init"}'], 4429),
        (['{"type":"connection_init"}', '{"type":"subscribe"}'], 4400),
        (['{"type":"connection_init"}', '{"type":"subscribe","id":1,"payload":{}}'], 4400),
        (['{"type":"connection_init"}', '{"type":"subscribe","id":"","payload":{}}'], 4400),
        (['{"type":"connection_init"}', '{"type":"subscribe","id":"1","payload":[]}'], 4400),
        (['{"type":"connection_init"}', f'{{"type":"subscribe","id":"{"1" * 101}","payload":{{}}}}'], 4400),
        (['{"type":"connection_init"}', '{"type":"complete"}'], 4400),
        (['{"type":"connection_init","payload":' + '{"a":' * 5000 + "1" + "}" * 5001], 4400),
        (["x" * LONG], 1009),
        (["x" * 1_000_000], 1009),
        (['{"type":"connection_init"}', " " * LONG], 1009),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_what_is_no_message_closes_the_connection(server: Running, sent: list[str | bytes], code: int) -> None:
    async with dialled(server.url) as one:
        with suppress(ConnectionClosed):
            for message in sent:
                await one.connection.send(message)
        closed, reason = await one.closed()

    assert closed == code
    assert code == 1009 or 0 < len(reason) <= 123
    assert httpx2.post(f"{server.url}/graphql", json={"query": TIME}).status_code == 200


async def test_an_id_that_is_taken_closes_the_connection(server: Running) -> None:
    async with socket(server.url) as one:
        await one.ask(AVAILABILITY)
        await one.ask(AVAILABILITY)

        assert await one.closed() == (4409, "Subscriber for 1 already exists")


@pytest.mark.parametrize("offered", [None, ["graphql-ws"], ["soap"]])
async def test_only_one_protocol_is_spoken(server: Running, offered: Any) -> None:
    async with dialled(server.url, subprotocols=offered) as one:
        assert (await one.closed())[0] == 4406


async def test_the_protocol_that_is_spoken_is_told(server: Running) -> None:
    async with dialled(server.url, subprotocols=["graphql-ws", PROTOCOL]) as one:
        assert one.connection.subprotocol == PROTOCOL
        await one.begin()


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:{port}", 101),
        ("https://book.example.org", 101),
        ("https://evil.example.org", 403),
        ("http://localhost", 403),
        ("http://localhost:1", 403),
        ("null", 403),
        ("https://book.example.org.evil.org", 403),
        ("http://[", 403),
        ("http://[::1", 403),
        ("http://localhost:{port}]", 403),
        ("://", 403),
        ("\\", 403),
    ],
)
async def test_pages_of_other_sites_cannot_connect(server: Running, origin: str, status: int) -> None:
    asked = origin.format(port=server.port)
    if status == 101:
        async with dialled(server.url, origin=asked) as one:
            await one.begin()
        return
    with pytest.raises(InvalidStatus) as refused:
        async with dialled(server.url, origin=asked):
            pass

    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body or b"")["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_nobody_is_served_at_another_path(server: Running) -> None:
    with pytest.raises(InvalidStatus):
        async with connect(f"{server.url.replace('http', 'ws')}/elsewhere", proxy=None):
            pass


async def test_twenty_operations_are_under_way_at_once(server: Running) -> None:
    async with socket(server.url) as one:
        for n in range(20):
            await one.ask(AVAILABILITY, str(n))
        await one.ask(TIME, "one more")
        error = await one.hear()
        await one.say("complete", id="7")
        await one.ask(TIME, "again")

        assert (error["id"], error["type"]) == ("one more", "error")
        assert error["payload"][0]["extensions"]["code"] == "TOO_MANY_SUBSCRIPTIONS"
        assert [(await one.hear())["type"] for _ in range(2)] == ["next", "complete"]


async def test_a_token_may_come_with_the_upgrade_or_later(server: Running, api: Api) -> None:
    bearer = f"Bearer {await token(api, Role.MANAGER)}"
    heard = []
    async with dialled(server.url, additional_headers={"authorization": bearer}) as one:
        await one.begin()
        await one.ask("{ viewer { role } }")
        heard.append((await one.hear())["payload"]["data"]["viewer"]["role"])
    async with socket(server.url, Authorization=bearer) as one:
        await one.ask("{ viewer { role } }")
        heard.append((await one.hear())["payload"]["data"]["viewer"]["role"])

    assert heard == ["MANAGER", "MANAGER"]


async def test_a_field_that_is_not_for_somebody_is_forbidden(server: Running, api: Api) -> None:
    bearer = f"Bearer {await token(api, Role.OPERATOR)}"
    async with socket(server.url, authorization=bearer) as one:
        await one.ask("subscription ($id: ID!) { reservationChanged(id: $id) { id } }", id=encode("Reservation", ANY))
        error = await one.hear()

    assert error["payload"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_a_server_that_stops_says_so(database: str, tmp_path: Path) -> None:
    with running(tmp_path / "server.log", DATABASE_URL=database) as server:
        async with socket(server.url) as one:
            await one.ask(AVAILABILITY)
            await asyncio.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)

            assert (await one.closed())[0] == 1012
        until(lambda: server.process.poll() is not None, within=30)
    assert "Traceback" not in (tmp_path / "server.log").read_text()


async def test_whoever_does_not_begin_is_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "SECONDS_TO_BEGIN", 0.05)

    assert await Line(api).closed() == (4408, "Connection initialisation timeout")


async def test_whoever_reads_too_slowly_is_left(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(api)
    await line.begin()
    line.reads.clear()
    for _ in range(websocket.MOST_UNSENT + 2):
        line.say("ping")
    await asyncio.sleep(0.1)
    line.reads.set()

    assert (await line.closed())[0] == 4413
    assert len(line.sent) < 10


async def test_whoever_does_not_read_at_all_is_cut_off(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "SECONDS_TO_CLOSE", 0.1)
    line = Line(api)
    await line.begin()
    line.reads.clear()
    for _ in range(websocket.MOST_UNSENT + 2):
        line.say("ping")

    await line.closed()
    assert line.aborted


async def test_a_key_that_is_revoked_ends_what_it_has_begun(
    api: Api, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "RECHECK", 0.05)
    bearer = {"authorization": f"Bearer {await token(api, Role.MANAGER)}"}
    line = Line(api, bearer)
    await line.begin()
    await asyncio.sleep(0.3)
    assert not line.task.done()

    sql("UPDATE api_keys SET revoked_at = clock_timestamp() WHERE id = %s", key_of(bearer))
    api.http._transport.app.state.gate.identity.forget()  # type: ignore[attr-defined] # else in five seconds

    assert (await line.closed())[0] == 4403


async def test_no_header_of_an_upgrade_breaks_the_server(api: Api) -> None:
    random, names = Random(7), ("origin", "host", "x-business", "x-time-zone", "authorization", "sec-websocket-key")
    kinds = {"websocket.accept", "websocket.close", "websocket.http.response.start"}
    parts = ["http://", "[", "]", ":", "@", "/", "\x00", "\xff", "%", "é", "a", "1" * 30, " ", "ws://", "\\"]
    for _ in range(100):
        told = {name: "".join(random.choices(parts, k=random.randrange(6))) for name in random.sample(names, 3)}
        line = Line(api, told)
        line.say("connection_init")
        line.say("subscribe", id="1", payload={"query": TIME})
        line.queue.put_nowait({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(30):
            await line.task  # raises what the application raises

        assert line.sent[0]["type"] in kinds, told
        assert line.sent[0].get("status", 403) == 403, told
    assert api.http._transport.app.state.gate.seats.taken == 0  # type: ignore[attr-defined]


async def test_what_is_not_read_has_so_many_bytes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "MOST_BYTES", 20_000)
    line = Line(api)
    await line.begin()
    line.reads.clear()
    for _ in range(4):
        line.say("ping", payload={"long": "é" * 5_000})
    await asyncio.sleep(0.1)
    line.reads.set()

    assert (await line.closed())[0] == 4413


async def test_only_trusted_documents_are_answered_on_a_socket_too(database: str, tmp_path: Path) -> None:
    (tmp_path / "time.graphql").write_text(TIME)
    async with serving(database, TRUSTED_DOCUMENTS=str(tmp_path)) as api:
        line = Line(api)
        await line.begin()
        line.say("subscribe", id="1", payload={"query": "{ viewer { role } }"})
        refused = await line.hear()
        line.say("subscribe", id="2", payload={"query": TIME})
        answered = await line.hear()
        line.queue.put_nowait({"type": "websocket.disconnect", "code": 1000})
        await line.task

    assert (refused["id"], refused["type"]) == ("1", "error")
    assert (answered["id"], answered["type"]) == ("2", "next")
