"""Statements: what the compiled road sends, what others would write, and the rule for what is free, which all share."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, literal_column, make_url, select

from bench.questions import READ, RESERVE, SIZE, read_of, reserve_of
from compiler.plan import Plan
from models import Appointment, Provider
from models.business import DEFAULT_BUSINESS
from models.page import Listed, Page, Place, select_page
from models.relations import BY_START
from models.search import Availability, free
from models.viewer import Role, Viewer
from resolvers.context import Context
from schema.execution import Documents, Question

ANY_PROVIDER = UUID(int=1)
FREE = Listed("availableAppointments", Appointment, BY_START)
OBJECT = """json_build_object('id', row.id, 'startsAt', row.starts_at, 'endsAt', row.ends_at, 'provider',
json_build_object('id', row.provider, 'firstName', row.first_name, 'lastName', row.last_name))"""
# The nearest that PostGraphile comes to a rule that is no plain filter: it shows functions that return rows.
FUNCTION = """CREATE OR REPLACE FUNCTION bench_free_appointments(provider uuid) RETURNS SETOF appointments
LANGUAGE sql STABLE AS $body$ {} $body$"""


LENGTH_OF_KEY = 36


@dataclass(frozen=True)
class Sent:
    """A statement as the compiled road sends it: its places are $1 to $n, and a UUID is what the request asked for."""

    sql: str
    values: tuple[UUID | str | None, ...]


def read_sent() -> Sent:
    return _sent(READ, read_of(0))


def reserve_sent() -> Sent:
    return _sent(RESERVE, reserve_of(0, 0))


def _sent(document: str, variables: dict[str, object]) -> Sent:
    prepared = Documents().prepare(Question(document, variables))
    if prepared.document is None or prepared.operation is None:
        raise ValueError(prepared.errors)
    database: Any = None  # nothing is asked of it
    context = Context(database, Viewer(DEFAULT_BUSINESS, "anonymous", Role.ADMIN), "bench")
    (compiled,), asked = Plan(prepared.document, prepared.operation).ready(variables, context)
    if compiled.statement is None:
        raise ValueError(document)
    told = {"business": str(context.business), "principal": context.viewer.principal, "request": context.request_id}
    values: list[UUID | str | None] = []
    for source in compiled.parameters:
        match source:
            case int():
                values.append(_asked(asked[source]))
            case str():
                values.append(told[source])
            case _:
                values.append(None if source is None else source.decode())
    return Sent(compiled.statement.sql.decode(), tuple(values))


def _asked(value: bytes | None) -> UUID | str | None:
    text = None if value is None else value.decode()
    return UUID(text) if text is not None and len(text) == LENGTH_OF_KEY else text


def read_rows() -> str:
    """The read as rows with the provider's name; the provider is $1."""
    page = select_page(_free(ANY_PROVIDER), Page(FREE, SIZE), more=0).subquery("page")
    rows = select(
        page.c.id,
        page.c.starts_at,
        page.c.ends_at,
        Provider.id.label("provider"),
        Provider.first_name,
        Provider.last_name,
    ).join_from(page, Provider, (Provider.business_id == DEFAULT_BUSINESS) & (Provider.id == page.c.provider_id))
    return _with_places(_literal(rows))


def read_json() -> str:
    """The same read, whose JSON PostgreSQL builds as somebody would write it by hand; the provider is $1."""
    return f"SELECT json_agg({OBJECT} ORDER BY row.starts_at)::text FROM ({read_rows()}) row"


def read_appointments() -> str:
    """The read without its providers, for whoever loads them apart; the provider is $1, the size is $2."""
    wanted = [Appointment.id, Appointment.provider_id, Appointment.starts_at, Appointment.ends_at]
    ordered: Any = _free(ANY_PROVIDER).with_only_columns(*wanted).order_by(Appointment.starts_at, Appointment.id)
    return _with_places(_literal(ordered)) + " LIMIT $2"


def free_function() -> str:
    """A function of the database that gives a provider's free appointments."""
    whole: Any = _free(ANY_PROVIDER).with_only_columns(literal_column("appointments.*"))
    return FUNCTION.format(_with_places(_literal(whole.order_by(Appointment.starts_at, Appointment.id))))


def page_of(provider: str, after: tuple[Any, ...] | None, size: int) -> str:
    """A page of one provider's free appointments, after the last row of another page."""
    free: Any = _free(UUID(provider)).with_only_columns(Appointment.starts_at, Appointment.id)
    return _literal(select_page(free, Page(FREE, size, Place(after) if after else None), more=0))


def _free(provider: UUID) -> Select[Any]:
    return free(DEFAULT_BUSINESS, Availability(provider_id=provider))


def _literal(statement: Select[Any]) -> str:
    dialect: Any = make_url("postgresql+psycopg://").get_dialect()()
    compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return re.sub(r"\s+", " ", str(compiled)).replace("%%", "%")


def _with_places(sql: str) -> str:
    return sql.replace(f"'{ANY_PROVIDER}'::UUID", "$1::uuid").replace(f"'{ANY_PROVIDER}'", "$1::uuid")
