"""`python -m server token`: it prints a token and nothing else, and nothing of a token is left anywhere."""

import argparse
import base64
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest

from models.api_key import Token
from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from server import api_token
from server.postgres import binaries
from server.settings import Settings
from tests.conftest import ROOT, running
from tests.keys import OTHER, another_business

Sql = Callable[..., list[tuple[Any, ...]]]
TOKEN = re.compile(r"hf_[A-Za-z0-9_-]{86}\n")
INSTANT = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"
WHO = "{ viewer { principal role business { id } } }"
UNKNOWN = UUID("0190ffff-ffff-7fff-8fff-ffffffffffff")
SETTINGS = ("API_KEYS", "OIDC_ISSUER", "OIDC_AUDIENCE")


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the command says, and how it ends."""
    inherited = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    return subprocess.run(
        [sys.executable, "-m", "server", "token", *arguments],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def made(database: str, *arguments: str) -> str:
    """The token that the command prints."""
    done = command(*arguments, DATABASE_URL=database)
    assert done.returncode == 0, done.stderr
    assert TOKEN.fullmatch(done.stdout)
    return done.stdout.strip()


def read(token: str) -> Token:
    found = Token.read(token)
    assert found is not None
    return found


def ask(url: str, query: str, token: str | None) -> httpx2.Response:
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    return httpx2.post(f"{url}/graphql", json={"query": query}, headers=headers)


def test_it_prints_the_token_alone_and_tells_the_rest_beside(database: str, sql: Sql) -> None:
    done = command("--role", "ADMIN", DATABASE_URL=database)

    assert done.returncode == 0
    assert TOKEN.fullmatch(done.stdout)
    beside = rf"This token of the role ADMIN is shown once, and can be used until {INSTANT}\.\n"
    assert re.fullmatch(beside, done.stderr)
    assert done.stdout.strip() not in done.stderr
    key = read(done.stdout.strip())
    assert key.business_id == DEFAULT_BUSINESS
    assert sql("SELECT id, name, role, scopes, expires_at - created_at > '89 days 23:59:00' FROM api_keys") == [
        (key.key_id, "command line", "ADMIN", ["READ", "WRITE"], True)
    ]
    assert sql("SELECT actor FROM events WHERE type = 'scheduling.api_key.created.v1'") == [("command line",)]


def test_it_makes_what_it_is_told(database: str, sql: Sql) -> None:
    another_business(sql)

    made(database, "--role", "OPERATOR", "--name", "root", "--days", "1", "--scope", "READ")
    made(database, "--role", "CLIENT", "--business", encode("Business", OTHER), "--person", encode("Client", OTHER))

    assert sql(
        "SELECT business_id, name, role, person_id, scopes, round(extract(epoch FROM expires_at - created_at) / 86400) FROM api_keys ORDER BY id"
    ) == [
        (DEFAULT_BUSINESS, "root", "OPERATOR", None, ["READ"], 1),
        (OTHER, "command line", "CLIENT", OTHER, ["READ", "WRITE"], 90),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--business", encode("Business", UNKNOWN)), "No business has this id."),
        (("--business", encode("Client", UNKNOWN)), "No business has this id."),
        (("--business", "here"), "This is not an id; use one that an earlier answer contained."),
        (("--person", encode("Provider", UNKNOWN)), "No provider has this id."),
        (("--person", encode("Provider", OTHER)), "No provider has this id."),
        ((), "A key of the role PROVIDER needs the id of whom it acts for."),
        (("--person", encode("Provider", UNKNOWN), "--days", "367"), "expiresInDays must be from 1 to 366."),
        (("--person", encode("Provider", UNKNOWN), "--name", ""), "name must not be empty."),
    ],
)
async def test_what_cannot_be_is_one_sentence(
    database: str, sql: Sql, arguments: tuple[str, ...], sentence: str
) -> None:
    another_business(sql)
    parser = argparse.ArgumentParser()
    api_token.arguments(parser)

    with pytest.raises(api_token.TokenError) as refused:
        await api_token.told(database, parser.parse_args(["--role", "PROVIDER", *arguments]), Settings.read({}))

    assert str(refused.value) == sentence
    assert sql("SELECT count(*) FROM api_keys") == [(0,)]


def test_a_business_that_is_not_there_ends_the_command(database: str, sql: Sql) -> None:
    done = command("--role", "ADMIN", "--business", encode("Business", UNKNOWN), DATABASE_URL=database)

    assert (done.returncode, done.stdout, done.stderr) == (2, "", "No business has this id.\n")
    assert sql("SELECT count(*) FROM api_keys") == [(0,)]


@pytest.mark.parametrize(
    "arguments", [(), ("--role", "PUBLIC"), ("--role", "ADMIN", "--list"), ("--role", "ADMIN", "--scope", "ALL")]
)
def test_what_is_not_understood_is_answered_with_the_usage(arguments: tuple[str, ...]) -> None:
    done = command(*arguments, DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: python -m server token")


def test_a_database_that_is_out_of_reach_is_one_sentence() -> None:
    done = command("--list", DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "The database at postgresql+psycopg://nobody@127.0.0.1:1/nothing is out of reach; see DATABASE_URL or OWNER_DATABASE_URL.\n"
    )


def test_where_a_server_takes_no_keys_it_says_so(database: str) -> None:
    issuer = {"OIDC_ISSUER": "https://issuer.example", "OIDC_AUDIENCE": "holdfast"}

    done = command("--role", "ADMIN", DATABASE_URL=database, **issuer)

    assert TOKEN.fullmatch(done.stdout)
    assert done.stderr.endswith(". A server takes it only with API_KEYS=on.\n")


def test_the_list_shows_every_key_and_no_secret(database: str, sql: Sql) -> None:
    another_business(sql)
    tokens = [made(database, "--role", role, "--name", role.title()) for role in ("ADMIN", "MANAGER", "OPERATOR")]
    foreign = made(database, "--role", "ADMIN", "--business", encode("Business", OTHER))
    ids = [encode("ApiKey", read(token).key_id) for token in tokens]
    sql("UPDATE api_keys SET expires_at = clock_timestamp() WHERE role = 'ADMIN'")
    command("--revoke", ids[1], DATABASE_URL=database)

    done = command("--list", DATABASE_URL=database)

    assert (done.returncode, done.stderr) == (0, "")
    head, *lines = [line.split() for line in done.stdout.splitlines()]
    assert head == ["ID", "ROLE", "NAME", "PERSON", "SCOPES", "CREATED", "EXPIRES", "STATE"]
    shown = [(line[0], line[1], line[2], line[3], line[4], line[-1]) for line in lines]
    assert shown == [
        (ids[2], "OPERATOR", "Operator", "-", "READ,WRITE", "valid"),
        (ids[1], "MANAGER", "Manager", "-", "READ,WRITE", "revoked"),
        (ids[0], "ADMIN", "Admin", "-", "READ,WRITE", "expired"),
    ]
    for token in (*tokens, foreign):
        assert token[-43:] not in done.stdout


def test_a_key_is_revoked_once_and_by_its_own_business(database: str, sql: Sql) -> None:
    another_business(sql)
    key = encode("ApiKey", read(made(database, "--role", "OPERATOR")).key_id)

    elsewhere = command("--revoke", key, "--business", encode("Business", OTHER), DATABASE_URL=database)
    first, second = [command("--revoke", key, DATABASE_URL=database) for _ in range(2)]
    nonsense = command("--revoke", "nonsense", DATABASE_URL=database)

    assert (elsewhere.returncode, elsewhere.stderr) == (2, "No API key has this id.\n")
    assert (first.returncode, first.stdout) == (0, "")
    sentence = (
        rf"'command line' has been refused since {INSTANT}; a server that is running finds out within 5 seconds\.\n"
    )
    assert re.fullmatch(sentence, first.stderr)
    assert second.stderr == first.stderr
    assert (nonsense.returncode, nonsense.stdout) == (2, "")
    assert sql("SELECT version FROM api_keys") == [(2,)]
    assert sql("SELECT actor FROM events WHERE type = 'scheduling.api_key.updated.v1'") == [("command line",)]


@pytest.fixture
def data() -> Iterator[Path]:
    with TemporaryDirectory(prefix="holdfast-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        yield Path(folder) / "data"


def test_it_works_beside_a_server_on_the_embedded_database(data: Path, tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(data), "DATABASE_URL": "", "API_KEYS": "on"}
    with running(tmp_path / "server.log", **environment) as server:
        done = command("--role", "ADMIN", **environment)

        token = done.stdout.strip()
        seen = ask(server.url, WHO, token)
        nobody = ask(server.url, WHO, None)

    assert TOKEN.fullmatch(done.stdout), done.stderr
    assert seen.json()["data"]["viewer"] == {
        "principal": f"key:{read(token).key_id}",
        "role": "ADMIN",
        "business": {"id": encode("Business", DEFAULT_BUSINESS)},
    }
    assert nobody.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


CREATE = 'mutation { apiKeyCreate(input: {name: "till", role: ADMIN}) { token apiKey { id } } }'
REVOKE = 'mutation { apiKeyRevoke(input: {apiKeyId: "%s"}) { apiKey { revokedAt } } }'


def test_nothing_of_a_token_is_left_in_the_log_or_in_the_database(database: str, sql: Sql, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with running(log, DATABASE_URL=database, API_KEYS="on", LOG_LEVEL="debug") as server:
        printed = made(database, "--role", "ADMIN")
        created = ask(server.url, CREATE, printed).json()["data"]["apiKeyCreate"]
        statuses = [ask(server.url, WHO, created["token"]).status_code]
        ask(server.url, REVOKE % created["apiKey"]["id"], printed)
        statuses += [ask(server.url, WHO, token).status_code for token in (created["token"], f"{printed[:-6]}AAAAAA")]

    address = psycopg.conninfo.make_conninfo(database)
    dump = subprocess.run([binaries() / "pg_dump", address], capture_output=True, text=True, check=True).stdout
    assert statuses == [200, 401, 401]
    assert dump.count("scheduling.api_key.") == 3
    for token in (printed, created["token"]):
        secret = base64.urlsafe_b64decode(token.removeprefix("hf_") + "==")[32:]
        # A token is base64 of 16 + 16 + 32 bytes: the secret begins inside a letter, so only its whole letters count.
        for trace in (token, token[-42:-6], secret.hex(), base64.b64encode(secret).decode()[:36], str(secret)):
            assert trace not in log.read_text()
            assert trace not in dump
    assert "its key is unknown, revoked or expired" in log.read_text()
    assert sql("SELECT count(*) FROM api_keys") == [(2,)]
