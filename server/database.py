"""The connections to PostgreSQL, with the limits that every statement of ours runs under."""

from sqlalchemy import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

ROLE = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "5s",
    "timezone": "UTC",
    "jit": "off",  # a page is read in less time than it takes to compile
}
SECONDS_TO_CONNECT = 5


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
        connect_args={
            "options": " ".join(f"-c {name}={value}" for name, value in ROLE.items()),
            "application_name": "holdfast",
            "connect_timeout": SECONDS_TO_CONNECT,
        },
    )
