"""The project agrees with itself: models with migrations, contract with code, lock with its rules, names with names."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.engine import make_url

from models import Record
from models.refusal import REFUSAL_OF_CONSTRAINT, Refusal
from schema import schema
from schema.error import UserErrorCode
from server.database import sqlalchemy_url
from server.migration import config, migrate, newest
from tests.conftest import ROOT

Facts = list[tuple[object, ...]]

# Everything that a table promises, in the words of the database itself.
FACTS = {
    "constraints": """
        SELECT conrelid::regclass::text, conname, contype::text, pg_get_constraintdef(oid) FROM pg_constraint
         WHERE connamespace = 'public'::regnamespace AND conrelid <> 0""",
    "indexes": "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "columns": """
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated::text,
               a.attidentity::text, a.attcollation::regcollation::text, pg_get_expr(d.adbin, d.adrelid)
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped""",
    "options": """
        SELECT relname, reloptions FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'""",
}
# What a migration leaves behind beside its tables.
REST = """
    SELECT 'function', proname FROM pg_proc p WHERE pronamespace = 'public'::regnamespace
       AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
    UNION ALL SELECT 'trigger', tgname FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'relation', relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
       AND relname NOT LIKE 'alembic\\_version%'"""


def facts(url: str, question: str) -> Facts:
    with psycopg.connect(url) as connection:
        found = connection.execute(question).fetchall()
    return sorted((row for row in found if not str(row[0]).startswith("alembic_version")), key=repr)


def state(url: str) -> dict[str, Facts]:
    return {name: facts(url, question) for name, question in {**FACTS, "rest": REST}.items()}


@contextmanager
def empty_database(cluster: str) -> Iterator[str]:
    """A database with nothing in it, which is dropped afterwards."""
    name = f"holdfast_empty_{uuid4().hex}"
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        try:
            yield make_url(cluster).set(database=name).render_as_string(hide_password=False)
        finally:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def synchronous(url: str) -> Iterator[Engine]:
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool)
    yield engine
    engine.dispose()


def all_refusals(parent: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    for refusal in parent.__subclasses__():
        yield refusal
        yield from all_refusals(refusal)


def test_alembic_finds_nothing_to_migrate(database: str) -> None:
    configured = config()

    with synchronous(database) as engine, engine.connect() as connection:
        configured.attributes["connection"] = connection

        command.check(configured)


@pytest.fixture(scope="module")
def modelled(cluster: str) -> Iterator[str]:
    """A database that was made from the models alone."""
    with empty_database(cluster) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION btree_gist")
        with synchronous(url) as engine:
            Record.metadata.create_all(engine)
        yield url


@pytest.mark.parametrize("fact", FACTS)
def test_models_and_migrations_make_the_same_tables(migrated: str, modelled: str, fact: str) -> None:
    by_migrations, by_models = (facts(url, FACTS[fact]) for url in (migrated, modelled))

    assert by_migrations
    assert by_models == by_migrations


def test_up_and_down_and_up_again_is_what_up_was(cluster: str) -> None:
    with empty_database(cluster) as url:
        migrate(url)
        up = state(url)

        migrate(url, "base")

        assert facts(url, FACTS["columns"]) == []
        assert facts(url, REST) == []

        migrate(url)

        assert state(url) == up


def test_to_migrate_what_is_migrated_changes_nothing(database: str) -> None:
    before = state(database)

    migrate(database)

    assert state(database) == before


def test_of_two_processes_that_migrate_at_once_both_succeed(cluster: str, migrated: str) -> None:
    with empty_database(cluster) as url:
        both = [
            subprocess.Popen(
                [sys.executable, "-m", "server", "migrate"],
                cwd=ROOT,
                env={**os.environ, "DATABASE_URL": url},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(2)
        ]
        said = [process.communicate(timeout=30)[0] for process in both]

        assert [process.returncode for process in both] == [0, 0], said
        assert state(url) == state(migrated)
        assert facts(url, "SELECT 'version', version_num FROM alembic_version") == [("version", newest())]


def test_the_printed_contract_is_what_the_code_says() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "server", "schema"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert printed.stderr == ""
    assert printed.stdout == schema.as_str() + "\n"
    assert (ROOT / "docs" / "schema.graphql").read_text() == printed.stdout, "run `make schema`, and mind the clients"


@pytest.mark.parametrize("name", ["Pipfile", "Pipfile.lock"])
def test_no_package_is_bound_to_an_address(name: str) -> None:
    text = (ROOT / name).read_text()

    assert "://" not in text
    assert "index" not in text


def test_the_lock_names_no_source_and_pins_and_hashes_everything() -> None:
    lock = json.loads((ROOT / "Pipfile.lock").read_text())

    assert lock["_meta"]["sources"] == []
    pins = lock["default"] | lock["develop"]
    assert [name for name, pin in pins.items() if not pin["version"].startswith("==") or not pin["hashes"]] == []


def test_every_refusal_has_its_code_and_every_code_its_refusal() -> None:
    codes: dict[str, list[str]] = {}
    for refusal in all_refusals():
        codes.setdefault(refusal.code, []).append(refusal.__name__)

    assert sorted(codes) == sorted(code.value for code in UserErrorCode)
    shared = {code: sorted(names) for code, names in codes.items() if len(names) > 1}
    assert shared == {
        "CANCELLATION_WINDOW": ["CancellationWindow", "MovingWindow", "ReasonNeeded"],
        "ILLEGAL_STATE": [
            "EndpointDisabled",
            "IllegalState",
            "NobodyBooked",
            "NotConfirmed",
            "NotWaiting",
            "ProposalDecided",
            "TooEarly",
        ],
        "INVALID_INPUT": ["HorizonsCross", "HostTaken", "InvalidInput"],
        "SLOT_UNAVAILABLE": ["NobodyAvailable", "ResourceInUse", "SeriesInConflict", "SlotUnavailable"],
        "TOO_MANY_HOLDS": ["SeriesHeld", "TooManyHolds", "TooManyRequests"],
        "TOO_MANY_ROWS": ["TooManyAppointments", "TooManyRows"],
        "UNAVAILABLE": ["SignalsMissed", "Unavailable"],
    }


def test_every_refusal_has_a_sentence() -> None:
    for refusal in all_refusals():
        sentence = refusal.__doc__ or ""

        assert sentence == "{problem}" or sentence.rstrip("{near}").endswith((".", "}")), refusal
        assert refusal.__doc__ != Refusal.__doc__


def test_every_constraint_that_is_refused_by_name_exists(migrated: str) -> None:
    with psycopg.connect(migrated) as connection:
        found = connection.execute(
            """SELECT conname::text FROM pg_constraint WHERE connamespace = 'public'::regnamespace
               UNION SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indisunique
               UNION SELECT match[1] FROM pg_proc, regexp_matches(prosrc, 'CONSTRAINT = ''(\\w+)''', 'g') match
                WHERE pronamespace = 'public'::regnamespace"""
        ).fetchall()

    assert REFUSAL_OF_CONSTRAINT.keys() - {name for (name,) in found} == set()
