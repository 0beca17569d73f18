"""JSON Web Tokens (RFC 7519), signed with one key: the one place that knows the library which makes them.

The algorithms that a key may be used with are named by whoever owns the key, never by the token. `none` and keys that come
with a token (`jwk`, `jku`) are not looked at.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from skitai.errors import SkitaiError

HMAC = ("HS256", "HS384", "HS512")
"""The algorithms for a key that both sides keep secret."""

# What a claim means beyond its time is the app's to say: that it is meant for another audience, for one.
_OPTIONS = {"verify_aud": False, "verify_iss": False, "verify_sub": False, "verify_jti": False}


class InvalidToken(SkitaiError):
    """A token that is none, was not signed with this key, or is no longer (or not yet) valid; the message says which."""


class ExpiredToken(InvalidToken):
    """A token of ours whose time is over."""


def gen_token(secret_key: str | bytes, claim: Mapping[str, Any], algorithm: str = "HS256") -> str:
    """A signed token.

    :param secret_key: for HS256, HS384 and HS512 a secret of at least as many bits; for RS256, ES256 and their like a
        private key in PEM.
    :param claim: JSON values. `exp`, `nbf` and `iat` are seconds since the epoch or datetimes; `expires` is honoured like
        `exp`.
    :raises ValueError: an unknown algorithm, `none` included, or an unfit key.
    :raises TypeError: a claim that JSON does not know.
    """
    import jwt  # takes a tenth of a second, and few processes need it

    if algorithm == "none" or algorithm not in jwt.algorithms.get_default_algorithms():
        raise ValueError(f"{algorithm!r} is no algorithm to sign a token with")
    try:
        return jwt.encode(dict(claim), secret_key, algorithm)
    except jwt.PyJWTError as error:
        raise ValueError(f"no token can be made with this key: {error}") from None


def read_token(secret_key: str | bytes, token: str, algorithms: Sequence[str] = HMAC) -> dict[str, Any]:
    """The claims of a token.

    :param secret_key: the secret, or for RS256, ES256 and their like the public key in PEM.
    :param algorithms: those that this key may have signed with.
    :raises InvalidToken: it is forged, cut, expired, or no token at all.
    """
    import jwt

    try:
        claims: dict[str, Any] = jwt.decode(token, secret_key, list(algorithms), options=_OPTIONS)  # type: ignore[arg-type]
        expires = float(claims.get("expires") or 0)
    except jwt.ExpiredSignatureError:
        raise ExpiredToken("token expired") from None
    except jwt.InvalidKeyError as error:
        raise ValueError(f"no token can be read with this key: {error}") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        raise InvalidToken("invalid token") from None
    if expires and expires < time.time():
        raise ExpiredToken("token expired")
    return claims
