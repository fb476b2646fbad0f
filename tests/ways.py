"""Ways: the shortest documents that ask for one field of the contract, by what a role may ask for on the way there."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from graphql import GraphQLField, get_named_type, is_composite_type, is_interface_type

from models.node_id import encode
from models.viewer import Role
from schema.execution import CONTRACT
from tests.access import DESK_OR_CLIENT, MEMBERS, ROLES, TEAM, Coordinate
from tests.practices import HOUR, QUARTER, Practice

ROOTS = ("Query", "Mutation", "Subscription")
KINDS = {"Query": "query", "Mutation": "mutation", "Subscription": "subscription"}
PLAIN = "{field} {inside}"
NOTHING = encode("Reservation", UUID("0190ffff-ffff-7fff-8fff-ffffffffffff"))

_HOURS = 'weekday: MONDAY, start: "09:00", end: "10:00", slotMinutes: 30'
# What a mutation is sent so that nothing is written: what already is as it shall be, or what a rule refuses.
HARMLESS = {
    "appointmentsGenerate": "{{dryRun: true}}",
    "providerCreate": '{{firstName: "", lastName: "x"}}',
    "clientCreate": '{{firstName: "", lastName: "x"}}',
    "appointmentBulkCreate": "{{providerId: {provider}, serviceId: {service}, locationId: {location}, {noon}}}",
    "reservationCreate": "{{clientId: {client}, appointmentId: {confirmed time}}}",
    "reservationCreateAnyProvider": '{{clientId: {client}, serviceId: {service}, startsAt: "2099-05-03T09:00:00Z"}}',
    "reservationConfirm": "{{reservationId: {confirmed}}}",
    "reservationCancel": "{{reservationId: {cancelled}}}",
    "reservationApprove": "{{reservationId: {confirmed}}}",
    "reservationDecline": "{{reservationId: {cancelled}}}",
    "reservationRelease": "{{reservationId: {cancelled}}}",
    "reservationRenew": "{{reservationId: {confirmed}}}",
    "reservationReschedule": "{{reservationId: {confirmed}, appointmentId: {confirmed time}}}",
    "reservationMarkNoShow": "{{reservationId: {confirmed}}}",
    "appointmentStart": "{{appointmentId: {free time}}}",
    "appointmentComplete": "{{appointmentId: {free time}}}",
    "appointmentReassign": "{{appointmentId: {confirmed time}, dryRun: true}}",
    "visitCreate": '{{clientId: {client}, startsAt: "2099-05-03T09:00:00Z", services: []}}',
    "visitConfirm": "{{visitId: {visit}}}",
    "visitRenew": "{{visitId: {visit}}}",
    "visitCancel": "{{visitId: {nothing}}}",
    "reservationSeriesCreate": "{{clientId: {client}, appointmentId: {confirmed time}, count: 1}}",
    "reservationSeriesConfirm": "{{seriesId: {series}}}",
    "reservationSeriesCancel": "{{seriesId: {series}}}",
    "apiKeyCreate": '{{name: "", role: ADMIN}}',
    "apiKeyRevoke": "{{apiKeyId: {ended key}}}",
    "businessCreate": '{{name: "", timeZone: "UTC"}}',
    "businessUpdate": '{{expectedVersion: 0, name: "x"}}',
    "locationCreate": '{{name: "", timeZone: "UTC"}}',
    "locationUpdate": '{{id: {location}, expectedVersion: 0, name: "x"}}',
    "locationDelete": "{{id: {location}}}",
    "serviceCreate": '{{name: "", durationMinutes: 30}}',
    "serviceUpdate": '{{id: {service}, expectedVersion: 0, name: "x"}}',
    "serviceDelete": "{{id: {service}}}",
    "skillCreate": '{{name: ""}}',
    "skillUpdate": '{{id: {skill}, expectedVersion: 0, name: "x"}}',
    "skillDelete": "{{id: {skill}}}",
    "resourceCreate": '{{name: ""}}',
    "resourceUpdate": '{{id: {resource}, expectedVersion: 0, name: "x"}}',
    "resourceDelete": "{{id: {resource}}}",
    "providerUpdate": '{{id: {provider}, expectedVersion: 0, firstName: "x"}}',
    "providerSkillsSet": "{{providerId: {provider}, skillIds: [{skill}]}}",
    "providerServicesSet": "{{providerId: {provider}, services: [{{serviceId: {service}, locationId: {location}}}]}}",
    "weeklyScheduleSet": "{{providerId: {provider}, days: []}}",
    "weeklyScheduleDelete": "{{providerId: {nothing}}}",
    "availabilityRuleCreate": f"{{{{providerId: {{provider}}, {_HOURS}, capacity: 0}}}}",
    "availabilityRuleUpdate": "{{id: {rule}, expectedVersion: 0, capacity: 2}}",
    "availabilityRuleDelete": "{{id: {rule}, expectedVersion: 0}}",
    "availabilityExceptionCreate": '{{providerId: {provider}, date: "2099-05-03", windows: [], capacity: 0}}',
    "availabilityExceptionUpdate": "{{id: {exception}, expectedVersion: 0, capacity: 2}}",
    "availabilityExceptionDelete": "{{id: {exception}, expectedVersion: 0}}",
    "holidayCreate": '{{date: "2099-05-03", name: ""}}',
    "holidayUpdate": '{{id: {holiday}, expectedVersion: 0, name: "x"}}',
    "holidayDelete": "{{id: {holiday}, expectedVersion: 0}}",
    "timeOffCreate": '{{providerId: {provider}, startsAt: "2099-05-03T09:00:00Z", endsAt: "2099-05-03T09:00:00Z"}}',
    "timeOffUpdate": '{{id: {time off}, expectedVersion: 0, reason: "x"}}',
    "timeOffDelete": "{{id: {time off}, expectedVersion: 0}}",
    "calendarFeedCreate": "{{}}",
    "calendarFeedRevoke": "{{calendarFeedId: {nothing}}}",
    "calendarImportCreate": '{{providerId: {provider}, url: "http://localhost"}}',
    "calendarImportDelete": "{{id: {nothing}}}",
    "webhookEndpointCreate": '{{url: "http://localhost"}}',
    "webhookEndpointUpdate": "{{id: {webhook}, expectedVersion: 0, enabled: true}}",
    "webhookEndpointDelete": "{{id: {webhook}, expectedVersion: 0}}",
    "webhookSecretRotate": "{{id: {webhook}, expectedVersion: 0}}",
    "webhookDeliveryRetry": "{{id: {nothing}}}",
    "webhookDryRun": '{{type: "scheduling.client.created.v1"}}',
    "notificationPreferencesSet": "{{preferences: []}}",
    "waitlistEntryCreate": '{{clientId: {client}, startsFrom: "2099-05-03T09:00:00Z", startsUntil: "2099-05-04T09:00:00Z"}}',
    "waitlistEntryCancel": "{{entryId: {left entry}}}",
    "proposalAccept": "{{proposalId: {declined proposal}}}",
    "proposalDecline": "{{proposalId: {declined proposal}}}",
    "clientExport": "{{clientId: {client}}}",
    "clientErase": "{{clientId: {erased client}}}",
}
# What a query cannot do without.
NEEDED = {
    "availableDates": '(filter: {{}}, from: {day}, until: {next day}, timeZone: "UTC")',
    "explainAvailability": "(providerId: {provider}, startsAt: {at noon})",
    "nextAvailableAppointment": "(filter: {{}})",
    "exposedAppointments": '(filter: {{date: {day}, timeZone: "UTC"}}, viewerKey: "x")',
    "notificationPreferences": "(personId: {client})",
    "exposureReport": "(from: {long ago}, until: {at noon})",
}
# What else a role needs there: the rows that everybody else asks for are not for them.
NEEDED_BY = {("notificationPreferences", Role.PROVIDER): "(personId: {provider})"}
_TOO_MANY = 'startTime: "2100-01-01T00:00:00Z", endTime: "2100-12-01T00:00:00Z", slotMinutes: 1'
_LATER = 'startsFrom: "2099-05-03T09:00:00Z", startsUntil: "2099-05-04T09:00:00Z"'
_TWICE = "windows: [{{{noon}}}, {{{noon}}}]"
_ACROSS = "slotMinutes: 10, {noon}"
# What makes a mutation answer each kind of user error.
REFUSED = {
    "RefusedError": ("reservationConfirm", "{{reservationId: {nothing}}}"),
    "InvalidInputError": ("clientCreate", HARMLESS["clientCreate"]),
    "SlotUnavailableError": ("reservationCreate", HARMLESS["reservationCreate"]),
    "LeadTimeError": ("reservationCreate", "{{clientId: {client}, appointmentId: {soon}}}"),
    "HoldExpiredError": ("reservationConfirm", "{{reservationId: {lapsed}}}"),
    "IllegalStateError": ("reservationConfirm", "{{reservationId: {cancelled}}}"),
    "DuplicateRowsError": ("appointmentBulkCreate", f"{{{{providerId: {{provider}}, {_TWICE}}}}}"),
    "OverlappingRowsError": ("appointmentBulkCreate", f"{{{{providerId: {{provider}}, {_ACROSS}}}}}"),
    "TooManyRowsError": ("appointmentBulkCreate", f"{{{{providerId: {{provider}}, {_TOO_MANY}}}}}"),
    "OverlappingRulesError": ("availabilityRuleCreate", f"{{{{providerId: {{provider}}, {_HOURS}}}}}"),
    "TooManyEntriesError": (
        "waitlistEntryCreate",
        f"{{{{clientId: {{greedy client}}, providerId: {{provider}}, {_LATER}}}}}",
    ),
    "TooManyHoldsError": ("reservationCreate", "{{clientId: {greedy client}, appointmentId: {free time}}}"),
    "VersionConflictError": ("businessUpdate", HARMLESS["businessUpdate"]),
}


@dataclass(frozen=True)
class Step:
    """A field on the way, under the type that the document names; with what it is given, where it is something else."""

    type: str
    field: str
    input: str | None = None

    @property
    def coordinate(self) -> Coordinate:
        return self.type, self.field

    @property
    def definition(self) -> GraphQLField:
        return _fields(self.type)[self.field]

    @property
    def interfaces(self) -> Sequence[Any]:
        type_: Any = CONTRACT.type_map[self.type]
        found: Sequence[Any] = type_.interfaces
        return found

    @property
    def target(self) -> str:
        return get_named_type(self.definition.type).name


@dataclass(frozen=True)
class Way:
    """The steps from a root to a field; `is_certain` that it is answered, not only that it may be asked for."""

    steps: tuple[Step, ...]
    is_certain: bool = True

    @property
    def names(self) -> list[str]:
        return [step.field for step in self.steps]

    def is_open_to(self, role: Role) -> bool:
        return all(role in ROLES.get(step.coordinate, ()) for step in self.steps)

    def document(self, practice: Practice, leaf: str = PLAIN, rest: str = "") -> str:
        """Write it; `leaf` says how the last field is selected, `rest` what stands after the operation."""
        last = self.steps[-1]
        filled = {
            "field": self._text(len(self.steps) - 1, practice),
            "inside": _inside(last),
            "type": last.type,
            "interface": next((each.name for each in last.interfaces), last.type),
        }
        inside = leaf.format_map(filled)
        for place in range(len(self.steps) - 2, -1, -1):
            step, following = self.steps[place], self.steps[place + 1]
            if following.type != step.target:
                inside = f"... on {following.type} {{ {inside} }}"
            if step.type == "Mutation" and following.field != "userErrors":
                inside += " userErrors { __typename }"
            inside = f"{self._text(place, practice)} {{ {inside} }}"
        return f"{self.kind} Q {{ {inside} }} {rest.format_map(filled)}"

    def is_last_alone(self, role: Role) -> bool:
        """Whether the last field alone is not for a role."""
        return all(role in ROLES[step.coordinate] for step in self.steps[:-1]) and not self.is_open_to(role)

    @property
    def kind(self) -> str:
        return KINDS[self.steps[0].type]

    def _text(self, place: int, practice: Practice) -> str:
        step = self.steps[place]
        following = self.steps[place + 1].type if place < len(self.steps) - 1 else ""
        return step.field + _arguments(step, following, practice)


def way_to(coordinate: Coordinate, role: Role) -> Way:
    """The shortest way to a field that a role may take; if there is none, the shortest that leads there at all."""
    type_name, field = coordinate
    last = Step(type_name, field, NEEDED_BY.get((field, role)))
    if type_name in REFUSED:
        mutation, text = REFUSED[type_name]
        payload = Step("Mutation", mutation, text)
        way = Way((payload, Step(payload.target, "userErrors"), last))
        if way.is_open_to(role) and not (role is Role.CLIENT and "greedy client" in text):
            return way
    steps = _to(type_name, role)
    steps = _to(type_name, None) if steps is None else steps
    assert steps is not None, f"nothing leads to {type_name}"
    return Way(
        (*steps, last),
        # To whoever may ask for a subscription a request for one answer says how it is asked for.
        is_certain=not (
            type_name.endswith("Error")
            or type_name in ("Published", "SeriesConflict", "Subscription", "AvailabilityChange")
            or _is_unseen(type_name, role)
        ),
    )


def _is_unseen(type_name: str, role: Role) -> bool:
    """Whether a role has no rows of a type, though everybody may ask whatever there is for its id."""
    if type_name == "WaitlistEntry":
        return role not in DESK_OR_CLIENT
    return (
        type_name in ("Client", "Reservation", "Visit", "ReservationSeries", "Proposal") and role not in MEMBERS
    ) or (type_name == "TimeOff" and role not in TEAM)


@cache
def _to(type_name: str, role: Role | None) -> tuple[Step, ...] | None:
    """Search by breadth. A type that an interface leads to is a step further, so that its own fields come first."""
    waiting: deque[tuple[str, tuple[Step, ...]]] = deque((root, ()) for root in ROOTS)
    seen = set(ROOTS)
    while waiting:
        here, steps = waiting.popleft()
        if here == type_name:
            return steps
        for step, target in _onward(here):
            if target not in seen and (role is None or role in ROLES.get(step.coordinate, ())):
                seen.add(target)
                needed = None if role is None else NEEDED_BY.get((step.field, role))
                waiting.append((target, (*steps, replace(step, input=needed))))
    return None


def _onward(type_name: str) -> Iterator[tuple[Step, str]]:
    """Every step from a type; what is asked for by its id is known better than what a search finds."""
    for name, field in sorted(_fields(type_name).items(), key=lambda each: each[0] in NEEDED):
        target = get_named_type(field.type)
        if is_composite_type(target):
            step = Step(type_name, name)
            yield step, target.name
            for possible in CONTRACT.get_possible_types(target) if is_interface_type(target) else ():
                yield step, possible.name


def _fields(type_name: str) -> Mapping[str, GraphQLField]:
    type_: Any = CONTRACT.type_map[type_name]
    fields: Mapping[str, GraphQLField] = type_.fields
    return fields


def _inside(last: Step) -> str:
    if last.type == "Mutation":
        return "{ userErrors { __typename } }"  # else a refusal would be an error
    return "{ __typename }" if is_composite_type(get_named_type(last.definition.type)) else ""


def _arguments(step: Step, following: str, practice: Practice) -> str:
    """Fill in what a field needs, with the rows that the persons of a practice see."""
    if step.type == "Mutation":
        return f"(input: {written(step.input or HARMLESS[step.field], practice)})"
    if step.type == "Query" and step.field in NEEDED:
        return written(step.input or NEEDED[step.field], practice)
    if step.type not in ("Query", "Subscription") or not {"id", "ids"} & step.definition.args.keys():
        return ""
    wanted = following if step.target == "Node" else step.target
    key = practice.ids().get(wanted, practice["location"])
    return f'(ids: ["{key}"])' if "ids" in step.definition.args else f'(id: "{key}")'


def written(text: str, practice: Practice) -> str:
    """Fill a mutation's input, or what a query needs, with the ids and the times of a practice."""
    noon, free = practice.noon, practice.noon + HOUR
    times = {
        "at noon": noon.isoformat(),
        "day": free.date(),
        "next day": free.date() + timedelta(days=1),
        "long ago": (noon - timedelta(days=30)).isoformat(),
    }
    values = {"nothing": NOTHING, **{name: practice[name] for name in practice.keys}, **times}
    window = f'startTime: "{noon.isoformat()}", endTime: "{(noon + QUARTER).isoformat()}"'
    return text.format_map({**{name: f'"{value}"' for name, value in values.items()}, "noon": window})
