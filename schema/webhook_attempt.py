"""The type WebhookAttempt."""

from datetime import datetime

import strawberry

from schema.access import MANAGERS
from schema.declaration import Identity


@strawberry.type(description="What came of sending something once.", directives=[MANAGERS])
class WebhookAttempt:
    id: strawberry.ID = strawberry.field(
        description="Tells it from every other attempt; it is no node, and not found by `node`.",
        extensions=[Identity()],
    )
    number: int = strawberry.field(description="The first is 1.")
    attempted_at: datetime = strawberry.field(description="When it was over.")
    status: int | None = strawberry.field(description="The HTTP status that was answered; null if nothing was.")
    error: str | None = strawberry.field(description="What went wrong, in one sentence; null if nothing did.")
    milliseconds: int = strawberry.field(description="How long it took.")
