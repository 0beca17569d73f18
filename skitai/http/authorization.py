"""HTTP authentication as text: credentials, challenges, and the digests of RFC 7616, for servers and clients."""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

ALGORITHMS: dict[str, Callable[..., Any]] = {"SHA-256": hashlib.sha256, "MD5": hashlib.md5}
"""Of digests, the better first."""

_PARAMETER = re.compile(
    r"""[ \t,]*(?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*=[ \t]*
        (?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[!#$%&'*+.^_`|~0-9A-Za-z:/?@-]+))[ \t]*(?=,|\Z)""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(.)")


def split(field: str) -> tuple[str, str]:
    """Scheme, in lower case, and the rest of an Authorization field (RFC 9110, section 11.4)."""
    scheme, _, rest = field.strip().partition(" ")
    return scheme.lower(), rest.strip()


def basic(rest: str) -> tuple[str, str] | None:
    """User and password of Basic credentials (RFC 7617); None when there are none in it."""
    try:
        user, colon, password = b64decode(rest, validate=True).decode("utf-8").partition(":")
    except (NotBase64, ValueError):
        return None
    return (user, password) if colon else None


def parameters(rest: str) -> dict[str, str] | None:
    """The parameters of credentials or of one challenge; names in lower case. None when it is anything else, or one comes
    twice."""
    found: dict[str, str] = {}
    at = 0
    while match := _PARAMETER.match(rest, at):
        name = match["name"].lower()
        if name in found:
            return None
        found[name] = match["token"] if match["quoted"] is None else _ESCAPED.sub(r"\1", match["quoted"])
        at = match.end()
    return None if rest[at:].strip(" \t,") else found


def username(given: Mapping[str, str]) -> str | None:
    """The user that digest credentials name: `username` in UTF-8, or `username*` (RFC 7616, section 3.4; RFC 8187)."""
    if ("username" in given) == ("username*" in given):
        return None
    try:
        if "username" in given:
            return given["username"].encode("latin-1").decode("utf-8")
        charset, _, rest = given["username*"].partition("'")
        return unquote(rest.partition("'")[2], errors="strict") if charset.upper() == "UTF-8" else None
    except UnicodeError:
        return None


def quoted(text: str) -> str:
    """A quoted-string, in UTF-8 shown as latin-1, as fields carry it.

    :raises ValueError: control characters.
    """
    if any(each < " " or each == "\x7f" for each in text):
        raise ValueError(f"{text!r} cannot stand in a field: control characters")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8").decode("latin-1") + '"'


def challenge(scheme: str, **given: str) -> str:
    """The value of a WWW-Authenticate field (RFC 9110, section 11.6.1); empty parameters are left out."""
    parts = [
        f"{name}={value if name in ('algorithm', 'stale') else quoted(value)}" for name, value in given.items() if value
    ]
    return f"{scheme} {', '.join(parts)}"


def secret_hash(algorithm: str, user: str, realm: str, password: str) -> str:
    """What stands for a password: the hash of user, realm and password (RFC 7616, section 3.4.2)."""
    return _hash(algorithm, user, realm, password)


def digest(algorithm: str, secret: str, method: str, given: Mapping[str, str]) -> str:
    """The response to a challenge (RFC 7616, section 3.4.1), with `qop` "auth".

    :param secret: what `secret_hash` gives.
    :param given: the other parameters: nonce, nc, cnonce, qop, uri.
    """
    request = _hash(algorithm, method, given["uri"])
    return _hash(algorithm, secret, given["nonce"], given["nc"], given["cnonce"], given["qop"], request)


def _hash(algorithm: str, *parts: str) -> str:
    return str(ALGORITHMS[algorithm](":".join(parts).encode("utf-8"), usedforsecurity=False).hexdigest())
