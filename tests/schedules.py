"""Changing schedules through the API: for tests of rules, weeks, exceptions, holidays and time off."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from models.business import DEFAULT_BUSINESS
from models.node_id import decode, encode
from tests.conftest import Api

Sql = Callable[..., list[tuple[Any, ...]]]
_WINDOW = "start end endsNextDay"
_TERMS = "timeZone slotMinutes gridMinutes capacity version provider { id } service { id } location { id }"
SHOWN = {
    "availabilityRule": f"id weekday {_WINDOW} validFrom validUntil recurrence {_TERMS}",
    "availabilityException": f"id date windows {{ {_WINDOW} }} {_TERMS}",
    "holiday": "id date name version location { id }",
    "timeOff": "id startsAt endsAt reason version provider { id }",
    "weeklySchedule": f"id availabilityRules(first: 100) {{ nodes {{ {_WINDOW} }} }}",
}
ERRORS = """userErrors {
  code field message
  ... on OverlappingRulesError { ruleIds }
  ... on OverlappingRowsError { rows }
  ... on DuplicateRowsError { rows }
  ... on VersionConflictError { currentVersion }
  ... on UnknownTimeZoneError { suggestions }
}"""
DONE = f"published {{ created kept removed }} affectedCount {ERRORS}"
REPLAYED = {"idempotentReplay": True}
# Nobody has this id.
NOTHING = UUID("019e0000-0000-7000-8000-000000000009")


def document(mutation: str) -> str:
    """Ask for a mutation, and for all that it answers."""
    thing = next(each for each in SHOWN if mutation.startswith(each))
    shown = "deletedId" if mutation.endswith("Delete") else f"{thing} {{ {SHOWN[thing]} }}"
    if thing == "weeklySchedule":
        shown = f"provider {{ id }} availabilityRules {{ {SHOWN['availabilityRule']} }}"
    name = f"{mutation[0].upper()}{mutation[1:]}Input"
    return f"mutation ($input: {name}!) {{ {mutation}(input: $input) {{ {shown} {DONE} }} }}"


async def change(api: Api, mutation: str, headers: dict[str, str] | None = None, /, **wanted: Any) -> Any:
    """The payload of a mutation."""
    answer = await api.post(document(mutation), headers, input=wanted)
    assert "errors" not in answer, answer["errors"]
    return answer["data"][mutation]


async def made(api: Api, mutation: str, **wanted: Any) -> Any:
    """What a mutation has made."""
    payload = await change(api, mutation, **wanted)
    assert payload["userErrors"] == []
    return payload[mutation.removesuffix("Create").removesuffix("Update")]


def refusals(payload: Any) -> list[tuple[str, str | None]]:
    """The codes and the fields of what was refused."""
    return [(error["code"], error["field"] and ".".join(error["field"])) for error in payload["userErrors"]]


def key(identity: str) -> UUID:
    return decode(identity)[1]


def location(sql: Sql, business: UUID = DEFAULT_BUSINESS, zone: str = "Europe/Berlin") -> str:
    """A location, past the API."""
    insert = "INSERT INTO locations (business_id, name, time_zone) VALUES (%s, 'There', %s) RETURNING id"
    return encode("Location", sql(insert, business, zone)[0][0])


def service(sql: Sql, minutes: int | None = 60, business: UUID = DEFAULT_BUSINESS, *, of: str | None = None) -> str:
    """A service that takes so long, and that a provider gives everywhere, past the API."""
    insert = "INSERT INTO services (business_id, name, duration) VALUES (%s, 'Visit', make_interval(mins => %s)) RETURNING id"
    ((made,),) = sql(insert, business, minutes)
    if of is not None:
        offer = "INSERT INTO offerings (business_id, provider_id, service_id) VALUES (%s, %s, %s)"
        sql(offer, business, key(of), made)
    return encode("Service", made)


def interval(start: str, end: str, *, next_day: bool = False) -> dict[str, Any]:
    """A window, as an input has it."""
    return {"start": start, "end": end} | ({"endsNextDay": True} if next_day else {})


def day(weekday: str, *intervals: dict[str, Any]) -> dict[str, Any]:
    """The windows of a weekday, as an input has them."""
    return {"weekday": weekday, "intervals": list(intervals)}
