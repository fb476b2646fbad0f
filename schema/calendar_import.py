"""The type CalendarImport, and the inputs and payloads of the mutations that make and delete imports."""

from datetime import datetime
from typing import Any

import strawberry

from models import calendar_relations as relations
from models.calendar_import import NewImport
from models.outbound import Networks
from schema.access import EVERYBODY, TEAM
from schema.connection import one
from schema.declaration import Identity
from schema.edit_input import CreateInput, DeleteInput
from schema.error import UserError, thing, user_errors
from schema.supply import DeletePayload


@strawberry.type(
    description="A calendar of a provider that another program keeps. It is read every five minutes or so; when it says "
    "that they are busy, they are away here, too: see `timeOffs`. A PROVIDER sees their own.",
    directives=[TEAM],
)
class CalendarImport:
    id: strawberry.ID = strawberry.field(
        description="An opaque id, by which the import is deleted.", extensions=[Identity()]
    )
    host: str = strawberry.field(
        description="Where it is read. The rest of its address may be a secret, and is not told."
    )
    busy_count: int = strawberry.field(description="How many busy times it had when they last changed; 2000 at most.")
    changed_at: datetime | None = strawberry.field(description="When its busy times last became others; null before.")
    last_fetched_at: datetime | None = strawberry.field(
        description="When it was last read, changed or not; null while it never was."
    )
    last_error: str | None = strawberry.field(
        description="Why it could not be read the last time, in a sentence: the busy times stay as they were; null after "
        "a success."
    )
    created_at: datetime
    version: int = strawberry.field(description="Grows by one when its busy times change.")
    provider: Any = one(relations.IMPORT_PROVIDER, "Whose calendar it is.")


@strawberry.input(description="A calendar that is to be read.")
class CalendarImportCreateInput(CreateInput):
    provider_id: strawberry.ID = strawberry.field(description="Whose it is.")
    url: str = strawberry.field(
        description="Where it is read: an address of https or webcal, of a host that everybody can reach; up to 2000 characters."
    )

    def wanted(self, allowed: Networks) -> NewImport:
        return NewImport.read(self.provider_id, self.url, allowed)


@strawberry.type(directives=[EVERYBODY])
class CalendarImportCreatePayload:
    calendar_import: Any = thing(CalendarImport | None)
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="An import that is to be deleted, with its busy times: the rules hold again.")
class CalendarImportDeleteInput(DeleteInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class CalendarImportDeletePayload(DeletePayload):
    pass
