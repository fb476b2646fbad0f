"""What an attacker tried and cannot do again: dear mistakes, buckets of one's own, guesses that cost us more than them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy.engine import make_url

from models.api_key import Token
from models.api_key import token as written
from models.business import DEFAULT_BUSINESS
from models.node_id import encode
from models.viewer import Role
from schema import complaint
from server import graphql, identity, rate
from server.migration import newest
from tests.conftest import ROOT, Api, fresh_database, serving
from tests.keys import OTHER, Headers, another_business, bearer, data, send

Sql = Callable[..., list[tuple[Any, ...]]]
BOTH_ROADS = pytest.mark.parametrize("compile", [True, False], ids=["compiled", "ordinary"])
NOTHING = "{ __typename }"
UNKNOWN = UUID("0190ffff-ffff-7fff-8fff-ffffffffffff")


def codes(answer: Any) -> list[str]:
    return [error["extensions"]["code"] for error in answer.get("errors", ())]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rate limit's clock stands still, at the beginning of a window."""
    monkeypatch.setattr(rate, "monotonic", lambda: 120_000.0)


def left(response: Any) -> int:
    """How many points are left to whoever got this answer."""
    return int(response.headers["ratelimit"].partition("r=")[2].partition(";")[0])


@pytest.fixture
def noticed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was found wrong with a value, by us and by the library, and what was suggested instead."""
    seen: list[str] = []
    library = sys.modules["graphql.utilities.validate_input_value"]

    def note(module: Any, name: str) -> None:
        function = getattr(module, name)

        def noted(*given: Any) -> Any:
            seen.append(name)
            return function(*given)

        monkeypatch.setattr(module, name, noted)

    note(complaint, "_complaint")
    note(library, "suggestion_list")
    return seen


FILTERED = "query ($filter: AvailabilityFilter) { availableAppointments(filter: $filter) { nodes { id } } }"
CREATED = "mutation ($input: ClientCreateInput!) { clientCreate(input: $input) { client { id } } }"
MISTAKES: dict[str, tuple[str, dict[str, Any]]] = {
    "4 000 unknown fields of a query": (FILTERED, {"filter": {f"f{n:04}": 1 for n in range(4_000)}}),
    "20 000 unknown fields of a mutation": (CREATED, {"input": {f"firstName{n}": 1 for n in range(20_000)}}),
    "10 000 wrong instants": (
        "mutation ($input: AppointmentBulkCreateInput!) { appointmentBulkCreate(input: $input) { created } }",
        {"input": {"providerId": "a", "windows": [{"startTime": 1, "endTime": 2}] * 5_000}},
    ),
}


@BOTH_ROADS
@pytest.mark.parametrize("mistake", MISTAKES)
async def test_of_many_mistakes_in_one_value_the_first_ten_are_looked_for(
    database: str,
    noticed: list[str],
    mistake: str,
    compile: bool,  # noqa: A002
) -> None:
    document, variables = MISTAKES[mistake]
    async with serving(database, compile=compile) as api:
        answer = await api.post(document, **variables)

    assert "data" not in answer
    assert len(answer["errors"]) == 10
    assert noticed.count("_complaint") == 10
    assert noticed.count("suggestion_list") <= 3 * 11


async def test_a_few_mistakes_are_all_told(api: Api) -> None:
    answer = await api.post(FILTERED, filter={f"f{n}": 1 for n in range(9)})

    assert [error["extensions"]["field"] for error in answer["errors"]] == [f"f{n}" for n in range(9)]


@pytest.mark.usefixtures("clock")
async def test_whatever_the_public_sends_it_is_limited_by_address(database: str) -> None:
    async with serving(database, API_KEYS="on", RATE_LIMIT="60000", RATE_LIMIT_ANONYMOUS="20000") as api:
        ways: list[Headers] = [
            {},
            {},
            {"authorization": ""},
            *({"authorization": "", "x-business": encode("Business", uuid4())} for _ in range(3)),
            {"x-business": encode("Business", DEFAULT_BUSINESS)},
            {"host": "elsewhere.example", "authorization": ""},
        ]
        told = [await send(api, NOTHING, headers) for headers in ways]

    first, *others = map(left, told)  # who sends a document first pays for that, too
    assert others == [first - n for n in range(1, len(ways))]
    assert first < 20_000
    assert {response.headers["ratelimit-policy"] for response in told} == {'"default";q=20000;w=60'}


@pytest.mark.usefixtures("clock")
async def test_an_operator_has_one_purse_in_all_businesses(database: str, sql: Sql) -> None:
    another_business(sql)
    async with serving(database, API_KEYS="on", RATE_LIMIT="20000") as api:
        operator = await bearer(api, Role.OPERATOR)
        named = [
            operator,
            operator,
            *({**operator, "x-business": encode("Business", each)} for each in (OTHER, DEFAULT_BUSINESS)),
        ]

        told = [await send(api, NOTHING, headers) for headers in named]

    first, *others = map(left, told)
    assert others == [first - 1, first - 2, first - 3]


def guess() -> Headers:
    """A token of a key that there is not."""
    return {"authorization": f"Bearer {written(DEFAULT_BUSINESS, uuid4(), uuid4().bytes * 2)}"}


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize("points", [20_000, 20_050, 20_099])
async def test_who_has_guessed_too_much_costs_no_statement_more(database: str, points: int) -> None:
    async with serving(database, API_KEYS="on", RATE_LIMIT_ANONYMOUS=str(points)) as api:
        admin = await bearer(api, Role.ADMIN)
        await data(api, NOTHING, admin)
        status = 401
        while status == 401:
            status = (await send(api, NOTHING, guess())).status_code
        api.statements.clear()

        more = [await send(api, NOTHING, guess()) for _ in range(300)]
        known = await send(api, NOTHING, admin)

    assert {response.status_code for response in more} == {429}
    assert known.status_code == 200
    assert api.statements == []


@pytest.mark.usefixtures("clock")
async def test_to_show_a_key_costs_an_address_a_point_until_it_is_known(database: str, sql: Sql) -> None:
    sql("UPDATE businesses SET is_public = true")
    async with serving(database, API_KEYS="on", RATE_LIMIT_ANONYMOUS="20000") as api:
        admin = await bearer(api, Role.ADMIN)

        for _ in range(3):
            await data(api, NOTHING, admin)
        public = await send(api, NOTHING, {})

    assert left(public) == 20_000 - 1 - 1  # to look for the key once, and for its own question


async def test_tokens_that_are_refused_push_no_key_out_of_memory(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "MOST_KNOWN", 2)
    monkeypatch.setattr(identity, "monotonic", lambda: 0.0)
    async with serving(database, API_KEYS="on", RATE_LIMIT="0") as api:
        keys = [await bearer(api, Role.ADMIN) for _ in range(2)]
        for headers in keys:
            await data(api, NOTHING, headers)
        kept = api.http._transport.app.state.gate.identity.by_key._kept  # type: ignore[attr-defined]

        refused = [await send(api, NOTHING, guess()) for _ in range(10)]
        api.statements.clear()
        answers = [await data(api, NOTHING, headers) for headers in keys]

    assert {response.status_code for response in refused} == {401}
    assert answers == [{"__typename": "Query"}] * 2
    assert api.statements == []
    assert (len(kept), kept.weight) == (2, 2)


async def test_a_token_that_is_too_long_is_not_even_read(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole = Token.read

    def noted(text: str) -> Token | None:
        read.append(text)
        return whole(text)

    monkeypatch.setattr(Token, "read", noted)
    async with serving(database, API_KEYS="on", RATE_LIMIT="0") as api:
        long, fitting = [await send(api, NOTHING, {"authorization": f"Bearer hf_{'a' * n}"}) for n in (98, 97)]

    assert (long.status_code, fitting.status_code) == (401, 401)
    assert read == [f"hf_{'a' * 97}"]
    assert api.statements == []


async def test_of_a_long_accept_header_the_beginning_is_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    negotiate = graphql.negotiate

    def noted(accept: str) -> str:
        read.append(accept)
        return negotiate(accept)

    monkeypatch.setattr(graphql, "negotiate", noted)
    modern = "application/graphql-response+json, " + "a/b;q=0.1," * 5_000

    response = await api.http.post("/graphql", json={"query": NOTHING}, headers={"accept": modern})

    assert response.headers["content-type"] == "application/graphql-response+json; charset=utf-8"
    assert read == [modern[:1_000]]


PERSON = "{ providers(first: 10) { nodes { email phone firstName } } }"
COSTS = [
    ("{ providers { totalCount } }", 101),
    (PERSON, 2 + 10 * (2 + 2 + 1)),
    ("{ reservations(first: 10) { nodes { note cancelReason id } } }", 2 + 10 * (2 + 2 + 1)),
    ('mutation { clientCreate(input: {firstName: "A", lastName: "B"}) { __typename } }', 11),
    ('mutation { reservationConfirm(input: {reservationId: "a"}) { __typename } }', 11),
    ('mutation { clientExport(input: {clientId: "a"}) { __typename } }', 501),
    ("{ nothing }", 100),
    ("{", 100),
]


@BOTH_ROADS
@pytest.mark.parametrize(("document", "cost"), COSTS)
async def test_what_is_dear_for_us_costs_points(
    database: str,
    document: str,
    cost: int,
    compile: bool,  # noqa: A002
) -> None:
    async with serving(database, compile=compile) as api:
        await api.post(document)

    assert api.cost["requestedQueryCost"] == cost


@pytest.mark.usefixtures("clock")
async def test_who_sends_invalid_documents_is_soon_refused(database: str) -> None:
    async with serving(database, API_KEYS="on", RATE_LIMIT_ANONYMOUS="20000") as api:
        told = [await send(api, f"{{ nothing{n} }}", {}) for n in range(201)]

    price = 20_000 - left(told[0])
    granted = 20_000 // price
    assert price >= 100
    assert [left(response) for response in told[:granted]] == [20_000 - price * n for n in range(1, granted + 1)]
    assert [response.status_code for response in told] == [400] * granted + [429] * (201 - granted)


async def test_the_public_has_no_limit_where_none_is_set(database: str, sql: Sql) -> None:
    sql("UPDATE businesses SET is_public = true")
    async with serving(database, API_KEYS="on", RATE_LIMIT="20000", RATE_LIMIT_ANONYMOUS="0") as api:
        admin = await bearer(api, Role.ADMIN)
        told = [await send(api, "{ nothing }", {}) for _ in range(210)]
        answered = await send(api, NOTHING, {})
        refused = [await send(api, NOTHING, guess()) for _ in range(3)]
        limited = [left(await send(api, NOTHING, admin)) for _ in range(2)]

    assert {response.status_code for response in told} == {400}
    assert (answered.status_code, answered.json()["data"]) == (200, {"__typename": "Query"})
    assert "ratelimit" not in answered.headers
    assert {response.status_code for response in refused} == {401}
    assert limited == [19_999, 19_998]


BULK = (
    "mutation ($input: AppointmentBulkCreateInput!) { appointmentBulkCreate(input: $input) { created"
    " results { index error { code } } userErrors { code field ... on TooManyRowsError { found limit } } } }"
)
PAST = {"startTime": "2020-05-03T09:00:00Z", "endTime": "2020-05-03T09:15:00Z"}


@pytest.mark.parametrize("policy", ["REJECT_EVERYTHING", "REJECT_FAILED_ROWS"])
async def test_more_windows_than_a_bulk_may_have_are_refused_before_they_are_looked_at(
    api: Api, sql: Sql, policy: str
) -> None:
    provider = await api.provider()
    api.statements.clear()

    done = await api(BULK, input={"providerId": provider, "errorPolicy": policy, "windows": [PAST] * 10_001})

    told = done["appointmentBulkCreate"]
    assert told["userErrors"] == [{"code": "TOO_MANY_ROWS", "field": ["windows"], "found": 10_001, "limit": 10_000}]
    assert (told["created"], told["results"]) == (0, [])
    assert api.statements == []


async def test_of_many_windows_that_are_left_out_the_first_hundred_are_explained(api: Api, sql: Sql) -> None:
    provider = await api.provider()
    good = {"startTime": "2027-05-03T09:00:00Z", "endTime": "2027-05-03T09:15:00Z"}
    wanted = {"providerId": provider, "errorPolicy": "REJECT_FAILED_ROWS", "windows": [PAST] * 150 + [good]}

    told = (await api(BULK, input=wanted))["appointmentBulkCreate"]

    assert [error["field"][:2] for error in told["userErrors"]] == [["windows", str(n)] for n in range(100)]
    assert [each["error"] is not None for each in told["results"]] == [True] * 150 + [False]
    assert (told["created"], sql("SELECT count(*) FROM appointments")) == (1, [(1,)])


@pytest.fixture
def login(cluster: str, migrated: str) -> Iterator[str]:
    """A login that may nothing, in a cluster where the application's role is there already."""
    name = f"holdfast_test_{uuid4().hex}"
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN NOCREATEROLE PASSWORD 'nothing'")
        yield name
        admin.execute(f"DROP ROLE {name}")


def as_login(url: str, name: str) -> str:
    return make_url(url).set(username=name, password="nothing").render_as_string(hide_password=False)


def migrate(url: str) -> subprocess.CompletedProcess[str]:
    """What the command says, and how it ends."""
    command = [sys.executable, "-m", "server", "migrate"]
    environment = {**os.environ, "DATABASE_URL": url}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_a_login_that_may_not_migrate_is_told_so_in_one_sentence(cluster: str, login: str) -> None:
    with fresh_database(cluster) as empty:
        done = migrate(as_login(empty, login))
        with psycopg.connect(empty) as owner:
            tables = owner.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            ).fetchall()

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "The database is not current, and this login may not migrate it; set OWNER_DATABASE_URL,"
        " or migrate as the owner.\n"
    )
    assert tables == []


def test_a_login_of_the_application_finds_nothing_to_migrate(cluster: str, login: str, database: str) -> None:
    with psycopg.connect(cluster, autocommit=True) as admin:
        admin.execute(f"GRANT holdfast_app TO {login}")

    done = migrate(as_login(database, login))

    assert (done.returncode, done.stderr) == (0, "")


def test_an_owner_who_makes_no_roles_migrates_where_the_role_is_there(cluster: str, login: str) -> None:
    with fresh_database(cluster) as empty:
        with psycopg.connect(cluster, autocommit=True) as admin:
            admin.execute(f"ALTER DATABASE {make_url(empty).database} OWNER TO {login}")
            admin.execute(f"GRANT holdfast_app TO {login}")

        done = migrate(as_login(empty, login))

        with psycopg.connect(as_login(empty, login)) as owner:
            version = owner.execute("SELECT version_num FROM alembic_version").fetchone()
            owner.execute("SET ROLE holdfast_app")
            seen = owner.execute("SELECT count(*) FROM businesses").fetchone()
    assert (done.returncode, done.stderr) == (0, "")
    assert version == (newest(),)
    assert seen == (0,)
