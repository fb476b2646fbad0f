"""A real nats-server on this machine, and what its stream has."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import nats
import pytest
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import NotFoundError

from tests.ports import free_port
from tests.server.test_crash import until

PROGRAM = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@dataclass(frozen=True)
class Delivered:
    """A message, as a consumer gets it."""

    subject: str
    id: str
    body: bytes


@dataclass
class Nats:
    """A server whose stream outlives it."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        assert PROGRAM is not None
        given = ("-js", "-sd", str(self.folder), "-a", "127.0.0.1", "-p", str(self.port), "-l", f"{self.folder}.log")
        self.process = subprocess.Popen([PROGRAM, *given])
        until(self._listens, within=30)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def _listens(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    async def delivered(self, stream: str = "HOLDFAST") -> list[Delivered]:
        """Everything that the stream has, in its order."""
        found: list[Delivered] = []
        client = await nats.connect(self.url)
        try:
            context = client.jetstream()
            total = (await context.stream_info(stream)).state.messages
            consumer = await context.pull_subscribe("holdfast.>", stream=stream)
            while len(found) < total:
                for message in await consumer.fetch(min(500, total - len(found)), timeout=30):
                    found.append(Delivered(message.subject, (message.headers or {})["Nats-Msg-Id"], message.data))
                    await message.ack()
        except (NotFoundError, NatsTimeoutError):
            pass
        finally:
            await client.close()
        return found


@contextmanager
def streaming(folder: Path) -> Iterator[Nats]:
    """Run a server, or skip the test where there is none; but never in the checks that every change has to pass."""
    if PROGRAM is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("nats-server is not installed")
    server = Nats(folder / "nats", free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()
