"""Supply: how a mutation that changes what is offered is declared, and what its payload tells of what was published."""

from typing import Any

import strawberry

from models import Reservation
from models.node_id import encode
from resolvers.generation import MOST_IN_A_CHANGE, MOST_TOLD, Outcome
from resolvers.supply import Change, Supplied, supplied
from schema.access import EVERYBODY, TEAM, Allowed
from schema.connection import Info, several
from schema.cost import Cost, ListSize
from schema.declaration import Declared, Read
from schema.error import Refusing, UserError, user_errors

VERSION = "The version that was read; refused if it is another one now."
SUPPLIES = Cost(weight="50")


@strawberry.type(description="What was published because of a change.", directives=[EVERYBODY])
class Published:
    created: int = strawberry.field(description="Appointments that were missing and are published now.")
    kept: int = strawberry.field(description="Appointments that were there already.")
    removed: int = strawberry.field(description="Unbooked appointments that no longer fit and were withdrawn.")


@strawberry.type
class SupplyPayload:
    """What every payload of such a mutation has beside the thing itself."""

    user_errors: list[UserError] = user_errors()
    outcome: strawberry.Private[Outcome | None] = None

    @strawberry.field(description="What was published because of it; null when nothing was written.")
    def published(self) -> Published | None:
        told = self.outcome
        return None if told is None else Published(created=told.created, kept=told.kept, removed=told.removed)

    @strawberry.field(
        description="How many providers are still to be published: what concerns more than "
        f"{MOST_IN_A_CHANGE} of them, the worker does within some minutes.",
        directives=[TEAM],
    )
    def pending_providers(self) -> int:
        return self.outcome.pending if self.outcome else 0

    @strawberry.field(
        graphql_type=several("Reservation"),
        description=f"Reservations whose time no longer fits because of it, at most {MOST_TOLD}: they stay as they are.",
        directives=[ListSize(assumed_size=MOST_TOLD), TEAM],
    )
    async def affected_reservations(self, info: Info) -> Any:
        keys = self.outcome.affected[:MOST_TOLD] if self.outcome else ()
        rows = [await row for row in [info.context.loaders.one(Reservation, key) for key in keys]]
        return [row for row in rows if row is not None]

    @strawberry.field(description="How many such reservations there are.", directives=[TEAM])
    def affected_count(self) -> int:
        return len(self.outcome.affected) if self.outcome else 0


@strawberry.type(directives=[EVERYBODY])
class DeletePayload(SupplyPayload):
    """What every deletion answers."""

    deleted_id: strawberry.ID | None = strawberry.field(default=None, description="Null when nothing was deleted.")


class Supplying(Declared):
    """What a change of the supply has written, as its payload."""

    def __init__(self, change: Change, shown: str) -> None:
        self.change, self.shown = change, shown

    def apply(self, field: Any) -> None:
        self.field = field

    async def answer(self, info: Info, source: Any, read: Read) -> Any:
        return self.field.type(**self.told(await supplied(info.context, self.change, read())))

    def told(self, done: Supplied) -> dict[str, Any]:
        if self.change.deletes:
            return {"deleted_id": encode(self.change.record.__name__, done.key), "outcome": done.outcome}
        proposed = {"proposed": done} if self.change.after else {}
        return {self.shown: done.row, "outcome": done.outcome, **proposed}


def supplying(change: Change, payload: type, description: str, *rules: Allowed, shown: str = "") -> Any:
    """Declare a mutation that changes what is offered; the function reads what is asked for, as a `Request`.

    `shown` is the attribute of the payload that shows the row that was written.
    """
    return strawberry.mutation(
        graphql_type=payload,
        description=description,
        extensions=[Supplying(change, shown), Refusing()],
        directives=[SUPPLIES, *rules],
    )
