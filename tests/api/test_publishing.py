"""appointmentBulkCreate: what is published, kept, withdrawn and refused, and that a dry run tells the same."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import PUBLISH, Api

Sql = Callable[..., list[tuple[Any, ...]]]
DAY = "2027-05-03T"
EVENTS = "SELECT type, count(*) FROM events WHERE type LIKE '%%appointment%%' GROUP BY type ORDER BY type"
CREATED, WITHDRAWN = "scheduling.appointment.created.v1", "scheduling.appointment.withdrawn.v1"


def window(start: str, end: str) -> dict[str, str]:
    return {"startTime": f"{DAY}{start}:00Z", "endTime": f"{DAY}{end}:00Z"}


async def submit(api: Api, provider: str, **sent: Any) -> Any:
    return (await api(PUBLISH, input={"providerId": provider, **sent}))["appointmentBulkCreate"]


def totals(payload: Any) -> tuple[int, int, int]:
    return payload["created"], payload["kept"], payload["removed"]


async def test_the_same_window_again_is_kept_and_an_overlapping_one_adds_what_is_missing(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    first = await submit(api, ada, **window("09:00", "10:00"))

    again = await submit(api, ada, **window("09:00", "10:00"))
    longer = await submit(api, ada, **window("09:30", "11:10"))

    assert [totals(done) for done in (first, again, longer)] == [(4, 0, 0), (0, 4, 0), (4, 2, 0)]
    assert again["appointments"] == first["appointments"]
    assert longer["appointments"]["totalCount"] == 6
    assert longer["appointments"]["nodes"][-1]["endsAt"] == f"{DAY}11:00:00Z"
    assert sql(EVENTS) == [(CREATED, 2)]


async def test_a_replaced_window_withdraws_what_is_unbooked_and_keeps_and_reports_what_is_booked(
    api: Api, sql: Sql
) -> None:
    ada, charles = await api.provider(), await api.client()
    quarters = await api.publish(ada, f"{DAY}09:00:00Z", f"{DAY}10:00:00Z")
    (afterwards,) = await api.publish(ada, f"{DAY}10:00:00Z", f"{DAY}10:15:00Z")
    sql("UPDATE businesses SET hold_time = '1 millisecond'")
    lapsed = (await api.reserve(charles, quarters[3]))["reservation"]["id"]
    sql("UPDATE businesses SET hold_time = '30 minutes'")
    await api.reserve(charles, quarters[1])

    done = await submit(api, ada, **window("09:00", "10:00"), slotMinutes=30, mode="REPLACE_WINDOW")

    assert done["userErrors"] == []
    assert totals(done) == (1, 0, 3)
    (result,) = done["results"]
    assert result["bookedAppointments"] == [{"id": quarters[1], "startsAt": f"{DAY}09:15:00Z"}]
    assert [node["startsAt"] for node in done["appointments"]["nodes"]] == [f"{DAY}09:15:00Z", f"{DAY}09:30:00Z"]
    assert sql(EVENTS) == [(CREATED, 3), (WITHDRAWN, 3)]
    assert (await api.reserve(charles, afterwards))["userErrors"] == []
    for gone in (quarters[0], quarters[3]):
        refused = await api.reserve(charles, gone)
        assert [error["code"] for error in refused["userErrors"]] == ["APPOINTMENT_WITHDRAWN"]
    seen = await api("query ($id: ID!) { reservation(id: $id) { status appointment { id } } }", id=lapsed)
    assert seen["reservation"] == {"status": "EXPIRED", "appointment": None}


@pytest.mark.parametrize("mode", ["ADD", "REPLACE_WINDOW"])
async def test_a_dry_run_writes_nothing_and_tells_what_the_real_one_then_does(api: Api, sql: Sql, mode: str) -> None:
    ada = await api.provider()
    quarters = await api.publish(ada, f"{DAY}09:00:00Z", f"{DAY}10:00:00Z")
    await api.reserve(await api.client(), quarters[2])
    wish = {"windows": [window("09:00", "09:30"), window("09:30", "11:00")], "mode": mode}
    before = sql("SELECT * FROM appointments ORDER BY id"), sql("SELECT * FROM events ORDER BY seq")

    dry = await submit(api, ada, **wish, dryRun=True, idempotencyKey="dry")

    assert (sql("SELECT * FROM appointments ORDER BY id"), sql("SELECT * FROM events ORDER BY seq")) == before
    assert sql("SELECT count(*) FROM idempotency_keys") == [(0,)]
    assert dry.pop("appointments") is None

    real = await submit(api, ada, **wish)

    assert real.pop("appointments")["totalCount"] == 8
    assert real == dry
    assert totals(real) == (4, 4, 0)


async def test_one_bad_window_spoils_all_or_only_itself(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    windows = [window("09:00", "10:00"), window("12:00", "11:00"), window("09:30", "09:45"), window("13:00", "13:10")]

    strict = await submit(api, ada, windows=windows)
    assert (
        sql("SELECT count(*) FROM appointments")
        == sql("SELECT count(*) FROM events WHERE type = %s", CREATED)
        == [(0,)]
    )
    lenient = await submit(api, ada, windows=windows, errorPolicy="REJECT_FAILED_ROWS")

    assert strict["appointments"] is None
    fields = [["windows", "1", "endTime"], ["windows", "2"], ["windows", "3", "endTime"]]
    codes = ["INVALID_INPUT", "OVERLAPPING_ROWS", "INVALID_INPUT"]
    for done in (strict, lenient):
        assert [(error["field"], error["code"]) for error in done["userErrors"]] == list(
            zip(fields, codes, strict=True)
        )
    assert totals(lenient) == (4, 0, 0)
    assert [result["error"] is None for result in lenient["results"]] == [True, False, False, False]
    assert sql("SELECT count(*) FROM appointments") == [(4,)]


async def test_what_is_left_over_at_the_end_of_a_window_is_not_used(api: Api) -> None:
    ada = await api.provider()

    done = await submit(api, ada, windows=[window("09:00", "09:50"), window("10:00", "11:29")], slotMinutes=20)

    assert [result["created"] for result in done["results"]] == [2, 4]
    assert [node["startsAt"][11:16] for node in done["appointments"]["nodes"]] == [
        "09:00", "09:20", "10:00", "10:20", "10:40", "11:00",
    ]  # fmt: skip


async def test_a_repeated_key_answers_the_same_payload_and_writes_nothing(api: Api, sql: Sql) -> None:
    ada = await api.provider()
    wish = {"providerId": ada, **window("09:00", "10:00"), "idempotencyKey": "once"}

    first = await api.post(PUBLISH, input=wish)
    second = await api.post(PUBLISH, input=wish)

    assert second["data"] == first["data"]
    assert (first.get("extensions"), second["extensions"]) == (None, {"idempotentReplay": True})
    assert sql(EVENTS) == [(CREATED, 1)]
    other = (await api(PUBLISH, input={**wish, "slotMinutes": 30}))["appointmentBulkCreate"]
    assert [error["code"] for error in other["userErrors"]] == ["IDEMPOTENCY_KEY_REUSED"]


async def test_ten_thousand_slots_are_as_many_statements_as_one(
    api: Api, sql: Sql, statements: Callable[[], list[str]]
) -> None:
    ada, counts = await api.provider(), []
    for end in ("2027-05-03T00:01:00Z", "2027-05-09T22:40:00Z"):
        statements()
        wish = {"startTime": "2027-05-03T00:00:00Z", "endTime": end, "slotMinutes": 1, "mode": "REPLACE_WINDOW"}

        done = await submit(api, ada, **wish)

        counts.append(len(statements()))

    assert totals(done) == (9_999, 1, 0)
    assert counts[0] == counts[1] <= 6
    assert sql(EVENTS) == [(CREATED, 2)]
    more = await submit(api, ada, startTime="2027-05-03T00:00:00Z", endTime="2027-05-09T22:41:00Z", slotMinutes=1)
    assert [error["code"] for error in more["userErrors"]] == ["TOO_MANY_ROWS"]


async def test_however_many_are_booked_they_are_reported_by_one_statement(
    api: Api, statements: Callable[[], list[str]]
) -> None:
    ada, mary, counts = await api.provider(), [await api.client() for _ in range(4)], []
    for hour, booked in (("09", 1), ("11", 4)):
        quarters = await api.publish(
            ada,
            f"{DAY}{hour}:00:00Z",
            f"{DAY}{hour[:1]}{int(hour[1]) + 1}:00:00Z" if hour != "09" else f"{DAY}10:00:00Z",
        )
        for client, quarter in zip(mary[:booked], quarters, strict=False):
            await api.reserve(client, quarter)
        statements()
        end = "10:00" if hour == "09" else "12:00"

        done = await submit(api, ada, **window(f"{hour}:00", end), slotMinutes=60, mode="REPLACE_WINDOW")

        counts.append(len(statements()))
        assert len(done["results"][0]["bookedAppointments"]) == booked

    assert counts[0] == counts[1]


async def test_what_a_lenient_bulk_left_out_is_told_at_the_top_where_user_errors_are_not_selected(
    api: Api, sql: Sql
) -> None:
    ada = await api.provider()
    document = "mutation ($input: AppointmentBulkCreateInput!) { appointmentBulkCreate(input: $input) { created %s } }"
    wish = {
        "providerId": ada,
        "windows": [window("09:00", "10:00"), window("12:00", "11:00"), window("09:30", "09:45")],
        "errorPolicy": "REJECT_FAILED_ROWS",
    }

    silent = await api.post(document % "kept", input=wish)
    skipped = await api.post(document % "kept userErrors @skip(if: true) { code }", input=wish)
    told = await api.post(document % "kept userErrors { code }", input=wish)

    assert silent["data"] == {"appointmentBulkCreate": {"created": 4, "kept": 0}}
    assert skipped["data"] == {"appointmentBulkCreate": {"created": 0, "kept": 4}}
    for answer in (silent, skipped):
        assert [(error["extensions"]["code"], error["extensions"]["field"]) for error in answer["errors"]] == [
            ("INVALID_INPUT", "windows.1.endTime"),
            ("OVERLAPPING_ROWS", "windows.2"),
        ]
        assert all(error["message"] and error["extensions"]["requestId"] for error in answer["errors"])
    assert "errors" not in told
    assert [error["code"] for error in told["data"]["appointmentBulkCreate"]["userErrors"]] == [
        "INVALID_INPUT",
        "OVERLAPPING_ROWS",
    ]
    assert sql("SELECT count(*) FROM appointments") == [(4,)]


async def test_a_lenient_bulk_that_left_nothing_out_has_nothing_to_tell(api: Api) -> None:
    silent = "mutation ($input: AppointmentBulkCreateInput!) { appointmentBulkCreate(input: $input) { created } }"
    wish = {"providerId": await api.provider(), **window("09:00", "10:00"), "errorPolicy": "REJECT_FAILED_ROWS"}

    answer = await api.post(silent, input=wish)

    assert answer == {"data": {"appointmentBulkCreate": {"created": 4}}}


async def test_ten_thousand_windows_of_one_slot_are_a_bulk_like_any_other(api: Api, sql: Sql) -> None:
    ada, start, minute = await api.provider(), datetime(2027, 5, 3, tzinfo=UTC), timedelta(minutes=1)
    starts = [start + 2 * n * minute for n in range(10_000)]  # each with a gap behind it
    sent = [{"startTime": at.isoformat(), "endTime": (at + minute).isoformat()} for at in starts]
    wish = {"windows": sent, "slotMinutes": 1}

    first = await submit(api, ada, **wish)
    again = await submit(api, ada, **wish, mode="REPLACE_WINDOW")

    assert (first["userErrors"], again["userErrors"]) == ([], [])
    assert (totals(first), totals(again)) == ((10_000, 0, 0), (0, 10_000, 0))
    assert first["appointments"] == again["appointments"]
    assert again["appointments"]["totalCount"] == 10_000
    assert sql(EVENTS) == [(CREATED, 1)]
