"""The physical limit: pgbench, running the very statements that the server sends."""

import re
import subprocess
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, cast, func, literal_column, make_url, select, true

from bench.load import Figures
from bench.world import CLIENTS, EACH, ID, World, identity
from models import Appointment, Provider
from models.availability import Availability, available, narrow
from models.business import DEFAULT_BUSINESS
from models.page import Page, cursor, select_page
from models.relations import BY_START
from models.reservation import Wish, hold
from server.postgres import binaries

ANY_PROVIDER, ANY_CLIENT, ANY_APPOINTMENT = (UUID(int=n) for n in (1, 2, 3))


def page_of_one_provider(provider: UUID, size: int = 50) -> Select[Any]:
    """The first free appointments of one provider with the provider's name, in one statement."""
    free = narrow(available(DEFAULT_BUSINESS), Availability(provider_ids=(provider,)))
    page = select_page(free, Appointment, BY_START, Page(size - 1), "availableAppointments").subquery("page")
    return select(
        page.c.id, page.c.starts_at, page.c.ends_at, Provider.id.label("provider"), Provider.first_name
    ).join_from(page, Provider, (Provider.business_id == DEFAULT_BUSINESS) & (Provider.id == page.c.provider_id))


def read_sql() -> str:
    """The read, with a random provider."""
    return _sql(page_of_one_provider(ANY_PROVIDER))


def json_sql() -> str:
    """The same read, whose JSON PostgreSQL builds; the provider is $1."""
    rows = page_of_one_provider(ANY_PROVIDER).subquery("rows")
    whole = select(cast(func.json_agg(literal_column("rows")), Text)).select_from(rows)
    return (
        _sql(whole)
        .replace(f"'{ANY_PROVIDER}'::UUID", "%(provider)s::uuid")
        .replace(f"'{ANY_PROVIDER}'", "%(provider)s")
    )


def reserve_sql() -> str:
    """The reserving statement, with a random client and a random appointment."""
    return _sql(hold(DEFAULT_BUSINESS, Wish(ANY_CLIENT, ANY_APPOINTMENT), None, true()))


def page_sql(after: tuple[object, ...] | None, size: int = 10) -> str:
    """A page of one provider's free appointments, after the last row of another page."""
    free = narrow(available(DEFAULT_BUSINESS), Availability(provider_ids=(UUID(identity(1, 0)),)))
    free = free.with_only_columns(Appointment.starts_at, Appointment.id)  # type: ignore[assignment]
    place = cursor(SimpleNamespace(starts_at=after[0], id=after[1]), BY_START, "free") if after else None
    return _sql(select_page(free, Appointment, BY_START, Page(size - 1, place), "free"))


def _sql(statement: Select[Any]) -> str:
    dialect: Any = make_url("postgresql+psycopg://").get_dialect()()
    compiled = statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True})
    return re.sub(r"\s+", " ", str(compiled)).replace("%%", "%")


def pgbench(world: World, sql: str, *, connections: int = 16, seconds: int = 6) -> Figures:
    """Run a statement as fast as PostgreSQL can."""
    for any_, kind, variable in ((ANY_PROVIDER, 1, "p"), (ANY_CLIENT, 2, "c"), (ANY_APPOINTMENT, 3, "a")):
        sql = sql.replace(f"'{any_}'::UUID", f"'{any_}'").replace(
            f"'{any_}'", ID.format(kind=kind, n=f":{variable}::bigint")
        )
    last = world.providers - 1
    # An appointment whose number ends in a 1 to 9 is free at first; each is asked for about once.
    script = (
        f"\\set p random(0, {last})\n\\set c random(0, {CLIENTS - 1})\n"
        f"\\set a random(0, {last}) * {EACH} + random(0, {EACH // 10 - 1}) * 10 + random(1, 4)\n{sql};\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "script.sql").write_text(script)
        subprocess.run(
            [binaries() / "pgbench", world.url, "-n", "-M", "prepared", "-c", str(connections), "-j", "1", "-T", str(seconds),
             "-f", "script.sql", "-l"],
            cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        took = [
            int(line.split()[2]) / 1e6
            for log in Path(folder).glob("pgbench_log.*")
            for line in log.read_text().splitlines()
        ]
    return Figures.of(took, seconds)
