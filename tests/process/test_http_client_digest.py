"""Digest credentials of the HTTP client, against a server that checks them by the book (RFC 7616)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from skitai.http.authorization import parameters, split
from tests.process.test_http_client import Run, run
from tests.support.scripted import Peer, client, forever, upstream

__all__ = ["run"]

pytestmark = pytest.mark.process


@dataclass
class Guard:
    """A server that lets Ann in who knows the secret."""

    algorithm: str = "MD5"
    qop: str | None = "auth"
    also: str = ""
    nonces: list[str] = field(default_factory=lambda: ["first"])
    seen: list[str] = field(default_factory=list)
    stale: bool = False

    async def talk(self, peer: Peer) -> None:
        asked = await peer.request()
        value = asked.fields.get("authorization", "")
        scheme, rest = split(value)
        self.seen.append(scheme)
        if scheme == "digest" and self.right(parameters(rest) or {}, *asked.line.split()[:2]):
            await peer.answer(b"welcome")
            return
        parts = ['realm="of, all"', f'nonce="{self.nonces[-1]}"', 'opaque="x"', f"algorithm={self.algorithm}"]
        if self.qop is not None:
            parts.append(f'qop="{self.qop}"')
        if self.stale:
            parts.append("stale=true")
        await peer.answer(b"", f"WWW-Authenticate: {self.also}Digest {', '.join(parts)}", status="401 Unauthorized")

    def right(self, given: dict[str, str], method: str, uri: str) -> bool:
        kind = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}[self.algorithm.removesuffix("-sess")]

        def hashed(*parts: str) -> str:
            return kind(":".join(parts).encode()).hexdigest()

        secret = hashed("ann", "of, all", "secret")
        if self.algorithm.endswith("-sess"):
            secret = hashed(secret, given["nonce"], given["cnonce"])
        parts = [given["nonce"], given["nc"], given["cnonce"], given["qop"]] if self.qop else [given["nonce"]]
        assert given["uri"] == uri
        assert given["opaque"] == "x"
        return given["nonce"] == self.nonces[-1] and given["response"] == hashed(secret, *parts, hashed(method, uri))


@pytest.mark.parametrize(
    ("algorithm", "qop"),
    [("MD5", "auth"), ("SHA-256", "auth,auth-int"), ("MD5-sess", "auth"), ("SHA-256-sess", "auth"), ("MD5", None)],
)
def test_a_challenge_is_answered_and_remembered(run: Run, algorithm: str, qop: str | None) -> None:
    async def test() -> None:
        guard = Guard(algorithm, qop)
        async with upstream(forever(guard.talk)) as server, client() as ask:
            for _ in range(2):
                result = await ask("post", server.url("/a?b=c"), b"data", auth=("ann", "secret"))
                assert (result.status_code, result.content) == (200, b"welcome")
            assert guard.seen == ["basic", "digest", "digest"]
            assert server.connections == 1

    run(test())


def test_a_nonce_that_is_stale_is_replaced(run: Run) -> None:
    async def test() -> None:
        guard = Guard()
        async with upstream(forever(guard.talk)) as server, client() as ask:
            assert (await ask("get", server.url(), auth=("ann", "secret"))).status_code == 200
            guard.nonces.append("second")
            guard.stale = True
            assert (await ask("get", server.url(), auth=("ann", "secret"))).status_code == 200
            assert guard.seen == ["basic", "digest", "digest", "digest"]

    run(test())


def test_a_wrong_password_is_said_twice_and_no_more(run: Run) -> None:
    async def test() -> None:
        guard = Guard()
        async with upstream(forever(guard.talk)) as server, client() as ask:
            assert (await ask("get", server.url(), auth=("ann", "wrong"))).status_code == 401
            assert guard.seen == ["basic", "digest"]
            assert (await ask("get", server.url(), auth=("ann", "secret"))).status_code == 200

    run(test())


@pytest.mark.parametrize(
    ("also", "options"),
    [
        ('Basic realm="x, Digest y", ', {}),
        ("Negotiate, ", {}),
        ('Bearer realm="a", error="b", ', {}),
    ],
)
def test_the_digest_is_found_among_other_schemes(run: Run, also: str, options: Any) -> None:
    async def test() -> None:
        guard = Guard(also=also, **options)
        async with upstream(forever(guard.talk)) as server, client() as ask:
            assert (await ask("get", server.url(), auth=("ann", "secret"))).status_code == 200

    run(test())


@pytest.mark.parametrize("guard", [Guard("SHA-512"), Guard(qop="auth-int")])
def test_challenges_that_nobody_can_answer_leave_the_401(run: Run, guard: Guard) -> None:
    async def test() -> None:
        guard.seen.clear()
        async with upstream(forever(guard.talk)) as server, client() as ask:
            assert (await ask("get", server.url(), auth=("ann", "secret"))).status_code == 401
            assert (await ask("get", server.url(), auth=("token",))).status_code == 401
            assert (await ask("get", server.url())).status_code == 401
            assert guard.seen == ["basic", "bearer", ""]

    run(test())
