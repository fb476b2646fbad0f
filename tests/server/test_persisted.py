"""Documents that are not sent, because their hash says enough; documents that are the only ones; and how long one may be."""

import gzip
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from hashlib import md5, sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from graphql import parse

from schema.execution import Documents, Question
from server.persisted import Registered, Trusted
from server.request import BadRequestError, UnknownDocumentError
from server.settings import SettingsError
from tests.conftest import ROOT, Api, Running, running, serving
from tests.npm import installed

EXAMPLES = ROOT / "docs" / "examples"
NO_NAMES: tuple[Any, ...] = ([], 0, "", {}, "a" * 64)
JSON, MODERN = "application/json", "application/graphql-response+json"
NOT_FOUND = "PERSISTED_QUERY_NOT_FOUND"
VIEWER = "query Me { viewer { principal } }"
TWO = "query Kind { viewer { __typename } } query These($ids: [ID!]!) { nodes(ids: $ids) { id } }"
MUTATION = 'mutation { clientCreate(input: {firstName: "Mary", lastName: "Shelley"}) { client { firstName } } }'
ANONYMOUS = {"viewer": {"principal": "anonymous"}}
MADE = {"clientCreate": {"client": {"firstName": "Mary"}}}

Sql = Callable[..., list[tuple[Any, ...]]]
Seen = tuple[list[str], Callable[[], list[str]]]


@pytest.fixture
async def api(migrated: str) -> AsyncIterator[Api]:
    """The API over a database that nobody writes to, to which no document was ever sent."""
    async with serving(migrated, pool_size=1) as client:
        yield client


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The documents that were parsed."""
    seen: list[str] = []

    def note(text: str, **named: Any) -> Any:
        seen.append(text)
        return parse(text, **named)

    monkeypatch.setattr("schema.execution.parse", note)
    return seen


@pytest.fixture
def seen(parsed: list[str], statements: Callable[[], list[str]]) -> Seen:
    """What was parsed and what the database was asked."""
    return parsed, statements


def digest(document: str) -> str:
    return sha256(document.encode()).hexdigest()


def apollo(identifier: Any, version: Any = 1) -> dict[str, Any]:
    """What Apollo's clients send instead of a document."""
    return {"extensions": {"persistedQuery": {"version": version, "sha256Hash": identifier}}}


def standard(identifier: str) -> dict[str, Any]:
    """What GraphQL over HTTP says to send instead of a document."""
    return {"documentId": identifier}


async def ask(api: Api, request: dict[str, Any], *, get: bool = False, accept: str = JSON) -> httpx2.Response:
    if not get:
        return await api.http.post("/graphql", json=request, headers={"accept": accept})
    parameters = {name: each if isinstance(each, str) else json.dumps(each) for name, each in request.items()}
    return await api.http.get("/graphql", params=parameters, headers={"accept": accept})


def refused(response: httpx2.Response) -> tuple[int, str, str]:
    """The status, the code and the sentence of a refusal."""
    body = response.json()
    (error,) = body["errors"]
    assert body.keys() == {"errors"}
    assert error.keys() == {"message", "extensions"}
    assert error["extensions"] == {
        "code": error["extensions"]["code"],
        "requestId": response.headers["x-request-id"],
    }
    return response.status_code, error["extensions"]["code"], error["message"]


def answered(response: httpx2.Response) -> Any:
    """The data of an answer that has no errors."""
    body = response.json()
    assert (response.status_code, "errors" in body) == (200, False)
    return body["data"]


def trusting(api: Api, folder: Path) -> None:
    """Have the server answer only the documents of a folder."""
    transport: Any = api.http._transport
    transport.app.state.gate.persisted = Trusted(folder, Documents())


@pytest.mark.parametrize("get", [False, True], ids=["POST", "GET"])
@pytest.mark.parametrize("name", [apollo(digest(VIEWER)), standard(f"sha256:{digest(VIEWER)}")], ids=["Apollo", "HTTP"])
async def test_a_hash_that_nobody_registered_is_not_found_in_the_words_of_apollo(
    api: Api, name: dict[str, Any], get: bool
) -> None:
    older, modern = [await ask(api, name, get=get, accept=accept) for accept in (JSON, MODERN)]

    # Clients look for these words; those of the older media type only where the status is 200.
    assert refused(older) == (200, NOT_FOUND, "PersistedQueryNotFound")
    assert refused(modern) == (400, NOT_FOUND, "PersistedQueryNotFound")
    assert [each.headers["content-type"].partition(";")[0] for each in (older, modern)] == [JSON, MODERN]
    for each in (older, modern):
        assert each.headers["cache-control"] == "private, no-cache, must-revalidate"


@pytest.mark.parametrize("get", [False, True], ids=["POST", "GET"])
async def test_a_document_that_was_sent_with_its_hash_need_not_be_sent_again(api: Api, get: bool) -> None:
    first = await ask(api, {"query": VIEWER, **apollo(digest(VIEWER))}, get=get)
    again = [
        await ask(api, name, get=by_get)
        for name in (apollo(digest(VIEWER)), standard(f"sha256:{digest(VIEWER)}"), apollo(digest(VIEWER).upper()))
        for by_get in (False, True)
    ]

    assert answered(first) == ANONYMOUS
    assert [answered(each) for each in again] == [ANONYMOUS] * 6
    assert "cache-control" not in first.headers


async def test_a_document_id_registers_as_a_hash_does(api: Api) -> None:
    name = standard(f"sha256:{digest(VIEWER)}")

    first = await ask(api, {"query": VIEWER, **name})
    again = await ask(api, {**name, **apollo(digest(VIEWER))})

    assert [answered(first), answered(again)] == [ANONYMOUS, ANONYMOUS]


async def test_variables_and_the_operation_are_sent_beside_a_hash(api: Api) -> None:
    await ask(api, {"query": TWO, "operationName": "Kind", **apollo(digest(TWO))})
    request = {"operationName": "These", "variables": {"ids": []}, **apollo(digest(TWO))}

    answers = [await ask(api, request, get=get) for get in (False, True)]

    assert [answered(each) for each in answers] == [{"nodes": []}] * 2


async def test_a_mutation_is_asked_by_its_hash_but_never_by_get(database: str, sql: Sql) -> None:
    async with serving(database, pool_size=1) as api:
        by_get = await ask(api, {"query": MUTATION, **apollo(digest(MUTATION))}, get=True)
        unknown = await ask(api, apollo(digest(MUTATION)))
        first = await ask(api, {"query": MUTATION, **apollo(digest(MUTATION))})
        known_by_get = await ask(api, apollo(digest(MUTATION)), get=True)
        again = await ask(api, apollo(digest(MUTATION)))

    for refusal in (by_get, known_by_get):
        assert refused(refusal)[:2] == (405, "METHOD_NOT_ALLOWED")
        assert refusal.headers["allow"] == "POST"
    assert refused(unknown)[1] == NOT_FOUND
    assert [answered(first), answered(again)] == [MADE, MADE]
    assert sql("SELECT count(*) FROM clients") == [(2,)]


async def test_a_hash_of_another_document_registers_nothing(api: Api, parsed: list[str]) -> None:
    other = "query Me { viewer { principal } } "

    told = await ask(api, {"query": other, **apollo(digest(VIEWER))})
    left = [await ask(api, apollo(digest(document))) for document in (VIEWER, other)]

    assert refused(told) == (400, "BAD_REQUEST", "The hash is not the SHA-256 hash of query.")
    assert [refused(each)[1] for each in left] == [NOT_FOUND] * 2
    assert parsed == []


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        pytest.param(apollo(digest(VIEWER), version), "persistedQuery must be a JSON object of version 1.", id=name)
        for name, version in {"2": 2, "0": 0, "text": "1", "true": True, "null": None, "list": [1]}.items()
    ]
    + [
        pytest.param({"extensions": {"persistedQuery": named}}, "must be a JSON object of version 1.", id=str(named))
        for named in NO_NAMES
    ]
    + [
        pytest.param(apollo(identifier), "sha256Hash must be a text.", id=f"hash {identifier!r}")
        for identifier in (None, 1, ["a" * 64])
    ]
    + [
        pytest.param(apollo(identifier), "identified by its SHA-256 hash: 64 hexadecimal digits.", id=name)
        for name, identifier in {
            "empty": "",
            "63": "a" * 63,
            "65": "a" * 65,
            "g": "g" * 64,
            "line": "a" * 64 + "\n",
            "wide": "\N{FULLWIDTH DIGIT ONE}" * 64,
        }.items()
    ]
    + [
        pytest.param(standard("md5:" + "a" * 64), "64 hexadecimal digits.", id="another prefix"),
        pytest.param(standard("AppointmentQuery"), "64 hexadecimal digits.", id="an id of no manifest"),
        pytest.param({"documentId": 5}, "documentId must be a text.", id="documentId a number"),
        pytest.param({"documentId": ["a"]}, "documentId must be a text.", id="documentId a list"),
        pytest.param({**standard("a" * 64), **apollo("b" * 64)}, "name two documents.", id="two names"),
        pytest.param({"query": "", **apollo(digest(""))}, "query must be the text of a GraphQL document.", id="empty"),
        pytest.param({"query": 5, **apollo(digest("5"))}, "query must be the text of a GraphQL document.", id="number"),
        pytest.param({"documentId": None}, "query must be the text of a GraphQL document.", id="nothing"),
        pytest.param({"extensions": {"persistedQuery": None}}, "query must be the text", id="nothing of Apollo's"),
        pytest.param({"variables": [], **apollo(digest(VIEWER))}, "variables must be a JSON object.", id="variables"),
    ],
)
async def test_what_names_no_document_is_a_bad_request(api: Api, request_: dict[str, Any], told: str) -> None:
    with_query = {"query": VIEWER, **request_} if "query must" not in told else request_

    responses = [await ask(api, request_), await ask(api, with_query)]

    for response in responses:
        status, code, sentence = refused(response)
        assert (status, code) == (400, "BAD_REQUEST")
        assert told in sentence
        assert sentence.endswith(".")


async def test_other_extensions_are_nothing_to_us(api: Api) -> None:
    extensions = {"clientLibrary": {"name": "@apollo/client", "version": "4.3.8"}, "persistedQuery": None}

    answer = await ask(api, {"query": VIEWER, "extensions": extensions})

    assert answered(answer) == ANONYMOUS


@pytest.mark.parametrize(
    ("document", "more"),
    [
        pytest.param("{ viewer { principal }", {}, id="syntax"),
        pytest.param("{ nothing }", {}, id="an unknown field"),
        pytest.param(VIEWER, {"operationName": "Other"}, id="no such operation"),
        pytest.param("fragment Name on Client { firstName }", {}, id="no operation"),
    ],
)
async def test_a_document_that_is_not_answered_is_not_kept(api: Api, document: str, more: dict[str, Any]) -> None:
    wrong = await ask(api, {"query": document, **more, **apollo(digest(document))})
    again = await ask(api, apollo(digest(document)))

    assert wrong.json()["errors"]
    assert "data" not in wrong.json()
    assert refused(again)[1] == NOT_FOUND


async def test_a_browser_that_asks_by_a_hash_is_answered(api: Api) -> None:
    await ask(api, {"query": VIEWER, **apollo(digest(VIEWER))})

    for name in (apollo(digest(VIEWER)), standard(f"sha256:{digest(VIEWER)}")):
        answer = await ask(api, name, get=True, accept=f"text/html, {JSON}")

        assert answered(answer) == ANONYMOUS


async def test_each_worker_is_told_a_document_once(migrated: str) -> None:
    name = apollo(digest(VIEWER))
    async with serving(migrated, pool_size=1) as one, serving(migrated, pool_size=1) as other:
        await ask(one, {"query": VIEWER, **name})

        unknown = await ask(other, name)
        registered = await ask(other, {"query": VIEWER, **name})
        known = [await ask(worker, name) for worker in (one, other)]

    assert refused(unknown)[1] == NOT_FOUND
    assert [answered(each) for each in (registered, *known)] == [ANONYMOUS] * 3


def keep(kept: Registered, document: str) -> str:
    kept.keep(Question(document, {}, None, digest(document)))
    return digest(document)


def is_kept(kept: Registered, identifier: str) -> bool:
    try:
        kept.find(identifier, None)
    except UnknownDocumentError:
        return False
    return True


def test_a_thousand_documents_are_kept_and_what_nobody_asked_the_longest_gives_way() -> None:
    kept = Registered()
    names = [keep(kept, f"{{ a{n} }}") for n in range(1_000)]
    assert is_kept(kept, names[0])

    names.append(keep(kept, "{ one more }"))

    assert [name for name in names if not is_kept(kept, name)] == [names[1]]


@pytest.mark.parametrize(
    ("letter", "most"), [pytest.param("a", 199, id="one byte each"), pytest.param("\N{GRINNING FACE}", 49, id="four")]
)
def test_no_more_than_four_megabytes_are_kept(letter: str, most: int) -> None:
    kept = Registered()
    names = [keep(kept, str(n).ljust(20_000, letter)) for n in range(300)]

    assert [name for name in names if is_kept(kept, name)] == names[-most:]


def test_what_is_too_long_or_has_no_hash_is_not_kept() -> None:
    kept = Registered()

    longest, longer = keep(kept, "a" * 20_000), keep(kept, "a" * 20_001)
    kept.keep(Question(VIEWER, {}))

    assert is_kept(kept, longest)
    assert not is_kept(kept, longer)
    assert not is_kept(kept, digest(VIEWER))


@pytest.mark.parametrize(
    ("filling", "size"), [(" ", 20_001), ("é", 20_002), ("\N{GRINNING FACE}", 20_004)], ids=["1 byte", "2", "4"]
)
async def test_a_document_has_twenty_thousand_bytes_at_most(
    api: Api, parsed: list[str], filling: str, size: int
) -> None:
    width = len(filling.encode())
    longest = f"{VIEWER}{'#' * ((20_000 - len(VIEWER)) % width or width)}"
    longest += filling * ((20_000 - len(longest)) // width)
    assert len(longest.encode()) == 20_000

    allowed = await ask(api, {"query": longest, **apollo(digest(longest))})
    parsed_before = list(parsed)
    longer = longest + ("#" if filling == " " else filling)
    told = [await ask(api, {"query": longer, **more}) for more in ({}, apollo(digest(longer)), apollo("a" * 64))]

    assert answered(allowed) == ANONYMOUS
    sentence = f"The document has {size} bytes; 20000 are allowed."
    assert [refused(each) for each in told] == [(413, "DOCUMENT_TOO_LARGE", sentence)] * 3
    assert parsed == parsed_before == [longest]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        pytest.param(
            "{ serverTime }" + "\n# a comment" * 90_000, (413, "DOCUMENT_TOO_LARGE"), id="15 1 MB of comments"
        ),
        pytest.param("{" * 50_000, (413, "DOCUMENT_TOO_LARGE"), id="17 opened 50 000 times"),
        pytest.param("{" * 19_999, (400, "GRAPHQL_PARSE_FAILED"), id="17 opened 19 999 times"),
        pytest.param(
            f"{{ nodes(ids: {'[' * 5_000}{']' * 5_000}) {{ id }} }}", (400, "GRAPHQL_PARSE_FAILED"), id="17 5 000 lists"
        ),
        pytest.param("{a" * 6_600 + "}" * 6_600, (400, "GRAPHQL_PARSE_FAILED"), id="17 6 600 fields deep"),
    ],
)
async def test_a_document_without_end_is_refused_for_one_reason(
    api: Api, document: str, expected: tuple[int, str]
) -> None:
    response = await ask(api, {"query": document}, accept=MODERN)

    (error,) = response.json()["errors"]
    assert (response.status_code, error["extensions"]["code"]) == expected
    assert len(response.content) < 600
    assert "data" not in response.json()


@pytest.mark.parametrize(
    "nested", [b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1" + b"}" * 100_000], ids=["lists", "objects"]
)
@pytest.mark.parametrize("name", ["variables", "extensions"])
async def test_json_nested_without_end_beside_a_document_is_refused(api: Api, name: str, nested: bytes) -> None:
    body = b'{"query":"{ serverTime }","%s":{"a":%s}}' % (name.encode(), nested)

    response = await api.http.post("/graphql", content=body, headers={"content-type": JSON})

    assert refused(response) == (400, "BAD_JSON", "The body has more than 12000 lists and objects.")


async def test_of_a_body_that_is_compressed_nothing_is_read(api: Api) -> None:
    bomb, read = gzip.compress(b'{"query": "{ serverTime }"}'.ljust(10_000_000)), 0

    async def sent() -> AsyncIterator[bytes]:
        nonlocal read
        read += len(bomb)
        yield bomb

    headers = {"content-type": JSON, "content-encoding": "gzip"}
    response = await api.http.post("/graphql", content=sent(), headers=headers)

    assert refused(response) == (415, "UNSUPPORTED_MEDIA_TYPE", "Send the request without compression.")
    assert (len(bomb) < 20_000, read) == (True, 0)


def test_a_body_that_is_too_large_is_refused_before_it_ends(server: Running) -> None:
    head = f"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-type: {JSON}\r\ncontent-length: 1000000000\r\n\r\n"
    host = urlsplit(server.url).hostname
    with socket.create_connection((host, server.port), timeout=10) as connection:
        connection.sendall(head.encode() + b" " * 2_000_001)

        answer = connection.recv(10_000)

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"BODY_TOO_LARGE"' in answer


def fill(folder: Path, files: dict[str, Any]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes((content if isinstance(content, str) else json.dumps(content)).encode())
    return folder


KIND = "query Kind {\r\n  viewer { __typename }\r\n}"
RELAY = "query Relay { viewer { principal } }"
CODEGEN = "query Codegen { viewer { principal } }"
MANIFEST = {
    "format": "apollo-persisted-query-manifest",
    "version": 1,
    "operations": [
        {"id": digest(VIEWER), "name": "Me", "type": "query", "body": VIEWER},
        {"id": "make-1", "name": None, "type": "mutation", "body": MUTATION},
    ],
}
FILES = {
    "kind.graphql": f"\n{KIND}\n",
    "deep/inside/two.graphql": TWO,
    "relay/persisted.json": {md5(RELAY.encode()).hexdigest(): RELAY},
    "codegen.json": {f"sha256:{digest(CODEGEN)}": CODEGEN, "again": RELAY},
    "apollo.json": MANIFEST,
    "README.md": "{ serverTime }",
}


@pytest.mark.parametrize("get", [False, True], ids=["POST", "GET"])
@pytest.mark.parametrize(
    ("request_", "data"),
    [
        pytest.param(request_, data, id=name)
        for data, named in (
            (
                {"viewer": {"__typename": "Viewer"}},
                {
                    "a file's text": {"query": f"\n{KIND}\n"},
                    "without white space": {"query": KIND},
                    "by the hash of a file": apollo(digest(f"\n{KIND}\n")),
                    "by the hash without white space": standard(f"sha256:{digest(KIND)}"),
                    "by both": {"query": KIND, **apollo(digest(KIND))},
                    "by a hash of the same": {"query": KIND, **apollo(digest(f"\n{KIND}\n"))},
                    "one of two": {"query": TWO, "operationName": "Kind"},
                },
            ),
            (
                {"viewer": {"principal": "anonymous"}},
                {
                    "Relay's text": {"query": RELAY},
                    "Relay's id": standard(md5(RELAY.encode()).hexdigest()),
                    "Relay's id in Apollo's way": apollo(md5(RELAY.encode()).hexdigest()),
                    "Relay's hash": apollo(digest(RELAY)),
                    "another id of the same": standard("again"),
                    "a hash": standard(f"sha256:{digest(CODEGEN)}"),
                    "a hash in Apollo's way": apollo(digest(CODEGEN)),
                    "Apollo's text": {"query": VIEWER},
                    "Apollo's id": apollo(digest(VIEWER)),
                    "Apollo's id as documentId": standard(digest(VIEWER)),
                },
            ),
        )
        for name, request_ in named.items()
    ],
)
async def test_a_trusted_document_is_answered_however_it_is_named(
    api: Api, tmp_path: Path, request_: dict[str, Any], data: Any, get: bool
) -> None:
    trusting(api, fill(tmp_path, FILES))

    response = await ask(api, request_, get=get)

    assert answered(response) == data


@pytest.mark.parametrize("get", [False, True], ids=["POST", "GET"])
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param({"query": "{ serverTime }"}, id="valid"),
        pytest.param({"query": "{ serverTime"}, id="invalid"),
        pytest.param({"query": f"{VIEWER} "}, id="one more space"),
        pytest.param({"query": f"{VIEWER}{MUTATION}"}, id="a trusted one and more"),
        pytest.param({"query": "{ serverTime }", **apollo(digest("{ serverTime }"))}, id="with its hash"),
        pytest.param({"query": "{ serverTime }", **apollo(digest(VIEWER))}, id="under a trusted hash"),
        pytest.param({"query": VIEWER, **apollo(digest(KIND))}, id="a trusted one under another's hash"),
        pytest.param({"query": VIEWER, **standard("unknown")}, id="a trusted one under no name"),
        pytest.param(apollo(digest("{ serverTime }")), id="an unknown hash"),
        pytest.param(standard("unknown"), id="an unknown id"),
        pytest.param(standard(""), id="an empty id"),
        pytest.param(standard(VIEWER), id="a text for an id"),
        pytest.param(standard("../kind.graphql"), id="a file for an id"),
    ],
)
async def test_any_other_document_is_refused_and_nothing_of_it_is_looked_at(
    api: Api, tmp_path: Path, seen: Seen, request_: dict[str, Any], get: bool
) -> None:
    trusting(api, fill(tmp_path, FILES))
    parsed, statements = seen
    parsed.clear()

    told = [await ask(api, request_, get=get, accept=accept) for accept in (JSON, MODERN)]

    sentence = "This server answers only the documents that it was given, and this is none of them."
    assert [refused(each) for each in told] == [(403, "DOCUMENT_NOT_TRUSTED", sentence)] * 2
    assert (parsed, statements()) == ([], [])


async def test_a_trusted_mutation_is_no_query(database: str, tmp_path: Path, sql: Sql) -> None:
    async with serving(database, pool_size=1) as api:
        trusting(api, fill(tmp_path, FILES))

        by_get = await ask(api, standard("make-1"), get=True)
        posted = await ask(api, standard("make-1"))

    assert refused(by_get)[:2] == (405, "METHOD_NOT_ALLOWED")
    assert by_get.headers["allow"] == "POST"
    assert answered(posted) == MADE
    assert sql("SELECT count(*) FROM clients") == [(1,)]


async def test_a_refused_document_registers_nothing(api: Api, tmp_path: Path) -> None:
    trusting(api, fill(tmp_path, FILES))
    name = apollo(digest("{ serverTime }"))

    responses = [await ask(api, {"query": "{ serverTime }", **name}) for _ in range(2)] + [await ask(api, name)]

    assert [refused(each)[:2] for each in responses] == [(403, "DOCUMENT_NOT_TRUSTED")] * 3


def test_every_example_can_be_trusted(tmp_path: Path) -> None:
    examples = {path.name: path.read_text() for path in EXAMPLES.glob("*.graphql")}

    trusted = Trusted(fill(tmp_path, examples), Documents())

    assert len(trusted) == len(examples) > 10
    for text in examples.values():
        assert trusted.find(digest(text.strip()), None) == (text.strip(), None)
    with pytest.raises(BadRequestError):
        trusted.find(None, "{ serverTime }")


NOTHING: dict[str, Any] = {}
NO_MANIFEST = "is neither a map from ids to documents nor a manifest of Apollo's."


@pytest.mark.parametrize(
    ("files", "named", "told"),
    [
        pytest.param(NOTHING, "", "in which there is no document.", id="empty"),
        pytest.param({"README.md": VIEWER}, "", "in which there is no document.", id="no document"),
        pytest.param({"a.json": NOTHING}, "", "in which there is no document.", id="an empty manifest"),
        pytest.param({"ok.graphql": VIEWER, "x/a.graphql": "{ a"}, "x/a.graphql", "Syntax Error: ", id="syntax"),
        pytest.param({"a.graphql": ""}, "a.graphql", "Syntax Error: Unexpected <EOF>.", id="an empty file"),
        pytest.param({"a.graphql": "{ nope }"}, "a.graphql", "Cannot query field 'nope'", id="an unknown field"),
        pytest.param(
            {"a.graphql": "fragment Name on Client { firstName }"}, "a.graphql", "never used", id="no operation"
        ),
        pytest.param({"a.graphql": "type Query { a: Int }"}, "a.graphql", "not executable", id="a schema"),
        pytest.param(
            {"a.graphql": VIEWER.ljust(20_001)}, "a.graphql", "has 20001 bytes; 20000 are allowed.", id="too long"
        ),
        pytest.param({"a.json": {"m1": "{ nope }"}}, "a.json, 'm1',", "Cannot query field 'nope'", id="in a map"),
        pytest.param({"a.json": {"m1": 5}}, "a.json", NO_MANIFEST, id="a map to numbers"),
        pytest.param({"a.json": [VIEWER]}, "a.json", NO_MANIFEST, id="a list"),
        pytest.param({"a.json": "{"}, "a.json", NO_MANIFEST, id="no JSON"),
        pytest.param({"a.json": MANIFEST | {"version": 2}}, "a.json", NO_MANIFEST, id="a version of the future"),
        pytest.param({"a.json": MANIFEST | {"operations": 5}}, "a.json", NO_MANIFEST, id="operations a number"),
        pytest.param({"a.json": MANIFEST | {"operations": [{"id": "a"}]}}, "a.json", NO_MANIFEST, id="no body"),
        pytest.param(
            {"a.json": {"m1": VIEWER}, "b.json": {"m1": RELAY}},
            "b.json, 'm1',",
            "is named as another document is.",
            id="id",
        ),
        pytest.param(
            {"a.graphql": VIEWER, "b.json": {digest(VIEWER): RELAY}},
            "b.json",
            "is named as another document is.",
            id="hash",
        ),
        pytest.param(
            {"a.json": {digest(VIEWER): RELAY}, "b.graphql": VIEWER},
            "b.graphql",
            "is named as another document is.",
            id="hash of a later one",
        ),
    ],
)
def test_a_folder_that_cannot_be_trusted_is_one_sentence(
    tmp_path: Path, files: dict[str, Any], named: str, told: str
) -> None:
    fill(tmp_path, files)

    with pytest.raises(SettingsError) as refusal:
        Trusted(tmp_path, Documents())

    (sentence,) = str(refusal.value).splitlines()
    assert str(tmp_path / named) in sentence
    assert told in sentence
    assert sentence.endswith((".", "?"))


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.graphql").write_bytes(b"{ serverTime } # \xff")

    with pytest.raises(SettingsError, match=r"a\.graphql cannot be read as text"):
        Trusted(tmp_path, Documents())


@pytest.mark.parametrize(
    ("folder", "told"), [("missing", "TRUSTED_DOCUMENTS"), ("broken", "broken/a.graphql"), ("empty", "no document.")]
)
def test_a_server_does_not_start_with_documents_that_cannot_be_trusted(tmp_path: Path, folder: str, told: str) -> None:
    fill(tmp_path, {"broken/a.graphql": "{ nope }", "empty/README.md": ""})
    environment = {
        **os.environ,
        "PORT": "0",
        "DATA_DIR": str(tmp_path / "data"),
        "TRUSTED_DOCUMENTS": str(tmp_path / folder),
    }

    command = [sys.executable, "-m", "server", "serve"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=30)

    assert (done.returncode, done.stdout) == (2, "")
    (sentence,) = done.stderr.splitlines()
    assert told in sentence
    assert not (tmp_path / "data").exists()


@pytest.fixture(scope="session")
def client() -> Path:
    """The folder that has Apollo's client, installed once and kept."""
    wanted = json.loads((Path(__file__).parent / "apollo" / "package.json").read_text())["dependencies"]
    packages = [f"{name}@{version}" for name, version in wanted.items()]
    return installed(packages, "Apollo's client runs")


# As the client prints it, with what its cache wants to know.
SENT = "query Me {\n  viewer {\n    principal\n    __typename\n  }\n}"
SEEN = {"viewer": {"__typename": "Viewer", "principal": "anonymous"}}


def wishes(client: Path, *wanted: dict[str, Any]) -> list[Any]:
    """What Apollo's client was answered, and what it had sent for that."""
    command = ["node", str(Path(__file__).parent / "apollo" / "client.mjs"), str(client), json.dumps(wanted)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    told: list[Any] = json.loads(done.stdout)
    return told


def wire(method: str, query: str | None = None, status: int = 200, code: str | None = None) -> dict[str, Any]:
    return {"method": method, "query": query, "status": status, "code": code}


@pytest.mark.parametrize(("accept", "status"), [(None, 400), (JSON, 200)], ids=["its own media types", JSON])
def test_the_client_of_apollo_registers_a_document_once(
    client: Path, server: Running, accept: str | None, status: int
) -> None:
    wish = {"url": f"{server.url}/graphql", "document": VIEWER, "times": 2, "get": False, "accept": accept}

    first, other, by_get = wishes(client, wish, wish, {**wish, "get": True})

    assert first["wire"] == [
        wire("POST", None, status, NOT_FOUND),
        wire("POST", SENT),
        wire("POST"),
    ]
    assert other["wire"] == [wire("POST"), wire("POST")]
    assert by_get["wire"] == [wire("GET"), wire("GET")]
    assert first["answers"] == other["answers"] == by_get["answers"] == [SEEN, SEEN]


def test_the_client_of_apollo_registers_by_get_and_sends_mutations_by_post(
    client: Path, server: Running, sql: Sql
) -> None:
    wish = {"url": f"{server.url}/graphql", "document": VIEWER, "times": 2, "get": True, "accept": JSON}

    query, mutation = wishes(client, wish, {**wish, "document": MUTATION})

    assert query["answers"] == [SEEN, SEEN]
    assert query["wire"][0] == wire("GET", None, 200, NOT_FOUND)
    assert [each["query"] for each in query["wire"]] == [None, SENT, None]
    assert query["wire"][2] == wire("GET")
    assert [(each["method"], each["query"] is None) for each in mutation["wire"]] == [
        ("POST", True),
        ("POST", False),
        ("POST", True),
    ]
    assert [each["clientCreate"]["client"]["firstName"] for each in mutation["answers"]] == ["Mary", "Mary"]
    assert sql("SELECT count(*) FROM clients") == [(2,)]


def test_the_client_of_apollo_asks_trusted_documents_and_no_others(client: Path, database: str, tmp_path: Path) -> None:
    folder = fill(tmp_path / "trusted", {"me.graphql": f"{SENT}\n"})
    with running(tmp_path / "server.log", DATABASE_URL=database, TRUSTED_DOCUMENTS=str(folder)) as server:
        wish = {"url": f"{server.url}/graphql", "document": VIEWER, "times": 1, "get": True, "accept": None}

        trusted, other = wishes(client, wish, {**wish, "document": "{ serverTime }"})

    assert (trusted["answers"], trusted["wire"]) == ([SEEN], [wire("GET")])
    assert other["wire"] == [wire("GET", None, 403, "DOCUMENT_NOT_TRUSTED")]
    assert other["answers"] == ["This server answers only the documents that it was given, and this is none of them."]
