"""Bearer tokens before an issuer that answers over HTTP; the API needs no database to read them."""

import asyncio
import json
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from hashlib import sha256
from hmac import digest
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.stack.polling import wait_until
from schemas.settings.access import AccessSettings
from schemas.settings.blocks import DatabaseSettings
from tests.support.access import AUDIENCE, Issuer, bearer, issuer
from tests.support.rest import api, assert_problem

NOWHERE = DatabaseSettings(db_host="127.0.0.1", db_port=1, db_user="nobody", db_name="nowhere")


@pytest.fixture(scope="module")
def oidc() -> Iterator[Issuer]:
    with issuer() as running:
        yield running


def settings(oidc: Issuer, **changes: Any) -> AccessSettings:
    usual: dict[str, Any] = {
        "api_oidc_issuer": oidc.address,
        "api_oidc_audience": AUDIENCE,
        "api_oidc_refetch_seconds": 0.01,
    }
    return AccessSettings(**(usual | changes))


async def ask(token: str, access: AccessSettings) -> httpx.Response:
    async with api(NOWHERE, access=access) as client:
        return await client.get("/api/me", headers=bearer(token))


async def test_a_token_says_who_asks_and_in_which_role(oidc: Issuer) -> None:
    async with api(NOWHERE, access=settings(oidc)) as client:
        answer = await client.get(
            "/api/me", headers=bearer(oidc.token(roles=["viewer", "operator", "x"], preferred_username="ada"))
        )
        assert answer.status_code == 200, answer.text
        me = answer.json()
        assert (me["id"], me["name"], me["role"], me["by"]) == ("token:someone", "ada", "operator", "token")
        assert me["expiresAt"].endswith("Z")


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("expired", {"exp": int(time.time()) - 60}, "the token has expired"),
    ("not yet", {"nbf": int(time.time()) + 3600}, "not yet valid"),
    ("wrong audience", {"aud": "billing"}, "audience"),
    ("wrong issuer", {"iss": "https://elsewhere.example.org"}, "issuer"),
    ("no end", {"exp": None}, "exp"),
    ("no audience", {"aud": None}, "aud"),
    ("no subject", {"sub": None}, "sub"),
]


@pytest.mark.parametrize(("claims", "why"), [each[1:] for each in REFUSED], ids=[each[0] for each in REFUSED])
async def test_a_token_that_does_not_hold_is_refused(oidc: Issuer, claims: dict[str, Any], why: str) -> None:
    answer = await ask(oidc.token(**claims), settings(oidc))
    assert why in assert_problem(answer, 401)["detail"]
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_clocks_may_differ_by_what_the_setting_says_and_no_more(oidc: Issuer) -> None:
    just_over = oidc.token(exp=int(time.time()) - 10)
    assert (await ask(just_over, settings(oidc))).status_code == 200
    assert_problem(await ask(just_over, settings(oidc, api_oidc_clock_skew_seconds=5)), 401)


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = (urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims))
    return b".".join(parts).decode()


async def test_algorithms_that_prove_nothing_are_refused_before_the_issuer_is_asked(oidc: Issuer) -> None:
    before = oidc.asked
    claims = oidc.claims(roles=["admin"])
    tokens = [unsigned({"alg": name, "kid": "first"}, claims) + "." for name in ("none", "None", "NONE")]
    # Signed with a secret that everybody knows: the public key, in each form in which a library might take it.
    public = oidc.keys["first"].public_key()
    secrets = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        jwt.algorithms.RSAAlgorithm.to_jwk(public).encode(),
    ]
    for secret in secrets:
        words = unsigned({"alg": "HS256", "typ": "JWT", "kid": "first"}, claims)
        signature = urlsafe_b64encode(digest(secret, words.encode(), sha256)).rstrip(b"=").decode()
        tokens.append(f"{words}.{signature}")
    async with api(NOWHERE, access=settings(oidc)) as client:
        for token in tokens:
            problem = assert_problem(await client.get("/api/me", headers=bearer(token)), 401)
            assert "which is not accepted" in problem["detail"]
    assert oidc.asked == before


async def test_a_signature_is_looked_at(oidc: Issuer) -> None:
    words, _, signature = oidc.token().rpartition(".")
    forged = (
        f"{words}.{signature[::-1]}",
        f"{unsigned({'alg': 'RS256', 'kid': 'first'}, oidc.claims(roles=['admin']))}.{signature}",
        f"{words}.",
        "no token",
        "a.b.c",
        "\xfc.\xfc.\xfc",
    )
    async with api(NOWHERE, access=settings(oidc)) as client:
        for text in forged:
            headers = [(b"authorization", f"Bearer {text}".encode("latin-1"))]
            assert_problem(await client.get("/api/me", headers=headers), 401)


async def test_headers_of_any_kind_are_401(oidc: Issuer) -> None:
    headers: list[dict[str, Any]] = [
        {"alg": []},
        {"alg": {}},
        {"alg": None},
        {"alg": "RS256", "kid": ["first"]},
        {"alg": "RS256", "kid": "first", "crit": ["\ud800"]},
        {"alg": "RS256", "kid": "first", "b64": False, "crit": ["b64"]},
        {"alg": "ES256", "kid": "first"},
        {"alg": "EdDSA", "kid": "first"},
        {"alg": "RS256", "jwk": {"kty": "oct", "k": "MDAw"}, "x5u": "http://127.0.0.1:1", "jku": "http://127.0.0.1:1"},
    ]
    async with api(NOWHERE, access=settings(oidc)) as client:
        for header in headers:
            token = unsigned(header, oidc.claims(roles=["admin"])) + ".eA"
            assert_problem(await client.get("/api/me", headers=bearer(token)), 401)


async def test_claims_of_any_kind_are_taken_for_what_they_are(oidc: Issuer) -> None:
    async with api(NOWHERE, access=settings(oidc)) as client:
        for claims in ({"exp": str(2**34)}, {"exp": 1e30}, {"name": "\ud800"}):
            assert (await client.get("/api/me", headers=bearer(oidc.token(**claims)))).status_code == 200
        # As it is shown, logged, and kept by a database that takes no zero byte.
        name = oidc.token(sub="x\0", preferred_username="ad\x1b[2Ja")
        me = (await client.get("/api/me", headers=bearer(name))).json()
        assert (me["id"], me["name"]) == ("token:x\ufffd", "ad\ufffd[2Ja")
        for odd in ({"exp": float("inf")}, {"nbf": float("nan")}, {"iat": "x"}, {"aud": [["x"]]}, {"sub": 5}):
            assert_problem(await client.get("/api/me", headers=bearer(oidc.token(**odd))), 401)


async def test_tokens_that_give_no_role_are_limited_too(oidc: Issuer) -> None:
    access = settings(oidc, api_rate_per_second=0.01, api_rate_burst=3)
    async with api(NOWHERE, access=access) as client:
        roleless = bearer(oidc.token(roles=[]))
        statuses = [(await client.get("/api/me", headers=roleless)).status_code for _ in range(4)]
        assert statuses == [403, 403, 403, 429]
        assert (await client.get("/api/me", headers=bearer(oidc.token()))).status_code == 200


async def test_a_key_that_the_issuer_shares_as_a_secret_signs_nothing() -> None:
    with issuer() as careless:
        secret = urlsafe_b64encode(b"0" * 32).rstrip(b"=").decode()
        careless.published.append({"kty": "oct", "k": secret, "kid": "secret", "use": "sig"})
        token = jwt.encode(careless.claims(), b"0" * 32, "HS256", headers={"kid": "secret"})
        assert_problem(await ask(token, settings(careless)), 401)
        real = jwt.encode(careless.claims(), careless.keys["first"], "RS256", headers={"kid": "secret"})
        assert_problem(await ask(real, settings(careless)), 401)


async def test_new_keys_of_the_issuer_are_found_and_its_old_ones_end() -> None:
    with issuer() as rotating:
        async with api(NOWHERE, access=settings(rotating)) as client:
            old = rotating.token()
            assert (await client.get("/api/me", headers=bearer(old))).status_code == 200
            for _ in range(3):
                assert (await client.get("/api/me", headers=bearer(old))).status_code == 200
            assert rotating.asked == 1, "its keys are remembered"
            rotating.rotate("second")
            new = rotating.token("second")
            assert (await client.get("/api/me", headers=bearer(new))).status_code == 200
            assert rotating.asked == 2
            assert_problem(await client.get("/api/me", headers=bearer(old)), 401)


async def test_a_key_that_was_removed_while_nobody_asked_opens_nothing() -> None:
    with issuer() as rotating:
        async with api(NOWHERE, access=settings(rotating, api_oidc_jwks_seconds=0.02)) as client:
            old = rotating.token()
            assert (await client.get("/api/me", headers=bearer(old))).status_code == 200
            rotating.rotate("second")
            quiet = time.monotonic() + 0.05
            assert await wait_until(lambda: time.monotonic() > quiet, 5)
            assert_problem(await client.get("/api/me", headers=bearer(old)), 401)


async def test_an_issuer_that_answers_without_end_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.auth.jwks.TIMEOUT_SECONDS", 0.1)
    with issuer() as slow:
        async with api(NOWHERE, access=settings(slow, api_oidc_jwks_uri=f"{slow.address}/keys")) as client:
            slow.drips = 0.05
            async with asyncio.timeout(20):
                answer = await client.get("/api/me", headers=bearer(slow.token()))
            assert "no complete response" in assert_problem(answer, 503)["detail"]
            slow.drips = None
            monkeypatch.undo()
            assert (await client.get("/api/me", headers=bearer(slow.token()))).status_code == 200


async def test_made_up_key_ids_do_not_reach_the_issuer_each_time() -> None:
    with issuer() as busy:
        async with api(NOWHERE, access=settings(busy, api_oidc_refetch_seconds=60)) as client:
            assert (await client.get("/api/me", headers=bearer(busy.token()))).status_code == 200
            for number in range(20):
                made_up = jwt.encode(busy.claims(), busy.keys["first"], "RS256", headers={"kid": f"no-{number}"})
                assert_problem(await client.get("/api/me", headers=bearer(made_up)), 401)
            assert busy.asked == 1


async def test_an_unreachable_or_wrong_issuer_is_503_after_key_expiry() -> None:
    with issuer() as going:
        access = settings(going, api_oidc_jwks_seconds=0.01)
        token = going.token()
        going.calls_itself = "https://evil.example.org"
        answer = await ask(token, access)
        assert "names the issuer 'https://evil.example.org'" in assert_problem(answer, 503)["detail"]
        assert answer.headers["retry-after"]
        going.calls_itself = None
        async with api(NOWHERE, access=access) as client:
            assert (await client.get("/api/me", headers=bearer(token))).status_code == 200
            going.away = True
            asked = going.asked
            while going.asked < asked + 3:
                assert (await client.get("/api/me", headers=bearer(token))).status_code == 200


async def test_roles_come_from_the_claim_that_is_set(oidc: Issuer) -> None:
    nested = settings(oidc, api_oidc_role_claim="realm_access.roles", api_oidc_role_prefix="gateway:")
    async with api(NOWHERE, access=nested) as client:
        token = oidc.token(realm_access={"roles": ["admin", "gateway:operator"]}, roles=["admin"])
        assert (await client.get("/api/me", headers=bearer(token))).json()["role"] == "operator"
        answer = await client.get("/api/me", headers=bearer(oidc.token(roles=["admin"])))
        assert "'realm_access.roles'" in assert_problem(answer, 403)["detail"]
    async with api(NOWHERE, access=settings(oidc, api_oidc_role_claim="https://example.org/role")) as client:
        token = oidc.token(**{"https://example.org/role": "operator openid"})
        assert (await client.get("/api/me", headers=bearer(token))).json()["role"] == "operator"
        for odd in (None, 5, {"admin": True}, ["administrator"], [["admin"]]):
            claims: dict[str, Any] = {"https://example.org/role": odd}
            answer = await client.get("/api/me", headers=bearer(oidc.token(**claims)))
            assert_problem(answer, 403)
