"""Weekly schedules: the inputs and payloads of weeklyScheduleSet and weeklyScheduleDelete."""

from datetime import date
from typing import Any

import strawberry

from models.node_id import key_of
from models.week import MOST_INTERVALS, EmptyWeek, Week
from resolvers.schedules import weekly_rules
from schema.access import EVERYBODY, TEAM
from schema.connection import Info, maybe, several
from schema.cost import ListSize
from schema.edit_input import CreateInput
from schema.error import thing
from schema.local_interval import LocalIntervalInput, Weekday, intervals
from schema.schedule_input import TermsInput, said
from schema.supply import SupplyPayload


@strawberry.input(description="The windows of one weekday. A weekday that is named twice has the windows of both.")
class WeekdayInput:
    weekday: Weekday
    intervals: list[LocalIntervalInput]


@strawberry.input(description="The whole week of a provider, all on the same terms.")
class WeeklyScheduleSetInput(TermsInput):
    provider_id: strawberry.ID
    days: list[WeekdayInput] = strawberry.field(
        description=f"The weekdays on which the provider works; 1 to {MOST_INTERVALS} windows over all of them."
    )
    valid_from: date | None = strawberry.field(
        default=None, description="The first date on which it holds; null for no first one."
    )
    valid_until: date | None = strawberry.field(
        default=None, description="The last date on which it holds; null for no last one."
    )

    def week(self) -> Week:
        windows = [
            (day.weekday.number, window)
            for n, day in enumerate(self.days)
            for window in intervals(day.intervals, "days", n, "intervals")
        ]
        return Week.read(key_of("Provider", self.provider_id, "providerId"), windows, said(self))


@strawberry.type
class WeekPayload(SupplyPayload):
    """What both answer: the provider, and the weekly rules as they are now."""

    provider: Any = thing(maybe("Provider"))

    @strawberry.field(
        graphql_type=several("AvailabilityRule"),
        description="The provider's weekly rules as they are now, from Monday on; none when nothing was written.",
        directives=[ListSize(assumed_size=MOST_INTERVALS), TEAM],
    )
    async def availability_rules(self, info: Info) -> Any:
        return [] if self.provider is None else await weekly_rules(info.context, self.provider.id)


@strawberry.type(directives=[EVERYBODY])
class WeeklyScheduleSetPayload(WeekPayload):
    pass


@strawberry.input(description="A provider whose weekly rules are to be deleted; rules for dates, and exceptions, stay.")
class WeeklyScheduleDeleteInput(CreateInput):
    provider_id: strawberry.ID

    def empty(self) -> EmptyWeek:
        return EmptyWeek(key_of("Provider", self.provider_id, "providerId"))


@strawberry.type(directives=[EVERYBODY])
class WeeklyScheduleDeletePayload(WeekPayload):
    pass
