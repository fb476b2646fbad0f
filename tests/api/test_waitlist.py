"""The waiting list: what becomes free is held for whoever has waited the longest, by the statement that frees it."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.viewer import Role
from resolvers import waitlist
from resolvers.waitlist import offer_all
from server.workers import waitlist as loop
from tests.conftest import Api
from tests.keys import another_business, bearer
from tests.queue import ENTER, FIND, Queue, entered, entry, left, refusals
from tests.supply import key, soon

Sql = Callable[..., list[tuple[Any, ...]]]
UNKNOWN = UUID("0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000")
EVENTS = "SELECT split_part(type, '.', 2) || '.' || split_part(type, '.', 3), data FROM events WHERE type LIKE 'scheduling.waitlist%%' ORDER BY seq"
LISTED = "query ($f: WaitlistEntryFilter) { waitlistEntries(filter: $f) { totalCount nodes { id status position } } }"


async def test_a_wish_waits_until_its_time_is_freed_and_is_offered_then(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    held = queue.hold()
    wish = queue.wish()

    before = (await entered(api, wish))["waitlistEntry"]
    unmoved = await entry(api, before["id"])
    await api.cancel(encode("Reservation", held))
    after = await entry(api, before["id"])

    assert before == unmoved
    assert (before["status"], before["position"], before["version"], before["offer"]) == ("WAITING", 1, 1, None)
    assert (before["client"], before["provider"]) == ({"id": wish["clientId"]}, {"id": queue.ada})
    assert (before["service"], before["location"]) == (None, None)
    assert (before["startsFrom"], before["startsUntil"]) == (wish["startsFrom"], wish["startsUntil"])
    assert (after["status"], after["position"], after["offer"]["status"]) == ("OFFERED", None, "HELD")
    assert queue.live() == [(key(wish["clientId"]), True)]
    ((hold, expires_at, starts_at, ends_at),) = sql(
        "SELECT id, expires_at, starts_at, ends_at FROM reservations WHERE offered"
    )
    assert key(after["offer"]["id"]) == hold
    (created, offered) = sql(EVENTS)
    assert (created[0], offered[0]) == ("waitlist_entry.created", "waitlist_entry.offered")
    assert {**offered[1], "expires_at": None, "starts_at": None, "ends_at": None} == {
        "id": str(key(before["id"])),
        "client_id": str(key(wish["clientId"])),
        "reservation_id": str(hold),
        "appointment_id": str(key(queue.time)),
        "provider_id": str(key(queue.ada)),
        "starts_at": None,
        "ends_at": None,
        "expires_at": None,
        "version": 2,
    }
    assert [offered[1][name][:19] for name in ("expires_at", "starts_at", "ends_at")] == [
        f"{at:%Y-%m-%dT%H:%M:%S}" for at in (expires_at, starts_at, ends_at)
    ]


async def test_to_confirm_what_is_offered_is_to_accept_it(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    held = queue.hold()
    made = (await entered(api, queue.wish()))["waitlistEntry"]
    await api.cancel(encode("Reservation", held))
    offer = (await entry(api, made["id"]))["offer"]

    confirmed = await api.confirm(offer["id"])
    accepted = await entry(api, made["id"])
    await api.cancel(offer["id"])
    later = await entry(api, made["id"])

    assert confirmed["reservation"]["status"] == "CONFIRMED"
    assert (accepted["status"], accepted["offer"]["status"]) == ("ACCEPTED", "CONFIRMED")
    assert (later["status"], later["offer"]["status"]) == ("ACCEPTED", "CANCELLED")
    assert [name for name, _ in sql(EVENTS)] == [
        f"waitlist_entry.{each}" for each in ("created", "offered", "accepted")
    ]


@pytest.mark.parametrize("how", ["cancel", "lapse", "lapse under a walk-in"])
async def test_who_does_not_accept_keeps_their_place_and_the_next_is_offered_it(api: Api, sql: Sql, how: str) -> None:
    queue = Queue(sql)
    held = queue.hold(lapsed=how != "cancel")
    (first, second) = queue.waiting(2)
    walk_in = queue.client()

    async def given_up(reservation: UUID) -> None:
        if how == "cancel":
            await api.cancel(encode("Reservation", reservation))
        elif how == "lapse":
            sql("UPDATE reservations SET status = 'EXPIRED' WHERE id = %s", reservation)
        else:
            refused = await api.reserve(walk_in, queue.time)
            assert [error["code"] for error in refused["userErrors"]] == ["SLOT_UNAVAILABLE"]

    sql("UPDATE businesses SET hold_time = %s", "00:30:00" if how == "cancel" else "1 s")
    await given_up(held)
    given = queue.live()
    if how != "cancel":
        sql("SELECT pg_sleep_until(expires_at) FROM reservations WHERE offered")
        sql("UPDATE businesses SET hold_time = '00:30:00'")
    await given_up(sql("SELECT id FROM reservations WHERE offered")[0][0])
    then = queue.live()

    assert given == [(first[1], True)]
    assert then == [(second[1], True)]
    assert queue.entries() == ["WAITING", "OFFERED"]
    assert sql("SELECT count(*) FROM waitlist_offers") == [(2,)]


async def test_when_all_have_been_offered_it_it_is_anybodys(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    held = queue.hold()
    queue.waiting(2)
    queue.cancel(held)
    for _ in range(2):
        sql("UPDATE reservations SET status = 'CANCELLED' WHERE live")

    assert (queue.live(), queue.entries()) == ([], ["WAITING", "WAITING"])
    assert await offer_all(api.database, DEFAULT_BUSINESS) == 0
    done = await api.reserve(queue.client(), queue.time)

    assert done["reservation"]["status"] == "HELD"
    assert queue.entries() == ["WAITING", "WAITING"]


async def test_a_lapsed_offer_is_seen_as_such_before_anybody_notes_it(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    held = queue.hold()
    made = (await entered(api, queue.wish()))["waitlistEntry"]
    sql("UPDATE businesses SET hold_time = '0.001 s'")
    queue.cancel(held)
    sql("SELECT pg_sleep(0.002)")

    seen = await entry(api, made["id"])
    listed = await api(LISTED, f={"status": ["OFFERED"]})

    assert queue.entries() == ["OFFERED"]
    assert (seen["status"], seen["offer"]) == ("WAITING", None)
    assert listed["waitlistEntries"]["totalCount"] == 0


async def test_no_walk_in_gets_past_those_who_wait_however_the_time_became_free(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    ((_, client),) = queue.waiting(1)

    refused = await api.reserve(queue.client(), queue.time)

    assert [error["code"] for error in refused["userErrors"]] == ["SLOT_UNAVAILABLE"]
    assert queue.live() == [(client, True)]


async def test_whose_turn_it_is_may_come_themselves(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    ((_, client),) = queue.waiting(1)

    done = await api.reserve(encode("Client", client), queue.time)

    assert done["reservation"]["status"] == "HELD"
    assert queue.live() == [(client, False)]


async def test_whoever_gives_a_time_back_is_not_offered_it(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    charles = queue.client()
    held = (await api.reserve(charles, queue.time))["reservation"]["id"]
    await entered(api, queue.wish(charles))
    other = (await entered(api, queue.wish()))["waitlistEntry"]["client"]["id"]

    await api.cancel(held)
    assert queue.live() == [(key(other), True)]
    sql("UPDATE reservations SET status = 'CANCELLED' WHERE live")

    assert await offer_all(api.database, DEFAULT_BUSINESS) == 0
    assert queue.live() == []


async def test_who_is_elsewhere_at_that_time_is_passed_over(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    held = queue.hold()
    (busy, free) = queue.waiting(2)
    elsewhere = queue.appointment(queue.provider(), queue.start + timedelta(minutes=30))
    assert (await api.reserve(encode("Client", busy[1]), elsewhere))["reservation"]["status"] == "HELD"

    queue.cancel(held)

    assert queue.entries() == ["WAITING", "OFFERED"]
    assert (free[1], True) in queue.live()


@pytest.mark.parametrize(
    ("wish", "fits"),
    [
        ({}, True),
        ({"providerId": "another"}, False),
        ({"locationId": "here"}, True),
        ({"locationId": "there"}, False),
        ({"providerId": None, "serviceId": "given"}, True),
        ({"serviceId": "given"}, True),
        ({"serviceId": "long"}, False),
        ({"serviceId": "strange"}, False),
        ({"serviceId": "skilled"}, False),
        ({"serviceId": "early"}, False),
        ({"serviceId": "near"}, False),
        ({"startsFrom": timedelta(0)}, True),
        ({"startsFrom": timedelta(microseconds=1)}, False),
        ({"startsUntil": timedelta(0)}, False),
        ({"startsUntil": timedelta(microseconds=1)}, True),
    ],
    ids=str,
)
async def test_only_what_fits_the_wish_is_offered(api: Api, sql: Sql, wish: dict[str, Any], fits: bool) -> None:
    queue = Queue(sql)
    here, there = queue.location("Here"), queue.location("There")
    time = queue.appointment(queue.ada, queue.start + timedelta(hours=3), location_id=here)
    services = {
        "given": queue.service("given"),
        "long": queue.service("long", duration=timedelta(hours=2)),
        "skilled": queue.service("skilled"),
        "early": queue.service("early", lead_time=timedelta(days=10)),
        "near": queue.service("near", maximum_horizon=timedelta(days=1)),
    }
    for service in services.values():
        queue.offer(queue.ada, service)
    services["strange"] = queue.service("strange")
    queue.skill("cutting", needed_by=services["skilled"])
    names = {"another": queue.provider(), "here": here, "there": there, **services}
    at = queue.start + timedelta(hours=3)
    meant = {
        name: (at + value).isoformat() if isinstance(value, timedelta) else names.get(value, value)
        for name, value in wish.items()
    }
    held = queue.hold(time)
    made = await entered(api, {**queue.wish(), **meant})
    assert made["userErrors"] == []

    queue.cancel(held)

    assert queue.entries() == ["OFFERED" if fits else "WAITING"]
    if fits and "serviceId" in meant:
        assert sql("SELECT service_id FROM reservations WHERE live") == [(key(meant["serviceId"]),)]


async def test_a_seat_of_a_group_is_offered_and_so_is_what_a_room_was_needed_for(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    service = queue.service("yoga")
    queue.offer(queue.ada, service)
    queue.resource("hall", needed_by=service)
    group = queue.appointment(queue.ada, soon(6), capacity=2, service_id=service)
    one, _ = queue.hold(group), queue.hold(group)
    ((_, client),) = queue.waiting(1)

    queue.cancel(one)

    assert (client, True) in queue.live()
    assert sql("SELECT seat FROM reservations WHERE live ORDER BY seat") == [(1,), (2,)]
    assert sql("SELECT count(*), count(DISTINCT unit) FROM resource_claims") == [(2, 1)]


async def test_a_reservation_that_is_moved_away_frees_its_time_for_the_next(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    other = queue.appointment(queue.provider(), queue.start)
    held = queue.hold()
    ((_, client),) = queue.waiting(1)

    sql("UPDATE reservations SET appointment_id = %s WHERE id = %s", key(other), held)

    assert (client, True) in queue.live()
    assert len(queue.live()) == 2


async def test_what_is_published_later_is_offered_by_the_worker_in_order(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    queue.hold()
    (first, second, _) = queue.waiting(3)
    times = [queue.appointment(queue.ada, queue.start + timedelta(hours=hour)) for hour in (2, 4)]

    done = await loop.run_once(api.database, asyncio.Event())
    again = await loop.run_once(api.database, asyncio.Event())

    assert (done, again) == ({"ended": 0, "offered": 2}, {"ended": 0, "offered": 0})
    assert queue.entries() == ["OFFERED", "OFFERED", "WAITING"]
    assert sql("SELECT client_id, appointment_id FROM reservations WHERE offered ORDER BY starts_at") == [
        (first[1], key(times[0])),
        (second[1], key(times[1])),
    ]


async def test_several_workers_offer_a_time_once(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    queue.waiting(5)

    done = await asyncio.gather(*(loop.run_once(api.database, asyncio.Event()) for _ in range(6)))

    assert sum(each["offered"] for each in done) == 1
    assert queue.entries() == ["OFFERED", *["WAITING"] * 4]


async def test_who_waits_too_long_waits_no_more(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    sql("UPDATE businesses SET lead_time = '0'")
    made = (await entered(api, queue.wish()))["waitlistEntry"]
    sql("UPDATE waitlist_entries SET starts_from = now() - interval '2 h', starts_until = now() - interval '1 h'")

    seen = await entry(api, made["id"])
    done = await loop.run_once(api.database, asyncio.Event())

    assert (seen["status"], seen["position"]) == ("EXPIRED", None)
    assert (done["ended"], queue.entries()) == (1, ["EXPIRED"])
    assert refusals(await left(api, made["id"])) == [("ILLEGAL_STATE", "entryId")]


async def test_the_position_counts_those_who_might_be_offered_the_same(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    other, service = queue.provider(), queue.service()
    wishes: list[dict[str, Any]] = [
        {},
        {"providerId": other},
        {"serviceId": service},
        {"providerId": None, "serviceId": service},
        {
            "startsFrom": (soon(0) + timedelta(days=20)).isoformat(),
            "startsUntil": (soon(0) + timedelta(days=21)).isoformat(),
        },
        {},
    ]
    made = [(await entered(api, queue.wish(**wish)))["waitlistEntry"] for wish in wishes]

    assert [each["position"] for each in made] == [1, 1, 2, 4, 1, 4]
    await left(api, made[0]["id"])

    listed = (await api(LISTED))["waitlistEntries"]["nodes"]
    assert [each["id"] for each in listed] == [each["id"] for each in made]
    assert [each["position"] for each in listed] == [None, 1, 1, 3, 1, 3]


# Leaving


async def test_to_leave_gives_back_what_is_offered_and_the_next_gets_it(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    held = queue.hold()
    made = (await entered(api, queue.wish()))["waitlistEntry"]
    ((_, second),) = queue.waiting(1)
    queue.cancel(held)

    gone = await left(api, made["id"])
    again = await left(api, made["id"])

    assert gone["userErrors"] == again["userErrors"] == []
    assert gone == again
    assert (gone["waitlistEntry"]["status"], gone["waitlistEntry"]["offer"]) == ("CANCELLED", None)
    assert queue.live() == [(second, True)]
    assert queue.entries() == ["CANCELLED", "OFFERED"]
    assert sql("SELECT status, cancelled_by FROM reservations WHERE offered ORDER BY id LIMIT 1") == [
        ("CANCELLED", "ADMIN")
    ]


async def test_who_has_accepted_leaves_no_more(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    held = queue.hold()
    made = (await entered(api, queue.wish()))["waitlistEntry"]
    await api.cancel(encode("Reservation", held))
    await api.confirm((await entry(api, made["id"]))["offer"]["id"])

    refused = await left(api, made["id"])

    assert refusals(refused) == [("ILLEGAL_STATE", "entryId")]
    assert len(queue.live()) == 1


async def test_a_client_who_is_erased_waits_for_nothing(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    held = queue.hold()
    wish = queue.wish()
    made = [(await entered(api, wish))["waitlistEntry"] for _ in range(2)]
    other = (await entered(api, queue.wish()))["waitlistEntry"]
    await api.cancel(encode("Reservation", held))

    erase = "mutation ($input: ClientEraseInput!) { clientErase(input: $input) { client { id } userErrors { code } } }"
    done = await api(erase, input={"clientId": wish["clientId"]})

    assert done["clientErase"]["userErrors"] == []
    assert [(await entry(api, each["id"]))["status"] for each in made] == ["CANCELLED", "CANCELLED"]
    assert queue.live() == [(key(other["client"]["id"]), True)]
    assert refusals(await entered(api, queue.wish(wish["clientId"]))) == [("NOT_FOUND", "clientId")]


# What is refused


@pytest.mark.parametrize(
    ("wish", "refused"),
    [
        ({"providerId": None}, ("INVALID_INPUT", "serviceId")),
        (
            {"startsUntil": "2027-05-03T09:00:00Z", "startsFrom": "2027-05-03T09:00:00Z"},
            ("INVALID_INPUT", "startsUntil"),
        ),
        (
            {"startsUntil": "2028-05-03T09:00:00.1Z", "startsFrom": "2027-05-03T09:00:00Z"},
            ("INVALID_INPUT", "startsUntil"),
        ),
        (
            {"startsUntil": "2020-05-03T09:00:00Z", "startsFrom": "2020-05-02T09:00:00Z"},
            ("INVALID_INPUT", "startsUntil"),
        ),
        ({"clientId": encode("Client", UNKNOWN)}, ("NOT_FOUND", "clientId")),
        ({"clientId": encode("Provider", UNKNOWN)}, ("NOT_FOUND", "clientId")),
        ({"clientId": "x"}, ("INVALID_INPUT", "clientId")),
        ({"providerId": encode("Provider", UNKNOWN)}, ("NOT_FOUND", "providerId")),
        ({"serviceId": encode("Service", UNKNOWN)}, ("NOT_FOUND", "serviceId")),
        ({"locationId": encode("Location", UNKNOWN)}, ("NOT_FOUND", "locationId")),
        ({"idempotencyKey": ""}, ("INVALID_INPUT", "idempotencyKey")),
        ({"idempotencyKey": "x" * 256}, ("INVALID_INPUT", "idempotencyKey")),
    ],
    ids=str,
)
async def test_a_wish_that_cannot_be_is_refused(
    api: Api, sql: Sql, wish: dict[str, Any], refused: tuple[str, str]
) -> None:
    queue = Queue(sql)

    done = await entered(api, queue.wish(**wish))

    assert refusals(done) == [refused]
    assert (done["waitlistEntry"], queue.entries()) == (None, [])


@pytest.mark.parametrize("instant", ["2027-05-03T09:00:00", "2027-02-29T09:00:00Z", "9999-05-03T09:00:00Z", 1], ids=str)
async def test_what_is_no_instant_is_no_span(api: Api, sql: Sql, instant: Any) -> None:
    queue = Queue(sql)

    answer = await api.post(ENTER, input=queue.wish(startsFrom=instant))

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["INVALID_INPUT"]
    assert queue.entries() == []


async def test_a_client_waits_for_ten_things_at_once(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    charles = queue.client()

    answers = await asyncio.gather(*(entered(api, queue.wish(charles)) for _ in range(14)))
    made = [each["waitlistEntry"]["id"] for each in answers if each["waitlistEntry"]]
    (error, *_) = [error for each in answers for error in each["userErrors"]]
    await left(api, made[0])
    after = await entered(api, queue.wish(charles))

    assert len(made) == 10
    assert (error["__typename"], error["code"], error["limit"]) == ("TooManyEntriesError", "TOO_MANY_ENTRIES", 10)
    assert after["userErrors"] == []


async def test_twins_at_once_wait_once(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    wish = queue.wish(idempotencyKey="once")

    answers = await asyncio.gather(*(api.post(ENTER, input=wish) for _ in range(5)))
    other = await entered(api, {**wish, "locationId": queue.location()})
    keys = await asyncio.gather(
        *(
            left(api, answers[0]["data"]["waitlistEntryCreate"]["waitlistEntry"]["id"], idempotencyKey="gone")
            for _ in range(4)
        )
    )

    assert len({answer["data"]["waitlistEntryCreate"]["waitlistEntry"]["id"] for answer in answers}) == 1
    assert sorted("extensions" in answer for answer in answers) == [False, *[True] * 4]
    assert refusals(other) == [("IDEMPOTENCY_KEY_REUSED", "idempotencyKey")]
    assert all(each == keys[0] for each in keys)
    assert queue.entries() == ["CANCELLED"]


# Who sees what


async def test_a_client_waits_for_themselves_and_sees_no_other(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    charles, grace = queue.client(), queue.client()
    as_charles = await bearer(api, Role.CLIENT, person=charles)
    theirs = (await entered(api, queue.wish(grace)))["waitlistEntry"]

    mine = (await entered(api, queue.wish(charles), as_charles))["waitlistEntry"]
    not_mine = await entered(api, queue.wish(grace), as_charles)
    not_left = await left(api, theirs["id"], as_charles)
    listed = (await api.post(LISTED, as_charles))["data"]["waitlistEntries"]
    hidden = await api.post(FIND, as_charles, id=theirs["id"])

    assert mine["position"] == 2
    assert refusals(not_mine) == [("NOT_FOUND", "clientId")]
    assert refusals(not_left) == [("NOT_FOUND", "entryId")]
    assert [each["id"] for each in listed["nodes"]] == [mine["id"]]
    assert [error["extensions"]["code"] for error in hidden["errors"]] == ["NOT_FOUND"]
    assert queue.entries() == ["WAITING", "WAITING"]


@pytest.mark.parametrize("role", [Role.PROVIDER, Role.OPERATOR])
async def test_a_provider_is_not_told_who_waits(api: Api, sql: Sql, role: Role) -> None:
    queue = Queue(sql)
    await entered(api, queue.wish())
    headers = await bearer(api, role, **({"person": queue.ada} if role is Role.PROVIDER else {}))

    for document, variables in ((LISTED, {}), (ENTER, {"input": queue.wish()})):
        answer = await api.post(document, headers, **variables)
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
    assert queue.entries() == ["WAITING"]


async def test_nobody_waits_in_another_business(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    another_business(sql)
    ((stranger,),) = sql("SELECT id FROM clients WHERE first_name = 'No'")
    insert = (
        "INSERT INTO waitlist_entries (business_id, client_id, provider_id, starts_from, starts_until)"
        " SELECT business_id, id, id, now(), now() + '14 days' FROM clients WHERE first_name = 'No' RETURNING id"
    )
    theirs = encode("WaitlistEntry", sql(insert)[0][0])

    refused = [
        await entered(api, queue.wish(encode("Client", stranger))),
        await entered(api, queue.wish(providerId=encode("Provider", stranger))),
        await left(api, theirs),
    ]
    queue.cancel(queue.hold())

    assert [refusals(each) for each in refused] == [
        [("NOT_FOUND", "clientId")],
        [("NOT_FOUND", "providerId")],
        [("NOT_FOUND", "entryId")],
    ]
    assert (await api(LISTED))["waitlistEntries"]["nodes"] == []
    assert (queue.live(), queue.entries()) == ([], ["WAITING"])
    assert await waitlist.waiting_businesses(api.database) != [DEFAULT_BUSINESS]


async def test_entries_are_found_by_what_they_wait_for(api: Api, sql: Sql) -> None:
    queue = Queue(sql)
    service = queue.service()
    one = (await entered(api, queue.wish()))["waitlistEntry"]
    two = (await entered(api, queue.wish(serviceId=service, providerId=None)))["waitlistEntry"]
    await left(api, one["id"])

    async def found(**wanted: Any) -> list[str]:
        return [each["id"] for each in (await api(LISTED, f=wanted))["waitlistEntries"]["nodes"]]

    assert await found(providerId=queue.ada) == [one["id"]]
    assert await found(serviceId=service) == [two["id"]]
    assert await found(clientId=two["client"]["id"]) == [two["id"]]
    assert await found(status=["CANCELLED"]) == [one["id"]]
    assert await found(status=["WAITING", "CANCELLED"]) == [one["id"], two["id"]]
