"""Those who wait: entries of the waiting list, and what is offered to them, for tests."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from models.business import DEFAULT_BUSINESS
from tests.conftest import Api
from tests.supply import Supply, key, soon

Sql = Callable[..., list[tuple[Any, ...]]]
ENTRY = (
    "id status position startsFrom startsUntil version client { id } service { id } provider { id } location { id }"
    " offer { id status startsAt }"
)
ERRORS = "userErrors { __typename code field message ... on TooManyEntriesError { limit } }"
ENTER = (
    f"mutation ($input: WaitlistEntryCreateInput!) {{ waitlistEntryCreate(input: $input) {{ waitlistEntry {{ {ENTRY} }}"
    f" {ERRORS} }} }}"
)
LEAVE = (
    f"mutation ($input: WaitlistEntryCancelInput!) {{ waitlistEntryCancel(input: $input) {{ waitlistEntry {{ {ENTRY} }}"
    f" {ERRORS} }} }}"
)
FIND = f"query ($id: ID!) {{ waitlistEntry(id: $id) {{ {ENTRY} }} }}"
WEEKS = timedelta(days=14)


class Queue(Supply):
    """A provider with one time, and clients who wait for it."""

    def __init__(self, sql: Sql, **more: Any) -> None:
        super().__init__(sql)
        self.ada = self.provider()
        self.start = soon(5)
        self.time = self.appointment(self.ada, self.start, **more)

    def client(self, **more: Any) -> str:
        return self.add("Client", "clients", first_name="Charles", last_name="Babbage", **more)

    def wish(self, client: str | None = None, **more: Any) -> dict[str, Any]:
        """What somebody waits for: anything of the provider, in the two weeks to come."""
        since = soon(0)
        span = {"startsFrom": _written(since), "startsUntil": _written(since + WEEKS)}
        return {"clientId": client or self.client(), "providerId": self.ada, **span, **more}

    def waiting(self, count: int) -> list[tuple[UUID, UUID]]:
        """So many who wait, past the API: the keys of each entry and its client, in order."""
        return [
            row
            for _ in range(count)
            for row in self.sql(
                "INSERT INTO waitlist_entries (business_id, client_id, provider_id, starts_from, starts_until)"
                " VALUES (%s, %s, %s, now(), now() + '14 days') RETURNING id, client_id",
                *(DEFAULT_BUSINESS, key(self.client()), key(self.ada)),
            )
        ]

    def hold(self, appointment: str | None = None, *, lapsed: bool = False) -> UUID:
        """A hold of somebody who does not wait, past the API; one that has lapsed, if it is said so."""
        if lapsed:
            self.sql("UPDATE businesses SET hold_time = '0.001 s'")
        row = {"client_id": key(self.client()), "appointment_id": key(appointment or self.time)}
        ((made,),) = self.sql(
            "INSERT INTO reservations (business_id, client_id, appointment_id) VALUES (%s, %s, %s) RETURNING id",
            *(DEFAULT_BUSINESS, *row.values()),
        )
        if lapsed:
            self.sql("SELECT pg_sleep(0.002)")
            self.sql("UPDATE businesses SET hold_time = '00:30:00'")
        return UUID(str(made))

    def cancel(self, reservation: UUID) -> None:
        self.sql("UPDATE reservations SET status = 'CANCELLED' WHERE id = %s", reservation)

    def entries(self) -> list[str]:
        """Where everybody stands, in order."""
        return [status for (status,) in self.sql("SELECT status FROM waitlist_entries ORDER BY created_at, id")]

    def live(self) -> list[tuple[UUID, bool]]:
        """Who has the time, and whether it was offered."""
        found = self.sql(
            "SELECT client_id, offered FROM reservations WHERE live AND (status = 'CONFIRMED' OR expires_at > clock_timestamp())"
            " ORDER BY id"
        )
        return [(UUID(str(client)), offered) for client, offered in found]


async def entered(api: Api, wish: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    """The payload of waitlistEntryCreate."""
    answer = await api.post(ENTER, headers, input=wish)
    assert "errors" not in answer, answer["errors"]
    return answer["data"]["waitlistEntryCreate"]


async def left(api: Api, entry: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
    """The payload of waitlistEntryCancel."""
    answer = await api.post(LEAVE, headers, input={"entryId": entry, **more})
    assert "errors" not in answer, answer["errors"]
    return answer["data"]["waitlistEntryCancel"]


async def entry(api: Api, identity: str) -> Any:
    """An entry as it is now."""
    return (await api(FIND, id=identity))["waitlistEntry"]


def refusals(payload: Any) -> list[tuple[str, str | None]]:
    """The codes and the fields of what was refused."""
    return [(error["code"], error["field"] and ".".join(error["field"])) for error in payload["userErrors"]]


def _written(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
