"""The HTTP client asks nginx over TLS: HTTP/2 and HTTP/1.1, whole answers and parts, packed and not."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.support.scripted import client
from tests.support.scripted2 import AUTHORITY
from tests.support.upstreams import server_of

BIG = b"0123456789abcdef" * 65536


@pytest.mark.parametrize(("http2", "version"), [(None, "2.0"), (False, "1.1")])
def test_nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, http2: bool | None, version: str) -> None:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    async def test() -> None:
        with server_of("nginx", tmp_path, AUTHORITY) as server:
            async with client() as ask:
                for each in await asyncio.gather(*[ask("get", server.url("/big"), http2=http2) for _ in range(8)]):
                    assert (each.version, each.content == BIG) == (version, True)
                    assert each.headers["content-encoding"] == "gzip"
                plain = {"headers": {"Accept-Encoding": "identity"}, "http2": http2}
                part = await ask(
                    "get", server.url("/big"), **{**plain, "headers": {"Range": "bytes=3-9", **plain["headers"]}}
                )
                assert (part.status_code, part.content) == (206, BIG[3:10])
                head = await ask("head", server.url("/big"), **plain)
                assert (head.content, head.headers["content-length"]) == (b"", str(len(BIG)))
                unchanged = await ask(
                    "get", server.url("/big"), headers={"If-None-Match": head.headers["etag"]}, http2=http2
                )
                assert (unchanged.status_code, unchanged.content) == (304, b"")
                assert (await ask("get", server.url("/none"), http2=http2)).status_code == 404
                assert (await ask("post", server.url("/big"), b"x" * 2_000_000, http2=http2)).status_code in (405, 413)
                assert (await ask("get", server.url("/big"), http2=http2)).content == BIG
                server.kill()
                server.start()
                assert (await ask("get", server.url("/big"), http2=http2)).content == BIG

    asyncio.run(asyncio.wait_for(test(), 60))
