"""RFC 9112 from the first section to the last, over real connections: what is accepted, what is refused, and how."""

from __future__ import annotations

import pytest

from tests.support.memory import Wire, mounted, wire
from tests.wire.conftest import echo

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def refused(server: Wire, request: bytes, status: int) -> None:
    """The request is answered with `status`, the connection closed, and the next client is served."""
    client = server.connect()
    assert client.ask(request)[0] == status
    assert client.closed()
    assert server.get()[0] == 200


# Section 2.2: message parsing


def test_2_2_one_empty_line_before_the_request_line_is_ignored(server: Wire) -> None:
    assert server.ask(b"\r\n" + GET)[0] == 200


def test_2_2_bare_lf_is_refused_at_once(server: Wire) -> None:
    refused(server, b"GET / HTTP/1.1\nHost: a\n\n", 400)


def test_2_2_bare_cr_is_refused(server: Wire) -> None:
    refused(server, b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", 400)


def test_2_2_bytes_may_come_one_by_one(server: Wire) -> None:
    client = server.connect()
    for byte in b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc":
        client.send(bytes([byte]))
    assert client.response()[2] == b"POST /slow? abc"


# Section 2.3: version


@pytest.mark.parametrize("version", ["HTTP/0.9", "HTTP/2.0", "HTTP/1.2", "HTTP/9.9"])
def test_2_3_other_versions_are_505(server: Wire, version: str) -> None:
    refused(server, f"GET / {version}\r\nHost: a\r\n\r\n".encode(), 505)


@pytest.mark.parametrize(
    "line",
    ["GET /", "GET / HTTP/1", "GET / http/1.1", "GET  / HTTP/1.1", "GET / HTTP/1.1 ", "GET\t/ HTTP/1.1", " GET / HTTP/1.1"],
)
def test_3_malformed_request_lines_are_400(server: Wire, line: str) -> None:
    refused(server, f"{line}\r\nHost: a\r\n\r\n".encode(), 400)


def test_2_3_http_1_0_closes_unless_asked_to_keep(server: Wire) -> None:
    client = server.connect()
    status, fields, body = client.ask(b"GET / HTTP/1.0\r\n\r\n")
    assert (status, fields["connection"], body) == (200, "close", b"GET /?")
    assert client.closed()
    client = server.connect()
    for _ in range(2):
        assert client.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")[1]["connection"] == "keep-alive"


# Section 3.1: method


@pytest.mark.parametrize(("method", "status"), [("FOO", 501), ("get", 501), ("TRACE", 405), ("G@T", 400)])
def test_3_1_methods_that_are_not_served(server: Wire, method: str, status: int) -> None:
    refused(server, f"{method} / HTTP/1.1\r\nHost: a\r\n\r\n".encode(), status)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "QUERY"])
def test_3_1_methods_that_are(server: Wire, method: str) -> None:
    assert server.ask(f"{method} /m HTTP/1.1\r\nHost: a\r\n\r\n".encode())[2] == f"{method} /m?".encode()


# Section 3.2: request target


def test_3_2_1_origin_form_is_decoded_once(server: Wire) -> None:
    assert server.get("/a%20b/%252e?q=%20")[2] == b"GET /a b/%2e?q=%20"


def test_3_2_2_absolute_form_names_the_host(server: Wire) -> None:
    assert server.ask(b"GET http://example.org/p?q HTTP/1.1\r\nHost: other\r\n\r\n")[2] == b"GET /p?q"


def test_3_2_3_authority_form_is_for_connect(server: Wire) -> None:
    refused(server, b"GET example.org:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400)
    assert server.ask(b"CONNECT example.org:80 HTTP/1.1\r\nHost: example.org:80\r\n\r\n")[0] == 501
    refused(server, b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", 400)


def test_3_2_4_asterisk_form_is_for_options(server: Wire) -> None:
    status, fields, _ = server.ask(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
    assert status == 204 and "GET" in fields["allow"]
    refused(server, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400)


@pytest.mark.parametrize("target", ["/#x", "/a b", "/\x01", "/\x7f", "ftp://a/", "a"])
def test_3_2_malformed_targets_are_400(server: Wire, target: str) -> None:
    refused(server, f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), 400)


BAD_HOSTS = ["", "Host: a\r\nHost: a\r\n", *(f"Host: {host}\r\n" for host in ("", "a b", "a/b", "a:b", "u@h", "[::1"))]


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_3_2_host_is_wanted_once_and_well_formed(server: Wire, host: str) -> None:
    refused(server, f"GET / HTTP/1.1\r\n{host}\r\n".encode(), 400)


@pytest.mark.parametrize("host", ["a", "a:80", "[::1]:5000", "a_b.example", "EXAMPLE.org."])
def test_3_2_good_hosts_are_served(server: Wire, host: str) -> None:
    assert server.ask(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())[0] == 200


# Section 5: fields


@pytest.mark.parametrize(
    "line",
    [b"X : y", b" X: y", b"X: y\r\n z", b"X", b": y", b"X: \x00", b"X: a\x01b", b"X\x00: y", b"X: a\nY: b", b"(X): y"],
)
def test_5_malformed_fields_are_400(server: Wire, line: bytes) -> None:
    refused(server, b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n", 400)


def test_5_values_are_stripped_and_joined(threads: int) -> None:
    def app(environ: dict[str, str], start_response: object) -> list[bytes]:
        start_response("200 OK", [])  # type: ignore[operator]
        return [f"{environ['HTTP_X_A']}|{environ['HTTP_COOKIE']}|{'HTTP_X_B' in environ}".encode()]

    with wire(mounted("/", app), threads=threads) as server:
        request = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: \t 1 \r\nX-A: 2\r\nCookie: a=1\r\nCookie: b=2\r\nX_B: spoof\r\n\r\n"
        assert server.ask(request)[2] == b"1, 2|a=1; b=2|False"


def test_5_too_much_is_431(server: Wire) -> None:
    refused(server, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 8192 + b"\r\n\r\n", 431)
    refused(server, b"GET /" + b"y" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 431)
    refused(server, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 100 + b"\r\n", 431)
    refused(server, b"GET / HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"y" * 8000 + b"\r\n") * 5 + b"\r\n", 431)


def test_5_just_enough_is_served(server: Wire) -> None:
    assert server.ask(b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 8191 + b"\r\n\r\n")[0] == 200
    assert server.ask(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 99 + b"\r\n")[0] == 200


def test_5_an_endless_head_is_431_before_it_ends(server: Wire) -> None:
    refused(server, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 40000, 431)
    refused(server, b"G" * 9000, 431)


# Section 6: bodies


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Content-Length: 5 5\r\n",
        b"Content-Length: \xd9\xa5\r\n",
        b"Content-Length: 18446744073709551621\r\n",
        b"Content-Length:\r\n",
        b"Transfer-Encoding: gzip\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
    ],
)
def test_6_ambiguous_lengths_are_400(server: Wire, fields: bytes) -> None:
    refused(server, b"POST / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n0\r\n\r\n", 400)


def test_6_1_transfer_encoding_on_http_1_0_is_400(server: Wire) -> None:
    refused(server, b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400)


def test_6_3_a_declined_upgrade_keeps_its_body(server: Wire) -> None:
    client = server.connect()
    upgrade = b"POST /u HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 27\r\n\r\n"
    smuggled = b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n"[:27]
    assert client.ask(upgrade + smuggled)[2] == b"POST /u? " + smuggled
    assert client.ask(GET)[2] == b"GET /?"


def test_6_3_half_a_body_never_reaches_the_app(server: Wire) -> None:
    client = server.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
    client.sock.shutdown(1)
    assert client.read() == b""
    assert server.get()[0] == 200


# Section 7.1: chunked coding


def chunked(body: bytes) -> bytes:
    return b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body


@pytest.mark.parametrize(
    "body",
    [
        b"3\r\nabc\r\n0\r\n\r\n",
        b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        b"0003\r\nabc\r\n000\r\n\r\n",
        b"3;name=value\r\nabc\r\n0;last\r\n\r\n",
        b"3 ;a\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n",
    ],
)
def test_7_1_chunked_bodies_are_read(server: Wire, body: bytes) -> None:
    client = server.connect()
    assert client.ask(chunked(body) + GET)[2] == b"POST /c? abc"
    assert client.response()[2] == b"GET /?"


@pytest.mark.parametrize(
    "body",
    [
        b"3\nabc\r\n0\r\n\r\n",
        b"3\r\nabcd\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n",
        b"x\r\nabc\r\n0\r\n\r\n",
        b"+3\r\nabc\r\n0\r\n\r\n",
        b"0x3\r\nabc\r\n0\r\n\r\n",
        b"-3\r\nabc\r\n0\r\n\r\n",
        b"10000000000000003\r\nabc\r\n0\r\n\r\n",
        b"\r\nabc\r\n0\r\n\r\n",
        b"3;" + b"x" * 1100 + b"\r\nabc\r\n0\r\n\r\n",
        b"3;\x01\r\nabc\r\n0\r\n\r\n",
        b"0\r\nContent-Length: 3\r\n\r\n",
        b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"0\r\nHost: b\r\n\r\n",
        b"0\r\nbad\r\n\r\n",
    ],
)
def test_7_1_malformed_chunks_are_400(server: Wire, body: bytes) -> None:
    refused(server, chunked(body), 400)


def test_7_1_1_many_small_extensions_are_400(server: Wire) -> None:
    refused(server, chunked(b"1;xxxxxxxxxxxxxxxx\r\na\r\n" * 200), 400)


def test_7_1_1_an_extension_without_end_is_400(server: Wire) -> None:
    refused(server, chunked(b"1;" + b"x" * 4000), 400)


# Section 9: connections


def test_9_3_connections_persist(server: Wire) -> None:
    client = server.connect()
    for number in range(5):
        status, fields, body = client.ask(f"GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert (status, body) == (200, f"GET /{number}?".encode())
        assert "connection" not in fields


def test_9_3_2_pipelined_requests_are_answered_in_order(server: Wire) -> None:
    client = server.connect()
    requests = [
        f"POST /{n} HTTP/1.1\r\nHost: a\r\nContent-Length: {n % 7}\r\n\r\n".encode() + b"x" * (n % 7) for n in range(50)
    ]
    client.send(b"".join(requests))
    for number in range(50):
        assert client.response()[2].startswith(f"POST /{number}?".encode())


def test_9_6_close_is_honoured(server: Wire) -> None:
    client = server.connect()
    status, fields, _ = client.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n" + GET)
    assert (status, fields["connection"]) == (200, "close")
    assert client.read() == b""


def test_9_6_a_connection_serves_so_many_requests() -> None:
    with wire(mounted("/", echo), keep_alive_requests=2) as server:
        client = server.connect()
        assert "connection" not in client.ask(GET)[1]
        assert client.ask(GET)[1]["connection"] == "close"
        assert client.closed()


def test_9_5_a_client_that_half_closes_gets_its_answer(server: Wire) -> None:
    client = server.connect()
    client.send(GET)
    client.sock.shutdown(1)
    assert client.response()[0] == 200
    assert client.closed()


def test_9_3_2_a_client_that_half_closes_behind_pipelined_requests_gets_every_answer(server: Wire) -> None:
    client = server.connect()
    client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(5)))
    client.sock.shutdown(1)
    assert [client.response()[2] for _ in range(5)] == [b"GET /%d?" % number for number in range(5)]
    assert client.closed()


def test_6_3_half_a_body_behind_a_pipelined_request_never_reaches_the_app(server: Wire) -> None:
    client = server.connect()
    client.send(GET + b"POST /half HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf")
    client.sock.shutdown(1)
    assert client.response()[2] == b"GET /?"
    assert client.closed()


# RFC 9110, section 10.1.1: Expect


def test_expect_continue_is_answered_before_the_body(server: Wire) -> None:
    client = server.connect()
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert client.response()[0] == 100
    client.send(b"ok")
    assert client.response()[2] == b"POST /? ok"
    assert client.ask(GET)[0] == 200


def test_expect_continue_is_not_answered_when_the_body_has_come(server: Wire) -> None:
    assert (
        server.ask(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nok")[2] == b"POST /? ok"
    )


def test_expect_continue_is_refused_when_the_body_is_too_large(server: Wire) -> None:
    refused(server, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6000000\r\nExpect: 100-continue\r\n\r\n", 413)


def test_other_expectations_are_417(server: Wire) -> None:
    refused(server, b"GET / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417)
