"""Tenants: of another business nobody learns anything, neither by an id of it, nor by a cursor, nor by a header."""

import base64
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx2
import orjson
import psycopg
import pytest
from graphql import (
    GraphQLInputObjectType,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_interface_type,
    is_list_type,
)

from models.node_id import encode
from models.viewer import Role
from schema.execution import CONTRACT
from server.database import APPLICATION
from tests.access import ROLES, Coordinate
from tests.conftest import GENEROUS, Api, patient, serving
from tests.practices import THEIR_BUSINESS, THEIR_HOST, THEIR_WORD, Practice, Practices, dump, practices
from tests.tokens import Headers
from tests.ways import way_to

REQUEST = {"x-request-id": "tenants", "accept": "application/graphql-response+json"}
UNKNOWN = UUID("0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000")
# What runs to find out who asks, which is then known for some seconds.
IDENTITY = ("api_keys.secret_hash", "find_business")
DEEP = 1  # how many links an answer is followed, to find words of the other business in it
PAGE = "totalCount pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} nodes {{ id }} edges {{ cursor }}"
WHO = "{ viewer { principal role business { id name } } providers { nodes { firstName } } }"
SOON = 'startTime: "2099-05-03T09:00:00Z", endTime: "2099-05-03T10:00:00Z"'
HOURS = 'start: "09:00", end: "10:00"'
FROM, UNTIL = '"2099-05-03T09:00:00Z"', '"2099-05-03T10:00:00Z"'
# What a mutation is sent beside the id, so that only the id can be refused; an id of ours gives way to the one in question.
BESIDE = {
    "appointmentBulkCreate": {"providerId": "provider", "": SOON},
    "locationUpdate": {"": 'expectedVersion: 0, name: "x"'},
    "serviceCreate": {"": 'name: "x", durationMinutes: 30'},
    "serviceUpdate": {"id": "service", "": 'expectedVersion: 0, name: "x"'},
    "skillUpdate": {"": 'expectedVersion: 0, name: "x"'},
    "resourceCreate": {"": 'name: "x"'},
    "resourceUpdate": {"id": "resource", "": 'expectedVersion: 0, name: "x"'},
    "providerUpdate": {"": 'expectedVersion: 0, firstName: "x"'},
    "providerSkillsSet": {"providerId": "provider", "skillIds": "skill"},
    "providerServicesSet": {"providerId": "provider", "services": "{service}"},
    "reservationCreate": {"clientId": "client", "appointmentId": "free time"},
    "reservationCreateAnyProvider": {"clientId": "client", "serviceId": "service", "": 'startsAt: "NOON"'},
    "visitCreate": {"clientId": "client", "services": "{service}", "": 'startsAt: "NOON"'},
    "reservationSeriesCreate": {"clientId": "client", "serviceId": "service", "": 'startsAt: "NOON", count: 2'},
    "exposedAppointments": {"": 'date: "DATE", timeZone: "UTC"'},
    "apiKeyCreate": {"": 'name: "till", role: CLIENT'},
    "weeklyScheduleSet": {
        "providerId": "provider",
        "": f"slotMinutes: 30, days: [{{weekday: MONDAY, intervals: [{{{HOURS}}}]}}]",
    },
    "availabilityRuleCreate": {"providerId": "provider", "": f"weekday: SATURDAY, slotMinutes: 30, {HOURS}"},
    "availabilityRuleUpdate": {"id": "rule", "": "expectedVersion: 1, capacity: 2"},
    "availabilityExceptionCreate": {"providerId": "provider", "": 'date: "2099-05-03", windows: []'},
    "availabilityExceptionUpdate": {"id": "exception", "": "expectedVersion: 1, capacity: 2"},
    "holidayCreate": {"": 'date: "2099-05-03", name: "x"'},
    "holidayUpdate": {"id": "holiday", "": 'expectedVersion: 1, name: "x"'},
    "timeOffCreate": {"providerId": "provider", "": 'startsAt: "2099-05-03T09:00:00Z", endsAt: "2099-05-03T10:00:00Z"'},
    "timeOffUpdate": {"id": "time off", "": 'expectedVersion: 1, reason: "x"'},
    "calendarImportCreate": {"providerId": "provider", "": 'url: "https://calendar.example/x.ics"'},
    "appointmentReassign": {"appointmentId": "confirmed time"},
    "reservationReschedule": {"reservationId": "confirmed", "appointmentId": "free time"},
    "waitlistEntryCreate": {
        "clientId": "client",
        "serviceId": "service",
        "": f"startsFrom: {FROM}, startsUntil: {UNTIL}",
    },
    "webhookEndpointUpdate": {"": "expectedVersion: 0, enabled: true"},
}
# What a field is sent beside the argument that has the id.
ARGUMENTS = {
    "availableDates": 'from: "DATE", until: "DATE"',
    "exposedAppointments": 'viewerKey: "x"',
    "exposureReport": 'from: "NOON", until: "NOON"',
    "explainAvailability": 'startsAt: "NOON"',
}


@dataclass(frozen=True)
class Place:
    """Where the contract takes an id: an argument, or a field of the input that is one."""

    coordinate: Coordinate
    argument: str
    field: str | None
    is_many: bool

    def document(self, role: Role, ours: Practice, kind: str) -> str:
        """Ask, with `$id` of a kind of thing in this place, for all that a role may ask for."""
        type_name, name = self.coordinate
        given = "[$id]" if self.is_many else "$id"
        if self.field is not None:
            beside = {key: _written(key, row, ours) for key, row in BESIDE.get(name, {}).items()}
            outer, _, inner = self.field.partition(".")
            if inner:
                beside_it = f'serviceId: "{ours["service"]}", ' if inner in ("locationId", "providerId") else ""
                given = f"{{{beside_it}{inner}: {given}}}"
            given = "{" + ", ".join((beside | {outer: f"{outer}: {given}"}).values()) + "}"
        target = get_named_type(_fields(type_name)[name].type).name
        arguments = f"{self.argument}: {given} {ARGUMENTS.get(name, '')}"
        if self.argument == "serviceId":
            arguments += f' providerId: "{ours["provider"]}"'
        arguments = arguments.replace("NOON", ours.noon.isoformat()).replace("DATE", str(ours.noon.date()))
        inside = (
            f"... on {kind} {{ {whole(kind, role, DEEP)} }}" if is_node(target, kind) else whole(target, role, DEEP)
        )
        return f"{type_name.lower()} Q($id: ID!) {{ {name}({arguments}) {{ __typename {inside} }} }}"

    @property
    def meant(self) -> tuple[str, ...]:
        """The types whose ids are meant here, by the name of the place; all, where it does not say."""
        name = (self.field or self.argument).rpartition(".")[2]
        stem = re.sub("(^i|I)ds?$", "", name) or re.sub("(Update|Delete)$", "", self.coordinate[1])
        named = stem[0].upper() + stem[1:]
        return (named,) if named in TYPES else TYPES

    def types(self, wall: str, role: Role) -> list[str]:
        """The types whose ids a role asks for at a wall: what is meant at each, the rest at one, and by every other role."""
        rest = [name for name in TYPES if name not in self.meant]
        turn = [*WALLS].index(wall) + len(WALLS) * ([*Role].index(role) % 2)
        return [*self.meant, *rest[turn :: 2 * len(WALLS)]]


def places() -> Iterator[Place]:
    """Every place of the contract that takes an id and answers at once; of the rest, see the test of listening."""
    for owner, name in sorted(ROLES):
        if owner == "Subscription":
            continue
        for argument, of in _fields(owner)[name].args.items():
            named = get_named_type(of.type)
            if named.name == "ID":
                yield Place((owner, name), argument, None, _is_many(of))
            elif isinstance(named, GraphQLInputObjectType):
                for field, inner in named.fields.items():
                    for path, found in _ids(field, inner):
                        yield Place((owner, name), argument, path, _is_many(found))


def _ids(field: str, of: Any) -> Iterator[tuple[str, Any]]:
    """The ids of a field of an input: the field itself, or those of what it is a list of."""
    named = get_named_type(of.type)
    if named.name == "ID":
        yield field, of
    elif isinstance(named, GraphQLInputObjectType):
        for name, inner in named.fields.items():
            if get_named_type(inner.type).name == "ID":
                yield f"{field}.{name}", inner


def _written(key: str, row: str, ours: Practice) -> str:
    """Write what stands beside an id: a row of ours, or what is in braces, as what something is a list of."""
    if not key:
        return row
    return f'{key}: {{serviceId: "{ours[row[1:-1]]}"}}' if row.startswith("{") else f'{key}: "{ours[row]}"'


def _is_many(of: Any) -> bool:
    return is_list_type(get_nullable_type(of.type))


def _fields(type_name: str) -> Any:
    type_: Any = CONTRACT.type_map[type_name]
    return type_.fields


def is_node(type_name: str, kind: str) -> bool:
    """Whether what is asked for may be of any type, and this is one of those."""
    return type_name == "Node" and any(each.name == "Node" for each in CONTRACT.type_map[kind].interfaces)  # type: ignore[attr-defined]


def whole(type_name: str, role: Role, depth: int, prefix: str = "") -> str:
    """Select all that a role may ask for; in a fragment, each under a name of its own: fields of two types may differ."""
    parts = ["__typename"]
    for name, field in _fields(type_name).items():
        target = get_named_type(field.type)
        if role not in ROLES[type_name, name] or name == "edges":
            continue
        shown = f"{prefix}{name}: {name}" if prefix else name
        if not is_composite_type(target):
            parts.append(shown)
        elif depth:
            inside = whole(target.name, role, depth - (not type_name.endswith(("Connection", "Payload"))))
            parts.append(f"{shown} {{ {inside} }}")
    if is_interface_type(CONTRACT.type_map[type_name]):
        possible: Any = CONTRACT.get_possible_types(CONTRACT.type_map[type_name])  # type: ignore[arg-type]
        parts += [f"... on {each.name} {{ {whole(each.name, role, depth, f'{each.name}_')} }}" for each in possible]
    return " ".join(parts)


PLACES = list(places())
# A cursor of the feed of events is a number, at which anybody may stand: see tests/api/test_events.py.
FEEDS = {("Query", "events")}
LISTS = [each for each in sorted(ROLES) if "after" in _fields(each[0])[each[1]].args and each not in FEEDS]
WAYS_TO_LISTS = {role: [each for each in LISTS if way_to(each, role).is_open_to(role)] for role in Role}
# One of every type that there is of another business, though the API finds only some of them.
TYPES = (
    "Business", "Location", "Service", "Resource", "Skill", "Requirement", "Offering", "Provider", "Client", "Appointment", "Reservation",
    "AvailabilityRule", "AvailabilityException", "Holiday", "TimeOff", "ApiKey", "AuditEntry", "Notification",
    "WaitlistEntry", "Proposal", "CalendarFeed", "CalendarImport", "WebhookEndpoint", "WebhookDelivery", "WebhookAttempt", "Visit", "ReservationSeries",
)  # fmt: skip


def _asked(role: Role) -> list[Place]:
    return [place for place in PLACES if role in ROLES[place.coordinate]]


@pytest.fixture(scope="module")
def both(cluster: str, migrated: str) -> Iterator[Practices]:
    with practices(cluster, migrated) as made:
        yield made


WALLS = {
    "compiled": (True, APPLICATION),
    "ordinary": (False, APPLICATION),
    # The owner, whom no row security holds back: what we say in each statement has to do alone.
    "compiled-one-wall": (True, None),
    "ordinary-one-wall": (False, None),
}


@pytest.fixture(params=WALLS)
def wall(request: pytest.FixtureRequest) -> str:
    """Either road, with the second wall and without it."""
    return str(request.param)


@pytest.fixture
async def api(both: Practices, wall: str) -> AsyncIterator[Api]:
    is_compiled, role = WALLS[wall]
    served = serving(
        both.url, compile=is_compiled, limits=GENEROUS, API_KEYS="on", RATE_LIMIT="0", RATE_LIMIT_ANONYMOUS="0"
    )
    served.database = patient(both.url, 8, served.settings.lanes, role)
    async with served as client:
        yield client


async def send(api: Api, query: str, headers: Headers, **variables: Any) -> httpx2.Response:
    api.statements.clear()
    sent = {"query": query, "variables": variables}
    return await api.http.post("/graphql", json=sent, headers={**REQUEST, **headers})


def executed(api: Api) -> list[str]:
    """The statements of the last question, as many and the same in the time that they take, but for who asks."""
    return [each for each in api.statements if not any(mark in each for mark in IDENTITY)]


def told(response: httpx2.Response) -> tuple[int, bytes]:
    return response.status_code, response.content


def _reached(place: Place) -> tuple[Any, str]:
    """The input type, and the field of it, in which a place is."""
    assert place.field is not None
    outer, _, inner = place.field.partition(".")
    type_: Any = get_named_type(_fields(place.coordinate[0])[place.coordinate[1]].args[place.argument].type)
    return (get_named_type(type_.fields[outer].type), inner) if inner else (type_, outer)


def test_every_place_that_takes_an_id_is_known() -> None:
    inputs = [type_ for type_ in CONTRACT.type_map.values() if isinstance(type_, GraphQLInputObjectType)]
    fields = [
        (type_, name) for type_ in inputs for name, of in type_.fields.items() if get_named_type(of.type).name == "ID"
    ]
    reached = {_reached(place) for place in PLACES if place.field is not None}

    assert {(type_.name, name) for type_, name in fields} == {(type_.name, name) for type_, name in reached}
    assert {place.coordinate[0] for place in PLACES} == {"Query", "Mutation"}


@pytest.mark.parametrize("role", Role, ids=lambda role: f"{role.value}-{len(_asked(role))}-places")
async def test_an_id_of_another_business_is_an_id_of_nothing(api: Api, both: Practices, wall: str, role: Role) -> None:
    before = dump(both.url, THEIR_BUSINESS)
    headers, theirs, leaks = both.ours.headers[role], both.theirs.ids(), []

    for place in _asked(role):
        for type_name in place.types(wall, role):
            as_person = place.document(role, both.ours, type_name).replace(
                "role: CLIENT", "role: PROVIDER" if type_name == "Provider" else "role: CLIENT"
            )
            known = await send(api, as_person, headers, id=theirs[type_name])
            found = executed(api)
            unknown = await send(api, as_person, headers, id=encode(type_name, UNKNOWN))
            if told(known) != told(unknown) or found != executed(api) or THEIR_WORD in known.text.upper():
                leaks.append((str(place), type_name, known.text[:300], unknown.text[:300]))
            assert known.status_code == 200, known.text  # the document itself is right, and may be asked

    assert leaks == []
    assert dump(both.url, THEIR_BUSINESS) == before


async def test_a_reservation_of_another_business_is_listened_to_like_one_of_nothing(api: Api, both: Practices) -> None:
    listening = "subscription ($id: ID!) { reservationChanged(id: $id) { id } }"
    for role in sorted(ROLES["Subscription", "reservationChanged"]):
        headers = {**both.ours.headers[role], "accept": "text/event-stream"}
        known = await send(api, listening, headers, id=both.theirs["confirmed"])
        unknown = await send(api, listening, headers, id=encode("Reservation", UNKNOWN))

        assert told(known) == told(unknown)
        assert '"code":"NOT_FOUND"' in known.text


async def test_the_ids_that_are_nothing_to_others_are_something_to_their_own(api: Api, both: Practices) -> None:
    found: dict[str, list[str]] = {}
    for place in PLACES:
        if place.coordinate[0] == "Query" and place.field is None:
            for type_name in TYPES:
                document = place.document(Role.ADMIN, both.theirs, type_name)
                answer = await send(api, document, both.theirs.headers[Role.ADMIN], id=both.theirs.ids()[type_name])
                if THEIR_WORD in answer.text:
                    found.setdefault(place.coordinate[1], []).append(type_name)

    nodes = [
        name
        for name in TYPES
        if name
        not in (
            "ApiKey",
            "AuditEntry",
            "CalendarFeed",
            "CalendarImport",
            "Notification",
            "WebhookDelivery",
            "WebhookAttempt",
        )
    ]
    one = {
        f"{name[0].lower()}{name[1:]}": [name] for name in TYPES if f"{name[0].lower()}{name[1:]}" in _fields("Query")
    }
    assert found == {**one, "node": nodes, "nodes": nodes}


async def cursors(api: Api, theirs: Practice, coordinate: Coordinate) -> list[str]:
    """The first and the last cursor of a list, as the other business's admin gets them."""
    document = way_to(coordinate, Role.ADMIN).document(theirs, "{field} {{ edges {{ cursor }} }}")
    answer: Any = (await send(api, document, theirs.headers[Role.ADMIN])).json()["data"]
    for name in way_to(coordinate, Role.ADMIN).names:
        answer = (
            next(each for each in answer if each[name]["edges"])[name] if isinstance(answer, list) else answer[name]
        )
    return [answer["edges"][place]["cursor"] for place in (0, -1)]


def forged(cursor: str) -> str:
    """A cursor of the same place, but of a row that is nowhere."""
    place = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    place[-1] = place[-1][:-1] + ("0" if place[-1][-1] != "0" else "1")
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


@pytest.mark.parametrize("role", Role, ids=lambda role: f"{role.value}-{len(WAYS_TO_LISTS[role]) * 4}-cells")
async def test_a_cursor_of_another_business_is_a_place_at_which_nobody_stands(
    api: Api, both: Practices, role: Role
) -> None:
    before = dump(both.url, THEIR_BUSINESS)
    headers, leaks = both.ours.headers[role], []

    for coordinate in WAYS_TO_LISTS[role]:
        for cursor in await cursors(api, both.theirs, coordinate):
            for side in ("after", "before"):
                leaf = f"{{field}}({side}: $cursor) {{{{ {PAGE} }}}}"
                document = way_to(coordinate, role).document(both.ours, leaf).replace(" Q {", " Q($cursor: String) {")
                known, unknown = [await send(api, document, headers, cursor=each) for each in (cursor, forged(cursor))]
                assert known.status_code == 200, known.text
                if "errors" in known.json() or told(known) != told(unknown) or cursor in known.text:
                    leaks.append((coordinate, side, known.text[:300], unknown.text[:300]))

    assert leaks == []
    assert dump(both.url, THEIR_BUSINESS, "events") == {name: rows for name, rows in before.items() if name != "events"}


def business_of(response: httpx2.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["data"]["viewer"]["business"]["id"]


@pytest.mark.parametrize("role", [role for role in Role if role not in (Role.OPERATOR, Role.PUBLIC)])
async def test_whoever_has_a_token_stays_in_their_business(api: Api, both: Practices, role: Role) -> None:
    mine = await send(api, WHO, both.ours.headers[role])

    for elsewhere in ({"x-business": both.theirs["business"]}, {"host": THEIR_HOST}):
        assert told(await send(api, WHO, {**both.ours.headers[role], **elsewhere})) == told(mine)
    assert business_of(mine) == both.ours["business"]
    assert THEIR_WORD not in mine.text


async def test_an_operator_chooses_a_business_that_there_is(api: Api, both: Practices) -> None:
    headers = both.ours.headers[Role.OPERATOR]

    theirs = await send(api, WHO, {**headers, "x-business": both.theirs["business"]})
    unknown = await send(api, WHO, {**headers, "x-business": encode("Business", UNKNOWN)})
    at_their_host = await send(api, WHO, {**headers, "host": THEIR_HOST})

    assert business_of(theirs) == both.theirs["business"]
    assert business_of(at_their_host) == both.ours["business"]
    assert (unknown.status_code, "data" in unknown.json()) == (400, False)


async def test_the_public_browses_what_is_open_and_learns_not_what_else_there_is(api: Api, both: Practices) -> None:
    ours = await send(api, WHO, {"x-business": both.ours["business"]})
    closed = [
        await send(api, WHO, elsewhere)
        for elsewhere in (
            {"x-business": both.theirs["business"]},
            {"x-business": encode("Business", UNKNOWN)},
            {"host": THEIR_HOST},
            {"host": f"{THEIR_HOST.upper()}:8443"},
        )
    ]

    assert business_of(ours) == both.ours["business"]
    assert {each.status_code for each in closed} == {401}
    assert len({each.content for each in closed}) == 1
    assert THEIR_WORD not in closed[0].text


async def test_a_header_that_names_no_business_is_refused(api: Api, both: Practices) -> None:
    refused = [await send(api, WHO, {"x-business": each}) for each in ("", "nonsense", both.theirs["provider"])]

    assert [each.status_code for each in refused] == [400, 400, 400]
    assert len({each.content for each in refused}) == 1


async def test_the_host_picks_the_business_of_the_public(cluster: str, migrated: str) -> None:
    with practices(cluster, migrated) as made:
        with psycopg.connect(made.url, autocommit=True) as owner:
            owner.execute("UPDATE businesses SET is_public = true")
        async with serving(made.url, API_KEYS="on", RATE_LIMIT="0", RATE_LIMIT_ANONYMOUS="0") as api:
            theirs = await send(api, WHO, {"host": THEIR_HOST})
            named = await send(api, WHO, {"host": THEIR_HOST, "x-business": made.ours["business"]})
            elsewhere = await send(api, WHO, {"host": "nobody.example"})

    assert business_of(theirs) == made.theirs["business"]
    assert business_of(named) == business_of(elsewhere) == made.ours["business"]


async def test_an_idempotency_key_of_another_business_is_a_new_one(api: Api, both: Practices) -> None:
    document = "mutation ($input: BusinessUpdateInput!) { businessUpdate(input: $input) { business { name } userErrors { code } } }"
    wanted = {"expectedVersion": 0, "name": "x", "idempotencyKey": f"{THEIR_WORD} key"}

    answer = await send(api, document, both.ours.headers[Role.ADMIN], input=wanted)

    assert answer.json()["data"]["businessUpdate"]["userErrors"] == [{"code": "VERSION_CONFLICT"}]
