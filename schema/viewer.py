"""The type Viewer."""

from typing import Any

import strawberry

from models import relations
from models.viewer import Role
from schema.access import EVERYBODY
from schema.business import Business
from schema.declaration import Linked


@strawberry.type(description="Whoever sends this request.", directives=[EVERYBODY])
class Viewer:
    principal: str = strawberry.field(description="The name that events and idempotency keys know them by.")
    role: Role = strawberry.field(description="What they are to the business, which decides what they may ask for.")
    business: Any = strawberry.field(
        graphql_type=Business,
        description="The business whose rows they see.",
        extensions=[Linked(relations.VIEWER_BUSINESS)],
    )
