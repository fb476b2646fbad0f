"""Metrics of the outbox: how much waits to be relayed, and for how long, also where nobody relays."""

from pathlib import Path

import httpx2

from models.business import DEFAULT_BUSINESS
from tests.conftest import Running, running
from tests.server.test_metrics import asked
from tests.server.test_relay import CLIENT, Sql


def test_what_waits_is_told_also_where_nobody_relays(server: Running, sql: Sql) -> None:
    nothing = asked(server.url)
    for _ in range(3):
        sql(CLIENT, DEFAULT_BUSINESS)
    sql("SET session_replication_role = replica")
    sql("UPDATE events SET occurred_at = occurred_at - interval '90 seconds' WHERE seq = (SELECT min(seq) FROM events)")

    waiting = asked(server.url)
    sql("SELECT relay_events(500)")
    relayed = asked(server.url)
    sql("SELECT hand_over('webhooks', 500), hand_over('recipients', 500)")
    newest = "SELECT 'webhooks', position, aggregate_id, 'P0001' FROM events ORDER BY position DESC LIMIT 1"
    sql(f"INSERT INTO passed_over (consumer, position, aggregate_id, problem) {newest}")
    handed = asked(server.url)

    assert (nothing["holdfast_outbox_backlog",], nothing["holdfast_outbox_age_seconds",]) == (0, 0)
    assert waiting["holdfast_outbox_backlog",] == 3
    assert 90 <= waiting["holdfast_outbox_age_seconds",] < 150
    assert (relayed["holdfast_outbox_backlog",], relayed["holdfast_outbox_age_seconds",]) == (0, 0)
    assert (relayed["holdfast_outbox_unhanded",], relayed["holdfast_outbox_passed_over",]) == (3, 0)
    assert (handed["holdfast_outbox_unhanded",], handed["holdfast_outbox_passed_over",]) == (0, 1)


def test_without_a_database_the_rest_is_told(database: str, sql: Sql, tmp_path: Path) -> None:
    with running(tmp_path / "server.log", DATABASE_URL=database, BACKGROUND="off") as server:
        sql("ALTER FUNCTION outbox_state RENAME TO elsewhere")

        response = httpx2.get(f"{server.url}/metrics")

    assert response.status_code == 200
    assert "holdfast_workers 1" in response.text
    assert "holdfast_outbox" not in response.text
