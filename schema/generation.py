"""Generation: publishing from rules, at the command of whoever administers."""

from datetime import datetime

import strawberry

from models.generation import MOST_PROVIDERS, Generation
from models.node_id import key_of
from models.refusal import InvalidInput
from resolvers.generation import generate
from schema.access import ADMINS, EVERYBODY
from schema.connection import Info
from schema.cost import Cost
from schema.root import mutation
from schema.supply import SupplyPayload

GENERATES = Cost(weight="500")


@strawberry.input(description="What is to be published from the rules of providers.")
class AppointmentsGenerateInput:
    from_: datetime | None = strawberry.field(
        name="from",
        default=None,
        description="Starting at this instant or later; else now. What is not published before it is published as well.",
    )
    until: datetime | None = strawberry.field(
        default=None,
        description="Starting before this instant, at most 366 days ahead; else as far as the business publishes.",
    )
    provider_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description=f"Of these providers, at most {MOST_PROVIDERS}; else of all who have rules."
    )
    dry_run: bool | None = strawberry.field(default=False, description="Tell what would happen, and write nothing.")

    def wanted(self) -> Generation:
        keys = self.provider_ids
        if keys is not None and not 1 <= len(keys) <= MOST_PROVIDERS:
            raise InvalidInput("providerIds", problem=f"Name 1 to {MOST_PROVIDERS} providers, or leave the list out.")
        read = [key_of("Provider", key, "providerIds", n) for n, key in enumerate(keys or ())]
        providers = None if keys is None else tuple(read)
        return Generation(self.from_, self.until, providers, dry_run=bool(self.dry_run))


@strawberry.type(directives=[EVERYBODY])
class AppointmentsGeneratePayload(SupplyPayload):
    @strawberry.field(description="How many providers were published.", directives=[ADMINS])
    def providers(self) -> int:
        return self.outcome.providers if self.outcome else 0


@strawberry.type
class GenerationMutation:
    @mutation(
        "Publish what rules say, as it is done whenever a rule changes and each hour anyway: what is missing is created, "
        "unbooked times that no longer fit go, booked ones stay and are told. Providers are published some at a time, "
        "for some seconds: while pendingProviders is not 0, send it again, and it goes on. What is right already stays.",
        ADMINS,
        cost=GENERATES,
    )
    async def appointments_generate(self, info: Info, input: AppointmentsGenerateInput) -> AppointmentsGeneratePayload:  # noqa: A002
        done = await generate(info.context, input.wanted())
        return AppointmentsGeneratePayload(outcome=done)
