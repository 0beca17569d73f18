"""Who asks: Basic and Bearer at once, Digest (RFC 7616) where a server asks for it."""

from __future__ import annotations

import re
import secrets
from base64 import b64encode
from collections.abc import Iterable
from typing import Any

from skitai.http.authorization import ALGORITHMS, parameters, quoted

REMEMBERED = 256
"""Servers and users whose challenge is remembered, so that the next request needs none."""

Auth = tuple[str, ...]

_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SCHEME = re.compile(r"(?:^|,)[ \t]*([A-Za-z][!#$%&'*+.^_`|~0-9A-Za-z-]*)(?:[ \t]+(?![ \t]*=)|[ \t]*(?=,|$))")


def at_once(auth: Auth) -> str:
    """The value of the Authorization field that needs no challenge."""
    if len(auth) == 1:
        if not re.fullmatch(r"[!-~]+", auth[0]):
            raise ValueError("a bearer token is ASCII without blanks")
        return f"Bearer {auth[0]}"
    return f"Basic {b64encode(':'.join(auth).encode()).decode()}"


def challenges(values: Iterable[str]) -> list[tuple[str, dict[str, str]]]:
    """(scheme in lower case, parameters) of WWW-Authenticate fields (RFC 9110, section 11.6.1)."""
    found = []
    for value in values:
        masked = _QUOTED.sub(lambda match: '"' + "x" * (len(match[0]) - 2) + '"', value)
        starts = list(_SCHEME.finditer(masked))
        for at, start in enumerate(starts):
            end = starts[at + 1].start() if at + 1 < len(starts) else len(value)
            found.append((start[1].lower(), parameters(value[start.end() : end]) or {}))
    return found


class Digest:
    """A challenge of the digest scheme, which is good for many requests."""

    def __init__(self, given: dict[str, str]) -> None:
        self.realm = given.get("realm", "")
        self.nonce = given["nonce"]
        self._opaque = given.get("opaque")
        self._algorithm = given.get("algorithm", "MD5")
        self._hash = _plain(given)
        self._qop = "auth" if "qop" in given else ""
        self._count = 0

    def authorization(self, auth: Auth, method: str, uri: str) -> str:
        """The value of the Authorization field of a request."""
        user, password = auth
        self._count += 1
        count, cnonce = f"{self._count:08x}", secrets.token_hex(16)
        secret = _hashed(self._hash, user, self.realm, password)
        if self._algorithm.upper().endswith("-SESS"):
            secret = _hashed(self._hash, secret, self.nonce, cnonce)
        request = _hashed(self._hash, method, uri)
        if self._qop:
            response = _hashed(self._hash, secret, self.nonce, count, cnonce, self._qop, request)
        else:
            response = _hashed(self._hash, secret, self.nonce, request)  # RFC 2069
        parts = [
            f"username={quoted(user)}",
            f"realm={quoted(self.realm)}",
            f"nonce={quoted(self.nonce)}",
            f"uri={quoted(uri)}",
            f"algorithm={self._algorithm}",
            f"response={quoted(response)}",
        ]
        if self._opaque is not None:
            parts.append(f"opaque={quoted(self._opaque)}")
        if self._qop:
            parts += [f"qop={self._qop}", f"nc={count}", f"cnonce={quoted(cnonce)}"]
        return f"Digest {', '.join(parts)}"


class Credentials:
    """What servers have asked for."""

    def __init__(self) -> None:
        self._digests: dict[Any, Digest] = {}

    def authorization(self, server: Any, auth: Auth, method: str, uri: str) -> str:
        """The value of the Authorization field of a request.

        :param server: whatever tells servers apart.
        """
        if len(auth) == 2:
            known = self._digests.get((server, auth[0]))
            if known is not None:
                return known.authorization(auth, method, uri)
        return at_once(auth)

    def learn(self, server: Any, auth: Auth, values: Iterable[str], used: str) -> bool:
        """Take note of what a server asks for.

        :param values: of its WWW-Authenticate fields.
        :param used: the Authorization field that it did not like.
        :returns: whether asking again may help.
        """
        if len(auth) != 2:
            return False
        offered = [given for scheme, given in challenges(values) if scheme == "digest" and can_answer(given)]
        if not offered:
            self._digests.pop((server, auth[0]), None)
            return False
        names = list(ALGORITHMS)
        best = min(offered, key=lambda given: names.index(_plain(given)))
        stale = best.get("stale", "").lower() == "true"
        if used.startswith("Digest ") and not stale:
            self._digests.pop((server, auth[0]), None)
            return False
        if len(self._digests) >= REMEMBERED:
            self._digests.clear()
        self._digests[server, auth[0]] = Digest(best)
        return True


def can_answer(given: dict[str, str]) -> bool:
    """Whether a challenge is one that we know how to answer."""
    qop = [each.strip().lower() for each in given.get("qop", "auth").split(",")]
    return "nonce" in given and "auth" in qop and _plain(given) in ALGORITHMS


def _plain(given: dict[str, str]) -> str:
    """The hash of a challenge."""
    return given.get("algorithm", "MD5").upper().removesuffix("-SESS")


def _hashed(algorithm: str, *parts: str) -> str:
    return str(ALGORITHMS[algorithm](":".join(parts).encode("utf-8"), usedforsecurity=False).hexdigest())
