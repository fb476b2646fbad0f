"""The brand of the seed: a salon with three locations in three zones, what it offers where, and when its stylists work."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

Ask = Callable[..., Awaitable[Any]]

WEEKDAYS = ("TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY")
HOURS = [{"start": "09:00", "end": "13:00"}, {"start": "14:00", "end": "19:00"}]
WEEK = [{"weekday": weekday, "intervals": HOURS} for weekday in WEEKDAYS]
SKILLS = ("Cutting", "Colouring")
# Name, minutes, price, skills, whether it needs the colour room.
SERVICES = (
    ("Cut", 45, "48.00", ("Cutting",), False),
    ("Colour and cut", 120, "130.00", ("Cutting", "Colouring"), True),
)
APPROVAL = 24 * 60  # for what takes the room, whose stylist looks at the wish first
GRID = 60  # from one start to the next; a whole hour is easily remembered


@dataclass(frozen=True)
class Place:
    """A location, and who works there: the first gives cuts, the second colours, the third whatever fits into an hour."""

    name: str
    address: str
    postal_code: str
    zone: str
    currency: str
    stylists: str


PLACES = (
    Place("Lisboa", "Rua Garrett 19", "1200-203", "Europe/Lisbon", "EUR", "Beatriz Nunes, Duarte Pires, Marta Reis"),
    Place("Berlin", "Oranienstraße 44", "10969", "Europe/Berlin", "EUR", "Henrike Vogt, Cem Aydın, Lotte Krüger"),
    Place("New York", "214 Bedford Ave", "11249", "America/New_York", "USD", "Maya Collins, Devon Price, Sofia Ruiz"),
)

FIND = "query ($name: String!) { found: %ss(search: $name, first: 10) { nodes { id name } } }"
CREATE = "mutation ($input: %sCreateInput!) { done: %sCreate(input: $input) { made: %s { id } } }"
WAITING = "query ($client: ID!) { waitlistEntries(filter: {clientId: $client}, first: 1) { nodes { id } } }"
WAIT = """mutation ($input: WaitlistEntryCreateInput!) {
  waitlistEntryCreate(input: $input) { waitlistEntry { id } userErrors { message } }
}"""
SET = "mutation ($input: %sInput!) { done: %s(input: $input) { published { created kept } userErrors { message } } }"


@dataclass(frozen=True)
class Shop:
    """A location as it was made, with its services by name."""

    place: Place
    location: str
    services: dict[str, str]


async def open_shops(ask: Ask) -> list[Shop]:
    """Find or make the locations, and what is offered there."""
    skills = {name: await _found(ask, "skill", name) for name in SKILLS}
    shops = []
    for place in PLACES:
        described = {"address": place.address, "postalCode": place.postal_code, "timeZone": place.zone}
        location = await _found(ask, "location", place.name, **described)
        room = await _found(ask, "resource", f"Colour room, {place.name}", kind="ROOM", locationId=location)
        services = {}
        for name, minutes, amount, needed, needs_room in SERVICES:
            services[name] = await _found(
                ask,
                "service",
                f"{name}, {place.name}",
                durationMinutes=minutes,
                bufferAfterMinutes=15,
                price={"amount": amount, "currency": place.currency},
                skillIds=[skills[skill] for skill in needed],
                resources=[{"resourceId": room, "quantity": 1}] if needs_room else [],
                approvalMinutes=APPROVAL if needs_room else None,
            )
        shops.append(Shop(place, location, services))
    return shops


async def employ(ask: Ask, shop: Shop, stylists: list[str]) -> tuple[int, int]:
    """Say what the stylists of a shop can and do; tells how many times they have, and how many of those are new."""
    skills = [await _found(ask, "skill", name) for name in SKILLS]
    there = new = 0
    for stylist, own in zip(stylists, (*shop.services.values(), None), strict=True):
        offered = [{"serviceId": key, "locationId": shop.location} for key in shop.services.values()]
        await ask(_set("providerSkillsSet"), input={"providerId": stylist, "skillIds": skills})
        await ask(_set("providerServicesSet"), input={"providerId": stylist, "services": offered})
        length = {"serviceId": own, "gridMinutes": 2 * GRID if own == shop.services["Colour and cut"] else GRID}
        week = {"providerId": stylist, "locationId": shop.location, "days": WEEK}
        how = length if own else {"slotMinutes": GRID}
        done = (await ask(_set("weeklyScheduleSet"), input={**week, **how}))["done"]["published"]
        there, new = there + done["created"] + done["kept"], new + done["created"]
    return there, new


async def queue(ask: Ask, shop: Shop, client: str, since: str, until: str) -> None:
    """Have a client wait for a colour between two instants, unless they do."""
    if not (await ask(WAITING, client=client))["waitlistEntries"]["nodes"]:
        wish = {"serviceId": shop.services["Colour and cut"], "startsFrom": since, "startsUntil": until}
        await ask(WAIT, input={"clientId": client, **wish, "idempotencyKey": f"seed wait {client}"})


def email(place: Place, number: int) -> str:
    """Tell a stylist again from any other: names may be shared."""
    return f"{place.name.lower().replace(' ', '')}{number}@brand.example"


def _set(mutation: str) -> str:
    return SET % (mutation[0].upper() + mutation[1:], mutation)


async def _found(ask: Ask, noun: str, name: str, **described: Any) -> str:
    """Find a thing by its name, or make it."""
    found: list[str] = [
        one["id"] for one in (await ask(FIND % noun, name=name))["found"]["nodes"] if one["name"] == name
    ]
    if found:
        return found[0]
    given = {"name": name, **described, "idempotencyKey": f"seed {noun} {name}"}
    made: str = (await ask(CREATE % (noun.title(), noun, noun), input=given))["done"]["made"]["id"]
    return made
