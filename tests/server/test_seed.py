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
SELECT (SELECT count(*) FROM providers), (SELECT count(*) FROM clients), (SELECT count(*) FROM appointments),
       (SELECT count(*) FROM reservations), (SELECT count(*) FROM events), (SELECT count(*) FROM idempotency_keys)"""
# An event for each person, each provider's publication, each hold, each confirmation or cancellation; no key for the last.
FILLED = [(8, 40, 2240, 60, 48 + 8 + 60 + 40, 48 + 8 + 60)]


async def test_a_second_seed_adds_nothing(database: str, sql: Sql, capsys: pytest.CaptureFixture[str]) -> None:
    await seed(database)
    first = capsys.readouterr().out
    assert sql(COUNTS) == FILLED

    await seed(database)

    assert sql(COUNTS) == FILLED
    assert "2240 appointments, 2240 of them new\n60 reservations, 60 of them new\n" in first
    assert "2240 appointments, 0 of them new\n60 reservations, 0 of them new\n" in capsys.readouterr().out


async def test_a_seed_after_the_keys_are_forgotten_adds_nothing(database: str, sql: Sql) -> None:
    await seed(database)
    sql("DELETE FROM idempotency_keys")

    await seed(database)

    assert sql(COUNTS)[0][:5] == FILLED[0][:5]


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

    starts = [row[0].astimezone(ZoneInfo("Europe/Berlin")) for row in sql("SELECT starts_at FROM appointments")]
    today = datetime.now(ZoneInfo("Europe/Berlin")).date()
    assert {start.weekday() for start in starts} == {0, 1, 2, 3, 4}
    assert len({start.date() for start in starts}) == 20
    assert 1 <= (min(starts).date() - today).days <= 3
    assert 26 <= (max(starts).date() - today).days <= 28
    assert sorted({start.strftime("%H:%M") for start in starts}) == [
        *("09:00", "09:30", "10:00", "10:30", "11:00", "11:30"),
        *("13:00", "13:30", "14:00", "14:30", "15:00", "15:30", "16:00", "16:30"),
    ]
    assert sql("SELECT DISTINCT ends_at - starts_at = interval '30 minutes' FROM appointments") == [(True,)]


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
