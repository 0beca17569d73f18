"""The HTTP client asks servers of others: granian and hypercorn over HTTP/2, with TLS and without; and they are killed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from skitai.backend.errors import BackendError, Code
from tests.support.scripted import client
from tests.support.scripted2 import AUTHORITY
from tests.support.upstreams import Running, server_of

pytestmark = pytest.mark.process


@pytest.fixture(params=["granian", "granian h2c", "hypercorn"])
def server(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with server_of(request.param, tmp_path, AUTHORITY) as running:
        yield running


def test_they_understand_each_other(server: Running) -> None:
    http2: Any = True if server.scheme == "http" else None
    body = bytes(range(256)) * 4000

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), 10_000):
            yield body[at : at + 10_000]

    async def test() -> None:
        async with client() as ask:
            results = await asyncio.gather(*[ask("get", server.url(f"/{each}"), http2=http2) for each in range(20)])
            empty = hashlib.md5(b"").hexdigest()
            assert {(each.version, each.text.split()[2:][1]) for each in results} == {("2.0", empty)}
            for data in (body, pieces()):
                result = await ask("post", server.url("/"), data, http2=http2)
                assert result.text.split()[2:] == [str(len(body)), hashlib.md5(body).hexdigest()]
            whole = await ask("get", server.url("/pieces"), http2=http2)
            assert whole.content == b"".join(bytes([number]) * 20000 for number in range(100))
            streamed = await ask("get", server.url("/pieces"), http2=http2, stream=True)
            assert streamed.pieces is not None
            assert b"".join([each async for each in streamed.pieces]) == whole.content
            assert [each["opened"] for each in ask.driver.stats().values()] == [1]
            old = await ask("get", server.url("/"), http2=False)
            assert (old.version, old.text.split()[1]) == ("1.1", "1.1")

            # Killed under a request, and between two.
            result = await ask("get", server.url("/never"), http2=http2, stream=True)
            assert result.pieces is not None
            assert await anext(result.pieces) == b"some"
            server.kill()
            with pytest.raises(BackendError) as raised:
                await anext(result.pieces)
            assert raised.value.code == Code.REFUSED
            with pytest.raises(BackendError) as raised:
                await ask("post", server.url("/"), b"x", http2=http2)
            assert raised.value.code == Code.REFUSED
            server.start()
            assert (await ask("post", server.url("/"), b"x", http2=http2)).text.split()[2] == "1"

    asyncio.run(asyncio.wait_for(test(), 60))
