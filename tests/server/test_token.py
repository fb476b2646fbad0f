"""Bearer tokens: every rule of RFC 8725 that a token may break, and the keys of an issuer that comes, goes and changes."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from server.address import is_trustworthy
from server.channels.issuer import LARGEST, FetchError, fetched
from server.token import LONGEST_TOKEN, REMEMBERED, IssuerUnreachableError, TokenRefusedError, Tokens
from tests.ports import free_port

ISSUER, AUDIENCE = "https://login.example.com/practice", "https://holdfast.example.com"
DISCOVERY, JWKS = f"{ISSUER}/.well-known/openid-configuration", "https://login.example.com/jwks"
NOW = 1_800_000_000
CLAIMS: dict[str, Any] = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "person-4711",
    "iat": NOW,
    "exp": NOW + 300,
    "holdfast": {"business": "b-1", "role": "STAFF"},
}
MISSING: Any = ...
OTHER_KEY = "no key of the issuer fits it, or more than one does"
SIGNATURE = "its signature is not one of the issuer"
FORM = "it is not a signed JSON Web Token"
JSON = "it is not written in good JSON"


def encoded(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@dataclass(frozen=True)
class Signer:
    """A key of an issuer, and what the issuer publishes of it."""

    algorithm: str
    private: Any
    kid: str | None = "first"
    published: dict[str, Any] = field(default_factory=dict)

    @property
    def jwk(self) -> dict[str, Any]:
        public = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), as_dict=True)
        jwk = {**public, "kid": self.kid, "alg": self.algorithm, "use": "sig", **self.published}
        return {name: value for name, value in jwk.items() if value is not MISSING and value is not None}

    def sign(self, header: Any, payload: Any) -> str:
        text = f"{encoded(header)}.{encoded(payload)}"
        signature = jwt.get_algorithm_by_name(self.algorithm).sign(text.encode(), self.private)
        return f"{text}.{encoded(signature)}"

    def token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        full = {"alg": self.algorithm, "typ": "at+jwt", "kid": self.kid, **(header or {})}
        said = CLAIMS | claims
        return self.sign(
            {name: value for name, value in full.items() if value is not MISSING},
            {name: value for name, value in said.items() if value is not MISSING},
        )


@cache
def signer(algorithm: str = "ES256", kid: str | None = "first", size: int = 2048) -> Signer:
    makers: dict[str, Callable[[], Any]] = {
        "RS256": lambda: rsa.generate_private_key(65537, size),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }
    return Signer(algorithm, makers[algorithm](), kid)


class Issuer:
    """An issuer without a network: what it publishes, what was asked of it, and the time that all this happens at."""

    def __init__(self, *keys: Any) -> None:
        self.keys: Any = list(keys)
        self.discovery: dict[str, Any] = {"issuer": ISSUER, "jwks_uri": JWKS}
        self.asked: list[str] = []
        self.is_up = True
        self.begun, self.open = threading.Event(), threading.Event()
        self.open.set()
        self.now = float(NOW)

    def __call__(self, address: str) -> dict[str, Any]:
        self.asked.append(address)
        self.begun.set()
        assert self.open.wait(10)
        if not self.is_up:
            raise FetchError("it is down")
        return {DISCOVERY: self.discovery, JWKS: {"keys": self.keys}}[address]

    @property
    def fetches(self) -> int:
        return self.asked.count(DISCOVERY)

    def tokens(self, *types: str, issuer: str = ISSUER) -> Tokens:
        return Tokens(issuer, AUDIENCE, types or ("at+jwt",), self, lambda: self.now)


def issuer_of(*signers: Signer) -> Issuer:
    return Issuer(*(each.jwk for each in signers or (signer(),)))


def texts(value: Any) -> Iterator[str]:
    """Every text that a claim holds."""
    if isinstance(value, dict):
        for part in value.values():
            yield from texts(part)
    elif isinstance(value, str) and value.strip():
        yield value


async def refused(tokens: Tokens, token: str, why: str) -> None:
    """Assert that a token is refused for one reason, which quotes nothing of it, and that it stays refused."""
    for _ in range(2):
        with pytest.raises(TokenRefusedError) as refusal:
            await tokens.claims(token)
        told = str(refusal.value)
        assert told == why
        assert [text for text in (*token.split("."), *texts(CLAIMS)) if text and text in told] == []
    assert tokens._remembered == {}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_token_of_the_issuer_is_accepted_with_exactly_its_claims(algorithm: str) -> None:
    issuer = issuer_of(signer(algorithm))

    claims = await issuer.tokens().claims(signer(algorithm).token())

    assert dict(claims) == CLAIMS
    assert issuer.asked == [DISCOVERY, JWKS]


async def test_who_was_given_claims_cannot_change_what_the_next_one_is_given() -> None:
    tokens = issuer_of().tokens()
    claims = await tokens.claims(signer().token())

    with pytest.raises(TypeError):
        claims["sub"] = "somebody else"  # type: ignore[index]

    assert (await tokens.claims(signer().token()))["sub"] == CLAIMS["sub"]


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": [AUDIENCE]},
        {"aud": ["https://other.example.com", AUDIENCE]},
        {"iat": MISSING},
        {"iat": NOW + 10, "nbf": NOW + 10},
        {"iat": NOW - 86_400, "nbf": NOW - 0.5},
        {"exp": NOW - 9},
        {"exp": NOW + 0.5},
        {"exp": NOW + 10 * 365 * 86_400},
        {"sub": "s"},
        {"sub": "s" * 255},
        {"sub": "Zoë Müller"},
        {"unknown": [1, None, {"deep": True}]},
    ],
    ids=str,
)
async def test_what_a_good_token_may_say(claims: dict[str, Any]) -> None:
    expected = {name: value for name, value in (CLAIMS | claims).items() if value is not MISSING}

    assert dict(await issuer_of().tokens().claims(signer().token(**claims))) == expected


NO_ISSUERS: list[Any] = [MISSING, None, "", ISSUER + "/", [ISSUER], ISSUER.upper(), "https://login.example.com"]
NO_AUDIENCES: list[Any] = [
    *(MISSING, None, "", [], {}, AUDIENCE + "/", AUDIENCE[:-1], f"{AUDIENCE} https://other.example.com"),
    *({AUDIENCE: 1}, [[AUDIENCE]], [AUDIENCE, 7], ["https://other.example.com"]),
]
NO_EXPIRIES: list[Any] = [MISSING, None, str(NOW + 300), True, [NOW], {}, -1, 0, NOW - 10, 1e12, 10**30, 1e308]
SUBJECT, EXPIRY = "it has no good subject", "it has expired, or never does"
ELSEWHERE = "it is for another audience"


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        *(({"iss": value}, "it is of another issuer") for value in NO_ISSUERS),
        *(({"aud": value}, ELSEWHERE) for value in NO_AUDIENCES),
        *(({"sub": value}, SUBJECT) for value in (MISSING, None, "", " ", 4711, ["s"], "s" * 256, "a\0b", "a\nb")),
        *(({"exp": value}, EXPIRY) for value in NO_EXPIRIES),
        *(({"nbf": value}, "its nbf is not a time that has come") for value in (NOW + 11, None, str(NOW), True, -1)),
        *(({"iat": value}, "its iat is not a time that has come") for value in (NOW + 11, None, str(NOW), True, 1e300)),
    ],
    ids=str,
)
async def test_what_no_token_may_say(claims: dict[str, Any], why: str) -> None:
    tokens = issuer_of().tokens()

    await refused(tokens, signer().token(**claims), why)

    assert await tokens.claims(signer().token())


@pytest.mark.parametrize(
    ("types", "accepted", "not_accepted"),
    [
        (("at+jwt",), ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"], ["JWT", "jwt", "at+jwt2"]),
        (("at+jwt", "JWT"), ["at+jwt", "JWT", "jwt", "application/jwt"], ["logout+jwt", "dpop+jwt", ""]),
        (("application/at+jwt",), ["at+jwt", "application/at+jwt"], ["JWT", "text/at+jwt", "application/", " at+jwt"]),
    ],
)
async def test_a_token_says_of_which_type_it_is(
    types: tuple[str, ...], accepted: list[str], not_accepted: list[str]
) -> None:
    for kind in accepted:
        assert await issuer_of().tokens(*types).claims(signer().token({"typ": kind}))
    for bad in (*not_accepted, MISSING, None, 7, ["at+jwt"]):
        await refused(issuer_of().tokens(*types), signer().token({"typ": bad}), "it is of another type")


@pytest.mark.parametrize(
    "algorithm",
    [
        *("none", "None", "NONE", "", "HS256", "HS384", "HS512", "RS384", "RS512", "PS256", "ES384", "ES256K", "es256"),
        *("rs256", "eddsa", "Ed448", "RSA-OAEP", "dir", None, MISSING, ["ES256"], {"ES256": 1}, 7),
    ],
)
async def test_no_other_algorithm_is_allowed_and_nobody_is_asked_for_its_key(algorithm: Any) -> None:
    issuer = issuer_of()
    header, payload, signature = signer().token({"alg": algorithm}).split(".")

    await refused(issuer.tokens(), f"{header}.{payload}.{signature}", "its algorithm is not allowed")
    await refused(issuer.tokens(), f"{header}.{payload}.", FORM)

    assert issuer.asked == []


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("claimed", ["HS256", "same"])
async def test_a_public_key_is_no_secret_to_sign_with(algorithm: str, claimed: str) -> None:
    public = signer(algorithm).private.public_key()
    raw = jwt.utils.base64url_decode(signer(algorithm).jwk.get("n") or signer(algorithm).jwk["x"])
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(signer(algorithm).jwk).encode(),
        raw,
    ]
    header = {"alg": algorithm if claimed == "same" else "HS256", "typ": "at+jwt", "kid": "first"}
    text = f"{encoded(header)}.{encoded(CLAIMS)}"

    for secret in secrets:
        forged = f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"
        why = SIGNATURE if claimed == "same" else "its algorithm is not allowed"
        await refused(issuer_of(signer(algorithm)).tokens(), forged, why)


@pytest.mark.parametrize(
    "kid",
    [
        *("../../dev/null", "/etc/passwd", "' OR '1'='1", "first' --", "https://evil.example.com/jwks", "First", "fir"),
        *("", "first ", "first\0", "*", "\N{LATIN SMALL LETTER E WITH ACUTE}", "k" * 200),
    ],
)
async def test_the_name_of_a_key_is_only_looked_up_among_the_keys_of_the_issuer(kid: str) -> None:
    issuer = issuer_of()

    await refused(issuer.tokens(), signer().token({"kid": kid}), OTHER_KEY)

    assert set(issuer.asked) == {DISCOVERY, JWKS}


@pytest.mark.parametrize("kid", ["k" * 201, None, 7, ["first"], {"first": 1}, True])
async def test_a_name_that_is_none_is_not_looked_up_at_all(kid: Any) -> None:
    issuer = issuer_of()

    await refused(issuer.tokens(), signer().token({"kid": kid}), "the name of its key is not one")

    assert issuer.asked == []


async def test_a_token_may_name_no_key_where_only_one_fits() -> None:
    one, other, third = signer("ES256"), signer("RS256", "second"), signer("ES256", "third")
    nameless = one.token({"kid": MISSING})

    alone = await issuer_of(one, other).tokens().claims(nameless)

    assert alone["sub"] == CLAIMS["sub"]
    await refused(issuer_of(one, third).tokens(), nameless, OTHER_KEY)
    await refused(issuer_of(other).tokens(), nameless, OTHER_KEY)
    await refused(issuer_of(third).tokens(), nameless, SIGNATURE)


async def test_a_key_without_a_name_is_found_by_a_token_that_names_none() -> None:
    nameless = replace(signer(), kid=None)

    assert await issuer_of(nameless).tokens().claims(nameless.token({"kid": MISSING}))
    await refused(issuer_of(nameless).tokens(), nameless.token({"kid": "first"}), OTHER_KEY)


async def test_two_keys_of_one_name_are_told_apart_by_their_kind_or_not_at_all() -> None:
    elliptic, large = signer("ES256"), signer("RS256")

    for each in (elliptic, large):
        assert await issuer_of(elliptic, large).tokens().claims(each.token())
    await refused(
        issuer_of(elliptic, replace(signer("ES256", "third"), kid="first")).tokens(), elliptic.token(), OTHER_KEY
    )


@pytest.mark.parametrize(("taken", "claimed"), [("RS256", "ES256"), ("ES256", "RS256"), ("EdDSA", "ES256")])
async def test_a_key_verifies_no_algorithm_but_its_own(taken: str, claimed: str) -> None:
    key = signer(taken)

    await refused(issuer_of(key).tokens(), key.token({"alg": claimed}), OTHER_KEY)
    await refused(issuer_of(key).tokens(), signer(claimed).token(), OTHER_KEY)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize(
    ("published", "is_fit"),
    [
        ({"alg": MISSING, "use": MISSING, "key_ops": MISSING}, True),
        ({"key_ops": ["verify"]}, True),
        ({"key_ops": ["sign", "verify"]}, True),
        ({"x5c": ["rubbish"], "x5t": "rubbish", "unknown": 1}, True),
        ({"key_ops": ["sign"]}, False),
        ({"key_ops": []}, False),
        ({"key_ops": "verify"}, False),
        ({"key_ops": ["encrypt", "wrapKey"]}, False),
        ({"use": "enc"}, False),
        ({"use": ""}, False),
        ({"alg": "RSA-OAEP"}, False),
        ({"alg": "HS256"}, False),
        ({"alg": ["RS256"]}, False),
        ({"kty": "oct", "k": "c2VjcmV0"}, False),
        ({"kty": ["RSA"]}, False),
        ({"crv": "P-384"}, False),
        ({"crv": {}}, False),
        ({"d": "c2VjcmV0"}, False),
        ({"x": "AA", "n": "AA"}, False),
        ({"x": 7, "n": 7}, False),
        ({"x": MISSING, "n": MISSING}, False),
    ],
    ids=str,
)
async def test_what_is_published_of_a_key_must_fit_its_use(
    algorithm: str, published: dict[str, Any], is_fit: bool
) -> None:
    key = replace(signer(algorithm), published=published)
    tokens = issuer_of(key, signer("ES256", "healthy")).tokens()

    if is_fit:
        assert await tokens.claims(key.token())
    else:
        await refused(tokens, key.token(), OTHER_KEY)
    assert await tokens.claims(signer("ES256", "healthy").token())


async def test_a_weak_or_foreign_key_signs_nothing() -> None:
    weak, foreign = signer("RS256", "weak", 1024), signer("ES384", "foreign")
    other = replace(signer("EdDSA", "448"), private=ed448.Ed448PrivateKey.generate())
    issuer = issuer_of(weak, foreign, other, signer("RS256", "strong", 2048))

    await refused(issuer.tokens(), weak.token(), OTHER_KEY)
    await refused(issuer.tokens(), foreign.token(), "its algorithm is not allowed")
    await refused(issuer.tokens(), other.token(), OTHER_KEY)

    assert await issuer.tokens().claims(signer("RS256", "strong", 2048).token())


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_key_whose_private_half_is_published_signs_nothing(algorithm: str) -> None:
    key = signer(algorithm)
    private = jwt.get_algorithm_by_name(algorithm).to_jwk(key.private, as_dict=True)
    private.pop("key_ops", None)

    await refused(Issuer(private | {"kid": "first"}).tokens(), key.token(), OTHER_KEY)


@pytest.mark.parametrize("published", [None, 7, "key", [], [{}], {}, {"kty": None}])
async def test_what_is_no_key_hides_no_key(published: Any) -> None:
    issuer = Issuer(published, signer().jwk)

    assert await issuer.tokens().claims(signer().token())


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_an_attackers_own_key_in_the_header_is_not_looked_at(algorithm: str) -> None:
    attacker = Signer(algorithm, signer(algorithm, "attacker").private)
    issuer = issuer_of(signer(algorithm))
    headers: list[dict[str, Any]] = [
        {"jwk": attacker.jwk},
        {"jku": "https://evil.example.com/jwks"},
        {"x5u": "https://evil.example.com/certificate"},
        {"x5c": ["MIIB"]},
    ]

    for header in headers:
        await refused(issuer.tokens(), attacker.token(header), SIGNATURE)
        await refused(issuer.tokens(), attacker.token({**header, "kid": "attacker"}), OTHER_KEY)
        assert await issuer.tokens().claims(signer(algorithm).token(header))

    assert set(issuer.asked) == {DISCOVERY, JWKS}


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"], "exp": NOW},
        {"crit": ["b64"], "b64": False},
        {"crit": ["b64"], "b64": True},
        {"crit": []},
        {"crit": None},
        {"b64": False},
        {"b64": True},
    ],
    ids=str,
)
async def test_a_token_that_demands_an_extension_is_refused(header: dict[str, Any]) -> None:
    issuer = issuer_of()

    await refused(issuer.tokens(), signer().token(header), "it demands an extension")

    assert issuer.asked == []


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_no_bit_of_a_token_can_be_changed(algorithm: str) -> None:
    tokens = issuer_of(signer(algorithm)).tokens()
    header, payload, signature = signer(algorithm).token().split(".")
    parts = {
        "payload": (header, encoded(CLAIMS | {"sub": "person-4712"}), signature),
        "header": (encoded({"typ": "at+jwt", "alg": algorithm, "kid": "first"}), payload, signature),
        "signature": (header, payload, ("B" if signature[0] == "A" else "A") + signature[1:]),
        "zeros": (header, payload, encoded(bytes(len(base64.urlsafe_b64decode(signature + "=="))))),
        "short": (header, payload, signature[:-4]),
        "long": (header, payload, signature + "AAAA"),
        "none": (header, payload, "AAAA"),
    }
    assert parts["header"][0] != header

    for changed in parts.values():
        await refused(tokens, ".".join(changed), SIGNATURE)


async def test_a_signature_is_written_in_one_way() -> None:
    tokens = issuer_of().tokens()
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    token = signer().token()
    last = letters.index(token[-1])
    assert last % 16 == 0  # 64 bytes leave four bits of the last letter unused

    await refused(tokens, token[:-1] + letters[last + 1], SIGNATURE)
    await refused(tokens, token + "==", FORM)
    await refused(tokens, token + "\n", FORM)


@pytest.mark.parametrize(
    "make",
    [
        lambda _: "",
        lambda _: ".",
        lambda _: "..",
        lambda _: "opaque-4711",
        lambda token: token.rpartition(".")[0],
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: token.partition(".")[2],
        lambda token: token + ".",
        lambda token: token + ".AAAA",
        lambda token: token + ".AAAA.AAAA",
        lambda token: "." + token,
        lambda token: " " + token,
        lambda token: "Bearer " + token,
        lambda token: token.replace(".", ","),
        lambda token: token[:10] + "+/" + token[10:],
        lambda token: token[:10] + "\0" + token[10:],
    ],
)
async def test_what_is_not_of_three_parts_is_refused(make: Callable[[str], str]) -> None:
    issuer = issuer_of()

    await refused(issuer.tokens(), make(signer().token()), FORM)

    assert issuer.asked == []


@pytest.mark.parametrize("letter", ["\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{CYRILLIC SMALL LETTER A}", "\udc80"])
async def test_a_token_is_of_ascii(letter: str) -> None:
    await refused(issuer_of().tokens(), signer().token() + letter, "it is too long, or not of ASCII")


async def test_a_token_has_a_largest_size() -> None:
    made = [signer().token(filling="x" * length) for length in range(5_500, 5_700)]
    largest = max((token for token in made if len(token) <= LONGEST_TOKEN), key=len)
    larger = min((token for token in made if len(token) > LONGEST_TOKEN), key=len)

    claims = await issuer_of().tokens().claims(largest)

    assert (len(largest), len(larger), claims["sub"]) == (LONGEST_TOKEN, LONGEST_TOKEN + 1, CLAIMS["sub"])
    for long in (larger, "x" * 9_000):
        await refused(issuer_of().tokens(), long, "it is too long, or not of ASCII")


HEADER = {"alg": "ES256", "typ": "at+jwt", "kid": "first"}
TEXT = json.dumps(CLAIMS)


@pytest.mark.parametrize(
    ("header", "payload", "why"),
    [
        (b'{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"first"}', CLAIMS, JSON),
        (b'{"alg":"ES256","alg":"ES256","typ":"at+jwt","kid":"first"}', CLAIMS, JSON),
        (b'{"alg":"ES256","typ":"at+jwt","kid":"first","jwk":{"x":1,"x":2}}', CLAIMS, JSON),
        (HEADER, f'{{"sub":"somebody",{TEXT[1:]}'.encode(), JSON),
        (HEADER, f'{TEXT[:-1]},"s\\u0075b":"somebody"}}'.encode(), JSON),
        (HEADER, f'{TEXT[:-1]},"holdfast2":{{"role":1,"role":2}}}}'.encode(), JSON),
        (HEADER, f'{TEXT[:-1]},"more":NaN}}'.encode(), JSON),
        (HEADER, f'{TEXT[:-1]},"more":Infinity}}'.encode(), JSON),
        (HEADER, f'{TEXT[:-1]},"more":"\\ud800"}}'.encode(), JSON),
        (HEADER, TEXT.encode().replace(b"person", b"pers\xffn"), JSON),
        (HEADER, b"\xef\xbb\xbf" + TEXT.encode(), JSON),
        (HEADER, TEXT.encode("utf-16"), JSON),
        (HEADER, TEXT.encode() + b"{}", JSON),
        (HEADER, b"[" * 5_000, JSON),
        (HEADER, b"[" * 1_010 + b"]" * 1_010, JSON),
        (b"[" * 1_010 + b"]" * 1_010, CLAIMS, JSON),
        (b"[" * 5_000, CLAIMS, JSON),
        (b'{"alg":' * 600 + b"1" + b"}" * 600, CLAIMS, "its algorithm is not allowed"),
        (HEADER, [CLAIMS], "it holds no JSON object"),
        (HEADER, "claims", "it holds no JSON object"),
        (HEADER, None, "it holds no JSON object"),
        ([HEADER], CLAIMS, "it holds no JSON object"),
        (HEADER, b"rubbish", JSON),
        (b"rubbish", CLAIMS, JSON),
    ],
    ids=lambda value: repr(value)[:40],
)
async def test_both_parts_are_objects_of_strict_json(header: Any, payload: Any, why: str) -> None:
    await refused(issuer_of().tokens(), signer().sign(header, payload), why)


async def test_a_header_of_an_impossible_length_is_refused() -> None:
    _, payload, signature = signer().token().split(".")

    await refused(issuer_of().tokens(), f"AAAAA.{payload}.{signature}", "it is not written in base64url")


async def test_an_encrypted_token_is_refused() -> None:
    header = {"alg": "RSA-OAEP-256", "enc": "A256GCM", "typ": "at+jwt", "kid": "first"}

    await refused(issuer_of().tokens(), f"{encoded(header)}.AAAA.AAAA.AAAA.AAAA", FORM)
    await refused(issuer_of().tokens(), f"{encoded(header)}.AAAA.AAAA", "its algorithm is not allowed")


# What is remembered, and for how long.


class Counted:
    """How often a signature was verified."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        verify = jwt.PyJWS.decode_complete

        def counted(*given: Any, **named: Any) -> Any:
            self.count += 1
            return verify(*given, **named)

        monkeypatch.setattr(jwt.PyJWS, "decode_complete", counted)


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


async def test_a_token_is_verified_once_a_minute(verified: Counted) -> None:
    issuer = issuer_of()
    tokens, token, found = issuer.tokens(), signer().token(), []

    for moment in (0, 1, 59.9, 60, 119.9, 120, 240, 240.5):
        issuer.now = NOW + moment
        await tokens.claims(token)
        found.append(verified.count)

    assert found == [1, 1, 1, 2, 2, 3, 4, 4]


async def test_what_is_remembered_expires_with_its_token(verified: Counted) -> None:
    issuer = issuer_of()
    tokens, token = issuer.tokens(), signer().token(exp=NOW + 20)
    await tokens.claims(token)

    issuer.now = NOW + 19.9
    await tokens.claims(token)
    assert verified.count == 1
    issuer.now = NOW + 29.9
    await tokens.claims(token)
    assert verified.count == 2
    issuer.now = NOW + 30
    with pytest.raises(TokenRefusedError, match=EXPIRY):
        await tokens.claims(token)
    assert verified.count == 3


async def test_a_clock_that_was_set_back_makes_nothing_be_remembered_longer(verified: Counted) -> None:
    issuer = issuer_of()
    tokens, token = issuer.tokens(), signer().token(iat=MISSING)
    await tokens.claims(token)
    issuer.now = NOW - 86_400 * 7

    await tokens.claims(token)

    assert verified.count == 2
    assert issuer.fetches == 2


async def test_the_least_recently_used_gives_way(verified: Counted) -> None:
    tokens = issuer_of(signer("EdDSA")).tokens()
    every = [signer("EdDSA").token(n=n) for n in range(REMEMBERED + 1)]
    for token in every[:-1]:
        await tokens.claims(token)
    await tokens.claims(every[0])
    await tokens.claims(every[-1])
    assert verified.count == len(tokens._remembered) + 1 == REMEMBERED + 1

    await tokens.claims(every[0])
    assert verified.count == REMEMBERED + 1
    await tokens.claims(every[1])
    assert verified.count == REMEMBERED + 2
    assert len(tokens._remembered) == REMEMBERED


async def test_no_token_is_kept_in_memory(verified: Counted) -> None:
    tokens = issuer_of().tokens()
    token = signer().token()

    await tokens.claims(token)

    assert [*tokens._remembered] == [hashlib.sha256(token.encode()).digest()]


# The keys of the issuer.


async def test_keys_are_kept_for_ten_minutes() -> None:
    issuer = issuer_of()
    tokens, found = issuer.tokens(), []

    for moment in (0, 300, 599.9, 600, 1_199.9, 1_200):
        issuer.now = NOW + moment
        await tokens.claims(signer().token(exp=NOW + 9_999, moment=moment))
        found.append(issuer.fetches)

    assert found == [1, 1, 1, 2, 2, 3]


async def test_a_key_that_is_no_longer_published_signs_nothing_any_more() -> None:
    issuer = issuer_of(signer(), signer("ES256", "next"))
    tokens = issuer.tokens()
    await tokens.claims(signer().token())
    issuer.keys = [signer("ES256", "next").jwk]
    issuer.now += 600

    with pytest.raises(TokenRefusedError, match=OTHER_KEY):
        await tokens.claims(signer().token(exp=NOW + 9_999))

    assert await tokens.claims(signer("ES256", "next").token(exp=NOW + 9_999))


async def test_a_rotated_key_is_picked_up_at_once() -> None:
    issuer = issuer_of()
    tokens = issuer.tokens()
    await tokens.claims(signer().token())
    issuer.keys = [signer("ES256", "next").jwk]
    issuer.now += 1

    assert await tokens.claims(signer("ES256", "next").token())

    assert issuer.fetches == 2
    with pytest.raises(TokenRefusedError, match=OTHER_KEY):
        await tokens.claims(signer().token(jti="not yet seen"))
    assert issuer.fetches == 2


async def test_names_that_are_made_up_do_not_tire_the_issuer() -> None:
    issuer = issuer_of()
    tokens = issuer.tokens()
    await tokens.claims(signer().token())
    made_up = signer("ES256", "made up")

    async def ask(count: int) -> None:
        for n in range(count):
            with pytest.raises(TokenRefusedError, match=OTHER_KEY):
                await tokens.claims(made_up.token({"kid": f"made-up-{issuer.now}-{n}"}))

    found = []
    for moment in (0, 1, 29.9, 30, 59.9, 60):
        issuer.now = NOW + moment
        await ask(50)
        found.append(issuer.fetches)

    assert found == [2, 2, 2, 3, 3, 4]
    assert await tokens.claims(signer().token(jti="not yet seen"))


async def test_many_at_once_share_one_fetch() -> None:
    issuer = issuer_of()
    issuer.open.clear()
    tokens = issuer.tokens()
    asking = [asyncio.create_task(tokens.claims(signer().token(n=n))) for n in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()

    issuer.open.set()
    first, *others = await asyncio.gather(*asking, return_exceptions=True)

    assert isinstance(first, asyncio.CancelledError)
    assert [other["n"] for other in others if not isinstance(other, BaseException)] == [*range(1, 50)]
    assert issuer.asked == [DISCOVERY, JWKS]


async def test_many_with_a_key_that_is_not_known_share_one_fetch() -> None:
    issuer = issuer_of()
    tokens = issuer.tokens()
    await tokens.claims(signer().token())
    issuer.keys.append(signer("ES256", "next").jwk)
    issuer.open.clear()
    asking = [asyncio.create_task(tokens.claims(signer("ES256", "next").token(n=n))) for n in range(50)]
    await asyncio.sleep(0)

    assert await tokens.claims(signer().token(jti="whose key is known waits for nobody"))
    issuer.open.set()
    found = await asyncio.gather(*asking)

    assert [claims["n"] for claims in found] == [*range(50)]
    assert issuer.fetches == 2


async def test_the_loop_goes_on_while_keys_are_fetched() -> None:
    issuer = issuer_of()
    issuer.open.clear()
    asking = asyncio.create_task(issuer.tokens().claims(signer().token()))

    turns = 0
    while not issuer.asked:
        await asyncio.sleep(0.001)
        turns += 1
    assert not asking.done()
    issuer.open.set()

    assert (await asking)["sub"] == CLAIMS["sub"]
    assert turns > 0


async def test_an_issuer_that_was_never_reached_is_not_the_tokens_fault(caplog: pytest.LogCaptureFixture) -> None:
    issuer = issuer_of()
    issuer.is_up = False
    tokens, token = issuer.tokens(), signer().token()

    found = []
    for moment in (0, 1, 4.9, 5, 5.1):
        issuer.now = NOW + moment
        with pytest.raises(IssuerUnreachableError, match="it is down"):
            await tokens.claims(token)
        found.append(issuer.fetches)

    assert found == [1, 1, 1, 2, 2]
    assert [(line.levelno, line.name) for line in caplog.records if line.name.startswith("holdfast")] == [
        (logging.WARNING, "holdfast.token")
    ] * 2
    issuer.is_up = True
    issuer.now = NOW + 10
    assert await tokens.claims(token)


async def test_who_has_no_keys_waits_for_the_attempt_that_is_under_way() -> None:
    issuer = issuer_of()
    issuer.is_up = False
    tokens = issuer.tokens()
    with pytest.raises(IssuerUnreachableError):
        await tokens.claims(signer().token())
    issuer.is_up = True
    issuer.now += 5
    issuer.open.clear()
    issuer.begun.clear()
    asking = [asyncio.create_task(tokens.claims(signer().token(n=0)))]
    assert await asyncio.to_thread(issuer.begun.wait, 10)
    asking += [asyncio.create_task(tokens.claims(signer().token(n=n))) for n in range(1, 5)]
    await asyncio.sleep(0)

    issuer.open.set()

    assert [claims["n"] for claims in await asyncio.gather(*asking)] == [*range(5)]
    assert issuer.fetches == 2


async def test_after_an_outage_new_keys_are_waited_for_again() -> None:
    issuer = issuer_of()
    tokens = issuer.tokens()
    await tokens.claims(signer().token())
    issuer.is_up = False
    issuer.now += 600
    await tokens.claims(signer().token(exp=NOW + 9_999, n=1))
    issuer.is_up = True
    issuer.now += 5
    await tokens.claims(signer().token(exp=NOW + 9_999, n=2))
    assert tokens.keys._fetching is not None
    await tokens.keys._fetching
    issuer.keys = [signer("ES256", "next").jwk]
    issuer.now += 600

    with pytest.raises(TokenRefusedError, match=OTHER_KEY):
        await tokens.claims(signer().token(exp=NOW + 9_999, n=3))


async def test_an_issuer_that_is_down_is_missed_after_a_day() -> None:
    issuer = issuer_of()
    tokens = issuer.tokens()
    await tokens.claims(signer().token())
    issuer.is_up = False

    for moment in (599, 600, 7_200, 86_399):
        issuer.now = NOW + moment
        assert await tokens.claims(signer().token(exp=NOW + 99_999, moment=moment))
    issuer.now = NOW + 86_400
    with pytest.raises(IssuerUnreachableError):
        await tokens.claims(signer().token(exp=NOW + 99_999, moment=86_400))


async def test_an_issuer_that_is_down_holds_up_only_the_first() -> None:
    issuer = issuer_of()
    tokens = issuer.tokens()
    await tokens.claims(signer().token())
    issuer.is_up = False
    issuer.now += 600
    await tokens.claims(signer().token(exp=NOW + 9_999, n=1))
    assert issuer.fetches == 2
    issuer.now += 5
    issuer.open.clear()

    for n in range(2, 20):
        assert await tokens.claims(signer().token(exp=NOW + 9_999, n=n))
    issuer.open.set()
    assert tokens.keys._fetching is not None
    await tokens.keys._fetching

    assert issuer.fetches == 3


async def test_an_issuer_that_is_back_is_asked_for_its_new_key() -> None:
    issuer = issuer_of()
    tokens = issuer.tokens()
    await tokens.claims(signer().token())
    issuer.is_up = False
    issuer.now += 600
    new = signer("ES256", "next").token(exp=NOW + 9_999)
    with pytest.raises(TokenRefusedError, match=OTHER_KEY):
        await tokens.claims(new)

    issuer.is_up, issuer.keys = True, [signer("ES256", "next").jwk]
    issuer.now += 30

    assert await tokens.claims(new)


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": ISSUER + "/", "jwks_uri": JWKS},
        {"issuer": "https://evil.example.com", "jwks_uri": JWKS},
        {"issuer": [ISSUER], "jwks_uri": JWKS},
        {"jwks_uri": JWKS},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": None},
        {"issuer": ISSUER, "jwks_uri": [JWKS]},
    ],
    ids=str,
)
async def test_what_is_discovered_is_of_this_issuer_and_says_where_its_keys_are(discovery: dict[str, Any]) -> None:
    issuer = issuer_of()
    issuer.discovery = discovery

    with pytest.raises(IssuerUnreachableError):
        await issuer.tokens().claims(signer().token())

    assert issuer.asked == [DISCOVERY]


@pytest.mark.parametrize("keys", [None, {}, "keys", 7])
async def test_what_publishes_no_list_of_keys_is_no_answer(keys: Any) -> None:
    issuer = Issuer()
    issuer.keys = keys

    with pytest.raises(IssuerUnreachableError):
        await issuer.tokens().claims(signer().token())


async def test_an_issuer_may_have_no_key_at_all() -> None:
    await refused(Issuer().tokens(), signer().token(), OTHER_KEY)


async def test_the_slash_at_the_end_of_an_issuer_is_part_of_its_name() -> None:
    issuer = issuer_of()
    issuer.discovery["issuer"] = ISSUER + "/"

    claims = await issuer.tokens(issuer=ISSUER + "/").claims(signer().token(iss=ISSUER + "/"))

    assert claims["iss"] == ISSUER + "/"
    assert issuer.asked == [DISCOVERY, JWKS]


# The channel, over a real connection.


class Handler(BaseHTTPRequestHandler):
    """Answers as its path says."""

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["accept"]))  # type: ignore[attr-defined]
        getattr(self, self.path.strip("/").partition("?")[0])()

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def good(self) -> None:
        self.answer(b'{"keys": []}')

    def away(self) -> None:
        self.answer(b'{"keys": []}', 302, location="/good")

    def moved(self) -> None:
        self.answer(b'{"keys": []}', 308, location="/good")

    def missing(self) -> None:
        self.answer(b'{"keys": []}', 404)

    def broken(self) -> None:
        self.answer(b'{"keys": []}', 500)

    def page(self) -> None:
        self.answer(b"<html></html>")

    def listed(self) -> None:
        self.answer(b"[]")

    def latin(self) -> None:
        self.answer(b'{"keys": "\xe9"}')

    def largest(self) -> None:
        self.answer(b'{"keys": "' + b"x" * (LARGEST - 12) + b'"}')

    def larger(self) -> None:
        self.answer(b'{"keys": "' + b"x" * (LARGEST - 11) + b'"}')

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.drip(b"x" * 65_536, 0)

    def short(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "1000")
        self.end_headers()
        self.wfile.write(b'{"keys": [')

    def rude(self) -> None:
        self.wfile.write(b"no HTTP at all\r\n\r\n")

    def silent(self) -> None:
        self.server.end.wait(10)  # type: ignore[attr-defined]

    def slow_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
        self.drip(b"x", 0.02)

    def slow_body(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.drip(b" ", 0.02)

    def drip(self, piece: bytes, pause: float) -> None:
        try:
            while not self.server.end.wait(pause):  # type: ignore[attr-defined]
                self.wfile.write(piece)
        except OSError:
            self.server.cut.append(self.path)  # type: ignore[attr-defined]

    def log_message(self, *given: Any) -> None:
        pass


@contextmanager
def listening(context: ssl.SSLContext | None = None) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.seen, server.cut, server.end = [], [], threading.Event()
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.address = f"{'https' if context else 'http'}://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.end.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def web() -> Iterator[Any]:
    with listening() as server:
        yield server


def test_an_object_is_fetched_from_where_it_is(web: Any) -> None:
    assert fetched(f"{web.address}/good?of=us#here") == {"keys": []}
    assert len(fetched(f"{web.address}/largest")["keys"]) == LARGEST - 12

    assert web.seen == [("/good?of=us", "application/json"), ("/largest", "application/json")]


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("away", "it answers 302"),
        ("moved", "it answers 308"),
        ("missing", "it answers 404"),
        ("broken", "it answers 500"),
        ("page", "JSONDecodeError"),
        ("latin", "JSONDecodeError"),
        ("short", "JSONDecodeError"),
        ("listed", "it answers no JSON object"),
        ("larger", f"it answers more than {LARGEST} bytes"),
        ("endless", f"it answers more than {LARGEST} bytes"),
        ("rude", "BadStatusLine"),
    ],
)
def test_nothing_else_is_fetched_and_nobody_is_followed(web: Any, path: str, why: str) -> None:
    with pytest.raises(FetchError, match=why):
        fetched(f"{web.address}/{path}")

    assert [seen for seen, _ in web.seen] == [f"/{path}"]


@pytest.mark.parametrize("path", ["silent", "slow_head", "slow_body"])
def test_who_answers_too_slowly_is_cut_off(web: Any, path: str) -> None:
    began = time.monotonic()

    with pytest.raises(FetchError):
        fetched(f"{web.address}/{path}", 0.2)

    assert 0.19 < time.monotonic() - began < 3


def test_who_does_not_listen_is_not_fetched_from() -> None:
    with pytest.raises(FetchError, match="ConnectionRefusedError"):
        fetched(f"http://127.0.0.1:{free_port()}/good")


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("https://login.example.com", True),
        ("https://login.example.com:8443/realms/practice", True),
        ("https://10.0.0.7/", True),
        ("http://localhost:4000", True),
        ("http://127.0.0.1:4000/oidc", True),
        ("http://127.3.2.1", True),
        ("http://[::1]:4000", True),
        ("http://login.example.com", False),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://10.0.0.7", False),
        ("http://169.254.169.254/latest", False),
        ("http://0.0.0.0", False),
        ("http://2130706433", False),
        ("http://localhost@example.com", False),
        ("https://user:password@login.example.com", False),
        ("file:///etc/passwd", False),
        ("file://localhost/etc/passwd", False),
        ("ftp://localhost/keys", False),
        ("data:application/json,{}", False),
        ("https://", False),
        ("https:///keys", False),
        ("//login.example.com", False),
        ("login.example.com", False),
        ("https://login.example.com:port", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_an_address_is_of_https_or_of_this_machine(address: str, expected: bool) -> None:
    assert is_trustworthy(address) is expected
    if not expected:
        with pytest.raises(FetchError, match="its address is neither of https nor of this machine"):
            fetched(address)


def test_an_address_that_cannot_be_written_is_not_fetched(web: Any) -> None:
    for path in ("two words", "\N{LATIN SMALL LETTER E WITH ACUTE}", "a\0b"):
        with pytest.raises(FetchError):
            fetched(f"{web.address}/{path}")

    assert web.seen == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for localhost that nobody signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name, today = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.2"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path = tmp_path / "certificate.pem"
    path.write_bytes(private + made.public_bytes(Encoding.PEM))
    return path


def test_a_certificate_must_be_one_that_is_trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    with listening(context) as web:
        with pytest.raises(FetchError, match="SSLCertVerificationError"):
            fetched(f"{web.address}/good")
        assert web.seen == []
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        found = fetched(f"{web.address}/good")
        with pytest.raises(FetchError, match="SSLCertVerificationError"):
            fetched(f"{web.address.replace('localhost', '127.0.0.1')}/good")

    assert found == {"keys": []}
    assert len(web.seen) == 1


async def test_keys_come_over_a_real_connection(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    documents: dict[str, Any] = {"issuer": web.address, "jwks_uri": f"{web.address}/keys"}

    def answered(self: Handler) -> None:
        keys = {"keys": [signer().jwk]}
        self.answer(json.dumps(keys if self.path == "/keys" else documents).encode())

    monkeypatch.setattr(Handler, "do_GET", answered)
    token = signer().token(iss=web.address)
    claims = await Tokens(web.address, AUDIENCE, clock=lambda: NOW).claims(token)
    documents["jwks_uri"] = "http://login.example.com/keys"

    with pytest.raises(IssuerUnreachableError, match="neither of https nor of this machine"):
        await Tokens(web.address, AUDIENCE, clock=lambda: NOW).claims(token)

    assert claims["sub"] == CLAIMS["sub"]
