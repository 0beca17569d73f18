"""CONNECT: tunnels through the forward proxy (RFC 9110, section 9.3.6; RFC 9113, section 8.5)."""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest

from tests.support.http2 import Http2Client, http2
from tests.support.memory import Client, Wire, wait_for, wire
from tests.support.plainserver import echo, plain_server, reset, swallow

ALL = {"forward_proxy": True, "proxy_tunnel_ports": ("*",)}
MANY = 3_000_000


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """Clients of it are on this host; those that say so come from elsewhere."""
    with wire(engine=request.param, trusted_proxies=("unix",), **ALL) as server:
        yield server


def connect(server: Wire, target: str, version: str = "1.1", **fields: str) -> Client:
    """Ask for a tunnel."""
    client = server.connect()
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    host = "" if version == "1.0" else f"Host: {target}\r\n"
    client.send(f"CONNECT {target} HTTP/{version}\r\n{host}{lines}\r\n".encode())
    return client


def begun(server: Wire, port: int, version: str = "1.1") -> Client:
    """A tunnel to a port of this host."""
    client = connect(server, f"127.0.0.1:{port}", version)
    assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
    return client


def refused(server: Wire, target: str, **fields: str) -> tuple[int, bytes]:
    client = connect(server, target, **fields)
    status, answered, body = client.response()
    assert answered["connection"] == "close"
    assert client.closed()
    return status, body


class Stream:
    """A tunnel over HTTP/2."""

    def __init__(self, client: Http2Client, target: str, fields: Any = ()) -> None:
        self.client = client
        self.stream = client.h2.get_next_available_stream_id()
        client.send_head(self.stream, [(":method", "CONNECT"), (":authority", target), *fields], ended=False)
        self.answer = client.answers[self.stream]
        while not self.answer.status and self.answer.reset is None:
            client.receive()

    def send(self, data: bytes, ended: bool = False) -> None:
        self.client.upload(self.stream, data, ended)

    def read(self) -> bytes:
        self.client.wait(self.stream)
        return self.answer.body


@pytest.mark.parametrize("version", ["1.1", "1.0"])
def test_a_tunnel_carries_bytes_both_ways(proxy: Wire, version: str) -> None:
    with plain_server() as there:
        client = begun(proxy, there.port, version)
        client.send(b"hello")
        assert client.exactly(5) == b"hello"
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read() == b""
        wait_for(lambda: not there.open)
    wait_for(
        lambda: any(
            f"CONNECT 127.0.0.1:{there.port} {version} 0 200" in line or "CONNECT" in line for line in proxy.log.lines
        )
    )


def test_what_is_sent_ahead_goes_through(proxy: Wire) -> None:
    with plain_server() as there:
        client = connect(proxy, f"127.0.0.1:{there.port}")
        client.send(b"early")
        assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert client.exactly(5) == b"early"
        client.send(b" bird")
        assert client.exactly(5) == b" bird"


def test_the_server_may_speak_first(proxy: Wire) -> None:
    def greet(sock: socket.socket) -> None:
        sock.sendall(b"220 ready\r\n")
        echo(sock)

    with plain_server(greet) as there:
        client = begun(proxy, there.port)
        assert client.until(b"\r\n") == b"220 ready\r\n"


def test_over_http2(proxy: Wire) -> None:
    with plain_server() as there:
        client = http2(proxy)
        one, other = Stream(client, f"127.0.0.1:{there.port}"), Stream(client, f"127.0.0.1:{there.port}")
        assert one.answer.status == other.answer.status == 200
        one.send(b"one")
        other.send(b"other", ended=True)
        assert other.read() == b"other"
        one.send(b" more", ended=True)
        assert one.read() == b"one more"
        wait_for(lambda: not there.open)


def test_much_both_ways_at_once(proxy: Wire) -> None:
    data = os.urandom(MANY)
    with plain_server() as there:
        client = begun(proxy, there.port)
        sending = threading.Thread(target=lambda: (client.send(data), client.sock.shutdown(socket.SHUT_WR)))
        sending.start()
        assert hashlib.sha1(client.read()).digest() == hashlib.sha1(data).digest()
        sending.join()
        over_http2 = Stream(http2(proxy), f"127.0.0.1:{there.port}")
        over_http2.send(data, ended=True)
        assert over_http2.read() == data


# Half-closed


def test_the_client_ends_first_and_gets_all(proxy: Wire) -> None:
    went_on = threading.Event()

    def later(sock: socket.socket) -> None:
        said = swallow(sock)
        went_on.wait(10)
        sock.sendall(b"you said %d bytes. " % len(said) + b"x" * MANY)

    with plain_server(later) as there:
        client = begun(proxy, there.port)
        client.send(b"question")
        client.sock.shutdown(socket.SHUT_WR)
        stream = Stream(http2(proxy), f"127.0.0.1:{there.port}")
        stream.send(b"question", ended=True)
        went_on.set()
        assert client.read() == stream.read() == b"you said 8 bytes. " + b"x" * MANY


def test_the_server_ends_first_and_gets_all(proxy: Wire) -> None:
    said = []

    def only_listen(sock: socket.socket) -> None:
        sock.sendall(b"I am listening")
        sock.shutdown(socket.SHUT_WR)
        said.append(swallow(sock))

    with plain_server(only_listen) as there:
        client = begun(proxy, there.port)
        assert client.read() == b"I am listening"
        client.send(b"a" * MANY)
        client.sock.shutdown(socket.SHUT_WR)
        wait_for(lambda: said)
        assert said.pop() == b"a" * MANY
        stream = Stream(http2(proxy), f"127.0.0.1:{there.port}")
        assert stream.read() == b"I am listening"
        stream.send(b"b" * MANY, ended=True)
        wait_for(lambda: said)
        assert said == [b"b" * MANY]


def test_an_end_behind_what_the_server_takes_slowly_loses_nothing(proxy: Wire) -> None:
    """The server has ended, the client ends while much of what it said still waits here."""
    takes = threading.Event()
    said = []

    def slow(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.shutdown(socket.SHUT_WR)
        takes.wait(10)
        said.append(len(swallow(sock)))

    with plain_server(slow) as there:
        client = http2(proxy)
        stream = Stream(client, f"127.0.0.1:{there.port}")
        client.wait(stream.stream)
        stream.send(b"c" * 60_000, ended=True)
        client.answer_pings()
        takes.set()
        wait_for(lambda: said)
        assert said == [60_000]


# At each other's pace


def test_a_slow_client_is_not_written_ahead_for(proxy: Wire) -> None:
    sent = []

    def much(sock: socket.socket) -> None:
        sock.settimeout(1)
        count = 0
        try:
            while count < 200_000_000:
                count += sock.send(b"x" * 65536)
        except TimeoutError:
            sent.append(count)
            sock.settimeout(20)
            sock.sendall(b"end")

    with plain_server(much) as there:
        client = begun(proxy, there.port)
        wait_for(lambda: sent)
        assert sent[0] < 20_000_000, "the kernel's buffers, and little more"
        assert len(client.read()) == sent[0] + 3


def test_a_slow_server_is_not_written_ahead_for(proxy: Wire) -> None:
    takes = threading.Event()
    said = []

    def late(sock: socket.socket) -> None:
        takes.wait(20)
        said.append(len(swallow(sock)))

    with plain_server(late) as there:
        client = begun(proxy, there.port)
        client.sock.settimeout(1)
        count = 0
        with pytest.raises(TimeoutError):
            while count < 200_000_000:
                count += client.sock.send(b"x" * 65536)
        assert count < 20_000_000
        takes.set()
        client.sock.close()
        wait_for(lambda: said)


# Ends that are none


def test_a_reset_of_the_server_is_no_end(proxy: Wire, caplog: pytest.LogCaptureFixture) -> None:
    def break_off(sock: socket.socket) -> None:
        sock.recv(10)
        reset(sock)

    with plain_server(break_off) as there, caplog.at_level(logging.INFO):
        client = begun(proxy, there.port)
        client.send(b"x")
        assert client.closed()
        stream = Stream(http2(proxy), f"127.0.0.1:{there.port}")
        stream.send(b"x")
        stream.client.wait(stream.stream)
        assert stream.answer.reset == 10, "CONNECT_ERROR"
        wait_for(lambda: sum("the server broke off" in line for line in caplog.messages) == 2)


def test_a_client_that_leaves_takes_the_server_along(proxy: Wire) -> None:
    ends = []

    def wait(sock: socket.socket) -> None:
        try:
            ends.append(swallow(sock))
        except ConnectionResetError:
            ends.append(None)

    with plain_server(wait) as there:
        stream = Stream(http2(proxy), f"127.0.0.1:{there.port}")
        stream.client.h2.reset_stream(stream.stream, 8)
        stream.client.flush()
        wait_for(lambda: ends == [None])
        client = begun(proxy, there.port)
        client.close()
        wait_for(lambda: len(ends) == 2 and not there.open)


def test_the_client_leaves_while_the_server_is_sought(proxy: Wire) -> None:
    """A backlog that is full keeps a connection from being made."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(3)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        client = connect(proxy, f"127.0.0.1:{full.getsockname()[1]}")
        wait_for(lambda: proxy.services.pipeline.site.plan)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read().startswith(b"HTTP/1.1 400 ")
        for each in fillers:
            each.close()


# No tunnel


def test_nobody_listens(proxy: Wire) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
    assert refused(proxy, f"127.0.0.1:{port}")[0] == 502
    stream = Stream(http2(proxy), f"127.0.0.1:{port}")
    assert stream.answer.status == 502


def test_no_such_host(proxy: Wire, caplog: pytest.LogCaptureFixture) -> None:
    assert refused(proxy, "nowhere.invalid:443")[0] == 502
    assert any("nowhere.invalid has no address" in line for line in caplog.messages)


@pytest.mark.parametrize(
    "target", ["169.254.169.254:443", "0.0.0.0:443", "[::]:443", "[ff02::1]:443", "[::ffff:169.254.1.1]:443"]
)
def test_addresses_that_are_never_reached(proxy: Wire, target: str) -> None:
    status, body = refused(proxy, target)
    assert status == 403
    assert b"is not reached by this proxy" in body


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:7f00:1]"])
def test_loopback_is_not_for_others(proxy: Wire, host: str) -> None:
    with plain_server() as there:
        status, _ = refused(proxy, f"{host}:{there.port}", X_Forwarded_For="10.0.0.9")
        assert status == 403
        assert not there.talked


def test_who_may_use_it(proxy: Wire) -> None:
    status, body = refused(proxy, "192.0.2.1:443", X_Forwarded_For="198.51.100.7")
    assert (status, b"not for you" in body) == (403, True)


@pytest.mark.parametrize("target", ["example.com:0", "example.com:65536", "example.com:", ":443"])
def test_targets_that_are_none(proxy: Wire, target: str) -> None:
    assert refused(proxy, target)[0] in (400, 403)


def test_connect_has_no_content(proxy: Wire) -> None:
    client = proxy.connect()
    client.send(
        b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n1234"
    )
    assert client.response()[0] == 400
    assert client.closed()


def test_what_was_sent_ahead_of_a_refusal_is_no_request(proxy: Wire) -> None:
    client = connect(proxy, "169.254.169.254:443")
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.read().count(b"HTTP/1.1 ") == 1


def test_our_own_sockets_are_not_reached() -> None:
    with (
        plain_server() as ours,
        plain_server(host="0.0.0.0") as everywhere,
        wire(listening=[ours.sock, everywhere.sock], **ALL) as server,
    ):
        addresses = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"]
        assert [refused(server, f"{each}:{ours.port}")[0] for each in addresses] == [403] * 3
        assert [refused(server, f"{each}:{everywhere.port}")[0] for each in [*addresses, "127.0.0.9"]] == [403] * 4
        assert refused(server, f"127.0.0.9:{ours.port}")[0] == 502
        assert not ours.talked and not everywhere.talked


def test_names_and_passwords() -> None:
    with plain_server() as there, wire(proxy_users=("ann:secret:with colon", "bob:ü"), **ALL) as server:
        target = f"127.0.0.1:{there.port}"
        status, fields, _ = connect(server, target).response()
        assert (status, fields["proxy-authenticate"]) == (407, 'Basic realm="Skitai proxy", charset="UTF-8"')
        for wrong in ("ann:secret", "ann", "ann:", "eve:", ":", "bob:u"):
            assert refused(server, target, Proxy_Authorization=f"Basic {b64encode(wrong.encode()).decode()}")[0] == 407
        assert refused(server, target, Proxy_Authorization="Bearer x")[0] == 407
        for right in ("ann:secret:with colon", "bob:ü"):
            client = connect(server, target, Proxy_Authorization=f"Basic {b64encode(right.encode()).decode()}")
            assert client.until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
            client.close()
        wait_for(lambda: any('"ann"' in line for line in server.log.lines))


def test_ports_for_tunnels() -> None:
    with wire(forward_proxy=True) as server:
        assert refused(server, "127.0.0.1:25")[0] == 403


def test_so_many_and_no_more() -> None:
    with plain_server() as there, wire(proxy_connections=2, **ALL) as server:
        first, _ = begun(server, there.port), begun(server, there.port)
        assert refused(server, f"127.0.0.1:{there.port}")[0] == 503
        first.close()
        wait_for(lambda: there.open == 1)
        begun(server, there.port)


def test_one_client_does_not_get_them_all() -> None:
    options = {"proxy_client_tunnels": 2, "proxy_allow": ("loopback",), "trusted_proxies": ("unix",), **ALL}
    with plain_server() as there, wire(**options) as server:
        target = f"127.0.0.1:{there.port}"

        def asked(client: str) -> Client:
            return connect(server, target, X_Forwarded_For=client)

        open_ones = [asked("10.0.0.8") for _ in range(2)]
        for each in open_ones:
            assert each.response(head_only=True)[0] == 200
        assert refused(server, target, X_Forwarded_For="10.0.0.8")[0] == 503
        assert asked("10.0.0.9").response(head_only=True)[0] == 200
        open_ones[0].close()
        wait_for(lambda: len(server.services.pipeline.site._proxy.tunnels.open) == 2)
        assert asked("10.0.0.8").response(head_only=True)[0] == 200


def test_without_a_proxy_there_are_no_tunnels() -> None:
    with wire() as server:
        client = connect(server, "127.0.0.1:443")
        assert client.response()[0] == 501


def test_a_server_that_never_answers() -> None:
    with wire(proxy_connect_s=0.2, **ALL) as server, socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        fillers = [socket.socket() for _ in range(3)]
        for each in fillers:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        assert refused(server, f"127.0.0.1:{full.getsockname()[1]}")[0] == 504
        for each in fillers:
            each.close()


# Time, and leaving


def test_a_tunnel_in_which_nothing_is_said_ends(caplog: pytest.LogCaptureFixture) -> None:
    with plain_server() as there, wire(proxy_tunnel_s=0.5, **ALL) as server, caplog.at_level(logging.INFO):
        quiet, busy = begun(server, there.port), begun(server, there.port)
        spoken = monotonic()
        busy.send(b"x")
        assert busy.exactly(1) == b"x"
        threading.Event().wait(0.2)
        with suppress(OSError, EOFError):  # on a busy machine it may be over by now
            busy.send(b"y")
            assert busy.exactly(1) == b"y"
            spoken += 0.2
        assert quiet.closed() and busy.closed()
        assert monotonic() - spoken >= 0.4
        wait_for(lambda: not there.open)
        assert any("closed: nothing was said for too long; 0 bytes there, 0 back" in line for line in caplog.messages)


def test_a_worker_that_retires_leaves_tunnels_open_and_one_that_stops_does_not() -> None:
    with plain_server() as there, wire(**ALL) as server:
        client, stream = begun(server, there.port), Stream(http2(server), f"127.0.0.1:{there.port}")
        server.on_loop(server.server.retire)
        client.send(b"still here")
        assert client.exactly(10) == b"still here"
        stream.send(b"x")
        while stream.answer.body != b"x":
            stream.client.receive()
        server.on_loop(server.server.stop)
        assert client.closed()
        stream.client.wait(stream.stream)
        wait_for(lambda: not there.open)


@pytest.mark.parametrize("stopping", [False, True], ids=["replaced", "stopped"])
def test_what_is_left_when_a_worker_has_to_go_is_no_good_end(stopping: bool, caplog: pytest.LogCaptureFixture) -> None:
    ends: list[BaseException | None] = []

    def listen(sock: socket.socket) -> None:
        try:
            swallow(sock)
            ends.append(None)
        except ConnectionResetError as error:
            ends.append(error)

    with plain_server(listen) as there, wire(**ALL) as server, caplog.at_level(logging.INFO, "skitai.server"):
        client = begun(server, there.port)
        stream = Stream(http2(server), f"127.0.0.1:{there.port}")
        stream.send(b"x")
        client.send(b"x")

        def leave() -> None:
            server.services.leave_by = monotonic()
            server.server.stop() if stopping else server.server.retire()

        server.on_loop(leave)
        assert client.closed()
        stream.client.wait(stream.stream)
        assert stream.answer.reset == 10, "CONNECT_ERROR"
        wait_for(lambda: len(ends) == 2)
        assert None not in ends
        why = "the server stops" if stopping else "the server restarts"
        assert sum(f"closed: {why}; " in line for line in caplog.messages) == 2


def test_cut_tunnels_leave_nothing_behind(proxy: Wire) -> None:
    """Two hundred, each cut in another way."""
    tunnels = proxy.services.pipeline.site._proxy.tunnels
    with plain_server() as there:
        before, others = len(os.listdir("/proc/self/fd")), len(tunnels.open)
        for number in range(200):
            client = connect(proxy, f"127.0.0.1:{there.port}")
            if number % 4:
                client.until(b"\r\n\r\n")
            if number % 4 == 2:
                client.send(b"x" * 1000)
            if number % 4 == 3:
                client.sock.shutdown(socket.SHUT_WR)
                client.read()
            client.close()
        wait_for(lambda: not there.open and len(tunnels.open) <= others)
        wait_for(lambda: len(os.listdir("/proc/self/fd")) <= before + 2)
