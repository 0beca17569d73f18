"""WebSocket to the servers of a mounted alias (RFC 6455; RFC 8441 towards the client)."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from skitai.config.aliases import Means
from tests.support.http2 import Http2Pipe, http2
from tests.support.members import passing, settled, under_way
from tests.support.memory import Wire, wait_for
from tests.support.plainserver import plain_server
from tests.support.websocket import ACCEPT, Socket, close, frame, handshake, opened, opened_by_http2

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Member:
    """A server of the `websockets` package in a thread: it says what it hears, and more when told so.

    :ivar asked: request heads, by its paths.
    :ivar heard: messages.
    :ivar codes: of the close frames that came.
    """

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self._context = context
        self.asked: list[Any] = []
        self.talking = 0
        self.heard: list[Any] = []
        self.codes: list[int] = []
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, daemon=True)

    def _main(self) -> None:
        self._loop.run_until_complete(self._run())
        self._loop.close()

    async def _run(self) -> None:
        options: dict[str, Any] = {"process_request": self._refuse, "select_subprotocol": self._choose, "max_size": 2**24}
        async with serve(self._talk, "127.0.0.1", 0, ssl=self._context, **options) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._stopping.wait()

    def _choose(self, connection: ServerConnection, offered: Any) -> Any:
        return next((each for each in offered if each in ("chat", "mqtt")), None)

    def _refuse(self, connection: ServerConnection, request: Any) -> Any:
        self.asked.append(request)
        if request.path == "/forbidden":
            answer = connection.respond(403, "not you\n")
            answer.headers["Set-Cookie"] = "a=b; Path=/"
            return answer
        return connection.respond(204, "") if request.path == "/fine" else None

    async def _talk(self, connection: ServerConnection) -> None:
        self.talking += 1
        try:
            async for message in connection:
                self.heard.append(message)
                if message == "leave":
                    await connection.close(4001, "as you wish")
                elif message == "break":
                    connection.transport.abort()
                elif message == "pieces":
                    await connection.send(str(number) for number in range(100))
                else:
                    await connection.send(message)
        except ConnectionClosed:
            assert connection.close_code
        finally:
            self.talking -= 1
            if connection.protocol.close_rcvd is not None:
                self.codes.append(connection.protocol.close_rcvd.code)

    def start(self) -> None:
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)


@contextlib.contextmanager
def member(context: ssl.SSLContext | None = None) -> Iterator[Member]:
    made = Member(context)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def there() -> Iterator[Member]:
    with member() as made:
        yield made


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def server(request: pytest.FixtureRequest, there: Member) -> Iterator[Wire]:
    with passing([f"127.0.0.1:{there.port}"], engine=request.param) as made:
        yield made


ways = pytest.mark.parametrize("way", [opened, opened_by_http2], ids=["http1", "http2"])


def by_library(server: Wire, path: str = "/pets/", **options: Any) -> ClientConnection:
    return connect(f"ws://zoo{path}", sock=server.connect().sock, max_size=2**24, **options)


@ways
def test_messages_go_both_ways(server: Wire, there: Member, way: Callable[..., Socket]) -> None:
    with_it = way(server, "/pets/talk?x=y")
    with_it.text("hello")
    assert with_it.hears() == "hello"
    with_it.send(frame(2, b"\0" * 1000))
    assert with_it.receive() == (2, b"\0" * 1000)
    with_it.send(frame(9, b"ping"))
    assert with_it.receive() == (10, b"ping")
    before = under_way(server)
    with_it.send(close(1000, "bye"))
    assert with_it.is_closed_with() == 1000
    wait_for(lambda: under_way(server) < before)


def test_the_handshake_is_made_anew(server: Wire, there: Member) -> None:
    client = server.connect()
    client.send(handshake("/pets/a%20b?q", Origin="http://zoo", Cookie="a=b", X_Forwarded_For="1.2.3.4", Keep_Alive="5"))
    status, fields, _ = client.response(head_only=True)
    assert (status, fields["sec-websocket-accept"], fields["upgrade"]) == (101, ACCEPT, "websocket")
    asked = there.asked[-1]
    assert asked.path == "/a%20b?q"
    said = asked.headers
    assert said["Host"] == f"127.0.0.1:{there.port}"
    assert said["Sec-WebSocket-Key"] != "dGhlIHNhbXBsZSBub25jZQ=="
    assert (said["Origin"], said["Cookie"], said["Sec-WebSocket-Version"]) == ("http://zoo", "a=b", "13")
    assert said["Via"] == "1.1 skitai"
    assert "Keep-Alive" not in said and "X-Forwarded-For" not in said
    assert said.get_all("Connection") == ["Upgrade"]


@ways
def test_subprotocols_and_extensions_are_the_two_ends_own(server: Wire, there: Member, way: Callable[..., Socket]) -> None:
    offer = "permessage-deflate; client_max_window_bits=10"
    with_it = way(server, "/pets/", Sec_WebSocket_Protocol="soap, chat", Sec_WebSocket_Extensions=offer)
    assert with_it.fields["sec-websocket-protocol"] == "chat"
    assert with_it.fields["sec-websocket-extensions"].startswith("permessage-deflate")
    assert there.asked[-1].headers["Sec-WebSocket-Extensions"] == offer


def test_with_a_library_on_both_ends(server: Wire) -> None:
    with by_library(server, subprotocols=["mqtt"]) as socket_:
        assert socket_.subprotocol == "mqtt"
        large = os.urandom(6_000_000)
        sending = threading.Thread(target=socket_.send, args=(large,))
        sending.start()
        assert hashlib.sha1(socket_.recv()).digest() == hashlib.sha1(large).digest()
        sending.join()
        socket_.send(str(number) * 1000 for number in range(200))
        assert socket_.recv() == "".join(str(number) * 1000 for number in range(200))
        socket_.send("pieces")
        assert list(socket_.recv_streaming()) == [*map(str, range(100)), ""]
        socket_.send("leave")
        with pytest.raises(ConnectionClosed) as ended:
            socket_.recv()
        assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (4001, "as you wish")


@pytest.mark.parametrize("engine", ["asyncio", "uvloop"])
def test_a_member_that_speaks_tls(engine: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    means = Means(ssl_verify=False)
    with member(context) as there, passing([f"127.0.0.1:{there.port}"], kind="https", means=means, engine=engine) as server:
        with by_library(server) as socket_:
            large = os.urandom(3_000_000)
            sending = threading.Thread(target=socket_.send, args=(large,))
            sending.start()
            assert socket_.recv() == large
            sending.join()
            socket_.send("leave")
            with pytest.raises(ConnectionClosed):
                socket_.recv()
        with_it = opened_by_http2(server, "/pets/")
        with_it.text("hello")
        assert with_it.hears() == "hello"
        with_it.text("break")
        with pytest.raises(EOFError):
            with_it.client.exactly(1)
        settled(server)


@ways
def test_fragments_and_lengths_of_all_kinds(server: Wire, way: Callable[..., Socket]) -> None:
    with_it = way(server, "/pets/")
    for size in (0, 1, 125, 126, 127, 65535, 65536, 100_000):
        with_it.send(frame(2, b"x" * size))
        assert with_it.receive() == (2, b"x" * size)
    with_it.send(frame(1, b"a", fin=False))
    with_it.send(*(frame(0, b"b", fin=False) for _ in range(500)), frame(9, b"amid"))
    assert with_it.receive() == (10, b"amid")
    with_it.send(frame(0, b"c"))
    assert with_it.hears() == "a" + "b" * 500 + "c"


def test_what_comes_with_the_handshake_is_passed_on(server: Wire) -> None:
    client = server.connect()
    client.send(handshake("/pets/") + frame(1, b"early"))
    assert client.response(head_only=True)[0] == 101
    assert client.exactly(7) == b"\x81\x05early"


# Refusals


def test_a_refusal_is_the_members(server: Wire) -> None:
    client = server.connect()
    client.send(handshake("/pets/forbidden"))
    status, fields, body = client.response()
    assert (status, body, fields["set-cookie"]) == (403, b"not you\n", "a=b; Path=/pets/")
    status, _, _ = client.ask(b"GET /pets/fine HTTP/1.1\r\nHost: zoo\r\n\r\n")
    assert status == 204, "and the connection goes on"
    with pytest.raises(InvalidStatus) as refused:
        by_library(server, "/pets/forbidden")
    assert refused.value.response.status_code == 403
    over_http2 = Http2Pipe(http2(server), "/pets/forbidden", [("sec-websocket-version", "13")])
    assert over_http2.begun().status == 403


def test_what_is_no_handshake_is_refused_here(server: Wire, there: Member) -> None:
    asked = len(there.asked)
    for changed, status in (({"Sec_WebSocket_Version": "8"}, 426), ({"Sec_WebSocket_Key": "x"}, 400)):
        client = server.connect()
        client.send(handshake("/pets/", **changed))
        assert client.response()[0] == status
    assert len(there.asked) == asked


def listen(sock: socket.socket, answer: bytes) -> None:
    """Answer a handshake, and say nothing more."""
    sock.sendall(answer)
    while sock.recv(65536):
        pass


def scripted(
    answer: Callable[[bytes], bytes], go_on: Callable[[socket.socket, bytes], None] = listen
) -> Callable[[socket.socket], None]:
    """A member that answers a handshake with what is made of its key.

    :param go_on: answers, and goes on.
    """

    def talk(sock: socket.socket) -> None:
        said = b""
        while b"\r\n\r\n" not in said:
            said += sock.recv(65536)
        key = next(line[19:] for line in said.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: "))
        go_on(sock, answer(b64encode(hashlib.sha1(key + GUID).digest())))

    return talk


GOOD = b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        lambda accept: GOOD % b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        lambda accept: GOOD.replace(b"Upgrade: websocket", b"Upgrade: other") % accept,
        lambda accept: GOOD.replace(b"Connection: upgrade", b"Connection: close") % accept,
        lambda accept: GOOD.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: own\r\n\r\n") % accept,
        lambda accept: b"\0garbage\r\n\r\n",
        lambda accept: b"HTTP/1.1 403 No\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 3_000_000,
    ],
)
def test_an_answer_that_is_none(answer: Callable[[bytes], bytes]) -> None:
    with plain_server(scripted(answer)) as there, passing([f"127.0.0.1:{there.port}"]) as server:
        client = server.connect()
        client.send(handshake("/pets/"))
        assert client.response()[0] == 502
        settled(server)
        wait_for(lambda: not there.open)


def test_an_answer_without_length() -> None:
    def until_close(sock: socket.socket) -> None:
        sock.recv(65536)
        sock.sendall(b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\n\r\nwho are you?")

    with plain_server(until_close) as there, passing([f"127.0.0.1:{there.port}"]) as server:
        client = server.connect()
        client.send(handshake("/pets/"))
        status, fields, body = client.response()
        assert (status, fields["www-authenticate"], body) == (401, "Basic", b"who are you?")


def test_another_member_is_asked_where_one_does_not_answer(there: Member) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with passing([f"127.0.0.1:{port} 100", f"127.0.0.1:{there.port} 1"]) as server:
        opened(server, "/pets/").text("hello")
    with passing([f"127.0.0.1:{port}"]) as server:
        client = server.connect()
        client.send(handshake("/pets/"))
        assert client.response()[0] == 502


def test_a_member_that_never_answers() -> None:
    with (
        plain_server(lambda sock: [sock.recv(65536) for _ in range(2)]) as there,
        passing([f"127.0.0.1:{there.port}"], upstream_first_byte_s=0.2) as server,
    ):
        client = server.connect()
        client.send(handshake("/pets/"))
        assert client.response()[0] == 504
        wait_for(lambda: not there.open)
        settled(server)


# Ends


@ways
def test_the_member_breaks_off(server: Wire, way: Callable[..., Socket]) -> None:
    with_it = way(server, "/pets/")
    (before,) = under_way(server)
    with_it.text("break")
    if way is opened:
        assert with_it.client.closed()
    else:
        with pytest.raises(EOFError):
            with_it.client.exactly(1)
    wait_for(lambda: under_way(server) == [before - 1])


@ways
def test_the_client_breaks_off(server: Wire, there: Member, way: Callable[..., Socket]) -> None:
    with_it = way(server, "/pets/")
    with_it.text("hello")
    assert with_it.hears() == "hello"
    (before,) = under_way(server)
    assert before >= 1, "an open one counts"
    (with_it.client if way is opened else with_it.client.client.client).close()
    wait_for(lambda: under_way(server) == [before - 1])


def test_the_client_leaves_amid_the_handshake() -> None:
    heard = threading.Event()

    def mute(sock: socket.socket) -> None:
        sock.recv(65536)
        heard.set()
        sock.recv(65536)

    with plain_server(mute) as there, passing([f"127.0.0.1:{there.port}"]) as server:
        client = server.connect()
        client.send(handshake("/pets/"))
        assert heard.wait(10)
        client.close()
        wait_for(lambda: not there.open)
        settled(server)


def test_one_in_which_nothing_is_said_ends() -> None:
    with member() as there, passing([f"127.0.0.1:{there.port}"], upstream_websocket_s=1) as server:
        with_it = opened(server, "/pets/")
        with_it.text("hello")
        assert with_it.hears() == "hello"
        assert with_it.client.closed()
        settled(server)


# A worker that leaves


def leaving(server: Wire, in_s: float = math.inf, stopping: bool = False) -> None:
    """Have the worker stop, or be replaced: then it has to be gone after so many seconds."""

    def leave() -> None:
        server.services.leave_by = time.monotonic() + in_s
        if stopping:
            server.server.stop()
        else:
            server.server.retire()

    server.on_loop(leave)


@pytest.mark.parametrize("engine", ["asyncio", "uvloop"])
@ways
def test_one_that_is_replaced_lets_them_talk_until_it_has_to_go(way: Callable[..., Socket], engine: str) -> None:
    with member() as there, passing([f"127.0.0.1:{there.port}"], websocket_close_s=20, engine=engine) as server:
        with_it = way(server, "/pets/")
        leaving(server, in_s=1000)
        with_it.text("still here")
        assert with_it.hears() == "still here"
        leaving(server, in_s=20)
        opcode, payload = with_it.receive()
        assert (opcode, payload) == (8, (1012).to_bytes(2) + b"the server restarts")
        with_it.text("on its way before the client knew")
        with_it.send(close(1012))
        assert with_it.client.closed()
        wait_for(lambda: there.codes)
        assert there.codes == [1012] and there.heard == ["still here", "on its way before the client knew"]
        settled(server)


@ways
def test_one_that_stops_closes_at_once(way: Callable[..., Socket], caplog: pytest.LogCaptureFixture) -> None:
    with member() as there, passing([f"127.0.0.1:{there.port}"]) as server, caplog.at_level("INFO", "skitai.server"):
        with_it = way(server, "/pets/")
        leaving(server, stopping=True)
        assert with_it.receive() == (8, (1001).to_bytes(2) + b"the server stops")
        with_it.send(close(1001))
        assert with_it.client.closed()
        wait_for(lambda: there.codes == [1001])
        settled(server)
        wait_for(lambda: any("closed: the server stops; 8 bytes there" in line for line in caplog.messages))
        if way is opened:
            late = server.connect()
            late.send(handshake("/pets/"))
            assert late.response(head_only=True)[0] == 101
            assert late.until(b"the server stops").startswith(b"\x88")


def test_libraries_on_both_ends_hear_of_it() -> None:
    with member() as there, passing([f"127.0.0.1:{there.port}"]) as server, by_library(server) as socket_:
        socket_.send("hello")
        assert socket_.recv() == "hello"
        leaving(server, in_s=5)
        with pytest.raises(ConnectionClosed) as ended:
            socket_.recv()
        assert ended.value.rcvd is not None and ended.value.rcvd.code == 1012
        wait_for(lambda: there.codes == [1012])


@ways
def test_a_close_comes_between_two_frames(way: Callable[..., Socket]) -> None:
    """The member is amid a frame when the worker leaves, and the frame amid a message."""
    goes_on, done = threading.Event(), threading.Event()
    first, rest = frame(2, b"a" * 300, fin=False, mask=False), frame(0, b"b" * 300, mask=False)

    def talk(sock: socket.socket, answer: bytes) -> None:
        sock.sendall(answer + first[:3])
        goes_on.wait(10)
        for at in range(3, len(first), 50):
            sock.sendall(first[at : at + 50])
        sock.sendall(rest * 1000)
        done.set()
        while sock.recv(65536):
            pass

    with plain_server(scripted(GOOD.__mod__, talk)) as there, passing([f"127.0.0.1:{there.port}"]) as server:
        with_it = way(server, "/pets/")
        assert with_it.client.exactly(3) == first[:3]
        leaving(server, stopping=True)
        goes_on.set()
        assert with_it.client.exactly(len(first) - 3) == first[3:]
        assert with_it.receive() == (8, (1001).to_bytes(2) + b"the server stops")
        assert done.wait(10), "what the member says still is taken from it"
        with_it.send(close(1001))
        assert with_it.client.closed()


@pytest.mark.parametrize(("close_s", "in_s"), [(0.1, math.inf), (1000, 0.3)])
def test_a_client_that_does_not_answer_is_cut_and_the_member_is_told(close_s: float, in_s: float) -> None:
    with member() as there, passing([f"127.0.0.1:{there.port}"], websocket_close_s=close_s) as server:
        with_it = opened(server, "/pets/")
        leaving(server, in_s, stopping=True)
        assert with_it.receive()[0] == 8
        assert with_it.client.closed()
        wait_for(lambda: there.codes == [1001])
        settled(server)


def test_those_that_close_already_are_not_told_again() -> None:
    def talk(sock: socket.socket, answer: bytes) -> None:
        sock.sendall(answer)
        said = b""
        while len(said) < len(close(1000)):
            said += sock.recv(65536)
        heard.set()
        may_answer.wait(10)
        sock.sendall(frame(8, b"\x03\xe8", mask=False))
        while sock.recv(65536):
            pass

    heard, may_answer = threading.Event(), threading.Event()
    with plain_server(scripted(GOOD.__mod__, talk)) as there, passing([f"127.0.0.1:{there.port}"]) as server:
        with_it = opened(server, "/pets/")
        with_it.send(close(1000))
        assert heard.wait(10)
        leaving(server, stopping=True)
        may_answer.set()
        assert with_it.receive() == (8, b"\x03\xe8")
        with_it.client.sock.shutdown(socket.SHUT_WR)
        assert with_it.client.closed()


def test_it_is_logged_when_it_closes(server: Wire) -> None:
    with_it = opened(server, "/pets/logged")
    with_it.text("hello")
    assert with_it.hears() == "hello"
    assert not any("/pets/logged" in line for line in server.log.lines)
    with_it.send(close(1000))
    with_it.is_closed_with()
    with_it.client.close()
    wait_for(lambda: any("GET /pets/logged 1.1 19 101" in line for line in server.log.lines))
