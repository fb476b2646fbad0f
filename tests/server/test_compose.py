"""compose.yml, Dockerfile and their neighbours: what can be known of them without a container engine."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from ruamel.yaml import YAML

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
    commands = "\n".join(re.findall(r"^#   (.+)$", HEAD, re.MULTILINE))

    subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True, capture_output=True)

    assert re.fullmatch("POSTGRES_PASSWORD=[0-9a-f]{48}\n", (tmp_path / ".env").read_text())
    assert sorted(path.name for path in (tmp_path / "nginx" / "tls").iterdir()) == ["cert.pem", "key.pem"]


def test_every_variable_without_a_default_is_explained_at_the_head() -> None:
    needed = set(re.findall(r"\$\{(\w+)(?!\w*:-)", TEXT))

    assert needed == {"POSTGRES_PASSWORD"}
    assert all(f"{name}=" in HEAD for name in needed)


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
    assert SERVICES["postgres"]["networks"] == ["data"]


def test_each_service_starts_when_what_it_needs_is_there() -> None:
    conditions = {
        name: {needed: rule["condition"] for needed, rule in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }

    assert conditions == {
        "postgres": {},
        "migrate": {"postgres": "service_healthy"},
        "web": {"postgres": "service_healthy", "migrate": "service_completed_successfully"},
        "nginx": {"web": "service_healthy"},
    }
    assert all("test" in SERVICES[name]["healthcheck"] for name in ("postgres", "web", "nginx"))
    assert all(SERVICES[name]["restart"] == "unless-stopped" for name in ("postgres", "web", "nginx"))
    assert SERVICES["migrate"]["restart"] == "no"


def test_the_server_believes_its_proxy_and_the_proxy_finds_the_server() -> None:
    proxy = SERVICES["nginx"]["networks"]["proxied"]["ipv4_address"]
    upstreams = re.findall(r"^\s+server (\S+)", (ROOT / "nginx" / "nginx.conf").read_text(), re.MULTILINE)
    (environment,) = instructions("ENV")

    assert SERVICES["web"]["environment"]["FORWARDED_ALLOW_IPS"] == proxy
    assert "proxied" in SERVICES["web"]["networks"]
    assert [upstream for upstream in upstreams if ":" in upstream] == ["web:8000", "web:8000"]
    assert "PORT=8000" in environment.split()
    assert "HOST=0.0.0.0" in environment.split()


def test_the_image_is_built_once_and_used_twice() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]
    assert SERVICES["migrate"]["image"] == SERVICES["web"]["image"]
    assert SERVICES["migrate"]["command"] == ["python", "-m", "server", "migrate"]


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
