"""Searches: what somebody who looks for a time asks, over the practice; each in several ways, so that nothing is asked twice in a row."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bench.load import Request, post
from bench.practice import Practice, node_id
from bench.questions import A_PROVIDER, READ, RESERVE, SIZE
from bench.world import CLIENTS, identity
from bench.world import node_id as row_id
from models.node_id import encode

WAYS = 12  # in which the same is asked, of other providers or for other dates
PROVIDERS = 50
FRIDAY = 5
ZONE = "Europe/Berlin"
FIRST_PAGE, PAGE = f"first {SIZE} of a location", f"first {SIZE} of a provider"
LOCAL_PAGE = f"{PAGE}, local times"

DATES = """query ($filter: AvailabilityFilter!, $from: Date!, $until: Date!, $zone: TimeZone!) {
  availableDates(filter: $filter, from: $from, until: $until, timeZone: $zone) { date count } }"""
FIRST = """query ($filter: AvailabilityFilter!, $size: Int!) {
  availableAppointments(filter: $filter, first: $size) {
    nodes { id startsAt endsAt provider { id firstName lastName } } } }"""
NEXT = """query ($filter: AvailabilityFilter!) {
  nextAvailableAppointment(filter: $filter) { id startsAt endsAt provider { id firstName lastName } } }"""
LOCAL = READ.replace("startsAt endsAt", "localStartsAt(timeZone: $zone) localEndsAt(timeZone: $zone)").replace(
    "$size: Int!", "$size: Int!, $zone: TimeZone!"
)
EXPOSED = """query ($filter: AvailabilityFilter!, $viewer: String!) {
  exposedAppointments(filter: $filter, viewerKey: $viewer) {
    seed appointments { id startsAt endsAt provider { id firstName lastName } } } }"""
ANY = """mutation ($input: ReservationCreateAnyProviderInput!) {
  reservationCreateAnyProvider(input: $input) { reservation { id status expiresAt } userErrors { code } } }"""
FREE = """SELECT id FROM appointments a
WHERE starts_at > now() + interval '2 days' AND withdrawn_at IS NULL AND NOT EXISTS (
      SELECT FROM reservations r WHERE r.business_id = a.business_id AND r.live_appointment_id = a.id)"""
A_DATE, A_TIME = '"count":', '"startsAt":'


@dataclass(frozen=True)
class Search:
    """A question, the ways in which it is asked, and what every good answer contains."""

    name: str
    requests: list[Request]
    needs: str

    @property
    def ways(self) -> list[Request]:
        """The few that are recorded, and run by pgbench."""
        return self.requests[:WAYS]


def searches(practice: Practice) -> list[Search]:
    """Everything that is searched for."""
    by_size = sorted(range(len(practice.sizes)), key=practice.sizes.__getitem__)
    return [
        Search(f"dates of a month, {PROVIDERS} providers", [_dates(practice, n) for n in range(WAYS)], A_DATE),
        *(_first(practice, place) for place in by_size),
        _first(practice, 0, serviceId=node_id("Service", 0)),
        _next(practice, 0),
        *(_exposed(practice, place) for place in (by_size[0], by_size[-1])),
        Search(PAGE, [_provider(READ, n) for n in range(WAYS)], A_PROVIDER),
        Search(LOCAL_PAGE, [_provider(LOCAL, n, zone=ZONE) for n in range(WAYS)], A_PROVIDER),
    ]


def _day(n: int) -> datetime:
    """The beginning of a day in some days, in UTC."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=n)


def _dates(practice: Practice, n: int) -> Request:
    some = random.Random(n).sample(practice.providers(0), min(PROVIDERS, practice.sizes[0]))
    first = _day(3 + 4 * n).date()
    variables = {
        "filter": {"providerIds": [row_id(1, provider) for provider in some]},
        "from": first.isoformat(),
        "until": (first + timedelta(days=30)).isoformat(),
        "zone": ZONE,
    }
    return post({"query": DATES, "variables": variables})


def _first(practice: Practice, place: int, **more: str) -> Search:
    """The first free times of a location, from a day on."""
    size = f"{practice.sizes[place]:,} providers"
    name = f"first {SIZE} of a service, {size}" if more else f"{FIRST_PAGE}, {size}"
    filters = [{**_at(place, n), **more} for n in range(WAYS)]
    bodies = [{"query": FIRST, "variables": {"filter": each, "size": SIZE}} for each in filters]
    return Search(name, [post(body) for body in bodies], A_PROVIDER)


def _next(practice: Practice, place: int) -> Search:
    bodies = [{"query": NEXT, "variables": {"filter": _at(place, n)}} for n in range(WAYS)]
    return Search(f"next of a location, {practice.sizes[place]:,} providers", [post(body) for body in bodies], A_TIME)


def _at(place: int, n: int) -> dict[str, object]:
    return {"locationId": node_id("Location", place), "startsAt": {"from": _day(2 + 3 * n).isoformat()}}


def _exposed(practice: Practice, place: int) -> Search:
    """What viewers are shown of a location, each of them on another working day; they come back again and again."""
    days = [day for day in map(_day, range(3, 40)) if day.isoweekday() <= FRIDAY]
    filters = [
        {"locationId": node_id("Location", place), "date": day.date().isoformat(), "timeZone": ZONE} for day in days
    ]
    asked = [{"filter": filters[n], "viewer": f"viewer {n}"} for n in range(WAYS)]
    bodies = [{"query": EXPOSED, "variables": variables} for variables in asked]
    return Search(f"exposed, {practice.sizes[place]:,} providers", [post(body) for body in bodies], A_TIME)


def _provider(document: str, n: int, **more: str) -> Request:
    return post({"query": document, "variables": {"provider": row_id(1, n), "size": SIZE, **more}})


def reserves(practice: Practice, most: int, where: str = "true") -> list[Request]:
    """A reservation of so many free appointments, here and there."""
    keys = practice.rows(f"{FREE} AND {where} ORDER BY md5(id::text) LIMIT %s", most)
    asked = [
        {"client": row_id(2, n % CLIENTS), "appointment": encode("Appointment", key)} for n, (key,) in enumerate(keys)
    ]
    return [post({"query": RESERVE, "variables": variables}) for variables in asked]


def reserves_of_any(practice: Practice, most: int) -> list[Request]:
    """A reservation with anybody, at every start in turn."""
    starts = practice.rows(
        "SELECT DISTINCT starts_at FROM appointments WHERE starts_at > now() + interval '2 days' AND location_id = %s",
        identity(4, 0),
    )
    random.Random(0).shuffle(starts)
    asked = [
        {"clientId": row_id(2, n % CLIENTS), "serviceId": node_id("Service", 0), "locationId": node_id("Location", 0)}
        | {"startsAt": starts[n % len(starts)][0].isoformat()}
        for n in range(most)
    ]
    return [post({"query": ANY, "variables": {"input": wanted}}) for wanted in asked]
