"""compose.yml, Dockerfile and their neighbours: what can be known of them without a container engine."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx2
import psycopg
import pytest
from ruamel.yaml import YAML
from sqlalchemy.engine import make_url

from server.postgres import binaries
from tests.conftest import careless_cluster, fresh_database, running

Sql = Callable[..., list[tuple[Any, ...]]]

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yml").read_text()
COMPOSE: dict[str, Any] = YAML(typ="safe").load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
HEAD = "".join(re.findall(r"\A(?:#.*\n)+", TEXT))
# One instruction a line, whatever was continued.
DOCKERFILE = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines()


def instructions(name: str, lines: list[str] = DOCKERFILE) -> list[str]:
    return [line.removeprefix(f"{name} ") for line in lines if line.startswith(f"{name} ")]


def final_stage() -> list[str]:
    return DOCKERFILE[max(number for number, line in enumerate(DOCKERFILE) if line.startswith("FROM ")) :]


def test_compose_keeps_to_the_schema_of_compose() -> None:
    command = ["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(ROOT / "compose.yml")]

    checked = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stdout.strip()) == (0, "ok -- validation done")


def test_whatever_is_mounted_is_in_the_repository_or_explained_at_the_head() -> None:
    mounted = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]

    sources = [mount["source"] for mount in mounted if isinstance(mount, dict)]
    named = [mount.partition(":")[0] for mount in mounted if isinstance(mount, str)]

    assert sources == ["./nginx/nginx.conf", "./nginx/tls"]
    assert all((ROOT / source).exists() or source.removeprefix("./") in HEAD for source in sources)
    assert all(mount["read_only"] for mount in mounted if isinstance(mount, dict))
    assert set(named) == set(COMPOSE["volumes"])


def test_the_database_is_kept_where_the_image_writes_since_version_18() -> None:
    assert SERVICES["postgres"]["image"] == "postgres:18"
    assert SERVICES["postgres"]["volumes"] == ["data:/var/lib/postgresql"]
    assert "PGDATA" not in SERVICES["postgres"]["environment"]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed: apt-get install openssl")
def test_the_commands_at_the_head_make_what_is_missing(tmp_path: Path) -> None:
    commands = "\n".join(re.findall(r"^#   (.+)$", HEAD, re.MULTILINE))  # what is indented is to be typed

    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True, capture_output=True)

    settings = "POSTGRES_PASSWORD=[0-9a-f]{48}\nWEB_PASSWORD=[0-9a-f]{48}\nAPI_KEYS=on\n"
    assert re.fullmatch(settings, (tmp_path / ".env").read_text())
    assert sorted(path.name for path in (tmp_path / "nginx" / "tls").iterdir()) == ["cert.pem", "key.pem"]


def test_every_variable_without_a_default_is_explained_at_the_head() -> None:
    needed = set(re.findall(r"\$\{(\w+)(?!\w*:-)", TEXT))

    assert needed == {"POSTGRES_PASSWORD", "WEB_PASSWORD", "API_KEYS"}
    assert all(f"{name}=" in HEAD for name in needed)
    assert set(re.findall(r"\$\{(\w+):\?", TEXT)) == needed


def test_nothing_starts_before_it_is_said_who_is_let_in() -> None:
    identity = SERVICES["web"]["labels"]["holdfast.identity"]

    outer, inner = re.fullmatch(r"\$\{(\w+):-\$\{(\w+):\?[^}]+\}\}", identity).groups()  # type: ignore[union-attr]

    assert (outer, inner) == ("OIDC_ISSUER", "API_KEYS")
    for setting in ("API_KEYS=on", "OIDC_ISSUER", "OIDC_AUDIENCE"):
        assert setting in identity
        assert setting in HEAD


def test_the_server_is_given_every_setting_that_an_operator_may_want_and_no_other() -> None:
    given = {**SERVICES["worker"]["environment"], **SERVICES["web"]["environment"]}
    known = set(re.findall(r'reader\.read\("(\w+)"', (ROOT / "server" / "settings.py").read_text()))

    handed_on = {name for name, value in given.items() if value is None}
    ours = {"HOST", "PORT", "DATA_DIR", "OWNER_DATABASE_URL", "TRUSTED_DOCUMENTS"}  # the image's, or a file's

    assert handed_on <= known
    assert known - given.keys() == ours
    assert given.keys() - handed_on == {"DATABASE_URL", "WORKERS", "BACKGROUND", "FORWARDED_ALLOW_IPS"}


def test_only_those_who_change_tables_or_logins_know_the_owners_password() -> None:
    knowing = {
        name for name, service in SERVICES.items() if "POSTGRES_PASSWORD" in json.dumps(service.get("environment"))
    }
    without_environment = {name for name, service in SERVICES.items() if "environment" not in service}

    assert knowing == {"postgres", "migrate", "login"}
    assert without_environment == {"nginx", "valkey"}
    assert SERVICES["web"]["environment"]["DATABASE_URL"].startswith("postgresql://web:${WEB_PASSWORD:?")


@pytest.fixture
def login(database: str, sql: Sql) -> Iterator[str]:
    """The address of a database for the login that compose.yml makes, by its own script, and twice, as it restarts."""
    address = make_url(database)
    named = {"PGHOST": str(address.query.get("host", address.host)), "PGUSER": str(address.username)}
    secret = {
        "PGDATABASE": str(address.database),
        "PGPASSWORD": str(address.password or ""),
        "WEB_PASSWORD": "it's-a-secret",
    }
    path = f"{binaries()}:{os.environ['PATH']}"
    for _ in range(2):
        command = SERVICES["login"]["command"]
        environment = {
            **os.environ,
            **named,
            **secret,
            "PGPORT": str(address.query.get("port", address.port)),
            "PATH": path,
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    yield address.set(username="web", password=secret["WEB_PASSWORD"]).render_as_string(hide_password=False)
    sql("DROP ROLE web")


def test_the_login_of_the_server_owns_nothing_and_sees_no_business_by_itself(login: str, sql: Sql) -> None:
    sql("INSERT INTO clients (business_id, first_name, last_name) SELECT id, 'Ada', 'Lovelace' FROM businesses")

    with psycopg.connect(login, autocommit=True) as web:
        seen = web.execute("SELECT count(*) FROM clients").fetchone()
        for forbidden in (
            "ALTER TABLE clients DISABLE ROW LEVEL SECURITY",
            "DROP POLICY tenant ON clients",
            "CREATE TABLE mine (id int)",
            "DELETE FROM events",
            "TRUNCATE events",
            "SET ROLE pg_read_all_data",
            "CREATE ROLE another",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                web.execute(forbidden)

    assert seen == (0,)
    assert sql("SELECT count(*) FROM clients") == [(1,)]
    assert sql(
        "SELECT rolpassword LIKE 'SCRAM-SHA-256$%%', rolsuper, rolbypassrls FROM pg_authid WHERE rolname = %s", "web"
    ) == [(True, False, False)]


def asked(url: str, token: str) -> Any:
    query = {"query": "{ viewer { role } clients { totalCount } }"}
    return httpx2.post(f"{url}/graphql", json=query, headers={"authorization": f"Bearer {token}"}).json()["data"]


def run(*arguments: str, **environment: str) -> str:
    """What a command of ours prints."""
    command = [sys.executable, "-m", "server", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=True
    ).stdout


def test_the_server_runs_on_its_login_once_the_owner_has_migrated(login: str, cluster: str, tmp_path: Path) -> None:
    with fresh_database(cluster) as owners:
        web = make_url(login).set(database=make_url(owners).database).render_as_string(hide_password=False)
        run("migrate", DATABASE_URL=web, OWNER_DATABASE_URL=owners)
        token = run("token", "--role", "ADMIN", DATABASE_URL=web).strip()

        with running(tmp_path / "server.log", DATABASE_URL=web, API_KEYS="on", WORKERS="1") as server:
            answer = asked(server.url, token)

        with psycopg.connect(owners) as owner:
            role = "SELECT tableowner FROM pg_tables WHERE schemaname = 'public' GROUP BY tableowner"
            assert owner.execute(role).fetchall() == [(make_url(owners).username,)]
    assert answer == {"viewer": {"role": "ADMIN"}, "clients": {"totalCount": 0}}


@pytest.fixture
def own_cluster() -> Iterator[str]:
    """A PostgreSQL in which nobody has made a role yet, nor a database."""
    with careless_cluster() as url:
        superuser = make_url(url).set(database="postgres").render_as_string(hide_password=False)
        with psycopg.connect(superuser, autocommit=True) as connection:
            connection.execute("DROP DATABASE holdfast")
        yield superuser


def test_what_the_operations_page_has_an_operator_type_makes_two_logins_that_work(
    own_cluster: str, tmp_path: Path
) -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    section = page.partition("### A login that owns nothing\n")[2].partition("\n### ")[0]
    owner, web = (
        make_url(own_cluster).set(username=name, database="holdfast").render_as_string(hide_password=False)
        for name in ("holdfast", "web")
    )

    first, second = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    with psycopg.connect(own_cluster, autocommit=True) as superuser:
        for statement in first.strip().splitlines():  # a database is made outside of every transaction
            superuser.execute(statement)
    run("migrate", DATABASE_URL=owner)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(second)

    token = run("token", "--role", "ADMIN", DATABASE_URL=web).strip()
    with running(tmp_path / "server.log", DATABASE_URL=web, API_KEYS="on") as server:
        assert asked(server.url, token) == {"viewer": {"role": "ADMIN"}, "clients": {"totalCount": 0}}
    with psycopg.connect(web) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM events")


def test_what_the_operations_page_says_of_old_history_takes_it_away_and_nothing_else(sql: Sql) -> None:
    (block,) = re.findall(r"```sql\n(BEGIN;.*?)```", (ROOT / "docs" / "operations.md").read_text(), re.DOTALL)
    sql("INSERT INTO clients (business_id, first_name, last_name) SELECT id, 'Ada', 'Lovelace' FROM businesses")
    sql(
        "INSERT INTO events (business_id, type, aggregate_id, data, occurred_at)"
        " SELECT business_id, type, aggregate_id, data, now() - interval '11 years' FROM events"
        " WHERE type = 'scheduling.client.created.v1'"
    )
    before = sql("SELECT count(*) FROM events")[0][0]

    sql(block)

    assert sql("SELECT count(*), count(*) FILTER (WHERE occurred_at < now() - interval '1 hour') FROM events") == [
        (before - 1, 0)
    ]
    with pytest.raises(psycopg.errors.CheckViolation):
        sql("DELETE FROM events")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed: apt-get install curl")
def test_the_steps_of_going_live_end_in_an_open_business_and_a_closed_rest(cluster: str, tmp_path: Path) -> None:
    section = (ROOT / "README.md").read_text().partition("## Going live\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    _, first_key, serve, asking, opening = (block.replace(".venv/bin/python", sys.executable) for block in blocks[:5])
    (setting,) = re.findall(r"(\w+=\w+) make serve", serve)

    with ExitStack() as stack:
        settings = {"DATABASE_URL": stack.enter_context(fresh_database(cluster)), **dict([setting.split("=")])}
        server = stack.enter_context(running(tmp_path / "server.log", **settings))
        done = subprocess.run(
            ["bash", "-euc", f"{first_key}{asking}{opening}"],
            cwd=ROOT,
            env={**os.environ, **settings, "PORT": str(server.port)},
            capture_output=True,
            text=True,
            check=True,
        )
        refused = httpx2.post(f"{server.url}/graphql", json={"query": "{ clients { totalCount } }"}).json()

    answers = [json.loads(line)["data"] for line in done.stdout.splitlines()]
    assert answers == [
        {"viewer": {"role": "ADMIN", "business": {"version": 1, "isPublic": False}}},
        {"businessUpdate": {"business": {"isPublic": True}, "userErrors": []}},
        {"availableAppointments": {"totalCount": 0}},
    ]
    assert refused["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_rights_than_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service.get("cap_add", []) == (
        ["CHOWN", "DAC_OVERRIDE", "NET_BIND_SERVICE", "SETGID", "SETUID"] if name == "nginx" else []
    )
    assert not service.keys() & {"privileged", "network_mode", "pid", "ipc", "devices"}


def test_only_nginx_can_be_reached_from_outside() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert published == {"nginx": ["80:80", "443:443"]}
    assert COMPOSE["networks"]["data"] == {"internal": True}
    assert all(SERVICES[name]["networks"] == ["data"] for name in ("postgres", "migrate", "login", "valkey"))
    assert SERVICES["worker"]["networks"] == ["data", "outside"]


def test_the_store_of_rates_is_there_for_those_who_want_it() -> None:
    optional = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}

    assert optional == {"valkey": ["valkey"]}
    assert "COMPOSE_PROFILES=valkey" in HEAD
    assert "RATE_STORE=valkey://valkey:6379/0" in HEAD


def test_each_service_starts_when_what_it_needs_is_there() -> None:
    conditions = {
        name: {needed: rule["condition"] for needed, rule in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }

    assert conditions == {
        "postgres": {},
        "migrate": {"postgres": "service_healthy"},
        "login": {"migrate": "service_completed_successfully"},
        "web": {"postgres": "service_healthy", "login": "service_completed_successfully"},
        "worker": {"login": "service_completed_successfully"},
        "valkey": {},
        "nginx": {"web": "service_healthy"},
    }
    assert all("test" in SERVICES[name]["healthcheck"] for name in ("postgres", "web", "nginx", "valkey"))
    lasting = ("postgres", "web", "worker", "nginx", "valkey")
    assert all(SERVICES[name]["restart"] == "unless-stopped" for name in lasting)
    assert (SERVICES["migrate"]["restart"], SERVICES["login"]["restart"]) == ("no", "no")


def test_the_server_believes_its_proxy_and_the_proxy_finds_the_server() -> None:
    proxy = SERVICES["nginx"]["networks"]["proxied"]["ipv4_address"]
    upstreams = re.findall(r"^\s+server (\S+)", (ROOT / "nginx" / "nginx.conf").read_text(), re.MULTILINE)
    (environment,) = instructions("ENV")

    assert SERVICES["web"]["environment"]["FORWARDED_ALLOW_IPS"] == proxy
    assert "proxied" in SERVICES["web"]["networks"]
    assert [upstream for upstream in upstreams if ":" in upstream] == ["web:8000", "web:8000"]
    assert "PORT=8000" in environment.split()
    assert "HOST=0.0.0.0" in environment.split()


def test_the_image_is_built_once_and_used_by_three() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]
    assert SERVICES["migrate"]["image"] == SERVICES["web"]["image"]
    assert SERVICES["migrate"]["command"] == ["python", "-m", "server", "migrate"]
    assert SERVICES["worker"]["image"] == SERVICES["web"]["image"]
    assert SERVICES["login"]["image"] == SERVICES["postgres"]["image"]


def test_what_is_done_in_the_background_is_done_by_one_service_alone() -> None:
    assert SERVICES["worker"]["command"] == ["python", "-m", "server", "worker"]
    assert SERVICES["worker"]["environment"]["DATABASE_URL"] == SERVICES["web"]["environment"]["DATABASE_URL"]
    assert SERVICES["worker"]["healthcheck"] == {"disable": True}  # that of the image asks a server
    assert SERVICES["web"]["environment"]["BACKGROUND"] == "off"


def test_the_image_does_not_run_as_root_and_has_no_build_tools() -> None:
    stage = final_stage()

    assert stage[0] == "FROM python:3.13-slim"
    assert instructions("USER", stage) == ["holdfast"]
    assert any("useradd --uid 10001" in line for line in instructions("RUN", stage))
    assert not any("pip" in line or "apt-get" in line for line in instructions("RUN", stage))
    assert json.loads(instructions("CMD", stage)[-1]) == ["python", "-m", "server", "serve"]


def test_whatever_is_copied_exists_and_passes_the_dockerignore() -> None:
    copies = [line.split()[:-1] for line in instructions("COPY") if not line.startswith("--from")]
    sources = [source for copy in copies for source in copy]
    ignored, *patterns = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")
    ]

    assert set(sources) == {
        "Pipfile",
        "Pipfile.lock",
        "compiler",
        "models",
        "resolvers",
        "schema",
        "server",
        "migrations",
    }
    assert all((ROOT / source).exists() for source in sources)
    (compiled,) = re.findall(r"^RUN python -m compileall -q (.+)$", "\n".join(DOCKERFILE), re.MULTILINE)
    assert set(compiled.split()) == {source for source in sources if (ROOT / source).is_dir()}
    assert ignored == "*"
    assert {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")} == set(sources)


class _Probed(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == self.server.healthy else 503)  # type: ignore[attr-defined]
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        """Nothing, where the standard library writes a line."""


@pytest.fixture
def probed() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), _Probed) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_health_check_passes_on_200_and_on_nothing_else(probed: HTTPServer, path: str) -> None:
    in_the_image = next(line for line in DOCKERFILE if line.startswith("HEALTHCHECK ")).partition(" CMD ")[2]
    check = {"/livez": json.loads(in_the_image), "/readyz": SERVICES["web"]["healthcheck"]["test"][1:]}[path]
    codes = []

    for healthy in (path, "nothing"):
        probed.healthy = healthy  # type: ignore[attr-defined]
        command = [sys.executable, *check[1:]]
        codes.append(subprocess.run(command, env={"PORT": str(probed.server_port)}, check=False).returncode)

    assert check[:2] == ["python", "-c"]
    assert codes == [0, 1]
