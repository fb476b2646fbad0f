"""API keys: what a program names itself with. A token carries its business and its secret, of which only a hash is kept."""

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Float,
    ForeignKeyConstraint,
    Interval,
    LargeBinary,
    Select,
    Text,
    Uuid,
    and_,
    cast,
    func,
    insert,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from models import text
from models.client import Client
from models.node_id import decode, key_of
from models.provider import Provider
from models.record import OfBusiness, Record, array_of, bound, columns
from models.refusal import Forbidden, InvalidInput, NotFound
from models.viewer import PERSON_OF, Role, Viewer

PREFIX = "hf_"  # by which scanners of source code find a token that was committed
NOUN = "API key"
LONGEST_LIFE_DAYS = 366
_SECRET_BYTES, _NAMED_BYTES = 32, 16


class ApiKeyScope(StrEnum):
    """What a key may be used for: READ for queries, WRITE for mutations."""

    READ = "READ"
    WRITE = "WRITE"


class ApiKey(OfBusiness, Record):
    """Whoever shows its secret acts in its role, for its person, until it expires or is revoked."""

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(["business_id"], ["businesses.id"], name="api_key_of_business"),
        CheckConstraint("length(name) BETWEEN 1 AND 200", name="api_key_has_a_name"),
        CheckConstraint(
            "role IN ('OPERATOR', 'ADMIN', 'MANAGER', 'FRONT_DESK', 'PROVIDER', 'CLIENT')", name="role_is_known"
        ),
        CheckConstraint("(role IN ('PROVIDER', 'CLIENT')) = (person_id IS NOT NULL)", name="person_fits_the_role"),
        CheckConstraint("scopes <@ ARRAY['READ', 'WRITE'] AND cardinality(scopes) > 0", name="scopes_are_known"),
        CheckConstraint("length(secret_hash) = 32", name="secret_is_hashed"),
    )

    name: Mapped[str]
    role: Mapped[str]
    person_id: Mapped[UUID | None]
    scopes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    secret_hash: Mapped[bytes] = mapped_column(deferred=True)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


@dataclass(frozen=True)
class Token:
    """What whoever has the key shows: it names its business, so that it can be looked for there and nowhere else."""

    business_id: UUID
    secret_hash: bytes
    key_id: UUID

    @classmethod
    def read(cls, shown: str) -> "Token | None":
        """Read a token; nothing, if it is none of ours."""
        try:
            carried = base64.b64decode(shown.removeprefix(PREFIX) + "==", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        if not shown.startswith(PREFIX) or len(carried) != 2 * _NAMED_BYTES + _SECRET_BYTES:
            return None
        business, key, secret = (
            carried[:_NAMED_BYTES],
            carried[_NAMED_BYTES : 2 * _NAMED_BYTES],
            carried[2 * _NAMED_BYTES :],
        )
        return cls(UUID(bytes=business), hash_of(secret), UUID(bytes=key))


def secret() -> bytes:
    """Make the secret of a new key."""
    return secrets.token_bytes(_SECRET_BYTES)


def hash_of(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()


def is_same(kept: bytes, shown: bytes) -> bool:
    """Compare in a time that does not tell how much of it is right."""
    return hmac.compare_digest(kept, shown)


def token(business: UUID, key: UUID, secret: bytes) -> str:
    """Write a token as it is shown, once."""
    return PREFIX + base64.urlsafe_b64encode(business.bytes + key.bytes + secret).decode().rstrip("=")


def read_id(value: str, *field: str | int) -> UUID:
    """Read the id of a key."""
    type_name, key = decode(value, *field)
    if type_name != ApiKey.__name__:
        raise NotFound(*field, noun=NOUN)
    return key


@dataclass(frozen=True)
class NewKey:
    """A key that is asked for."""

    name: str
    role: Role
    person_id: UUID | None
    scopes: tuple[ApiKeyScope, ...]
    life: timedelta

    @classmethod
    def read(cls, name: str, role: Role, person: str | None, scopes: Sequence[ApiKeyScope], days: int) -> "NewKey":
        """Check what was asked for."""
        if role is Role.PUBLIC:
            raise InvalidInput("role", problem="Nobody needs a key to be PUBLIC.")
        kind = PERSON_OF.get(role)
        if (kind is None) != (person is None):
            need = "acts for nobody; leave the id out" if kind is None else "needs the id of whom it acts for"
            raise InvalidInput("personId", problem=f"A key of the role {role} {need}.")
        if not scopes:
            raise InvalidInput("scopes", problem="Name at least one scope.")
        if not 1 <= days <= LONGEST_LIFE_DAYS:
            raise InvalidInput("expiresInDays", problem=f"expiresInDays must be from 1 to {LONGEST_LIFE_DAYS}.")
        return cls(
            text.name(name, "name"),
            role,
            None if kind is None or person is None else key_of(kind, person, "personId"),
            tuple(dict.fromkeys(scopes)),
            timedelta(days=days),
        )


def check(viewer: Viewer, wanted: NewKey) -> None:
    """Refuse a key that may do what its maker may not."""
    if wanted.role is Role.OPERATOR and viewer.role is not Role.OPERATOR:
        raise Forbidden("role", problem="Only an OPERATOR makes keys of the role OPERATOR.")


def create(viewer: Viewer, wanted: NewKey, secret_hash: bytes, authored: ColumnElement[bool]) -> Select[Any]:
    """Write a key; no row, if the business has no such person."""
    values = {
        "business_id": bound(viewer.business_id, Uuid),
        "name": bound(wanted.name, Text),
        "role": bound(wanted.role.value, Text),
        "person_id": bound(wanted.person_id, Uuid),
        "scopes": array_of([scope.value for scope in wanted.scopes], Text),
        "secret_hash": bound(secret_hash, LargeBinary),
        "expires_at": func.clock_timestamp() + bound(wanted.life, Interval),
    }
    row = select(*(value.label(name) for name, value in values.items())).where(_has_person(viewer, wanted), authored)
    written = insert(ApiKey).from_select(list(values), row).returning(*columns(ApiKey))
    return select(*written.cte("written").c)


def _has_person(viewer: Viewer, wanted: NewKey) -> ColumnElement[bool]:
    """Whether the business has whom a key is to act for; an operator makes keys for persons whom they do not see."""
    if wanted.person_id is None:
        return true()
    record: Any = Provider if wanted.role is Role.PROVIDER else Client
    return (  # locked: nobody is erased meanwhile
        select(record.id)
        .where(record.business_id == viewer.business_id, record.id == wanted.person_id, record.erased_at.is_(None))
        .with_for_update(read=True, key_share=True)
        .exists()
    )


def kept(viewer: Viewer) -> Select[Any]:
    """Select the keys that somebody may see and end."""
    return select(*columns(ApiKey)).where(_is_kept_by(viewer))


def _is_kept_by(viewer: Viewer) -> ColumnElement[bool]:
    """Only an operator keeps the keys of operators. This looks at the role, so it is no part of `visible_to`."""
    of_business = ApiKey.visible_to(viewer)
    return of_business if viewer.role is Role.OPERATOR else and_(of_business, ApiKey.role != Role.OPERATOR.value)


def revoke(viewer: Viewer, key_id: UUID, authored: ColumnElement[bool]) -> Select[Any]:
    """End a key; no row, if there is none, or if it has ended before."""
    ended = (
        update(ApiKey)
        .values(revoked_at=func.clock_timestamp())
        .where(_is_kept_by(viewer), ApiKey.id == key_id, ApiKey.revoked_at.is_(None), authored)
        .returning(*columns(ApiKey))
    )
    return select(*ended.cte("ended").c)


def shown(token: Token) -> Select[Any]:
    """Find the key of a token, if it can still be used."""
    seconds = func.extract("epoch", ApiKey.expires_at - func.clock_timestamp())
    return select(*columns(ApiKey), ApiKey.secret_hash, cast(seconds, Float).label("seconds")).where(
        ApiKey.business_id == token.business_id,
        ApiKey.id == token.key_id,
        ApiKey.revoked_at.is_(None),
        ApiKey.expires_at > func.clock_timestamp(),
    )
