"""Runs the migrations on the connection of `server.migration`, or on DATABASE_URL when Alembic is called by hand."""

import os

from alembic import context
from sqlalchemy import Connection, create_engine, text

from models import Record
from server.database import sqlalchemy_url
from server.settings import Settings

# Named here, for all migrations: waiting behind a long report must not queue every booking behind us.
TIMEOUTS = "SET lock_timeout = '1s'; SET statement_timeout = '0'; SET timezone = 'UTC'"


def migrate(connection: Connection) -> None:
    connection.execute(text(TIMEOUTS))
    connection.commit()
    context.configure(connection=connection, target_metadata=Record.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()


def migrate_by_hand() -> None:
    url = Settings.read(os.environ).database_url
    if url is None:
        raise SystemExit("Set DATABASE_URL to call Alembic by hand; `python -m server migrate` knows the embedded one.")
    with create_engine(sqlalchemy_url(url)).connect() as connection:
        migrate(connection)


given: Connection | None = context.config.attributes.get("connection")
if given is None:
    migrate_by_hand()
else:
    migrate(given)
