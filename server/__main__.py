"""The command line: python -m server serve | worker | migrate | seed | token | schema | plan."""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType

import uvicorn
from uvicorn.supervisors import Multiprocess

from schema import schema
from schema.execution import Documents
from server import api_token, logs, plan, worker
from server.metrics import Worked
from server.migration import migrate, newest
from server.persisted import persisted
from server.postgres import PostgresError, embedded
from server.seed import SeedError, seed
from server.settings import Settings, SettingsError

SECONDS_TO_FINISH = 10
LARGEST_MESSAGE, SECONDS_TO_PING = 100_000, 20.0
DEVELOPMENT = (
    "Development: whoever asks from this machine without a token acts as the ADMIN of the default business."
    " Before others can ask, set OIDC_ISSUER and OIDC_AUDIENCE, or API_KEYS=on."
)


def main() -> int:
    """Run the command; a bad setting or a database that does not start is one sentence, never a stack."""
    commands = {"serve": serve, "migrate": bring_up_to_date, "seed": fill}
    parser = argparse.ArgumentParser(prog="python -m server")
    parsers = parser.add_subparsers(dest="command", required=True)
    for name in (*commands, "schema"):
        parsers.add_parser(name)
    plan.arguments(parsers.add_parser("plan", help="say which road a document takes, and with which statements"))
    api_token.arguments(
        parsers.add_parser("token", help="make an API key and print its token, or list or end the keys")
    )
    worker.arguments(parsers.add_parser("worker", help="do what is done in the background, each hour until Ctrl-C"))
    given = parser.parse_args()
    try:
        if given.command == "schema":
            print(schema.as_str())
        elif given.command == "plan":
            print(plan.told(given.document, given.variables, given.operation))
        else:
            settings = Settings.read(os.environ)
            logs.configure(settings.log_level)
            if given.command == "token":
                keep_keys(settings, given)
            elif given.command == "worker":
                work(settings, given)
            else:
                commands[given.command](settings)
    except (
        SettingsError,
        PostgresError,
        SeedError,
        plan.PlanError,
        api_token.TokenError,
        worker.WorkerError,
    ) as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


def serve(settings: Settings) -> None:
    """Database, migrations, workers: until SIGTERM or Ctrl-C, after which requests in flight are finished."""
    settings.check_identity()
    # Told here if they are bad: a worker could only die of it, again and again.
    persisted(settings.trusted_documents, Documents(introspection=settings.introspection))
    with (
        _listening(settings) as listening,
        _database(settings) as url,
        TemporaryDirectory(prefix="holdfast-metrics-") as folder,
    ):
        migrate(settings.owner_database_url or url)
        # For the workers, which read the settings like every process, and need not know how to migrate.
        os.environ |= {"DATABASE_URL": url, "NEWEST_MIGRATION": newest(), "METRICS_FOLDER": folder}
        config = uvicorn.Config(
            "server.http:worker",
            factory=True,
            workers=settings.workers,
            http="server.protocol:Protocol",
            ws="websockets-sansio",
            ws_max_size=LARGEST_MESSAGE,
            ws_ping_interval=SECONDS_TO_PING,
            ws_ping_timeout=SECONDS_TO_PING,
            ws_per_message_deflate=False,  # it would take 30 kB of memory for each connection
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SECONDS_TO_FINISH,
        )
        if settings.is_development:
            print(DEVELOPMENT)
        print(f"Holdfast serves http://{settings.host}:{listening.getsockname()[1]}/graphql", flush=True)
        with worker.kept() if settings.background else nullcontext():
            # Workers are children even if there is one: a killed one comes back without a supervisor of ours.
            Multiprocess(config, sockets=[listening]).run()


def _listening(settings: Settings) -> socket.socket:
    """Take the port before anything is started."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as problem:
        why = str(problem.strerror).partition(" (")[0]
        sentence = f"Port {settings.port} of {settings.host} cannot be used ({why}); set PORT or HOST."
        raise SettingsError(sentence) from None


def bring_up_to_date(settings: Settings) -> None:
    with _database(settings) as url:
        migrate(settings.owner_database_url or url)


def fill(settings: Settings) -> None:
    with _database(settings) as url:
        migrate(settings.owner_database_url or url)
        asyncio.run(seed(url))


def work(settings: Settings, given: argparse.Namespace) -> None:
    """Work in the background, beside servers or in the place of theirs; what a server's own one does is counted with it."""
    counted = Worked(Path(os.environ["METRICS_FOLDER"]) if given.child else None)
    with _database(settings) as url:
        if given.once:
            print(asyncio.run(worker.once(url, counted)))
        else:
            asyncio.run(worker.work(url, counted, is_child=given.child))


def keep_keys(settings: Settings, given: argparse.Namespace) -> None:
    with _database(settings) as url:
        migrate(settings.owner_database_url or url)
        told = asyncio.run(api_token.told(url, given, settings))
    if told.output:
        print(told.output)
    if told.beside:
        print(told.beside, file=sys.stderr)


@contextmanager
def _database(settings: Settings) -> Iterator[str]:
    """The address of the database: the one of the settings, which is then left alone, or an embedded one."""
    if settings.database_url is not None:
        yield settings.database_url
        return
    signal.signal(signal.SIGTERM, _interrupt)  # so that what is embedded is stopped as Ctrl-C would
    connections = max(200, settings.workers * (settings.pool_size + settings.lanes + 1) + 20)
    with embedded(settings.data_dir / "postgres", settings={"max_connections": str(connections)}) as url:
        yield url


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
