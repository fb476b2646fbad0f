"""Whatever is done to reservations, in whatever order: none overlap, each has what it needs, and each change has its event."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from models.business import DEFAULT_BUSINESS
from tests.conftest import RESERVE, Api, serving
from tests.life import document, later
from tests.supply import Supply, key, soon

Sql = Callable[..., list[tuple[Any, ...]]]
EXAMPLES, STEPS = 12, 24
MINUTE = timedelta(minutes=1)
OVERLAPS = """SELECT count(*) FROM reservations a JOIN reservations b ON a.provider_id = b.provider_id AND a.id < b.id
 AND a.session_id <> b.session_id AND a.live AND b.live
 AND tstzrange(a.busy_from, a.busy_until) && tstzrange(b.busy_from, b.busy_until)"""
SEATS = "SELECT count(*) - count(DISTINCT (session_id, seat)) FROM reservations WHERE live"
# Of one room and two chairs, everybody who has a seat has as many as the service needs, for as long as it takes.
CLAIMS = """SELECT count(*) FROM reservations r
LEFT JOIN LATERAL (SELECT count(*) n, bool_and(c.busy_from = r.busy_from AND c.busy_until = r.busy_until) fits
                     FROM resource_claims c WHERE c.reservation_id = r.id) c ON true
WHERE c.n <> CASE WHEN r.live THEN 3 ELSE 0 END OR c.fits IS FALSE"""
TWICE = """SELECT count(*) FROM resource_claims a JOIN resource_claims b ON a.resource_id = b.resource_id AND a.unit = b.unit
AND a.session_id <> b.session_id AND tstzrange(a.busy_from, a.busy_until) && tstzrange(b.busy_from, b.busy_until)"""
EVENTS = """SELECT r.id, r.version, count(e), max((e.data ->> 'version')::int) FROM reservations r
LEFT JOIN events e ON e.aggregate_id = r.id AND e.type LIKE 'scheduling.reservation.%%' GROUP BY r.id, r.version
HAVING r.version <> count(e) OR r.version <> max((e.data ->> 'version')::int)"""
PLACES = """SELECT count(*) FROM reservations r JOIN appointments a ON a.id = r.appointment_id
WHERE (r.provider_id, r.starts_at, r.ends_at) <> (a.provider_id, a.starts_at, a.ends_at)"""
CHANGES = (
    *("reservationConfirm", "reservationCancel", "reservationRelease", "reservationRenew"),
    *("reservationApprove", "reservationDecline", "reservationMarkNoShow"),
)
OF_DAYS = ("appointmentStart", "appointmentComplete", "appointmentReassign")


@pytest.fixture
def walk(database: str) -> Iterator[tuple[str, psycopg.Connection[Any]]]:
    with psycopg.connect(database, autocommit=True) as connection:
        yield database, connection


def test_every_walk_through_the_life_of_reservations_keeps_the_rules(
    walk: tuple[str, psycopg.Connection[Any]],
) -> None:
    database, connection = walk

    class Walk(Life):
        url, owner = database, connection

    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


class Life(RuleBasedStateMachine):
    """Two providers with times that overlap, among them groups; two clients; one room and two chairs."""

    url: str
    owner: psycopg.Connection[Any]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.server = serving(self.url, 2)
        self.api: Api = self.loop.run_until_complete(self.server.__aenter__())
        self.reservations: list[str] = []

    def teardown(self) -> None:
        self.loop.run_until_complete(self.server.__aexit__())
        self.loop.close()

    def sql(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        done = self.owner.execute(statement.encode(), values or None)
        return done.fetchall() if done.description else []

    @initialize(approval=st.booleans())
    def begin(self, approval: bool) -> None:
        self.sql("SET session_replication_role = replica")
        for table in ("resource_claims", "reservations", "events", "appointments", "offerings", "requirements"):
            self.sql(f"TRUNCATE {table} CASCADE")
        self.sql("SET session_replication_role = DEFAULT")
        supply = Supply(self.sql)
        asked = {"approval_time": "01:00:00"} if approval else {}
        service = supply.service(f"Cut {UUID(int=0)}", lead_time="00:00:00", buffer_after="00:05:00", **asked)
        supply.resource("the room", service)
        self.sql("UPDATE requirements SET quantity = 1")
        chairs = supply.add("Resource", "resources", name="chairs", quantity=2)
        supply.add("Requirement", "requirements", service_id=key(service), resource_id=key(chairs), quantity=2)
        providers = [supply.provider() for _ in range(2)]
        for provider in providers:
            supply.offer(provider, service)
        self.times = [
            supply.appointment(provider, soon(days=2) + n * 20 * MINUTE, 30, capacity=1 + n % 2, service_id=service)
            for provider in providers
            for n in range(3)
        ]
        self.clients = [supply.add("Client", "clients", first_name="Charles", last_name="Babbage") for _ in range(2)]
        self.reservations = []

    def send(self, query: str, **given: Any) -> Any:
        answer = self.loop.run_until_complete(self.api.post(query, input=given))
        assert "errors" not in answer, answer
        (payload,) = answer["data"].values()
        assert all(error["code"] not in ("BUSY", "TIMEOUT", "UNAVAILABLE") for error in payload["userErrors"])
        return payload

    @rule(client=st.integers(0, 1), time=st.integers(0, 5))
    def hold(self, client: int, time: int) -> None:
        held = self.send(RESERVE, clientId=self.clients[client], appointmentId=self.times[time])
        if held["reservation"]:
            self.reservations.append(held["reservation"]["id"])

    @rule(name=st.sampled_from(CHANGES), n=st.integers(0, 5))
    def change(self, name: str, n: int) -> None:
        if n < len(self.reservations):
            reason = {"reason": "a reason"} if name in ("reservationCancel", "reservationDecline") else {}
            self.send(document(name), reservationId=self.reservations[n], **reason)

    @rule(n=st.integers(0, 5))
    def ask(self, n: int) -> None:
        """Have the client confirm."""
        if n < len(self.reservations):
            self.sql(
                "UPDATE reservations SET requested_at = clock_timestamp() WHERE id = %s AND approval_time IS NOT NULL",
                key(self.reservations[n]),
            )

    @rule(n=st.integers(0, 5), time=st.integers(0, 5))
    def move(self, n: int, time: int) -> None:
        if n < len(self.reservations):
            given = {"reservationId": self.reservations[n], "appointmentId": self.times[time]}
            self.send(document("reservationReschedule"), **given)

    @rule(name=st.sampled_from(OF_DAYS), time=st.integers(0, 5))
    def attend(self, name: str, time: int) -> None:
        self.send(document(name), appointmentId=self.times[time])

    @rule(minutes=st.sampled_from([20, 40, 24 * 60]))
    def wait(self, minutes: int) -> None:
        later(self.sql, minutes * MINUTE)

    @rule()
    def sweep(self) -> None:
        self.sql(
            "UPDATE reservations SET status = 'EXPIRED' WHERE business_id = %s AND live AND status = 'HELD'"
            " AND expires_at <= clock_timestamp()",
            DEFAULT_BUSINESS,
        )

    @invariant()
    def nothing_is_there_twice(self) -> None:
        assert self.sql(OVERLAPS) == [(0,)]
        assert self.sql(SEATS) == [(0,)]
        assert self.sql(TWICE) == [(0,)]

    @invariant()
    def each_has_what_it_needs_where_it_is(self) -> None:
        assert self.sql(CLAIMS) == [(0,)]
        assert self.sql(PLACES) == [(0,)]

    @invariant()
    def each_change_has_its_event(self) -> None:
        assert self.sql(EVENTS) == []
