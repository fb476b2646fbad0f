"""Changing rules: the inputs and payloads of availabilityRuleCreate, availabilityRuleUpdate and availabilityRuleDelete."""

from datetime import date
from typing import Any

import strawberry

from models.availability_rule import Rule
from models.node_id import key_of
from resolvers.schedules import Addition
from schema.access import EVERYBODY
from schema.connection import maybe
from schema.edit_input import DeleteInput, unchanged
from schema.error import thing
from schema.local_interval import END, NEXT_DAY, START, Weekday
from schema.scalars import LocalTime
from schema.schedule_input import TermsInput, TermsUpdateInput, said
from schema.supply import DeletePayload, SupplyPayload

WEEKDAY = "On which weekday, every week; null for a rule that is for dates."
FROM = "The first date on which it holds, which a rule without a weekday needs; a recurrence starts on it."
UNTIL = (
    "The last date on which it holds. A rule without a weekday needs it, and is for 366 days at most, "
    "unless its recurrence ends by itself."
)
RECURRENCE = (
    "On which dates since validFrom (RFC 5545, 3.3.10), like FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,WE: DAILY, WEEKLY, MONTHLY "
    "or YEARLY, with INTERVAL, COUNT or UNTIL (a date), WKST, BYDAY, BYMONTHDAY, BYMONTH and BYSETPOS; 366 dates at most, "
    "within two years. Null for every date, or for a weekday."
)


@strawberry.input(
    description="A window in which a provider works: on a weekday of every week, or on the dates of a range or recurrence."
)
class AvailabilityRuleCreateInput(TermsInput):
    provider_id: strawberry.ID
    start: LocalTime = strawberry.field(description=START)
    end: LocalTime = strawberry.field(description=END)
    ends_next_day: bool | None = strawberry.field(default=False, description=NEXT_DAY)
    weekday: Weekday | None = strawberry.field(default=None, description=WEEKDAY)
    valid_from: date | None = strawberry.field(default=None, description=FROM)
    valid_until: date | None = strawberry.field(default=None, description=UNTIL)
    recurrence: str | None = strawberry.field(default=None, description=RECURRENCE)

    def addition(self) -> Addition:
        return Addition(key_of("Provider", self.provider_id, "providerId"), Rule.read(said(self)))


@strawberry.type(directives=[EVERYBODY])
class AvailabilityRuleCreatePayload(SupplyPayload):
    availability_rule: Any = thing(maybe("AvailabilityRule"))


@strawberry.input(description="What is to change of a rule. What is left out stays as it is; null takes away.")
class AvailabilityRuleUpdateInput(TermsUpdateInput):
    start: LocalTime | None = unchanged(START)
    end: LocalTime | None = unchanged(END)
    ends_next_day: bool | None = unchanged(NEXT_DAY)
    weekday: Weekday | None = unchanged(WEEKDAY)
    valid_from: date | None = unchanged(FROM)
    valid_until: date | None = unchanged(UNTIL)
    recurrence: str | None = unchanged(RECURRENCE)


@strawberry.type(directives=[EVERYBODY])
class AvailabilityRuleUpdatePayload(SupplyPayload):
    availability_rule: Any = thing(maybe("AvailabilityRule"))


@strawberry.input(description="A rule that is to be deleted.")
class AvailabilityRuleDeleteInput(DeleteInput):
    pass


@strawberry.type(directives=[EVERYBODY])
class AvailabilityRuleDeletePayload(DeletePayload):
    pass
