"""The life of a reservation in tests: its mutations, one payload for all, and a way to let time pass."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from models.node_id import decode
from models.viewer import Role
from tests.conftest import Api
from tests.tokens import Headers, bearer, token

Sql = Callable[..., list[tuple[Any, ...]]]

ERRORS = """userErrors { __typename code field retryable
  ... on SlotUnavailableError { alternatives { id } }
  ... on LeadTimeError { earliestStart leadTimeMinutes }
  ... on HorizonError { latestStart }
  ... on HoldExpiredError { expiredAt }
  ... on IllegalStateError { state possibleAt }
  ... on CancellationWindowError { deadline }
  ... on VersionConflictError { currentVersion }
  ... on TooManyRenewalsError { limit }
}"""
FIELDS = """id status version expiresAt startsAt renewals needsApproval cancelledBy cancelReason
  requestedAt confirmedAt startedAt completedAt cancelledAt"""
LINKS = "appointment { id } provider { id }"
OF_APPOINTMENTS = ("appointmentStart", "appointmentComplete", "appointmentReassign")
# Far enough for nothing to be where something else was.
FAR = timedelta(days=90)


def document(name: str, links: str = LINKS) -> str:
    """A mutation with all that its payload tells."""
    written = f"reservation {{ {FIELDS} {links} }}"
    if name in OF_APPOINTMENTS:
        more = " candidates { id }" if name == "appointmentReassign" else ""
        written = f"appointment {{ id }} reservations {{ {FIELDS} {links} }}{more}"
    type_name = name[0].upper() + name[1:]
    return f"mutation ($input: {type_name}Input!) {{ {name}(input: $input) {{ {written} {ERRORS} }} }}"


async def send(api: Api, name: str, headers: Headers | None = None, **given: Any) -> Any:
    """The payload of a mutation."""
    answer = await api.post(document(name), headers, input=given)
    assert "errors" not in answer, answer["errors"]
    return answer["data"][name]


async def done(api: Api, name: str, headers: Headers | None = None, **given: Any) -> Any:
    """What a mutation wrote, when nothing was refused: the reservation, or the payload of an appointment."""
    payload = await send(api, name, headers, **given)
    assert payload["userErrors"] == []
    return payload if name in OF_APPOINTMENTS else payload["reservation"]


async def refused(api: Api, name: str, headers: Headers | None = None, **given: Any) -> dict[str, Any]:
    """The one error of a mutation that was refused, which wrote nothing."""
    payload = await send(api, name, headers, **given)
    assert payload.get("reservation") is None
    assert payload.get("reservations", []) == []
    (error,) = payload["userErrors"]
    return dict(error)


def as_client(sql: Sql, client: str) -> Headers:
    return bearer(token(sql, Role.CLIENT, decode(client)[1]))


def as_provider(sql: Sql, provider: str) -> Headers:
    return bearer(token(sql, Role.PROVIDER, decode(provider)[1]))


def events(sql: Sql, reservation: str) -> list[str]:
    """The changes of a reservation, in order."""
    found = sql(
        "SELECT type FROM events WHERE aggregate_id = %s AND type LIKE 'scheduling.%%' ORDER BY seq",
        decode(reservation)[1],
    )
    return [type_.split(".")[2] for (type_,) in found]


TIMES = {
    "appointments": ("starts_at", "ends_at", "created_at"),
    "reservations": (
        *("starts_at", "ends_at", "busy_from", "busy_until", "created_at", "scheduled_at", "expires_at"),
        *("confirmed_at", "requested_at", "started_at", "completed_at", "cancelled_at"),
    ),
    "resource_claims": ("busy_from", "busy_until"),
}


def later(sql: Sql, by: timedelta) -> None:
    """Let so much time pass: everything that is on record lies farther back."""
    sql("SET session_replication_role = replica")
    for step in (FAR, -FAR - by):
        for table, columns in TIMES.items():
            moved = ", ".join(f"{column} = {column} + %s" for column in columns)
            sql(f"UPDATE {table} SET {moved}", *[step] * len(columns))
    sql("SET session_replication_role = DEFAULT")
