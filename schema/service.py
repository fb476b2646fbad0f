"""The type Service."""

import strawberry

from schema.access import EVERYBODY
from schema.node import Node


@strawberry.type(description="What a provider does in an appointment.", directives=[EVERYBODY])
class Service(Node):
    name: str
    buffer_before_minutes: int = strawberry.field(description="Time the provider needs before, in minutes.")
    buffer_after_minutes: int = strawberry.field(description="Time the provider needs after, in minutes.")
