"""Requests for other servers through the forward proxy (RFC 9112, section 3.2.2; RFC 9110, section 7.6)."""

from __future__ import annotations

import logging
import os
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import h11
import pytest

from tests.support.memory import Client, Wire, mounted, wait_for, wire
from tests.support.odd import CHUNKS, HEADS, POST
from tests.support.plainserver import PlainServer, plain_server, reset
from tests.support.recorder import Recorder, recorder

ALL = {"forward_proxy": True}
MANY = 3_000_000


def app(environ, start_response):
    """What is here."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"here: {environ['PATH_INFO']}".encode()]


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """Clients of it are on this host; those that say so come from elsewhere."""
    with wire(mounted("/", app), engine=request.param, trusted_proxies=("unix",), **ALL) as server:
        yield server


def head_of(sock: socket.socket) -> bytes:
    """One request head."""
    said = b""
    while b"\r\n\r\n" not in said:
        data = sock.recv(65536)
        if not data:
            raise ConnectionError
        said += data
    return said


@contextmanager
def answering(answer: bytes, heads: list[bytes] | None = None) -> Iterator[PlainServer]:
    """A server with one answer to all requests without a body."""

    def talk(sock: socket.socket) -> None:
        while True:
            head = head_of(sock)
            if heads is not None:
                heads.append(head)
            sock.sendall(answer)

    with plain_server(talk) as there:
        yield there


HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Type: text/plain\r\n\r\nhello"


def get(
    server: Wire | Client, port: int, path: str = "/", method: str = "GET", **fields: str
) -> tuple[int, dict[str, str], bytes]:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return server.ask(f"{method} http://127.0.0.1:{port}{path} HTTP/1.1\r\nHost: not.this\r\n{lines}\r\n".encode("latin-1"))


def fields_in(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:-2]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def test_a_request_is_passed_on(proxy: Wire) -> None:
    heads: list[bytes] = []
    with answering(HELLO, heads) as there:
        status, fields, body = get(
            proxy, there.port, "/a%20b/?c=d&%e2", Accept="text/*", Cookie="a=b", Authorization="Basic eDp5"
        )
        assert (status, body) == (200, b"hello")
        assert fields["via"] == "1.1 skitai"
        line, rest = heads[0].split(b"\r\n", 1)
        assert line == b"GET /a%20b/?c=d&%e2 HTTP/1.1"
        told = fields_in(heads[0])
        assert told == {
            "host": f"127.0.0.1:{there.port}",
            "accept": "text/*",
            "cookie": "a=b",
            "authorization": "Basic eDp5",
            "via": "1.1 skitai",
        }
        assert rest.count(b"Host:") == 1


def test_what_is_between_neighbours_stays_there(proxy: Wire) -> None:
    heads: list[bytes] = []
    answer = (
        b"HTTP/1.1 200 OK\r\nConnection: x-private, close\r\nX-Private: 1\r\nKeep-Alive: timeout=5\r\nVia: 1.0 other\r\n"
        b"Proxy-Authenticate: Basic\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n\r\nok"
    )
    with answering(answer, heads) as there:
        client = proxy.connect()
        client.send(
            f"GET http://127.0.0.1:{there.port} HTTP/1.1\r\nHost: a\r\nConnection: close, X-Mine\r\nX-Mine: 1\r\n"
            "Keep-Alive: 5\r\nTE: trailers\r\nProxy-Connection: keep-alive\r\nUpgrade: other\r\n"
            "Proxy-Authorization: Basic eDp5\r\nProxy: evil\r\nVia: 1.1 first\r\n\r\n".encode()
        )
        said = client.read().lower()
        assert said.startswith(b"http/1.1 200 ")
        for absent in (b"x-private", b"keep-alive", b"proxy-authenticate"):
            assert absent not in said
        assert b"via: 1.0 other, 1.1 skitai\r\n" in said
        assert said.count(b"set-cookie: ") == 2
        assert fields_in(heads[0]) == {"host": f"127.0.0.1:{there.port}", "via": "1.1 first, 1.1 skitai"}
        assert heads[0].startswith(b"GET / HTTP/1.1\r\n")


@pytest.mark.parametrize("told", [True, False])
def test_the_clients_address_is_told_by_option(told: bool) -> None:
    heads: list[bytes] = []
    options = {"trusted_proxies": ("unix",), "proxy_allow": ("loopback",), "proxy_forwarded_for": told, **ALL}
    with answering(HELLO, heads) as there, wire(**options) as server:
        assert get(server, there.port, X_Forwarded_For="10.0.0.9")[0] == 200
        assert fields_in(heads[0]).get("x-forwarded-for") == ("10.0.0.9, 10.0.0.9" if told else "10.0.0.9")


def test_connections_are_used_again(proxy: Wire) -> None:
    with answering(HELLO) as there:
        client = proxy.connect()
        for _ in range(5):
            assert get(client, there.port)[2] == b"hello"
        assert get(proxy, there.port)[2] == b"hello"
        assert there.talked == 1


def test_bodies_go_through_both_ways(proxy: Wire) -> None:
    def talk(sock: socket.socket) -> None:
        head, _, body = head_of(sock).partition(b"\r\n\r\n")
        size = int(fields_in(head + b"\r\n\r\n")["content-length"])
        while len(body) < size:
            body += sock.recv(65536)
        sock.sendall(b"HTTP/1.1 201 Made\r\nContent-Length: %d\r\n\r\n" % size + body)

    data = os.urandom(MANY)
    with plain_server(talk) as there:
        client = proxy.connect()
        request = (
            f"POST http://127.0.0.1:{there.port}/ HTTP/1.1\r\nHost: a\r\nContent-Length: {MANY}\r\n\r\n".encode() + data
        )
        sending = threading.Thread(target=client.send, args=(request,))
        sending.start()
        status, _, body = client.response()
        sending.join()
        assert (status, body == data) == (201, True)


def test_answers_without_length_and_in_chunks(proxy: Wire) -> None:
    def until_close(sock: socket.socket) -> None:
        head_of(sock)
        sock.sendall(b"HTTP/1.0 200 OK\r\n\r\nto the end")

    with plain_server(until_close) as there:
        assert get(proxy, there.port)[2] == b"to the end"
    with answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n") as there:
        assert get(proxy, there.port)[2] == b"abcde"
        client = proxy.connect()
        client.send(f"GET http://127.0.0.1:{there.port}/ HTTP/1.0\r\n\r\n".encode())
        assert client.read().endswith(b"\r\n\r\nabcde")


def test_head_and_options(proxy: Wire) -> None:
    heads: list[bytes] = []
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nAllow: GET\r\n\r\n", heads) as there:
        assert get(proxy, there.port, method="HEAD")[1]["content-length"] == "50"
    with answering(b"HTTP/1.1 204 No Content\r\nAllow: GET\r\n\r\n", heads) as there:
        assert get(proxy, there.port, "", method="OPTIONS")[1]["allow"] == "GET"
        assert heads[-1].startswith(b"OPTIONS * HTTP/1.1\r\n")
        assert get(proxy, there.port, "/a", method="OPTIONS")[0] == 204
        assert heads[-1].startswith(b"OPTIONS /a HTTP/1.1\r\n")
        asked = len(heads)
        assert "CONNECT" in get(proxy, there.port, "/a", method="OPTIONS", Max_Forwards="0")[1]["allow"]
        assert len(heads) == asked
        get(proxy, there.port, "/a", method="OPTIONS", Max_Forwards="7")
        assert fields_in(heads[-1])["max-forwards"] == "6"


# For us


def test_what_names_us_is_answered_here() -> None:
    sites = [mounted("/", app), mounted("/", app, host="site.example .all.example")]
    with plain_server() as ours, wire(*sites, listening=[ours.sock], proxy_names=("Our.Example",), **ALL) as server:
        for authority in (
            f"our.example:{ours.port}",
            f"127.0.0.1:{ours.port}",
            f"localhost:{ours.port}",
            f"[::ffff:127.0.0.1]:{ours.port}",
            f"{socket.gethostname()}:{ours.port}",
            "site.example",
            "Site.Example.:80",
            f"www.all.example:{ours.port}",
        ):
            status, _, body = server.ask(f"GET http://{authority}/x HTTP/1.1\r\nHost: b\r\n\r\n".encode())
            assert (status, body) == (200, b"here: /x"), authority
        assert server.ask(f"GET http://127.0.0.9:{ours.port}/ HTTP/1.1\r\nHost: b\r\n\r\n".encode())[0] == 502
        assert server.get("/origin-form")[2] == b"here: /origin-form"
        assert not ours.talked


def test_a_name_that_leads_to_us_is_not_asked() -> None:
    """As a name of another that points here would."""
    with plain_server(host="0.0.0.0") as ours, wire(listening=[ours.sock], **ALL) as server:
        status, _, body = server.ask(f"GET http://127.1:{ours.port}/ HTTP/1.1\r\nHost: b\r\n\r\n".encode())
        assert (status, b"this server itself" in body) == (403, True)
        assert not ours.talked


def test_without_a_proxy_all_is_for_us() -> None:
    with wire(mounted("/", app)) as server:
        assert server.ask(b"GET http://somewhere.example/x HTTP/1.1\r\nHost: b\r\n\r\n")[2] == b"here: /x"


# Not for all


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]", "0x7f000001"])
def test_loopback_is_not_for_others(proxy: Wire, host: str) -> None:
    with answering(HELLO) as there:
        request = f"GET http://{host}:{there.port}/ HTTP/1.1\r\nHost: a\r\n"
        assert proxy.ask(f"{request}\r\n".encode())[0] in (200, 502), "those on this host may"
        talked = there.talked
        status, _, body = proxy.ask(f"{request}X-Forwarded-For: 10.0.0.9\r\n\r\n".encode())
        assert (status, b"client is not" in body) == (403, True)
        assert there.talked == talked


@pytest.mark.parametrize(
    "target", ["http://169.254.169.254/latest/", "http://[fe80::1]/", "http://0.0.0.0/", "http://224.0.0.1/"]
)
def test_what_is_never_reached(proxy: Wire, target: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        status, _, body = proxy.ask(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert (status, b"not reached by this proxy" in body) == (403, True)
    assert any(f"GET {target}: " in line and "not reached by this proxy: it is" in line for line in caplog.messages)


def test_ports_of_requests(proxy: Wire) -> None:
    assert get(proxy, 25)[0] == 403


def test_a_refused_body_does_not_break_the_connection(proxy: Wire) -> None:
    client = proxy.connect()
    status, _, _ = client.ask(b"POST http://169.254.1.1/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
    assert status == 403
    with answering(HELLO) as there:
        assert get(client, there.port)[0] == 200


def test_names_and_passwords() -> None:
    heads: list[bytes] = []
    with answering(HELLO, heads) as there, wire(mounted("/", app), proxy_users=("ann:secret",), **ALL) as server:
        client = server.connect()
        status, fields, _ = get(client, there.port)
        assert (status, fields["proxy-authenticate"]) == (407, 'Basic realm="Skitai proxy", charset="UTF-8"')
        good = f"Basic {b64encode(b'ann:secret').decode()}"
        assert get(client, there.port, Proxy_Authorization=good)[0] == 200
        assert "proxy-authorization" not in fields_in(heads[0])
        assert server.get("/here")[0] == 200, "what is here is everybody's"


def test_who_asks_for_others_may_no_more_than_they() -> None:
    """Somebody in front whom nobody has told this server to trust."""
    with answering(HELLO) as there, wire(**ALL) as server:
        assert get(server, there.port, X_Forwarded_For="203.0.113.5, 127.0.0.1")[0] == 200
        for told in ("203.0.113.5", "127.0.0.1, 203.0.113.5", "unknown", "", "127.0.0.1,"):
            status, _, body = get(server, there.port, X_Forwarded_For=told)
            assert (status, b"X-Forwarded-For tells of" in body) == (403, True), told
        status, _, body = get(server, there.port, X_Forwarded_For="10.0.0.9")
        assert (status, b"on this host, and the client is not" in body) == (403, True)
        client = server.connect()
        client.send(b"CONNECT 127.0.0.1:443 HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n")
        assert client.response()[0] == 403


def test_so_many_requests_at_once_to_all_servers_together() -> None:
    ready, goes_on = threading.Semaphore(0), threading.Event()

    def slow(sock: socket.socket) -> None:
        head_of(sock)
        ready.release()
        goes_on.wait(10)
        sock.sendall(HELLO)

    with plain_server(slow) as one, plain_server(slow) as other, wire(proxy_connections=2, **ALL) as server:
        clients = [server.connect() for _ in range(2)]
        for client, there in zip(clients, (one, other), strict=True):
            client.send(f"GET http://127.0.0.1:{there.port}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert ready.acquire(timeout=10)
        for there in (one, other):
            assert get(server, there.port)[0] == 503
        goes_on.set()
        assert [client.response()[2] for client in clients] == [b"hello"] * 2
        assert get(server, one.port)[0] == 200


# Credentials of connections


@pytest.mark.parametrize("scheme", ["NTLM", "Negotiate", "negotiate"])
def test_nobody_else_asks_on_a_connection_that_was_authenticated(proxy: Wire, scheme: str) -> None:
    heads: list[bytes] = []
    with answering(HELLO, heads) as there:
        for _ in range(2):
            assert get(proxy, there.port, Authorization=f"{scheme} TlRMTVNTUAAB")[0] == 200
            assert fields_in(heads[-1])["connection"] == "close"
        assert get(proxy, there.port, Authorization="Basic eDp5")[0] == 200
        assert get(proxy, there.port)[0] == 200
        assert "connection" not in fields_in(heads[-1])
        assert there.talked == 3, "the server would have gone on"
        wait_for(lambda: there.open == 1)


# What goes wrong


def test_nobody_listens(proxy: Wire, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as there:
        port = there.getsockname()[1]
    assert get(proxy, port)[0] == 502
    assert any("no connection to" in line for line in caplog.messages)


def broken_before(sock: socket.socket) -> None:
    head_of(sock)
    reset(sock)


def broken_within(sock: socket.socket) -> None:
    head_of(sock)
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
    reset(sock)


def garbage(sock: socket.socket) -> None:
    head_of(sock)
    sock.sendall(b"\0\1\2 garbage\r\n\r\n")
    sock.recv(100)


@pytest.mark.parametrize("talk", [broken_before, garbage])
def test_no_answer(proxy: Wire, talk: Callable[[socket.socket], None]) -> None:
    with plain_server(talk) as there:
        assert get(proxy, there.port)[0] == 502


def test_an_answer_that_breaks_off_breaks_off(proxy: Wire) -> None:
    with plain_server(broken_within) as there:
        client = proxy.connect()
        client.send(f"GET http://127.0.0.1:{there.port}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        said = client.read()
        assert not said or said.startswith(b"HTTP/1.1 502 ") or said.endswith(b"some"), said


def test_a_reset_is_no_end_of_an_answer_without_length(proxy: Wire) -> None:
    begun = threading.Event()

    def talk(sock: socket.socket) -> None:
        head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\nsome")
        begun.wait(10)
        reset(sock)

    with plain_server(talk) as there:
        client = proxy.connect()
        client.send(f"GET http://127.0.0.1:{there.port}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert client.until(b"some").startswith(b"HTTP/1.1 200 ")
        begun.set()
        assert not client.read().endswith(b"0\r\n\r\n"), "cut, not complete"


def test_a_silent_server() -> None:
    def silent(sock: socket.socket) -> None:
        sock.recv(100_000)
        sock.recv(100_000)

    with plain_server(silent) as there, wire(proxy_channel_s=0.2, **ALL) as server:
        assert get(server, there.port)[0] == 504


def test_a_client_that_leaves_takes_its_request_along(proxy: Wire) -> None:
    ended = threading.Event()

    def endless(sock: socket.socket) -> None:
        head_of(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:
                sock.sendall(b"x" * 65536)
        except OSError:
            ended.set()

    with plain_server(endless) as there:
        client = proxy.connect()
        client.send(f"GET http://127.0.0.1:{there.port}/ HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        client.until(b"\r\n\r\n")
        client.close()
        assert ended.wait(10)


def test_a_request_that_goes_round_in_circles_ends(proxy: Wire) -> None:
    with answering(HELLO) as there:
        assert get(proxy, there.port, Via=", ".join(["1.1 skitai"] * 10))[0] == 508


def test_idle_connections_to_servers_are_closed(proxy: Wire) -> None:
    with answering(HELLO) as there:
        assert get(proxy, there.port)[0] == 200
        passing = proxy.services.pipeline.site._proxy.passing
        proxy.on_loop(lambda: passing.tick(proxy.services.loop.time() + 61))
        wait_for(lambda: not there.open)
        proxy.on_loop(lambda: passing.tick(proxy.services.loop.time()))
        assert not any(key[1] == there.port for key in passing._destinations)


def test_the_cache_does_not_tell_others_what_only_this_host_may_reach() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nCache-Control: max-age=100\r\n\r\nsecret"
    with answering(answer) as there, wire(cachefs_memmax=1 << 20, trusted_proxies=("unix",), **ALL) as server:
        for _ in range(2):
            assert get(server, there.port)[2] == b"secret"
        assert there.talked == 1
        status, _, body = get(server, there.port, X_Forwarded_For="10.0.0.9")
        assert (status, b"secret" in body) == (403, False)


# Nothing is smuggled


@pytest.fixture(scope="module")
def behind() -> Iterator[Recorder]:
    """Reads strictly, and notes whatever is odd."""
    with recorder() as made:
        yield made


def statuses(said: bytes, method: str) -> list[int]:
    """Of the responses, as h11 reads them."""
    found = []
    while said:
        reader = h11.Connection(h11.CLIENT)
        reader.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        reader.send(h11.EndOfMessage())
        reader.receive_data(said)
        reader.receive_data(b"")
        while not isinstance(event := reader.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if isinstance(event, h11.Response):
                found.append(event.status_code)
        said, method = reader.trailing_data[0], "GET"
    return found


def named(request: bytes, port: int) -> bytes:
    """The same with a target in absolute-form, where it has one."""
    method, _, rest = request.partition(b" ")
    return b"%b http://127.0.0.1:%d%b" % (method, port, rest) if rest.startswith(b"/") else request


@pytest.mark.parametrize("case", [*HEADS, *(f"chunks: {name}" for name in CHUNKS)])
def test_odd_requests(proxy: Wire, behind: Recorder, case: str) -> None:
    behind.forget()
    chunks = case.partition("chunks: ")[2]
    odd = POST + b"Transfer-Encoding: chunked\r\n\r\n" + CHUNKS[chunks] if chunks else HEADS[case]
    client = proxy.connect()
    client.send(named(odd, behind.port) + named(b"GET /probe HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", behind.port))
    client.sock.shutdown(socket.SHUT_WR)
    well = [status for status in statuses(client.read(), "HEAD" if odd.startswith(b"HEAD") else "GET") if status < 400]
    if case != "underscores":  # which are the client's own affair with a server that it has chosen
        assert behind.oddities == []
    assert not any("evil" in seen.target for seen in behind.seen)
    assert len(behind.seen) <= len(well), "what was seen was answered; some of it is for us"
    for seen in behind.seen:
        assert seen.all("host") == [f"127.0.0.1:{behind.port}"]
