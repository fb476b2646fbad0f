"""The type Service."""

from typing import Any

import strawberry

from models.business import minutes
from schema.node import Node


@strawberry.type(description="What a provider does in an appointment.")
class Service(Node):
    name: str

    @strawberry.field(description="Time the provider needs before, in minutes.")
    def buffer_before_minutes(root: strawberry.Parent[Any]) -> int:  # noqa: N805
        return minutes(root.buffer_before)

    @strawberry.field(description="Time the provider needs after, in minutes.")
    def buffer_after_minutes(root: strawberry.Parent[Any]) -> int:  # noqa: N805
        return minutes(root.buffer_after)
