"""Feeds: what a change costs, however many different things are listened to, and who pays for it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from models.business import DEFAULT_BUSINESS
from models.refusal import Busy
from resolvers import signals
from server import feeds
from server.listener import Listener
from server.rate import Rate
from tests.conftest import Api, fresh_database, serving
from tests.listening import WITHIN, Line, relaying, subscribed
from tests.supply import Supply, key, soon

Sql = Callable[..., list[tuple[Any, ...]]]
LISTEN = "subscription ($f: AvailabilityFilter) { availabilityChanged(filter: $f) { reason startsAt } }"
FIND = "query ($f: AvailabilityFilter) { appointments(first: 100, filter: $f) { nodes { startsAt } } }"
TIME = "{ serverTime }"
NEVER = {"perm", "art", "both", "bleach", "hall", "cut in the hall"}  # no time of the brand is for that


@pytest.fixture(scope="module")
def database(cluster: str, migrated: str) -> Iterator[str]:
    with fresh_database(cluster, migrated) as url, relaying(url):
        yield url


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    async with serving(database) as client:
        yield client


def state(api: Api) -> Any:
    return api.http._transport.app.state  # type: ignore[attr-defined]


async def relayed(sql: Sql) -> None:
    """Wait until everything that has happened was told."""
    async with asyncio.timeout(WITHIN):
        while sql("SELECT 1 FROM events WHERE relayed_at IS NULL LIMIT 1"):  # noqa: ASYNC110 -- another thread relays
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)


async def begun(api: Api) -> Line:
    line = Line(api)
    await line.begin()
    return line


async def listen(api: Api, line: Line, **filters: Any) -> None:
    """Subscribe, and wait until that is done: a query that is asked later is answered later."""
    for name, chosen in filters.items():
        line.say("subscribe", id=name, payload={"query": LISTEN, "variables": {"f": chosen}})
    line.say("subscribe", id="a query", payload={"query": TIME})
    assert [(await line.hear())["type"] for _ in range(2)] == ["next", "complete"]
    await subscribed(api.http._transport.app)  # type: ignore[attr-defined]


async def heard(line: Line, so_many: int) -> list[dict[str, Any]]:
    """What is told: so many, however long that takes, and what else there is within a while."""
    found = [await line.hear() for _ in range(so_many)]
    with suppress(TimeoutError):
        while True:
            found.append(await asyncio.wait_for(line.hear(), 0.7))
    return found


@pytest.fixture
def brand(sql: Sql) -> dict[str, Any]:
    """Somebody at two locations, with skills and services, of which one needs a room, and filters for all of that."""
    supply = Supply(sql)
    ada, here, there = supply.provider(), supply.location(), supply.location("There")
    cut, colour, bleach, perm = (supply.service(name) for name in ("Cut", "Colour", "Bleach", "Perm"))
    long = supply.service("Long", duration=timedelta(hours=2))
    for service, location in ((cut, None), (colour, there), (bleach, here), (long, None)):
        supply.offer(ada, service, location)
    care, art = supply.skill(f"Care {ada}", ada), supply.skill(f"Art {ada}", needed_by=bleach)
    room, hall = supply.resource("Room", cut), supply.resource("Hall", colour)
    day = soon(4, 10)
    appointments = [
        supply.appointment(ada, day),
        supply.appointment(ada, day + timedelta(days=1), 90, location_id=here),
        supply.appointment(ada, day + timedelta(days=2), 150, location_id=there),
        supply.appointment(ada, day + timedelta(days=3), service_id=cut),
    ]
    filters = {
        **{
            name: {"serviceId": each}
            for name, each in {"cut": cut, "colour": colour, "perm": perm, "long": long}.items()
        },
        **{name: {"locationId": each} for name, each in {"here": here, "there": there}.items()},
        **{name: {"skillIds": each} for name, each in {"care": [care], "art": [art], "both": [care, art]}.items()},
        **{name: {"resourceId": each} for name, each in {"room": room, "hall": hall}.items()},
        "bleach": {"serviceId": bleach, "locationId": here},
        "cut in the room": {"serviceId": cut, "resourceId": room},
        "cut in the hall": {"serviceId": cut, "resourceId": hall},
        "colour in the hall": {"serviceId": colour, "resourceId": hall, "minimumMinutes": 60},
        "over an hour": {"minimumMinutes": 61},
        "a cut at ten": {"serviceId": cut, "timeOfDay": {"from": "10:00", "until": "10:01"}, "timeZone": "UTC"},
        "a cut in Tokyo": {
            "serviceId": cut,
            "timeOfDay": {"from": "10:00", "until": "19:01"},
            "timeZone": "Asia/Tokyo",
        },
        "a late cut": {"serviceId": cut, "startsAt": {"from": (day + timedelta(days=2)).isoformat()}},
    }
    return {"filters": filters, "appointments": appointments, "provider": ada}


async def test_a_change_is_heard_by_those_filters_that_find_it_and_read_once_for_all(
    api: Api, sql: Sql, brand: dict[str, Any]
) -> None:
    theirs, found = {"providerIds": [brand["provider"]]}, set()
    for name, chosen in brand["filters"].items():
        nodes = (await api(FIND, f={**theirs, **chosen}))["appointments"]["nodes"]
        found |= {(name, node["startsAt"]) for node in nodes}
    client = await api.client()
    await relayed(sql)
    line = await begun(api)
    await listen(api, line, **brand["filters"])
    api.statements.clear()

    for each in brand["appointments"]:
        await api.reserve(client, each)

    told = [
        (each["id"], each["payload"]["data"]["availabilityChanged"]["startsAt"])
        for each in await heard(line, len(found))
    ]
    assert sorted(told) == sorted(found)
    assert {name for name, _ in found} == set(brand["filters"]) - NEVER
    assert sum("FROM provider_skills" in each and "SELECT provider_skills" in each for each in api.statements) == 4


async def test_what_is_published_at_once_is_heard_by_those_filters_that_find_some_of_it(
    api: Api, sql: Sql, brand: dict[str, Any]
) -> None:
    ada, filters = key(brand["provider"]), brand["filters"]
    sql("DELETE FROM appointments WHERE provider_id = %s", ada)
    await relayed(sql)
    line = await begun(api)
    await listen(api, line, **filters)

    sql(
        "INSERT INTO appointments (business_id, provider_id, starts_at, ends_at) SELECT %s, %s, t, t + interval '1 hour'"
        " FROM generate_series(%s, %s, interval '1 hour') t",
        *(DEFAULT_BUSINESS, ada, soon(5, 7), soon(5, 11)),
    )

    found = set()
    for each, chosen in filters.items():
        if (await api(FIND, f={"providerIds": [brand["provider"]], **chosen}))["appointments"]["nodes"]:
            found.add(each)
    assert {each["id"] for each in await heard(line, len(found))} == found
    assert 2 < len(found) < len(filters)


async def test_somebody_hears_so_many_different_things(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_OF_ONE", 2)
    one, another = await begun(api), await begun(api)
    await listen(api, one, first={"minimumMinutes": 1}, second={"minimumMinutes": 2})
    await listen(api, another, same={"minimumMinutes": 1})
    another.say("subscribe", id="third", payload={"query": LISTEN, "variables": {"f": {"minimumMinutes": 3}}})
    refused = await another.hear()
    one.say("complete", id="second")
    await listen(api, another, third={"minimumMinutes": 3})

    (error,) = refused["payload"]
    assert (refused["type"], error["extensions"]["code"]) == ("error", "TOO_MANY_SUBSCRIPTIONS")
    assert error["message"] == "You have 2 different subscriptions already; complete one first."
    assert len(state(api).feeds.open) == 2


async def test_a_process_has_so_many_different_feeds(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_FEEDS", 1)
    line = await begun(api)
    await listen(api, line, first={"minimumMinutes": 1}, same={"minimumMinutes": 1})
    line.say("subscribe", id="second", payload={"query": LISTEN, "variables": {"f": {"minimumMinutes": 2}}})

    assert (await line.hear())["payload"][0]["extensions"]["code"] == "UNAVAILABLE"


async def test_each_answer_is_paid_for_by_whoever_hears_it(api: Api, sql: Sql) -> None:
    line = await begun(api)
    provider, client = await api.provider(), await api.client()
    first, second, third, *_ = await api.publish(provider, "2027-05-03T07:00:00Z", "2027-05-03T10:00:00Z")
    await relayed(sql)
    await listen(api, line, one={"providerIds": [provider]})
    for each in (first, second):
        await api.reserve(client, each)
    told = await heard(line, 2)
    state(api).gate.rate = Rate(1, 1, window=10**6)
    sql("DELETE FROM appointments WHERE id = %s", key(third))
    last = await line.hear()
    sql("DELETE FROM appointments WHERE provider_id = %s AND starts_at > '2027-05-03 08:00Z'", key(provider))
    ended = [await line.hear(), await line.hear()]

    assert [each["type"] for each in told] == ["next", "next"]
    assert last["type"] == "next"
    assert [each["type"] for each in ended] == ["next", "error"]
    assert ended[-1]["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert not state(api).feeds.open
    assert not state(api).feeds.heard


async def test_a_database_that_is_busy_for_a_moment_ends_nothing(
    api: Api, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = await api.provider()
    (first, *_) = await api.publish(provider, "2027-05-03T07:00:00Z", "2027-05-03T08:00:00Z")
    await relayed(sql)
    line = await begun(api)
    await listen(api, line, one={"providerIds": [provider], "minimumMinutes": 1})
    tries: list[Any] = []
    read = signals._known

    async def known(context: Any, change: Any) -> Any:
        tries.append(change)
        if len(tries) == 1:
            raise Busy
        return await read(context, change)

    monkeypatch.setattr(signals, "_known", known)
    await api.reserve(await api.client(), first)

    told = await line.hear()
    assert (told["type"], told["payload"]["data"]["availabilityChanged"]["reason"]) == ("next", "HELD")
    assert len(tries) == 2


async def test_nothing_from_before_is_told_to_whoever_begins_while_the_connection_breaks(api: Api, sql: Sql) -> None:
    await api.publish(await api.provider(), "2027-05-03T07:00:00Z", "2027-05-03T08:00:00Z")
    await relayed(sql)
    listener: Listener = state(api).signals
    following = await listener.follow(DEFAULT_BUSINESS, lambda _: True, _everything)
    following.audience.floor = None  # as if it were still being found out

    await listener._catch_up(DEFAULT_BUSINESS)

    assert not following.signals
    assert following.audience.floor == sql("SELECT max(position) FROM events")[0][0]


async def _everything(signal: Any) -> list[Any]:
    return [signal]
