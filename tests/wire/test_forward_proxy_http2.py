"""Requests for other servers through the forward proxy from clients that speak HTTP/2 (RFC 9113, section 8.3.1)."""

from __future__ import annotations

import logging
import os
import socket
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.process.test_proxy_smuggling import ODD2, PSEUDO, TAKEN
from tests.support.http2 import Answer, Fields, Http2Client, http2
from tests.support.memory import Wire, mounted, wait_for, wire
from tests.support.plainserver import plain_server
from tests.support.recorder import Recorder, recorder
from tests.wire.test_forward_proxy import ALL, HELLO, MANY, answering, app, fields_in, head_of


@pytest.fixture(scope="module", params=["asyncio", "uvloop"])
def proxy(request: pytest.FixtureRequest) -> Iterator[Wire]:
    """Beside a site of its own, but with nothing for all hosts."""
    with wire(mounted("/", app, host="site.example"), engine=request.param, **ALL) as server:
        yield server


def begin(
    client: Http2Client, authority: str, path: str, method: str, fields: Fields, scheme: str = "http", ended: bool = True
) -> int:
    stream = client.h2.get_next_available_stream_id()
    pairs = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path), *fields]
    client.send_head(stream, pairs, ended)
    return stream


def get(
    server: Wire | Http2Client,
    authority: str,
    path: str = "/",
    method: str = "GET",
    scheme: str = "http",
    body: bytes | None = None,
    **fields: str,
) -> Answer:
    client = server if isinstance(server, Http2Client) else http2(server)
    given = [(name.replace("_", "-").lower(), value) for name, value in fields.items()]
    stream = begin(client, authority, path, method, given, scheme, body is None)
    if body is not None:
        client.upload(stream, body)
    return client.wait(stream)


def test_a_request_is_passed_on(proxy: Wire) -> None:
    heads: list[bytes] = []
    with answering(HELLO, heads) as there:
        client = http2(proxy)
        for _ in range(3):
            answer = get(client, f"127.0.0.1:{there.port}", "/a%20b/?c=d&%e2", accept="text/*", cookie="a=b", te="trailers")
            assert (answer.status, answer.body) == (200, b"hello")
            assert answer.fields["via"] == "1.1 skitai"
        assert there.talked == 1, "one connection for all three"
        assert heads[0].startswith(b"GET /a%20b/?c=d&%e2 HTTP/1.1\r\n")
        host = f"127.0.0.1:{there.port}"
        assert fields_in(heads[0]) == {"host": host, "accept": "text/*", "cookie": "a=b", "via": "2 skitai"}
        get(client, host, method="OPTIONS", Max_Forwards="7")
        assert fields_in(heads[-1])["max-forwards"] == "6"
        line = f"GET http://{host}/a%20b/?c=d&%e2 2.0"
        wait_for(lambda: any(line in each for each in proxy.log.lines))


def test_bodies_go_through_both_ways(proxy: Wire) -> None:
    def talk(sock: socket.socket) -> None:
        head = head_of(sock)
        head, _, body = head.partition(b"\r\n\r\n")
        size = int(fields_in(head + b"\r\n\r\n").get("content-length", 0))
        while len(body) < size or (not size and not body.endswith(b"\r\n0\r\n\r\n")):
            body += sock.recv(65536)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    data = os.urandom(MANY)
    with plain_server(talk) as there:
        assert get(proxy, f"127.0.0.1:{there.port}", "/", "POST", body=data, Content_Length=str(MANY)).body == data
        assert get(proxy, f"127.0.0.1:{there.port}", "/", "POST", body=b"abc").body == b"3\r\nabc\r\n0\r\n\r\n"


def test_its_rules_are_those_of_other_requests(proxy: Wire, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for authority in ("169.254.169.254", "127.0.0.1:25", "[fe80::1]"):
            assert get(proxy, authority).status == 403
        assert get(proxy, "nobody.invalid").status == 502
    assert any("GET http://169.254.169.254/: " in each and "not reached by this proxy" in each for each in caplog.messages)


def test_names_and_passwords() -> None:
    heads: list[bytes] = []
    with answering(HELLO, heads) as there, wire(proxy_users=("ann:secret",), **ALL) as server:
        client, authority = http2(server), f"127.0.0.1:{there.port}"
        answer = get(client, authority)
        assert (answer.status, answer.fields["proxy-authenticate"]) == (407, 'Basic realm="Skitai proxy", charset="UTF-8"')
        good = f"Basic {b64encode(b'ann:secret').decode()}"
        assert get(client, authority, Proxy_Authorization=good).status == 200
        assert "proxy-authorization" not in fields_in(heads[0])
        wait_for(lambda: any(f"http://{authority}/ 2.0" in each and "ann" in each for each in server.log.lines))


# For us


def test_what_is_ours_is_answered_here() -> None:
    with plain_server() as ours, plain_server() as other:
        hosts = mounted("/", app, host="site.example .all.example")
        with wire(hosts, listening=[ours.sock], proxy_names=("our.example",), **ALL) as server:
            client = http2(server)
            for authority in ("site.example", "SITE.example.:80", f"www.all.example:{ours.port}", "site.example:443"):
                answer = get(client, authority, "/x")
                assert (answer.status, answer.body) == (200, b"here: /x"), authority
            for authority in (f"127.0.0.1:{ours.port}", f"our.example:{ours.port}", f"localhost:{ours.port}"):
                assert get(client, authority).status == 404, "nothing is mounted for that"
            assert get(client, f"127.0.0.1:{other.port}", scheme="https").status == 404, "of another scheme"
            assert client.ask("/", fields=[]).status == 502, "another name of nobody"
            assert not ours.talked and not other.talked


def test_with_something_for_all_hosts_everything_is_ours_without_tls() -> None:
    with plain_server() as there, wire(mounted("/a", app), **ALL) as server:
        client = http2(server)
        assert get(client, f"127.0.0.1:{there.port}", "/a/b").body == b"here: /b"
        assert get(client, f"127.0.0.1:{there.port}", "/c").status == 404
        assert not there.talked


def test_what_a_trusted_proxy_sends_is_ours() -> None:
    with plain_server() as there, wire(trusted_proxies=("unix",), **ALL) as server:
        assert get(server, f"127.0.0.1:{there.port}").status == 404
        assert not there.talked


def test_without_a_proxy_all_is_for_us() -> None:
    with plain_server() as there, wire(mounted("/", app, host="site.example")) as server:
        assert get(server, f"127.0.0.1:{there.port}").status == 404
        assert not there.talked


@pytest.mark.parametrize("authority", ["", "a b", "a/b", "a@b", "a:b", "a?b", "a#b"])
def test_authorities_that_are_none(proxy: Wire, authority: str) -> None:
    client = http2(proxy, checks=False)
    answer = None
    try:
        answer = get(client, authority)
    except AssertionError:
        assert client.closed
    assert answer is None or answer.status == 400 or answer.reset is not None


# Nothing is smuggled


@pytest.fixture(scope="module")
def behind() -> Iterator[Recorder]:
    """Reads strictly, and notes whatever is odd."""
    with recorder() as made:
        yield made


BEHIND: dict[str, Fields] = {
    "": [],
    "trailers": [("trailer", "x-sum"), ("x-sum", "1"), ("x-more", "2")],
    "host behind": [("trailer", "host"), ("host", "evil")],
}


@pytest.mark.parametrize("trailing", BEHIND.values(), ids=BEHIND)
@pytest.mark.parametrize("case", sorted(ODD2.keys() - {"underscores"}))
def test_odd_requests(proxy: Wire, behind: Recorder, case: str, trailing: Fields) -> None:
    """Underscores are the client's own affair with a server that it has chosen."""
    behind.forget()
    fields, body = ODD2[case]
    named = [(name, f"127.0.0.1:{behind.port}" if (name, value) == PSEUDO[2] else value) for name, value in fields]
    client = http2(proxy, checks=False)
    stream = client.h2.get_next_available_stream_id()
    client.send_head(stream, named + trailing[:1], ended=False)
    answer = client.answers[stream]
    with suppress(ConnectionError):
        client.send(stream, body, ended=not trailing)
        if trailing:
            client.h2.send_headers(stream, trailing[1:], end_stream=True)
            client.flush()
        while not answer.ended and answer.reset is None and not client.closed:
            client.receive()
    well = int(answer.ended and answer.status < 400)
    assert len(behind.seen) <= well, "what was seen was answered"
    assert not well or case in TAKEN
    assert behind.oddities == []
    if case == "plain":
        assert well == ("host" not in dict(trailing))
    for seen in behind.seen:
        assert "evil" not in seen.target
        assert seen.trailers == (b"x-sum: 1\r\n" if trailing and seen.get("transfer-encoding") else b"")
        assert seen.all("host") == [f"127.0.0.1:{behind.port}"]
