"""Tokens on the command line: making, listing and revoking API keys where nobody has one yet."""

import argparse
from collections.abc import Sequence
from secrets import token_hex
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Row, func

from models import ApiKey, api_key, tenancy
from models.api_key import ApiKeyScope, NewKey, read_id
from models.business import DEFAULT_BUSINESS
from models.node_id import encode, key_of
from models.refusal import NotFound, Refusal
from models.relations import NEWEST_FIRST
from models.viewer import PERSON_OF, Role, Viewer
from models.zone import written
from resolvers.api_keys import create_key, revoke_key
from resolvers.context import Context
from resolvers.database import Database
from server.database import connected
from server.identity import SECONDS_KNOWN
from server.settings import Settings

ACTOR = "command line"
COLUMNS = ("ID", "ROLE", "NAME", "PERSON", "SCOPES", "CREATED", "EXPIRES", "STATE")


class TokenError(Exception):
    """One sentence for why there is no token."""


class Told(NamedTuple):
    """What goes to standard output, for programs, and what beside it, for people."""

    output: str
    beside: str = ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command is given."""
    wanted = parser.add_mutually_exclusive_group(required=True)
    roles = [role.value for role in Role if role is not Role.PUBLIC]
    wanted.add_argument("--role", choices=roles, help="make a key of this role, and print its token")
    wanted.add_argument("--revoke", metavar="KEY_ID", help="end a key")
    wanted.add_argument("--list", action="store_true", help="print the keys of a business")
    parser.add_argument("--business", metavar="ID", help="a business other than the first one")
    parser.add_argument("--person", metavar="ID", help="whom a key of the role PROVIDER or CLIENT acts for")
    parser.add_argument("--name", default=ACTOR, help="what the key is for")
    parser.add_argument("--days", type=int, default=90, help="how long it can be used, 1 to 366 (90)")
    parser.add_argument(
        "--scope", action="append", choices=[scope.value for scope in ApiKeyScope], help="READ, WRITE (both)"
    )


async def told(url: str, given: argparse.Namespace, settings: Settings) -> Told:
    """Do what the command is told. Whoever may use the database may do all of it, and so acts as an operator."""
    database = connected(url, pool_size=1, lanes=1)
    try:
        business = DEFAULT_BUSINESS if given.business is None else key_of("Business", given.business)
        context = await _context(database, business)
        if given.list:
            return Told(_table(await context.database.rows(_listed(context.viewer))))
        if given.revoke is not None:
            return await _revoked(context, given.revoke)
        return await _made(context, given, settings)
    except Refusal as refused:
        raise TokenError(refused.sentence) from None
    finally:
        await database.close()


async def _context(database: Database, business: UUID) -> Context:
    of_business = database.of(business)
    if await of_business.row(tenancy.chosen(business, None)) is None:
        raise NotFound(noun="business")
    return Context(of_business, Viewer(business, ACTOR, Role.OPERATOR), token_hex(16))


async def _made(context: Context, given: argparse.Namespace, settings: Settings) -> Told:
    scopes = [ApiKeyScope(scope) for scope in given.scope or ApiKeyScope]
    wanted = NewKey.read(given.name, Role(given.role), given.person, scopes, given.days)
    created = await create_key(context, wanted)
    until = written(created.row.expires_at)
    beside = f"This token of the role {wanted.role} is shown once, and can be used until {until}."
    if not (settings.api_keys or settings.is_development):
        beside += " A server takes it only with API_KEYS=on."
    return Told(created.token, beside)


async def _revoked(context: Context, shown: str) -> Told:
    row = await revoke_key(context, read_id(shown))
    name = f"{row.name!r} has been refused since {written(row.revoked_at)}"
    return Told("", f"{name}; a server that is running finds out within {SECONDS_KNOWN:.0f} seconds.")


def _listed(viewer: Viewer) -> Any:
    is_expired = ApiKey.expires_at <= func.clock_timestamp()
    ordered = api_key.kept(viewer).order_by(*(sort.of(getattr(ApiKey, sort.column)) for sort in NEWEST_FIRST))
    return ordered.add_columns(is_expired.label("is_expired"))


def _table(rows: Sequence[Row[Any]]) -> str:
    """Write the keys in columns that are as wide as they need to be."""
    lines = [COLUMNS, *(_line(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _line(row: Row[Any]) -> tuple[str, ...]:
    kind = PERSON_OF.get(Role(row.role))
    state = "revoked" if row.revoked_at else "expired" if row.is_expired else "valid"
    return (
        encode("ApiKey", row.id),
        row.role,
        row.name,
        encode(kind, row.person_id) if kind else "-",
        ",".join(row.scopes),
        f"{row.created_at:%Y-%m-%d}",
        f"{row.expires_at:%Y-%m-%d}",
        state,
    )
