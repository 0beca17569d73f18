"""Those who stall or garble TLS, in a real server: what they cost is bounded, and others are served meanwhile."""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.process.test_tls import APP, Server, furnish
from tests.support.dialogue import eventually

pytestmark = pytest.mark.process

STALLED = 2000
AT_ONCE = 200
BYTES_EACH = 150_000
"""What a handshake may cost a worker; measured, it is 10,000 before the first byte, and up to 77,000 after."""

OPENSSL = shutil.which("openssl") or ""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    folder = furnish(tmp_path)
    with ExitStack() as stack:

        def begin(*options: str) -> Server:
            server = Server(folder, *options)
            stack.callback(server.stop)
            return server

        yield begin


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for all who only garble; nobody is let go because of the time."""
    server = Server(furnish(tmp_path_factory.mktemp("server")), "--threads", "2", "--tls-handshake-s", "300")
    yield server
    server.stop()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < STALLED + 500:
        pytest.fail(f"this test needs {STALLED + 500} descriptors; the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, STALLED + 500), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def worker(server: Server) -> psutil.Process:
    (child,) = psutil.Process(server.process.pid).children()
    return child


def client_hello(context: ssl.SSLContext) -> bytes:
    """What a client says first."""
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def plain(server: Server, stack: ExitStack) -> socket.socket:
    return stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))


def is_over(sock: socket.socket) -> bool:
    """Whether the server has ended a connection; what it said before does not matter."""
    sock.setblocking(False)
    try:
        while sock.recv(65536):
            pass
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
    return True


@pytest.mark.usefixtures("many_descriptors")
@pytest.mark.parametrize("said", ["nothing", "half", "all"])
def test_thousands_of_handshakes_that_stall(start: Any, said: str) -> None:
    """The oldest give way, so memory does not grow with their number, and who comes later is served."""
    server = start("--threads", "2", "--tls-handshakes", str(AT_ONCE), "--tls-handshake-s", "300")
    assert server.ask()[0] == 200
    before = worker(server).memory_info().rss
    hello = client_hello(server.context())
    part = {"nothing": b"", "half": hello[: len(hello) // 2], "all": hello}[said]
    with ExitStack() as stack:
        stalled = []
        for number in range(STALLED):
            sock = plain(server, stack)
            with suppress(ConnectionError):  # it may have had to give way already
                sock.sendall(part)
            stalled.append(sock)
            if number % 500 == 0:
                assert server.ask()[0] == 200
        eventually(lambda: all(map(is_over, stalled[: STALLED - AT_ONCE])), "the oldest gave way")
        assert server.ask()[0] == 200
        going = sum(not is_over(sock) for sock in stalled)
        assert AT_ONCE - 10 <= going <= AT_ONCE
        grown = worker(server).memory_info().rss - before
        assert grown < AT_ONCE * BYTES_EACH
    server.logs("too many at once, and it was the oldest")
    assert server.said.count("TLS handshake with") < STALLED / 10
    assert server.ask()[0] == 200


def test_a_handshake_byte_by_byte_has_no_more_time_than_others(start: Any) -> None:
    server = start("--tls-handshake-s", "1")
    hello = client_hello(server.context())
    with ExitStack() as stack:
        slow = [plain(server, stack) for _ in range(20)]
        for byte in hello:
            for sock in slow:
                with suppress(ConnectionError):
                    sock.send(bytes([byte]))
            if all(map(is_over, slow)):
                break
            assert server.ask()[0] == 200
        else:
            pytest.fail("they went on for as long as they liked")
    server.logs("it took too long")


def test_a_hello_in_single_bytes_is_understood(server: Server) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = server.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
    with ExitStack() as stack:
        sock = plain(server, stack)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    sock.send(bytes([byte]))
                incoming.write(sock.recv(65536))
        client.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for byte in outgoing.read():
            sock.send(bytes([byte]))
        answer = b""
        while b" 200 OK" not in answer:
            incoming.write(sock.recv(65536))
            with suppress(ssl.SSLWantReadError):
                answer += client.read()


def record(kind: int, length: int, data: bytes) -> bytes:
    """A record (RFC 8446, section 5.1) that says to be of a length."""
    return struct.pack("!BHH", kind, 0x0303, length) + data


@pytest.mark.parametrize(
    "data",
    [
        record(22, 65535, b"\x01" * 65535),  # longer than a record may be
        record(22, 16384, b"\x01\xff\xff\xff" + b"\0" * 16380),  # a hello of 16 MB
        record(23, 100, b"x" * 100),  # data before anything was agreed on
        record(22, 0, b"") * 1000,  # empty ones
        record(21, 2, b"\x01\x00") * 1000,  # warnings
        record(20, 1, b"\x01") * 1000,  # changes of nothing
        b"\x80\x2e\x01\x00\x02" + b"\0" * 1000,  # SSL 2
        b"\0" * 100_000,
        os.urandom(100_000),
    ],
    ids=["long", "huge", "early", "empty", "warnings", "changes", "ssl2", "zeros", "noise"],
)
def test_records_that_are_none_end_the_connection(server: Server, data: bytes) -> None:
    before = worker(server).memory_info().rss
    with ExitStack() as stack:
        bad = [plain(server, stack) for _ in range(50)]
        for sock in bad:
            with suppress(ConnectionError):
                sock.sendall(data)
        eventually(lambda: all(map(is_over, bad)), "all are over")
    assert worker(server).memory_info().rss - before < 50 * BYTES_EACH
    assert server.ask()[0] == 200


def test_a_record_that_is_too_long_after_the_handshake(server: Server) -> None:
    with server.connect() as good, server.connect() as bad:
        socket.socket.sendall(bad, record(23, 65535, b"x" * 65535))
        eventually(lambda: is_over_below(bad), "it is over")
        assert server.ask(sock=good)[0] == 200


def is_over_below(sock: ssl.SSLSocket) -> bool:
    """As `is_over`, whatever TLS thinks of it."""
    raw = socket.socket(fileno=os.dup(sock.fileno()))
    with raw:
        return is_over(raw)


@pytest.mark.skipif(not OPENSSL, reason="openssl is missing; make conformance sees to it")
def test_a_client_may_not_begin_anew(server: Server) -> None:
    """Renegotiation of TLS 1.2, which costs the server more than the client."""
    before = server.ask()[0]
    command = [OPENSSL, "s_client", "-tls1_2", "-connect", f"127.0.0.1:{server.port}", "-alpn", "http/1.1"]
    told = subprocess.run(command, input=b"R\n", capture_output=True, timeout=30, check=False)
    said = told.stdout + told.stderr
    assert b"RENEGOTIATING" in said
    assert re.search(rb"no.renegotiation|unexpected eof|handshake failure", said), said.decode()
    assert before == server.ask()[0] == 200


def test_tls_at_a_port_of_plain_http_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP.replace('    skitai.enable_ssl("server.crt", "server.key")\n', ""))
    (tmp_path / "files").mkdir()
    server = Server(tmp_path)
    try:
        with ExitStack() as stack:
            sock = plain(server, stack)
            sock.sendall(client_hello(ssl.create_default_context()))
            assert sock.recv(65536).startswith(b"HTTP/1.1 400 ")
            with suppress(ConnectionResetError):
                while sock.recv(65536):
                    pass
    finally:
        server.stop()


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "DELETE", "PRI"])
def test_plain_http_at_a_port_of_tls_is_told_so(server: Server, method: str) -> None:
    with ExitStack() as stack:
        sock = plain(server, stack)
        sock.sendall(f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        answer = b""
        while data := sock.recv(65536):
            answer += data
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"\r\n\r\nThis port speaks HTTPS, not HTTP.\n")
