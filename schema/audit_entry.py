"""The type AuditEntry."""

from datetime import datetime
from typing import Any

import strawberry
from sqlalchemy import Row
from strawberry.scalars import JSON
from strawberry.utils.str_converters import to_camel_case

from models.node_id import encode
from schema.access import MANAGERS, MEMBERS
from schema.declaration import Identity

# One event tells of all the times that a provider published at once, or of all that was changed of when they work.
_ABOUT = {"scheduling.appointment.created.v1": "Provider", "user.team_member.availability.changed.v1": "Provider"}


@strawberry.type(
    description="Something that was done, or that somebody read about a person. Nobody can change it afterwards.",
    directives=[MEMBERS],
)
class AuditEntry:
    id: strawberry.ID = strawberry.field(
        description="Tells it from every other entry; it is no node, and not found by `node`.", extensions=[Identity()]
    )
    occurred_at: datetime = strawberry.field(description="When, by the database's clock.")
    actor: str | None = strawberry.field(
        description="Who: their principal. Null for what no request did, such as a change made by hand.",
        directives=[MANAGERS],
    )
    action: str = strawberry.field(
        description="What was done: `scheduling.client.updated.v1`, `audit.client.read.v1`, `audit.client.exported.v1`."
    )
    request_id: str | None = strawberry.field(
        description="In which request; its answer had it as X-Request-Id.", directives=[MANAGERS]
    )

    @strawberry.field(
        description="The id of the thing. That times were published is told of their provider, "
        "and so is that they work at other times. "
        "Things that are gone, and things that the API does not show, have an id, too; `node` does not find them."
    )
    def node_id(root: strawberry.Parent[Row[Any]]) -> strawberry.ID:  # noqa: N805
        return strawberry.ID(encode(type_of(root.action), root.thing_id))

    @strawberry.field(
        description="What a change made different: the stored columns, each with its values before and after, "
        "as `[before, after]`; null instead of both where the value is personal. Null when nothing was changed."
    )
    def diff(root: strawberry.Parent[Row[Any]]) -> JSON | None:  # noqa: N805
        return None if root.diff is None else JSON(difference(root.diff))

    @strawberry.field(
        description="Which personal fields were read; null for whatever is no reading.", directives=[MANAGERS]
    )
    def fields(root: strawberry.Parent[Row[Any]]) -> list[str] | None:  # noqa: N805
        read: list[str] | None = root.data.get("fields")
        return read


def type_of(action: str) -> str:
    """Name the type of the thing that an action was done to, from the action's noun."""
    noun = action.split(".")[1]
    return _ABOUT.get(action) or "".join(word.capitalize() for word in noun.split("_"))


def difference(stored: dict[str, Any]) -> dict[str, Any]:
    """Write a difference as the API names columns, and writes instants."""
    return {
        to_camel_case(name): [_instant(value) for value in change] if change and name.endswith("_at") else change
        for name, change in stored.items()
    }


def _instant(value: str | None) -> str | None:
    return value and value.removesuffix("+00:00") + "Z"
