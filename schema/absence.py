"""Absence: what can be asked about proposals, and how they are decided."""

from enum import Enum
from typing import Any

import strawberry

from models import Proposal
from models.node_id import key_if_given, key_of
from models.page import Page
from models.proposal import Decision, Wanted
from models.relation import Asked
from models.text import note
from models.waitlist_relations import NEWEST_FIRST, PROPOSALS
from resolvers import proposals
from schema.access import DESK_OR_CLIENT, EVERYBODY, MEMBERS
from schema.connection import After, Before, First, Info, Last, maybe
from schema.error import UserError, thing, user_errors
from schema.filter import STEP, OrderDirection, order
from schema.proposal import ProposalStatus
from schema.root import KEY, found, listing, mutation


@strawberry.input(description="What a list of proposals is narrowed to. All that is given must hold.")
class ProposalFilter:
    reservation_id: strawberry.ID | None = strawberry.field(default=None, description="For this reservation.")
    client_id: strawberry.ID | None = strawberry.field(default=None, description="To this client.")
    provider_id: strawberry.ID | None = strawberry.field(default=None, description="Of a time of this provider.")
    time_off_id: strawberry.ID | None = strawberry.field(default=None, description="Because of this time off.")
    status: list[ProposalStatus] | None = strawberry.field(default=None, description="In one of these states now.")

    def wanted(self) -> Wanted:
        return Wanted(
            reservation_id=key_if_given("Reservation", self.reservation_id, "reservationId"),
            client_id=key_if_given("Client", self.client_id, "clientId"),
            provider_id=key_if_given("Provider", self.provider_id, "providerId"),
            time_off_id=key_if_given("TimeOff", self.time_off_id, "timeOffId"),
            status=None if self.status is None else tuple(dict.fromkeys(self.status)),
        )


@strawberry.enum(description="What proposals are sorted by.")
class ProposalOrderField(Enum):
    CREATED_AT = "id"  # ids are made in the order of creation
    EXPIRES_AT = "expires_at"


@strawberry.input(description=STEP)
class ProposalOrder:
    field: ProposalOrderField
    direction: OrderDirection = OrderDirection.ASC


@strawberry.input(description="A proposal that is accepted.")
class ProposalAcceptInput:
    proposal_id: strawberry.ID
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type(directives=[EVERYBODY])
class ProposalAcceptPayload:
    proposal: Any = thing(maybe("Proposal"))
    user_errors: list[UserError] = user_errors()


@strawberry.input(description="A proposal that is declined.")
class ProposalDeclineInput:
    proposal_id: strawberry.ID
    reason: str | None = strawberry.field(default=None, description="Up to 2000 characters.")
    idempotency_key: str | None = strawberry.field(default=None, description=KEY)


@strawberry.type(directives=[EVERYBODY])
class ProposalDeclinePayload:
    proposal: Any = thing(maybe("Proposal"))
    user_errors: list[UserError] = user_errors()


@strawberry.type
class AbsenceQuery:
    @listing(PROPOSALS, "The proposals that you see, the newest first.", MEMBERS)
    def proposals(
        self,
        filter: ProposalFilter | None = None,  # noqa: A002
        order_by: list[ProposalOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Any:
        listed = PROPOSALS.listed(order(order_by, NEWEST_FIRST))
        return Asked(filter.wanted() if filter else Wanted(), Page.read(listed, first, after, last, before))

    proposal = found(Proposal, "The proposal with this id.", MEMBERS)


@strawberry.type
class AbsenceMutation:
    @mutation(
        "Move a reservation to the time that is proposed. Its id stays, and so does what was agreed on; a hold stays a hold. "
        "A second time, the same proposal is answered; ILLEGAL_STATE if it was declined, or its time is over.",
        DESK_OR_CLIENT,
    )
    async def proposal_accept(self, info: Info, input: ProposalAcceptInput) -> ProposalAcceptPayload:  # noqa: A002
        decision = Decision(key_of("Proposal", input.proposal_id, "proposalId"))
        return ProposalAcceptPayload(proposal=await proposals.accept(info.context, decision, input.idempotency_key))

    @mutation(
        "Give back the time that is proposed; the reservation stays as it is. A second time, the same proposal is answered.",
        DESK_OR_CLIENT,
    )
    async def proposal_decline(self, info: Info, input: ProposalDeclineInput) -> ProposalDeclinePayload:  # noqa: A002
        decision = Decision(key_of("Proposal", input.proposal_id, "proposalId"), note(input.reason, "reason"))
        return ProposalDeclinePayload(proposal=await proposals.decline(info.context, decision, input.idempotency_key))
