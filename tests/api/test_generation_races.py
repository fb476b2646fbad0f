"""Several at once: whoever reserves while a provider is published anew gets the time, or hears that it is gone."""

import asyncio
from contextlib import suppress
from uuid import UUID

import psycopg

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.refusal import Busy
from tests.conftest import Api
from tests.rota import (
    ROWS,
    Sql,
    at,
    changed,
    codes,
    ids,
    key,
    published,
    reserve,
    rule,
    set_week,
    times,
    until,
    waiting,
    week,
)

WITHDRAWN = "withdrawn_at IS NOT NULL"
CONNECTED = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


async def test_who_reserves_what_is_just_being_removed_hears_that_it_is_withdrawn(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    gone = rule(sql, ada, [3], "09:00-10:00", slot=60)
    rule(sql, ada, [3], "10:00-12:00", slot=60, capacity=2)
    await published(api, providerIds=[ada])
    by = ids(sql)
    sql("DELETE FROM availability_rules WHERE id = %s", gone)
    begun, end = asyncio.Event(), asyncio.Event()

    changing = asyncio.create_task(changed(api, ada, begun=begun, end=end))
    await begun.wait()
    others = [await codes(api, by[hour]) for hour in ("10:00", "11:00")]  # nobody waits for what stays
    late = asyncio.create_task(codes(api, by["09:00"]))
    await waiting(sql)
    assert not late.done()
    end.set()

    assert others == [[], []]
    assert await late == ["APPOINTMENT_WITHDRAWN"]
    assert (await changing).removed == 1
    assert sql("SELECT count(*) FROM reservations WHERE appointment_id = %s", by["09:00"]) == [(0,)]


async def test_while_a_provider_is_published_nothing_else_of_theirs_is_locked(
    api: Api, sql: Sql, database: str
) -> None:
    ada = await api.provider()
    gone = rule(sql, ada, [3], "09:00-10:00", slot=60)
    rule(sql, ada, [4], "09:00-17:00", slot=60)
    await published(api, providerIds=[ada])
    by = ids(sql)
    sql("DELETE FROM availability_rules WHERE id = %s", gone)
    begun, end = asyncio.Event(), asyncio.Event()

    changing = asyncio.create_task(changed(api, ada, begun=begun, end=end))
    await begun.wait()
    with psycopg.connect(database) as other:
        other.execute("SET lock_timeout = '200ms'")
        locked = other.execute(
            "SELECT count(*) FROM appointments a WHERE NOT EXISTS (SELECT FROM (SELECT id FROM appointments"
            " FOR NO KEY UPDATE SKIP LOCKED) free WHERE free.id = a.id)"
        ).fetchone()
        other.rollback()
        other.execute("SET lock_timeout = '200ms'")
        stays = "SELECT count(*) FROM (SELECT FROM appointments WHERE starts_at >= %s FOR UPDATE) each"
        assert other.execute(stays, [at(4, "00:00")]).fetchone() == (8,)
        other.execute("SELECT FROM providers FOR KEY SHARE")
        other.rollback()
    new_client = await api.client()
    end.set()

    assert locked == (1,)
    assert (await changing).removed == 1
    assert (await api.reserve(new_client, encode("Appointment", by["16:00"])))["userErrors"] == []


async def test_what_is_just_being_reserved_stays_and_is_told(api: Api, sql: Sql, database: str) -> None:
    ada, charles = await api.provider(), await api.client()
    rule(sql, ada, [3], "09:00-10:00")
    await published(api, providerIds=[ada])
    by = ids(sql)
    sql("DELETE FROM availability_rules")

    with psycopg.connect(database) as client:
        claim = "INSERT INTO reservations (business_id, client_id, appointment_id) VALUES (%s, %s, %s) RETURNING id"
        made = client.execute(claim, [DEFAULT_BUSINESS, key(charles), by["09:00"]]).fetchone()
        changing = asyncio.create_task(changed(api, ada))
        await waiting(sql)
        assert not changing.done()
        client.commit()
        done = await changing

    assert made is not None
    assert (done.created, done.kept, done.removed, done.affected) == (0, 0, 1, made)
    assert sql("SELECT id, withdrawn_at IS NOT NULL FROM appointments") == [(by["09:00"], True)]


async def test_a_hold_that_is_confirmed_while_it_lapses_keeps_its_time(api: Api, sql: Sql, database: str) -> None:
    ada = await api.provider()
    rule(sql, ada, [3], "09:00-10:00", slot=60)
    await published(api, providerIds=[ada])
    sql("UPDATE businesses SET hold_time = '1 second'")
    (appointment,) = ids(sql).values()
    held = key(await reserve(api, appointment))
    sql("DELETE FROM availability_rules")

    with psycopg.connect(database) as client:
        client.execute("UPDATE reservations SET status = 'CONFIRMED' WHERE id = %s", [held])
        client.execute("SELECT pg_sleep_until(expires_at) FROM reservations WHERE id = %s", [held])
        changing = asyncio.create_task(changed(api, ada))
        await waiting(sql)
        client.commit()
        done = await changing

    assert (done.removed, done.affected) == (0, (held,))
    assert times(sql, WITHDRAWN) == ["09:00"]


async def test_two_changes_of_one_provider_at_once_are_as_good_as_one_after_the_other(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule(sql, ada, [3], "09:00-10:00")
    begun, end = asyncio.Event(), asyncio.Event()

    first = asyncio.create_task(changed(api, ada, begun=begun, end=end))
    await begun.wait()
    rule(sql, ada, [3], "10:00-11:00")
    second = asyncio.create_task(changed(api, ada))
    await waiting(sql)
    assert not second.done()
    end.set()

    assert ((await first).created, (await second).created) == (2, 2)
    assert times(sql) == ["09:00", "09:30", "10:00", "10:30"]


async def test_of_two_weeks_that_are_saved_at_once_one_holds_and_is_published(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    morning, afternoon = week(ada, "09:00", "10:00"), week(ada, "14:00", "15:00")

    for _ in range(3):
        both = await asyncio.gather(set_week(api, morning), set_week(api, afternoon))

        assert [done["userErrors"] for done in both] == [[], []]
        assert sorted(done["published"]["created"] for done in both) in ([0, 14], [14, 14])
        ((starts, count),) = sql("SELECT starts_minute, count(*) FROM availability_rules GROUP BY starts_minute")
        assert count == 7
        assert times(sql) == {540: ["09:00", "09:30"], 840: ["14:00", "14:30"]}[starts] * 7


async def test_in_a_crowd_nobody_gets_what_is_gone_and_nothing_that_is_booked_goes(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    rule(sql, ada, [3], "08:00-12:00", slot=15)
    other = rule(sql, ada, [4], "08:00-12:00", slot=15)
    await published(api, providerIds=[ada])
    clients = [await api.client() for _ in range(12)]
    ((deadlocks,),) = sql(DEADLOCKS)
    seen: list[str] = []

    async def change(turn: int) -> None:
        slot = (15, 20, 30)[turn % 3]
        sql("UPDATE availability_rules SET slot_minutes = %s WHERE id = %s", slot, other)
        with suppress(Busy):  # the machine has much else to do: whoever changes something tries again
            await changed(api, ada)

    async def want(client: str, appointment: UUID) -> None:
        done = await api.reserve(client, encode("Appointment", appointment))
        seen.extend(error["code"] for error in done["userErrors"] or [{"code": "HELD"}])

    for turn in range(1, 6):
        wished = sql("SELECT id FROM appointments WHERE withdrawn_at IS NULL ORDER BY random() LIMIT 12")
        wishes = [want(client, made) for client, (made,) in zip(clients, wished, strict=False)]
        await asyncio.gather(change(turn), *wishes[:6], change(turn + 1), *wishes[6:])

    assert {"HELD"} <= set(seen) <= {"HELD", "APPOINTMENT_WITHDRAWN", "SLOT_UNAVAILABLE", "BUSY"}
    assert sql("SELECT count(*) FROM reservations") == [(seen.count("HELD"),)]
    assert sql("SELECT count(*) FROM reservations r LEFT JOIN appointments a ON a.id = r.appointment_id WHERE a.id IS NULL") == [(0,)]  # fmt: skip
    assert sql("SELECT count(*) FROM appointments a JOIN appointments b ON a.id < b.id AND a.starts_at < b.ends_at AND b.starts_at < a.ends_at") == [(0,)]  # fmt: skip
    await changed(api, ada)
    rows = sql(ROWS)
    await changed(api, ada)
    assert sql(ROWS) == rows
    await api.database.close()  # a connection tells what it counted when it is closed
    await until(sql, CONNECTED, 0)
    assert sql(DEADLOCKS) == [(deadlocks,)]
