"""Who asks: a real server and a real OpenID provider; what each sees, and that a bad token learns nothing from us."""

import base64
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from models.api_key import ApiKeyScope, token
from models.business import DEFAULT_BUSINESS
from models.node_id import decode, encode
from models.viewer import Role
from server.database import connected
from server.http import application
from server.migration import newest
from server.settings import Settings
from tests.conftest import PUBLISH, RESERVE, ROOT, fresh_database, running, serving
from tests.keys import bearer, data, send
from tests.oidc import AUDIENCE, OidcProvider, providing

Sql = Callable[..., list[tuple[Any, ...]]]
MODERN = "application/graphql-response+json"
UNKNOWN = UUID("0190ffff-ffff-7fff-8fff-ffffffffffff")
DEVELOPMENT = (
    "Development: whoever asks from this machine without a token acts as the ADMIN of the default business."
    " Before others can ask, set OIDC_ISSUER and OIDC_AUDIENCE, or API_KEYS=on."
)
BAD_TOKEN = {
    "message": "The token cannot be used; send another one, or none.",
    "extensions": {"code": "UNAUTHENTICATED", "requestId": ""},
}
NOT_PUBLIC = "This business is not open to the public; send a token."
INVALID = 'Bearer realm="holdfast", error="invalid_token"'
WHO = "{ viewer { principal role business { id } } }"
SEEN = "{ reservations { totalCount nodes { id client { id } provider { id } } } }"
PEOPLE = """mutation {
  ada: providerCreate(input: {firstName: "Ada", lastName: "Lovelace"}) { provider { id } }
  grace: providerCreate(input: {firstName: "Grace", lastName: "Hopper"}) { provider { id } }
  charles: clientCreate(input: {firstName: "Charles", lastName: "Babbage", email: "charles@example.com"}) { client { id } }
  mary: clientCreate(input: {firstName: "Mary", lastName: "Shelley"}) { client { id } }
}"""
DAY = {"startTime": "2031-05-05T09:00:00Z", "endTime": "2031-05-05T10:00:00Z"}
OPEN = "mutation { businessUpdate(input: {expectedVersion: 1, isPublic: true}) { business { isPublic } userErrors { code } } }"


def ask(url: str, query: str, authorization: str | None = None, **more: Any) -> httpx2.Response:
    """The response, as a client of the modern media type gets it."""
    headers = {
        "accept": MODERN,
        **({"authorization": authorization} if authorization else {}),
        **more.pop("headers", {}),
    }
    return httpx2.post(f"{url}/graphql", json={"query": query, "variables": more}, headers=headers)


def codes(answer: Any) -> list[str]:
    return [error["extensions"]["code"] for error in answer.json().get("errors", ())]


@dataclass
class Practice:
    """A server, its provider of identities, and two clients who each reserved with another provider."""

    url: str
    database: str
    oidc: OidcProvider
    ids: dict[str, str] = field(default_factory=dict)

    def bearer(self, role: str, **more: Any) -> str:
        """What somebody sends who signed in: the claim says what they are, `token` asks for more."""
        wanted = more.pop("token", {})
        claim = {"business": encode("Business", DEFAULT_BUSINESS), "role": role, **more}
        return f"Bearer {self.oidc.token(claims={'holdfast': claim}, **wanted)}"

    def data(self, query: str, authorization: str | None, **more: Any) -> Any:
        """The data of an answer that has no errors."""
        answer = ask(self.url, query, authorization, **more)
        assert "errors" not in answer.json(), answer.text
        return answer.json()["data"]

    def fill(self) -> None:
        admin = self.bearer("ADMIN", token={"subject": "the boss"})
        made = self.data(PEOPLE, admin)
        self.ids = {name: next(iter(payload.values()))["id"] for name, payload in made.items()}
        for client, provider in (("charles", "ada"), ("mary", "grace")):
            done = self.data(PUBLISH, admin, input={"providerId": self.ids[provider], **DAY})
            first = done["appointmentBulkCreate"]["appointments"]["nodes"][0]["id"]
            held = self.data(RESERVE, admin, input={"clientId": self.ids[client], "appointmentId": first})
            self.ids[f"{client}'s"] = held["reservationCreate"]["reservation"]["id"]


@pytest.fixture(scope="module")
def practice(cluster: str, migrated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Practice]:
    folder = tmp_path_factory.mktemp("identity")
    with providing(folder) as oidc, fresh_database(cluster, migrated) as database:
        settings = {
            "DATABASE_URL": database,
            "OIDC_ISSUER": oidc.issuer,
            "OIDC_AUDIENCE": AUDIENCE,
            "API_KEYS": "on",
            "RATE_LIMIT_ANONYMOUS": "100000",
        }
        with running(folder / "server.log", **settings) as server:
            found = Practice(server.url, database, oidc)
            found.fill()
            yield found


def test_a_client_who_signed_in_sees_their_own_reservations_and_no_others(practice: Practice) -> None:
    charles = practice.bearer("CLIENT", person=practice.ids["charles"])
    key = decode(practice.ids["charles"])[1]
    foreign = '{ reservation(id: "%s") { id } client(id: "%s") { firstName } }'

    seen = practice.data(SEEN, charles)["reservations"]
    others = ask(practice.url, foreign % (practice.ids["mary's"], practice.ids["mary"]), charles).json()
    unknown = ask(practice.url, foreign % (encode("Reservation", UNKNOWN), encode("Client", UNKNOWN)), charles).json()

    assert practice.data(WHO, charles)["viewer"] == {
        "principal": f"client:{key}",
        "role": "CLIENT",
        "business": {"id": encode("Business", DEFAULT_BUSINESS)},
    }
    assert [(node["id"], node["client"]["id"]) for node in seen["nodes"]] == [
        (practice.ids["charles's"], practice.ids["charles"])
    ]
    assert seen["totalCount"] == 1
    assert others["data"] == unknown["data"] == {"reservation": None, "client": None}
    cancel = 'mutation { reservationCancel(input: {reservationId: "%s"}) { reservation { id } userErrors { code } } }'
    assert practice.data(cancel % practice.ids["mary's"], charles)["reservationCancel"] == {
        "reservation": None,
        "userErrors": [{"code": "NOT_FOUND"}],
    }


def test_a_provider_who_signed_in_sees_their_own_calendar(practice: Practice) -> None:
    grace = practice.bearer("PROVIDER", person=practice.ids["grace"])

    seen = practice.data(SEEN, grace)["reservations"]

    assert [(node["id"], node["provider"]["id"]) for node in seen["nodes"]] == [
        (practice.ids["mary's"], practice.ids["grace"])
    ]
    assert practice.data("{ clients { nodes { firstName } } }", grace)["clients"]["nodes"] == [{"firstName": "Mary"}]


def test_an_admin_who_signed_in_sees_all_and_a_mere_manager_no_audit(practice: Practice) -> None:
    admin = practice.bearer("ADMIN", token={"subject": "the boss"})
    audit = "{ auditEntries(first: 1) { nodes { actor } } }"

    seen = practice.data(SEEN, admin)["reservations"]
    refused = ask(practice.url, audit, practice.bearer("MANAGER"))

    assert {node["id"] for node in seen["nodes"]} == {practice.ids["charles's"], practice.ids["mary's"]}
    assert practice.data(WHO, admin)["viewer"]["principal"] == "user:the boss"
    assert practice.data(audit, admin)["auditEntries"]["nodes"] == [{"actor": "user:the boss"}]
    assert (refused.status_code, codes(refused)) == (403, ["FORBIDDEN"])


def test_a_person_whom_nobody_knows_sees_nothing(practice: Practice) -> None:
    nobody = practice.bearer("CLIENT", person=encode("Client", UNKNOWN))

    assert practice.data(SEEN, nobody)["reservations"] == {"totalCount": 0, "nodes": []}


def encoded(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def said(practice: Practice, **more: Any) -> dict[str, Any]:
    """What a good token says, but for what is wrong with it."""
    claim = {"role": "ADMIN", "business": encode("Business", DEFAULT_BUSINESS)}
    now = int(time.time())
    good = {"iss": practice.oidc.issuer, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600}
    return {**good, "holdfast": claim, **more}


def signed(practice: Practice, heading: dict[str, Any] | None = None, **more: Any) -> str:
    """A token that the provider could have signed: its key is the right one."""
    kid = jwt.get_unverified_header(practice.oidc.token())["kid"]
    header = {"typ": "at+jwt", "kid": kid, **(heading or {})}
    return jwt.encode(said(practice, **more), practice.oidc.private["RS256"], "RS256", header)


def unsigned(practice: Practice) -> str:
    return f"{encoded({'alg': 'none', 'typ': 'at+jwt'})}.{encoded(said(practice))}."


def signed_with_the_public_key(practice: Practice) -> str:
    """The old trick: a server that takes any algorithm takes the published key for a shared secret."""
    public = practice.oidc.private["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    kid = jwt.get_unverified_header(practice.oidc.token())["kid"]
    text = f"{encoded({'alg': 'HS256', 'typ': 'at+jwt', 'kid': kid})}.{encoded(said(practice))}"
    return f"{text}.{encoded(hmac.digest(public, text.encode(), hashlib.sha256))}"


def revoked(practice: Practice) -> str:
    """An API key that was used a moment ago, and then revoked."""
    admin = practice.bearer("ADMIN")
    made = practice.data('mutation { apiKeyCreate(input: {name: "old", role: ADMIN}) { token apiKey { id } } }', admin)
    created = made["apiKeyCreate"]
    assert practice.data(WHO, f"Bearer {created['token']}")["viewer"]["role"] == "ADMIN"
    end = "mutation ($id: ID!) { apiKeyRevoke(input: {apiKeyId: $id}) { userErrors { code } } }"
    assert practice.data(end, admin, id=created["apiKey"]["id"])["apiKeyRevoke"] == {"userErrors": []}
    return str(created["token"])


def bad_tokens(practice: Practice) -> dict[str, str]:
    now = int(time.time())
    of_client = {"role": "CLIENT", "person": practice.ids["charles"]}
    claims = {
        "an unknown business": {"role": "ADMIN", "business": encode("Business", UNKNOWN)},
        "a business that is a client": {"role": "ADMIN", "business": practice.ids["charles"]},
        "a business that is none": {"role": "ADMIN", "business": "default"},
        "an unknown role": {"role": "KING"},
        "the role of nobody": {"role": "PUBLIC"},
        "a role in other letters": {"role": "admin"},
        "several roles": {"role": ["ADMIN"]},
        "a client who is a provider": {**of_client, "person": practice.ids["ada"]},
        "a client who is nobody": {"role": "CLIENT"},
        "a person that is a number": {**of_client, "person": 7},
        "a claim that is a text": "ADMIN",
    }
    return {
        "expired": signed(practice, exp=now - 60, iat=now - 600),
        "not yet": signed(practice, nbf=now + 600),
        "algorithm none": unsigned(practice),
        "another audience": practice.oidc.token("https://other.example.com", claims={"holdfast": {"role": "ADMIN"}}),
        "another issuer": signed(practice, iss="https://other.example.com"),
        "HS256 with the public key": signed_with_the_public_key(practice),
        "a key that is a path": signed(practice, {"kid": "../../../../dev/null"}),
        "a key that is SQL": signed(practice, {"kid": "' OR 1=1 --"}),
        "a key at an address": signed(practice, {"jku": f"{practice.oidc.issuer}/jwks", "kid": "mine"}),
        "an ID token": signed(practice, {"typ": "JWT"}),
        "a changed payload": f"{signed(practice).rpartition('.')[0][:-4]}AAAA.AAAA",
        "garbage": "garbage",
        "garbage with dots": "a.b.c",
        "an opaque token": practice.oidc.token(None),
        "no claim": practice.oidc.token(),
        "an API key that is none": "hf_garbage",
        "an unknown API key": token(DEFAULT_BUSINESS, UNKNOWN, bytes(32)),
        "an API key of an unknown business": token(UNKNOWN, UNKNOWN, bytes(32)),
        "a revoked API key": revoked(practice),
        **{name: practice.oidc.token(claims={"holdfast": claim}) for name, claim in claims.items()},
    }


def test_every_bad_token_gets_the_same_answer_byte_for_byte(practice: Practice) -> None:
    tokens = {name: f"Bearer {each}" for name, each in bad_tokens(practice).items()}
    tokens |= {"no token in it": "Bearer", "another scheme": "Basic YWRhOmFkYQ==", "no scheme": "hf_garbage"}

    for accept, kind in ((MODERN, MODERN), ("application/json", "application/json")):
        expected = json.dumps({"errors": [BAD_TOKEN]}, separators=(",", ":")).encode()
        for name, authorization in tokens.items():
            answer = ask(practice.url, SEEN, authorization, headers={"accept": accept})

            identity = answer.headers["x-request-id"]
            assert answer.content.replace(identity.encode(), b"") == expected, name
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, INVALID), name
            assert answer.headers["content-type"] == f"{kind}; charset=utf-8", name
            assert set(answer.headers) - {"date"} == {
                *("www-authenticate", "content-length", "content-type", "x-request-id")
            }, name


def test_what_the_log_says_of_a_bad_token_is_none_of_it(practice: Practice) -> None:
    shown = signed(practice, sub="planted-subject", exp=1)

    refused = ask(practice.url, WHO, f"Bearer {shown}")

    assert refused.status_code == 401
    log = (practice.oidc.log.parent / "server.log").read_text()
    assert '"why":"it has expired, or never does"' in log
    for trace in ("planted-subject", *shown.split(".")[1:]):
        assert trace not in log


def test_who_sends_no_token_is_asked_for_one(practice: Practice) -> None:
    answers = [
        ask(practice.url, query)
        for query in (WHO, SEEN, 'mutation { clientErase(input: {clientId: "a"}) { __typename } }')
    ]

    for answer in answers:
        (error,) = answer.json()["errors"]
        assert (answer.status_code, codes(answer), error["message"]) == (401, ["UNAUTHENTICATED"], NOT_PUBLIC)
        assert answer.headers["www-authenticate"] == 'Bearer realm="holdfast"'
        assert "data" not in answer.json()


def test_a_known_token_is_refused_where_its_business_is_not(practice: Practice) -> None:
    elsewhere = practice.bearer("ADMIN", business=practice.ids["charles"])

    assert ask(practice.url, WHO, elsewhere).status_code == 401


def test_nothing_in_a_request_moves_somebody_to_another_business(practice: Practice) -> None:
    admin = practice.bearer("ADMIN")
    operator = practice.bearer("OPERATOR")
    create = (
        'mutation { businessCreate(input: {name: "Annex", timeZone: "UTC"}) { business { id } userErrors { code } } }'
    )
    annex = practice.data(create, operator)["businessCreate"]["business"]["id"]

    for headers in ({"x-business": annex}, {"host": "annex.example"}):
        assert practice.data(WHO, admin, headers=headers)["viewer"]["business"]["id"] != annex
    assert practice.data(WHO, operator, headers={"x-business": annex})["viewer"]["business"]["id"] == annex
    assert practice.data(WHO, operator)["viewer"]["business"]["id"] != annex
    assert ask(practice.url, create, admin).status_code == 403


def test_an_operator_who_names_no_business_that_there_is_acts_on_none(practice: Practice) -> None:
    operator, nowhere = practice.bearer("OPERATOR"), {"x-business": encode("Business", UNKNOWN)}
    rename = 'mutation { businessUpdate(input: {expectedVersion: 1, name: "Mine"}) { business { name } } }'
    before = practice.data("{ viewer { business { name version } } }", operator)

    answers = [ask(practice.url, query, operator, headers=nowhere) for query in (WHO, rename)]

    for answer in answers:
        (error,) = answer.json()["errors"]
        assert (answer.status_code, codes(answer)) == (400, ["NOT_FOUND"])
        assert error["message"] == "No business has the id that X-Business names."
        assert "data" not in answer.json()
    assert practice.data("{ viewer { business { name version } } }", operator) == before


def opened(practice: Practice, host: str) -> str:
    """A business that anybody may browse, with a provider, a client, a service and their reservation."""
    operator = practice.bearer("OPERATOR")
    create = f'mutation {{ businessCreate(input: {{name: "{host}", timeZone: "UTC", host: "{host}"}}) {{ business {{ id }} }} }}'
    business: str = practice.data(create, operator)["businessCreate"]["business"]["id"]
    admin = practice.bearer("ADMIN", business=business)
    with psycopg.connect(practice.database, autocommit=True) as owner:
        insert = "INSERT INTO services (business_id, name) VALUES (%s, 'Haircut') RETURNING id"
        row = owner.execute(insert, [decode(business)[1]]).fetchone()
    assert row is not None
    ids = {name: next(iter(payload.values()))["id"] for name, payload in practice.data(PEOPLE, admin).items()}
    times = {"providerId": ids["ada"], "serviceId": encode("Service", row[0]), **DAY}
    published = practice.data(PUBLISH, admin, input=times)["appointmentBulkCreate"]["appointments"]["nodes"]
    practice.data(RESERVE, admin, input={"clientId": ids["charles"], "appointmentId": published[0]["id"]})
    assert practice.data(OPEN, admin)["businessUpdate"] == {"business": {"isPublic": True}, "userErrors": []}
    practice.ids |= {f"{host} {name}": identity for name, identity in ids.items()}
    return business


BROWSED = """{
  viewer { principal role business { name } }
  providers { nodes { firstName lastName timeZone availableAppointments(first: 1) { totalCount } } }
  availableAppointments(first: 1) { totalCount nodes { startsAt service { name } provider { firstName } } }
}"""
FREE = {
    "totalCount": 3,
    "nodes": [{"startsAt": "2031-05-05T09:15:00Z", "service": {"name": "Haircut"}, "provider": {"firstName": "Ada"}}],
}


def test_a_public_business_is_browsed_by_its_host_or_its_id(practice: Practice) -> None:
    business = opened(practice, "browsed.example")
    ways: list[dict[str, str]] = [
        {"host": "browsed.example"},
        {"host": "Browsed.Example:443"},
        {"x-business": business},
        {"x-business": business, "host": "nowhere.example"},
    ]

    for headers in ways:
        browsed = practice.data(BROWSED, None, headers=headers)

        assert browsed["viewer"] == {
            "principal": "anonymous",
            "role": "PUBLIC",
            "business": {"name": "browsed.example"},
        }
        assert browsed["availableAppointments"] == FREE
        assert browsed["providers"]["nodes"] == [
            {"firstName": "Grace", "lastName": "Hopper", "timeZone": None, "availableAppointments": {"totalCount": 0}},
            {"firstName": "Ada", "lastName": "Lovelace", "timeZone": None, "availableAppointments": {"totalCount": 3}},
        ]
    for headers in ({"host": "elsewhere.example"}, {"host": "evil-browsed.example"}, {}):
        assert codes(ask(practice.url, BROWSED, headers=headers)) == ["UNAUTHENTICATED"]


def test_of_a_public_business_nothing_else_is_shown_without_a_token(practice: Practice) -> None:
    headers = {"x-business": opened(practice, "shown.example")}
    charles, ada = (practice.ids[f"shown.example {name}"] for name in ("charles", "ada"))
    create = 'mutation { clientCreate(input: {firstName: "A", lastName: "B"}) { client { id } } }'
    refused = (
        "{ providers { nodes { email } } }",
        "{ providers { nodes { phone } } }",
        "{ providers { nodes { version } } }",
        "{ providers { nodes { reservedAppointments { totalCount } } } }",
        "{ availableAppointments { nodes { reservations { totalCount } } } }",
        "{ appointments { totalCount } }",
        "{ reservations { totalCount } }",
        "{ clients { totalCount } }",
        "{ auditEntries { totalCount } }",
        "{ apiKeys { totalCount } }",
        "{ viewer { business { host } } }",
        f'{{ client(id: "{charles}") {{ id }} }}',
        f'{{ node(id: "{charles}") {{ ... on Client {{ firstName }} }} }}',
        f'{{ node(id: "{ada}") {{ ... on Provider {{ email }} }} }}',
        f'{{ node(id: "{ada}") {{ history {{ totalCount }} }} }}',
        create,
    )

    for query in refused:
        answer = ask(practice.url, query, headers=headers)

        assert (answer.status_code, codes(answer)) == (401, ["UNAUTHENTICATED"]), query
        assert "data" not in answer.json(), query
        assert answer.json()["errors"][0]["message"].endswith("; send a token."), query
    hidden = ask(practice.url, f'{{ node(id: "{charles}") {{ id }} }}', headers=headers)
    assert (hidden.json()["data"], "Charles" in hidden.text) == ({"node": None}, False)


def test_a_business_that_is_not_public_looks_like_one_that_is_not_there(practice: Practice) -> None:
    closed, unknown = (
        ask(practice.url, BROWSED, headers={"x-business": encode("Business", key)})
        for key in (DEFAULT_BUSINESS, UNKNOWN)
    )
    nonsense = ask(practice.url, BROWSED, headers={"x-business": "practice"})

    for answer in (closed, unknown):
        (error,) = answer.json()["errors"]
        assert (answer.status_code, codes(answer), error["message"]) == (401, ["UNAUTHENTICATED"], NOT_PUBLIC)
    assert (nonsense.status_code, codes(nonsense)) == (400, ["BAD_REQUEST"])


def test_while_the_issuer_is_down_only_unseen_tokens_wait(cluster: str, migrated: str, tmp_path: Path) -> None:
    with providing(tmp_path) as oidc, fresh_database(cluster, migrated) as database:
        settings = {"DATABASE_URL": database, "OIDC_ISSUER": oidc.issuer, "OIDC_AUDIENCE": AUDIENCE, "API_KEYS": "on"}
        command = [sys.executable, "-m", "server", "token", "--role", "ADMIN"]
        made = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, check=True
        )
        key, claims = f"Bearer {made.stdout.strip()}", {"holdfast": {"role": "ADMIN"}}
        seen, unseen = (f"Bearer {oidc.token(claims=claims)}" for _ in range(2))
        with running(tmp_path / "first.log", **settings) as server:
            before = ask(server.url, WHO, seen)
            oidc.stop()
            known = [ask(server.url, WHO, each).status_code for each in (seen, unseen, key)]
        with running(tmp_path / "second.log", **settings) as server:
            waiting = ask(server.url, WHO, unseen)
            others = [ask(server.url, WHO, each).status_code for each in (key, "Bearer garbage")]
            anonymous = ask(server.url, WHO)

    assert (before.status_code, known) == (200, [200, 200, 200])
    assert (waiting.status_code, codes(waiting)) == (503, ["UNAVAILABLE"])
    assert waiting.headers["retry-after"] == "1"
    assert waiting.json()["errors"][0]["message"] == "Tokens cannot be checked for a moment; try again."
    assert "www-authenticate" not in waiting.headers
    assert others == [200, 401]
    assert codes(anonymous) == ["UNAUTHENTICATED"]


def refused_to_start(**environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("OIDC_", "API_KEYS"))}
    command = [sys.executable, "-m", "server", "serve"]
    settings = {"PORT": "0", "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing", **environment}
    return subprocess.run(
        command, cwd=ROOT, env=inherited | settings, capture_output=True, text=True, check=False, timeout=30
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "practice.example"])
def test_a_server_that_others_can_reach_does_not_start_without_identity(host: str) -> None:
    done = refused_to_start(HOST=host)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"HOST is {host!r}, where others can ask, but nothing tells who they are:"
        " set OIDC_ISSUER and OIDC_AUDIENCE, or API_KEYS=on.\n"
    )


def test_with_an_identity_it_goes_on_to_the_next_thing() -> None:
    done = refused_to_start(HOST="0.0.0.0", API_KEYS="on")

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("The database at ")


FORWARDED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")


def test_a_server_of_developers_says_so_and_believes_this_machine_alone(database: str, tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    with running(log, DATABASE_URL=database) as server:
        local = [
            f"localhost:{server.port}",
            f"127.0.0.1:{server.port}",
            "127.8.9.10",
            f"[::1]:{server.port}",
        ]
        admins = [ask(server.url, WHO, headers={"host": host}).json() for host in local]
        elsewhere = ["practice.example", "localhost.practice.example", "127.0.0.1.practice.example", "0.0.0.0", "[::2]"]
        named = [ask(server.url, WHO, headers={"host": host}) for host in elsewhere]
        forwarded = [ask(server.url, WHO, headers={header: "127.0.0.1"}) for header in FORWARDED]
        admins += [ask(server.url, WHO, headers={"sec-fetch-site": site}).json() for site in ("same-origin", "none")]
        of_another_page = ask(server.url, WHO, headers={"sec-fetch-site": "cross-site"})
        garbage = ask(server.url, WHO, "Bearer garbage")

    assert log.read_text().splitlines()[0] == DEVELOPMENT
    for admin in admins:
        assert (admin["data"]["viewer"]["role"], admin["data"]["viewer"]["principal"]) == ("ADMIN", "anonymous")
    for answer in (*named, *forwarded, of_another_page):
        assert (answer.status_code, codes(answer)) == (401, ["UNAUTHENTICATED"])
    assert (garbage.status_code, codes(garbage)) == (401, ["UNAUTHENTICATED"])


def test_a_server_that_knows_who_asks_says_nothing_of_development(database: str, tmp_path: Path) -> None:
    log = tmp_path / "server.log"

    with running(log, DATABASE_URL=database, API_KEYS="on") as server:
        answer = ask(server.url, WHO)

    assert (answer.status_code, codes(answer)) == (401, ["UNAUTHENTICATED"])
    assert "Development" not in log.read_text()


@pytest.mark.parametrize(("trusted", "is_believed"), [("127.0.0.1", True), ("10.213.8.2", False)])
def test_a_forged_address_counts_only_if_a_trusted_proxy_tells_it(
    database: str, sql: Sql, tmp_path: Path, trusted: str, *, is_believed: bool
) -> None:
    sql("UPDATE businesses SET is_public = true")
    settings = {"API_KEYS": "on", "FORWARDED_ALLOW_IPS": trusted, "RATE_LIMIT_ANONYMOUS": "20000"}
    name = "{ viewer { business { name } role } }"

    with running(tmp_path / "server.log", DATABASE_URL=database, **settings) as server:
        told = [ask(server.url, name, headers={"x-forwarded-for": f"203.0.113.{last}"}).headers for last in range(4)]

    first, *others = [int(each["ratelimit"].partition("r=")[2].partition(";")[0]) for each in told]
    assert first < 20_000  # who sends a document first pays for that, too
    assert others == ([19_996] * 3 if is_believed else [first - 4, first - 8, first - 12])
    assert {each["ratelimit-policy"] for each in told} == {'"default";q=20000;w=60'}


@asynccontextmanager
async def from_address(database: str, address: str) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of a server of developers, who has this address."""
    app = application(Settings.read({}))
    app.state.database, app.state.newest = connected(database, 1, 1), newest()
    transport = httpx2.ASGITransport(app, client=(address, 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http
    await app.state.database.close()


@pytest.mark.parametrize(
    ("address", "role"),
    [
        ("127.0.0.1", "ADMIN"),
        ("::1", "ADMIN"),
        ("192.0.2.7", "PUBLIC"),
        ("10.0.0.1", "PUBLIC"),
        ("::ffff:192.0.2.7", "PUBLIC"),
        ("", "PUBLIC"),
    ],
)
async def test_a_developer_sits_at_this_machine(database: str, sql: Sql, address: str, role: str) -> None:
    sql("UPDATE businesses SET is_public = true")

    async with from_address(database, address) as http:
        answer = await http.post("/graphql", json={"query": WHO})

    assert answer.json()["data"]["viewer"]["role"] == role


CREATE = 'mutation { clientCreate(input: {firstName: "Mary", lastName: "Shelley"}) { client { firstName } } }'


async def test_a_key_does_what_its_scopes_and_its_role_say(database: str, sql: Sql) -> None:
    async with serving(database, API_KEYS="on") as api:
        reader = await bearer(api, Role.ADMIN, scopes=(ApiKeyScope.READ,))
        desk = await bearer(api, Role.FRONT_DESK)
        listed = await data(api, "{ clients { totalCount } }", reader)
        refused = await send(api, CREATE, reader)
        before = sql("SELECT count(*) FROM clients")
        made = await data(api, CREATE, desk)
        keys = await send(api, "{ apiKeys { totalCount } }", desk)

    assert listed == {"clients": {"totalCount": 0}}
    assert (refused.status_code, codes(refused), before) == (403, ["FORBIDDEN"], [(0,)])
    assert refused.json()["errors"][0]["message"] == "This key's scopes do not contain WRITE, which a mutation needs."
    assert made == {"clientCreate": {"client": {"firstName": "Mary"}}}
    assert (keys.status_code, codes(keys)) == (403, ["FORBIDDEN"])


async def test_where_only_an_issuer_is_believed_no_key_is(database: str) -> None:
    async with serving(database, OIDC_ISSUER="http://localhost:1", OIDC_AUDIENCE=AUDIENCE) as api:
        refused = await send(api, WHO, await bearer(api, Role.ADMIN))

    assert (refused.status_code, codes(refused)) == (401, ["UNAUTHENTICATED"])
