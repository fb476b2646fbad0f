"""Migrations: bringing a database to the newest version, whoever else is trying to, and asking which one it has."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from server.database import SECONDS_TO_CONNECT, sqlalchemy_url
from server.postgres import PostgresError

FOLDER = Path(__file__).parent.parent / "migrations"
NOT_PERMITTED = "42501"
LOCK = 0x686F6C64666173  # "holdfas": any number will do, as long as it is the same in every process


def config() -> Config:
    configured = Config()
    configured.set_main_option("script_location", str(FOLDER))
    configured.set_main_option("path_separator", "os")
    return configured


def newest() -> str:
    """Name the newest version."""
    version = ScriptDirectory.from_config(config()).get_current_head()
    if version is None:
        raise RuntimeError("There are no migrations.")
    return version


def migrate(url: str, version: str = "head") -> None:
    """Bring the database to a version. Of many who try at once, one does it and the others wait."""
    engine = create_engine(
        sqlalchemy_url(url), poolclass=NullPool, connect_args={"connect_timeout": SECONDS_TO_CONNECT}
    )
    try:
        guard = engine.connect()
    except OperationalError:
        where = sqlalchemy_url(url).render_as_string(hide_password=True)
        raise PostgresError(
            f"The database at {where} is out of reach; see DATABASE_URL or OWNER_DATABASE_URL."
        ) from None
    with guard, engine.connect() as connection:
        guard.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        configured = config()
        configured.attributes["connection"] = connection
        try:
            (command.downgrade if version == "base" else command.upgrade)(configured, version)
        except ProgrammingError as error:
            if getattr(error.orig, "sqlstate", None) != NOT_PERMITTED:
                raise
            problem = "The database is not current, and this login may not migrate it; set OWNER_DATABASE_URL, or"
            raise PostgresError(f"{problem} migrate as the owner.") from None
