"""Calendar feeds: what other programs read of a provider and of a client, by a secret address, and of nobody else."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest
from icalendar import Calendar

from models.calendar_feed import MOST_FEEDS, hash_of
from models.node_id import encode
from models.viewer import Role
from tests.conftest import Api, serving
from tests.keys import OTHER, another_business, bearer, send
from tests.schedules import NOTHING, Sql, key
from tests.supply import Supply, soon

CREATE = """mutation ($input: CalendarFeedCreateInput!) { calendarFeedCreate(input: $input) {
  url calendarFeed { id revokedAt version provider { id } client { id } } userErrors { code field message } } }"""
REVOKE = """mutation ($input: CalendarFeedRevokeInput!) { calendarFeedRevoke(input: $input) {
  calendarFeed { id revokedAt version } userErrors { code field } } }"""
LISTED = "{ calendarFeeds { totalCount nodes { id revokedAt } } }"
FILE = "query ($id: ID!) { reservation(id: $id) { calendarFile } }"
BASE = "http://localhost:8000/calendars/"
ADA = "Ada Lovelace"
# Past every rule: so that it is long ago, or far ahead.
MOVED = """
WITH at AS (SELECT %s::timestamptz AS start)
UPDATE reservations r SET status = 'CONFIRMED', starts_at = start, ends_at = start + interval '1 hour',
       busy_from = start, busy_until = start + interval '1 hour', created_at = start - interval '2 days',
       scheduled_at = start - interval '2 days', confirmed_at = start - interval '2 days',
       expires_at = start - interval '1 day' FROM at"""


async def made(api: Api, headers: dict[str, str] | None = None, **wanted: Any) -> Any:
    answer = await api.post(CREATE, headers, input=wanted)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]["calendarFeedCreate"]


async def path(api: Api, **wanted: Any) -> str:
    """Make a feed; the path of its address."""
    url = (await made(api, **wanted))["url"]
    assert url.startswith(BASE)
    return str(url.removeprefix("http://localhost:8000"))


def shown(response: httpx2.Response) -> list[tuple[str, str, int, str]]:
    """What stands in a feed."""
    assert response.status_code == 200, response.text
    events: Any = Calendar.from_ical(response.content).walk("VEVENT")
    return [(event["SUMMARY"], event["STATUS"], event["SEQUENCE"], event.get("LOCATION")) for event in events]


async def booked(api: Api, sql: Sql, starts: datetime | None = None) -> tuple[str, str, str]:
    """A provider, a client, and what the one has of the other: a haircut in a shop."""
    supply = Supply(sql)
    ada, charles = await api.provider(), await api.client()
    shop, cut = supply.location("Shop; Berlin"), supply.service("Haircut")
    supply.offer(ada, cut)
    time = supply.appointment(ada, starts or soon(), service_id=cut, location_id=shop)
    reservation = (await api.reserve(charles, time, note="please be quiet"))["reservation"]["id"]
    return ada, charles, reservation


async def test_a_feed_shows_each_of_them_the_other(api: Api, sql: Sql) -> None:
    ada, charles, reservation = await booked(api, sql)
    of_ada, of_charles = await path(api, providerId=ada), await path(api, clientId=charles)
    held = shown(await api.http.get(of_ada)), shown(await api.http.get(of_charles))

    await api.confirm(reservation)

    confirmed = await api.http.get(of_ada), await api.http.get(of_charles)
    assert held == (
        [("Haircut: Charles", "TENTATIVE", 0, "Shop; Berlin")],
        [("Haircut with Ada Lovelace", "TENTATIVE", 0, "Shop; Berlin")],
    )
    assert [shown(each) for each in confirmed] == [
        [("Haircut: Charles", "CONFIRMED", 1, "Shop; Berlin")],
        [("Haircut with Ada Lovelace", "CONFIRMED", 1, "Shop; Berlin")],
    ]
    assert [Calendar.from_ical(each.content)["X-WR-CALNAME"] for each in confirmed] == [ADA, "Holdfast"]
    for each in confirmed:
        assert f"UID:{key(reservation)}@holdfast".encode() in each.content
        assert b"quiet" not in each.content
        assert b"Babbage" not in each.content


async def test_what_was_cancelled_stays_for_thirty_days_and_what_lapsed_goes(api: Api, sql: Sql) -> None:
    ada, _, reservation = await booked(api, sql)
    feed = await path(api, providerId=ada)
    await api.confirm(reservation)

    await api.cancel(reservation)
    after = shown(await api.http.get(feed))
    sql("SET session_replication_role = replica")
    sql("UPDATE reservations SET cancelled_at = clock_timestamp() - interval '30 days 1 minute'")
    later = shown(await api.http.get(feed))
    sql("UPDATE reservations SET status = 'HELD', cancelled_at = NULL, confirmed_at = NULL,"
        " expires_at = clock_timestamp() - interval '1 second', created_at = clock_timestamp() - interval '1 hour'")  # fmt: skip
    lapsed = shown(await api.http.get(feed))

    assert after == [("Haircut: Charles", "CANCELLED", 2, "Shop; Berlin")]
    assert (later, lapsed) == ([], [])


async def test_a_feed_reaches_ninety_days_back_and_a_year_ahead(api: Api, sql: Sql) -> None:
    ada, _, _ = await booked(api, sql)
    feed = await path(api, providerId=ada)
    now, found = datetime.now(UTC), []
    sql("SET session_replication_role = replica")

    for starts in (
        timedelta(days=-90, minutes=-1),
        timedelta(days=-89),
        timedelta(days=365),
        timedelta(days=366, minutes=1),
    ):
        sql(MOVED, now + starts)
        found.append(len(shown(await api.http.get(feed))))

    assert found == [0, 1, 1, 0]


async def test_what_has_not_changed_is_not_sent_again(api: Api, sql: Sql) -> None:
    ada, _, reservation = await booked(api, sql)
    feed = await path(api, providerId=ada)

    first = await api.http.get(feed)
    tag = first.headers["etag"]
    same = await api.http.get(feed, headers={"if-none-match": tag})
    packed = await api.http.get(feed, headers={"if-none-match": f'"x", W/{tag}'})
    head = await api.http.head(feed)
    await api.confirm(reservation)
    other = await api.http.get(feed, headers={"if-none-match": tag})

    assert first.headers["content-type"] == "text/calendar; charset=utf-8"
    assert first.headers["cache-control"] == "private, max-age=300"
    assert tag.startswith('"')
    assert [(each.status_code, each.content, each.headers["etag"]) for each in (same, packed)] == [(304, b"", tag)] * 2
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", tag)
    assert head.headers["content-length"] == str(len(first.content))
    assert (other.status_code, other.headers["etag"] == tag) == (200, False)


async def test_a_secret_is_shown_once_and_only_its_hash_is_kept(api: Api, sql: Sql) -> None:
    ada = await api.provider()

    feed = await made(api, providerId=ada)

    secret = feed["url"].removeprefix(BASE).removesuffix(".ics")
    assert len(secret) == 43
    assert feed["calendarFeed"] | {"id": ""} == {
        "id": "",
        "revokedAt": None,
        "version": 1,
        "provider": {"id": ada},
        "client": None,
    }
    assert sql("SELECT secret_hash FROM calendar_feeds") == [(hash_of(secret),)]
    assert sql("SELECT count(*) FROM events WHERE data::text || coalesce(diff::text, '') LIKE %s", f"%{secret}%") == [
        (0,)
    ]


async def test_a_revoked_feed_and_one_that_never_was_are_answered_alike(api: Api, sql: Sql) -> None:
    ada, charles, _ = await booked(api, sql)
    feed, live = await made(api, providerId=ada), await path(api, clientId=charles)

    ended = await api(REVOKE, input={"calendarFeedId": feed["calendarFeed"]["id"]})
    again = await api(REVOKE, input={"calendarFeedId": feed["calendarFeed"]["id"]})

    revoked = feed["url"].removeprefix("http://localhost:8000")
    paths = [
        revoked,
        f"/calendars/{'A' * 43}.ics",
        "/calendars/x.ics",
        f"/calendars/{'é' * 50}.ics",
        live[:-5] + "_.ics",
    ]
    answers = [await api.http.get(each, headers={"x-request-id": "same"}) for each in paths]
    assert ended["calendarFeedRevoke"]["calendarFeed"]["revokedAt"] is not None
    assert again == ended
    assert {(each.status_code, each.content) for each in answers} == {(404, answers[0].content)}
    assert answers[0].json()["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert len(shown(await api.http.get(live))) == 1


async def test_the_feed_of_an_erased_client_leads_nowhere(api: Api, sql: Sql) -> None:
    _, charles, _ = await booked(api, sql)
    feed = await path(api, clientId=charles)

    await api("mutation ($id: ID!) { clientErase(input: {clientId: $id}) { client { id } } }", id=charles)

    assert (await api.http.get(feed)).status_code == 404
    assert (await made(api, clientId=charles))["userErrors"][0]["code"] == "NOT_FOUND"


async def test_nobody_makes_or_sees_the_feed_of_another(api: Api, sql: Sql) -> None:
    another_business(sql)
    ada, charles, _ = await booked(api, sql)
    grace, alan = await api.provider("Grace", "Hopper"), await api.client("Alan", "Turing")
    provider = await bearer(api, Role.PROVIDER, person=ada)
    client = await bearer(api, Role.CLIENT, person=charles)
    theirs = await bearer(api, Role.ADMIN, business=OTHER)
    everybody = [{"providerId": ada}, {"providerId": grace}, {"clientId": charles}, {"clientId": alan}]

    tried = {
        name: [[each["code"] for each in (await made(api, headers, **whose))["userErrors"]] for whose in everybody]
        for name, headers in {"provider": provider, "client": client, "theirs": theirs}.items()
    }
    feed = (await made(api, providerId=grace))["calendarFeed"]["id"]
    revoked = [await api.post(REVOKE, each, input={"calendarFeedId": feed}) for each in (provider, client, theirs)]
    listed = [await api.post(LISTED, each) for each in (provider, client, theirs, None)]

    assert tried == {
        "provider": [[], ["FORBIDDEN"], ["FORBIDDEN"], ["NOT_FOUND"]],
        "client": [["FORBIDDEN"], ["FORBIDDEN"], [], ["NOT_FOUND"]],
        "theirs": [["NOT_FOUND"]] * 4,
    }
    assert [each["data"]["calendarFeedRevoke"]["userErrors"][0]["code"] for each in revoked] == ["NOT_FOUND"] * 3
    assert [each["data"]["calendarFeeds"]["totalCount"] for each in listed] == [1, 1, 0, 3]
    assert sql("SELECT count(*) FROM calendar_feeds WHERE revoked_at IS NOT NULL") == [(0,)]


@pytest.mark.parametrize("wanted", [{}, {"providerId": None}, {"providerId": "both", "clientId": "both"}])
async def test_a_feed_is_of_one_person(api: Api, wanted: dict[str, Any]) -> None:
    ids = {"providerId": encode("Provider", NOTHING), "clientId": encode("Client", NOTHING)}

    sent: dict[str, Any] = {name: value and ids[name] for name, value in wanted.items()}
    refused = await made(api, None, **sent)

    assert [(each["code"], each["field"]) for each in refused["userErrors"]] == [("INVALID_INPUT", ["providerId"])]


async def test_a_person_has_so_many_feeds_however_many_are_asked_for_at_once(api: Api, sql: Sql) -> None:
    ada = await api.provider()

    asked = await asyncio.gather(*(made(api, providerId=ada) for _ in range(MOST_FEEDS + 6)))

    assert sorted(len(each["userErrors"]) for each in asked) == [0] * MOST_FEEDS + [1] * 6
    assert sql("SELECT count(*) FROM calendar_feeds") == [(MOST_FEEDS,)]


async def test_a_feed_costs_its_reader_and_refuses_who_asks_too_often(database: str) -> None:
    async with serving(database, API_KEYS="on", RATE_LIMIT_ANONYMOUS="20000") as api:
        for _ in range(400):
            answer = await api.http.get(f"/calendars/{'A' * 43}.ics")
            assert answer.status_code == 404
        refused = await api.http.get(f"/calendars/{'A' * 43}.ics")

    assert (refused.status_code, refused.json()["errors"][0]["extensions"]["code"]) == (429, "RATE_LIMITED")
    assert int(refused.headers["retry-after"]) >= 1


async def test_no_log_tells_a_secret(
    api: Api, sql: Sql, capfdbinary: pytest.CaptureFixture[bytes], caplog: Any
) -> None:
    ada, _, _ = await booked(api, sql)
    feed = await path(api, providerId=ada)
    caplog.set_level("INFO")
    capfdbinary.readouterr()

    await api.http.get(feed)
    await api.http.get(feed.upper().replace("/CALENDARS", "/Calendars"))
    await api.http.post(feed)

    lines = [line for line in capfdbinary.readouterr().err.splitlines() if b'"request"' in line]
    assert [b'"path":"/calendars/..."' in line for line in lines] == [True] * 3
    assert feed[11:30].encode() not in b"".join(lines)


async def test_the_file_of_a_reservation_is_for_whoever_sees_it(api: Api, sql: Sql) -> None:
    starts = datetime(2027, 10, 31, 0, 30, tzinfo=UTC)  # the first 02:30 in Berlin
    _, charles, reservation = await booked(api, sql, starts)
    alan = await api.client("Alan", "Turing")
    mine, others = [await bearer(api, Role.CLIENT, person=each) for each in (charles, alan)]

    file = (await api(FILE, id=reservation))["reservation"]["calendarFile"]
    answers = [await send(api, FILE, each, id=reservation) for each in (mine, others)]

    ((created,),) = sql('SELECT to_char(created_at, \'YYYYMMDD"T"HH24MISS"Z"\') FROM reservations')
    told = ("BEGIN:VEVENT", f"UID:{key(reservation)}@holdfast", f"DTSTAMP:{created}", f"LAST-MODIFIED:{created}",
            "SEQUENCE:0", "DTSTART:20271031T003000Z", "DTEND:20271031T013000Z", "STATUS:TENTATIVE", "TRANSP:OPAQUE",
            "SUMMARY:Haircut with Ada Lovelace", "LOCATION:Shop\\; Berlin", "END:VEVENT")  # fmt: skip
    assert file.split("\r\n")[5:-2] == list(told)
    assert answers[0].json()["data"]["reservation"]["calendarFile"] == file
    assert answers[1].json()["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_the_files_of_a_page_are_one_statement(api: Api, sql: Sql) -> None:
    for _ in range(3):
        await booked(api, sql)
    api.statements.clear()

    answer = await api("{ reservations { nodes { calendarFile } } }")

    assert [each["calendarFile"].count("BEGIN:VEVENT") for each in answer["reservations"]["nodes"]] == [1] * 3
    assert len(api.statements) == 2
