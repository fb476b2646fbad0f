"""Who works when, written past the API, and what is published of it: for tests of generation."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from models.business import DEFAULT_BUSINESS
from models.node_id import decode, encode
from models.viewer import Role, Viewer
from resolvers.context import Context
from resolvers.database import Statements
from resolvers.generation import Outcome, republish
from tests.conftest import Api

Sql = Callable[..., list[tuple[Any, ...]]]
DAY = timedelta(days=1)
ADMIN = Viewer(DEFAULT_BUSINESS, "rota", Role.ADMIN)
GENERATE = """mutation ($input: AppointmentsGenerateInput!) { appointmentsGenerate(input: $input) {
  providers published { created kept removed } affectedCount affectedReservations { id }
  userErrors { code message field ... on TooManyRowsError { found limit } } } }"""
WEEKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
SET_WEEK = """mutation ($input: WeeklyScheduleSetInput!) { weeklyScheduleSet(input: $input) {
  published { created kept removed } affectedReservations { id } userErrors { code message field } } }"""
WAITING = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())"
# Everything there is to know of what is published; a row that is written again has another xmin.
ROWS = "SELECT xmin::text, a.* FROM appointments a ORDER BY provider_id, starts_at"
EVENTS = "SELECT count(*) FROM events WHERE type LIKE 'scheduling.appointment.%'"


def key(identity: str) -> UUID:
    """The key in a node id."""
    _, found = decode(identity)
    return found


def day(ahead: int) -> date:
    """A date so many days from now; tests take it three days ahead at least, so that midnight may pass."""
    return datetime.now(UTC).date() + ahead * DAY


def at(ahead: int, time: str) -> datetime:
    """An instant of such a date, in UTC."""
    return datetime.fromisoformat(f"{day(ahead)}T{time}:00+00:00")


def minutes(window: str) -> tuple[int, int]:
    begins, ends = ([int(part) for part in each.split(":")] for each in window.split("-"))
    return begins[0] * 60 + begins[1], ends[0] * 60 + ends[1]


def insert(sql: Sql, table: str, **values: Any) -> UUID:
    row = {"business_id": DEFAULT_BUSINESS, **values}
    places = ", ".join(["%s"] * len(row))
    ((made,),) = sql(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places}) RETURNING id", *row.values())
    assert isinstance(made, UUID)
    return made


def rule(sql: Sql, provider: str, days: Sequence[int], window: str, slot: int | None = 30, **more: Any) -> UUID:
    """A rule for some dates, so many days from now; in UTC unless told."""
    begins, ends = minutes(window)
    dates = "{" + ",".join(f"[{day(n)},{day(n + 1)})" for n in days) + "}"
    return insert(
        sql,
        "availability_rules",
        provider_id=key(provider),
        dates=dates,
        starts_minute=begins,
        ends_minute=ends,
        **{"slot_minutes": slot, "time_zone": "UTC", **more},
    )


def time_off(sql: Sql, provider: str, starts: datetime, ends: datetime) -> UUID:
    return insert(sql, "time_off", provider_id=key(provider), starts_at=starts, ends_at=ends)


async def generate(api: Api, **wanted: Any) -> Any:
    """The payload of appointmentsGenerate."""
    return (await api(GENERATE, input=wanted))["appointmentsGenerate"]


async def published(api: Api, **wanted: Any) -> tuple[int, int, int]:
    """How many appointments were created, kept and removed."""
    done = await generate(api, **wanted)
    assert done["userErrors"] == []
    return done["published"]["created"], done["published"]["kept"], done["published"]["removed"]


def times(sql: Sql, condition: str = "withdrawn_at IS NULL") -> list[str]:
    """When appointments begin."""
    rows = sql(f"SELECT starts_at FROM appointments WHERE {condition} ORDER BY starts_at, provider_id")
    return [f"{begins.astimezone(UTC):%H:%M}" for (begins,) in rows]


def ids(sql: Sql) -> dict[str, UUID]:
    """The appointments of one provider on one day, by when they begin."""
    rows = sql("SELECT starts_at, id FROM appointments ORDER BY starts_at")
    return {f"{begins.astimezone(UTC):%H:%M}": made for begins, made in rows}


def context(api: Api) -> Context:
    """What somebody who administers changes things with."""
    return Context(api.database.of(DEFAULT_BUSINESS), ADMIN, "rota")


async def reserve(api: Api, appointment: UUID) -> str:
    """Hold an appointment for somebody new; the id of the reservation."""
    done = await api.reserve(await api.client(), encode("Appointment", appointment))
    assert done["userErrors"] == []
    made: str = done["reservation"]["id"]
    return made


async def codes(api: Api, appointment: UUID) -> list[str]:
    """What is answered to somebody new who wants an appointment: nothing, if they get it."""
    done = await api.reserve(await api.client(), encode("Appointment", appointment))
    return [error["code"] for error in done["userErrors"]]


def week(provider: str, start: str, end: str, slot: int = 30) -> dict[str, Any]:
    """The same hours on seven days, each of which is another weekday."""
    days = [{"weekday": name, "intervals": [{"start": start, "end": end}]} for name in WEEKDAYS]
    valid = {"validFrom": str(day(3)), "validUntil": str(day(9))}
    return {"providerId": provider, "days": days, "slotMinutes": slot, "timeZone": "UTC", **valid}


async def set_week(api: Api, wanted: dict[str, Any]) -> Any:
    return (await api(SET_WEEK, input=wanted))["weeklyScheduleSet"]


async def changed(
    api: Api,
    *providers: str,
    begun: asyncio.Event | None = None,
    end: asyncio.Event | None = None,
) -> Outcome:
    """Publish as every change does, in a transaction that is held open, if there is an end to wait for."""

    async def work(statements: Statements) -> Outcome:
        done = await republish(context(api), statements, [key(provider) for provider in providers])
        if begun is not None and end is not None:
            begun.set()
            await end.wait()
        return done

    return await context(api).database.transaction(work)


async def waiting(sql: Sql) -> None:
    """Until somebody waits for a lock."""
    await until(sql, WAITING, answer=True)


async def until(sql: Sql, question: str, answer: object) -> None:
    """Ask again and again, since nobody tells."""
    for _ in range(2_000):
        if sql(question) == [(answer,)]:
            return
        await asyncio.sleep(0.002)
    raise AssertionError(question)
