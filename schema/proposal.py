"""The type Proposal."""

from datetime import datetime
from typing import Any

import strawberry

from models import waitlist_relations as relations
from models.proposal import ProposalStatus
from schema.access import MEMBERS
from schema.connection import one, personal
from schema.node import Node

__all__ = ["Proposal", "ProposalStatus"]

strawberry.enum(ProposalStatus, description=ProposalStatus.__doc__)


@strawberry.type(
    description="Another provider's time, held for a client whose own provider will be away. A PROVIDER sees those of "
    "reservations with them, and those of their own times.",
    directives=[MEMBERS],
)
class Proposal(Node):
    status: ProposalStatus = strawberry.field(description="What became of it; EXPIRED as soon as expiresAt has come.")
    expires_at: datetime = strawberry.field(
        description="From this instant on it can no longer be accepted: 24 hours after it was made, or an hour before the earlier "
        "of both starts."
    )
    reason: str | None = personal("reason", "Why it was declined, in whoever's words.")
    created_at: datetime
    version: int = strawberry.field(description="Grows by one with each change.")
    reservation: Any = one(
        relations.PROPOSAL_RESERVATION,
        "What is moved if it is accepted; null for whoever does not see it.",
        optional=True,
    )
    hold: Any = one(
        relations.PROPOSAL_HOLD, "By which the time is held; null for whoever does not see it.", optional=True
    )
    appointment: Any = one(
        relations.PROPOSAL_APPOINTMENT, "The time that is proposed; null once it is withdrawn.", optional=True
    )
    client: Any = one(
        relations.PROPOSAL_CLIENT, "To whom it is made; null for whoever does not see them.", optional=True
    )
    provider: Any = one(relations.PROPOSAL_PROVIDER, "Whose time is proposed.")
    from_provider: Any = one(relations.PROPOSAL_FROM_PROVIDER, "Who will be away.")
