"""Server-sent events, after the distinct connections mode of GraphQL over SSE, for clients who ask for them first."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from models.viewer import Role
from server import sse
from tests.conftest import Api, Running, fresh_database, running, serving
from tests.keys import key_of, token
from tests.listening import AVAILABILITY, WITHIN, relaying, subscribed
from tests.server.test_crash import until
from tests.server.test_feeds import relayed

Sql = Callable[..., list[tuple[Any, ...]]]
EVENTS = {"accept": "text/event-stream"}
TIME = "{ serverTime }"


@pytest.fixture(scope="module")
def database(cluster: str, migrated: str) -> Iterator[str]:
    with fresh_database(cluster, migrated) as url, relaying(url):
        yield url


@pytest.fixture(scope="module")
def server(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server") / "server.log", DATABASE_URL=database) as process:
        yield process


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as client:
        yield client


def events(text: str) -> list[tuple[str, Any]]:
    """The events of a stream, without the comments."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(":", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"].strip(), json.loads(fields["data"].strip() or "null")))
    return found


@asynccontextmanager
async def stream(url: str, query: str, **more: Any) -> AsyncIterator[tuple[httpx2.Response, AsyncIterator[str]]]:
    headers = {**EVENTS, **more.pop("headers", {})}
    async with (
        httpx2.AsyncClient(timeout=WITHIN) as http,
        http.stream("POST", f"{url}/graphql", json={"query": query, "variables": more}, headers=headers) as response,
    ):
        yield response, response.aiter_text()


async def heard(text: AsyncIterator[str]) -> tuple[str, Any]:
    """The next event."""
    async for part in text:
        if found := events(part):
            return found[0]
    raise EOFError


async def test_a_subscription_is_a_stream_of_events(server: Running, api: Api, sql: Sql) -> None:
    provider, client = await api.provider(), await api.client()
    first, *_ = await api.publish(provider, "2027-05-03T07:00:00Z", "2027-05-03T08:00:00Z")
    await relayed(sql)
    async with stream(server.url, AVAILABILITY, filter={"providerIds": [provider]}) as (response, text):
        assert await anext(text) == ":\n\n"  # the subscription is under way
        await api.reserve(client, first)
        kind, answer = await heard(text)

    assert (response.status_code, response.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert (response.headers["cache-control"], response.headers["x-accel-buffering"]) == ("no-cache", "no")
    assert (kind, answer["data"]["availabilityChanged"]["reason"]) == ("next", "HELD")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (TIME, None),
        ("{ serverTim }", "GRAPHQL_VALIDATION_FAILED"),
        ("{", "GRAPHQL_PARSE_FAILED"),
        ('subscription { reservationChanged(id: "abc") { id } }', "INVALID_INPUT"),
        ('subscription { availabilityChanged(filter: {providerIds: ["abc"]}) { reason } }', "INVALID_INPUT"),
        (
            "subscription { a: availabilityChanged { reason } b: availabilityChanged { reason } }",
            "GRAPHQL_VALIDATION_FAILED",
        ),
    ],
)
def test_what_is_answered_at_once_is_one_event_and_the_end(server: Running, query: str, code: str | None) -> None:
    response = httpx2.post(f"{server.url}/graphql", json={"query": query}, headers=EVENTS)

    (first, answer), last = events(response.text)
    assert (response.status_code, first, last) == (200, "next", ("complete", None))
    assert (answer["errors"][0]["extensions"]["code"] if "errors" in answer else None) == code


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("text/event-stream", "text/event-stream"),
        ("text/event-stream, application/json", "text/event-stream"),
        ("TEXT/Event-Stream;q=0.5, application/json", "text/event-stream"),
        ("application/json, text/event-stream", "application/json"),
        (
            "application/graphql-response+json, application/json, text/event-stream, multipart/mixed",
            "application/graphql-response+json",
        ),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
def test_events_are_sent_to_whoever_names_them_first(server: Running, accept: str, kind: str) -> None:
    response = httpx2.post(f"{server.url}/graphql", json={"query": TIME}, headers={"accept": accept})

    assert response.headers["content-type"].partition(";")[0] == kind


def test_a_subscription_that_nobody_would_hear_is_refused(server: Running) -> None:
    query = {"query": "subscription { availabilityChanged { reason } }"}
    accepted = {"accept": "application/graphql-response+json"}

    refused = [httpx2.post(f"{server.url}/graphql", json=query, headers=each) for each in (accepted, {})]

    assert [each.status_code for each in refused] == [400, 200]
    for each in refused:
        (error,) = each.json()["errors"]
        assert error["extensions"]["code"] == "GRAPHQL_VALIDATION_FAILED"
        assert "graphql-transport-ws" in error["message"]


def test_what_is_no_request_is_no_stream(server: Running) -> None:
    body = httpx2.post(f"{server.url}/graphql", content="{", headers={**EVENTS, "content-type": "application/json"})
    bearer = {**EVENTS, "authorization": "Bearer nonsense"}
    token = httpx2.post(f"{server.url}/graphql", json={"query": TIME}, headers=bearer)
    written = 'mutation { clientCreate(input: {firstName: "a", lastName: "b"}) { client { id } } }'
    change = httpx2.get(f"{server.url}/graphql", params={"query": written}, headers=EVENTS)

    assert [each.status_code for each in (body, token, change)] == [400, 401, 405]
    assert {each.headers["content-type"] for each in (body, token, change)} == {"application/json; charset=utf-8"}


async def test_a_browser_subscribes_by_get(server: Running) -> None:
    query = {"query": "subscription { availabilityChanged { reason } }"}
    async with (
        httpx2.AsyncClient() as http,
        http.stream("GET", f"{server.url}/graphql", params=query, headers=EVENTS) as response,
    ):
        assert response.headers["content-type"].startswith("text/event-stream")
        async for part in response.aiter_text():
            assert part == ":\n\n"
            break


async def test_a_server_that_stops_ends_the_stream_without_saying_that_it_is_complete(
    database: str, tmp_path: Path
) -> None:
    with running(tmp_path / "server.log", DATABASE_URL=database) as server:
        async with stream(server.url, "subscription { availabilityChanged { reason } }") as (_, text):
            server.process.send_signal(signal.SIGTERM)
            rest = "".join([part async for part in text])
        until(lambda: server.process.poll() is not None, within=30)

    assert "complete" not in rest
    assert "Traceback" not in (tmp_path / "server.log").read_text()


class Line:
    """A stream in this process, to a client who reads only when a test says so."""

    def __init__(self, api: Api, headers: dict[str, str] | None = None) -> None:
        self.app = api.http._transport.app  # type: ignore[attr-defined]
        body = json.dumps({"query": "subscription { availabilityChanged { reason } }"}).encode()
        told = {"host": "localhost", **EVENTS, "content-type": "application/json", **(headers or {})}
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.messages.put_nowait({"type": "http.request", "body": body, "more_body": False})
        self.sent: list[dict[str, Any]] = []
        self.reads, self.aborted = asyncio.Event(), False
        self.reads.set()
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/graphql",
            "headers": [(name.encode(), value.encode()) for name, value in told.items()],
            "client": ("127.0.0.1", 1),
            "query_string": b"",
            "root_path": "",
            "state": {"abort": self._abort},
        }
        self.task = asyncio.create_task(self.app(scope, self.messages.get, self._send))

    def _abort(self) -> None:
        self.aborted = True
        self.reads.set()

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.sent.append(message)


async def test_a_client_that_leaves_is_forgotten(api: Api) -> None:
    line = Line(api)
    await subscribed(line.app)
    assert line.app.state.gate.seats.taken == len(line.app.state.feeds.open) == 1

    line.messages.put_nowait({"type": "http.disconnect"})

    async with asyncio.timeout(WITHIN):
        await line.task
    assert line.app.state.gate.seats.taken == len(line.app.state.feeds.open) == 0


async def test_a_client_who_does_not_read_is_cut_off(api: Api) -> None:
    line = Line(api)
    await subscribed(line.app)
    line.reads.clear()
    (feed,) = line.app.state.feeds.open.values()
    for _ in range(2 * sse.MOST_UNSENT + 2):
        for each in feed.subscribers:
            each.deliver("{}")
        await asyncio.sleep(0)

    async with asyncio.timeout(WITHIN):
        await line.task
    assert line.aborted


async def test_what_is_not_read_has_so_many_bytes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "MOST_BYTES", 20_000)
    line = Line(api)
    await subscribed(line.app)
    line.reads.clear()
    (feed,) = line.app.state.feeds.open.values()
    for _ in range(4):
        for each in tuple(feed.subscribers):
            each.deliver('"' + "é" * 5_000 + '"')

    async with asyncio.timeout(WITHIN):
        await line.task
    assert line.aborted


async def test_a_key_that_is_revoked_ends_the_stream(api: Api, sql: Sql, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "RECHECK", 0.05)
    bearer = {"authorization": f"Bearer {await token(api, Role.MANAGER)}"}
    line = Line(api, bearer)
    await subscribed(line.app)
    assert not line.task.done()

    sql("UPDATE api_keys SET revoked_at = clock_timestamp() WHERE id = %s", key_of(bearer))
    line.app.state.gate.identity.forget()  # else in five seconds

    async with asyncio.timeout(WITHIN):
        await line.task


async def test_silence_is_broken_by_a_comment(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "SILENCE", 0.05)
    line = Line(api)
    async with asyncio.timeout(WITHIN):
        while [each.get("body") for each in line.sent].count(b":\n\n") <= 3:  # noqa: ASYNC110 -- the other side is the server itself
            await asyncio.sleep(0.01)
    line.messages.put_nowait({"type": "http.disconnect"})
    await line.task
