"""The seed: a practice to look at, the same one however often it is asked for."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from graphql import OperationDefinitionNode, parse

from server.seed import CLIENTS, PROVIDERS, seed
from tests.conftest import ROOT, serving

Sql = Callable[..., list[tuple[Any, ...]]]

COUNTS = """
SELECT (SELECT count(*) FROM providers WHERE email LIKE '%@practice.example'), (SELECT count(*) FROM clients),
       (SELECT count(*) FROM appointments WHERE NOT is_generated), (SELECT count(*) FROM reservations)"""
FILLED = [(8, 40, 2240, 60)]
ALL = """
SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM appointments), (SELECT count(*) FROM idempotency_keys),
       (SELECT max(xmin::text::bigint) FROM appointments)"""


async def test_a_second_seed_adds_nothing(database: str, sql: Sql, capsys: pytest.CaptureFixture[str]) -> None:
    await seed(database)
    first = capsys.readouterr().out
    assert sql(COUNTS) == FILLED
    everything = sql(ALL)

    await seed(database)

    assert sql(COUNTS) == FILLED
    assert sql(ALL) == everything
    assert "2240 appointments, 2240 of them new\n60 reservations, 60 of them new\n" in first
    assert "2240 appointments, 0 of them new\n60 reservations, 0 of them new\n" in capsys.readouterr().out


async def test_a_seed_after_the_keys_are_forgotten_adds_nothing(database: str, sql: Sql) -> None:
    await seed(database)
    sql("DELETE FROM idempotency_keys")

    await seed(database)

    assert sql(COUNTS) == FILLED


async def test_an_interrupted_seed_is_taken_up_where_it_stopped(database: str, sql: Sql) -> None:
    await seed(database)
    sql("SET session_replication_role = replica")  # or a reservation could not be deleted
    sql(
        "DELETE FROM reservations WHERE starts_at > (SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY starts_at) FROM reservations)"
    )
    sql("SET session_replication_role = origin")
    sql("DELETE FROM idempotency_keys")

    await seed(database)

    assert sql("SELECT status, count(*) FROM reservations GROUP BY status ORDER BY status") == [
        ("CANCELLED", 20),
        ("CONFIRMED", 20),
        ("HELD", 20),
    ]


async def test_the_practice_keeps_office_hours_on_weekdays(database: str, sql: Sql) -> None:
    await seed(database)

    starts = [
        row[0].astimezone(ZoneInfo("Europe/Berlin"))
        for row in sql("SELECT starts_at FROM appointments WHERE NOT is_generated")
    ]
    today = datetime.now(ZoneInfo("Europe/Berlin")).date()
    assert {start.weekday() for start in starts} == {0, 1, 2, 3, 4}
    assert len({start.date() for start in starts}) == 20
    assert 1 <= (min(starts).date() - today).days <= 3
    assert 26 <= (max(starts).date() - today).days <= 28
    assert sorted({start.strftime("%H:%M") for start in starts}) == [
        *("09:00", "09:30", "10:00", "10:30", "11:00", "11:30"),
        *("13:00", "13:30", "14:00", "14:30", "15:00", "15:30", "16:00", "16:30"),
    ]
    assert sql(
        "SELECT DISTINCT ends_at - starts_at = interval '30 minutes' FROM appointments WHERE NOT is_generated"
    ) == [(True,)]


async def test_nobody_is_in_two_places_at_once(database: str, sql: Sql) -> None:
    await seed(database)

    assert sql("SELECT client_id, starts_at FROM reservations GROUP BY 1, 2 HAVING count(*) > 1") == []
    assert sql("SELECT count(DISTINCT provider_id), count(DISTINCT client_id) FROM reservations") == [(8, 40)]


async def test_the_first_query_of_graphiql_shows_something(database: str, capsys: pytest.CaptureFixture[str]) -> None:
    await seed(database)
    document = (ROOT / "server" / "graphiql" / "default.graphql").read_text()
    first = next(node for node in parse(document).definitions if isinstance(node, OperationDefinitionNode))
    assert first.name is not None
    (printed,) = re.findall(r"^  (\{.*\})$", capsys.readouterr().out, re.MULTILINE)

    async with serving(database) as api:
        asked = {"query": document, "operationName": first.name.value}
        shown = (await api.http.post("/graphql", json=asked)).json()["data"]["availableAppointments"]
        told = await api(printed)

    assert shown["totalCount"] > 2000
    assert len(shown["nodes"]) == 5
    assert len(told["availableAppointments"]["nodes"]) == 5


def test_no_name_stands_twice() -> None:
    assert len(set(PROVIDERS.split(", "))) == 8
    assert len(set(CLIENTS.split(", "))) == 40


async def test_the_brand_has_three_locations_in_three_zones_where_the_same_hours_are_worked(
    database: str, sql: Sql
) -> None:
    await seed(database)

    zones = [zone for (zone,) in sql("SELECT time_zone FROM locations ORDER BY name")]
    first = sql("""
        SELECT l.time_zone, min(a.starts_at), count(DISTINCT a.provider_id)
          FROM appointments a JOIN locations l ON l.id = a.location_id GROUP BY 1 ORDER BY 1""")
    offered = sql(
        "SELECT s.name, count(*) FROM services s JOIN offerings o ON o.service_id = s.id GROUP BY 1 ORDER BY 1"
    )
    assert zones == ["Europe/Berlin", "Europe/Lisbon", "America/New_York"]
    assert [(zone, stylists) for zone, _, stylists in first] == [(zone, 3) for zone in sorted(zones)]
    assert {at.astimezone(ZoneInfo(zone)).minute for zone, at, _ in first} == {0}
    assert [count for _, count in offered] == [3] * 6
    hours = sql("""
        SELECT DISTINCT l.time_zone, a.starts_at FROM appointments a JOIN locations l ON l.id = a.location_id""")
    local = {zone: {at.astimezone(ZoneInfo(zone)).hour for own, at in hours if own == zone} for zone in zones}
    assert local == {zone: {9, 10, 11, 12, 14, 15, 16, 17, 18} for zone in zones}
