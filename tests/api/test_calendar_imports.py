"""Imported calendars: when a provider is busy elsewhere, nobody is offered their time here, whatever is sent for a calendar."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from models.calendar_import import MOST_IMPORTS
from models.foreign_event import UnreadableError
from models.refusal import AppointmentWithdrawn
from models.viewer import Role
from server import calendar_reader
from server.settings import Settings
from server.workers import calendars
from tests.conftest import Api, serving
from tests.keys import OTHER, another_business, bearer
from tests.schedules import Sql, change, made, refusals
from tests.supply import soon

LOOPBACK = "127.0.0.0/8"
CREATE = """mutation ($input: CalendarImportCreateInput!) { calendarImportCreate(input: $input) {
  calendarImport { id host busyCount version lastFetchedAt lastError provider { id } } userErrors { code field message } } }"""
DELETE = """mutation ($input: CalendarImportDeleteInput!) { calendarImportDelete(input: $input) {
  deletedId published { created kept removed } userErrors { code field } } }"""
LISTED = "{ calendarImports { nodes { id host busyCount version changedAt lastFetchedAt lastError } } }"
AWAY = "{ timeOffs { nodes { id startsAt endsAt reason source version } } }"
STORED = "SELECT id, xmin::text, starts_at, ends_at FROM time_off WHERE import_id IS NOT NULL ORDER BY starts_at"
DUE = "UPDATE calendar_imports SET due_at = clock_timestamp()"
HOUR = timedelta(hours=1)
STARTS = soon(3, 9)


def event(starts: datetime, uid: str = "1", more: str = "", length: timedelta = HOUR) -> str:
    """An event, as another program writes it."""
    times = f"DTSTART:{starts:%Y%m%dT%H%M%SZ}\nDTEND:{starts + length:%Y%m%dT%H%M%SZ}"
    return f"BEGIN:VEVENT\nUID:{uid}\nSUMMARY:Dentist\n{times}\n{more}\nEND:VEVENT\n".replace("\n\n", "\n")


def calendar(*events: str) -> bytes:
    text = f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:-//Elsewhere//EN\n{''.join(events)}END:VCALENDAR\n"
    return text.replace("\n", "\r\n").encode()


@dataclass
class Elsewhere:
    """A server that has a calendar."""

    body: bytes = calendar()
    status: str = "200 OK"
    headers: dict[str, str] = field(default_factory=dict)
    is_endless: bool = False
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/ada.ics?token=a-secret"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = [line.partition(": ") for line in lines[1:] if line]
        self.asked.append({name.lower(): value for name, _, value in pairs} | {"": lines[0]})
        told = {"content-type": "text/calendar", "connection": "close", **self.headers}
        if not self.is_endless:
            told["content-length"] = str(len(self.body))
        head = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        try:
            writer.write(f"HTTP/1.1 {self.status}\r\n{head}\r\n".encode() + self.body)
            while self.is_endless:
                writer.write(b"X-NOTHING:yet\r\n" * 1000)
                await writer.drain()
            await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@pytest.fixture
async def elsewhere(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Elsewhere]:
    monkeypatch.setattr(calendars, "current", lambda: Settings.read({"ALLOWED_NETWORKS": LOOPBACK}))
    made = Elsewhere()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


@pytest.fixture
async def api(database: str) -> AsyncIterator[Api]:
    """The API of an operator who lets it call this machine."""
    async with serving(database, ALLOWED_NETWORKS=LOOPBACK) as client:
        yield client


async def work(api: Api) -> dict[str, int]:
    return await calendars.run_once(api.database, asyncio.Event())


async def again(api: Api, sql: Sql) -> dict[str, int]:
    """Some minutes later."""
    sql(DUE)
    return await work(api)


async def imported(api: Api, provider: str, url: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
    answer = await api.post(CREATE, headers, input={"providerId": provider, "url": url, **more})
    assert "errors" not in answer, answer["errors"]
    return answer["data"]["calendarImportCreate"]


async def listed(api: Api) -> Any:
    (only,) = (await api(LISTED))["calendarImports"]["nodes"]
    return only


async def test_busy_times_are_time_off_until_they_go(api: Api, sql: Sql, elsewhere: Elsewhere) -> None:
    ada = await api.provider()
    await api.publish(ada, STARTS.isoformat(), (STARTS + 4 * HOUR).isoformat(), slotMinutes=60)
    elsewhere.body = calendar(event(STARTS + HOUR / 2), event(STARTS + 9 * HOUR, "2"))
    free = "{ availableAppointments { nodes { startsAt } } }"

    created = await imported(api, ada, elsewhere.url)
    before, first = await listed(api), await work(api)
    after, away, offered = await listed(api), (await api(AWAY))["timeOffs"]["nodes"], await api(free)
    elsewhere.body = calendar(event(STARTS + 9 * HOUR, "2"))
    second, back = await again(api, sql), await api(free)

    assert created["calendarImport"] | {"id": ""} == {
        "id": "", "host": "127.0.0.1", "busyCount": 0, "version": 1, "lastFetchedAt": None, "lastError": None,
        "provider": {"id": ada},
    }  # fmt: skip
    assert before["lastFetchedAt"] is None
    assert first == {"fetched": 1, "changed": 1, "unreadable": 0}
    assert (after["busyCount"], after["version"], after["lastError"]) == (2, 2, None)
    assert [(each["startsAt"], each["source"], each["reason"]) for each in away] == [
        (f"{STARTS + HOUR / 2:%Y-%m-%dT%H:%M:%SZ}", "IMPORTED", None),
        (f"{STARTS + 9 * HOUR:%Y-%m-%dT%H:%M:%SZ}", "IMPORTED", None),
    ]
    assert [len(each["availableAppointments"]["nodes"]) for each in (offered, back)] == [2, 4]
    assert second == {"fetched": 1, "changed": 1, "unreadable": 0}
    assert sql("SELECT type, count(*) FROM events WHERE type ~ 'time_off|calendar' GROUP BY 1 ORDER BY 1") == [
        ("scheduling.calendar_import.created.v1", 1),
        ("scheduling.calendar_import.updated.v1", 2),
    ]


async def test_what_rules_make_yields_and_comes_back(api: Api, sql: Sql, elsewhere: Elsewhere) -> None:
    ada = await api.provider()
    day = STARTS.date().isoformat()
    hours = {"start": "09:00", "end": "12:00", "slotMinutes": 60, "timeZone": "UTC"}
    await made(api, "availabilityRuleCreate", providerId=ada, validFrom=day, validUntil=day, **hours)
    elsewhere.body = calendar(event(STARTS + HOUR))
    count = "SELECT count(*) FROM appointments WHERE withdrawn_at IS NULL"

    imports = await imported(api, ada, elsewhere.url)
    await work(api)
    busy = sql(count)
    deleted = (await api(DELETE, input={"id": imports["calendarImport"]["id"]}))["calendarImportDelete"]

    assert busy == [(2,)]
    assert deleted["published"] == {"created": 1, "kept": 2, "removed": 0}
    assert (sql(count), sql(STORED), sql("SELECT count(*) FROM calendar_imports")) == ([(3,)], [], [(0,)])


async def test_what_has_not_changed_is_not_touched(api: Api, sql: Sql, elsewhere: Elsewhere) -> None:
    ada = await api.provider()
    elsewhere.body = calendar(event(STARTS), event(STARTS + 2 * HOUR, "2"))
    elsewhere.headers = {"etag": '"one"', "last-modified": "Mon, 01 Mar 2027 12:00:00 GMT"}
    await imported(api, ada, elsewhere.url)
    await work(api)
    stored, known = sql(STORED), await listed(api)

    elsewhere.body, elsewhere.status = b"", "304 Not Modified"
    unchanged = await again(api, sql)
    elsewhere.status, elsewhere.body = "200 OK", calendar(event(STARTS + 2 * HOUR, "9"), event(STARTS, "1", "X-NEW:1"))
    reordered = await again(api, sql)
    elsewhere.body = calendar(event(STARTS), event(STARTS + 3 * HOUR, "2"))
    moved = await again(api, sql)

    assert [each.get("if-none-match") for each in elsewhere.asked] == [None, '"one"', '"one"', '"one"']
    assert elsewhere.asked[1]["if-modified-since"] == "Mon, 01 Mar 2027 12:00:00 GMT"
    assert elsewhere.asked[0]["accept-encoding"] == "identity"
    assert (unchanged["changed"], reordered["changed"], moved["changed"]) == (0, 0, 1)
    assert sql(STORED)[0] == stored[0]
    assert (known["version"], (await listed(api))["version"]) == (2, 3)


async def test_a_calendar_is_read_anew_each_day_and_in_another_zone(api: Api, sql: Sql, elsewhere: Elsewhere) -> None:
    ada = await api.provider()
    elsewhere.headers = {"etag": '"one"'}
    floating = f"BEGIN:VEVENT\nUID:1\nDTSTART:{STARTS:%Y%m%dT%H%M%S}\nDURATION:PT1H\nEND:VEVENT\n"
    elsewhere.body = calendar(floating)
    await imported(api, ada, elsewhere.url)
    await work(api)

    sql("UPDATE providers SET time_zone = 'Asia/Kathmandu'")
    await again(api, sql)
    sql("UPDATE calendar_imports SET read_for = replace(read_for, '-', '/')")
    await again(api, sql)

    assert [each.get("if-none-match") for each in elsewhere.asked] == [None, None, None]
    assert [starts for _, _, starts, _ in sql(STORED)] == [STARTS - timedelta(hours=5, minutes=45)]


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("not a calendar", {"body": b"<html>Sign in</html>"}, "This is not a calendar (RFC 5545)."),
    ("gone", {"status": "404 Not Found"}, "The server of the calendar answered with the status 404."),
    (
        "a redirect",
        {"status": "302 Found", "headers": {"location": "http://169.254.169.254/"}},
        "The server of the calendar answered with the status 302.",
    ),
    ("three megabytes", {"body": calendar(event(STARTS)) * 25_000}, "The calendar is larger than 2 MB."),
    ("an endless one", {"is_endless": True}, "The calendar is larger than 2 MB."),
    (
        "a bomb",
        {"body": gzip.compress(bytes(50_000_000)), "headers": {"content-encoding": "gzip"}},
        "The server of the calendar sent it packed, which was not asked for.",
    ),
    (
        "not changed, unasked",
        {"status": "304 Not Modified"},
        "The server of the calendar answered with the status 304.",
    ),
    (
        "an unknown zone",
        {"body": calendar("BEGIN:VEVENT\nUID:1\nDTSTART;TZID=Mars/Olympus:20270302T090000\nEND:VEVENT\n")},
        "The calendar does not tell what its time zone 'Mars/Olympus' is.",
    ),
]


async def test_a_bad_answer_changes_nothing_and_says_why(api: Api, sql: Sql, elsewhere: Elsewhere) -> None:
    ada = await api.provider()
    good = {"body": calendar(event(STARTS)), "status": "200 OK", "headers": {}, "is_endless": False}
    vars(elsewhere).update(good)
    await imported(api, ada, elsewhere.url)
    await work(api)
    stored = sql(STORED)

    for name, bad, sentence in BAD:
        sql("UPDATE calendar_imports SET read_for = 'yesterday'")
        vars(elsewhere).update(good | bad)

        done = await again(api, sql)

        told = await listed(api)
        waits = sql("SELECT due_at > clock_timestamp() + interval '4 minutes', claimed_until FROM calendar_imports")
        assert done == {"fetched": 0, "changed": 0, "unreadable": 1}, name
        assert (told["lastError"], told["busyCount"]) == (sentence, 1)
        assert waits == [(True, None)]
        assert sql(STORED) == stored
    vars(elsewhere).update(good)
    healed = await again(api, sql)

    assert (healed["fetched"], (await listed(api))["lastError"]) == (1, None)


async def test_a_server_that_is_gone_is_asked_ever_more_seldom(api: Api, sql: Sql, elsewhere: Elsewhere) -> None:
    ada = await api.provider()
    await imported(api, ada, "http://127.0.0.1:1/ada.ics")
    waits = []

    for _ in range(9):
        await again(api, sql)
        ((seconds,),) = sql("SELECT extract(epoch FROM due_at - clock_timestamp()) FROM calendar_imports")
        waits.append(round(float(seconds) / 300))

    assert (await listed(api))["lastError"] == "127.0.0.1 cannot be connected to."
    assert all(2**n - 1 <= wait <= 2**n * 1.3 for n, wait in enumerate(waits[:7]))
    assert max(waits) <= 77


async def test_a_rule_that_never_comes_true_ends_in_time(
    api: Api, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendar_reader, "SECONDS", 1)
    ada = await api.provider()
    never = "RRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30"
    elsewhere.body = calendar(*(event(STARTS, str(n), never) for n in range(50)))
    await imported(api, ada, elsewhere.url)

    done = await work(api)

    assert done["unreadable"] == 1
    assert (await listed(api))["lastError"] == "The calendar takes too long to be read."


async def test_a_moved_event_of_a_series_moves_its_time_off_alone(api: Api, sql: Sql, elsewhere: Elsewhere) -> None:
    ada = await api.provider()
    series = event(STARTS, "1", "RRULE:FREQ=DAILY;COUNT=3")
    elsewhere.body = calendar(series)
    await imported(api, ada, elsewhere.url)
    await work(api)
    before = sql(STORED)

    second = STARTS + timedelta(days=1)
    elsewhere.body = calendar(series, event(second + 2 * HOUR, "1", f"RECURRENCE-ID:{second:%Y%m%dT%H%M%SZ}"))
    await again(api, sql)

    after = sql(STORED)
    assert [starts for _, _, starts, _ in before] == [STARTS + timedelta(days=n) for n in range(3)]
    assert [after[0], after[2]] == [before[0], before[2]]
    assert after[1][2] == second + 2 * HOUR


FORBIDDEN = (
    *(
        "http://calendar.example.com/x.ics",
        "https://169.254.169.254/latest",
        "https://localhost/x.ics",
        "https://[::1]/",
    ),
    *("https://10.0.0.1/x.ics", "https://2130706433/x.ics", "https://0x7f.1/x.ics", "https://127.1/x.ics"),
    *(
        "https://user:word@calendar.example.com/",
        "ftp://calendar.example.com/",
        "file:///etc/passwd",
        "webcal://10.0.0.1/",
    ),
    *(
        "https://calendar.example.com/\r\nHost: x",
        "https://calendar.example.com:22/",
        "",
        "x" * 3000,
        "https://metadata.internal/",
    ),
)


async def test_an_address_that_not_everybody_can_reach_is_refused(database: str, sql: Sql) -> None:
    async with serving(database) as api:
        ada = await api.provider()

        refused = [(await imported(api, ada, url))["userErrors"] for url in FORBIDDEN]

    told = [[(each["code"], each["field"]) for each in errors] for errors in refused]
    assert told == [[("INVALID_INPUT", ["url"])]] * len(FORBIDDEN)
    assert sql("SELECT count(*) FROM calendar_imports") == [(0,)]


async def test_a_name_that_means_this_house_is_never_called(
    database: str, sql: Sql, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calendars, "current", lambda: Settings.read({}))
    async with serving(database, ALLOWED_NETWORKS=LOOPBACK) as api:
        await imported(api, await api.provider(), elsewhere.url)
        await work(api)

        told = await listed(api)

    assert told["lastError"] == "127.0.0.1 is an address of a private network, which is not called."
    assert (elsewhere.asked, sql(STORED)) == ([], [])


async def test_webcal_is_https(database: str, sql: Sql) -> None:
    async with serving(database) as api:
        done = await imported(api, await api.provider(), "webcal://Calendar.Example.com/ada.ics?key=x")

    assert done["calendarImport"]["host"] == "calendar.example.com"
    assert sql("SELECT url FROM calendar_imports") == [("https://calendar.example.com/ada.ics?key=x",)]


async def test_an_imported_time_is_changed_in_its_own_calendar(api: Api, sql: Sql, elsewhere: Elsewhere) -> None:
    ada = await api.provider()
    elsewhere.body = calendar(event(STARTS))
    await imported(api, ada, elsewhere.url)
    await work(api)
    (away,) = (await api(AWAY))["timeOffs"]["nodes"]
    stored = sql(STORED)

    updated = await change(api, "timeOffUpdate", id=away["id"], expectedVersion=1, reason="a knee")
    deleted = await change(api, "timeOffDelete", id=away["id"])

    assert [refusals(each) for each in (updated, deleted)] == [[("FORBIDDEN", "id")]] * 2
    assert updated["userErrors"][0]["message"] == (
        "This is the busy time of an imported calendar: change it there, or delete the import."
    )
    assert sql(STORED) == stored


async def test_a_provider_manages_their_own_and_another_business_nobodys(
    api: Api, sql: Sql, elsewhere: Elsewhere
) -> None:
    another_business(sql)
    ada, grace = await api.provider(), await api.provider("Grace", "Hopper")
    provider = await bearer(api, Role.PROVIDER, person=ada)
    theirs = await bearer(api, Role.ADMIN, business=OTHER)

    own = await imported(api, ada, elsewhere.url, provider)
    tried = [
        await imported(api, who, elsewhere.url, by) for who, by in ((grace, provider), (ada, theirs), (grace, theirs))
    ]
    of_grace = (await imported(api, grace, elsewhere.url))["calendarImport"]["id"]
    deleted = [await api.post(DELETE, by, input={"id": of_grace}) for by in (provider, theirs)]
    seen = [(await api.post(LISTED, by))["data"]["calendarImports"]["nodes"] for by in (provider, theirs)]

    assert own["userErrors"] == []
    assert [each["userErrors"][0]["code"] for each in tried] == ["FORBIDDEN", "NOT_FOUND", "NOT_FOUND"]
    assert [each["data"]["calendarImportDelete"]["userErrors"][0]["code"] for each in deleted] == ["NOT_FOUND"] * 2
    assert [[each["id"] for each in rows] for rows in seen] == [[own["calendarImport"]["id"]], []]


async def test_a_provider_has_so_many_imports_each_once(api: Api, sql: Sql, elsewhere: Elsewhere) -> None:
    ada = await api.provider()

    for n in range(MOST_IMPORTS - 1):
        assert (await imported(api, ada, f"{elsewhere.url}{n}", idempotencyKey=f"{n}"))["userErrors"] == []
    replayed = await imported(api, ada, f"{elsewhere.url}0", idempotencyKey="0")
    twice = await imported(api, ada, f"{elsewhere.url}0")
    last, too_many = await imported(api, ada, elsewhere.url), await imported(api, ada, f"{elsewhere.url}x")

    assert replayed["calendarImport"] is not None
    assert [(each["code"], each["field"]) for each in twice["userErrors"]] == [("ALREADY_EXISTS", ["url"])]
    assert last["userErrors"] == []
    assert [each["code"] for each in too_many["userErrors"]] == ["INVALID_INPUT"]
    assert sql("SELECT count(*) FROM calendar_imports") == [(MOST_IMPORTS,)]


async def test_two_workers_at_once_read_each_calendar_once(api: Api, sql: Sql, elsewhere: Elsewhere) -> None:
    elsewhere.body = calendar(event(STARTS))
    for n in range(6):
        await imported(api, await api.provider(f"Ada {n}"), elsewhere.url)

    done = await asyncio.gather(work(api), work(api), work(api))

    assert sum(each["fetched"] for each in done) == len(elsewhere.asked) == 6
    assert sum(each["changed"] for each in done) == 6
    assert len(sql(STORED)) == 6


async def test_a_business_with_many_calendars_keeps_no_other_waiting(api: Api, sql: Sql) -> None:
    businesses = [UUID(int=n + 1) for n in range(4)]
    for n, business in enumerate(businesses):
        sql("INSERT INTO businesses (id, name) VALUES (%s, 'One of several')", business)
        sql(
            "WITH p AS (INSERT INTO providers (business_id, first_name, last_name) VALUES (%s, 'A', 'B') RETURNING *)"
            " INSERT INTO calendar_imports (business_id, provider_id, url, host, due_at) SELECT business_id, id,"
            " 'https://a.example/' || n, 'a.example', clock_timestamp() - interval '1 day' + n * interval '1 min'"
            " FROM p, generate_series(1, %s) n",
            business,
            2 if n == len(businesses) - 1 else 9,  # the last has few, which have been due for the shortest
        )

    claimed = [
        [business for (business,) in sql("SELECT business_id FROM claim_calendar_imports(2, 60)")] for _ in range(5)
    ]

    assert [sorted(each) for each in claimed] == [*2 * [businesses[:2], businesses[2:]], businesses[:2]]


async def test_what_takes_long_to_be_read_is_read_once_an_hour(
    api: Api, sql: Sql, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    await imported(api, await api.provider(), elsewhere.url)
    slow = UnreadableError("The calendar takes too long to be read.")
    slow.seconds = 10.0
    answers: list[Any] = [([], 2.9), ([(STARTS, STARTS + HOUR)], 3.1), slow]

    async def read(*_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(calendars, "read", read)
    waits = []
    for n in range(3):
        elsewhere.body = calendar(event(STARTS, str(n)))
        await again(api, sql)
        ((minutes,),) = sql("SELECT extract(epoch FROM due_at - clock_timestamp())::float / 60 FROM calendar_imports")
        waits.append(minutes)

    assert 4.9 < waits[0] < 6.1
    assert all(59 < minutes < 73 for minutes in waits[1:])


async def test_two_calendars_are_read_at_once_and_no_more(
    api: Api, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, most = 0, 0

    async def read(*_: Any) -> Any:
        nonlocal reading, most
        reading += 1
        most = max(most, reading)
        await asyncio.sleep(0.05)
        reading -= 1
        return [], 0.0

    monkeypatch.setattr(calendars, "read", read)
    for n in range(4):
        await imported(api, await api.provider(f"Ada {n}"), elsewhere.url)

    done = await work(api)

    assert (done["fetched"], most) == (4, 2)


async def test_whoever_is_late_changes_nothing(
    api: Api, sql: Sql, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = await api.provider()
    elsewhere.body = calendar(event(STARTS))
    imports = (await imported(api, ada, elsewhere.url))["calendarImport"]["id"]

    async def slow(content: bytes, today: date, zone: str) -> Any:
        answer = await calendar_reader.read(content, today, zone)
        await api(DELETE, input={"id": imports})
        return answer

    monkeypatch.setattr(calendars, "read", slow)
    await work(api)

    assert (sql(STORED), sql("SELECT count(*) FROM calendar_imports")) == ([], [(0,)])


@pytest.mark.parametrize("lag", [0.0, 0.004, 0.016])
async def test_of_a_reservation_and_a_busy_time_at_once_there_is_no_third(
    api: Api, sql: Sql, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch, lag: float
) -> None:
    ada, charles = await api.provider(), await api.client()
    times = await api.publish(ada, STARTS.isoformat(), (STARTS + 4 * HOUR).isoformat(), slotMinutes=60)
    await imported(api, ada, elsewhere.url)

    async def read(*_: Any) -> tuple[list[tuple[datetime, datetime]], float]:
        return [(STARTS, STARTS + 4 * HOUR)], 0.0

    monkeypatch.setattr(calendars, "read", read)

    async def reserve(time: str, wait: float) -> Any:
        await asyncio.sleep(wait)
        return await api.reserve(charles, time)

    done, *asked = await asyncio.gather(work(api), *(reserve(time, n * lag) for n, time in enumerate(times)))

    made = [each for each in asked if each["reservation"]]
    refused = [each["userErrors"][0]["code"] for each in asked if not each["reservation"]]
    affected = "SELECT count(*) FROM reservations r JOIN appointments a ON a.id = r.appointment_id WHERE a.withdrawn_at IS NOT NULL"
    assert done["changed"] == 1
    assert set(refused) <= {AppointmentWithdrawn.code}
    assert sql(affected) == [(len(made),)]
    assert sql("SELECT count(*) FROM appointments WHERE withdrawn_at IS NULL") == [(0,)]
