"""Workers that send webhooks are killed while they do: everything arrives, and of each thing in its order."""

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from models.business import DEFAULT_BUSINESS
from models.webhook_endpoint import new_secret
from tests.receiver import Message, receiving
from tests.server.test_worker import CONNECTED, working

Sql = Callable[..., list[tuple[Any, ...]]]

SKILLS, VERSIONS, KILLS = 12, 6, 2
ENDPOINT = """
WITH made AS (INSERT INTO webhook_endpoints (business_id, url, event_types) VALUES (%s, %s, '{scheduling.skill.*}') RETURNING *)
INSERT INTO webhook_secrets (business_id, endpoint_id, secret) SELECT business_id, id, %s FROM made"""
MAKE = "INSERT INTO skills (business_id, name) SELECT %s, 'skill ' || n FROM generate_series(1, %s) n"
LEFT = "SELECT count(*) FROM webhook_deliveries WHERE status <> 'DELIVERED'"
LEASE_IS_OVER = (
    "UPDATE webhook_deliveries SET next_attempt_at = clock_timestamp() WHERE next_attempt_at > clock_timestamp()"
)


async def until(done: Callable[[], bool]) -> None:
    """Wait for something, for a while."""
    async with asyncio.timeout(30):
        while not done():  # noqa: ASYNC110 -- it happens in another process
            await asyncio.sleep(0.02)


async def test_killed_workers_lose_nothing_and_mix_up_nothing(
    database: str, sql: Sql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLOWED_NETWORKS", "127.0.0.0/8")
    heard: dict[str, list[int]] = defaultdict(list)
    sent: set[str] = set()

    async def answer(message: Message) -> int:
        await asyncio.sleep(0.05)
        heard[message.json["data"]["id"]].append(message.json["data"]["version"])
        sent.add(message.id)
        return 200

    async with receiving(answer) as receiver:
        sql(ENDPOINT, DEFAULT_BUSINESS, receiver.url, new_secret())
        sql(MAKE, DEFAULT_BUSINESS, SKILLS)
        for version in range(2, VERSIONS + 1):
            sql("UPDATE skills SET name = split_part(name, '/', 1) || '/' || %s", str(version))

        for life in range(KILLS):
            already = len(receiver.messages)
            with working(database, tmp_path / f"worker{life}.log") as worker:
                await until(lambda: len(receiver.messages) >= already + 20)  # noqa: B023 -- it is over within the turn
                os.kill(worker.pid, signal.SIGKILL)
            await until(lambda: sql(CONNECTED) == [])  # and so has what it had under way there
            sql(LEASE_IS_OVER)
        with working(database, tmp_path / "last.log"):
            await until(lambda: sql(LEFT) == [(0,)])

    assert len(heard) == SKILLS
    assert len(sent) == SKILLS * VERSIONS  # lost: none, invented: none
    for versions in heard.values():
        assert versions == sorted(
            versions
        )  # what was in hand may come twice, and nothing comes before what was earlier
        assert set(versions) == {*range(1, VERSIONS + 1)}
    assert len(receiver.messages) <= SKILLS * VERSIONS + KILLS * 8
