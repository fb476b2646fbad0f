"""Schedules: what can be asked and changed of rules, exceptions, holidays and time off."""

from typing import Any

import strawberry

from models import AvailabilityException, AvailabilityRule, Holiday, TimeOff
from models.page import Page
from models.relation import Asked
from models.schedule_relations import (
    AVAILABILITY_EXCEPTIONS,
    AVAILABILITY_RULES,
    BY_DATE,
    BY_PLACE,
    BY_START,
    HOLIDAYS,
    TIME_OFFS,
)
from resolvers import schedules
from resolvers.writes import Request
from schema.access import EVERYBODY, MANAGERS, TEAM
from schema.availability_exception_input import (
    AvailabilityExceptionCreateInput,
    AvailabilityExceptionCreatePayload,
    AvailabilityExceptionDeleteInput,
    AvailabilityExceptionDeletePayload,
    AvailabilityExceptionUpdateInput,
    AvailabilityExceptionUpdatePayload,
)
from schema.availability_rule_input import (
    AvailabilityRuleCreateInput,
    AvailabilityRuleCreatePayload,
    AvailabilityRuleDeleteInput,
    AvailabilityRuleDeletePayload,
    AvailabilityRuleUpdateInput,
    AvailabilityRuleUpdatePayload,
)
from schema.connection import NUMBERED, After, Before, First, Last
from schema.edit_input import deletion
from schema.filter import order
from schema.holiday import (
    HolidayCreateInput,
    HolidayCreatePayload,
    HolidayDeleteInput,
    HolidayDeletePayload,
    HolidayUpdateInput,
    HolidayUpdatePayload,
)
from schema.root import Limit, Offset, found, listing
from schema.schedule_filter import (
    AvailabilityExceptionFilter,
    AvailabilityExceptionOrder,
    AvailabilityRuleFilter,
    AvailabilityRuleOrder,
    HolidayFilter,
    HolidayOrder,
    TimeOffFilter,
    TimeOffOrder,
    exceptions,
    rules,
    time_offs,
)
from schema.schedule_filter import holidays as wanted_holidays
from schema.schedule_input import edition
from schema.supply import supplying
from schema.time_off import (
    TimeOffCreateInput,
    TimeOffCreatePayload,
    TimeOffDeleteInput,
    TimeOffDeletePayload,
    TimeOffUpdateInput,
    TimeOffUpdatePayload,
)
from schema.weekly_schedule_input import (
    WeeklyScheduleDeleteInput,
    WeeklyScheduleDeletePayload,
    WeeklyScheduleSetInput,
    WeeklyScheduleSetPayload,
)


@strawberry.type
class ScheduleQuery:
    @listing(
        AVAILABILITY_RULES,
        "The rules by which providers work: the week from Monday on, then those for dates.",
        TEAM,
        size=NUMBERED,
    )
    def availability_rules(
        self,
        filter: AvailabilityRuleFilter | None = None,  # noqa: A002
        order_by: list[AvailabilityRuleOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        listed = AVAILABILITY_RULES.listed(order(order_by, BY_PLACE))
        return Asked(rules(filter), Page.read(listed, first, after, last, before, limit, offset))

    @listing(
        AVAILABILITY_EXCEPTIONS,
        "The dates on which providers are away, or work other hours, by date.",
        TEAM,
        size=NUMBERED,
    )
    def availability_exceptions(
        self,
        filter: AvailabilityExceptionFilter | None = None,  # noqa: A002
        order_by: list[AvailabilityExceptionOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        listed = AVAILABILITY_EXCEPTIONS.listed(order(order_by, BY_DATE))
        return Asked(exceptions(filter), Page.read(listed, first, after, last, before, limit, offset))

    @listing(
        HOLIDAYS, "The dates on which a location, or the whole business, is closed, by date.", EVERYBODY, size=NUMBERED
    )
    def holidays(
        self,
        filter: HolidayFilter | None = None,  # noqa: A002
        order_by: list[HolidayOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        listed = HOLIDAYS.listed(order(order_by, BY_DATE))
        return Asked(wanted_holidays(filter), Page.read(listed, first, after, last, before, limit, offset))

    @listing(TIME_OFFS, "When providers are away, by start; a PROVIDER sees their own.", TEAM, size=NUMBERED)
    def time_offs(
        self,
        filter: TimeOffFilter | None = None,  # noqa: A002
        order_by: list[TimeOffOrder] | None = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        limit: Limit = None,
        offset: Offset = None,
    ) -> Any:
        listed = TIME_OFFS.listed(order(order_by, BY_START))
        return Asked(time_offs(filter), Page.read(listed, first, after, last, before, limit, offset))

    availability_rule = found(AvailabilityRule, "The rule with this id.", TEAM)
    availability_exception = found(AvailabilityException, "The exception with this id.", TEAM)
    holiday = found(Holiday, "The holiday with this id.", EVERYBODY)
    time_off = found(TimeOff, "The time off with this id.", TEAM)


@strawberry.type
class ScheduleMutation:
    @supplying(
        schedules.SET_WEEK,
        WeeklyScheduleSetPayload,
        "Replace all weekly rules of a provider: those that are right already stay as they are. A PROVIDER sets their own.",
        TEAM,
        shown="provider",
    )
    def weekly_schedule_set(self, input: WeeklyScheduleSetInput) -> Any:  # noqa: A002
        return Request(input.week(), input.idempotency_key)

    @supplying(
        schedules.CLEAR_WEEK,
        WeeklyScheduleDeletePayload,
        "Delete all weekly rules of a provider. A PROVIDER deletes their own.",
        TEAM,
        shown="provider",
    )
    def weekly_schedule_delete(self, input: WeeklyScheduleDeleteInput) -> Any:  # noqa: A002
        return Request(input.empty(), input.idempotency_key)

    @supplying(
        schedules.CREATE_RULE,
        AvailabilityRuleCreatePayload,
        "Add a window in which a provider works. A PROVIDER adds their own.",
        TEAM,
        shown="availability_rule",
    )
    def availability_rule_create(self, input: AvailabilityRuleCreateInput) -> Any:  # noqa: A002
        return Request(input.addition(), input.idempotency_key)

    @supplying(
        schedules.UPDATE_RULE,
        AvailabilityRuleUpdatePayload,
        "Change a rule. A PROVIDER changes their own.",
        TEAM,
        shown="availability_rule",
    )
    def availability_rule_update(self, input: AvailabilityRuleUpdateInput) -> Any:  # noqa: A002
        return edition("AvailabilityRule", input)

    @supplying(
        schedules.DELETE_RULE, AvailabilityRuleDeletePayload, "Delete a rule. A PROVIDER deletes their own.", TEAM
    )
    def availability_rule_delete(self, input: AvailabilityRuleDeleteInput) -> Any:  # noqa: A002
        return deletion("AvailabilityRule", input)

    @supplying(
        schedules.CREATE_EXCEPTION,
        AvailabilityExceptionCreatePayload,
        "Say for one date that a provider is away, or works other hours. A PROVIDER adds their own.",
        TEAM,
        shown="availability_exception",
    )
    def availability_exception_create(self, input: AvailabilityExceptionCreateInput) -> Any:  # noqa: A002
        return Request(input.addition(), input.idempotency_key)

    @supplying(
        schedules.UPDATE_EXCEPTION,
        AvailabilityExceptionUpdatePayload,
        "Change an exception. A PROVIDER changes their own.",
        TEAM,
        shown="availability_exception",
    )
    def availability_exception_update(self, input: AvailabilityExceptionUpdateInput) -> Any:  # noqa: A002
        return input.edition()

    @supplying(
        schedules.DELETE_EXCEPTION,
        AvailabilityExceptionDeletePayload,
        "Delete an exception. A PROVIDER deletes their own.",
        TEAM,
    )
    def availability_exception_delete(self, input: AvailabilityExceptionDeleteInput) -> Any:  # noqa: A002
        return deletion("AvailabilityException", input)

    @supplying(
        schedules.CREATE_HOLIDAY,
        HolidayCreatePayload,
        "Close a location, or the whole business, on a date.",
        MANAGERS,
        shown="holiday",
    )
    def holiday_create(self, input: HolidayCreateInput) -> Any:  # noqa: A002
        return Request(input.closing(), input.idempotency_key)

    @supplying(schedules.UPDATE_HOLIDAY, HolidayUpdatePayload, "Change a holiday.", MANAGERS, shown="holiday")
    def holiday_update(self, input: HolidayUpdateInput) -> Any:  # noqa: A002
        return edition("Holiday", input)

    @supplying(schedules.DELETE_HOLIDAY, HolidayDeletePayload, "Delete a holiday.", MANAGERS)
    def holiday_delete(self, input: HolidayDeleteInput) -> Any:  # noqa: A002
        return deletion("Holiday", input)

    @supplying(
        schedules.CREATE_TIME_OFF,
        TimeOffCreatePayload,
        "Say when a provider is away. A PROVIDER adds their own.",
        TEAM,
        shown="time_off",
    )
    def time_off_create(self, input: TimeOffCreateInput) -> Any:  # noqa: A002
        return Request(input.addition(), input.idempotency_key)

    @supplying(
        schedules.UPDATE_TIME_OFF,
        TimeOffUpdatePayload,
        "Change time off. A PROVIDER changes their own.",
        TEAM,
        shown="time_off",
    )
    def time_off_update(self, input: TimeOffUpdateInput) -> Any:  # noqa: A002
        return edition("TimeOff", input)

    @supplying(schedules.DELETE_TIME_OFF, TimeOffDeletePayload, "Delete time off. A PROVIDER deletes their own.", TEAM)
    def time_off_delete(self, input: TimeOffDeleteInput) -> Any:  # noqa: A002
        return deletion("TimeOff", input)
