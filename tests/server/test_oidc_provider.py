"""Bearer tokens of a real provider, one that is certified for OpenID Connect: they are what the rules expect."""

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import jwt
import pytest

from server.token import IssuerUnreachableError, TokenRefusedError, Tokens
from tests.oidc import AUDIENCE, CLIENT, OidcProvider, providing

PERSON = {"business": "0193b5f0-0000-7000-8000-000000000001", "role": "PROVIDER", "person": "ada"}
UNKNOWN_KEY = "no key of the issuer fits it, or more than one does"


@pytest.fixture(scope="module")
def oidc_provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OidcProvider]:
    """The address of an issuer, and the tokens that it gives."""
    with providing(tmp_path_factory.mktemp("oidc")) as provider:
        yield provider


def part(token: str, position: int) -> dict[str, Any]:
    text = token.split(".")[position]
    value: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return value


def tokens_of(provider: OidcProvider, *types: str) -> Tokens:
    return Tokens(provider.issuer, AUDIENCE, types or ("at+jwt",))


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_token_of_the_provider_is_accepted_with_exactly_its_claims(
    oidc_provider: OidcProvider, algorithm: str
) -> None:
    began = int(time.time())
    token = oidc_provider.token(algorithm=algorithm, claims={"holdfast": PERSON})

    claims = dict(await tokens_of(oidc_provider).claims(token))

    assert part(token, 0).keys() == {"alg", "typ", "kid"}
    assert (part(token, 0)["alg"], part(token, 0)["typ"]) == (algorithm, "at+jwt")
    assert claims == part(token, 1)
    assert began <= claims.pop("iat") <= (expires := claims.pop("exp")) - 600 <= time.time()
    assert expires > time.time()
    assert len(claims.pop("jti")) > 20
    assert claims == {
        "iss": oidc_provider.issuer,
        "aud": AUDIENCE,
        "sub": CLIENT[0],
        "client_id": CLIENT[0],
        "holdfast": PERSON,
    }


async def test_a_token_names_whomever_it_was_given_to(oidc_provider: OidcProvider) -> None:
    claims = await tokens_of(oidc_provider).claims(oidc_provider.token(subject="auth|ada"))

    assert (claims["sub"], claims["client_id"]) == ("auth|ada", CLIENT[0])
    assert "holdfast" not in claims


async def test_a_token_for_another_audience_is_refused(oidc_provider: OidcProvider) -> None:
    for audience in ("https://other.example.com", f"{AUDIENCE}/", f"{AUDIENCE}.evil.example.com"):
        token = oidc_provider.token(audience)
        assert part(token, 1)["aud"] == audience

        with pytest.raises(TokenRefusedError, match="it is for another audience"):
            await tokens_of(oidc_provider).claims(token)


async def test_an_opaque_token_is_refused(oidc_provider: OidcProvider) -> None:
    for token in (oidc_provider.token(None), oidc_provider.token(format="opaque")):
        assert "." not in token

        with pytest.raises(TokenRefusedError, match="it is not a signed JSON Web Token"):
            await tokens_of(oidc_provider).claims(token)


async def test_what_tells_an_application_who_logged_in_opens_nothing_here(oidc_provider: OidcProvider) -> None:
    token = oidc_provider.token(algorithm="ES256")
    kid, now = part(token, 0)["kid"], int(time.time())
    said = {"iss": oidc_provider.issuer, "sub": "ada", "aud": CLIENT[0], "iat": now, "exp": now + 600, "nonce": "n"}
    id_token = jwt.encode(said, oidc_provider.private["ES256"], "ES256", {"kid": kid})
    for_us = jwt.encode(said | {"aud": AUDIENCE}, oidc_provider.private["ES256"], "ES256", {"kid": kid})

    for each in (id_token, for_us):
        with pytest.raises(TokenRefusedError, match="it is of another type"):
            await tokens_of(oidc_provider).claims(each)
    with pytest.raises(TokenRefusedError, match="it is for another audience"):
        await tokens_of(oidc_provider, "at+jwt", "JWT").claims(id_token)

    assert (await tokens_of(oidc_provider, "at+jwt", "JWT").claims(for_us))["sub"] == "ada"


async def test_another_provider_is_another_issuer(oidc_provider: OidcProvider) -> None:
    address = oidc_provider.issuer.replace("localhost", "127.0.0.1")

    with pytest.raises(IssuerUnreachableError, match="what was discovered is of another issuer"):
        await Tokens(address, AUDIENCE).claims(oidc_provider.token())


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_a_key_that_the_provider_changed_is_picked_up(oidc_provider: OidcProvider, algorithm: str) -> None:
    tokens, old = tokens_of(oidc_provider), oidc_provider.token(algorithm=algorithm)
    known = await tokens.claims(old)
    unseen = oidc_provider.token(algorithm=algorithm)

    oidc_provider.rotate()
    new = oidc_provider.token(algorithm=algorithm, claims={"holdfast": PERSON})
    found = await tokens.claims(new)

    assert found["holdfast"] == PERSON
    assert part(old, 0)["kid"] != part(new, 0)["kid"]
    with pytest.raises(TokenRefusedError, match=UNKNOWN_KEY):
        await tokens.claims(unseen)
    assert await tokens.claims(old) == known  # for a minute yet


async def test_tokens_are_accepted_while_the_provider_is_down(oidc_provider: OidcProvider) -> None:
    tokens = tokens_of(oidc_provider)
    first, second = oidc_provider.token(), oidc_provider.token()
    await tokens.claims(first)
    oidc_provider.stop()
    try:
        claims = await tokens.claims(second)
        with pytest.raises(IssuerUnreachableError):
            await tokens_of(oidc_provider).claims(second)
    finally:
        oidc_provider.start()

    assert claims["sub"] == CLIENT[0]


def test_the_provider_publishes_no_private_half(oidc_provider: OidcProvider) -> None:
    discovered = httpx2.get(f"{oidc_provider.issuer}/.well-known/openid-configuration").json()
    keys = httpx2.get(discovered["jwks_uri"]).json()["keys"]

    assert [key["kty"] for key in keys] == ["RSA", "EC", "OKP"]
    assert [key for key in keys if "d" in key] == []
