"""Idempotency keys: a request that is sent again under its key is answered again, not done again."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    CTE,
    CheckConstraint,
    ColumnElement,
    Index,
    LargeBinary,
    Select,
    Text,
    Uuid,
    exists,
    func,
    select,
    true,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.sql.dml import ReturningInsert, Update

from models.record import Record, bound, stamped

KEPT_FOR = timedelta(hours=24)


class IdempotencyKey(Record):
    """Who asked what under which key, and what came of it. Only successes are kept, for 24 hours."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (
        CheckConstraint("length(key) BETWEEN 1 AND 255", name="key_is_short"),
        CheckConstraint("length(request_hash) = 32", name="request_is_hashed"),
        Index("idempotency_keys_by_age", "business_id", "created_at"),
    )

    business_id: Mapped[UUID] = mapped_column(primary_key=True)
    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request_hash: Mapped[bytes]
    result_id: Mapped[UUID]
    result: Mapped[Any | None] = mapped_column(JSONB)
    created_at: Mapped[datetime] = stamped()


@dataclass(frozen=True)
class Key:
    """A key as its sender used it."""

    fixed: ClassVar[tuple[str, ...]] = ()

    business_id: UUID
    principal: str
    key: str
    request_hash: bytes

    def is_remembered(self) -> ColumnElement[bool]:
        """Whether the table holds it, and not for too long."""
        return (
            (IdempotencyKey.business_id == self.business_id)
            & (IdempotencyKey.principal == self.principal)
            & (IdempotencyKey.key == self.key)
            & (func.clock_timestamp() - IdempotencyKey.created_at < KEPT_FOR)
        )


def is_new(key: Key | None) -> ColumnElement[bool]:
    """Whether a write may go on: nothing was answered under this key yet."""
    return true() if key is None else ~exists().where(key.is_remembered())


def remembered(written: CTE, key: Key | None) -> Select[Any]:
    """Read what a writing statement returned and, in the same statement, keep the key that it was done under.

    Of two twins at once, one fails here on the primary key and takes its write back with it.
    """
    answer = select(*written.c)
    if key is None:
        return answer
    kept = insert(IdempotencyKey).from_select(
        ["business_id", "principal", "key", "request_hash", "result_id"],
        select(
            bound(key.business_id, Uuid),
            bound(key.principal, Text),
            bound(key.key, Text),
            bound(key.request_hash, LargeBinary),
            written.c.id,
        ),
    )
    return answer.add_cte(kept.cte("kept"))


def recall(key: Key) -> Select[Any]:
    """Read what came of the request that first used a key, and whether it was this request."""
    return select(
        IdempotencyKey.result_id,
        IdempotencyKey.result,
        (IdempotencyKey.request_hash == key.request_hash).label("same_request"),
    ).where(key.is_remembered())


def remember(key: Key, result_id: UUID, result: Any) -> ReturningInsert[Any]:
    """Keep the key of a request, and of its answer what cannot be read again from one row; no row: it was taken."""
    values = {**asdict(key), "result_id": result_id, "result": result}
    return insert(IdempotencyKey).values(values).on_conflict_do_nothing().returning(IdempotencyKey.key)


def complete(key: Key, result_id: UUID, result: Any) -> Update:
    """Write what came of a request, whose key was kept before it was done."""
    return update(IdempotencyKey).values(result_id=result_id, result=result).where(key.is_remembered())
