"""Makes postman.json from the examples beside it: python docs/examples/make_postman.py."""  # noqa: INP001 -- a script

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent
FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
# In this order they make a booking; whatever is not named stands between. To cancel and to delete comes last: what is referred
# to by then cannot be deleted, so some things are created once more.
FIRST = (
    *(
        "viewer",
        "webhookEndpointCreate",
        "providerCreate",
        "appointmentBulkCreate",
        "providerCreate",
        "providerUpdate",
        "clientCreate",
        "locationCreate",
        "skillCreate",
        "resourceCreate",
    ),
    *("serviceCreate", "providerSkillsSet", "providerServicesSet", "appointmentBulkCreate", "availableAppointments"),
    *(
        "reservationCreate",
        "reservationRenew",
        "reservationReschedule",
        "reservationConfirm",
        "visitCreate",
        "reservationSeriesCreate",
        "availabilityRuleCreate",
        "availabilityExceptionCreate",
    ),
    *("holidayCreate", "waitlistEntryCreate", "timeOffCreate", "proposals", "proposalDecline"),
)
LAST = (
    *("visitRenew", "visitConfirm", "visitCancel", "reservationSeriesConfirm", "reservationSeriesCancel"),
    *(
        "timeOffCreate",
        "proposals",
        "proposalAccept",
        "waitlistEntryCancel",
        "reservationCancel",
        "reservationRelease",
        "reservationDecline",
        "availabilityRuleDelete",
        "availabilityExceptionDelete",
        "holidayDelete",
        "timeOffDelete",
    ),
    *("weeklyScheduleDelete", "serviceCreate", "serviceDelete", "resourceCreate", "resourceDelete"),
    *("skillCreate", "skillDelete", "locationCreate", "locationDelete", "webhookEndpointDelete", "clientErase"),
)
# What an answer tells the requests after it: the variable, and where its value stands.
KEPT = {
    "webhookEndpointCreate": ("webhookendpoint", "webhookEndpointCreate?.webhookEndpoint?.id"),
    "webhookDeliveries": ("delivery", "webhookDeliveries?.nodes[0]?.id"),
    "viewer": ("version", "viewer?.business?.version"),
    "providerCreate": ("provider", "providerCreate?.provider?.id"),
    "clientCreate": ("client", "clientCreate?.client?.id"),
    "locationCreate": ("location", "locationCreate?.location?.id"),
    "skillCreate": ("skill", "skillCreate?.skill?.id"),
    "resourceCreate": ("resource", "resourceCreate?.resource?.id"),
    "serviceCreate": ("service", "serviceCreate?.service?.id"),
    "availabilityRuleCreate": ("rule", "availabilityRuleCreate?.availabilityRule?.id"),
    "availabilityExceptionCreate": ("exception", "availabilityExceptionCreate?.availabilityException?.id"),
    "holidayCreate": ("holiday", "holidayCreate?.holiday?.id"),
    "timeOffCreate": ("timeoff", "timeOffCreate?.timeOff?.id"),
    "waitlistEntryCreate": ("entry", "waitlistEntryCreate?.waitlistEntry?.id"),
    "proposals": ("proposal", "proposals?.nodes[0]?.id"),
    "appointmentBulkCreate": ("appointment", "appointmentBulkCreate?.appointments?.nodes[0]?.id"),
    "availableAppointments": ("appointment", "availableAppointments?.nodes[0]?.id"),
    "reservationCreate": ("reservation", "reservationCreate?.reservation?.id"),
    "visitCreate": ("visit", "visitCreate?.visit?.id"),
    "reservationSeriesCreate": ("series", "reservationSeriesCreate?.series?.id"),
    "apiKeyCreate": ("apikey", "apiKeyCreate?.apiKey?.id"),
    "calendarFeedCreate": ("calendarfeed", "calendarFeedCreate?.calendarFeed?.id"),
    "calendarImportCreate": ("calendarimport", "calendarImportCreate?.calendarImport?.id"),
}
VARIABLES = (
    *("webhookendpoint", "delivery"),
    *("calendarfeed", "calendarimport"),
    *("apikey", "provider", "client", "location", "skill", "resource", "service", "rule", "exception", "holiday"),
    *("entry", "proposal"),
    *("timeoff", "appointment", "reservation", "visit", "series"),
)
ABOUT = (
    "One request for each operation of the API. Send them from the top: each answer fills in the ids that the next "
    "requests need; what is deleted at the end is first created once more. The variable baseUrl names the server. In development mode no token is needed, save for businessCreate, "
    "which only an OPERATOR may send."
)


def collection() -> dict[str, Any]:
    """Make the collection."""
    names = {path.stem for path in FOLDER.glob("*.graphql") if not _is_subscription(path)}
    ordered = [*FIRST, *sorted(names - {*FIRST, *LAST}), *LAST]
    variables = [{"key": name, "value": "", "type": "string"} for name in (*VARIABLES, "version")]
    return {
        "info": {"name": "Holdfast", "description": ABOUT, "schema": FORMAT},
        "variable": [{"key": "baseUrl", "value": "http://localhost:8000", "type": "string"}, *variables],
        "item": [_item(name) for name in ordered],
    }


def _is_subscription(path: Path) -> bool:
    """Whether an example is answered again and again, which no request of Postman's collections is."""
    return "\nsubscription " in path.read_text(encoding="utf-8")


def _item(name: str) -> dict[str, Any]:
    document = (FOLDER / f"{name}.graphql").read_text(encoding="utf-8")
    comment, _, query = document.partition("\n")
    item: dict[str, Any] = {
        "name": name,
        "request": {
            "method": "POST",
            "header": [{"key": "Content-Type", "value": "application/json"}],
            "body": {"mode": "graphql", "graphql": {"query": query, "variables": _variables(name)}},
            "url": {"raw": "{{baseUrl}}/graphql", "host": ["{{baseUrl}}"], "path": ["graphql"]},
            "description": comment.removeprefix("# "),
        },
        "response": [],
    }
    if name in KEPT:
        variable, place = KEPT[name]
        script = [
            f"const found = pm.response.json().data?.{place};",
            f'if (found) pm.collectionVariables.set("{variable}", found);',
        ]
        item["event"] = [{"listen": "test", "script": {"type": "text/javascript", "exec": script}}]
    return item


def _variables(name: str) -> str:
    """The variables of an example, with Postman's placeholders instead of ours."""
    path = FOLDER / f"{name}.json"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    for variable in VARIABLES:
        text = text.replace(f'"${variable.upper()}"', f'"{{{{{variable}}}}}"')
    return text.replace('"$KEY"', '"{{$guid}}"').replace('"$VERSION"', "{{version}}")


def text() -> str:
    """Write the collection as the file has it."""
    return json.dumps(collection(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    (FOLDER / "postman.json").write_text(text(), encoding="utf-8")
