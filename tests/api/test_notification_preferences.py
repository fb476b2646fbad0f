"""What people wish to be told: said by themselves or at the desk, kept, and on record."""

from collections.abc import Callable
from typing import Any

import pytest

from models.node_id import encode
from models.viewer import Role
from tests.conftest import Api
from tests.keys import OTHER, Headers, another_business, bearer, data
from tests.supply import key

Sql = Callable[..., list[tuple[Any, ...]]]
SET = """mutation ($input: NotificationPreferencesSetInput!) { notificationPreferencesSet(input: $input) {
  preferences { channel topic enabled } userErrors { code field message } } }"""
READ = "query ($p: ID) { notificationPreferences(personId: $p) { channel topic enabled } }"
BUSINESS = """mutation ($input: BusinessUpdateInput!) { businessUpdate(input: $input) {
  business { locale reminderMinutes } userErrors { code field } } }"""
NO_MAIL = {"channel": "EMAIL", "topic": "BOOKING", "enabled": False}
SMS = {"channel": "SMS", "topic": "REMINDER", "enabled": True}
USUAL = {
    f"{channel} {topic}": channel == "EMAIL" for channel in ("EMAIL", "SMS") for topic in ("BOOKING", "REMINDER", "WAITLIST")
}  # fmt: skip


async def prefer(api: Api, headers: Headers | None = None, **wanted: Any) -> Any:
    answer = await api.post(SET, headers, input=wanted)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]["notificationPreferencesSet"]


def shown(preferences: list[dict[str, Any]]) -> dict[str, bool]:
    return {f"{each['channel']} {each['topic']}": each["enabled"] for each in preferences}


def codes(payload: Any) -> list[tuple[str, str]]:
    return [(error["code"], ".".join(error["field"] or [])) for error in payload["userErrors"]]


async def test_everybody_gets_mail_and_nobody_an_sms_until_they_say_so(api: Api) -> None:
    client, provider = await api.client(), await api.provider()

    assert shown((await api(READ, p=client))["notificationPreferences"]) == USUAL
    assert shown((await api(READ, p=provider))["notificationPreferences"]) == {
        "EMAIL BOOKING": True,
        "SMS BOOKING": False,
    }


async def test_a_client_says_what_they_wish_and_the_rest_stays(api: Api, sql: Sql) -> None:
    client = await api.client()
    headers = await bearer(api, Role.CLIENT, person=client)

    payload = await prefer(api, headers, preferences=[NO_MAIL, SMS], locale="pt-br")

    wanted = {**USUAL, "EMAIL BOOKING": False, "SMS REMINDER": True}
    assert shown(payload["preferences"]) == wanted
    assert shown((await data(api, READ, headers))["notificationPreferences"]) == wanted
    assert (await data(api, "query ($c: ID!) { client(id: $c) { locale } }", headers, c=client)) == {
        "client": {"locale": "pt-BR"}
    }
    assert sql(
        "SELECT type, diff FROM events WHERE type LIKE '%%updated.v1' AND aggregate_id = %s ORDER BY seq", key(client)
    ) == [
        ("scheduling.client.preferences_updated.v1", {"email_booking": [None, False]}),
        ("scheduling.client.preferences_updated.v1", {"sms_reminder": [None, True]}),
        ("scheduling.client.updated.v1", {"locale": None}),
    ]


async def test_saying_it_again_writes_nothing(api: Api, sql: Sql) -> None:
    client = await api.client()
    await prefer(api, personId=client, preferences=[NO_MAIL], locale="de")
    before = sql("SELECT count(*) FROM events")

    await prefer(api, personId=client, preferences=[NO_MAIL], locale="de")

    assert sql("SELECT count(*) FROM events") == before


async def test_a_key_is_answered_again_and_used_for_one_wish(api: Api) -> None:
    client = await api.client()
    asked: dict[str, Any] = {"personId": client, "preferences": [NO_MAIL], "idempotencyKey": "one"}
    await prefer(api, **asked)
    await prefer(api, personId=client, preferences=[{**NO_MAIL, "enabled": True}])

    again = await api.post(SET, input=asked)
    other = await prefer(api, **{**asked, "preferences": [SMS]})

    assert again["extensions"] == {"idempotentReplay": True}
    assert shown(again["data"]["notificationPreferencesSet"]["preferences"])["EMAIL BOOKING"] is True
    assert codes(other) == [("IDEMPOTENCY_KEY_REUSED", "idempotencyKey")]


@pytest.mark.parametrize(
    ("wanted", "code", "field"),
    [
        ({"preferences": []}, "INVALID_INPUT", "preferences"),
        ({"preferences": [NO_MAIL, NO_MAIL]}, "INVALID_INPUT", "preferences.1"),
        ({"preferences": [NO_MAIL], "locale": "xx-nowhere"}, "INVALID_INPUT", "locale"),
        ({"preferences": [], "locale": "../../etc/passwd"}, "INVALID_INPUT", "locale"),
        ({"preferences": [], "locale": "en\x00"}, "INVALID_INPUT", "locale"),
        ({"preferences": [NO_MAIL], "personId": "abc"}, "INVALID_INPUT", "personId"),
        ({"preferences": [NO_MAIL], "personId": encode("Client", OTHER)}, "NOT_FOUND", "personId"),
        ({"preferences": [NO_MAIL], "personId": encode("Provider", OTHER)}, "NOT_FOUND", "personId"),
        ({"preferences": [NO_MAIL], "personId": encode("Reservation", OTHER)}, "NOT_FOUND", "personId"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused(
    api: Api, sql: Sql, wanted: dict[str, Any], code: str, field: str
) -> None:
    another_business(sql)
    client = await api.client()

    payload = await prefer(api, **{"personId": client, **wanted})

    assert (codes(payload), payload["preferences"]) == ([(code, field)], None)
    assert sql("SELECT count(*) FROM notification_preferences") == [(0,)]


async def test_nobody_says_it_for_another_but_the_desk(api: Api, sql: Sql) -> None:
    ada, grace, client = await api.provider(), await api.provider("Grace", "Hopper"), await api.client()
    provider, desk = await bearer(api, Role.PROVIDER, person=ada), await bearer(api, Role.FRONT_DESK)
    mine = await bearer(api, Role.CLIENT, person=client)

    assert codes(await prefer(api, provider, personId=grace, preferences=[NO_MAIL])) == [("FORBIDDEN", "personId")]
    assert codes(await prefer(api, provider, personId=client, preferences=[NO_MAIL])) == [("FORBIDDEN", "personId")]
    assert codes(await prefer(api, mine, personId=ada, preferences=[NO_MAIL])) == [("NOT_FOUND", "personId")]
    assert codes(await prefer(api, desk, preferences=[NO_MAIL])) == [("INVALID_INPUT", "personId")]
    assert codes(await prefer(api, desk, personId=ada, preferences=[{**NO_MAIL, "topic": "REMINDER"}])) == [
        ("INVALID_INPUT", "preferences.0.topic")
    ]
    assert sql("SELECT count(*) FROM notification_preferences") == [(0,)]
    assert codes(await prefer(api, desk, personId=client, preferences=[NO_MAIL])) == []
    assert codes(await prefer(api, provider, preferences=[NO_MAIL])) == []


async def test_a_client_who_is_erased_has_no_wishes_and_no_language(api: Api, sql: Sql) -> None:
    client = await api.client()
    await prefer(api, personId=client, preferences=[NO_MAIL], locale="de")

    await api("mutation ($c: ID!) { clientErase(input: {clientId: $c}) { userErrors { code } } }", c=client)

    assert sql("SELECT count(*) FROM notification_preferences") == [(0,)]
    assert sql("SELECT locale FROM clients") == [(None,)]
    assert codes(await prefer(api, personId=client, preferences=[NO_MAIL])) == [("NOT_FOUND", "personId")]


@pytest.mark.parametrize(("given", "kept"), [([120, 1440, 120], [1440, 120]), ([], []), ([15, 10080], [10080, 15])])
async def test_a_business_says_when_it_reminds(api: Api, given: list[int], kept: list[int]) -> None:
    before = (await api("{ viewer { business { locale reminderMinutes version } } }"))["viewer"]["business"]

    done = await api(BUSINESS, input={"expectedVersion": before["version"], "reminderMinutes": given, "locale": "es"})

    assert (before["locale"], before["reminderMinutes"]) == ("en", [1440, 120])
    assert done["businessUpdate"] == {"business": {"locale": "es", "reminderMinutes": kept}, "userErrors": []}


@pytest.mark.parametrize(
    ("given", "field"),
    [([14], "reminderMinutes.0"), ([60, 10081], "reminderMinutes.1"), ([15, 16, 17, 18, 19, 20], "reminderMinutes")],
)
async def test_reminders_have_bounds(api: Api, given: list[int], field: str) -> None:
    version = (await api("{ viewer { business { version } } }"))["viewer"]["business"]["version"]

    done = (await api(BUSINESS, input={"expectedVersion": version, "reminderMinutes": given}))["businessUpdate"]

    assert [(error["code"], ".".join(error["field"])) for error in done["userErrors"]] == [("INVALID_INPUT", field)]


async def test_a_person_has_a_locale_from_the_beginning(api: Api) -> None:
    made = await api(
        'mutation { clientCreate(input: {firstName: "A", lastName: "B", locale: "EN-gb"}) { client { locale } }'
        ' providerCreate(input: {firstName: "A", lastName: "B", locale: "no_such"}) { userErrors { code field } } }'
    )

    assert made["clientCreate"]["client"]["locale"] == "en-GB"
    assert made["providerCreate"]["userErrors"] == [{"code": "INVALID_INPUT", "field": ["locale"]}]
