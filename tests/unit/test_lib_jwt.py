"""JSON Web Tokens."""

from __future__ import annotations

import time
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from skitai.lib.jwt import ExpiredToken, InvalidToken, gen_token, read_token

KEY = "a secret of sixty-four characters, as many as the largest hash has"


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("key", [KEY, KEY.encode(), "short"])
def test_a_token_is_read_with_its_key(algorithm: str, key: str | bytes) -> None:
    token = gen_token(key, {"user": "Hans", "roles": ["user"]}, algorithm)
    assert read_token(key, token) == {"user": "Hans", "roles": ["user"]}
    with pytest.raises(InvalidToken, match="invalid token"):
        read_token("another secret of many characters", token)


def test_a_token_has_one_text() -> None:
    """The last sign of a signature of 32 bytes has two bits to spare."""
    token = gen_token(KEY, {"user": "Hans"})
    signs = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for other in (f"{token}=", f"{token[:-1]}{signs[signs.index(token[-1]) ^ 1]}", f" {token}", f"{token}\n"):
        with pytest.raises(InvalidToken):
            read_token(KEY, other)


def test_others_read_ours_and_we_read_theirs() -> None:
    assert jwt.decode(gen_token(KEY, {"a": "ü"}), KEY, ["HS256"]) == {"a": "ü"}
    assert read_token(KEY, jwt.encode({"a": "ü"}, KEY, "HS384")) == {"a": "ü"}


def test_keys_in_two_halves() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    secret = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = gen_token(secret, {"a": 1}, "ES256")
    assert read_token(public, token, ["ES256"]) == {"a": 1}
    with pytest.raises(InvalidToken):
        read_token(KEY, token)
    with pytest.raises(ValueError, match="with this key"):
        read_token(public, gen_token(KEY, {"a": 1}))
    with pytest.raises(ValueError, match="with this key"):
        gen_token(public, {"a": 1})


@pytest.mark.parametrize("algorithm", ["none", "HS1", "", "hs256"])
def test_an_unknown_algorithm_is_refused(algorithm: str) -> None:
    with pytest.raises(ValueError, match="no algorithm to sign"):
        gen_token(KEY, {}, algorithm)


def test_the_algorithm_is_not_the_tokens_to_choose() -> None:
    with pytest.raises(InvalidToken):
        read_token(KEY, gen_token(KEY, {}, "HS512"), ["HS256"])
    with pytest.raises(InvalidToken):
        read_token(KEY, jwt.encode({"user": "root"}, None, "none"))


@pytest.mark.parametrize("end", ["exp", "expires"])
def test_a_token_has_its_time(end: str) -> None:
    now = time.time()
    assert read_token(KEY, gen_token(KEY, {end: now + 10}))
    assert read_token(KEY, gen_token(KEY, {end: 0}))
    assert read_token(KEY, gen_token(KEY, {end: datetime.now(UTC) + timedelta(hours=1)}))
    for over in (now - 1, int(now) - 1, 1, -1, datetime(2020, 1, 1), float("nan")):  # noqa: DTZ001
        with pytest.raises(ExpiredToken, match="token expired"):
            read_token(KEY, gen_token(KEY, {end: over}))


@pytest.mark.parametrize("claims", [{"exp": "soon"}, {"expires": [1]}, {"nbf": [0]}, {"exp": 10**400}, {"nbf": 10**10}])
def test_times_that_are_none_are_not_good(claims: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        read_token(KEY, gen_token(KEY, claims))


def part(text: str) -> str:
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a",
        "..",
        "a.b.c",
        "é.é.é",
        f"{part('[' * 100_000)}.e30.x",
        f"{part('{}')}.e30.x",
        f"{part('[]')}.e30.x",
        part('{"alg": 1}') + ".e30.x",
        part('{"alg": "HS256", "crit": ["x"]}') + ".e30.x",
        part('{"alg": "HS256"}') + ".e30.x",
    ],
)
def test_forged_tokens(token: str) -> None:
    with pytest.raises(InvalidToken):
        read_token(KEY, token)


@pytest.mark.parametrize("payload", [b"[" * 100_000, b"[]", b"1", b"\xff", b"", b'{"a": ' + b"1" * 5000 + b"}"])
def test_payloads_that_are_no_claims(payload: bytes) -> None:
    with pytest.raises(InvalidToken):
        read_token(KEY, jwt.PyJWS().encode(payload, KEY, "HS256"))


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    with pytest.raises(InvalidToken):
        read_token(KEY, text)


def test_claims_are_jsons() -> None:
    with pytest.raises(TypeError):
        gen_token(KEY, {"a": object()})
