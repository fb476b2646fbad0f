"""Recorded statements: what a request runs, with which values; to be run by pgbench, and to be explained."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson
import psycopg
from psycopg import postgres, sql
from psycopg.adapt import PyFormat, Transformer
from sqlalchemy import event

from bench.limit import Scripts
from bench.load import Request
from models.business import DEFAULT_BUSINESS
from resolvers.lane import Answer, Statement, Values
from server.database import APPLICATION, LANE, LIMITS, connected, options
from server.http import application
from server.migration import newest
from server.settings import Settings

TIMES = 15
UNKNOWN = "unknown"
MANY = 10_000  # rows, which no page and no month has
PLACE = re.compile(r"%%|%\((\w+)\)s")
SPACE = re.compile(r"\s+")
EXPLAIN = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON)"


@dataclass(frozen=True)
class Recorded:
    """A statement with its places, $1 to $n, the types and the texts of what fills them; and the road on which it was run."""

    sql: str
    values: tuple[str | None, ...]
    types: tuple[str, ...]
    is_compiled: bool

    @property
    def session(self) -> str:
        """What the server's own connections of that road are set to, and whom they are for."""
        settings = LANE if self.is_compiled else LIMITS
        told = {**settings, "holdfast.business_id": str(DEFAULT_BUSINESS), "statement_timeout": "60s"}
        return options(told, APPLICATION)


@dataclass(frozen=True)
class Cost:
    """What statements cost the database: microseconds, rows that were looked at, and what no index helped with."""

    us: float
    rows: int
    faults: tuple[str, ...]


async def recorded(url: str, requests: Sequence[Request]) -> list[list[Recorded]]:
    """Answer requests in this process, and note what each of them runs."""
    settings = Settings.read({})
    database = connected(url, 4, settings.lanes)
    app = application(settings)
    app.state.database, app.state.newest = database, newest()
    ran: list[Recorded] = []
    run, driver = database.lanes.run, Transformer()

    def on_lane(statement: Statement, values: Values, business: bytes = b"") -> Answer:
        told = tuple(None if value is None else value.decode() for value in values)
        ran.append(Recorded(statement.sql.decode(), told, (UNKNOWN,) * len(told), is_compiled=True))
        return run(statement, values, business)

    def on_pool(*given: Any) -> None:
        ran.append(_read(given[2], given[3], driver))

    database.lanes.run = on_lane  # type: ignore[method-assign]
    event.listen(database.engine.sync_engine, "before_cursor_execute", on_pool)
    found = []
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        for request in requests:
            ran.clear()
            answer = await client.post(request.path, content=request.body, headers={"content-type": "application/json"})
            if "errors" in orjson.loads(answer.content):
                raise RuntimeError(answer.text[:1000])
            found.append(list(ran))
    await database.close()
    return found


def _read(statement: str, parameters: Any, driver: Any) -> Recorded:
    """Number the named places of a statement, as the driver does."""
    names: list[str] = []

    def place(found: re.Match[str]) -> str:
        if found[1] is None:
            return "%"
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}"

    text = PLACE.sub(place, statement)
    dumped = driver.dump_sequence([parameters[name] for name in names], [PyFormat.TEXT] * len(names))
    values = tuple(None if value is None else bytes(value).decode() for value in dumped)
    return Recorded(text, values, tuple(map(_type, driver.types)), is_compiled=False)


def _type(oid: int) -> str:
    """Name a type as the driver knows it; what it leaves open, the database finds out."""
    known = postgres.types.get(oid)
    return UNKNOWN if known is None else f"{known.name}{'[]' if oid == known.array_oid else ''}"


def scripts_of(ways: Sequence[Sequence[Recorded]]) -> Scripts:
    """Write for pgbench what each way of asking runs, prepared once on each connection.

    Not by pgbench itself, which numbers every place anew: what is grouped by would no longer be what is selected.
    """
    distinct = {_prepared("", one): one for statements in ways for one in statements}
    names = {key: f"recorded_{n}" for n, key in enumerate(distinct)}
    lines = [f"{SPACE.sub(' ', _prepared(names[key], one))};" for key, one in distinct.items()]
    once = "\n".join(["\\if :is_new", *lines, "\\set is_new 0", "\\endif", ""])
    texts = [
        once + "".join(f"{_executed(names[_prepared('', one)], one)};\n" for one in statements) for statements in ways
    ]
    return Scripts(texts, ways[0][0].session, {"is_new": 1}, mode="simple")


def _prepared(name: str, statement: Recorded) -> str:
    types = f"({', '.join(statement.types)})" if statement.types else ""
    return f"PREPARE {name}{types} AS {statement.sql}"


def _executed(name: str, statement: Recorded) -> str:
    """Execute a prepared statement with what it was recorded with."""
    told = ", ".join(sql.Literal(value).as_string(None) for value in statement.values)
    return f"EXECUTE {name}({told})" if told else f"EXECUTE {name}"


def cost(url: str, statements: Sequence[Recorded], times: int = TIMES) -> Cost:
    """Run the statements of a request one after the other, each several times, and nothing of it is kept.

    The quickest counts, by the database's own clock: what else the machine does only ever adds.
    """
    costs = [_cost(url, statement, times) for statement in statements]
    faults = tuple(fault for each in costs for fault in each.faults)
    return Cost(round(sum(each.us for each in costs), 1), sum(each.rows for each in costs), faults)


def _cost(url: str, statement: Recorded, times: int) -> Cost:
    explained = f"{EXPLAIN} {_executed('recorded', statement)}".encode()
    took = []
    with psycopg.connect(url, options=statement.session) as connection:
        connection.execute(_prepared("recorded", statement).encode())
        for _ in range(times):
            with connection.transaction(force_rollback=True):
                row = connection.execute(explained).fetchone()
            assert row is not None
            (plan,) = row[0]
            took.append((plan["Planning Time"] + plan["Execution Time"]) * 1000)
    nodes = list(_nodes(plan["Plan"]))
    return Cost(min(took), sum(_looked_at(node) for node in nodes), tuple(_faults(nodes)))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _looked_at(node: dict[str, Any]) -> int:
    """How many rows of a table a step of a plan has looked at."""
    if "Relation Name" not in node:
        return 0
    removed = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + removed) * node["Actual Loops"])


def _faults(nodes: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Name the steps that look at, or sort, more than any answer has."""
    for node in nodes:
        if node["Node Type"].endswith("Seq Scan") and _looked_at(node) > MANY:
            yield f"{node['Node Type']} on {node['Relation Name']}"
        if "Sort" in node["Node Type"] and node["Actual Rows"] * node["Actual Loops"] > MANY:
            yield f"{node['Node Type']} of {node['Actual Rows'] * node['Actual Loops']:,.0f} rows"
