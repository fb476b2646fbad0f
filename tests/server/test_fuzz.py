"""Fuzzing: requests that schemathesis makes from the contract find no fault of ours, whatever they ask.

`FUZZ_CASES=10000 python -m pytest -s tests/server/test_fuzz.py` asks more, and FUZZ_SEED something else. Schemathesis runs
in a process of its own, where neither its imports nor its hooks meet other tests.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from models.viewer import Role
from tests.conftest import ROOT, running
from tests.links import TYPES, Sql, ids
from tests.tokens import bearer, token

CASES = int(os.environ.get("FUZZ_CASES", "400"))
SEED = int(os.environ.get("FUZZ_SEED", "0"))
AT_A_TIME = 3
OUR_FAULT = {"INTERNAL", "UNAVAILABLE", "TIMEOUT"}
ID = re.compile(r'\b(id|\w+Id): "[^"\\]*"')
SCALARS = {
    "DateTime": ["2027-05-03T09:00:00Z", "2027-06-03T09:00:00+02:00", "1999-12-31T23:59:59Z", "2027-05-03", "", "now"],
    "Date": ["2027-05-03", "2027-02-29", "0001-01-01", "", "today"],
    "LocalTime": ["09:00", "24:00", "23:59", "9:00", "24:01", ""],
    "Decimal": ["45.00", "0", "-1", "1e9", "0.00001", ""],
    "TimeZone": ["Europe/Berlin", "UTC", "europe/berlin", "../etc/passwd", ""],
}


@dataclass
class Fuzzing:
    """Sends what is made until there were enough, and keeps what came back."""

    http: httpx2.Client
    known: list[str]
    random: Random
    sent: int = 0
    said: Counter[str] = field(default_factory=Counter)
    faults: list[list[Any]] = field(default_factory=list)

    def ask(self, document: str) -> None:
        """Send a document, in which every other id is one that there is."""
        asked = ID.sub(self._known, document)
        response = self.http.post("/graphql", json={"query": asked})
        self.sent += 1
        codes = self._codes(response)
        self.said.update(codes or {"answered"})
        if response.status_code != httpx2.codes.OK or codes & OUR_FAULT:
            self.faults.append([response.status_code, sorted(codes), asked, response.text[:1000]])

    def _known(self, found: re.Match[str]) -> str:
        return f'{found[1]}: "{self.random.choice(self.known)}"' if self.random.random() < 0.5 else found[0]

    @staticmethod
    def _codes(response: httpx2.Response) -> set[str]:
        errors = response.json().get("errors", ())
        return {error["extensions"]["code"] for error in errors}


def main(url: str, cases: int, first_seed: int) -> None:
    """Fuzz a server; a line of JSON tells what came back."""
    given_to = json.load(sys.stdin)
    for name, values in SCALARS.items():
        schemathesis.graphql.scalar(name, st.sampled_from(values).map(schemathesis.graphql.nodes.String))
    loaded = schemathesis.graphql.from_url(f"{url}/graphql", headers=given_to["headers"])
    found: Any = loaded.get_all_operations()
    operations = [operation.ok() for operation in found]
    with httpx2.Client(base_url=url, headers=given_to["headers"], timeout=60) as http:
        fuzzing = Fuzzing(http, given_to["ids"], Random(first_seed))
        for turn in range(first_seed, first_seed + cases):
            for operation in operations:
                if fuzzing.sent < cases:
                    _ask(fuzzing, operation, turn, min(AT_A_TIME, cases - fuzzing.sent))
    told = {"operations": len(operations), "sent": fuzzing.sent, "said": fuzzing.said, "faults": fuzzing.faults}
    print(json.dumps(told))  # noqa: T201


def _ask(fuzzing: Fuzzing, operation: Any, turn: int, most: int) -> None:
    @seed(turn)
    @settings(
        max_examples=most,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy())
    def ask(case: Any) -> None:
        fuzzing.ask(case.body)

    ask()


@pytest.fixture
def template(filled: str) -> str:
    return filled


def test_what_is_made_from_the_contract_finds_no_fault(database: str, sql: Sql, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    named = [identity for type_ in TYPES if type_.name != "ApiKey" for identity in ids(sql, type_.name, 20)]
    given_to = {"headers": bearer(token(sql, Role.ADMIN)), "ids": named}

    with running(log, DATABASE_URL=database, API_KEYS="on", RATE_LIMIT="0") as server:
        command = [sys.executable, "-m", "tests.server.test_fuzz", server.url, str(CASES), str(SEED)]
        done = subprocess.run(
            command, cwd=ROOT, input=json.dumps(given_to), capture_output=True, text=True, check=False
        )
        alive = httpx2.get(f"{server.url}/livez").status_code

    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    print(told["sent"], told["said"])  # noqa: T201 -- for whoever wants the figures (pytest -s)
    assert told["faults"] == []
    assert told["sent"] >= CASES
    assert told["operations"] * AT_A_TIME <= CASES  # each was asked
    assert told["said"]["answered"] > CASES / 10
    assert [line for line in lines if line["level"] not in ("info", "debug")] == []
    assert sum(line.get("path") == "/graphql" for line in lines) >= told["sent"]
    assert alive == 200


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
