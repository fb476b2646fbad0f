"""Servers: starting what is measured, on the cores and with the workers of its layout."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx2

from bench import statements
from bench.layouts import Layout
from bench.load import Request
from bench.processes import family, free_port, on, resident_mb, started, wait
from bench.statements import Sent
from bench.world import World
from models.business import DEFAULT_BUSINESS


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    process: int
    port: int
    workers: int

    def ask(self, request: Request) -> str:
        address = f"http://127.0.0.1:{self.port}{request.path}"
        json_ = {"content-type": "application/json"}
        answer = httpx2.post(address, content=request.body, headers=json_) if request.body else httpx2.get(address)
        return answer.text

    def worker_mb(self) -> float:
        """The memory of its largest worker."""
        workers = [pid for pid in family(self.process) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return max(resident_mb(worker) for worker in workers)


@contextmanager
def ours(world: World, layout: Layout, **settings: str) -> Iterator[Server]:
    """Our server, as `make serve` starts it."""
    with _server([sys.executable, "-m", "server", "serve"], world, layout, settings) as server:
        yield server


@contextmanager
def uvicorn(world: World, layout: Layout, app: str, **more: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", app, "--port", str(port), "--no-access-log"]
    if layout.workers > 1:
        command += ["--workers", str(layout.workers)]
    with _server(command, world, layout, {"PORT": str(port), **more}) as server:
        yield server


@contextmanager
def plain(world: World, layout: Layout, sent: Sent) -> Iterator[Server]:
    """The hand-written endpoint, with a statement whose only UUID of a request is the provider."""
    values = json.dumps([None if isinstance(value, UUID) else value for value in sent.values])
    with uvicorn(world, layout, "bench.plain:app", PLAIN_SQL=sent.sql, PLAIN_VALUES=values) as server:
        yield server


@contextmanager
def node(world: World, layout: Layout, folder: Path) -> Iterator[Server]:
    more = {"READ_SQL": statements.read_appointments(), "NODE_ENV": "production", "GRAPHILE_ENV": "production"}
    with _server(["node", str(folder / "server.js")], world, layout, more) as server:
        yield server


@contextmanager
def _server(command: list[str], world: World, layout: Layout, more: Mapping[str, str]) -> Iterator[Server]:
    """Start a server where the layout has it."""
    told = {"PORT": str(free_port()), "WORKERS": str(layout.workers), "BUSINESS": str(DEFAULT_BUSINESS), **more}
    with ExitStack() as stack:
        with on(layout.server):
            process = stack.enter_context(started(command, DATABASE_URL=world.url, **told))
        server = Server(process, int(told["PORT"]), int(told["WORKERS"]))
        wait(server.port)
        yield server
