"""Erasure: of whoever is forgotten no table keeps a word, nothing of theirs stays open, and an export knew all of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from tests.conftest import Api
from tests.supply import Supply, key, soon

Sql = Callable[..., list[tuple[Any, ...]]]
ERASE = "mutation ($id: ID!) { clientErase(input: {clientId: $id}) { userErrors { code } } }"
EXPORT = "mutation ($id: ID!) { clientExport(input: {clientId: $id}) { export userErrors { code } } }"
DECLINE = "mutation ($input: ProposalDeclineInput!) { proposalDecline(input: $input) { proposal { reason } userErrors { code } } }"
AWAY = (
    "mutation ($input: TimeOffCreateInput!) { timeOffCreate(input: $input) { proposals { id } userErrors { code } } }"
)
FEED = "mutation ($input: CalendarFeedCreateInput!) { calendarFeedCreate(input: $input) { url userErrors { code } } }"
WAIT = (
    "mutation ($input: WaitlistEntryCreateInput!) { waitlistEntryCreate(input: $input)"
    " { waitlistEntry { id } userErrors { code } } }"
)
WORD = "Zebulonquirk"
TEXTUAL = ("text", "json", "jsonb", "bytea", "character varying", "ARRAY", "citext")
# Every column that may hold words, of every table that leads to a client: why nothing of theirs is left in it.
CODE, PROGRAM = "one of a few words of ours", "written by a program, and never from what somebody said"
HANDLED = {
    "api_keys.name": "becomes a placeholder",
    "api_keys.role": CODE,
    "api_keys.scopes": CODE,
    "api_keys.secret_hash": "of a random secret, which is revoked",
    "calendar_feeds.secret_hash": "of a random secret, which is revoked",
    "clients.first_name": "becomes a placeholder",
    "clients.last_name": "becomes a placeholder",
    "clients.email": "emptied",
    "clients.phone": "emptied",
    "clients.time_zone": "emptied",
    "clients.locale": "emptied",
    "events.type": CODE,
    "events.actor": "who did it: the id of a key or of a token's subject, which the history of a business is kept for",
    "events.correlation_id": PROGRAM,
    "events.data": "ids, instants and statuses; see tests/api/test_disclosure.py",
    "events.diff": "that a text was changed, and never from what to what",
    "notification_preferences.channel": "deleted",
    "notification_preferences.topic": "deleted",
    "notifications.channel": CODE,
    "notifications.topic": CODE,
    "notifications.template": CODE,
    "notifications.status": CODE,
    "notifications.problem": PROGRAM,
    "notifications.subject": "emptied",
    "notifications.text": "emptied",
    "passed_over.consumer": CODE,
    "passed_over.problem": CODE,
    "proposals.status": CODE,
    "proposals.reason": "emptied",
    "reservations.note": "emptied",
    "reservations.status": CODE,
    "reservations.cancel_reason": "emptied",
    "reservations.currency": CODE,
    "reservations.approved_by": "who approved it: nobody's client",
    "reservations.cancelled_by": CODE,
    "waitlist_entries.status": CODE,
    "webhook_attempts.error": PROGRAM,
    "webhook_deliveries.event_type": CODE,
    "webhook_deliveries.status": CODE,
    "webhook_deliveries.last_error": PROGRAM,
}
EMPTIED = [name for name, why in HANDLED.items() if why == "emptied"]
# A table leads to a client by a foreign key, however long the way is, or by a key that is none.
EVERY_COLUMN = """
WITH RECURSIVE led AS (
    SELECT 'clients'::text AS name
     UNION
    SELECT table_name FROM information_schema.columns
     WHERE table_schema = 'public'
       AND column_name IN ('client_id', 'person_id', 'reservation_id', 'aggregate_id', 'recipient_id')
     UNION
    SELECT k.conrelid::regclass::text FROM led JOIN pg_constraint k ON k.contype = 'f' AND k.confrelid = led.name::regclass)
SELECT c.table_name || '.' || c.column_name FROM information_schema.columns c
 WHERE c.table_schema = 'public' AND c.table_name IN (SELECT name FROM led) AND c.data_type = ANY (%s)
"""


def rows_with(sql: Sql, word: str) -> Iterator[str]:
    """Every column of the whole database in which a word stands."""
    named = sql(
        "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    for table, column in named:
        if sql(f'SELECT 1 FROM "{table}" WHERE "{column}"::text ILIKE %s', f"%{word}%"):
            yield f"{table}.{column}"


class Forgotten:
    """A client of whom there is something everywhere, with their word wherever one may stand."""

    def __init__(self, api: Api, sql: Sql) -> None:
        self.api, self.sql, self.supply = api, sql, Supply(sql)

    async def mutate(self, document: str, **wanted: Any) -> Any:
        (payload,) = (await self.api(document, input=wanted)).values()
        assert payload["userErrors"] == []
        return payload

    async def known(self) -> "Forgotten":
        ada, bea = (self.supply.provider() for _ in range(2))
        first, second = soon(3, 9), soon(4, 9)
        times = {at: [self.supply.appointment(who, at, 60) for who in (ada, bea)] for at in (first, second)}
        self.client = await self.api.client(WORD, WORD)
        for at in (first, second):
            held = (await self.api.reserve(self.client, times[at][0], note=WORD))["reservation"]["id"]
            await self.api.confirm(held)
        away = {"startsAt": first.isoformat(), "endsAt": soon(5, 9).isoformat(), "reassign": True}
        self.proposals = [each["id"] for each in (await self.mutate(AWAY, providerId=ada, **away))["proposals"]]
        await self.mutate(DECLINE, proposalId=self.proposals[0], reason=f"{WORD} is in hospital")
        self.url = (await self.mutate(FEED, clientId=self.client))["url"]
        span = {"startsFrom": soon(6, 9).isoformat(), "startsUntil": soon(7, 9).isoformat()}
        self.entry = (await self.mutate(WAIT, clientId=self.client, providerId=bea, **span))["waitlistEntry"]["id"]
        ((self.visit,), (self.series,)) = self._bundles()
        return self

    def _bundles(self) -> tuple[tuple[str], tuple[str]]:
        whose = DEFAULT_BUSINESS, key(self.client)
        ((visit,),) = self.sql("INSERT INTO visits (business_id, client_id) VALUES (%s, %s) RETURNING id", *whose)
        ((series,),) = self.sql(
            "INSERT INTO reservation_series (business_id, client_id, every_weeks, count) VALUES (%s, %s, 1, 2) RETURNING id",
            *whose,
        )
        return (encode("Visit", visit),), (encode("ReservationSeries", series),)

    def plant(self) -> None:
        """Write the word where the API does not take it, past every rule, so that there is something to be emptied."""
        for name in EMPTIED:
            table, column = name.split(".")
            whose = "id" if table == "clients" else "client_id"
            self.sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            self.sql(f"UPDATE {table} SET {column} = %s WHERE {whose} = %s", WORD, key(self.client))
            self.sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.fixture
async def forgotten(api: Api, sql: Sql) -> Forgotten:
    return await Forgotten(api, sql).known()


def test_every_text_that_leads_to_a_client_is_told_with_what_becomes_of_it(sql: Sql) -> None:
    leading = {name for (name,) in sql(EVERY_COLUMN, list(TEXTUAL))}

    assert leading == set(HANDLED)


async def test_whoever_is_forgotten_leaves_no_word_in_any_column(api: Api, sql: Sql, forgotten: Forgotten) -> None:
    sql(
        "INSERT INTO notifications (business_id, event_id, channel, topic, template, client_id, reservation_id, status)"
        " SELECT business_id, id, 'EMAIL', 'BOOKING', 'CONFIRMED', client_id, id, 'SENT' FROM reservations LIMIT 1"
    )
    forgotten.plant()
    planted = set(rows_with(sql, WORD))

    done = await api(ERASE, id=forgotten.client)

    assert done["clientErase"]["userErrors"] == []
    assert planted == {*EMPTIED, "clients.first_name", "clients.last_name"}
    assert list(rows_with(sql, WORD)) == []


async def test_nothing_of_a_forgotten_client_stays_open(api: Api, sql: Sql, forgotten: Forgotten) -> None:
    before = sql("SELECT status FROM proposals ORDER BY id")
    path = forgotten.url.removeprefix("http://localhost:8000")
    assert (await api.http.get(path)).status_code == 200

    await api(ERASE, id=forgotten.client)

    assert before == [("DECLINED",), ("PROPOSED",)]
    assert sql("SELECT status, reason FROM proposals ORDER BY id") == [("DECLINED", None)] * 2
    assert sql("SELECT status FROM waitlist_entries") == [("CANCELLED",)]
    assert sql("SELECT DISTINCT status FROM reservations") == [("CANCELLED",)]
    assert sql("SELECT revoked_at IS NOT NULL FROM calendar_feeds") == [(True,)]
    assert (await api.http.get(path)).status_code == 404


async def test_a_proposal_that_nobody_has_ended_yet_ends_too(api: Api, sql: Sql, forgotten: Forgotten) -> None:
    for table in ("reservations", "proposals"):
        sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    sql("UPDATE proposals SET expires_at = clock_timestamp() - interval '1 hour' WHERE status = 'PROPOSED'")
    sql(
        "UPDATE reservations SET expires_at = clock_timestamp() - interval '1 hour',"
        " created_at = created_at - interval '1 day', scheduled_at = scheduled_at - interval '1 day' WHERE status = 'HELD'"
    )
    for table in ("reservations", "proposals"):
        sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")

    await api(ERASE, id=forgotten.client)

    assert sql("SELECT status FROM proposals ORDER BY id") == [("DECLINED",), ("EXPIRED",)]


async def test_what_a_forgotten_client_frees_is_not_offered_to_them(api: Api, sql: Sql, forgotten: Forgotten) -> None:
    sql("UPDATE waitlist_entries SET starts_from = %s", soon(2, 9))

    await api(ERASE, id=forgotten.client)

    assert sql("SELECT count(*) FROM waitlist_offers") == [(0,)]
    assert sql("SELECT count(*) FROM reservations WHERE live") == [(0,)]


async def test_an_export_tells_what_a_client_waits_for_and_was_proposed_and_no_secret(
    api: Api, sql: Sql, forgotten: Forgotten
) -> None:
    told = (await api(EXPORT, id=forgotten.client))["clientExport"]["export"]

    assert [(each["id"], each["status"], each["reason"]) for each in told["proposals"]] == [
        (forgotten.proposals[0], "DECLINED", f"{WORD} is in hospital"),
        (forgotten.proposals[1], "PROPOSED", None),
    ]
    assert [(each["id"], each["status"]) for each in told["waitlistEntries"]] == [(forgotten.entry, "WAITING")]
    assert [each["id"] for each in told["visits"]] == [forgotten.visit]
    assert [(each["id"], each["everyWeeks"], each["count"]) for each in told["reservationSeries"]] == [
        (forgotten.series, 1, 2)
    ]
    assert [sorted(each) for each in told["calendarFeeds"]] == [["createdAt", "id", "revokedAt", "version"]]
    secret = forgotten.url.rpartition("/")[2].removesuffix(".ics")
    assert secret not in str(told)
    assert {forgotten.entry, forgotten.visit, *forgotten.proposals} <= {each["nodeId"] for each in told["history"]}
