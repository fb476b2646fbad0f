"""The context of one request: who asks, the database, the loaders, and what the answer says beside its data."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement

from models import event
from models.refusal import Refusal
from resolvers.database import Database
from resolvers.loaders import Loaders


@dataclass(frozen=True)
class Viewer:
    """Whoever asks: the business whose rows they see, and the name that events and keys know them by."""

    business_id: UUID
    principal: str


@dataclass
class Context:
    """Made by the server for each request, handed to every resolver.

    `mutation` names the root field that is being executed, where a document has several: they share one header.
    `told` are the codes of the refusals that payloads tell; `untold` those that the answer has to tell at the top.
    """

    database: Database
    viewer: Viewer
    request_id: str
    idempotency_key: str | None = None
    mutation: str | None = None
    extensions: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    untold: list[Refusal] = field(default_factory=list)

    @cached_property
    def loaders(self) -> Loaders:
        return Loaders(self.database, self.viewer.business_id)

    @property
    def business(self) -> UUID:
        return self.viewer.business_id

    def authored(self) -> ColumnElement[bool]:
        """The condition that names the viewer and the request to the events a statement writes."""
        return event.authored(self.viewer.principal, self.request_id)
