"""The context of one request: who asks, the database, the loaders, and what the answer says beside its data."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement

from models import event
from models.outbound import Networks
from models.refusal import Refusal
from models.viewer import Sight, Viewer
from resolvers.database import Database
from resolvers.loaders import Loaders
from resolvers.stream import Signals


@dataclass(frozen=True)
class Zoned:
    """What can be read only when the caller's zone is known, which no argument but a header may tell."""

    read: Callable[[str | None], Any]


@dataclass
class Context:
    """Made by the server for each request, handed to every resolver.

    `mutation` names the root field that is being executed, where a document has several: they share one header.
    `told` are the codes of the refusals that payloads tell; `untold` those that the answer has to tell at the top.
    `read` names the personal fields that were read of each thing, by its type and key; `outdated`
    are keys and businesses that are no longer as the server believes. `time_zone` is the caller's, if they told it.
    `allowed_networks` are those private ones that may be called, by who operates this server; `public_url` is where
    others reach it. `pay` takes points for what nobody could price before, and tells whether there were enough.
    """

    database: Database
    viewer: Viewer
    request_id: str
    idempotency_key: str | None = None
    mutation: str | None = None
    extensions: dict[str, Any] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    untold: list[Refusal] = field(default_factory=list)
    read: dict[tuple[str, UUID], set[str]] = field(default_factory=dict)
    outdated: list[UUID] = field(default_factory=list)
    time_zone: str | None = None
    allowed_networks: Networks = ()
    signals: Signals | None = None
    public_url: str = ""
    pay: Callable[[int], Awaitable[bool]] | None = None

    @cached_property
    def loaders(self) -> Loaders:
        return Loaders(self.database, self.viewer)

    @property
    def business(self) -> UUID:
        return self.viewer.business_id

    def located(self, value: Any) -> Any:
        """Complete what a field's own function has read, with the caller's zone, where it asks for that."""
        return value.read(self.time_zone) if isinstance(value, Zoned) else value

    def authored(self) -> ColumnElement[bool]:
        """The condition that names the viewer and the request to the events a statement writes."""
        return event.authored(self.viewer.principal, self.request_id)

    def disclose(self, type_name: str, key: UUID, field: str) -> None:
        """Note that a personal field was read; what somebody reads of themselves is nobody's concern."""
        if self.viewer.sight is not Sight.CLIENT:
            self.read.setdefault((type_name, key), set()).add(field)
