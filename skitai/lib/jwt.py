"""JSON Web Tokens (RFC 7519), signed with one key: the one place that knows the library which signs them.

The algorithms that a key may be used with are named by whoever owns the key, never by the token. `none` and keys that come
with a token (`jwk`, `jku`) are not looked at.
"""

from __future__ import annotations

import json
import time
from base64 import urlsafe_b64encode
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
    claims = _verified(token, secret_key, algorithms)
    check_times(claims, time.time())
    return claims


class Key:
    """What tokens are verified with: a secret, or a public key in PEM, with the algorithms that go with it and no others.

    :ivar algorithms: of a secret HS256, HS384 and HS512; of an RSA key RS256 to PS512; of an elliptic curve its own; of
        Ed25519 and Ed448 EdDSA.
    :raises ValueError: the secret is empty, or the PEM holds no public key that tokens are signed with.
    """

    def __init__(self, secret: str | bytes) -> None:
        text = secret.encode("utf-8") if isinstance(secret, str) else secret
        if not text:
            raise ValueError("a key for tokens is empty")
        self._key: Any = text
        self.algorithms: tuple[str, ...] = HMAC
        _signer()  # now, and not when the first token comes
        if text.lstrip().startswith(b"-----BEGIN"):
            self._key, self.algorithms = _public(text.strip())

    def verified(self, token: str) -> dict[str, Any]:
        """The claims of a token, whose times are still to be looked at (`check_times`).

        :raises InvalidToken: it is forged, cut, or no token at all.
        """
        return _verified(token, self._key, self.algorithms)

    def __repr__(self) -> str:  # never with the key
        return f"<Key for {', '.join(self.algorithms)}>"


def _verified(token: str, key: Any, algorithms: Sequence[str]) -> dict[str, Any]:
    from jwt import InvalidKeyError, PyJWTError

    try:
        whole = _signer().decode_complete(token, key, list(algorithms))
        claims = json.loads(whole["payload"])
    except InvalidKeyError as error:
        raise ValueError(f"no token can be read with this key: {error}") from None
    except (PyJWTError, ValueError, RecursionError):  # what is signed by another may be any text, as deep as it likes
        raise InvalidToken("invalid token") from None
    if not isinstance(claims, dict) or "crit" in whole["header"]:  # RFC 7515, section 4.1.11: we know no extension
        raise InvalidToken("invalid token")
    if token.rpartition(".")[2].encode() != urlsafe_b64encode(whole["signature"]).rstrip(b"="):
        raise InvalidToken("invalid token")  # one signature has one text, or a token would have several names
    return claims


_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512", "secp256k1": "ES256K"}


def _public(pem: bytes) -> tuple[Any, tuple[str, ...]]:
    """The public key in a PEM, and the algorithms of its kind.

    :raises ValueError: it holds none.
    """
    from jwt import InvalidKeyError
    from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

    key: Any = None
    for kind in (RSAAlgorithm(RSAAlgorithm.SHA256), ECAlgorithm(ECAlgorithm.SHA256), OKPAlgorithm()):
        try:
            key = kind.prepare_key(pem)
        except (InvalidKeyError, ValueError, TypeError):
            continue
        break
    if key is None or hasattr(key, "private_bytes"):
        raise ValueError("it is no public key in PEM of RSA, an elliptic curve, Ed25519 or Ed448")
    if isinstance(kind, RSAAlgorithm):
        return key, ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
    if isinstance(kind, ECAlgorithm):
        if key.curve.name not in _CURVES:
            raise ValueError(f"tokens are not signed with the curve {key.curve.name}")
        return key, (_CURVES[key.curve.name],)
    return key, ("EdDSA",)


def check_times(claims: Mapping[str, Any], now: float) -> None:
    """See that a token is good at this time, in seconds since the epoch.

    :raises InvalidToken: it is not; `ExpiredToken`: it was.
    """
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
