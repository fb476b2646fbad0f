"""Bytes that are no GraphQL request: each gets its status, its code and one sentence, in one shape, and nothing else."""

import gzip
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest

from tests.conftest import Api, serving

JSON = {"content-type": "application/json"}
CLOCK = b'{"query": "{ serverTime }"}'
CHANGE = b'{"query": "mutation { clientCreate(input: {firstName: \\"\\", lastName: \\"\\"}) { userErrors { code } } }"}'
MUTATION = 'mutation { clientCreate(input: {firstName: "Mary", lastName: "Shelley"}) { client { id } } }'
NEVER_SAID = re.compile("psycopg|sqlalchemy|traceback|select |internal|starlette|exception", re.IGNORECASE)


@pytest.fixture(scope="module")
async def api(migrated: str) -> AsyncIterator[Api]:
    """The API over a database that nobody writes to: whatever is sent here is refused."""
    async with serving(migrated, pool_size=1) as client:
        yield client


ANONYMOUS = {
    "data": {"viewer": {"principal": "anonymous"}},
    "extensions": {"cost": {"requestedQueryCost": 2, "actualQueryCost": 2}},
}


def refused(response: httpx2.Response) -> tuple[int, str]:
    """The status and the code of a refusal, of which every other byte is as promised."""
    body = response.json()
    (error,) = body["errors"]
    assert body == {"errors": [{"message": error["message"], "extensions": error["extensions"]}]}
    assert error["extensions"].keys() == {"code", "requestId"}
    assert error["extensions"]["requestId"] == response.headers["x-request-id"]
    assert re.fullmatch(r"[A-Za-z][^\n]*\.", error["message"])
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert not NEVER_SAID.search(response.text)
    return response.status_code, error["extensions"]["code"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"query=serverTime", id="1 a form"),
        pytest.param(b"{'query': '{ serverTime }'}", id="1 single quotes"),
        pytest.param(CLOCK[:-1], id="1 cut off"),
        pytest.param(CLOCK + CLOCK, id="1 two values"),
        pytest.param(b"", id="2 empty"),
        pytest.param(b" \n", id="2 white space"),
        pytest.param(b'{"query": "{ serverTime }", "query": "{ viewer { principal } }"}', id="3 query twice"),
        pytest.param(b'{"query": "{ serverTime }", "variables": {"a": {"b": 1, "b": 2}}}', id="3 deep inside"),
        pytest.param(b'{"query":"{ serverTime }","variables":{"a":{"b":1,"b":1}}}', id="3 compact"),
        pytest.param(b'{"query": "{ serverTime }", "qu\\u0065ry": "{ serverTime }"}', id="3 twice in disguise"),
        pytest.param(b'{"query": "{ serverTime }", "variables": {"a": NaN}}', id="4 NaN"),
        pytest.param(b'{"query": "{ serverTime }", "variables": {"a": Infinity}}', id="4 Infinity"),
        pytest.param(b'{"query": "{ serverTime }", "variables": {"a": -Infinity}}', id="4 -Infinity"),
        pytest.param(b'{"query": "{ serverTime }", "variables": {"a": 1e999}}', id="4 infinity in disguise"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, id="5 lists 100 000 deep"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="5 objects 100 000 deep"),
        pytest.param(b"[" * 1_900_000, id="5 opened for ever"),
        pytest.param(b"[" * 11_000 + b"]" * 11_000, id="5 lists 11 000 deep"),
        pytest.param(b'{"a":' * 11_000 + b"1" + b"}" * 11_000, id="5 objects 11 000 deep"),
        pytest.param(b'{"query": "{ serverTime }", "variables": {"a": %s}}' % (b"9" * 5_000), id="5 5 000 digits"),
        pytest.param(b'{"query": "{ serverTime } # \xff"}', id="6 a byte that UTF-8 has not"),
        pytest.param('{"query": "{ serverTime } # é"}'.encode("latin-1"), id="6 Latin-1"),
        pytest.param(CLOCK.decode().encode("utf-16"), id="6 UTF-16"),
        pytest.param(b'{"query": "{ serverTime } # \xed\xa0\x80"}', id="6 half of a surrogate pair"),
        pytest.param(b'{"query": "{ serverTime } # \\ud800"}', id="41 the same, escaped"),
    ],
)
async def test_what_is_not_json_is_refused(api: Api, body: bytes) -> None:
    response = await api.http.post("/graphql", content=body, headers=JSON)

    assert refused(response) == (400, "BAD_JSON")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param([{"query": "{ serverTime }"}] * 12, id="7 a batch of 12"),
        pytest.param([], id="7 an empty batch"),
        pytest.param("{ serverTime }", id="7 a text"),
        pytest.param(None, id="7 null"),
        pytest.param({}, id="8 query missing"),
        pytest.param({"query": None}, id="8 query null"),
        pytest.param({"query": 5}, id="8 query a number"),
        pytest.param({"query": ["{ serverTime }"]}, id="8 query a list"),
        pytest.param({"query": ""}, id="8 query empty"),
        pytest.param({"query": " \n\t"}, id="8 query blank"),
        pytest.param({"query": "{ serverTime }", "variables": [1]}, id="9 variables a list"),
        pytest.param({"query": "{ serverTime }", "variables": []}, id="9 variables an empty list"),
        pytest.param({"query": "{ serverTime }", "variables": ""}, id="9 variables an empty text"),
        pytest.param({"query": "{ serverTime }", "variables": 0}, id="9 variables zero"),
        pytest.param({"query": "{ serverTime }", "extensions": [1]}, id="9 extensions a list"),
        pytest.param({"query": "{ serverTime }", "operationName": 5}, id="9 operationName a number"),
        pytest.param({"query": "{ serverTime }", "operationName": ["a"]}, id="9 operationName a list"),
    ],
)
async def test_json_that_is_no_request_is_refused(api: Api, body: Any) -> None:
    response = await api.http.post("/graphql", content=json.dumps(body), headers=JSON)

    assert refused(response) == (400, "BAD_REQUEST")


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        pytest.param(
            {"content-type": "application/x-www-form-urlencoded"}, urlencode({"query": MUTATION}), id="10 form"
        ),
        pytest.param(
            {"content-type": "multipart/form-data; boundary=x"},
            f'--x\r\nContent-Disposition: form-data; name="query"\r\n\r\n{MUTATION}\r\n--x--\r\n',
            id="10 multipart",
        ),
        pytest.param({"content-type": "text/plain"}, json.dumps({"query": MUTATION}), id="10 text/plain"),
        pytest.param({"content-type": "application/graphql"}, MUTATION, id="10 application/graphql"),
        pytest.param(
            {"content-type": "text/plain;application/json"}, json.dumps({"query": MUTATION}), id="10 disguise"
        ),
        pytest.param({}, json.dumps({"query": MUTATION}), id="10 no type"),
        pytest.param(
            JSON | {"content-encoding": "gzip"}, gzip.compress(b" " * 10_000_000), id="13 10 MB in a few bytes"
        ),
        pytest.param(JSON | {"content-encoding": "gzip"}, CLOCK, id="13 gzip in name only"),
        pytest.param(JSON | {"content-encoding": "br"}, CLOCK, id="13 br"),
        pytest.param(JSON | {"content-encoding": "identity, deflate"}, CLOCK, id="13 two codings"),
    ],
)
async def test_other_types_and_codings_are_not_read(api: Api, headers: dict[str, str], body: str | bytes) -> None:
    response = await api.http.post("/graphql", content=body, headers=headers)

    assert refused(response) == (415, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize(
    "document",
    [
        pytest.param(MUTATION, id="11 a mutation"),
        pytest.param(f"query a {{ serverTime }} {MUTATION.replace('mutation', 'mutation b')}", id="11 one of two"),
    ],
)
async def test_a_get_never_changes_anything(api: Api, document: str) -> None:
    name = {"operationName": "b"} if "mutation b" in document else {}

    response = await api.http.get("/graphql", params={"query": document, **name})

    assert refused(response) == (405, "METHOD_NOT_ALLOWED")
    assert response.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        pytest.param({"query": ""}, "BAD_REQUEST", id="8 query empty"),
        pytest.param({"variables": "{}"}, "BAD_REQUEST", id="8 query missing"),
        pytest.param({"query": "{ serverTime }", "variables": "{"}, "BAD_JSON", id="1 variables not JSON"),
        pytest.param({"query": "{ serverTime }", "variables": '{"a": NaN}'}, "BAD_JSON", id="4 variables with NaN"),
        pytest.param({"query": "{ serverTime }", "variables": "[" * 20_000}, "BAD_JSON", id="5 variables nested"),
        pytest.param({"query": "{ serverTime }", "variables": "[1]"}, "BAD_REQUEST", id="9 variables a list"),
    ],
)
async def test_a_get_is_read_as_strictly_as_a_post(api: Api, parameters: dict[str, str], code: str) -> None:
    response = await api.http.get("/graphql", params=parameters)

    assert refused(response) == (400, code)
    assert "body" not in response.text


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            b'{"query":"{ viewer { principal } }","variables":{"a":{"b":1},"c":[{"b":1},{"b":1}]}}', id="compact"
        ),
        pytest.param(b' {"query" : "{ viewer { principal } }",\n"variables": {"a": 1e2, "b": 1.50}}\n', id="spaced"),
        pytest.param(b'{"qu\\u0065ry":"{ viewer { principal }\\u0020}"}', id="escaped"),
        pytest.param(
            b'{"query":"{ viewer { principal } }","variables":{"a":%s1%s}}' % (b"[" * 500, b"]" * 500), id="500 deep"
        ),
        pytest.param(
            b'{"query":"{ viewer { principal } }","variables":{"a":123456789012345678901234567890}}', id="30 digits"
        ),
    ],
)
async def test_json_is_read_however_it_is_written(api: Api, body: bytes) -> None:
    response = await api.http.post("/graphql", content=body, headers=JSON)

    assert (response.status_code, response.json()) == (200, ANONYMOUS)


async def test_a_query_by_get_is_answered(api: Api) -> None:
    response = await api.http.get("/graphql", params={"query": "{ viewer { principal } }"})

    assert (response.status_code, response.json()) == (200, ANONYMOUS)


@pytest.mark.parametrize(
    "length", [pytest.param({}, id="12 chunked"), pytest.param({"content-length": "99"}, id="12 a lie")]
)
async def test_a_body_without_end_is_refused_while_it_is_read(api: Api, length: dict[str, str]) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 100_000
            yield b" " * 100_000

    response = await api.http.post("/graphql", content=endless(), headers=JSON | length)

    assert refused(response) == (413, "BODY_TOO_LARGE")
    assert sent == 2_100_000


@pytest.mark.parametrize(
    ("body", "most", "said"),
    [
        pytest.param(CHANGE, 2_000_000, "The body is larger than 2000000 bytes.", id="12 a mutation"),
        pytest.param(CLOCK, 50_000, "The body has 50001 bytes; a query may have 50000.", id="12 a query"),
    ],
)
async def test_a_body_may_have_so_many_bytes_and_not_one_more(api: Api, body: bytes, most: int, said: str) -> None:
    answered = await api.http.post("/graphql", content=body.ljust(most), headers=JSON)
    longer = await api.http.post("/graphql", content=body.ljust(most + 1), headers=JSON)

    assert (answered.status_code, "errors" in answered.json()) == (200, False)
    assert refused(longer) == (413, "BODY_TOO_LARGE")
    assert longer.json()["errors"][0]["message"] == said


async def test_brackets_in_a_text_are_no_lists(api: Api) -> None:
    body = {"query": "{ viewer { principal } }", "variables": {"a": ["[{" * 6_500, '"[{\\' * 100]}}

    response = await api.http.post("/graphql", json=body)

    assert (response.status_code, response.json()) == (200, ANONYMOUS)


async def test_a_text_that_never_ends_is_looked_through_once(api: Api) -> None:
    body = b"[" * 13_000 + b'"' + b'\\"' * 900_000

    response = await api.http.post("/graphql", content=body, headers=JSON)

    assert refused(response) == (400, "BAD_JSON")


async def test_the_query_of_two_operations_is_no_larger_for_the_mutation_beside_it(api: Api) -> None:
    body = {"query": f"query a {{ serverTime }} {MUTATION.replace('mutation', 'mutation b')}", "operationName": "a"}

    response = await api.http.post("/graphql", content=json.dumps(body).encode().ljust(50_001), headers=JSON)

    assert refused(response) == (413, "BODY_TOO_LARGE")


@pytest.mark.parametrize("each", [b"[]", b"{}"], ids=["5 lists", "5 objects"])
async def test_a_body_may_have_so_many_lists_and_objects_and_not_one_more(api: Api, each: bytes) -> None:
    body = b'{"query":"{ viewer { principal } }","variables":{"a":[%s]}}'
    others = len([b"the body", b"its variables", b"the list"])  # what stands in a text does not count

    most, more = [
        await api.http.post("/graphql", content=body % b",".join([each] * (count - others)), headers=JSON)
        for count in (12_000, 12_001)
    ]

    assert (most.status_code, most.json()) == (200, ANONYMOUS)
    assert refused(more) == (400, "BAD_JSON")
    assert more.json()["errors"][0]["message"] == "The body has more than 12000 lists and objects."


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"a\r\nset-cookie: b=c", id="47 a new header"),
        pytest.param(b'a\n{"event": "forged"}', id="47 a new log line"),
        pytest.param(b"a" * 65, id="47 65 characters"),
        pytest.param("é".encode(), id="47 letters of others"),
        pytest.param(b"", id="47 nothing"),
    ],
)
async def test_a_request_id_that_could_do_harm_is_replaced(api: Api, sent: bytes) -> None:
    response = await api.http.post("/graphql", content=b"", headers=[(b"x-request-id", sent), *_raw(JSON)])

    assert refused(response) == (400, "BAD_JSON")
    assert re.fullmatch("[0-9a-f]{32}", response.headers["x-request-id"])


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the server has written since this was last asked, in lines as the most sensitive reader sees them."""
    caplog.set_level(logging.INFO, "holdfast.http")

    def since() -> list[str]:
        return capsys.readouterr().err.splitlines()

    return since


@pytest.mark.parametrize("forged", [pytest.param('\r\n{"event": "forged"}\u2028', id="47 a line in disguise")])
async def test_a_request_is_one_line_of_the_log_whatever_it_contains(
    api: Api, lines: Callable[[], list[str]], forged: str
) -> None:
    body = {"query": "{ serverTime }" + forged, "operationName": forged, "variables": {forged: forged}}

    await api.http.post("/graphql", json=body, headers=[(b"x-request-id", forged.encode()), (b"accept", b"a\nb")])
    await api.http.get("/%0D%0Aforged")
    await api.http.get("/%E2%80%A8forged")

    told = [json.loads(line) for line in lines()]
    assert [(line["event"], line["path"]) for line in told] == [
        ("request", "/graphql"),
        ("request", "/\r\nforged"),
        ("request", "/%E2%80%A8forged"),
    ]


async def test_a_request_is_no_line_where_only_warnings_are_written(
    api: Api, lines: Callable[[], list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "holdfast.http")

    response = await api.http.get("/livez")

    assert response.status_code == 200
    assert lines() == []


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
