"""Attacks on a real server: documents written to be expensive are answered or refused, shortly, and leave nothing behind."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from models.viewer import Role
from tests.attacks import ATTACKS, Attack
from tests.conftest import Running, running
from tests.links import Sql
from tests.server.test_crash import workers
from tests.tokens import bearer, token

ROUNDS, MOST_GROWN, LONGEST_ANSWER = 3, 20 * 2**20, 1_000_000
OUR_FAULT = {"INTERNAL", "UNAVAILABLE", "TIMEOUT", "BUSY"}


@pytest.fixture
def template(filled: str) -> str:
    return filled


@pytest.fixture
def attacked(database: str, tmp_path: Path) -> Iterator[Running]:
    """A server of one worker, as it is where others can ask, but that nobody is turned away for asking so much."""
    with running(tmp_path / "server.log", DATABASE_URL=database, API_KEYS="on", RATE_LIMIT="0") as server:
        yield server


def resident(process: int) -> int:
    """The bytes of memory that a process has."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def sent(attack: Attack) -> dict[str, object]:
    document, variables = attack if isinstance(attack, tuple) else (attack, {})
    return {"query": document, "variables": variables, "operationName": "Meant" if "query Meant" in document else None}


def fire(client: httpx2.Client, times: int) -> list[tuple[str, httpx2.Response]]:
    """Send every attack so many times; the answers by their names."""
    return [
        (name, client.post("/graphql", json=sent(attack))) for _ in range(times) for name, attack in ATTACKS.items()
    ]


def test_every_attack_is_answered_shortly_and_written_down_in_one_line(attacked: Running, sql: Sql) -> None:
    before = len(attacked.log.read_text().splitlines())
    with httpx2.Client(base_url=attacked.url, headers=bearer(token(sql, Role.ADMIN)), timeout=30) as client:
        told = fire(client, 1)
        alive = client.get("/livez").status_code

    lines = [json.loads(line) for line in attacked.log.read_text().splitlines()[before:]]
    codes = {name: {error["extensions"]["code"] for error in each.json().get("errors", ())} for name, each in told}
    assert len(told) > 100
    assert {name: each.status_code for name, each in told if each.status_code >= 500} == {}
    assert {name: len(each.content) for name, each in told if len(each.content) > LONGEST_ANSWER} == {}
    assert {name: found for name, found in codes.items() if found & OUR_FAULT} == {}
    assert Counter((line["event"], line["level"], line["path"]) for line in lines) == {
        ("request", "info", "/graphql"): len(told),
        ("request", "info", "/livez"): 1,
    }
    assert {line["request_id"] for line in lines[:-1]} == {each.headers["x-request-id"] for _, each in told}
    assert alive == 200


def test_attacks_leave_no_memory_taken(attacked: Running, sql: Sql) -> None:
    (worker,) = workers(attacked)
    with httpx2.Client(base_url=attacked.url, headers=bearer(token(sql, Role.ADMIN)), timeout=30) as client:
        fire(client, 1)
        before = resident(worker)

        told = fire(client, ROUNDS)

        grown = resident(worker) - before
    assert len(told) == ROUNDS * len(ATTACKS)
    assert workers(attacked) == [worker]
    assert grown < MOST_GROWN
