"""The real nginx with the project's own nginx.conf, before a server that answers what it was sent."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Self

import httpx2
import pytest
from websockets.exceptions import InvalidStatus

from tests.listening import dialled
from tests.ports import free_port

CONFIGURATION = Path(__file__).parents[2] / "nginx" / "nginx.conf"
QUERY = {"query": "{ serverTime }"}
TWO_MEGABYTES = 2 * 1024 * 1024
MODERN = "application/graphql-response+json"


class Upstream(ThreadingHTTPServer):
    """Answers each request with the headers it came with, until it is killed."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.address = f"127.0.0.1:{self.server_port}"
        self.answered: list[str] = []
        self.unanswered: list[str] = []
        self.killed = False
        self.losing = False  # the next request dies with its worker

    def __enter__(self) -> Self:
        Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Leave as a process does that got signal 9: no answer to what is under way, and nobody at the port."""
        self.killed = True
        self.shutdown()
        self.server_close()


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(0.005)
        if self.server.losing or self.server.killed:
            self.server.unanswered.append(self.headers["Idempotency-Key"])
            self.server.losing = False
            self.close_connection = True
            return
        self.server.answered.append(self.headers["Idempotency-Key"])
        seen = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"path": self.path, "padding": " " * 2000, **seen}).encode()
        self.send_response(200)
        self.send_header("Content-Type", MODERN if seen["accept"] == MODERN else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Request-Id", "of the server")
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815 - the names are the standard library's

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the standard library's
        """Nothing, where the standard library writes a line."""


@dataclass
class Proxy:
    port: int
    plain_port: int
    folder: Path
    trust: ssl.SSLContext
    client: httpx2.Client

    def send(self, raw: bytes) -> bytes:
        """Send bytes that no client library would, and read until nginx closes the connection."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        with plain, self.trust.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            connection.sendall(raw)
            return b"".join(iter(lambda: connection.recv(65536), b""))

    def log(self, name: str, value: str) -> dict[str, Any]:
        """Find a line of the access log, which nginx writes after it has answered."""
        for _ in range(100):
            for line in map(json.loads, (self.folder / "access.log").read_text().splitlines()):
                if line[name] == value:
                    return dict(line)
            time.sleep(0.01)
        raise AssertionError("no such line in the access log")


Start = Callable[..., Proxy]  # two upstreams, and what else to change in nginx.conf


def program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None and "CI" in os.environ:
        pytest.fail(f"{name} is not installed: .ci/run does that")
    return path or pytest.skip(f"{name} is not installed: apt-get install {name}")


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    with ExitStack() as running:

        def start_one(first: str, second: str, changes: dict[str, str] | None = None) -> Proxy:
            folder = tmp_path_factory.mktemp("nginx")
            make_certificate(folder)
            ports = free_port(), free_port()
            (folder / "nginx.conf").write_text(adapted(folder, ports, (first, second), changes or {}))
            return running.enter_context(nginx(folder, *ports))

        yield start_one


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with Upstream() as one:
        yield one


@pytest.fixture
def unreached(upstream: Upstream) -> Iterator[None]:
    before = len(upstream.answered)
    yield
    assert len(upstream.answered) == before


@pytest.fixture(scope="module")
def proxy(start: Start, upstream: Upstream) -> Proxy:
    return start(upstream.address, upstream.address)


def make_certificate(folder: Path) -> None:
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem"]
    request = [program("openssl"), "req", "-x509", *name, *key, "-out", "cert.pem"]
    subprocess.run(request, cwd=folder, check=True, capture_output=True)


@contextmanager
def nginx(folder: Path, port: int, plain_port: int) -> Iterator[Proxy]:
    trust = ssl.create_default_context(cafile=folder / "cert.pem")
    command = [program("nginx"), "-c", f"{folder}/nginx.conf", "-p", str(folder), "-e", "stderr"]
    started = subprocess.run(command, capture_output=True, check=False)  # until it listens and is in the background
    try:
        assert (started.returncode, started.stderr) == (0, b"")  # so it gives no warning either
        with httpx2.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, timeout=10) as client:
            yield Proxy(port, plain_port, folder, trust, client)
    finally:
        subprocess.run([*command, "-s", "stop"], capture_output=True, check=False)


def adapted(folder: Path, ports: tuple[int, int], upstreams: tuple[str, str], changes: dict[str, str]) -> str:
    """Change only where things are, and what a test asks for."""
    temporary = [f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")]
    places = {
        "/etc/nginx/tls/": f"{folder}/",
        "/var/log/nginx/": f"{folder}/",
        "/run/nginx.pid": f"{folder}/pid",
        "listen 443 ": f"listen 127.0.0.1:{ports[0]} ",
        "listen 80 ": f"listen 127.0.0.1:{ports[1]} ",
        "http {": f"http {{ {' '.join(temporary)}",
    }
    text = CONFIGURATION.read_text()
    for old, new in {**places, **changes}.items():
        assert old in text, f"nginx.conf does not say {old!r} any more"
        text = text.replace(old, new)
    for upstream in upstreams:
        text = text.replace("web:8000", upstream, 1)
    # Else the workers of a root's nginx were nobody, who may not enter pytest's folders.
    return f"user root;\n{text}" if os.geteuid() == 0 else text


def refusal(answer: httpx2.Response) -> tuple[int, str, str]:
    """Take a refusal apart: status, media type, code. Its shape, sentence and request id are checked here."""
    (error,) = answer.json()["errors"]
    message, code, request_id = error["message"], error["extensions"]["code"], answer.headers["X-Request-Id"]
    assert answer.json() == {"errors": [{"message": message, "extensions": {"code": code, "requestId": request_id}}]}
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert re.fullmatch(r"[A-Z][^\n<>]+\.", message)
    return answer.status_code, answer.headers["Content-Type"], code


def test_a_query_of_the_real_server_is_answered_through_tls(start: Start, server: Any, sql: Any) -> None:
    sql("UPDATE businesses SET is_public = true")  # behind a proxy nobody is the ADMIN of development
    proxy = start(f"127.0.0.1:{server.port}", f"127.0.0.1:{server.port}")

    answer = proxy.client.post("/graphql", json=QUERY)

    assert (answer.status_code, list(answer.json()["data"])) == (200, ["serverTime"])
    assert "errors" not in answer.json()


async def test_a_websocket_goes_through_the_proxy(start: Start, server: Any, sql: Any) -> None:
    sql("UPDATE businesses SET is_public = true")
    proxy = start(f"127.0.0.1:{server.port}", f"127.0.0.1:{server.port}")
    address = f"https://127.0.0.1:{proxy.port}"

    async with dialled(address, ssl=proxy.trust, origin=address) as one:
        await one.begin()
        await one.ask(QUERY["query"])
        answered, complete = await one.hear(), await one.hear()
    with pytest.raises(InvalidStatus):
        async with dialled(address, ssl=proxy.trust, origin="https://127.0.0.1"):  # of another port
            pass

    assert answered["payload"]["data"].keys() == {"serverTime"}
    assert complete["type"] == "complete"


def test_events_are_passed_on_at_once(start: Start, server: Any, sql: Any) -> None:
    sql("UPDATE businesses SET is_public = true")
    proxy = start(f"127.0.0.1:{server.port}", f"127.0.0.1:{server.port}")
    question = {"query": "subscription { availabilityChanged { reason } }"}

    with proxy.client.stream("POST", "/graphql", json=question, headers={"accept": "text/event-stream"}) as answer:
        first = next(answer.iter_text())

    assert first == ":\n\n"  # nginx has not waited for more
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert "content-encoding" not in answer.headers


def test_tls_is_modern_and_asks_to_be_kept(proxy: Proxy) -> None:
    answer = proxy.client.get("/graphql")

    assert answer.extensions["network_stream"].get_extra_info("ssl_object").version() == "TLSv1.3"
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.usefixtures("unreached")
def test_plain_http_is_sent_to_https_and_a_post_stays_a_post(proxy: Proxy) -> None:
    answer = httpx2.post(f"http://127.0.0.1:{proxy.plain_port}/graphql?a=b", json=QUERY)
    misdirected = httpx2.get(f"http://127.0.0.1:{proxy.port}/graphql")

    assert (answer.status_code, answer.headers["Location"]) == (308, "https://127.0.0.1/graphql?a=b")
    assert (misdirected.status_code, misdirected.headers["Location"]) == (308, f"{proxy.client.base_url}/graphql")


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_two_megabytes_is_refused_in_graphql_shape(proxy: Proxy, *, chunked: bool) -> None:
    body = b"a" * (TWO_MEGABYTES + 1)

    answer = proxy.client.post("/graphql", content=iter([body]) if chunked else body)
    line = proxy.log("request_id", answer.headers["X-Request-Id"])

    assert refusal(answer) == (413, "application/json", "BODY_TOO_LARGE")
    assert "Retry-After" not in answer.headers
    assert (line["method"], line["path"], line["status"]) == ("POST", "/graphql", 413)


def test_a_refusal_comes_in_the_media_type_that_was_asked_for(proxy: Proxy) -> None:
    accept = {"Accept": f"{MODERN}; charset=utf-8, application/json; q=0.9"}

    refused = proxy.client.post("/graphql", content=b"a" * (TWO_MEGABYTES + 1), headers=accept)
    passed = proxy.client.post("/graphql", content=b"a" * TWO_MEGABYTES, headers=accept)

    assert refusal(refused) == (413, MODERN, "BODY_TOO_LARGE")
    assert passed.status_code == 200


def test_an_address_over_its_rate_is_refused_and_told_when_to_come_back(start: Start, upstream: Upstream) -> None:
    proxy = start(upstream.address, upstream.address, {"rate=50r/s": "rate=1r/m", "burst=100": "burst=2"})

    answers = [proxy.client.post("/graphql", json=QUERY) for _ in range(4)]
    probes = [proxy.client.get("/livez") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert refusal(answers[-1]) == (429, "application/json", "RATE_LIMITED")
    assert answers[-1].headers["Retry-After"] == "1"
    assert {probe.status_code for probe in probes} == {200}


def test_a_server_that_is_down_is_a_refusal_that_may_be_tried_again(start: Start) -> None:
    nobody = f"127.0.0.1:{free_port()}"
    proxy = start(nobody, nobody)

    answer = proxy.client.post("/graphql", json=QUERY)

    assert refusal(answer) == (502, "application/json", "UNAVAILABLE")
    assert answer.headers.keys() >= {"retry-after", "strict-transport-security"}


def test_a_killed_server_costs_no_failed_request_and_none_is_done_twice(start: Start) -> None:
    with Upstream() as standing, Upstream() as killed, ThreadPoolExecutor(8) as clients:
        proxy = start(killed.address, standing.address)

        answers = [clients.submit(proxy.client.post, "/graphql", json=QUERY) for _ in range(80)]
        answers[0].result()
        killed.kill()
        statuses = [answer.result().status_code for answer in answers]

        assert statuses == [200] * 80
        assert set() < set(killed.unanswered) <= set(standing.answered)
        assert len(set(killed.answered + standing.answered)) == len(killed.answered + standing.answered) == 80


def test_a_killed_worker_costs_no_failed_request_where_one_address_has_many(proxy: Proxy, upstream: Upstream) -> None:
    statuses = []

    for _ in range(4):
        upstream.losing = True
        statuses.append(proxy.client.post("/graphql", json=QUERY).status_code)

    assert statuses == [200] * 4
    assert upstream.unanswered[-4:] == upstream.answered[-4:]


@pytest.mark.usefixtures("unreached")
def test_a_body_that_stops_coming_is_given_up_without_reaching_the_server(start: Start, upstream: Upstream) -> None:
    proxy = start(upstream.address, upstream.address, {"client_body_timeout         10s": "client_body_timeout 300ms"})

    answer = proxy.send(b"POST /graphql?slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{")

    assert answer == b""  # nginx answers a 408 with silence
    assert proxy.log("path", "/graphql")["status"] == 408


@pytest.mark.usefixtures("unreached")
@pytest.mark.parametrize(
    ("status", "header"),
    [
        (400, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        (400, "Content-Length: 5\r\nContent-Length: 6"),
        (501, "Transfer-Encoding: chunked, identity"),
        (431, f"Authorization: Bearer {'a' * 9000}"),
        (431, f"{'a' * 40_000}: a"),
    ],
)
def test_smuggled_and_huge_headers_are_refused_in_graphql_shape(proxy: Proxy, status: int, header: str) -> None:
    answer = proxy.send(f"POST /graphql HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n0\r\n\r\n".encode())

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status}".encode())
    assert json.loads(body)["errors"][0]["extensions"]["code"] == "BAD_REQUEST"


def test_what_a_client_says_of_its_address_is_replaced(proxy: Proxy) -> None:
    dropped = ["X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "Forwarded"]
    forged = dict.fromkeys(["X-Forwarded-For", "X-Forwarded-Proto", *dropped], "203.0.113.9")

    seen = proxy.client.post("/graphql", json=QUERY, headers=forged).json()

    host = f"127.0.0.1:{proxy.port}"
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"], seen["host"]) == ("127.0.0.1", "https", host)
    assert not seen.keys() & {name.lower() for name in dropped}


def test_one_request_id_is_seen_by_the_server_the_client_and_the_log(proxy: Proxy) -> None:
    answer = proxy.client.get("/graphql?query=secret", headers={"X-Request-Id": "forged"})

    request_id = answer.json()["x-request-id"]
    line = proxy.log("request_id", request_id)
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    assert answer.headers.get_list("X-Request-Id") == [request_id]
    assert (line["method"], line["path"], line["status"]) == ("GET", "/graphql", 200)
    assert "secret" not in json.dumps(line)


@pytest.mark.parametrize("path", ["/calendars/secret.ics", "/Calendars/secret.ics", "/%63alendar%53/secret.ics?x"])
def test_the_secret_of_a_calendar_is_in_no_log(start: Start, path: str) -> None:
    gone = f"127.0.0.1:{free_port()}"
    proxy = start(gone, gone)

    answer = proxy.client.get(path)

    line = proxy.log("request_id", answer.headers["X-Request-Id"])
    assert (answer.status_code, line["path"], line["status"]) == (502, "/calendars/...", 502)
    assert "secret" not in json.dumps(line)
    assert "secret" not in (proxy.folder / "error.log").read_text()


def test_a_clients_idempotency_key_is_kept_and_a_missing_one_is_filled(proxy: Proxy) -> None:
    kept = proxy.client.post("/graphql", json=QUERY, headers={"Idempotency-Key": "mine"}).json()
    filled = proxy.client.post("/graphql", json=QUERY).json()

    assert kept["idempotency-key"] == "mine"
    assert filled["idempotency-key"] == filled["x-request-id"]


@pytest.mark.parametrize("accept", [MODERN, "application/json"])
def test_answers_are_compressed_for_those_who_can_read_it(proxy: Proxy, accept: str) -> None:
    compressed = proxy.client.get("/graphql", headers={"Accept": accept}).headers
    plain = proxy.client.get("/graphql", headers={"Accept": accept, "Accept-Encoding": "identity"}).headers

    assert (compressed["Content-Type"], compressed["Content-Encoding"]) == (accept, "gzip")
    assert (plain["Content-Type"], plain["Vary"], plain.get("Content-Encoding")) == (accept, "Accept-Encoding", None)


def test_a_websocket_is_passed_on_and_no_other_upgrade(proxy: Proxy) -> None:
    asked = {"Upgrade": "websocket", "Connection": "Upgrade"}

    websocket = proxy.client.get("/graphql", headers=asked).json()
    smuggler = proxy.client.get("/graphql", headers=asked | {"Upgrade": "h2c"}).json()

    assert (websocket["upgrade"], websocket["connection"]) == ("websocket", "upgrade")
    assert not smuggler.keys() & {"upgrade", "connection"}


def test_the_files_of_graphiql_may_be_kept_and_answers_may_not(proxy: Proxy) -> None:
    file = proxy.client.get("/graphiql/graphiql.min.js")
    answer = proxy.client.get("/graphql")

    assert file.json()["path"] == "/graphiql/graphiql.min.js"
    assert file.headers["Cache-Control"] == "max-age=86400"
    assert "Cache-Control" not in answer.headers


def test_readiness_and_metrics_are_for_the_inside(start: Start, proxy: Proxy, upstream: Upstream) -> None:
    outside = start(upstream.address, upstream.address, {"allow      127.0.0.0/8;": ""})

    seen = [proxy.client.get(path).status_code for path in ("/livez", "/readyz", "/metrics")]
    spelled = ("/readyz", "/metrics", "/metrics?of=all", "/%6Detrics", "//metrics", "/graphiql/../metrics")
    refused = [
        outside.send(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()) for path in spelled
    ]

    assert seen == [200, 200, 200]
    assert refusal(outside.client.get("/metrics")) == (403, "application/json", "FORBIDDEN")
    assert {answer.partition(b"\r\n")[0] for answer in refused} == {b"HTTP/1.1 403 Forbidden"}
    assert outside.client.get("/livez").status_code == 200
