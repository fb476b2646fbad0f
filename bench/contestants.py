"""Contestants: ours on both its roads, the limits, and the peers, each with what it is asked."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from uuid import UUID

from bench import questions, statements
from bench.layouts import Contestant, Layout
from bench.limit import pgbench
from bench.load import Figures, Job, Request, Work, measure
from bench.npm import installed
from bench.processes import family, on
from bench.questions import A_LIST, A_PROVIDER, A_RESERVATION, SIZE
from bench.servers import Server, node, ours, plain, uvicorn
from bench.statements import Sent
from bench.world import World

MOST_A_SECOND = 25_000
PEERS = {"postgraphile": questions.POSTGRAPHILE_READ, "mercurius": questions.PEER_READ}


@dataclass
class Stage:
    """The contestants of one layout, whose servers run until it is left."""

    world: World
    layout: Layout
    only: set[str]
    servers: ExitStack

    def contestants(self) -> Iterator[Contestant]:
        yield from self._ours()
        yield from self._limits()
        yield from self._peers()

    def warming(self, server: Server) -> Iterator[Contestant]:
        """What a worker has done before its memory is read."""
        yield self._reading("read_ours", server, questions.reads(self.world))
        yield self._loaded("nested_ours", server, questions.nested_reads(self.world), A_LIST)
        yield self._reserving("reserve_ours", server)

    def wants(self, *names: str) -> bool:
        return not self.only or bool(self.only & set(names))

    def _ours(self) -> Iterator[Contestant]:
        reads, nested = questions.reads(self.world), questions.nested_reads(self.world)
        if self.wants("read_ours", "nested_ours", "reserve_ours"):
            server = self.servers.enter_context(ours(self.world, self.layout))
            yield self._reading("read_ours", server, reads)
            yield self._loaded("nested_ours", server, nested, A_LIST)
            yield self._reserving("reserve_ours", server)
        yield from self._guarded()
        if self.layout.workers > 1 and self.wants("read_one_worker"):
            server = self.servers.enter_context(ours(self.world, self.layout, WORKERS="1"))
            yield self._reading("read_one_worker", server, reads)
        if self.wants("read_ordinary", "nested_ordinary", "reserve_ordinary"):
            server = self.servers.enter_context(ours(self.world, self.layout, COMPILE="off"))
            yield self._reading("read_ordinary", server, reads)
            yield self._loaded("nested_ordinary", server, nested, A_LIST)
            yield self._reserving("reserve_ordinary", server)

    def _guarded(self) -> Iterator[Contestant]:
        """The same server with and without all that knows who asks, and what they may."""
        if not self.wants("read_guarded", "reserve_guarded", "read_unguarded", "reserve_unguarded"):
            return
        reads, settings = questions.reads(self.world), {"API_KEYS": "on", "RATE_LIMIT": "999999999"}
        guarded = self.servers.enter_context(ours(self.world, self.layout, **settings))
        open_ = self.servers.enter_context(ours(self.world, self.layout))
        token = self.world.key()
        for name, server, shown in (("guarded", guarded, token), ("unguarded", open_, "")):
            reading = self._loaded(f"read_{name}", server, reads, A_PROVIDER, shown)
            for each in (reading, self._reserving(f"reserve_{name}", server, shown)):
                yield replace(each, is_guarded=bool(shown))

    def _limits(self) -> Iterator[Contestant]:
        sent = statements.read_sent()
        rows = Sent(statements.read_rows(), (_the_provider(sent),))
        for name, plain_one in (
            ("read_plain", Sent(statements.read_json(), rows.values)),
            ("read_plain_same_sql", sent),
        ):
            if self.wants(name):
                server = self.servers.enter_context(plain(self.world, self.layout, plain_one))
                yield self._reading(name, server, questions.plain_reads(self.world))
        yield self._pgbench("read_pgbench", sent)
        yield self._pgbench("read_pgbench_rows", rows)
        yield self._pgbench("reserve_pgbench", statements.reserve_sent(), writes=True)

    def _peers(self) -> Iterator[Contestant]:
        if self.wants("read_idiomatic"):
            server = self.servers.enter_context(uvicorn(self.world, self.layout, "bench.idiomatic:app"))
            yield self._reading("read_idiomatic", server, questions.peer_reads(self.world, questions.PEER_READ))
        for name, document in PEERS.items():
            folder = installed(name) if self.wants(f"read_{name}") else None
            if folder is not None:
                server = self.servers.enter_context(node(self.world, self.layout, folder))
                yield self._reading(f"read_{name}", server, questions.peer_reads(self.world, document))

    def _reading(self, name: str, server: Server, requests: list[Request]) -> Contestant:
        """A contestant of the read, once its answer is seen to have all the appointments, each with its provider."""
        answer = server.ask(requests[0])
        if answer.count('"Provider"') != SIZE:
            raise RuntimeError(f"{name} answers {answer[:500]}")
        return self._loaded(name, server, requests, A_PROVIDER)

    def _loaded(self, name: str, server: Server, requests: list[Request], needs: str, token: str = "") -> Contestant:
        def run(seconds: float) -> Figures:
            return loaded(self.layout, server, requests, Work(seconds, needs, again=True, token=token))

        return Contestant(name, run, server.process)

    def _reserving(self, name: str, server: Server, token: str = "") -> Contestant:
        def run(seconds: float) -> Figures:
            requests = list(questions.reserves(self.world, int(seconds * MOST_A_SECOND)))
            return loaded(self.layout, server, requests, Work(seconds, A_RESERVATION, again=False, token=token))

        return Contestant(name, run, server.process, writes=True)

    def _pgbench(self, name: str, sent: Sent, *, writes: bool = False) -> Contestant:
        def run(seconds: float) -> Figures:
            with on(self.layout.server):
                return pgbench(self.world, sent, connections=self.layout.connections, seconds=seconds)

        return Contestant(name, run, writes=writes)


def loaded(layout: Layout, server: Server, requests: list[Request], work: Work) -> Figures:
    """Load a server from where the layout has the load generator."""
    share = -(-layout.connections // server.workers)
    job = Job(work, server.port, layout.connections, share, family(server.process))
    with on(layout.generator):
        return measure(job, requests)


def _the_provider(sent: Sent) -> UUID:
    return next(value for value in sent.values if isinstance(value, UUID))
