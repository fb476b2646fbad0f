"""The connections to PostgreSQL, with the limits that every statement of ours runs under."""

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from resolvers.database import Database
from resolvers.lane import Lanes

ROLE = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "5s",
    "timezone": "UTC",
    "jit": "off",  # a page is read in less time than it takes to compile
}
SECONDS_TO_CONNECT = 5
# A compiled statement has the shape of its values: one plan serves them all, and making it costs more than running it.
LANE = {**ROLE, "plan_cache_mode": "force_generic_plan"}
CONNECTION: dict[str, str | int] = {"application_name": "holdfast", "connect_timeout": SECONDS_TO_CONNECT}


def options(role: dict[str, str]) -> str:
    return " ".join(f"-c {name}={value}" for name, value in role.items())


def sqlalchemy_url(url: str) -> URL:
    """Name the driver in an ordinary PostgreSQL address."""
    return make_url(url).set(drivername="postgresql+psycopg")


def engine(url: str, pool_size: int) -> AsyncEngine:
    """Make a pool whose connections commit each statement at once."""
    return create_async_engine(
        sqlalchemy_url(url),
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,
        pool_timeout=SECONDS_TO_CONNECT,
        connect_args={**CONNECTION, "options": options(ROLE)},
    )


def conninfo(url: str) -> str:
    """Write an address as libpq reads it, with what SQLAlchemy would tell the driver; lanes speak UTF-8 only."""
    address = sqlalchemy_url(url)
    _, found = address.get_dialect()().create_connect_args(address)
    return make_conninfo(**{**found, **CONNECTION, "options": options(LANE), "client_encoding": "utf8"})


def connected(url: str, pool_size: int, lanes: int) -> Database:
    """Make a database with its pool and its lanes; neither connects before it is used."""
    return Database(engine(url, pool_size), Lanes(conninfo(url), lanes))
