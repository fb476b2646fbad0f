"""The type Service."""

from datetime import timedelta
from typing import Any

import strawberry

from schema.node import Node


def minutes(length: timedelta) -> int:
    return int(length.total_seconds() // 60)


@strawberry.type(description="What a provider does in an appointment.")
class Service(Node):
    name: str

    @strawberry.field(description="Time the provider needs before, in minutes.")
    def buffer_before_minutes(root: strawberry.Parent[Any]) -> int:  # noqa: N805
        return minutes(root.buffer_before)

    @strawberry.field(description="Time the provider needs after, in minutes.")
    def buffer_after_minutes(root: strawberry.Parent[Any]) -> int:  # noqa: N805
        return minutes(root.buffer_after)
