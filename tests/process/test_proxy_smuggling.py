"""Nothing is smuggled through the proxy: what it answers well is what the server behind it has seen, request by request.

Every odd request that HTTP/1 and HTTP/2 know is sent to the proxy, with another behind it. However the proxy takes it, the
server behind it - a strict reader, none of ours - has to see well-formed requests alone, as many as were answered, and none
from within a body.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import h11
import pytest

from tests.support.http2 import Http2Client
from tests.support.odd import CHUNKS, EVIL, GET, HEADS, POST, SERVED
from tests.support.recorder import Peer, Recorder, Seen, recorder
from tests.support.site import Front, Patient

pytestmark = pytest.mark.process

BY_ITSELF = (204, b"")
"""What the proxy says to OPTIONS *, without asking anybody."""

PATIENCE_S = 30.0

PROBE = b"GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Front, Recorder]]:
    with recorder() as behind:
        front = Front(tmp_path_factory.mktemp("front"), behind.port)
        try:
            front.start()
            yield front, behind
        finally:
            front.stop()


@pytest.fixture
def front(pair: tuple[Front, Recorder]) -> Front:
    return pair[0]


@pytest.fixture
def behind(pair: tuple[Front, Recorder]) -> Iterator[Recorder]:
    """What is behind the proxy, asked of nothing yet; in the end it has nothing to complain of."""
    behind = pair[1]
    behind.forget()
    yield behind
    assert behind.oddities == []
    assert [seen.target for seen in behind.seen if "evil" in seen.target] == []
    for seen in behind.seen:
        assert seen.all("host") == [f"127.0.0.1:{behind.port}"]


def answers(port: int, data: bytes) -> list[tuple[int, bytes]]:
    """Send it, and read all answers until the proxy closes, as h11 understands them."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        sock.sendall(data)
        raw = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := sock.recv(65536):
                raw += piece
    found: list[tuple[int, bytes]] = []
    method = "HEAD" if data.startswith(b"HEAD") else "GET"
    while raw:
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(raw)
        reader.receive_data(b"")
        status, body = 0, b""
        while not isinstance(event := reader.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            match event:
                case h11.Response():
                    status = event.status_code
                case h11.Data():
                    body += bytes(event.data)
        found.append((status, body))
        raw, method = reader.trailing_data[0], "GET"
    return found


def agree(answered: list[tuple[int, bytes]], behind: Recorder) -> None:
    """As many requests were seen as were answered well, and they are the same."""
    well = [body for status, body in answered if status < 400]
    seen = [(each.method, each.target, each.body) for each in behind.seen]
    assert well == [b"" if method == "HEAD" else f"{method} {target} ".encode() + body for method, target, body in seen]
    assert not seen or behind.by_h11()[-len(seen) :] == seen


@pytest.mark.parametrize("case", HEADS)
def test_odd_heads(front: Front, behind: Recorder, case: str) -> None:
    answered = answers(front.port, HEADS[case] + PROBE)
    assert (answered[0][0] < 400) == (case in SERVED)
    assert not {status for status, _ in answered} & {500, 502, 503, 504}, "what is wrong with it is its client's fault"
    agree([each for each in answered if each != BY_ITSELF], behind)


@pytest.mark.parametrize("case", CHUNKS)
def test_odd_chunks(front: Front, behind: Recorder, case: str) -> None:
    answered = answers(front.port, POST + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS[case] + PROBE)
    assert (answered[0][0] < 400) == (case in SERVED)
    assert {status for status, _ in answered} <= {200, 400}
    agree(answered, behind)
    assert all(b"host" not in seen.trailers.lower() for seen in behind.seen)


@pytest.mark.parametrize("case", HEADS)
def test_odd_heads_byte_by_byte_and_beside_others(front: Front, behind: Recorder, case: str) -> None:
    """In pieces, with the proxy's connection in between used by somebody else."""
    if len(HEADS[case]) > 1000:
        return
    with socket.create_connection(("127.0.0.1", front.port), PATIENCE_S) as odd:
        odd.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        half = len(HEADS[case]) // 2
        odd.sendall(HEADS[case][:half])
        assert answers(front.port, PROBE) == [(200, b"GET /probe ")]
        with contextlib.suppress(ConnectionError):  # it may have heard enough
            for byte in HEADS[case][half:]:
                odd.sendall(bytes([byte]))
            odd.sendall(PROBE)
            while odd.recv(65536):
                pass
        assert answers(front.port, PROBE) == [(200, b"GET /probe ")], "nobody gets what is another's"


# By the forward proxy


@pytest.fixture(scope="module")
def forward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Patient]:
    lines = 'skitai.enable_proxy(ports="*", tunnel_ports="*")'
    app = """
        def app(environ, start_response):
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"nobody else was asked"]
    """
    site = Patient(tmp_path_factory.mktemp("forward"), app, lines)
    try:
        yield site.start()
    finally:
        site.stop()


@pytest.mark.parametrize("case", [*HEADS, *CHUNKS])
def test_odd_requests_for_another_server(forward: Patient, behind: Recorder, case: str) -> None:
    """All of them name it by their target."""
    there = b" http://127.0.0.1:%d/" % behind.port
    odd = HEADS.get(case) or POST + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS[case]
    line, end, rest = odd.lstrip(b"\r\n").partition(b"\n")
    answered = answers(forward.port, line.replace(b" /", there, 1) + end + rest + PROBE.replace(b" /", there))
    behind.oddities[:] = [each for each in behind.oddities if "_" not in each]  # such fields are between the two ends
    agree([each for each in answered if each != BY_ITSELF], behind)


# What is handed on of a head


def test_what_concerns_neighbours_stays_between_them(front: Front, behind: Recorder) -> None:
    named = b"Connection: close, X-Own, Cookie, Host, X-Forwarded-For, X-Forwarded-Proto, Content-Length, Via, X-GTXN-ID\r\n"
    more = b"X-Own: 1\r\nCookie: a=1\r\nKeep-Alive: 9\r\nTE: trailers\r\nX-Kept: 2\r\nContent-Length: 2\r\n\r\nok"
    answers(front.port, POST + named + more)
    (seen,) = behind.seen
    assert (seen.body, seen.get("x-kept"), seen.get("x-own"), seen.get("cookie")) == (b"ok", "2", "", "")
    assert seen.get("x-forwarded-for") == "127.0.0.1", "whatever Connection names: this is said by us"
    assert seen.get("x-forwarded-proto") == "http"
    assert seen.get("via")
    assert seen.get("x-gtxn-id")


def test_who_the_client_is_says_nobody_but_the_proxy(front: Front, behind: Recorder) -> None:
    told = b"X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n"
    odd = b"X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nX-Forwarded-Prefix: /6\r\nProxy: http://6.6.6.6\r\n"
    answers(front.port, GET + told + odd + b"Connection: close\r\n\r\n")
    (seen,) = behind.seen
    assert not [value for _, value in seen.fields if b"6.6" in value or b"7.7" in value or value == b"https"]
    assert (seen.get("x-forwarded-for"), seen.get("x-forwarded-proto")) == ("127.0.0.1", "http")
    assert (seen.get("x-forwarded-host"), seen.get("x-forwarded-prefix")) == ("a", "")


def test_an_absolute_target_decides_whom_the_server_is_told_of(front: Front, behind: Recorder) -> None:
    answers(front.port, b"GET http://own.example/abs?x HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n")
    for seen in behind.seen:
        assert seen.target == "/abs?x"
        assert seen.get("x-forwarded-host") == "own.example"


# Answers that would be taken for others


SMUGGLED = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
POISONED = {
    "behind": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood" + SMUGGLED,
    "behind 204": b"HTTP/1.1 204 No Content\r\nContent-Length: 59\r\n\r\n" + SMUGGLED,
    "behind 304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 59\r\n\r\n" + SMUGGLED,
    "behind chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 63\r\n\r\ngood" + SMUGGLED,
    "length and chunks": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "fields split": b"HTTP/1.1 200 OK\r\nX: y\nContent-Length: 0\r\nContent-Length: 4\r\n\r\ngood" + SMUGGLED,
    "informing for ever": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 5000,
}


@pytest.mark.parametrize("case", POISONED)
def test_no_answer_is_for_somebody_else(front: Front, behind: Recorder, case: str) -> None:
    async def poison(peer: Peer, seen: Seen) -> None:
        await peer.say(POISONED[case])

    behind.scripts["poison"] = poison
    answers(front.port, b"GET /poison HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    for _ in range(3):
        assert answers(front.port, PROBE) == [(200, b"GET /probe ")]


# By HTTP/2

PSEUDO = [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/two")]


def with_(**changed: str | None) -> list[tuple[str, str]]:
    """The pseudo-header fields, some of them with another value or left out."""
    return [(n, changed.get(n[1:], v) or "") for n, v in PSEUDO if changed.get(n[1:], v) is not None]


ODD2: dict[str, tuple[list[tuple[str, str]], bytes]] = {
    "plain": (PSEUDO, b"ok"),
    "a request within": (PSEUDO, EVIL),
    "connection": ([*PSEUDO, ("connection", "keep-alive")], b"ok"),
    "chunked": ([*PSEUDO, ("transfer-encoding", "chunked")], b"0\r\n\r\n" + EVIL),
    "upgrade": ([*PSEUDO, ("upgrade", "h2c")], b"ok"),
    "keep-alive": ([*PSEUDO, ("keep-alive", "5")], b"ok"),
    "proxy-connection": ([*PSEUDO, ("proxy-connection", "x")], b"ok"),
    "te": ([*PSEUDO, ("te", "gzip")], b"ok"),
    "length too short": ([*PSEUDO, ("content-length", "2")], EVIL),
    "length too long": ([*PSEUDO, ("content-length", "200")], EVIL),
    "length 0": ([*PSEUDO, ("content-length", "0")], EVIL),
    "two lengths": ([*PSEUDO, ("content-length", "34"), ("content-length", "0")], EVIL),
    "a length with a sign": ([*PSEUDO, ("content-length", "+34")], EVIL),
    "line end in a value": ([*PSEUDO, ("x", "y\r\nTransfer-Encoding: chunked")], b"0\r\n\r\n" + EVIL),
    "lf in a value": ([*PSEUDO, ("x", "y\nX: z")], b"ok"),
    "cr in a value": ([*PSEUDO, ("x", "y\rX: z")], b"ok"),
    "nul in a value": ([*PSEUDO, ("x", "y\0")], b"ok"),
    "a request in a value": ([*PSEUDO, ("x", "y\r\n\r\n" + EVIL.decode())], b"ok"),
    "a space before a value": ([*PSEUDO, ("x", " y")], b"ok"),
    "capitals": ([*PSEUDO, ("X", "y")], b"ok"),
    "a colon in a name": ([*PSEUDO, ("x: y", "z")], b"ok"),
    "a line end in a name": ([*PSEUDO, ("x: y\r\nz", "z")], b"ok"),
    "a space in a name": ([*PSEUDO, ("content-length ", "0")], EVIL),
    "no name": ([*PSEUDO, ("", "z")], b"ok"),
    "underscores": ([*PSEUDO, ("content_length", "0"), ("x_forwarded_for", "6.6.6.6")], b"ok"),
    "a line in the path": (with_(path="/ HTTP/1.1\r\nHost: a\r\n\r\nGET /evil"), b"ok"),
    "a space in the path": (with_(path="/ HTTP/1.1 /evil"), b"ok"),
    "no slash": (with_(path="evil"), b"ok"),
    "an absolute path": (with_(path="http://evil/evil"), b"ok"),
    "no path": (with_(path=None), b"ok"),
    "an empty path": (with_(path=""), b"ok"),
    "two paths": ([*PSEUDO, (":path", "/evil")], b"ok"),
    "a line in the method": (with_(method="GET /evil HTTP/1.1\r\nHost: a\r\n\r\nPOST"), b"ok"),
    "a space in the method": (with_(method="GET /evil"), b"ok"),
    "connect": (with_(method="CONNECT", path=None, scheme=None), b""),
    "a line in the authority": (with_(authority="a\r\nX: y"), b"ok"),
    "a path in the authority": (with_(authority="a/evil"), b"ok"),
    "a user in the authority": (with_(authority="u@a"), b"ok"),
    "another host": ([*PSEUDO, ("host", "evil")], b"ok"),
    "no authority": (with_(authority=None), b"ok"),
    "a line in the scheme": (with_(scheme="http\r\nX: y"), b"ok"),
    "an unknown scheme": (with_(scheme="http://evil/evil?"), b"ok"),
    "an unknown pseudo field": ([*PSEUDO, (":evil", "x")], b"ok"),
    "a pseudo field behind": ([*PSEUDO[:3], ("x", "y"), PSEUDO[3]], b"ok"),
    "a status": ([*PSEUDO, (":status", "200")], b"ok"),
    "crumbs": ([*PSEUDO, ("cookie", "a=1"), ("cookie", "b=2")], b"ok"),
    "expect": ([*PSEUDO, ("expect", "100-continue")], b"ok"),
}

TAKEN = {"plain", "a request within", "underscores", "another host", "crumbs", "expect", "length 0"}
"""What may be served; the bytes behind a length of 0 come too late to matter."""


@pytest.mark.parametrize("case", ODD2)
def test_odd_requests_by_http2(front: Front, behind: Recorder, case: str) -> None:
    fields, body = ODD2[case]
    client = Http2Client(front.connect(), checks=False)
    stream = client.h2.get_next_available_stream_id()
    client.send_head(stream, fields, ended=False)
    with contextlib.suppress(ConnectionError):
        client.send(stream, body, ended=True)
        while not client.answers[stream].ended and client.answers[stream].reset is None and not client.closed:
            client.receive()
    answer = client.answers[stream]
    assert answers(front.port, PROBE)[0] == (200, b"GET /probe ")
    if answer.ended and answer.status < 400:
        answered = [(200, answer.body), (200, b"GET /probe ")]
        assert case in TAKEN
    else:
        answered = [(200, b"GET /probe ")]
    agree(answered, behind)
    if case == "crumbs":
        assert behind.seen[0].get("cookie") == "a=1; b=2"


@pytest.mark.parametrize(
    "name", ["content-length", "transfer-encoding", "host", "connection", ":path", "X-Capital", "authorization"]
)
def test_odd_trailers_by_http2(front: Front, behind: Recorder, name: str) -> None:
    client = Http2Client(front.connect(), checks=False)
    stream = client.begin("/trailers", "POST", ended=False)
    client.send(stream, b"body")
    client.h2.send_headers(stream, [(name, "5")], end_stream=True)
    with contextlib.suppress(ConnectionError):
        client.flush()
        while not client.answers[stream].ended and client.answers[stream].reset is None and not client.closed:
            client.receive()
    answer = client.answers[stream]
    well = [(200, answer.body)] if answer.ended and answer.status == 200 else []
    assert answers(front.port, PROBE)[0] == (200, b"GET /probe ")
    agree([*well, (200, b"GET /probe ")], behind)
    assert [seen.trailers for seen in behind.seen if seen.trailers] == []
