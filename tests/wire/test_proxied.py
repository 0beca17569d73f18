"""Who the client is, behind a proxy that is trusted and behind one that is not."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.memory import mounted, wire


def who(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "application/x")])
    return [f"{environ['REMOTE_ADDR']} {environ['wsgi.url_scheme']}".encode()]


@pytest.mark.parametrize(
    ("forwarded_for", "proto", "seen"),
    [
        ("203.0.113.9", "https", b"203.0.113.9 https"),
        ("198.51.100.1, 203.0.113.9", "http", b"203.0.113.9 http"),
        ("not an address", "gopher", b" http"),
        ("", "", b" http"),
    ],
)
def test_a_trusted_proxy_says_who_the_client_is(forwarded_for: str, proto: str, seen: bytes) -> None:
    with wire(mounted("/", who), trusted_proxies=("unix",)) as server:
        for _ in range(2):
            assert server.get("/", X_Forwarded_For=forwarded_for, X_Forwarded_Proto=proto)[2] == seen
    client = seen.split()[0].decode() if len(seen.split()) == 2 else "-"
    assert [line.split()[2] for line in server.log.lines] == [client, client]


def test_others_are_not_believed() -> None:
    with wire(mounted("/", who), trusted_proxies=("10.0.0.0/8",)) as server:
        assert server.get("/", X_Forwarded_For="203.0.113.9", X_Forwarded_Proto="https")[2] == b" http"
    assert server.log.lines[0].split()[2] == "-"


def test_without_threads_an_app_runs_as_if_there_were_no_loop() -> None:
    import asyncio

    async def answer() -> bytes:
        await asyncio.sleep(0)
        return b"ran"

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [asyncio.run(answer())]

    with wire(mounted("/", app), threads=0) as server:
        assert server.get()[2] == b"ran"
        assert server.get()[2] == b"ran"
