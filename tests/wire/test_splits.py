"""However the network cuts the bytes, the server understands the same."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skitai.protocols.http1.chunked import ChunkedDecoder
from tests.support.memory import Wire, mounted, wire
from tests.wire.conftest import echo

STREAM = (
    b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
    b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\nhello world!"
    b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-T: 1\r\n\r\n"
    b"\r\nGET /4?q HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
)
ANSWERS = [b"GET /1?", b"POST /2? hello world!", b"POST /3? hello!", b"GET /4?q"]


@pytest.fixture(scope="module")
def running() -> Iterator[Wire]:
    with wire(mounted("/", echo), threads=0) as server:
        yield server


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(1, len(STREAM) - 1), max_size=12))
def test_any_split_of_the_stream_gives_the_same_answers(running: Wire, cuts: list[int]) -> None:
    client = running.connect()
    edges = [0, *sorted(set(cuts)), len(STREAM)]
    for start, end in zip(edges, edges[1:], strict=False):
        client.send(STREAM[start:end])
    assert [client.response()[2] for _ in ANSWERS] == ANSWERS
    client.close()


@given(
    chunks=st.lists(st.binary(min_size=1, max_size=50), max_size=8),
    cuts=st.lists(st.integers(0, 600), max_size=20),
    rest=st.binary(max_size=20),
)
def test_any_split_of_a_chunked_body_decodes_to_the_same(chunks: list[bytes], cuts: list[int], rest: bytes) -> None:
    coded = b"".join(b"%X\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    stream = coded + rest
    decoder = ChunkedDecoder(1024, 8192)
    body, left = b"", b""
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    for start, end in zip(edges, edges[1:], strict=False):
        piece = stream[start:end]
        if decoder.done:
            left += piece
        else:
            pieces, over = decoder.feed(piece)
            body += b"".join(pieces)
            left += over
    assert (body, left, decoder.done) == (b"".join(chunks), rest, True)


@given(data=st.binary(max_size=200))
def test_no_bytes_make_the_decoder_fail_in_any_other_way_than_its_own(data: bytes) -> None:
    from skitai.errors import BadRequest

    decoder = ChunkedDecoder(64, 64)
    try:
        decoder.feed(data)
    except BadRequest:
        return
    assert decoder.done or len(data) < 200
