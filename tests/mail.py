"""Mail for tests: a real SMTP server on loopback that keeps what it is given, and a real gateway for SMS."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from resolvers.database import Database
from server.settings import Settings
from server.workers import notifications
from tests.conftest import Api
from tests.receiver import relayed

SENDER = "no-reply@salon.example"
NOTIFICATIONS = """query ($filter: NotificationFilter) { notifications(filter: $filter, last: 100) { nodes {
  channel topic template status attempts problem sentAt subject text
  client { id } provider { id } reservation { id } } } }"""


@dataclass
class Post:
    """What an SMTP server was given, and what it answers to recipients: 250, unless told otherwise."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    sessions: set[int] = field(default_factory=set)
    delay: float = 0.0

    async def handle_RCPT(  # noqa: N802 -- as aiosmtpd calls it
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, _server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        await asyncio.sleep(self.delay)
        content = envelope.content
        assert isinstance(content, bytes)
        parsed = message_from_bytes(content, policy=policy.default)
        assert isinstance(parsed, EmailMessage)
        self.mails.append(parsed)
        self.recipients.append(envelope.rcpt_tos)
        self.sessions.add(id(session))
        return "250 OK"

    def text(self, n: int = -1) -> str:
        """The plain text of a mail, with ordinary ends of lines."""
        part = self.mails[n].get_body(("plain",))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")

    def html(self, n: int = -1) -> str:
        part = self.mails[n].get_body(("html",))
        assert part is not None
        return str(part.get_content())

    def calendar(self, n: int = -1) -> str | None:
        for part in self.mails[n].iter_attachments():
            if part.get_content_type() == "text/calendar":
                return str(part.get_content())
        return None

    @property
    def settings(self) -> dict[str, str]:
        return {"SMTP_URL": f"smtp://127.0.0.1:{self.port}", "MAIL_FROM": SENDER}


class Listening(Controller):
    """A controller that takes whatever port it is given by the system, so that nobody else can have it before."""

    async def _create_server(self) -> asyncio.AbstractServer:
        server = await super()._create_server()
        assert isinstance(server, asyncio.Server)
        self.port = server.sockets[0].getsockname()[1]
        return server


@contextmanager
def post() -> Iterator[Post]:
    """A mail server on a free port."""
    kept = Post()
    controller = Listening(kept, hostname="127.0.0.1", port=0, ready_timeout=30, enable_SMTPUTF8=True)
    controller.start()
    kept.port = controller.port
    try:
        yield kept
    finally:
        controller.stop()


@dataclass
class Telephone:
    """What a gateway was asked, and what it answers."""

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    status: int = 202

    @property
    def settings(self) -> dict[str, str]:
        return {"SMS_URL": self.url, "SMS_TOKEN": "a-token"}


@contextmanager
def telephone() -> Iterator[Telephone]:
    """A gateway for SMS on a free port."""
    kept = Telephone()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            kept.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            kept.headers.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(kept.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_port}/messages"
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


async def told(database: Database, **settings: str) -> dict[str, int]:
    """Relay all events, and send what is due, as one pass of the worker does."""
    await relayed(database)
    return await notifications.send(database, Settings.read(settings), asyncio.Event())


async def log(api: Api, headers: dict[str, str] | None = None, **filter_: Any) -> list[dict[str, Any]]:
    """What the API tells of messages, the newest first."""
    answer = await api.post(NOTIFICATIONS, headers, filter=filter_)
    assert "errors" not in answer, answer["errors"]
    nodes: list[dict[str, Any]] = answer["data"]["notifications"]["nodes"]
    return nodes


@pytest.fixture(scope="module")
def server() -> Iterator[Post]:
    with post() as kept:
        yield kept


@pytest.fixture
def mails(server: Post) -> Post:
    """A mail server that was given nothing yet."""
    server.mails.clear()
    server.recipients.clear()
    server.answers.clear()
    server.sessions.clear()
    server.delay = 0.0
    return server


@pytest.fixture
def phone() -> Iterator[Telephone]:
    with telephone() as kept:
        yield kept
