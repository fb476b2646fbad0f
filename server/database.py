"""The connections to PostgreSQL, with the limits that every statement of ours runs under."""

from psycopg.conninfo import make_conninfo
from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from resolvers.database import Database
from resolvers.lane import Lanes

LIMITS = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "5s",
    "timezone": "UTC",
    "jit": "off",  # a page is read in less time than it takes to compile
    "holdfast.business_id": "",  # nobody's, until a statement says whose
}
SECONDS_TO_CONNECT = 5
SECONDS_TO_WAIT = 2  # for a connection of the pool
APPLICATION = "holdfast_app"  # the role that sees one business at a time
# A compiled statement has the shape of its values: one plan serves them all, and making it costs more than running it.
LANE = {**LIMITS, "plan_cache_mode": "force_generic_plan"}
CONNECTION: dict[str, str | int] = {"application_name": "holdfast", "connect_timeout": SECONDS_TO_CONNECT}


def options(settings: dict[str, str], role: str | None) -> str:
    chosen = {**settings, "role": role} if role else settings
    return " ".join(f"-c {name}={value}" for name, value in chosen.items())


def sqlalchemy_url(url: str) -> URL:
    """Name the driver in an ordinary PostgreSQL address."""
    return make_url(url).set(drivername="postgresql+psycopg")


def engine(url: str, pool_size: int, role: str | None = APPLICATION) -> AsyncEngine:
    """Make a pool whose connections commit each statement at once."""
    return create_async_engine(
        sqlalchemy_url(url),
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=0,
        hide_parameters=True,
        pool_timeout=SECONDS_TO_WAIT,
        connect_args={**CONNECTION, "options": options(LIMITS, role)},
    )


def conninfo(url: str, role: str | None = APPLICATION) -> str:
    """Write an address as libpq reads it, with what SQLAlchemy would tell the driver; lanes speak UTF-8 only."""
    address = sqlalchemy_url(url)
    _, found = address.get_dialect()().create_connect_args(address)
    return make_conninfo(**{**found, **CONNECTION, "options": options(LANE, role), "client_encoding": "utf8"})


def connected(url: str, pool_size: int, lanes: int, role: str | None = APPLICATION) -> Database:
    """Make a database with its pool and its lanes; neither connects before it is used."""
    return Database(engine(url, pool_size, role), Lanes(conninfo(url, role), lanes))
