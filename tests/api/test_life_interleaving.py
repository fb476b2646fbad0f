"""Two changes of one reservation's life, in every order in which PostgreSQL can run their steps, are as if one came first."""

from collections.abc import AsyncIterator
from itertools import combinations_with_replacement
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import text
from starlette.applications import Starlette

from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.refusal import Unavailable
from server.database import engine
from tests.api.test_interleaving import Case, Laboratory, Outcome, Trial, asked, database
from tests.conftest import RESERVE
from tests.life import OF_APPOINTMENTS, document

__all__ = ["database"]  # a fixture

STATES = ["held", "pending", "confirmed", "begun", "started", "lapsed", "closed"]
BY_CLIENT = {
    "confirm": "reservationConfirm",
    "cancel": "reservationCancel",
    "release": "reservationRelease",
    "renew": "reservationRenew",
    "reschedule": "reservationReschedule",
}
BY_TEAM = {
    "approve": "reservationApprove",
    "decline": "reservationDecline",
    "cancel by staff": "reservationCancel",
    "miss": "reservationMarkNoShow",
    "start": "appointmentStart",
    "complete": "appointmentComplete",
    "reassign": "appointmentReassign",
}
OPERATIONS = ["hold", *BY_CLIENT, *BY_TEAM, "sweep", "erase"]

# The provider is free at ten and at a quarter past nine, another one at nine; all of it needs the one room.
BEGIN = """
INSERT INTO providers (business_id, id, first_name, last_name)
SELECT '{business}', id, 'Ada', 'Lovelace' FROM unnest('{{{provider}, {substitute}}}'::uuid[]) id;
INSERT INTO clients (business_id, id, first_name, last_name)
SELECT '{business}', id, 'Charles', 'Babbage' FROM unnest('{{{owner}, {first}, {second}}}'::uuid[]) id;
INSERT INTO services (business_id, id, name, lead_time, hold_time, approval_time)
VALUES ('{business}', '{service}', 'Cut', '0', {hold_time}, {approval_time});
INSERT INTO resources (business_id, id, name) VALUES ('{business}', '{room}', 'the room');
INSERT INTO requirements (business_id, service_id, resource_id) VALUES ('{business}', '{service}', '{room}');
INSERT INTO appointments (business_id, provider_id, service_id, starts_at, ends_at)
SELECT '{business}', t.provider, '{service}', date_trunc('minute', clock_timestamp()) + t.after, date_trunc('minute', clock_timestamp()) + t.after + '30 minutes'
FROM (VALUES ('{provider}'::uuid, interval '{nine}'), ('{provider}', interval '{nine}' + '15 minutes'),
             ('{substitute}', interval '{nine}')) t (provider, after);
INSERT INTO offerings (business_id, provider_id, service_id) SELECT '{business}', id, '{service}'
FROM unnest('{{{provider}, {substitute}}}'::uuid[]) id;
INSERT INTO reservations (business_id, client_id, appointment_id)
SELECT business_id, '{owner}', id FROM appointments WHERE provider_id = '{provider}' ORDER BY starts_at LIMIT 1;
"""
IDS = """SELECT a.id, r.id FROM appointments a LEFT JOIN reservations r ON r.appointment_id = a.id
WHERE a.service_id = %s ORDER BY a.provider_id <> %s, a.starts_at"""
MINE = "UPDATE reservations SET {change} WHERE client_id = '{owner}'"
REACH = {
    "held": "",
    "pending": MINE.replace("{change}", "requested_at = clock_timestamp()"),
    "confirmed": MINE.replace("{change}", "status = 'CONFIRMED'"),
    "begun": MINE.replace("{change}", "status = 'CONFIRMED'"),
    "started": MINE.replace("{change}", "status = 'CONFIRMED'"),
    "lapsed": "",
    "closed": MINE.replace("{change}", "status = 'CANCELLED'"),
}
# It is two hours ahead at first: what has begun lies an hour back, and what is started half an hour ahead.
PASSED = {"begun": "03:00:00", "started": "01:30:00"}
AGO = """SET session_replication_role = replica;
UPDATE appointments SET starts_at = starts_at - interval '{ago}', ends_at = ends_at - interval '{ago}' WHERE service_id = '{service}';
UPDATE reservations SET starts_at = starts_at - interval '{ago}', ends_at = ends_at - interval '{ago}', busy_from = busy_from - interval '{ago}',
busy_until = busy_until - interval '{ago}', scheduled_at = scheduled_at - interval '{ago}', created_at = created_at - interval '{ago}',
expires_at = expires_at - interval '{ago}', confirmed_at = confirmed_at - interval '{ago}' WHERE client_id = '{owner}';
UPDATE resource_claims SET busy_from = busy_from - interval '{ago}', busy_until = busy_until - interval '{ago}' WHERE resource_id = '{room}';
SET session_replication_role = DEFAULT"""
SWEEP = """UPDATE reservations SET status = 'EXPIRED' WHERE business_id = :business AND id IN (
SELECT id FROM reservations WHERE client_id = :owner AND live AND status = 'HELD' AND expires_at <= clock_timestamp()
FOR UPDATE SKIP LOCKED) RETURNING id"""
ERASE = "mutation ($input: ClientEraseInput!) { clientErase(input: $input) { client { id firstName } userErrors { code } } }"
RESERVATIONS = """SELECT id, client_id, appointment_id, provider_id, status, version, renewals, cancelled_by, cancel_reason,
requested_at IS NOT NULL, confirmed_at IS NOT NULL, started_at IS NOT NULL, completed_at IS NOT NULL,
(SELECT count(*) FROM resource_claims c WHERE c.reservation_id = r.id)
FROM reservations r WHERE service_id = %s ORDER BY created_at, id"""
EVENTS = """SELECT e.type, e.aggregate_id, e.data ->> 'version' FROM events e
WHERE e.aggregate_id IN (SELECT id FROM reservations WHERE service_id = %(service)s) AND e.type LIKE 'scheduling.%%'
   OR e.aggregate_id = %(owner)s ORDER BY e.seq"""
DOUBLE = """SELECT count(*) FROM reservations a JOIN reservations b ON a.id < b.id AND a.service_id = b.service_id
AND a.live AND b.live AND tstzrange(a.busy_from, a.busy_until) && tstzrange(b.busy_from, b.busy_until)
WHERE a.service_id = %s"""


class LifeCase(Case):
    """A reservation in some state, of a service that needs the one room, and what it could become."""

    def begin(self, connection: psycopg.Connection[Any]) -> None:
        self.ids |= {name: uuid4() for name in ("substitute", "service", "room")}
        approval = "'01:00:00'" if self.state in ("held", "pending") else "NULL"
        names = {
            "business": DEFAULT_BUSINESS,
            "hold_time": "'0.000001'" if self.state == "lapsed" else "'12:00:00'",
            "approval_time": approval,
            "nine": "02:00:00",
            "ago": PASSED.get(self.state, ""),
            **self.ids,
        }
        statements = BEGIN + REACH[self.state]
        if self.state in PASSED:
            statements += f";{AGO}"
        if self.state == "started":
            statements += ";" + MINE.replace("{change}", "started_at = clock_timestamp()")
        connection.execute(statements.format(**names).encode())
        found = connection.execute(IDS, [self.ids["service"], self.ids["provider"]]).fetchall()
        self.ids |= zip(("appointment", "target", "instead"), [key for key, _ in found], strict=True)
        self.ids["reservation"] = found[0][1]

    @property
    def opaque(self) -> dict[str, str]:
        kinds = {"target": "Appointment", "instead": "Appointment", "substitute": "Provider", "owner": "Client"}
        return (
            super().opaque
            | {encode("Provider", self.ids["provider"]): "provider"}
            | {encode(kind, self.ids[name]): name for name, kind in kinds.items()}
        )


class LifeLaboratory(Laboratory):
    """Runs two operations on a reservation."""

    passing = frozenset({"sweep"})

    def case_of(self, state: str) -> Case:
        return LifeCase(state)

    async def perform(self, app: Starlette, case: Case, client: UUID, name: str) -> Any:
        if name == "sweep":
            return await self._swept(app, case)
        return _without_times(await asked(app, *self._request(case, client, name)))

    async def _swept(self, app: Starlette, case: Case) -> Any:
        statement = text(SWEEP).bindparams(business=DEFAULT_BUSINESS, owner=case.ids["owner"])
        try:
            return len(await app.state.database.rows(statement))
        except Unavailable:
            return None

    def _request(self, case: Case, client: UUID, name: str) -> tuple[str, dict[str, Any]]:
        appointment = {"appointmentId": encode("Appointment", case.ids["appointment"])}
        reservation = {"reservationId": encode("Reservation", case.ids["reservation"])}
        if name == "hold":
            return RESERVE, {"clientId": encode("Client", client), **appointment}
        if name == "erase":
            return ERASE, {"clientId": encode("Client", case.ids["owner"])}
        mutation = BY_CLIENT.get(name) or BY_TEAM[name]
        given = appointment if mutation in OF_APPOINTMENTS else reservation
        if name == "reschedule":
            given = {**given, "appointmentId": encode("Appointment", case.ids["target"])}
        if name in ("decline", "cancel by staff"):
            given = {**given, "reason": name}
        return document(mutation, links=""), given  # which would be read side by side

    def outcome(self, case: Case, answers: list[Any]) -> Outcome:
        service = case.ids["service"]
        assert self.watch.execute(DOUBLE, [service]).fetchall() == [(0,)]
        found = {
            "answers": answers,
            "reservations": self.watch.execute(RESERVATIONS, [service]).fetchall(),
            "events": self.watch.execute(EVENTS, {"service": service, "owner": case.ids["owner"]}).fetchall(),
        }
        return {name: case.name(value) for name, value in found.items()}


def _without_times(value: Any) -> Any:
    """Write a dash for each instant, and for what is free beside what was wanted: that is read once the answer is no."""
    if isinstance(value, list):
        return [_without_times(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {key: "-" if _is_passing(key, inner) else _without_times(inner) for key, inner in value.items()}


def _is_passing(key: str, value: Any) -> bool:
    return key == "alternatives" or (bool(value) and key.endswith(("At", "deadline", "earliestStart")))


@pytest.fixture(scope="module")
async def laboratory(database: str) -> AsyncIterator[LifeLaboratory]:
    laboratory = LifeLaboratory(database, engine(database, 2))
    await laboratory.open()
    yield laboratory
    await laboratory.close()
    print(f"\n{laboratory.ran} interleavings of a reservation's life")  # noqa: T201 -- what was tried is part of the answer


@pytest.mark.parametrize(("one", "other"), [*combinations_with_replacement(OPERATIONS, 2)])
@pytest.mark.parametrize("state", STATES)
async def test_every_interleaving_of_two_changes_is_one_of_the_two_orders(
    laboratory: LifeLaboratory, state: str, one: str, other: str
) -> None:
    trial = Trial(state, [one, other])
    runs = laboratory.schedules(trial)
    orders = [(await anext(runs))[0] for _ in range(2)]
    if "sweep" in (one, other) and one != other:  # which passes over what others have locked, and comes again
        n = [one, other].index("sweep")
        alone = await laboratory.run(Trial(state, [other, one][n : n + 1]))
        orders.append({**alone, "answers": [alone["answers"][0], 0][:: -1 if n == 0 else 1]})

    async for outcome, order in runs:
        assert outcome in orders, order
