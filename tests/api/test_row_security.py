"""Row security, the second wall: the application's role sees one business at a time, whatever a statement says."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text

from tests.conftest import serving
from tests.practices import THEIR_BUSINESS, THEIR_WORD, Practices, dump, practices, tables_of_businesses

App = psycopg.Connection[Any]
APPLICATION = "-c role=holdfast_app"
# What is of no business: the step that the database was migrated to, and how far the outlets and the hand-overs have come.
OF_NOBODY = {"alembic_version", "outlet_positions", "hand_overs", "passed_over"}
EVERY_TABLE = """
SELECT c.relname, c.relrowsecurity, pg_get_userbyid(c.relowner) = 'holdfast_app',
       (SELECT array_agg(p.polname::text) FROM pg_policy p WHERE p.polrelid = c.oid)
  FROM pg_class c WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v') AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""


@pytest.fixture(scope="module")
def both(cluster: str, migrated: str) -> Iterator[Practices]:
    with practices(cluster, migrated) as made:
        yield made


@pytest.fixture(scope="module")
def tables(both: Practices) -> list[tuple[str, str]]:
    """Every table that has rows of businesses, and the column that says whose."""
    with psycopg.connect(both.url) as owner:
        return tables_of_businesses(owner)


@pytest.fixture
def app(both: Practices) -> Iterator[App]:
    """The application's role, before it says for which business; what it does is taken back."""
    with psycopg.connect(both.url, options=APPLICATION) as connection:
        yield connection
        connection.rollback()


def enter(app: App, business: object) -> None:
    app.execute("SELECT set_config('holdfast.business_id', %s, false)", [str(business)])


def count(connection: App, table: str, key: str, business: object = None) -> int:
    where = "" if business is None else f" WHERE {key} = '{business}'"
    ((found,),) = connection.execute(f"SELECT count(*) FROM {table}{where}").fetchall()
    return int(found)


def refused(app: App, statement: str, *values: Any) -> type[Exception] | None:
    """How the database refuses a statement, which is taken back whatever comes of it."""
    try:
        with app.transaction(force_rollback=True):
            done = app.execute(statement, values or None)
            return None if done.rowcount else LookupError  # it was no error: there were no such rows
    except psycopg.Error as error:
        return type(error)


def test_every_table_has_row_security_with_a_policy_and_is_not_the_applications(both: Practices) -> None:
    with psycopg.connect(both.url) as owner:
        found = owner.execute(EVERY_TABLE).fetchall()

    assert [name for name, is_secured, _, policies in found if not (is_secured and policies)] == sorted(OF_NOBODY)
    assert [name for name, _, is_owned, _ in found if is_owned] == []
    assert len(found) >= 12


def test_without_a_business_every_table_is_empty(both: Practices, app: App, tables: list[tuple[str, str]]) -> None:
    for setting in (None, ""):
        if setting is not None:
            enter(app, setting)

        assert {table: count(app, table, key) for table, key in tables} == dict.fromkeys(dict(tables), 0)
    assert all(dump(both.url, THEIR_BUSINESS).values())  # there is a row of theirs in each


def test_in_one_business_no_row_of_another_can_be_read(
    both: Practices, app: App, tables: list[tuple[str, str]]
) -> None:
    enter(app, both.ours.business)
    with psycopg.connect(both.url) as owner:
        ours = {table: count(owner, table, key, both.ours.business) for table, key in tables}

    assert {table: count(app, table, key) for table, key in tables} == ours
    assert {table: count(app, table, key, THEIR_BUSINESS) for table, key in tables} == dict.fromkeys(ours, 0)
    assert all(ours.values())


def test_in_one_business_no_row_of_another_can_be_changed_or_removed(
    both: Practices, app: App, tables: list[tuple[str, str]]
) -> None:
    before = dump(both.url, THEIR_BUSINESS)
    enter(app, both.ours.business)

    for table, key in tables:
        for statement in (f"UPDATE {table} SET {key} = {key}", f"DELETE FROM {table}", f"SELECT 1 FROM {table}"):
            how = refused(app, f"{statement} WHERE {key} = %s", THEIR_BUSINESS)

            assert how in (LookupError, errors.InsufficientPrivilege), (statement, how)

    app.commit()
    assert dump(both.url, THEIR_BUSINESS) == before


def test_in_one_business_no_row_of_another_can_be_made(
    both: Practices, app: App, tables: list[tuple[str, str]]
) -> None:
    before = dump(both.url, THEIR_BUSINESS)
    enter(app, both.ours.business)
    found = {}

    for table, key in tables:
        with psycopg.connect(both.url) as owner:
            names = [name for (name,) in owner.execute(INSERTABLE, [table])]
            row = owner.execute(
                f"SELECT to_jsonb(t)::text FROM {table} t WHERE {key} = %s", [THEIR_BUSINESS]
            ).fetchone()
        values = f"jsonb_populate_record(NULL::{table}, %s::jsonb)"
        copied = f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(names)} FROM {values}"
        found[table] = refused(app, copied, *(row or ()))

    # A reservation is refused even earlier, by a trigger: its appointment is not there.
    assert found.pop("reservations") is errors.ForeignKeyViolation
    assert found == dict.fromkeys(found, errors.InsufficientPrivilege)
    assert len(found) == len(tables) - 1
    assert dump(both.url, THEIR_BUSINESS) == before


# Columns that an INSERT may name: the database writes the rest.
INSERTABLE = """
SELECT attname FROM pg_attribute
 WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity = ''
"""


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE {table} OWNER TO holdfast_app",
        "ALTER TABLE {table} ADD COLUMN more text",
        "ALTER TABLE {table} DISABLE TRIGGER ALL",
        "CREATE TRIGGER more BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE POLICY more ON {table} USING (true)",
        "DROP POLICY tenant ON {table}",
        "DROP TABLE {table}",
        "TRUNCATE {table}",
        "CREATE INDEX ON {table} ({key})",
    ],
)
def test_the_application_cannot_change_what_a_table_is(
    app: App, both: Practices, tables: list[tuple[str, str]], statement: str
) -> None:
    enter(app, both.ours.business)

    found = {table: refused(app, statement.format(table=table, key=key)) for table, key in tables}

    assert found == dict.fromkeys(dict(tables), errors.InsufficientPrivilege)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM pg_authid",
        "SELECT * FROM pg_shadow",
        "CREATE TABLE mine (n int)",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE OR REPLACE FUNCTION current_business() RETURNS uuid LANGUAGE sql STABLE RETURN NULL::uuid",
        "CREATE ROLE mine",
        "ALTER ROLE holdfast_app BYPASSRLS",
        "SET session_replication_role = replica",
        "SELECT pg_read_file('/etc/hostname')",
        "COPY businesses TO PROGRAM 'cat'",
        "UPDATE alembic_version SET version_num = '0001'",
        "DELETE FROM alembic_version",
        "UPDATE events SET actor = 'nobody'",
        "UPDATE events SET data = '{}'",
        "DELETE FROM events",
        "DELETE FROM clients",
        "DELETE FROM reservations",
        "DELETE FROM api_keys",
        "UPDATE api_keys SET role = 'OPERATOR'",
        "UPDATE api_keys SET secret_hash = secret_hash",
        "UPDATE api_keys SET expires_at = 'infinity'",
    ],
)
def test_the_application_cannot_do_what_it_need_not(app: App, both: Practices, statement: str) -> None:
    enter(app, both.ours.business)

    assert refused(app, statement) is errors.InsufficientPrivilege


def test_the_application_is_no_superuser_and_goes_round_no_policy(app: App) -> None:
    rights = "rolsuper, rolbypassrls, rolcreaterole, rolcreatedb, rolreplication, rolcanlogin"

    assert app.execute(f"SELECT {rights} FROM pg_roles WHERE rolname = current_user").fetchall() == [(False,) * 6]
    assert app.execute("SELECT current_user").fetchall() == [("holdfast_app",)]


def test_the_application_does_not_see_other_businesses_in_what_the_planner_knows(app: App, both: Practices) -> None:
    with psycopg.connect(both.url, autocommit=True) as owner:
        owner.execute("ANALYZE")
    enter(app, both.ours.business)

    known = app.execute("SELECT most_common_vals::text, histogram_bounds::text FROM pg_stats").fetchall()

    assert [row for row in known if THEIR_WORD in "".join(filter(None, row))] == []


@pytest.mark.parametrize("is_transaction", [False, True])
async def test_a_statement_that_forgot_the_business_sees_its_own_alone(both: Practices, is_transaction: bool) -> None:
    broken: Callable[[], Any] = lambda: text("SELECT DISTINCT business_id FROM clients")  # noqa: E731
    async with serving(both.url) as api:
        found = {}
        for practice in (both.ours, both.theirs, both.ours):
            view = api.database.of(practice.business)
            rows = await (view.transaction(lambda it: it.rows(broken())) if is_transaction else view.rows(broken()))
            found[practice.word] = [row.business_id for row in rows]
        nobody = await api.database.rows(broken())

    assert found == {practice.word: [practice.business] for practice in (both.ours, both.theirs)}
    assert nobody == []
