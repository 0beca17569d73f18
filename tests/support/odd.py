"""Requests that are odd: what RFC 9112 forbids or warns of, and what has fooled pairs of servers before."""

from __future__ import annotations

EVIL = b"GET /evil HTTP/1.1\r\nHost: evil\r\n\r\n"
"""Hidden in other requests; nobody may take it for one."""

IN_CHUNKS = b"22\r\n" + EVIL + b"\r\n0\r\n\r\n"


def to(start: bytes) -> bytes:
    """The beginning of a request."""
    return start + b" HTTP/1.1\r\nHost: a\r\n"


GET, POST = to(b"GET /"), to(b"POST /")

HEADS = {
    # the request line
    "bare lf": b"GET / HTTP/1.1\nHost: a\n\n",
    "lf ends the head": GET + b"\n",
    "lf between fields": GET + b"X: a\nY: b\r\n\r\n",
    "bare cr": b"GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n",
    "cr cr lf": b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
    "empty lines first": b"\r\n\r\nGET /lines HTTP/1.1\r\nHost: a\r\n\r\n",
    "http/0.9": b"GET /\r\n",
    "http/1.0": b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "http/1.2": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "http/2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "two spaces": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "space in the target": b"GET /a HTTP/1.1\r\nX: /b HTTP/1.1\r\n\r\n",
    "tab": b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n",
    "version with a tail": b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
    "fragment": b"GET /#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "nul in the target": b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n",
    "octets in the target": b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
    "encoded line end": b"GET /%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n",
    "encoded request": b"GET /%20HTTP/1.1%0d%0aHost:%20a%0d%0a%0d%0aGET%20/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "dots": b"GET /a/../../b HTTP/1.1\r\nHost: a\r\n\r\n",
    "encoded dots": b"GET /a/%2e%2e/%2e%2e/b HTTP/1.1\r\nHost: a\r\n\r\n",
    "two slashes": b"GET //other/path HTTP/1.1\r\nHost: a\r\n\r\n",
    "backslash": b"GET /\\other HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute, another host": b"GET http://other.example/abs HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute, a user": b"GET http://u@a/abs HTTP/1.1\r\nHost: a\r\n\r\n",
    "absolute, an address": b"GET http://169.254.169.254/latest HTTP/1.1\r\nHost: a\r\n\r\n",
    "authority": b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "connect": b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "trace": b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "an unknown method": b"FOO / HTTP/1.1\r\nHost: a\r\n\r\n",
    # fields
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: evil\r\n\r\n",
    "a host with a path": b"GET / HTTP/1.1\r\nHost: a/evil\r\n\r\n",
    "a host with a comma": b"GET / HTTP/1.1\r\nHost: a, evil\r\n\r\n",
    "space before the colon": GET + b"X : y\r\n\r\n",
    "space before the name": GET + b" X: y\r\n\r\n",
    "folded": GET + b"X: y\r\n z\r\n\r\n",
    "folded length": POST + b"Content-Length:\r\n 5\r\n\r\nhello",
    "folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "no colon": GET + b"X\r\n\r\n",
    "no name": GET + b": x\r\n\r\n",
    "nul in a value": GET + b"X: \x00\r\n\r\n",
    "nul in a name": GET + b"X\x00: y\r\n\r\n",
    "vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "underscores": to(b"POST /u") + b"Content_Length: 50\r\nTransfer_Encoding: chunked\r\nX_Forwarded_For: 1\r\n\r\n",
    "octets in a value": to(b"GET /octets") + b"X: \xe4\xff\x80\r\n\r\n",
    "an empty value": to(b"GET /empty") + b"X:\r\n\r\n",
    "many values": to(b"GET /many") + b"X: y\r\n" * 90 + b"\r\n",
    "too much": GET + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
    # lengths
    "cl.te": POST + b"Content-Length: 40\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + EVIL,
    "te.cl": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n22\r\n" + EVIL + b"\r\n0\r\n\r\n",
    "cl.cl": POST + b"Content-Length: 0\r\nContent-Length: 34\r\n\r\n" + EVIL,
    "cl cl alike": POST + b"Content-Length: 34\r\nContent-Length: 34\r\n\r\n" + EVIL,
    "cl in a list": POST + b"Content-Length: 34, 34\r\n\r\n" + EVIL,
    "cl with a sign": POST + b"Content-Length: +34\r\n\r\n" + EVIL,
    "cl below 0": POST + b"Content-Length: -1\r\n\r\n" + EVIL,
    "cl in hex": POST + b"Content-Length: 0x22\r\n\r\n" + EVIL,
    "cl with zeros": to(b"POST /zeros") + b"Content-Length: 00034\r\n\r\n" + EVIL,
    "cl in other digits": POST + b"Content-Length: \xd9\xa5\r\n\r\n" + EVIL,
    "cl too large": POST + b"Content-Length: 18446744073709551650\r\n\r\n" + EVIL,
    "cl empty": POST + b"Content-Length:\r\n\r\n" + EVIL,
    "cl of get": to(b"GET /get") + b"Content-Length: 34\r\n\r\n" + EVIL,
    "cl of head": to(b"HEAD /head") + b"Content-Length: 34\r\n\r\n" + EVIL,
    "chunked get": to(b"GET /get") + b"Transfer-Encoding: chunked\r\n\r\n" + IN_CHUNKS,
    "te of http/1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + EVIL,
    "te unknown": POST + b"Transfer-Encoding: xchunked\r\nContent-Length: 34\r\n\r\n" + EVIL,
    "te identity": POST + b"Transfer-Encoding: identity\r\nContent-Length: 34\r\n\r\n" + EVIL,
    "te twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + EVIL,
    "te in a list": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + EVIL,
    "te gzip": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + EVIL,
    "te quoted": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n' + EVIL,
    "te in capitals": to(b"POST /capitals") + b"Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
    "te with a space": POST + b"Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + EVIL,
    # fields that concern neighbours
    "connection names length": to(b"POST /named") + b"Connection: content-length\r\nContent-Length: 34\r\n\r\n" + EVIL,
    "connection names coding": to(b"POST /named")
    + b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n22\r\n"
    + EVIL
    + b"\r\n0\r\n\r\n",
    "connection names host": to(b"GET /named") + b"Connection: host, cookie, x-forwarded-for\r\nCookie: a\r\n\r\n",
    "te trailers": to(b"GET /te") + b"TE: trailers, chunked\r\nConnection: TE\r\n\r\n",
    "proxy fields": to(b"GET /p")
    + b"Proxy-Connection: keep-alive\r\nProxy: http://x\r\nProxy-Authorization: y\r\nKeep-Alive: 5\r\n\r\n",
    "h2c": to(b"POST /h2c")
    + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"
    + b"Content-Length: 34\r\n\r\n"
    + EVIL,
    "upgrade to anything": to(b"POST /up")
    + b"Connection: Upgrade\r\nUpgrade: anything\r\nContent-Length: 34\r\n\r\n"
    + EVIL,
    "upgrade unnamed": to(b"GET /up") + b"Upgrade: websocket\r\nSec-WebSocket-Version: 777\r\n\r\n",
    "expect with its body": to(b"POST /expect") + b"Expect: 100-continue\r\nContent-Length: 34\r\n\r\n" + EVIL,
    "expect without a body": to(b"GET /expect") + b"Expect: 100-continue\r\n\r\n",
    "expect something": POST + b"Expect: 100-continuex\r\nContent-Length: 34\r\n\r\n" + EVIL,
}

CHUNKS = {
    "good": b"3\r\nabc\r\n0\r\n\r\n",
    "leading zeros": b"0003\r\nabc\r\n000\r\n\r\n",
    "extensions": b'3;name="a\\"b"\r\nabc\r\n0;last=1\r\n\r\n',
    "spaces": b"3 ;a\r\nabc\r\n0\r\n\r\n",
    "trailers": b"3\r\nabc\r\n0\r\nX-Trailer: 1\r\n\r\n",
    "a request within": IN_CHUNKS,
    "lf behind the size": b"3\nabc\r\n0\r\n\r\n",
    "lf in an extension": b"3;\nabc\r\n0\r\n\r\n",
    "lf behind the chunk": b"3\r\nabc\n0\r\n\r\n",
    "no end": b"3\r\nabcXX0\r\n\r\n",
    "longer": b"3\r\nabcd\r\n0\r\n\r\n",
    "shorter": b"4\r\nabc\r\n0\r\n\r\n",
    "a sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "a prefix": b"0x3\r\nabc\r\n0\r\n\r\n",
    "below 0": b"-1\r\nabc\r\n0\r\n\r\n",
    "too large": b"10000000000000003\r\nabc\r\n0\r\n\r\n",
    "an underscore": b"1_0\r\nabc\r\n0\r\n\r\n",
    "a space first": b" 3\r\nabc\r\n0\r\n\r\n",
    "no size": b"\r\nabc\r\n0\r\n\r\n",
    "control characters": b"3;\x01\r\nabc\r\n0\r\n\r\n",
    "a length in trailers": b"3\r\nabc\r\n0\r\nContent-Length: 34\r\n\r\n" + EVIL,
    "a host in trailers": b"3\r\nabc\r\n0\r\nHost: evil\r\n\r\n",
    "a folded trailer": b"3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n",
    "trailers with lf": b"3\r\nabc\r\n0\r\nX: y\nContent-Length: 5\r\n\r\n",
    "half of it": b"3\r\nabc\r\n22\r\n" + EVIL[:20],
    "end without line": b"3\r\nabc\r\n0\r\n" + EVIL,
}

SERVED = {
    "empty lines first",
    "http/1.0",
    "encoded line end",
    "encoded request",
    "two slashes",
    "backslash",
    "absolute, another host",
    "absolute, an address",
    "asterisk",
    "underscores",
    "octets in a value",
    "an empty value",
    "many values",
    "cl with zeros",
    "cl of get",
    "cl of head",
    "chunked get",
    "te in capitals",
    "connection names length",
    "connection names coding",
    "connection names host",
    "te trailers",
    "proxy fields",
    "h2c",
    "upgrade to anything",
    "upgrade unnamed",
    "expect with its body",
    "expect without a body",
    "good",
    "leading zeros",
    "extensions",
    "spaces",
    "trailers",
    "a request within",
}
"""Those that are odd and right; all others are refused."""
