"""Seeding: a believable practice and a brand, made by sending the public API what anybody could send it."""

import os
import sys
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import uuid4

from models import zone
from models.business import DEFAULT_BUSINESS
from models.viewer import Role, Viewer
from resolvers.context import Context
from resolvers.database import Database
from schema.execution import Documents, Question, answer
from server import brand
from server.database import connected
from server.settings import Settings

HERE = zone.zone("Europe/Berlin")
WORKDAYS = 20  # in four weeks
HOURS = ((time(9), time(12)), (time(13), time(17)))
SLOT_MINUTES = 30
RESERVATIONS = 60
FATES = ("CONFIRMED", "HELD", "CANCELLED")  # in turn
TURNED_INTO = {"CONFIRMED": "Confirm", "CANCELLED": "Cancel"}

PROVIDERS = (
    "Ingrid Halvorsen, Tomás Ferreira, Amara Okafor, Jonas Lindqvist, "
    "Yuki Tanabe, Leila Haddad, Piotr Zieliński, Clara Brandt"
)
CLIENTS = (
    "Aoife Brennan, Mateo Vargas, Nanami Sasaki, Emeka Nwosu, Freja Mikkelsen, Luca Moretti, Zeynep Yıldız, "
    "Anand Krishnan, Camille Lefèvre, Nikolai Petrov, Hana Dvořáková, Kwame Mensah, Sofia Papadaki, Ji-woo Kang, "
    "Lars Jansen, Mariam Diallo, Oskar Wiśniewski, Priya Nair, Rafael Monteiro, Signe Holm, Thandiwe Dlamini, "
    "Viktor Horváth, Wei Zhang, Ximena Rojas, Yasmin Rahimi, Björn Eriksson, Chiara Conti, Dmytro Kovalenko, "
    "Elif Demir, Fatima Zahra Idrissi, Grace Wanjiru, Hugo Fontaine, Ines Carvalho, Jakub Novák, Keiko Mori, "
    "Liam O’Connor, Minh Nguyễn, Noa Shapira, Otto Schreiber, Ruth Ben-David"
)

FIND = "query ($email: String!) { found: %ss(search: $email, first: 1) { nodes { id } } }"
CREATE = "mutation ($input: %sCreateInput!) { done: %sCreate(input: $input) { made: %s { id } } }"
PUBLISH = "mutation ($input: AppointmentBulkCreateInput!) { appointmentBulkCreate(input: $input) { created kept userErrors { code } } }"
BEGINNING = "query ($id: ID!) { provider(id: $id) { appointments(first: 1) { nodes { startsAt } } } }"
CLAIMS = """query ($id: ID!) {
  client(id: $id) { reservations(first: 100) { nodes { id status startsAt provider { id } } } }
}"""
PUBLISHED = "query ($filter: AvailabilityFilter!) { appointments(filter: $filter, first: 1) { nodes { id startsAt } } }"
HOLD = """mutation ($input: ReservationCreateInput!) {
  reservationCreate(input: $input) { reservation { id } userErrors { code } }
}"""
CHANGE = "mutation ($input: Reservation%sInput!) { reservation%s(input: $input) { reservation { id } } }"
FIRST_QUERY = "{ availableAppointments(first: 5) { nodes { startsAt provider { firstName lastName } } } }"


class SeedError(Exception):
    """One sentence for why the practice cannot be filled."""


async def seed(url: str) -> None:
    """Fill the default business. What an earlier run made is found again and left as it is."""
    settings, database = Settings.read(os.environ), connected(url, pool_size=1, lanes=1)
    try:
        await _fill(Api(database))
    finally:
        await database.close()
    sys.stdout.write(
        f"Serve it with `make serve`, open http://{settings.host}:{settings.port}/graphql and ask first:\n"
        f"  {FIRST_QUERY}\n"
    )


class Api:
    """The public API without HTTP in between; a refusal ends the run."""

    def __init__(self, database: Database) -> None:
        self.database = database.of(DEFAULT_BUSINESS)
        self.documents = Documents()
        self.replayed = False

    async def __call__(self, document: str, **variables: Any) -> Any:
        question = Question(document, variables)
        context = Context(self.database, Viewer(DEFAULT_BUSINESS, "seed", Role.ADMIN), uuid4().hex)
        told = await answer(self.documents.prepare(question), question, context)
        if "errors" in told:
            raise SeedError(f"The practice cannot be filled: {told['errors'][0]['message']}")
        self.replayed = "idempotentReplay" in context.extensions
        return told["data"]


class Step:
    """The progress of one step: on a terminal a line that grows, else one line at its end."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.there = self.new = 0

    def add(self, there: int, new: int) -> None:
        self.there, self.new = self.there + there, self.new + new
        if sys.stdout.isatty():
            self._write("\r", "")

    def end(self) -> None:
        self._write("\r" if sys.stdout.isatty() else "", "\n")

    def _write(self, before: str, after: str) -> None:
        sys.stdout.write(f"{before}{self.there} {self.what}, {self.new} of them new{after}")
        sys.stdout.flush()


@dataclass(frozen=True)
class Visit:
    """One reservation to make, and what becomes of it."""

    number: int
    client: str
    provider: str
    starts_at: str
    fate: str


async def _fill(api: Api) -> None:
    providers = await _people(api, "provider", PROVIDERS.split(", "), timeZone=HERE.key)
    clients = await _people(api, "client", CLIENTS.split(", "))
    today = datetime.fromisoformat((await api("{ serverTime }"))["serverTime"]).astimezone(HERE).date()
    await _publish(api, providers, _workdays(today))
    visits = _visits(providers, clients, await _beginning(api, providers[0]))
    step = Step("reservations")
    for visit in visits:
        step.add(*await _visit(api, visit))
    step.end()
    step = Step("times of the brand")
    shops = await brand.open_shops(api)
    for shop in shops:
        emails = [brand.email(shop.place, number) for number in (1, 2, 3)]
        named = zip(shop.place.stylists.split(", "), emails, strict=True)
        stylists = [(await _person(api, "provider", *person, timeZone=shop.place.zone))[0] for person in named]
        step.add(*await brand.employ(api, shop, stylists))
    step.end()
    await brand.queue(api, shops[0], clients[0], *(_instant(today + timedelta(days=n), time(9)) for n in (30, 31)))


async def _people(api: Api, noun: str, names: list[str], **more: str) -> list[str]:
    """Find or create persons."""
    step, ids = Step(f"{noun}s"), []
    for number, full_name in enumerate(names, 1):
        key, new = await _person(api, noun, full_name, f"{noun}{number}@practice.example", **more)
        ids.append(key)
        step.add(1, new)
    step.end()
    return ids


async def _person(api: Api, noun: str, full_name: str, email: str, **more: str) -> tuple[str, int]:
    """Find or create a person; tells whether they are new. Keys are forgotten after a day; an email address is not."""
    found, new = (await api(FIND % noun, email=email))["found"]["nodes"], 0
    if not found:
        first_name, _, last_name = full_name.partition(" ")
        person = {"firstName": first_name, "lastName": last_name, "email": email, **more}
        document = CREATE % (noun.title(), noun, noun)
        found = [(await api(document, input={**person, "idempotencyKey": f"seed {email}"}))["done"]["made"]]
        new = int(not api.replayed)
    return found[0]["id"], new


def _workdays(after: date) -> list[date]:
    days = (after + timedelta(days=n) for n in range(1, 29))
    return [day for day in days if day.weekday() < 5]


async def _publish(api: Api, providers: list[str], days: list[date]) -> None:
    """Publish everybody's hours. What is published stays: a later run adds the days that are missing, where it can."""
    windows = [
        {"startTime": _instant(day, begins), "endTime": _instant(day, ends)} for day in days for begins, ends in HOURS
    ]
    step = Step("appointments")
    for provider in providers:
        times = {
            "providerId": provider,
            "windows": windows,
            "slotMinutes": SLOT_MINUTES,
            "errorPolicy": "REJECT_FAILED_ROWS",
        }
        key = f"seed {days[0]} {provider}"
        done = (await api(PUBLISH, input={**times, "idempotencyKey": key}))["appointmentBulkCreate"]
        step.add(done["created"] + done["kept"], new=0 if api.replayed else done["created"])
    step.end()


async def _beginning(api: Api, provider: str) -> date:
    """The day on which the practice opened: its visits are counted from there, today and in any later run."""
    first = (await api(BEGINNING, id=provider))["provider"]["appointments"]["nodes"][0]
    return datetime.fromisoformat(first["startsAt"]).astimezone(HERE).date()


def _visits(providers: list[str], clients: list[str], opening: date) -> list[Visit]:
    """Scatter the visits: the numbers have no common divisor, so no two visits share provider, day and moment."""
    days, moments = _workdays(opening)[: WORKDAYS - 1], _moments()  # the first day may be too soon to be reserved
    return [
        Visit(
            number=n,
            client=clients[n * 7 % len(clients)],
            provider=providers[n % len(providers)],
            starts_at=_instant(days[n * 5 % len(days)], moments[n * 3 % len(moments)]),
            fate=FATES[n % len(FATES)],
        )
        for n in range(RESERVATIONS)
    ]


async def _visit(api: Api, visit: Visit) -> tuple[int, int]:
    """Bring a visit to its fate from wherever an earlier run left it; tells whether it is there, and whether it is new."""
    claims = (await api(CLAIMS, id=visit.client))["client"]["reservations"]["nodes"]
    place = (visit.provider, visit.starts_at)
    claim, new = next((claim for claim in claims if (claim["provider"]["id"], claim["startsAt"]) == place), None), 0
    if claim is None:
        wanted = {"providerIds": [visit.provider], "startsAt": {"from": visit.starts_at}}
        next_one = (await api(PUBLISHED, filter=wanted))["appointments"]["nodes"]
        if [appointment["startsAt"] for appointment in next_one] != [visit.starts_at]:
            return 0, 0
        wish = {"clientId": visit.client, "appointmentId": next_one[0]["id"]}
        key = f"seed visit {visit.number} on {visit.starts_at}"
        held = (await api(HOLD, input={**wish, "idempotencyKey": key}))["reservationCreate"]["reservation"]
        if held is None:  # somebody else was faster, or an interrupted run is taken up too late
            return 0, 0
        claim, new = {**held, "status": "HELD"}, 1
    if claim["status"] == "HELD" and (change := TURNED_INTO.get(visit.fate)):
        await api(CHANGE % (change, change), input={"reservationId": claim["id"]})
    return 1, new


def _moments() -> list[time]:
    """The local times at which an appointment starts."""
    return [time(h, m) for begins, ends in HOURS for h in range(begins.hour, ends.hour) for m in (0, SLOT_MINUTES)]


def _instant(day: date, moment: time) -> str:
    return zone.instant(datetime.combine(day, moment), HERE).isoformat().replace("+00:00", "Z")
