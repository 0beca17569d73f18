"""JSON Web Tokens (RFC 7519), signed with one key: the one place that knows the library which signs them.

The algorithms that a key may be used with are named by whoever owns the key, never by the token. `none` and keys that come
with a token (`jwk`, `jku`) are not looked at.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from skitai.errors import SkitaiError

if TYPE_CHECKING:
    from jwt import PyJWS

HMAC = ("HS256", "HS384", "HS512")
"""The algorithms for a key that both sides keep secret."""

ENDS = ("exp", "expires")
"""Claims that say when a token is no longer good; 0 and null for never."""


class InvalidToken(SkitaiError):
    """A token that is none, was not signed with this key, or is no longer (or not yet) good; the message says which."""


class ExpiredToken(InvalidToken):
    """A token of ours whose time is over."""


def gen_token(secret_key: str | bytes, claim: Mapping[str, Any], algorithm: str = "HS256") -> str:
    """A signed token.

    :param secret_key: for HS256, HS384 and HS512 a secret, best of as many bits; for RS256, ES256 and their like a private
        key in PEM.
    :param claim: JSON values. `exp`, `nbf` and `iat` are seconds since the epoch, or datetimes; `expires` is honoured like
        `exp`.
    :raises ValueError: an unknown algorithm, `none` included, or an unfit key.
    :raises TypeError: a claim that JSON does not know.
    """
    from jwt import PyJWTError

    claims = {name: _seconds(value) if isinstance(value, datetime) else value for name, value in claim.items()}
    payload = json.dumps(claims, separators=(",", ":")).encode("ascii")
    try:
        return _signer().encode(payload, secret_key, algorithm)
    except NotImplementedError:
        raise ValueError(f"{algorithm!r} is no algorithm to sign a token with") from None
    except PyJWTError as error:
        raise ValueError(f"no token can be made with this key: {error}") from None


def read_token(secret_key: str | bytes, token: str, algorithms: Sequence[str] = HMAC) -> dict[str, Any]:
    """The claims of a token.

    :param secret_key: the secret, or for RS256, ES256 and their like the public key in PEM.
    :param algorithms: those that this key may have signed with.
    :raises InvalidToken: it is forged, cut, or no token at all; `ExpiredToken`: it was good.
    :raises ValueError: an unfit key.
    """
    from jwt import InvalidKeyError, PyJWTError

    try:
        claims = json.loads(_signer().decode(token, secret_key, list(algorithms)))
    except InvalidKeyError as error:
        raise ValueError(f"no token can be read with this key: {error}") from None
    except (PyJWTError, ValueError, RecursionError):  # what is signed by another may be any text, as deep as it likes
        raise InvalidToken("invalid token") from None
    if not isinstance(claims, dict):
        raise InvalidToken("invalid token")
    _see_to_times(claims, time.time())
    return claims


def _see_to_times(claims: Mapping[str, Any], now: float) -> None:
    try:
        ends = [float(claims[name]) for name in ENDS if claims.get(name)]
        begins = float(claims.get("nbf") or 0)
    except (TypeError, ValueError, OverflowError):
        raise InvalidToken("invalid token") from None
    if not all(end > now for end in ends):
        raise ExpiredToken("token expired")
    if not begins <= now:
        raise InvalidToken("token not yet valid")


def _seconds(moment: datetime) -> int:
    """Seconds since the epoch; without a time zone it is UTC's."""
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


@cache
def _signer() -> PyJWS:
    """What signs and verifies. Takes a tenth of a second to import, and few processes need it."""
    from jwt import PyJWS
    from jwt.algorithms import HMACAlgorithm

    class Hmac(HMACAlgorithm):
        """Without a warning at every short secret: what its owner chose long ago cannot be changed in a token's making."""

        def check_key_length(self, key: bytes) -> str | None:
            return None

    signer = PyJWS()
    signer.unregister_algorithm("none")
    for name, hashed in zip(HMAC, (Hmac.SHA256, Hmac.SHA384, Hmac.SHA512), strict=True):
        signer.unregister_algorithm(name)
        signer.register_algorithm(name, Hmac(hashed))
    return signer
