"""Proposals: whom an absence leaves behind is held another provider's time, until they have decided."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.viewer import Role
from server.workers import holds
from server.workers import proposals as loop
from tests import life
from tests.conftest import Api
from tests.keys import another_business, bearer
from tests.queue import refusals
from tests.schedules import key, made
from tests.supply import Supply

Sql = Callable[..., list[tuple[Any, ...]]]
UNKNOWN = UUID("0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000")
PROPOSAL = (
    "id status reason expiresAt version reservation { id status startsAt provider { id } version } hold { id status }"
    " appointment { id startsAt } client { id } provider { id } fromProvider { id }"
)
ERRORS = "userErrors { code field message }"
AWAY = (
    f"mutation ($input: TimeOffCreateInput!) {{ timeOffCreate(input: $input) {{ timeOff {{ id }} proposals {{ {PROPOSAL} }}"
    f" withoutProposal affectedReservations {{ id }} {ERRORS} }} }}"
)
DECIDE = (
    "mutation ($input: Proposal%sInput!) { proposal%s(input: $input) { proposal { " + PROPOSAL + " } " + ERRORS + " } }"
)
FIND = f"query ($id: ID!) {{ proposal(id: $id) {{ {PROPOSAL} }} }}"
LISTED = "query ($f: ProposalFilter) { proposals(filter: $f) { totalCount nodes { id } } }"
EVENTS = "SELECT type FROM events WHERE type LIKE '%%proposal%%' OR type LIKE '%%reassigned%%' OR type LIKE '%%rescheduled%%' ORDER BY seq"


class Practice:
    """Two providers who work on one morning, in hours of which one of the first is booked."""

    def __init__(self, api: Api, sql: Sql) -> None:
        self.api, self.sql = api, sql
        ((self.date,),) = sql("SELECT (current_date + 30)::text")

    async def works(self, name: str, start: str = "09:00", end: str = "12:00") -> str:
        provider = await self.api.provider(name)
        hours = {"start": start, "end": end, "slotMinutes": 60, "timeZone": "UTC"}
        await made(
            self.api, "availabilityRuleCreate", providerId=provider, validFrom=self.date, validUntil=self.date, **hours
        )
        return provider

    def time(self, provider: str, hour: int) -> str:
        ((found,),) = self.sql(
            "SELECT id FROM appointments WHERE provider_id = %s AND starts_at = %s", key(provider), self.at(hour)
        )
        return encode("Appointment", found)

    def at(self, hour: int) -> str:
        return f"{self.date}T{hour:02}:00:00Z"

    async def booked(
        self, provider: str, hour: int, client: str | None = None, *, confirmed: bool = True, **more: Any
    ) -> str:
        done = await self.api.reserve(client or await self.api.client(), self.time(provider, hour), **more)
        identity: str = done["reservation"]["id"]
        if confirmed:
            await self.api.confirm(identity)
        return identity

    async def away(self, provider: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
        """The payload of an absence of the whole morning, with proposals."""
        span = {"startsAt": self.at(0), "endsAt": self.at(23)}
        answer = await self.api.post(AWAY, headers, input={"providerId": provider, **span, "reassign": True, **more})
        assert "errors" not in answer, answer["errors"]
        return answer["data"]["timeOffCreate"]


class Studio(Practice):
    """A practice with massages, for each of which one of its few rooms is needed."""

    def __init__(self, api: Api, sql: Sql) -> None:
        super().__init__(api, sql)
        self.supply = Supply(sql)
        self.massage = self.supply.service("Massage")
        self.room = self.supply.resource("Room", self.massage)

    async def works(self, name: str, start: str = "09:00", end: str = "12:00") -> str:
        provider = await super().works(name, start, end)
        self.supply.offer(provider, self.massage)
        return provider

    async def massaged(self, provider: str, hour: int) -> str:
        return await self.booked(provider, hour, serviceId=self.massage)

    async def walk_in(self, provider: str, hour: int) -> list[str]:
        """Why somebody who comes to the desk is not given a massage."""
        done = await self.api.reserve(
            await self.api.client("Walker"), self.time(provider, hour), serviceId=self.massage
        )
        return [error["code"] for error in done["userErrors"]]

    def used(self) -> list[tuple[Any, ...]]:
        """Who uses which room from when on."""
        return self.sql(
            "SELECT reservation_id, unit, extract(hour FROM busy_from AT TIME ZONE 'UTC')::int FROM resource_claims"
            " ORDER BY busy_from, reservation_id"
        )

    def used_twice(self) -> int:
        """How often two use a room at once who are no reservation with what is proposed for it."""
        ((often,),) = self.sql(
            "SELECT count(*) FROM resource_claims a JOIN resource_claims b ON (a.resource_id, a.unit) ="
            " (b.resource_id, b.unit) AND a.reservation_id <> b.reservation_id"
            " AND tstzrange(a.busy_from, a.busy_until) && tstzrange(b.busy_from, b.busy_until)"
            " WHERE NOT EXISTS (SELECT FROM proposals p WHERE p.status = 'PROPOSED' AND (p.reservation_id, p.hold_id) IN"
            " ((a.reservation_id, b.reservation_id), (b.reservation_id, a.reservation_id)))"
        )
        return int(often)


async def decided(api: Api, way: str, proposal: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
    """The payload of proposalAccept or proposalDecline."""
    answer = await api.post(DECIDE % (way, way), headers, input={"proposalId": proposal, **more})
    assert "errors" not in answer, answer["errors"]
    return answer["data"][f"proposal{way}"]


async def found(api: Api, proposal: str) -> Any:
    return (await api(FIND, id=proposal))["proposal"]


def lapse(sql: Sql) -> None:
    """Let the time of every proposal be over."""
    sql("ALTER TABLE reservations DISABLE TRIGGER keep")
    sql("UPDATE reservations SET expires_at = clock_timestamp() WHERE offered")
    sql("ALTER TABLE reservations ENABLE TRIGGER keep")
    sql("UPDATE proposals SET expires_at = clock_timestamp()")


@pytest.fixture
async def practice(api: Api, sql: Sql) -> Practice:
    return Practice(api, sql)


@pytest.fixture
async def studio(api: Api, sql: Sql) -> Studio:
    return Studio(api, sql)


async def test_whoever_is_left_behind_is_proposed_the_same_time_with_another(
    practice: Practice, api: Api, sql: Sql
) -> None:
    ada, grace = await practice.works("Ada"), await practice.works("Grace")
    charles = await api.client()
    booking = await practice.booked(ada, 10, charles)

    done = await practice.away(ada)

    (proposal,) = done["proposals"]
    assert (done["userErrors"], done["withoutProposal"]) == ([], 0)
    assert done["affectedReservations"] == [{"id": booking}]
    assert (proposal["status"], proposal["version"], proposal["reason"]) == ("PROPOSED", 1, None)
    assert (proposal["provider"], proposal["fromProvider"], proposal["client"]) == (
        {"id": grace},
        {"id": ada},
        {"id": charles},
    )
    assert proposal["appointment"] == {"id": practice.time(grace, 10), "startsAt": practice.at(10)}
    assert (proposal["reservation"]["id"], proposal["reservation"]["provider"]) == (booking, {"id": ada})
    assert proposal["hold"]["status"] == "HELD"
    ((length, waived),) = sql("SELECT expires_at - created_at, lead_waived_by FROM reservations WHERE offered")
    assert timedelta(0) <= timedelta(hours=24) - length < timedelta(seconds=5)
    assert waived == key(proposal["id"])
    assert (await api(f'{{ reservation(id: "{booking}") {{ proposals {{ nodes {{ id }} }} }} }}'))["reservation"] == {
        "proposals": {"nodes": [{"id": proposal["id"]}]}
    }
    ((data,),) = sql("SELECT data FROM events WHERE type = 'scheduling.proposal.created.v1'")
    assert (data["id"], data["reservation_id"]) == (str(key(proposal["id"])), str(key(booking)))


async def test_without_reassign_nobody_is_proposed_anything(practice: Practice, api: Api, sql: Sql) -> None:
    ada, _ = await practice.works("Ada"), await practice.works("Grace")
    await practice.booked(ada, 10)

    done = await practice.away(ada, reassign=False)

    assert (done["proposals"], done["withoutProposal"], len(done["affectedReservations"])) == ([], 0, 1)
    assert sql("SELECT count(*) FROM proposals") == [(0,)]


async def test_the_least_loaded_comes_first_then_the_nearest_time_of_the_day_then_nobody(
    practice: Practice, api: Api, sql: Sql
) -> None:
    ada, grace, mary = [await practice.works(name) for name in ("Ada", "Grace", "Mary")]
    late = await practice.works("Late", "13:00", "15:00")
    await practice.booked(grace, 9)
    bookings = [await practice.booked(ada, hour) for hour in (9, 10, 11)]
    for hour in (9, 10):
        await practice.booked(mary, hour) if hour == 10 else None
    for provider, hour in ((grace, 11), (mary, 11)):
        await practice.booked(provider, hour)

    done = await practice.away(ada)

    chosen = {
        each["reservation"]["id"]: (each["provider"]["id"], each["appointment"]["startsAt"])
        for each in done["proposals"]
    }
    assert chosen[bookings[0]] == (mary, practice.at(9))
    assert chosen[bookings[1]] == (grace, practice.at(10))
    assert chosen[bookings[2]] == (late, practice.at(13))
    assert done["withoutProposal"] == 0


async def test_who_cannot_be_proposed_anything_is_counted(practice: Practice, api: Api) -> None:
    ada, grace = await practice.works("Ada"), await practice.works("Grace", "10:00", "11:00")
    await practice.booked(ada, 9)
    await practice.booked(ada, 10)

    done = await practice.away(ada)

    assert ([each["provider"]["id"] for each in done["proposals"]], done["withoutProposal"]) == ([grace], 1)


async def test_to_accept_moves_the_reservation_and_ends_the_hold(practice: Practice, api: Api, sql: Sql) -> None:
    ada, grace = await practice.works("Ada"), await practice.works("Grace")
    booking = await practice.booked(ada, 10)
    (proposal,) = (await practice.away(ada))["proposals"]

    done = await decided(api, "Accept", proposal["id"])
    again = await decided(api, "Accept", proposal["id"])
    declined = await decided(api, "Decline", proposal["id"])

    accepted = done["proposal"]
    assert (done["userErrors"], accepted["status"]) == ([], "ACCEPTED")
    assert accepted["reservation"] == {
        "id": booking,
        "status": "CONFIRMED",
        "startsAt": practice.at(10),
        "provider": {"id": grace},
        "version": 3,
    }
    assert accepted["hold"]["status"] == "CANCELLED"
    assert again == done
    assert refusals(declined) == [("ILLEGAL_STATE", "proposalId")]
    assert [name for (name,) in sql(EVENTS)] == [
        "scheduling.proposal.created.v1",
        "scheduling.proposal.accepted.v1",
        "scheduling.reservation.reassigned.v1",
    ]
    assert sql("SELECT count(*) FROM reservations WHERE live") == [(1,)]


async def test_to_decline_frees_the_time_and_leaves_the_reservation(practice: Practice, api: Api, sql: Sql) -> None:
    ada, grace = await practice.works("Ada"), await practice.works("Grace")
    booking = await practice.booked(ada, 10)
    (proposal,) = (await practice.away(ada))["proposals"]
    taken = await api.reserve(await api.client(), practice.time(grace, 10))

    done = await decided(api, "Decline", proposal["id"], reason="I want Ada")
    again = await decided(api, "Decline", proposal["id"])
    accepted = await decided(api, "Accept", proposal["id"])
    free = await api.reserve(await api.client(), practice.time(grace, 10))

    assert [error["code"] for error in taken["userErrors"]] == ["SLOT_UNAVAILABLE"]
    assert (done["proposal"]["status"], done["proposal"]["reason"]) == ("DECLINED", "I want Ada")
    assert again == done
    assert refusals(accepted) == [("ILLEGAL_STATE", "proposalId")]
    assert done["proposal"]["reservation"]["provider"] == {"id": ada}
    assert (await api(f'{{ reservation(id: "{booking}") {{ status }} }}'))["reservation"] == {"status": "CONFIRMED"}
    assert free["reservation"]["status"] == "HELD"
    told = sql("SELECT data::text || coalesce(diff::text, '') FROM events WHERE aggregate_id = %s", key(proposal["id"]))
    assert not any("I want" in text for (text,) in told)


async def test_what_is_declined_goes_to_whoever_waits_for_it(practice: Practice, api: Api, sql: Sql) -> None:
    ada, grace = await practice.works("Ada"), await practice.works("Grace")
    await practice.booked(ada, 10)
    (proposal,) = (await practice.away(ada))["proposals"]
    waiting = await api.client("Mary")
    sql(
        "INSERT INTO waitlist_entries (business_id, client_id, provider_id, starts_from, starts_until)"
        " SELECT business_id, id, %s, %s, %s FROM clients WHERE id = %s",
        *(key(grace), practice.at(10), practice.at(11), key(waiting)),
    )

    await decided(api, "Decline", proposal["id"])

    assert sql("SELECT client_id FROM reservations WHERE live AND status = 'HELD'") == [(key(waiting),)]


async def test_to_accept_offers_nothing_to_those_who_wait_but_the_old_time_is_gone(
    practice: Practice, api: Api, sql: Sql
) -> None:
    ada, grace = await practice.works("Ada"), await practice.works("Grace")
    booking = await practice.booked(ada, 10)
    (proposal,) = (await practice.away(ada))["proposals"]
    sql(
        "INSERT INTO waitlist_entries (business_id, client_id, provider_id, starts_from, starts_until)"
        " SELECT business_id, %s, %s, %s, %s FROM clients LIMIT 1",
        *(key(await api.client("Mary")), key(grace), practice.at(10), practice.at(11)),
    )

    done = await decided(api, "Accept", proposal["id"])

    assert (done["userErrors"], done["proposal"]["reservation"]["provider"]) == ([], {"id": grace})
    assert sql("SELECT id FROM reservations WHERE live") == [(key(booking),)]
    assert sql("SELECT status FROM waitlist_entries") == [("WAITING",)]


async def test_a_proposal_ends_when_its_time_is_over_and_so_does_its_hold(
    practice: Practice, api: Api, sql: Sql
) -> None:
    ada, _ = await practice.works("Ada"), await practice.works("Grace")
    await practice.booked(ada, 10)
    (proposal,) = (await practice.away(ada))["proposals"]
    lapse(sql)

    seen = await found(api, proposal["id"])
    refused = [await decided(api, way, proposal["id"]) for way in ("Accept", "Decline")]
    done = await loop.run_once(api.database, asyncio.Event())
    again = await loop.run_once(api.database, asyncio.Event())

    assert (seen["status"], seen["hold"]["status"]) == ("EXPIRED", "EXPIRED")
    assert [refusals(each) for each in refused] == [[("ILLEGAL_STATE", "proposalId")]] * 2
    assert (done, again) == ({"ended": 1}, {"ended": 0})
    assert sql(EVENTS)[-1] == ("scheduling.proposal.expired.v1",)


@pytest.mark.parametrize("way", ["cancelled", "moved"])
async def test_what_is_no_longer_there_to_be_moved_takes_its_proposal_along(
    practice: Practice, api: Api, sql: Sql, way: str
) -> None:
    ada, _, mary = [await practice.works(name) for name in ("Ada", "Grace", "Mary")]
    booking = await practice.booked(ada, 10)
    (proposal,) = (await practice.away(ada))["proposals"]

    if way == "cancelled":
        await api.cancel(booking)
    else:
        elsewhere = key(practice.time(mary, 11))
        sql("UPDATE reservations SET appointment_id = %s WHERE id = %s", elsewhere, key(booking))
    seen = await found(api, proposal["id"])

    assert (seen["status"], seen["hold"]["status"]) == ("DECLINED", "CANCELLED")
    assert refusals(await decided(api, "Accept", proposal["id"])) == [("ILLEGAL_STATE", "proposalId")]


async def test_the_hold_of_a_proposal_is_not_confirmed_by_itself_but_may_be_given_back(
    practice: Practice, api: Api, sql: Sql
) -> None:
    ada, _ = await practice.works("Ada"), await practice.works("Grace")
    await practice.booked(ada, 10)
    (proposal,) = (await practice.away(ada))["proposals"]

    refused = await api.confirm(proposal["hold"]["id"])
    await api.cancel(proposal["hold"]["id"])

    assert refusals(refused)[0][0] == "ILLEGAL_STATE"
    assert (await found(api, proposal["id"]))["status"] == "DECLINED"


async def test_what_is_only_offered_is_not_moved(practice: Practice, api: Api, sql: Sql) -> None:
    ada, grace = await practice.works("Ada"), await practice.works("Grace")
    await practice.booked(ada, 10)
    (proposal,) = (await practice.away(ada))["proposals"]
    offered = {"appointmentId": proposal["appointment"]["id"]}
    before = sql("SELECT id, appointment_id, version FROM reservations ORDER BY id")

    moved = await life.refused(
        api, "reservationReschedule", reservationId=proposal["hold"]["id"], appointmentId=practice.time(grace, 11)
    )
    reassigned = [await life.refused(api, "appointmentReassign", **offered, dryRun=dry) for dry in (True, False)]

    told = [(error["__typename"], error["code"], error["state"], error["field"]) for error in (moved, *reassigned)]
    assert told[0] == ("IllegalStateError", "ILLEGAL_STATE", "HELD", ["reservationId"])
    assert told[1:] == [("IllegalStateError", "ILLEGAL_STATE", "HELD", ["appointmentId"])] * 2
    assert sql("SELECT id, appointment_id, version FROM reservations ORDER BY id") == before


async def test_who_was_proposed_the_time_of_whoever_goes_away_next_is_proposed_another(
    practice: Practice, api: Api, sql: Sql
) -> None:
    ada, grace, bea = [await practice.works(name) for name in ("Ada", "Grace", "Bea")]
    booking = await practice.booked(ada, 10)
    (first,) = (await practice.away(ada))["proposals"]
    away, other = (grace, bea) if first["provider"]["id"] == grace else (bea, grace)

    second = await practice.away(away)

    (proposal,) = second["proposals"]
    assert (proposal["reservation"]["id"], second["withoutProposal"]) == (booking, 0)
    assert (proposal["provider"], proposal["fromProvider"]) == ({"id": other}, {"id": ada})
    ended = await found(api, first["id"])
    assert (ended["status"], ended["hold"]["status"]) == ("EXPIRED", "CANCELLED")
    assert sql("SELECT count(*), count(*) FILTER (WHERE status = 'PROPOSED') FROM proposals") == [(2, 1)]
    accepted = (await decided(api, "Accept", proposal["id"]))["proposal"]
    assert accepted["reservation"]["provider"] == {"id": other}
    assert sql("SELECT count(*) FROM reservations WHERE live") == [(1,)]


async def test_if_nobody_is_left_the_proposal_of_whoever_goes_away_ends(practice: Practice, api: Api, sql: Sql) -> None:
    ada, grace = await practice.works("Ada"), await practice.works("Grace")
    await practice.booked(ada, 10)
    (first,) = (await practice.away(ada))["proposals"]

    second = await practice.away(grace)

    assert (second["proposals"], second["withoutProposal"]) == ([], 1)
    assert (await found(api, first["id"]))["status"] == "EXPIRED"
    assert sql("SELECT provider_id = %s, offered FROM reservations WHERE live", key(ada)) == [(True, False)]


async def test_nobody_is_proposed_a_time_of_somebody_who_is_away(practice: Practice, api: Api, sql: Sql) -> None:
    ada, grace = await practice.works("Ada"), await api.provider("Grace")
    by_hand = (
        "INSERT INTO appointments (business_id, provider_id, starts_at, ends_at)"
        " VALUES (%s, %s, %s::timestamptz, %s::timestamptz + interval '1 hour')"
    )
    sql(by_hand, DEFAULT_BUSINESS, key(grace), practice.at(10), practice.at(10))
    await practice.booked(ada, 10)
    await practice.away(grace)

    done = await practice.away(ada)

    assert (done["proposals"], done["withoutProposal"]) == ([], 1)


async def test_absent_twice_under_one_key_proposes_once(practice: Practice, api: Api, sql: Sql) -> None:
    ada, _ = await practice.works("Ada"), await practice.works("Grace")
    await practice.booked(ada, 10)

    first = await practice.away(ada, idempotencyKey="once")
    again = await practice.away(ada, idempotencyKey="once")
    keys = [await decided(api, "Accept", first["proposals"][0]["id"], idempotencyKey="yes") for _ in range(2)]
    other = await decided(api, "Decline", first["proposals"][0]["id"], idempotencyKey="yes")

    assert first == again
    assert keys[0] == keys[1]
    assert refusals(other) == [("IDEMPOTENCY_KEY_REUSED", "idempotencyKey")]
    assert sql("SELECT count(*) FROM proposals") == [(1,)]


# What a reservation uses itself


async def test_the_room_of_a_reservation_is_not_in_the_way_of_its_own_proposal_but_of_all_others(
    studio: Studio, api: Api
) -> None:
    ada, grace, mary = [await studio.works(name) for name in ("Ada", "Grace", "Mary")]
    booking = await studio.massaged(ada, 10)

    done = await studio.away(ada)
    (proposal,) = done["proposals"]
    both = studio.used()
    during = await studio.walk_in(mary if proposal["provider"]["id"] == grace else grace, 10)
    accepted = await decided(api, "Accept", proposal["id"])
    after = await studio.walk_in(mary if proposal["provider"]["id"] == grace else grace, 10)

    assert (done["withoutProposal"], proposal["appointment"]["startsAt"]) == (0, studio.at(10))
    assert both == sorted([(key(booking), 1, 10), (key(proposal["hold"]["id"]), 1, 10)])
    assert (during, after) == (["SLOT_UNAVAILABLE"], ["SLOT_UNAVAILABLE"])
    assert accepted["proposal"]["reservation"]["provider"] == proposal["provider"]
    assert studio.used() == [(key(booking), 1, 10)]


@pytest.mark.parametrize("way", ["declined", "lapsed"])
async def test_whoever_does_not_accept_keeps_their_room(studio: Studio, api: Api, sql: Sql, way: str) -> None:
    ada, _ = await studio.works("Ada"), await studio.works("Grace")
    booking = await studio.massaged(ada, 10)
    (proposal,) = (await studio.away(ada))["proposals"]
    mary = await studio.works("Mary")

    if way == "declined":
        await decided(api, "Decline", proposal["id"])
    else:
        lapse(sql)
        await holds.run_all(api.database, asyncio.Event())
    kept, meanwhile = studio.used(), await studio.walk_in(mary, 10)
    await api.cancel(booking)

    assert kept == [(key(booking), 1, 10)]
    assert meanwhile == ["SLOT_UNAVAILABLE"]
    assert studio.used() == []
    assert await studio.walk_in(mary, 10) == []


async def test_a_later_time_keeps_the_room_then_as_well_until_one_of_both_is_given_back(
    studio: Studio, api: Api
) -> None:
    ada, _ = await studio.works("Ada"), await studio.works("Grace", "11:00")
    booking = await studio.massaged(ada, 10)
    (proposal,) = (await studio.away(ada))["proposals"]
    mary = await studio.works("Mary")

    during = [await studio.walk_in(mary, hour) for hour in (10, 11)]
    await decided(api, "Accept", proposal["id"])
    after = [await studio.walk_in(mary, hour) for hour in (10, 11)]

    assert proposal["appointment"]["startsAt"] == studio.at(11)
    assert during == [["SLOT_UNAVAILABLE"], ["SLOT_UNAVAILABLE"]]
    assert after == [[], ["SLOT_UNAVAILABLE"]]
    assert studio.used()[1:] == [(key(booking), 1, 11)]
    assert studio.used_twice() == 0


async def test_the_room_of_one_reservation_is_in_the_way_of_the_proposal_of_another(studio: Studio) -> None:
    ada, _ = await studio.works("Ada"), await studio.works("Grace", "11:00")
    first, second = [await studio.massaged(ada, hour) for hour in (10, 11)]

    done = await studio.away(ada)

    (proposal,) = done["proposals"]
    assert (proposal["reservation"]["id"], done["withoutProposal"]) == (second, 1)
    assert [claim for claim in studio.used() if claim[0] == key(first)] == [(key(first), 1, 10)]
    assert studio.used_twice() == 0


@pytest.mark.parametrize(("rooms", "units"), [(1, []), (2, [1, 2])])
async def test_the_room_of_a_group_is_shared_with_its_others_and_never_with_a_proposal(
    studio: Studio, sql: Sql, rooms: int, units: list[int]
) -> None:
    ada, _ = await studio.works("Ada"), await studio.works("Grace", "10:00", "11:00")
    sql("UPDATE resources SET quantity = %s", rooms)
    sql("ALTER TABLE appointments DISABLE TRIGGER USER")
    sql("UPDATE appointments SET capacity = 2 WHERE provider_id = %s", key(ada))
    sql("ALTER TABLE appointments ENABLE TRIGGER USER")
    await studio.massaged(ada, 10)

    done = await studio.away(ada)

    assert (len(done["proposals"]), done["withoutProposal"]) == (len(units) // 2, 1 - len(units) // 2)
    assert sorted(unit for _, unit, _ in studio.used()) == (units or [1])


async def test_what_was_held_beside_a_reservation_never_becomes_a_booking_of_its_own(
    studio: Studio, api: Api, sql: Sql
) -> None:
    ada, _ = await studio.works("Ada"), await studio.works("Grace")
    booking = await studio.massaged(ada, 10)
    (proposal,) = (await studio.away(ada))["proposals"]
    sql("UPDATE proposals SET status = 'DECLINED'")

    refused = await api.confirm(proposal["hold"]["id"])

    assert refusals(refused)[0][0] == "ILLEGAL_STATE"
    assert sql("SELECT id FROM reservations WHERE status = 'CONFIRMED'") == [(key(booking),)]


# Races


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("rival", ["Accept", "Decline"])
async def test_of_two_who_decide_and_one_who_wants_the_room_nobody_is_in_it_twice(
    studio: Studio, api: Api, sql: Sql, rival: str, turn: int
) -> None:
    ada, grace = await studio.works("Ada"), await studio.works("Grace")
    booking = await studio.massaged(ada, 10)
    (proposal,) = (await studio.away(ada))["proposals"]
    mary = await studio.works("Mary")

    async def late(way: str) -> Any:
        await asyncio.sleep(0.002 * turn)
        return await decided(api, way, proposal["id"])

    accepted, _, walk_in = await asyncio.gather(
        decided(api, "Accept", proposal["id"]), late(rival), studio.walk_in(mary, 10)
    )
    ((provider,),) = sql("SELECT provider_id FROM reservations WHERE status = 'CONFIRMED'")

    assert provider == key(grace if accepted["proposal"] else ada)
    assert (await found(api, proposal["id"]))["status"] == ("ACCEPTED" if accepted["proposal"] else "DECLINED")
    assert walk_in == ["SLOT_UNAVAILABLE"]
    assert studio.used() == [(key(booking), 1, 10)]
    assert sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("rival", ["Accept", "Decline", "cancel", "book"])
async def test_of_an_acceptance_and_its_rival_one_comes_first_and_nothing_is_booked_twice(
    practice: Practice, api: Api, sql: Sql, rival: str, turn: int
) -> None:
    ada, grace = await practice.works("Ada"), await practice.works("Grace")
    booking = await practice.booked(ada, 10)
    (proposal,) = (await practice.away(ada))["proposals"]
    walk_in = await api.client("Mary")

    async def other() -> Any:
        await asyncio.sleep(0.002 * turn)
        if rival in ("Accept", "Decline"):
            return await decided(api, rival, proposal["id"])
        if rival == "cancel":
            return await api.cancel(booking)
        return await api.reserve(walk_in, practice.time(grace, 10))

    accepted, told = await asyncio.gather(decided(api, "Accept", proposal["id"]), other())
    ((status, provider),) = sql("SELECT status, provider_id FROM reservations WHERE id = %s", key(booking))
    final = (await found(api, proposal["id"]))["status"]

    assert sql("SELECT count(*) FROM reservations WHERE live AND offered") == [(0,)]
    assert sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [(0,)]
    if accepted["proposal"]:
        assert (final, provider) == ("ACCEPTED", key(grace))
    else:
        assert refusals(accepted) == [("ILLEGAL_STATE", "proposalId")]
        assert (final, provider) == ("DECLINED", key(ada))
    if rival == "cancel":
        assert status == "CANCELLED"
    if rival == "book":
        assert refusals(told)[0][0] == "SLOT_UNAVAILABLE"


# Who may


async def test_a_client_decides_their_own_and_sees_no_other(practice: Practice, api: Api, sql: Sql) -> None:
    ada, grace = await practice.works("Ada"), await practice.works("Grace")
    charles, mary = await api.client(), await api.client("Mary")
    await practice.booked(ada, 9, charles)
    await practice.booked(ada, 10, mary)
    as_charles = await bearer(api, Role.CLIENT, person=charles)
    proposals = {each["client"]["id"]: each["id"] for each in (await practice.away(ada))["proposals"]}

    listed = (await api.post(LISTED, as_charles))["data"]["proposals"]
    strange = await decided(api, "Accept", proposals[mary], as_charles)
    own = await decided(api, "Accept", proposals[charles], as_charles)

    assert listed == {"totalCount": 1, "nodes": [{"id": proposals[charles]}]}
    assert refusals(strange) == [("NOT_FOUND", "proposalId")]
    assert own["proposal"]["reservation"]["provider"] == {"id": grace}
    assert own["proposal"]["fromProvider"] == {"id": ada}


async def test_a_provider_sees_those_from_and_to_them_and_decides_none(practice: Practice, api: Api) -> None:
    ada, grace, mary = [await practice.works(name) for name in ("Ada", "Grace", "Mary")]
    await practice.booked(mary, 9)
    await practice.booked(ada, 10)
    as_ada, as_grace, as_mary = [await bearer(api, Role.PROVIDER, person=each) for each in (ada, grace, mary)]

    (proposal,) = (await practice.away(ada, as_ada))["proposals"]
    seen = [
        (await api.post(FIND, headers, id=proposal["id"]))["data"]["proposal"]
        for headers in (as_ada, as_grace, as_mary)
    ]
    refused = await api.post(DECIDE % ("Accept", "Accept"), as_ada, input={"proposalId": proposal["id"]})

    assert [each and (each["reservation"] is not None, each["hold"] is not None) for each in seen] == [
        (True, False),
        (False, True),
        None,
    ]
    assert [error["extensions"]["code"] for error in refused["errors"]] == ["FORBIDDEN"]


async def test_proposals_of_another_business_are_nobodys(practice: Practice, api: Api, sql: Sql) -> None:
    ada, _ = await practice.works("Ada"), await practice.works("Grace")
    await practice.booked(ada, 10)
    (proposal,) = (await practice.away(ada))["proposals"]
    another_business(sql)
    strange = await bearer(api, Role.ADMIN, business=UUID("00000000-0000-7000-8000-0000000000b2"))

    refused = [await decided(api, way, proposal["id"], strange) for way in ("Accept", "Decline")]
    listed = (await api.post(LISTED, strange))["data"]["proposals"]

    assert [refusals(each) for each in refused] == [[("NOT_FOUND", "proposalId")]] * 2
    assert listed["totalCount"] == 0
    assert (await found(api, proposal["id"]))["status"] == "PROPOSED"


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        ({"proposalId": encode("Proposal", UNKNOWN)}, ("NOT_FOUND", "proposalId")),
        ({"proposalId": encode("Client", UNKNOWN)}, ("NOT_FOUND", "proposalId")),
        ({"proposalId": "x"}, ("INVALID_INPUT", "proposalId")),
        ({"proposalId": encode("Proposal", UNKNOWN), "reason": "x" * 2001}, ("INVALID_INPUT", "reason")),
        ({"proposalId": encode("Proposal", UNKNOWN), "idempotencyKey": "\n"}, ("INVALID_INPUT", "idempotencyKey")),
    ],
    ids=str,
)
async def test_a_decision_that_cannot_be_is_refused(api: Api, wanted: dict[str, Any], refused: tuple[str, str]) -> None:
    answer = await api.post(DECIDE % ("Decline", "Decline"), input=wanted)

    assert refusals(answer["data"]["proposalDecline"]) == [refused]


async def test_proposals_are_found_by_what_they_are_about(practice: Practice, api: Api) -> None:
    ada, grace = await practice.works("Ada"), await practice.works("Grace")
    booking = await practice.booked(ada, 10)
    done = await practice.away(ada)
    (proposal,) = done["proposals"]

    async def count(**wanted: Any) -> int:
        return int((await api(LISTED, f=wanted))["proposals"]["totalCount"])

    assert await count(reservationId=booking) == await count(providerId=grace) == 1
    assert await count(clientId=proposal["client"]["id"]) == await count(timeOffId=done["timeOff"]["id"]) == 1
    assert await count(status=["PROPOSED"]) == 1
    assert await count(status=["ACCEPTED", "EXPIRED"]) == await count(providerId=ada) == 0
