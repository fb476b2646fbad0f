"""Visibility: whose rows a client, a provider and a desk see and change, of those that they may ask for; on both roads."""

from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

import httpx2
import psycopg
import pytest

from models.node_id import encode
from models.viewer import Role
from tests.conftest import CANCEL, CONFIRM, GENEROUS, PUBLISH, RESERVE, Api, fresh_database, serving
from tests.practices import Practice, Practices, dump, practices
from tests.tokens import Headers, bearer, token

REQUEST = {"x-request-id": "visibility"}
UNKNOWN = UUID("0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000")
RESERVATIONS = "nodes { id } edges { node { id } } totalCount"
# Every list and link that leads to a reservation or a client.
EVERYWHERE = f"""query Q($provider: ID!, $other: ID!, $times: [ID!]!) {{
  reservations(first: 100) {{ {RESERVATIONS} }}
  of: reservations(first: 100, filter: {{ providerId: $other }}) {{ {RESERVATIONS} }}
  nodes(ids: $times) {{ ... on Appointment {{
    confirmedReservation {{ id client {{ id }} }}
    reservations {{ {RESERVATIONS} nodes {{ client {{ id reservations {{ {RESERVATIONS} }} }} }} }}
  }} }}
  provider(id: $provider) {{ availableAppointments {{ nodes {{ reservations {{ {RESERVATIONS} }} }} }} }}
  other: provider(id: $other) {{ availableAppointments {{ nodes {{ reservations {{ {RESERVATIONS} }} }} }} }}
}}"""
CLIENTS = "{ clients(first: 100) { totalCount nodes { id reservations { nodes { id } } } } }"
CALENDAR = """query Q($provider: ID!) { provider(id: $provider) {
  confirmedAppointments { totalCount nodes { id } } reservedAppointments { totalCount nodes { id } }
} }"""
BY_ID = """query Q($id: ID!) { node(id: $id) { __typename id } nodes(ids: [$id, $id]) { id } %s }"""
MINE = ("confirmed", "held", "held elsewhere", "cancelled", "lapsed")
STRANGE = ("held by another", "strange confirmed", "strange held", "first", "second", "third")
WITH_ME = ("confirmed", "held", "cancelled", "lapsed", "held by another")


@pytest.fixture(scope="module")
def world(cluster: str, migrated: str) -> Iterator[Practices]:
    """Both businesses, which nobody writes to: each test has a copy."""
    with practices(cluster, migrated) as made:
        yield made


@pytest.fixture
def both(cluster: str, world: Practices) -> Iterator[Practices]:
    with fresh_database(cluster, world.url) as url:
        yield Practices(url, world.ours, world.theirs)


@pytest.fixture(params=[True, False], ids=["compiled", "ordinary"])
async def api(both: Practices, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Either road."""
    async with serving(both.url, compile=request.param, limits=GENEROUS, API_KEYS="on", RATE_LIMIT="0") as client:
        yield client


def stranger(both: Practices, role: Role, name: str) -> Headers:
    """What a request of another person of the business carries."""
    with psycopg.connect(both.url, autocommit=True) as owner:
        return bearer(token(lambda *sent: owner.execute(sent[0], sent[1:]).fetchall(), role, both.ours.keys[name]))


async def send(api: Api, query: str, headers: Headers, **variables: Any) -> httpx2.Response:
    return await api.http.post(
        "/graphql", json={"query": query, "variables": variables}, headers={**REQUEST, **headers}
    )


async def data(api: Api, query: str, headers: Headers, **variables: Any) -> Any:
    answer = (await send(api, query, headers, **variables)).json()
    assert "errors" not in answer, answer["errors"]
    return answer["data"]


def seen(response: httpx2.Response, ours: Practice, type_name: str) -> set[str]:
    """The rows of a type whose ids stand in an answer, by name."""
    assert "errors" not in response.json(), response.text
    return {name for name, kind in ours.types.items() if kind == type_name and ours[name] in response.text}


async def everywhere(api: Api, ours: Practice, headers: Headers) -> httpx2.Response:
    times = [ours[name] for name, kind in ours.types.items() if kind == "Appointment"]
    return await send(api, EVERYWHERE, headers, provider=ours["provider"], other=ours["other provider"], times=times)


async def calendar(api: Api, headers: Headers, provider: str) -> list[int]:
    """How many confirmed and how many held times of a provider are shown."""
    found = (await data(api, CALENDAR, headers, provider=provider))["provider"]
    return [found[name]["totalCount"] for name in ("confirmedAppointments", "reservedAppointments")]


async def test_a_client_sees_their_own_reservations_and_nobody_elses_in_every_list(api: Api, both: Practices) -> None:
    answer = await everywhere(api, both.ours, both.ours.headers[Role.CLIENT])

    assert seen(answer, both.ours, "Reservation") == set(MINE)
    assert seen(answer, both.ours, "Client") == {"client"}
    assert (answer.json()["data"]["reservations"]["totalCount"], answer.json()["data"]["of"]["totalCount"]) == (5, 1)


async def test_a_provider_sees_their_calendar_and_nobody_elses_in_every_list(api: Api, both: Practices) -> None:
    headers = both.ours.headers[Role.PROVIDER]

    answer = await everywhere(api, both.ours, headers)
    clients = await send(api, CLIENTS, headers)

    assert seen(answer, both.ours, "Reservation") == seen(clients, both.ours, "Reservation") == set(WITH_ME)
    assert seen(answer, both.ours, "Client") == seen(clients, both.ours, "Client") == {"client", "other client"}
    assert (answer.json()["data"]["reservations"]["totalCount"], answer.json()["data"]["of"]["totalCount"]) == (5, 0)
    assert clients.json()["data"]["clients"]["totalCount"] == 2
    assert await calendar(api, headers, both.ours["provider"]) == [1, 2]
    assert await calendar(api, headers, both.ours["other provider"]) == [0, 0]


@pytest.mark.parametrize("role", [Role.ADMIN, Role.MANAGER, Role.FRONT_DESK])
async def test_a_desk_sees_everybodys(api: Api, both: Practices, role: Role) -> None:
    headers = both.ours.headers[role]

    answer = await everywhere(api, both.ours, headers)

    assert seen(answer, both.ours, "Reservation") == {*MINE, *STRANGE}
    assert seen(answer, both.ours, "Client") == {"client", "other client", "greedy client"}
    assert (await data(api, CLIENTS, headers))["clients"]["totalCount"] == 4
    assert await calendar(api, headers, both.ours["other provider"]) == [1, 5]


async def test_a_provider_learns_not_with_whom_else_a_client_reserves(api: Api, both: Practices) -> None:
    document = "query Q($id: ID!) { client(id: $id) { id providers { totalCount nodes { id } } } }"

    answer = await send(api, document, both.ours.headers[Role.PROVIDER], id=both.ours["client"])

    assert both.ours["other provider"] not in answer.text
    assert '"totalCount":2' not in answer.text


async def test_nobody_of_the_public_and_no_operator_sees_a_person(api: Api, both: Practices) -> None:
    for role in (Role.PUBLIC, Role.OPERATOR):
        for name in ("client", "confirmed"):
            answer = await send(
                api, "query Q($id: ID!) { node(id: $id) { id } }", both.ours.headers[role], id=both.ours[name]
            )

            assert answer.json()["data"] == {"node": None}
            assert [error["extensions"]["code"] for error in answer.json()["errors"]] == ["NOT_FOUND"]


@pytest.mark.parametrize(
    ("role", "strange"),
    [
        (Role.CLIENT, (*STRANGE, "other client", "greedy client", "erased client")),
        (Role.PROVIDER, ("held elsewhere", *STRANGE[1:], "greedy client", "erased client")),
    ],
)
async def test_what_is_somebody_elses_is_by_its_id_what_nothing_is(
    api: Api, both: Practices, role: Role, strange: tuple[str, ...]
) -> None:
    for name in strange:
        type_name, headers = both.ours.types[name], both.ours.headers[role]
        document = BY_ID % f"{type_name.lower()}(id: $id) {{ id }}"
        known = await send(api, document, headers, id=both.ours[name])
        unknown = await send(api, document, headers, id=encode(type_name, UNKNOWN))

        assert known.content == unknown.content
        assert known.json()["data"] == {"node": None, "nodes": [None, None], type_name.lower(): None}


@pytest.mark.parametrize(
    ("role", "strange"), [(Role.CLIENT, STRANGE), (Role.PROVIDER, ("held elsewhere", *STRANGE[1:]))]
)
@pytest.mark.parametrize("document", [CONFIRM, CANCEL], ids=["confirm", "cancel"])
async def test_nobody_changes_what_is_somebody_elses(
    api: Api, both: Practices, role: Role, strange: tuple[str, ...], document: str
) -> None:
    before = dump(both.url, both.ours.business)

    for name in strange:
        known, unknown = [
            await send(api, document, both.ours.headers[role], input={"reservationId": key})
            for key in (both.ours[name], encode("Reservation", UNKNOWN))
        ]
        ((payload,),) = [known.json()["data"].values()]

        assert known.content == unknown.content
        assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [
            ("NOT_FOUND", ["reservationId"])
        ]
    assert dump(both.url, both.ours.business) == before


async def test_a_client_reserves_for_nobody_else(api: Api, both: Practices) -> None:
    before = dump(both.url, both.ours.business)
    wanted = {"appointmentId": both.ours["free time"]}

    answers = [
        await send(api, RESERVE, both.ours.headers[Role.CLIENT], input={**wanted, "clientId": key})
        for key in (both.ours["other client"], both.ours["greedy client"], encode("Client", UNKNOWN))
    ]

    payload = answers[0].json()["data"]["reservationCreate"]
    assert len({answer.content for answer in answers}) == 1
    assert [(error["code"], error["field"]) for error in payload["userErrors"]] == [("NOT_FOUND", ["clientId"])]
    assert dump(both.url, both.ours.business) == before


async def test_a_client_holds_confirms_and_gives_back_their_own(api: Api, both: Practices) -> None:
    headers = both.ours.headers[Role.CLIENT]
    wanted = {"clientId": both.ours["client"], "appointmentId": both.ours["free time"]}

    made = (await data(api, RESERVE, headers, input=wanted))["reservationCreate"]
    change = {"reservationId": made["reservation"]["id"]}
    confirmed = (await data(api, CONFIRM, headers, input=change))["reservationConfirm"]
    cancelled = (await data(api, CANCEL, headers, input=change))["reservationCancel"]

    assert made["userErrors"] == confirmed["userErrors"] == cancelled["userErrors"] == []
    assert [each["reservation"]["status"] for each in (made, confirmed, cancelled)] == [
        "HELD",
        "CONFIRMED",
        "CANCELLED",
    ]


async def test_a_provider_confirms_and_gives_back_what_is_reserved_with_them(api: Api, both: Practices) -> None:
    headers, change = both.ours.headers[Role.PROVIDER], {"reservationId": both.ours["held by another"]}

    confirmed = (await data(api, CONFIRM, headers, input=change))["reservationConfirm"]
    cancelled = (await data(api, CANCEL, headers, input=change))["reservationCancel"]

    assert [each["reservation"]["status"] for each in (confirmed, cancelled)] == ["CONFIRMED", "CANCELLED"]


def window(provider: str, **more: Any) -> dict[str, Any]:
    return {"providerId": provider, "startTime": "2099-05-03T09:00:00Z", "endTime": "2099-05-03T10:00:00Z", **more}


async def test_a_provider_publishes_their_own_times(api: Api, both: Practices) -> None:
    headers = both.ours.headers[Role.PROVIDER]

    published = (await data(api, PUBLISH, headers, input=window(both.ours["provider"])))["appointmentBulkCreate"]

    assert (published["created"], published["userErrors"]) == (4, [])


@pytest.mark.parametrize(
    "more", [{}, {"dryRun": True}, {"mode": "REPLACE_WINDOW"}, {"idempotencyKey": "once"}, {"slotMinutes": 0}]
)
async def test_a_provider_publishes_no_other_providers_times(api: Api, both: Practices, more: dict[str, Any]) -> None:
    before = dump(both.url, both.ours.business)
    wanted = window(both.ours["other provider"], **more)

    refused = (await data(api, PUBLISH, both.ours.headers[Role.PROVIDER], input=wanted))["appointmentBulkCreate"]

    assert [(error["code"], error["field"]) for error in refused["userErrors"]] == [("FORBIDDEN", ["providerId"])]
    assert (refused["created"], refused["appointments"], refused["results"]) == (0, None, [])
    assert dump(both.url, both.ours.business) == before


async def test_a_client_publishes_nothing(api: Api, both: Practices) -> None:
    before = dump(both.url, both.ours.business)

    refused = await send(api, PUBLISH, both.ours.headers[Role.CLIENT], input=window(both.ours["provider"]))

    assert [error["extensions"]["code"] for error in refused.json()["errors"]] == ["FORBIDDEN"]
    assert "data" not in refused.json()
    assert dump(both.url, both.ours.business) == before


async def test_the_key_of_one_request_is_a_new_one_for_somebody_else(api: Api, both: Practices) -> None:
    ours = both.ours
    mine = {"clientId": ours["client"], "appointmentId": ours["free time"], "idempotencyKey": "once"}
    theirs = {"clientId": ours["other client"], "appointmentId": ours["spare time"], "idempotencyKey": "once"}
    others = stranger(both, Role.CLIENT, "other client")

    first, again = [await send(api, RESERVE, ours.headers[Role.CLIENT], input=mine) for _ in range(2)]
    strange = await send(api, RESERVE, others, input=theirs)
    copied = await send(api, RESERVE, others, input=mine)

    made = [answer.json()["data"]["reservationCreate"] for answer in (first, again, strange)]
    assert [payload["userErrors"] for payload in made] == [[], [], []]
    assert made[0]["reservation"] == made[1]["reservation"]
    assert made[0]["reservation"]["id"] != made[2]["reservation"]["id"]
    assert ["idempotentReplay" in answer.json()["extensions"] for answer in (first, again, strange)] == [
        False,
        True,
        False,
    ]
    assert [error["code"] for error in copied.json()["data"]["reservationCreate"]["userErrors"]] == [
        "IDEMPOTENCY_KEY_REUSED"
    ]
