"""A seeded world with rows of every kind, written past the API, and a second business of which nobody may see anything.

It says who asks, too: somebody of each sight, and of which rows each of them may see nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from itertools import permutations, product
from random import Random
from typing import Any
from uuid import UUID

import psycopg
from graphql import GraphQLField, GraphQLSchema, get_named_type
from psycopg.types.json import Jsonb

from models.api_key import ApiKeyScope, hash_of, token
from models.business import DEFAULT_BUSINESS
from models.node_id import encode, term
from models.viewer import Role
from tests.arguments import Known, Name, is_list, list_name
from tests.conftest import Api

STRANGER = UUID("00000000-0000-7000-8000-00000000e15e")
# Whatever belongs to the stranger bears this name.
FOREIGN = "ELSEWHERE"
TABLES = {
    "Location": "locations",
    "Service": "services",
    "Provider": "providers",
    "Skill": "skills",
    "Resource": "resources",
    "Requirement": "requirements",
    "Offering": "offerings",
    "AvailabilityRule": "availability_rules",
    "AvailabilityException": "availability_exceptions",
    "Holiday": "holidays",
    "TimeOff": "time_off",
    "Client": "clients",
    "Appointment": "appointments",
    "Visit": "visits",
    "ReservationSeries": "reservation_series",
    "Reservation": "reservations",
    "WaitlistEntry": "waitlist_entries",
    "Proposal": "proposals",
    "ApiKey": "api_keys",
    "CalendarFeed": "calendar_feeds",
    "CalendarImport": "calendar_imports",
    "Notification": "notifications",
    "AuditEntry": "events",
    "WebhookEndpoint": "webhook_endpoints",
    "WebhookDelivery": "webhook_deliveries",
    "WebhookAttempt": "webhook_attempts",
}
# What has no id: how far times are published, what was shown of them an hour ago, and of what people were told at once.
TRACES = """
INSERT INTO publications (business_id, provider_id, published_until, zones)
SELECT business_id, id, clock_timestamp() + '90 days', 'these' FROM providers;
INSERT INTO exposures (business_id, seed, appointment_id, provider_id, location_id, shown_at)
SELECT business_id, 'seed', id, provider_id, location_id, clock_timestamp() - '01:00:00'::interval FROM appointments;
INSERT INTO notification_reservations (business_id, notification_id, event_id, reservation_id)
SELECT n.business_id, n.id, uuidv7(), m.id
  FROM notifications n JOIN reservations r ON r.id = n.reservation_id JOIN reservations m ON m.id = r.id OR m.visit_id = r.visit_id
"""
PAIRS = (("provider_skills", "provider_id", "Provider"), ("service_skills", "service_id", "Service"))
NAMES = (
    "Ada", "O'Brien", 'Q"uote', "Back\\slash", "100%", "under_score", "$1", "%s", ":x", "{0}", "🦊🏳️‍🌈", "</script><!--",
    "line\u2028para\u2029", "\u202eשלום\u202c", "e\u0301\u0323", "Å", "n" * 200, "del\x7f", "\\u0041\\n", "\ufeffBOM", "\uffff",
    "ß", "ﬁ", "İstanbul", "&amp;", "null", "/", "𝔸", "a b", "Ada",
)  # fmt: skip
NOTES = (
    None, "", "two\nlines", "tab\there", "\r\n", "\x01\x02\x1f", "\x08\x0c\x0b", "del\x7f\x80\x9f", '"quoted" \\ back', "</script>",
    "\u2028", "🦊" * 500, "x" * 2000, "\\n \\u0000", "é", "null", "{}", "'); DROP TABLE clients; --",
)  # fmt: skip
PHONES = (None, "+49 30 123456", "110", "(030) 12-34", "1" * 32)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Beirut", "America/Sao_Paulo", "UTC")
# Clocks are put forward or back on these days; on one of them Samoa had no day at all.
DATES = ("2150-03-29", "2150-10-25", "2150-03-08", "2150-11-01", "2150-04-05", "2018-11-04", "2011-12-30")
PARTS = (0, 0, 500_000, 123_456, 100_000, 7)
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
CREATED_BEFORE = 700 * DAY
STATUSES = (
    None, "HELD", "LAPSED", "EXPIRED", "CONFIRMED", "CANCELLED", "COMPLETED", "NO_SHOW", None, "GIVEN_BACK", "WITHDRAWN", "PENDING",
    None,
)  # fmt: skip

SECRET = bytes(32)
KEYS = (Role.ADMIN, Role.MANAGER, Role.PROVIDER, Role.PROVIDER, Role.CLIENT, Role.CLIENT, Role.OPERATOR, Role.ADMIN)
# What was done to a thing: the words between the noun and the version, what its diff says, and which fields were read.
DONE: tuple[tuple[str, Any, Any], ...] = (
    ("created", None, None),
    ("updated", {"status": ["HELD", "CONFIRMED"], "note": None}, None),
    ("updated", {"expires_at": ["2027-05-03T09:00:00.5+00:00", None], "lead_time": ["1 day", "\u2028🦊"]}, None),
    ("read", None, ["email", "phone"]),
    ("read", None, ["note"]),
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Bearer:
    """Somebody who asks: in which role, as whom, and with which token."""

    role: Role
    person: UUID | None = None
    token: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}


PUBLIC = Bearer(Role.PUBLIC)


@dataclass
class World:
    """What there is: the rows of both businesses, by type; and who asks."""

    now: datetime
    random: Random
    ours: dict[str, list[Row]] = field(default_factory=dict)
    theirs: dict[str, list[Row]] = field(default_factory=dict)
    bearers: list[Bearer] = field(default_factory=list)
    made: int = 0

    def key(self) -> UUID:
        """A key in the order of creation."""
        self.made += 1
        return UUID(
            f"0190{self.made:04x}-{self.random.getrandbits(16):04x}-7000-8000-{self.random.getrandbits(48):012x}"
        )

    def part(self, at: datetime) -> datetime:
        return at + timedelta(microseconds=self.random.choice(PARTS))

    def add(self, type_name: str, **values: Any) -> Row:
        """Note a row; where it is not said otherwise, it is ours."""
        row = {"business_id": DEFAULT_BUSINESS, "id": self.key(), **values}
        whose = self.ours if row["business_id"] == DEFAULT_BUSINESS else self.theirs
        whose.setdefault(type_name, []).append(row)
        return row

    def ids(self, whose: Mapping[str, Sequence[Row]]) -> dict[str, list[str]]:
        """The ids of rows, as the API shows them."""
        return {type_name: [encode(type_name, row["id"]) for row in rows] for type_name, rows in whose.items()}

    def hidden(self, bearer: Bearer) -> dict[str, list[str]]:
        """The ids of our own rows that somebody may not see, by type."""
        return self.ids(
            {name: [row for row in rows if not self._sees(bearer, name, row)] for name, rows in self.ours.items()}
        )

    def _sees(self, bearer: Bearer, type_name: str, row: Row) -> bool:
        """Say in other words than the models do whether somebody may see a row."""
        role, me = bearer.role, bearer.person
        match type_name:
            case "Service" if role is Role.PUBLIC:
                return bool(row.get("active", True))
            case "Offering" if role is Role.PUBLIC:
                return any(
                    each["id"] == row["service_id"] and each.get("active", True) for each in self.ours["Service"]
                )
            case "TimeOff" if role is Role.PROVIDER:
                return bool(row["provider_id"] == me)
            case "TimeOff":
                return role in (Role.ADMIN, Role.MANAGER)
            case "CalendarFeed":
                return role in (Role.ADMIN, Role.MANAGER) or (
                    me is not None and me in (row["provider_id"], row["client_id"])
                )
            case "CalendarImport":
                return role in (Role.ADMIN, Role.MANAGER) or (role is Role.PROVIDER and row["provider_id"] == me)
            case "ApiKey":
                return role is Role.ADMIN and row["role"] != Role.OPERATOR
            case "WebhookEndpoint" | "WebhookDelivery" | "WebhookAttempt":
                return role in (Role.ADMIN, Role.MANAGER)
            case "AuditEntry" if role not in (Role.ADMIN, Role.MANAGER):
                return not row["type"].startswith("audit.") and any(
                    each["id"] == row["aggregate_id"] and self._sees(bearer, "Reservation", each)
                    for each in self.ours["Reservation"]
                )
            case "Notification" if role not in (Role.ADMIN, Role.MANAGER):
                return me is not None and me in (row["provider_id"], row["client_id"])
            case "Reservation" if role not in (Role.ADMIN, Role.MANAGER):
                return me is not None and me in (row["provider_id"], row["client_id"])
            case "Visit" | "ReservationSeries" if role not in (Role.ADMIN, Role.MANAGER):
                link = "visit_id" if type_name == "Visit" else "series_id"
                members = [each for each in self.ours["Reservation"] if each[link] == row["id"]]
                return me is not None and me in (row["client_id"], *(each["provider_id"] for each in members))
            case "WaitlistEntry" if role not in (Role.ADMIN, Role.MANAGER):
                return role is Role.CLIENT and row["client_id"] == me
            case "Proposal" if role not in (Role.ADMIN, Role.MANAGER):
                return me is not None and me in (row["provider_id"], row["from_provider_id"], row["client_id"])
            case "Client" if role is Role.PROVIDER:
                pairs = {(each["provider_id"], each["client_id"]) for each in self.ours["Reservation"]}
                return (me, row["id"]) in pairs
            case "Client" if role not in (Role.ADMIN, Role.MANAGER):
                return bool(row["id"] == me)
        return True


def imagine(seed: int) -> World:
    """Make up the world of a seed. No appointment is about to become too late, no hold about to lapse, for half an hour."""
    world = World(datetime.now(UTC).replace(second=0, microsecond=0), Random(seed))
    _places(world)
    _people(world)
    _offerings(world)
    _schedules(world)
    _crowded(world)
    for number, provider in enumerate(world.ours["Provider"][1:-1]):
        _practice(world, provider, number)
    _elsewhere(world)
    _waitlist(world)
    _calendars(world)
    _webhooks(world)
    _messages(world)
    _keys(world)
    _history(world)
    return world


def _places(world: World) -> None:
    for name, zone in zip(NAMES[1:5], ZONES, strict=False):
        world.add("Location", name=name, time_zone=zone, created_at=world.part(world.now - CREATED_BEFORE))
    for name in NAMES[9:12]:
        world.add("Skill", name=name)
    for kind, location in (("ROOM", None), ("EQUIPMENT", world.ours["Location"][0]["id"])):
        world.add("Resource", name=NAMES[13], kind=kind, quantity=1000, location_id=location)
    lead_times = (None, timedelta(0), 3 * DAY, None)
    buffers = ((0, 0), (10, 20), (7.5, 0), (0, 15))
    for name, lead_time, (before, after) in zip(NAMES[5:9], lead_times, buffers, strict=True):
        world.add(
            "Service", name=name, lead_time=lead_time, buffer_before=before * MINUTE, buffer_after=after * MINUTE
        )  # fmt: skip
    priced, short, closed, _ = world.ours["Service"]
    priced.update(price=Decimal("45.00"), currency="EUR", duration=15 * MINUTE, priority="HIGH")
    short.update(
        price=Decimal(0), currency="JPY", duration=10.5 * MINUTE, minimum_horizon=DAY, maximum_horizon=99 * DAY
    )
    closed.update(active=False, priority="LOW", cancel_cutoff=timedelta(0))
    for service, resource in ((priced, 0), (priced, 1), (closed, 0)):
        needed = world.ours["Resource"][resource]["id"]
        world.add("Requirement", service_id=service["id"], resource_id=needed, quantity=2)


def _offerings(world: World) -> None:
    """Each provider gives each service, here or there or anywhere, but for the last, who gives none."""
    places = [None, *(location["id"] for location in world.ours["Location"])]
    for number, provider in enumerate(world.ours["Provider"][:-1]):
        for turn, service in enumerate(world.ours["Service"]):
            place = places[(number + turn) % len(places)]
            world.add("Offering", provider_id=provider["id"], service_id=service["id"], location_id=place)


def _schedules(world: World) -> None:
    """When each provider works and when not: every week, on some dates, over midnight; but for the last, of whom nothing is said."""
    services, places = [None, *world.ours["Service"]], [None, *world.ours["Location"]]
    for number, provider in enumerate(world.ours["Provider"][:-1]):
        service, place = services[number % len(services)], places[(number + 1) % len(places)]
        terms: Row = {
            "provider_id": provider["id"],
            "service_id": service and service["id"],
            "location_id": place and place["id"],
            "time_zone": world.random.choice((None, *ZONES)),
            "slot_minutes": 30,
            "grid_minutes": world.random.choice((None, 45)),
            "capacity": world.random.choice((1, 3)),
        }
        for weekday, start, end in ((1, 540, 720), (1, 780, 1080), (3, 0, 1440), (6, 1320, 1560)):
            world.add("AvailabilityRule", weekday=weekday, starts_minute=start, ends_minute=end, **terms)
        _dated(world, terms, number)
        for turn in range(1 + number % 3):
            _away(world, provider, world.now + (3 + 20 * turn) * DAY, world.random.choice(NOTES))
    for number, location in enumerate(places):
        closed = {"location_id": location and location["id"], "name": NAMES[number + 3]}
        world.add("Holiday", date=DATES[number], **closed)
        world.add("Holiday", date=(world.now + 30 * DAY).date(), **closed)


def _dated(world: World, terms: Row, number: int) -> None:
    first = (world.now + (2 + number) * DAY).date()
    last, hours = first + 6 * DAY, {"starts_minute": 600, "ends_minute": 631 + number}
    valid = {"valid_from": first, "valid_until": last}
    world.add("AvailabilityRule", dates=f"{{[{first},{last + DAY})}}", **valid, **hours, **terms)
    every_other = [f"[{day},{day + DAY})" for day in (last + DAY, last + 3 * DAY)]
    counted = {"recurrence": "FREQ=DAILY;INTERVAL=2;COUNT=2", "valid_from": last + DAY, "valid_until": None}
    world.add("AvailabilityRule", dates=f"{{{','.join(every_other)}}}", **counted, **hours, **terms)
    for day, windows in ((first, "{}"), (last, "{[540,720),[1380,1500)}"), (DATES[number], "{[1440,1500)}")):
        world.add("AvailabilityException", date=day, windows=windows, **terms)


def _away(world: World, provider: Row, start: datetime, reason: str | None) -> None:
    of = {"business_id": provider["business_id"], "provider_id": provider["id"]}
    world.add("TimeOff", starts_at=world.part(start), ends_at=start + DAY, reason=reason, **of)


def _calendars(world: World) -> None:
    """Everybody has a feed, of which every other one is revoked; every provider has a calendar elsewhere, and so has the stranger."""
    for whose in (world.ours, world.theirs):
        for kind, of in (("Provider", "provider_id"), ("Client", "client_id")):
            for number, person in enumerate(whose[kind]):
                ended = world.now - DAY if number % 2 else None
                feed = {"provider_id": None, "client_id": None, of: person["id"], "revoked_at": ended}
                secret = sha256(person["id"].bytes).digest()
                world.add("CalendarFeed", business_id=person["business_id"], secret_hash=secret, **feed)
        for number, person in enumerate(whose["Provider"]):
            problem = None if number % 2 else f"{person['first_name']} did not answer."
            url = {"url": "https://calendar.example/", "host": "calendar.example", "last_error": problem}
            world.add("CalendarImport", business_id=person["business_id"], provider_id=person["id"], **url)


def _messages(world: World) -> None:
    """Some clients and providers were told of their reservations, and some could not be."""
    for number, row in enumerate([*world.ours["Reservation"], *world.theirs["Reservation"]]):
        status, words = (("SENT", NOTES[number % len(NOTES)]), ("FAILED", None), ("QUEUED", None))[number % 3]
        is_foreign = row["business_id"] == STRANGER
        to = ("client_id", "provider_id") if number % 2 else ("provider_id", "client_id")
        world.add(
            "Notification",
            business_id=row["business_id"],
            event_id=world.key(),
            channel="EMAIL" if number % 5 else "SMS",
            topic="BOOKING",
            template="CONFIRMED" if to[0] == "client_id" else "BOOKED",
            reservation_id=row["id"],
            status=status,
            sent_at=world.part(world.now) if status == "SENT" else None,
            problem="It could not be written." if status == "FAILED" else None,
            subject=FOREIGN if is_foreign else words and NAMES[number % len(NAMES)],
            text=FOREIGN if is_foreign else words,
            **{to[0]: row[to[0]], to[1]: None},
        )


def _webhooks(world: World) -> None:
    """Some endpoints, on and off, with deliveries in every state; and one of the stranger."""
    for number, name in enumerate((*NAMES[:4], FOREIGN)):
        off = number % 2 == 1
        business = STRANGER if name == FOREIGN else DEFAULT_BUSINESS
        endpoint = world.add(
            "WebhookEndpoint",
            business_id=business,
            url=f"https://{number}.example/?{FOREIGN if name == FOREIGN else 'ours'}",
            description=name,
            event_types=None if off else ["scheduling.*", 'a "quoted", one'],
            document=None if off else 'query ($id: ID!) { node(id: $id) { id } } # "\\',
            enabled=not off,
            disabled_reason="GONE" if off else None,
            failing_since=world.part(world.now - DAY) if off else None,
        )
        for turn, status in enumerate(("PENDING", "DELIVERED", "FAILED")):
            _delivery(world, endpoint, status, turn)


def _delivery(world: World, endpoint: Row, status: str, turn: int) -> None:
    told = {"business_id": endpoint["business_id"], "endpoint_id": endpoint["id"], "attempts": turn}
    at = world.part(world.now + DAY)
    delivery = world.add(
        "WebhookDelivery",
        event_id=world.key(),
        event_type="scheduling.client.created.v1",
        aggregate_id=world.key(),
        position=turn + 1,
        status=status,
        next_attempt_at=at if status == "PENDING" else None,
        delivered_at=at if status == "DELIVERED" else None,
        last_error=f"It answered 500, {endpoint['description']}."[:500],
        **told,
    )
    for number in range(turn):
        more = {"number": number + 1, "milliseconds": 7, "error": endpoint["description"][:500]}
        world.add("WebhookAttempt", business_id=endpoint["business_id"], delivery_id=delivery["id"], **more)


def _people(world: World) -> None:
    for kind, names in (("Provider", NAMES[:6]), ("Client", NAMES)):
        for number, name in enumerate(names):
            twin = number == len(names) - 1
            world.add(
                kind,
                first_name=name,
                last_name="Twin" if twin or number == 0 else world.random.choice(NAMES),
                email=world.random.choice((None, f"{number}@example.com", "o'b+%_\\@example.com")),
                phone=world.random.choice(PHONES),
                time_zone=world.random.choice((None, *ZONES)),
                locale=world.random.choice((None, "de", "pt-BR")),
                created_at=world.part(world.now - CREATED_BEFORE),
                version=world.random.choice((1, 2, 70_000)),
            )


def _crowded(world: World) -> None:
    """One provider has more than a page of appointments."""
    for number in range(110):
        _appointment(world, world.ours["Provider"][0], world.now + 9 * DAY + (number + 2) * 15 * MINUTE)


def _practice(world: World, provider: Row, number: int) -> None:
    """Another has some that are over, some that are too soon, some far ahead, and every kind of reservation."""
    starts = [world.now + timedelta(hours=hours, minutes=30) for hours in (-9000, -50, -20, 4, 8, 12, 16)]
    starts += [world.now + timedelta(days=days, minutes=45) for days in range(5, 27)]
    starts += [datetime.fromisoformat(f"{day}T{hour}:00:00Z") for day in DATES[:3] for hour in ("00", "03", "09", "23")]
    for turn, start in enumerate(starts):
        service = world.random.choice([None, *world.ours["Service"]])
        location = world.random.choice([None, *world.ours["Location"]])
        appointment = _appointment(
            world,
            provider,
            start if turn % 3 else world.part(start),
            capacity=world.random.choice((1, 1, 3)),
            service_id=service and service["id"],
            location_id=location and location["id"],
            is_generated=world.random.choice((False, True)),
            withdrawn_at=world.random.choice((None, None, None, None, world.now - DAY)),
        )
        for seat in range(1, 1 + world.random.randint(1, appointment["capacity"])):
            status = STATUSES[(turn * 3 + number + seat) % len(STATUSES)]
            if status is not None:
                _reservation(world, appointment, status, seat)


def _appointment(world: World, provider: Row, start: datetime, **more: Any) -> Row:
    return world.add(
        "Appointment",
        provider_id=provider["id"],
        starts_at=start,
        ends_at=start + world.random.choice((15, 15, 45)) * MINUTE,
        created_at=world.part(world.now - CREATED_BEFORE),
        **{"capacity": 1, "service_id": None, "location_id": None, "business_id": provider["business_id"], **more},
    )


def _reservation(world: World, appointment: Row, status: str, seat: int) -> Row:
    """Claim an appointment long ago. What has lapsed did so then; what has not will not for a year."""
    stored = {"LAPSED": "HELD", "PENDING": "HELD", "GIVEN_BACK": "CANCELLED", "WITHDRAWN": "CANCELLED"}.get(
        status, status
    )
    created = world.part(min(world.now, appointment["starts_at"]) - CREATED_BEFORE)
    copied = {name: appointment[name] for name in ("provider_id", "service_id", "capacity", "starts_at", "ends_at")}
    is_confirmed = status in ("CONFIRMED", "COMPLETED", "NO_SHOW", "GIVEN_BACK")
    clients = (world.ours if appointment["business_id"] == DEFAULT_BUSINESS else world.theirs)["Client"]
    of = {"business_id": appointment["business_id"], "client_id": world.random.choice(clients[:-3] or clients)["id"]}
    return world.add(
        "Reservation",
        **of,
        **_bundled(world, of, created),
        appointment_id=world.key() if status == "WITHDRAWN" else appointment["id"],
        note=world.random.choice(NOTES),
        status=stored,
        cancel_reason=world.random.choice(NOTES) if stored == "CANCELLED" else None,
        seat=seat,
        busy_from=appointment["starts_at"],
        busy_until=appointment["ends_at"],
        lead_time=DAY,
        created_at=created,
        scheduled_at=created,
        expires_at=world.part(world.now + 365 * DAY if status in ("HELD", "PENDING") else created + 30 * MINUTE),
        approval_time=DAY if status == "PENDING" else None,
        requested_at=world.part(created + MINUTE) if status == "PENDING" else None,
        confirmed_at=world.part(created + MINUTE) if is_confirmed else None,
        cancelled_at=world.part(created + 2 * MINUTE) if stored == "CANCELLED" else None,
        version=2 if is_confirmed else 1,
        **copied,
    )


def _bundled(world: World, of: Row, created: datetime) -> Row:
    """Some reservations are part of a visit or of a series, some of the client's last one."""
    whose = world.ours if of["business_id"] == DEFAULT_BUSINESS else world.theirs
    links: Row = {"visit_id": None, "series_id": None}
    for type_name, link, terms in (
        ("Visit", "visit_id", {}),
        ("ReservationSeries", "series_id", {"every_weeks": 2, "count": 12}),
    ):
        if whose is world.ours and world.random.random() > 0.4:
            continue  # a visit without any reservation is nothing that the API makes
        known = [row for row in whose.get(type_name, ()) if row["client_id"] == of["client_id"]]
        if not known or world.random.random() < 0.3:
            known = [world.add(type_name, **of, **terms, created_at=created)]
        links[link] = known[-1]["id"]
    return links


def _elsewhere(world: World) -> None:
    of: Row = {"business_id": STRANGER, "created_at": world.now}
    named = {**of, "first_name": FOREIGN, "last_name": FOREIGN, "email": f"{FOREIGN}@example.com", "time_zone": "UTC"}
    location = world.add("Location", name=FOREIGN, time_zone="UTC", **of)
    service = world.add("Service", name=FOREIGN, **of)
    provider, _ = world.add("Provider", **named), world.add("Client", **named)
    resource, _ = world.add("Resource", name=FOREIGN, **of), world.add("Skill", name=FOREIGN, **of)
    world.add("Requirement", service_id=service["id"], resource_id=resource["id"], **of)
    terms = {"provider_id": provider["id"], "service_id": service["id"], "location_id": location["id"], **of}
    world.add("Offering", **terms)
    world.add("AvailabilityRule", weekday=1, starts_minute=540, ends_minute=720, **terms)
    world.add("AvailabilityException", date=DATES[0], **terms)
    world.add("Holiday", date=DATES[0], name=FOREIGN, **of)
    _away(world, provider, world.now + DAY, FOREIGN)
    for number, status in enumerate(("HELD", "CONFIRMED", "CANCELLED", None)):
        appointment = _appointment(
            world, provider, world.now + (5 + number) * DAY, service_id=service["id"], location_id=location["id"]
        )
        if status:
            _reservation(world, appointment, status, 1)


def _waitlist(world: World) -> None:
    """Some wait, some were offered what they hold, or held; and of some reservations another is proposed in their place."""
    for whose in (world.ours, world.theirs):
        for number, claim in enumerate(whose["Reservation"][:60]):
            of = {"business_id": claim["business_id"], "client_id": claim["client_id"]}
            status = ("WAITING", "OFFERED", "ACCEPTED", "CANCELLED", "EXPIRED")[number % 5]
            world.add(
                "WaitlistEntry",
                **of,
                service_id=claim["service_id"] if number % 3 else None,
                provider_id=claim["provider_id"],
                starts_from=world.part(world.now - 31 * DAY),
                starts_until=world.now + (number % 4 - 1) * 30 * DAY + DAY / 2,
                status=status,
                reservation_id=claim["id"] if status in ("OFFERED", "ACCEPTED") else None,
                created_at=world.part(world.now - CREATED_BEFORE),
            )
            world.add(
                "Proposal",
                **of,
                reservation_id=whose["Reservation"][number - 1]["id"],
                hold_id=claim["id"],
                appointment_id=claim["appointment_id"],
                from_provider_id=whose["Reservation"][number - 1]["provider_id"],
                provider_id=claim["provider_id"],
                time_off_id=whose["TimeOff"][0]["id"],
                status=("PROPOSED", "ACCEPTED", "DECLINED", "EXPIRED")[number % 4],
                reason=world.random.choice(NOTES),
                expires_at=world.part(world.now + (5 - number % 10) * DAY),
                created_at=world.part(world.now - CREATED_BEFORE),
            )


def _keys(world: World) -> None:
    """Some keys can be used, one has ended, one is a stranger's; whoever has one of the first six asks, and so does nobody."""
    busy = [row for row in world.ours["Reservation"] if row["status"] == "CONFIRMED"]
    persons = {
        Role.PROVIDER: [busy[0]["provider_id"], world.ours["Provider"][0]["id"]],
        Role.CLIENT: [busy[0]["client_id"]],
    }
    persons[Role.CLIENT].append(next(row["client_id"] for row in busy if row["client_id"] not in persons[Role.CLIENT]))
    for number, role in enumerate(KEYS):
        person = persons[role].pop() if role in persons else None
        ended = world.now - DAY if number == len(KEYS) - 1 else None
        key = _key(world, DEFAULT_BUSINESS, NAMES[number], role, person_id=person, revoked_at=ended)
        if role is not Role.OPERATOR and ended is None:
            world.bearers.append(Bearer(role, person, token(DEFAULT_BUSINESS, key["id"], SECRET)))
    _key(world, STRANGER, FOREIGN, Role.ADMIN, person_id=None, revoked_at=None)
    world.bearers.append(PUBLIC)


def _key(world: World, business: UUID, name: str, role: Role, **more: Any) -> Row:
    return world.add(
        "ApiKey",
        business_id=business,
        name=name,
        role=role.value,
        scopes=[scope.value for scope in ApiKeyScope],
        secret_hash=hash_of(SECRET),
        expires_at=world.part(world.now + 300 * DAY),
        created_at=world.part(world.now - CREATED_BEFORE),
        **more,
    )


def _history(world: World) -> None:
    """Something was done to everything, and to some things more than once; but not to an operator's key.

    The audit may name what is otherwise not shown, and here such a key is to stay hidden.
    """
    world.ours["Business"], world.theirs["Business"] = [{"id": DEFAULT_BUSINESS}], [{"id": STRANGER}]
    for business, whose in ((DEFAULT_BUSINESS, world.ours), (STRANGER, world.theirs)):
        rows = [(type_name, row) for type_name, rows in whose.items() for row in rows]
        things = [(type_name, row["id"]) for type_name, row in rows if row.get("role") != Role.OPERATOR]
        for number, (type_name, key) in enumerate(things):
            for turn in range(1 + number % 3):
                _entry(world, business, type_name, key, *DONE[(number + turn) % len(DONE)])


def _entry(world: World, business: UUID, type_name: str, thing: UUID, done: str, diff: Any, read: Any) -> None:
    world.add(
        "AuditEntry",
        business_id=business,
        type=f"{'audit' if read else 'scheduling'}.{term(type_name)}.{done}.v1",
        aggregate_id=thing,
        occurred_at=world.part(world.now - CREATED_BEFORE + world.made * MINUTE),
        actor=FOREIGN if business == STRANGER else world.random.choice((None, "anonymous", "key:\u2028🦊")),
        correlation_id=world.random.choice((None, "a-request")),
        data=Jsonb({"id": str(thing), **({"fields": read} if read else {})}),
        diff=diff and Jsonb(diff),
    )


def write(url: str, world: World) -> None:
    """Write a world, past the API and past the triggers: the tables admit more than either."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("INSERT INTO businesses (id, name) VALUES (%s, %s)", (STRANGER, FOREIGN))
        connection.execute(
            "UPDATE businesses SET name = %s, time_zone = 'Europe/Berlin', is_public = true WHERE id = %s",
            ('"Hold"\\🦊', DEFAULT_BUSINESS),
        )
        for whose in (world.ours, world.theirs):
            for type_name, table in TABLES.items():
                for row in whose[type_name]:
                    marks = ", ".join(["%s"] * len(row))
                    statement = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})"
                    connection.execute(statement, list(row.values()))
            for table, owner, type_name in PAIRS:
                skills = whose["Skill"]
                for number, row in enumerate(whose[type_name]):
                    connection.execute(
                        f"INSERT INTO {table} (business_id, {owner}, skill_id) VALUES (%s, %s, %s)",
                        [row["business_id"], row["id"], skills[number % len(skills)]["id"]],
                    )
        connection.execute(TRACES)
        # Numbered as by a relay that hands them to nobody.
        connection.execute("UPDATE events SET position = seq, relayed_at = clock_timestamp() WHERE position IS NULL")
        connection.execute("ANALYZE")


def orders(of: GraphQLField) -> list[list[Row] | None]:
    """Every order of a list by up to two fields."""
    if "orderBy" not in of.args:
        return [None]
    step: Any = get_named_type(of.args["orderBy"].type)
    fields, ways = (list(get_named_type(step.fields[name].type).values) for name in ("field", "direction"))
    steps = [{"field": Name(field_), "direction": Name(way)} for field_, way in product(fields, ways)]
    pairs = [[one, other] for one, other in permutations(steps, 2) if one["field"] != other["field"]]
    return [None, *([each] for each in steps), *pairs]


async def cursors(api: Api, contract: GraphQLSchema, ids: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Ask for some cursors of every list, in every order."""
    found: dict[str, list[str]] = {}
    nodes = (contract.type_map[name] for name in ids)
    for owner in (contract.query_type, *(each for each in nodes if "Node" in {of.name for of in each.interfaces})):  # type: ignore[attr-defined]
        for name, of in ((name, of) for name, of in owner.fields.items() if is_list(of)):  # type: ignore[union-attr]
            for order in orders(of):
                found[list_name(owner.name, name, order)] = await _asked(api, owner, name, order, ids)  # type: ignore[union-attr]
    return found


async def _asked(
    api: Api, owner: Any, name: str, order: list[Row] | None, ids: Mapping[str, Sequence[str]]
) -> list[str]:
    steps = [f"{{field: {step['field'].name}, direction: {step['direction'].name}}}" for step in order or ()]
    ordered = f", orderBy: [{', '.join(steps)}]" if steps else ""
    pages_of = [(side, size) for side, size in (("head", "first"), ("tail", "last")) if size in owner.fields[name].args]
    inside = " ".join(f"{side}: {name}({size}: 4{ordered}) {{ edges {{ cursor }} }}" for side, size in pages_of)
    if owner.name in ids:
        wanted = "[" + ", ".join(f'"{each}"' for each in ids[owner.name][-60:]) + "]"
        answer = await api(f"{{ nodes(ids: {wanted}) {{ ... on {owner.name} {{ {inside} }} }} }}")
        pages = [row[side] for row in answer["nodes"] for side, _ in pages_of]
    else:
        pages = list((await api(f"{{ {inside} }}")).values())
    return list(dict.fromkeys(edge["cursor"] for each in pages for edge in each["edges"]))[:24]


async def known(api: Api, contract: GraphQLSchema, world: World) -> Known:
    """What a random document has to know of a world."""
    ids = world.ids(world.ours)
    nothing = {name: [encode(name, UUID(int=7 << 76 | 8 << 60))] for name in ids}
    theirs = world.ids(world.theirs)
    instants = [world.now + hours * timedelta(hours=1) for hours in (-900, -48, 0, 6, 30, 100, 200, 230, 500, 3000)]
    near = [at for row in world.ours["Appointment"] if abs((at := row["starts_at"]) - world.now) < 150 * DAY]
    starts = near[100:140]
    return Known(
        ids=ids,
        strange_ids={name: [*nothing[name], *theirs[name]] for name in ids},
        cursors=await cursors(api, contract, ids),
        instants=[at.isoformat().replace("+00:00", "Z") for at in (*instants, *starts)],
        dates=[*DATES, *(f"{at:%Y-%m-%d}" for at in starts)],
        zones=(*ZONES, "Pacific/Apia", "Africa/Casablanca"),
        words=[*(name for name in NAMES if name.isprintable()), "a", "example.com", "Twin", "1"],
    )
