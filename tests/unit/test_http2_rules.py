"""What has to be an error by RFC 9113, and what must be none, in the order of the document; then RFC 7541, 8441 and 9218.

Each rule is some frames of a client, and what the server's core makes of them. An error of a stream may be answered as one
of the connection (section 5.4.1); the core does so where the client cannot be right, whatever is on its way from us.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hpack import Encoder

from skitai.protocols.http2.core import Core, ErrorCodes
from skitai.protocols.http2.events import Ended, Event, Received, Requested, Reset, Trailers

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ALTSVC, ORIGIN, PRIORITY_UPDATE = 10, 12, 16
ACK = END_STREAM = 1
END_HEADERS, PADDED, PRIORITIZED = 4, 8, 32
WHOLE = END_HEADERS | END_STREAM
PAIRS = [(":method", "GET"), (":scheme", "http"), (":authority", "example"), (":path", "/")]

PROTOCOL, FLOW, CLOSED, SIZE, REFUSED, COMPRESSION, CALM = (
    ErrorCodes.PROTOCOL_ERROR,
    ErrorCodes.FLOW_CONTROL_ERROR,
    ErrorCodes.STREAM_CLOSED,
    ErrorCodes.FRAME_SIZE_ERROR,
    ErrorCodes.REFUSED_STREAM,
    ErrorCodes.COMPRESSION_ERROR,
    ErrorCodes.ENHANCE_YOUR_CALM,
)


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBL", kind, flags, stream) + payload


def block(*pairs: tuple[str, str]) -> bytes:
    """A field block that leaves the table as it is."""
    return bytes(Encoder().encode([(*pair, True) for pair in pairs]))  # type: ignore[list-item]


def head(stream: int = 1, *more: tuple[str, str], flags: int = WHOLE, **pseudo: str | None) -> bytes:
    """A request's HEADERS; `pseudo` replaces a pseudo-field, None leaves it out."""
    given = {name: pseudo.get(name[1:], value) for name, value in PAIRS}
    pairs = [(name, value) for name, value in given.items() if value is not None]
    return frame(HEADERS, flags, stream, block(*pairs, *more))


def pairs_of(*pairs: tuple[str, str]) -> bytes:
    return frame(HEADERS, WHOLE, 1, block(*pairs))


def body(stream: int = 1, data: bytes = b"x", flags: int = 0) -> bytes:
    return frame(DATA, flags, stream, data)


def number(kind: int, stream: int, value: int) -> bytes:
    return frame(kind, 0, stream, struct.pack(">L", value))


def settings(*values: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", *value) for value in values))


class Said(NamedTuple):
    """What the core answered.

    :ivar end: the code of its GOAWAY, None without one for an error.
    :ivar resets: codes by stream.
    """

    end: int | None
    resets: dict[int, int]
    frames: list[tuple[int, int, int, bytes]]
    events: Sequence[Event]


def cut(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Frames: type, flags, stream, payload."""
    found = []
    while data:
        size = int.from_bytes(data[:3])
        found.append((data[3], data[4], int.from_bytes(data[5:9]), data[9 : 9 + size]))
        data = data[9 + size :]
    return found


def begun(*frames: bytes) -> Core:
    """A core that knows its client's settings, and these frames, which are right."""
    core = Core()
    core.begin()
    core.receive(PREFACE + settings() + b"".join(frames), 0.0)
    assert not core.broken, core.broken
    core.take()
    return core


def say(core: Core, data: bytes) -> Said:
    events = core.receive(data, 1.0)
    frames = cut(core.take())
    ends = [int.from_bytes(payload[4:8]) for kind, _, _, payload in frames if kind == GOAWAY]
    resets = {stream: int.from_bytes(payload) for kind, _, stream, payload in frames if kind == RST_STREAM}
    errors = [code for code in ends if code]
    assert bool(errors) == bool(core.broken)
    return Said(errors[0] if errors else None, resets, frames, events)


OPEN = head(1, flags=END_HEADERS)
LARGE = b"x" * 16384

ERRORS = {
    # 4.1, 4.2: frames
    "4.2 a DATA frame that is too long": (OPEN + body(1, LARGE + b"x"), SIZE),
    "4.2 a HEADERS frame that is too long": (frame(HEADERS, WHOLE, 1, LARGE + b"x"), SIZE),
    "4.2 an unknown frame that is too long": (frame(0xEE, 0, 0, LARGE + b"x"), SIZE),
    "4.2 SETTINGS that are too long": (frame(SETTINGS, 0, 0, bytes(16386)), SIZE),
    "4.2 a padded frame without room for the length of its padding": (OPEN + frame(DATA, PADDED, 1), SIZE),
    # 4.3: field sections
    "4.3 a block that cannot be decoded": (frame(HEADERS, WHOLE, 1, b"\xff\xff\xff\xff\xff\xff"), COMPRESSION),
    "4.3 a block that ends within a field": (frame(HEADERS, WHOLE, 1, block(*PAIRS, ("x", "y"))[:-1]), COMPRESSION),
    "4.3 PRIORITY within a block": (frame(HEADERS, 1, 1, b"\x82") + frame(PRIORITY, 0, 1, b"\0\0\0\0\1"), PROTOCOL),
    "4.3 HEADERS of another stream within a block": (frame(HEADERS, 1, 1, b"\x82") + head(3), PROTOCOL),
    "4.3 an unknown frame within a block": (frame(HEADERS, 1, 1, b"\x82") + frame(0xEE), PROTOCOL),
    # 5.1: states of streams
    "5.1 idle: DATA": (body(1), PROTOCOL),
    "5.1 idle: RST_STREAM": (number(RST_STREAM, 1, 8), PROTOCOL),
    "5.1 idle: WINDOW_UPDATE": (number(WINDOW_UPDATE, 1, 1), PROTOCOL),
    "5.1 idle: CONTINUATION": (frame(CONTINUATION, END_HEADERS, 1, b"\x82"), PROTOCOL),
    "5.1 idle: WINDOW_UPDATE of a stream that only we may open": (number(WINDOW_UPDATE, 2, 1), PROTOCOL),
    "5.1 half-closed: CONTINUATION": (head(1) + frame(CONTINUATION, END_HEADERS, 1, b"\x82"), PROTOCOL),
    "5.1.1 a stream of an even number": (head(2), PROTOCOL),
    "5.1.1 a number that is lower than the last": (head(5) + head(3), PROTOCOL),
    "5.1.1 HEADERS on stream 0": (head(0), PROTOCOL),
    # 6.1: DATA
    "6.1 DATA on stream 0": (body(0), PROTOCOL),
    "6.1 as much padding as frame": (OPEN + frame(DATA, PADDED, 1, b"\x05xxxx"), PROTOCOL),
    "6.1 more padding than frame": (OPEN + frame(DATA, PADDED, 1, b"\xffxxxx"), PROTOCOL),
    # 6.2: HEADERS
    "6.2 more padding than frame": (frame(HEADERS, WHOLE | PADDED, 1, b"\x10" + block(*PAIRS)[:12]), PROTOCOL),
    "6.2 no room for the length of the padding": (frame(HEADERS, WHOLE | PADDED, 1), SIZE),
    "6.2 no room for the priority": (frame(HEADERS, WHOLE | PRIORITIZED, 1, b"\0\0\0\0"), SIZE),
    "6.2 padding that reaches into the priority": (
        frame(HEADERS, WHOLE | PADDED | PRIORITIZED, 1, b"\x02\0\0\0\0\x10\x82\x84"[:7]),
        PROTOCOL,
    ),
    "6.2 a stream that depends on itself": (frame(HEADERS, WHOLE | PRIORITIZED, 1, b"\0\0\0\1\0" + block(*PAIRS)), PROTOCOL),
    # 6.3: PRIORITY
    "6.3 PRIORITY on stream 0": (frame(PRIORITY, 0, 0, b"\0\0\0\1\0"), PROTOCOL),
    "6.3 PRIORITY of four bytes": (frame(PRIORITY, 0, 1, b"\0\0\0\1"), SIZE),
    "6.3 PRIORITY of six bytes": (frame(PRIORITY, 0, 1, b"\0\0\0\3\0\0"), SIZE),
    "6.3 PRIORITY of a stream that depends on itself": (frame(PRIORITY, 0, 1, b"\0\0\0\1\0"), PROTOCOL),
    # 6.4: RST_STREAM
    "6.4 RST_STREAM on stream 0": (number(RST_STREAM, 0, 8), PROTOCOL),
    "6.4 RST_STREAM of three bytes": (head(1) + frame(RST_STREAM, 0, 1, b"\0\0\0"), SIZE),
    "6.4 RST_STREAM of five bytes": (head(1) + frame(RST_STREAM, 0, 1, bytes(5)), SIZE),
    # 6.5: SETTINGS
    "6.5 an acknowledgement with a payload": (frame(SETTINGS, ACK, 0, b"\0\4\0\0\0\1"), SIZE),
    "6.5 SETTINGS on a stream": (head(1) + frame(SETTINGS, 0, 1), PROTOCOL),
    "6.5 SETTINGS of three bytes": (frame(SETTINGS, 0, 0, b"\0\4\0"), SIZE),
    "6.5.2 ENABLE_PUSH of 2": (settings((2, 2)), PROTOCOL),
    "6.5.2 INITIAL_WINDOW_SIZE that is too wide": (settings((4, 1 << 31)), FLOW),
    "6.5.2 MAX_FRAME_SIZE below 16384": (settings((5, 16383)), PROTOCOL),
    "6.5.2 MAX_FRAME_SIZE above 16777215": (settings((5, 1 << 24)), PROTOCOL),
    # 6.6: PUSH_PROMISE
    "6.6 PUSH_PROMISE of a client": (OPEN + frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + block(*PAIRS)), PROTOCOL),
    # 6.7: PING
    "6.7 PING on a stream": (head(1) + frame(PING, 0, 1, b"12345678"), PROTOCOL),
    "6.7 PING of six bytes": (frame(PING, 0, 0, b"123456"), SIZE),
    "6.7 PING of nine bytes": (frame(PING, 0, 0, b"123456789"), SIZE),
    # 6.8: GOAWAY
    "6.8 GOAWAY on a stream": (head(1) + frame(GOAWAY, 0, 1, bytes(8)), PROTOCOL),
    "6.8 GOAWAY of seven bytes": (frame(GOAWAY, 0, 0, bytes(7)), SIZE),
    # 6.9: WINDOW_UPDATE
    "6.9 a window of the connection widened by nothing": (number(WINDOW_UPDATE, 0, 0), PROTOCOL),
    "6.9 a window of a stream widened by nothing": (OPEN + number(WINDOW_UPDATE, 1, 0), PROTOCOL),
    "6.9 WINDOW_UPDATE of three bytes": (frame(WINDOW_UPDATE, 0, 0, b"\0\0\1"), SIZE),
    "6.9 WINDOW_UPDATE of five bytes": (frame(WINDOW_UPDATE, 0, 0, bytes(5)), SIZE),
    "6.9.1 a window of the connection that is too wide": (number(WINDOW_UPDATE, 0, (1 << 31) - 1) * 2, FLOW),
    "6.9.1 more than the window of a stream holds": (OPEN + body(1, LARGE) * 4 + body(1), FLOW),
    "6.9.2 settings that make a window too wide": (
        OPEN + number(WINDOW_UPDATE, 1, (1 << 31) - 1 - 65535) + settings((4, 65536)),
        FLOW,
    ),
    # 6.10: CONTINUATION
    "6.10 DATA behind a block that goes on": (frame(HEADERS, 0, 1, b"\x82") + body(1), PROTOCOL),
    "6.10 CONTINUATION on stream 0": (frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 4, 0, b"\x84"), PROTOCOL),
    "6.10 CONTINUATION of another stream": (frame(HEADERS, 0, 1, b"\x82") + frame(CONTINUATION, 4, 3, b"\x84"), PROTOCOL),
    "6.10 CONTINUATION behind the end of a block": (OPEN + frame(CONTINUATION, 4, 1, b"\x82"), PROTOCOL),
    "6.10 CONTINUATION behind the last": (
        frame(HEADERS, 0, 1, block(*PAIRS)) + frame(CONTINUATION, 4, 1) + frame(CONTINUATION, 4, 1),
        PROTOCOL,
    ),
    "6.10 CONTINUATION behind DATA": (OPEN + body(1) + frame(CONTINUATION, 4, 1, b"\x82"), PROTOCOL),
    # 8.1: messages
    "8.1 trailers that do not end their stream": (OPEN + frame(HEADERS, END_HEADERS, 1, block(("x", "y"))), PROTOCOL),
    "8.1 pseudo-fields in trailers": (OPEN + frame(HEADERS, WHOLE, 1, block((":method", "GET"))), PROTOCOL),
    # 8.2: fields
    "8.2.1 a name in upper case": (head(1, ("X-Test", "a")), PROTOCOL),
    "8.2.1 a name with a blank": (head(1, ("x test", "a")), PROTOCOL),
    "8.2.1 a name with a colon": (head(1, ("x:test", "a")), PROTOCOL),
    "8.2.1 a name beyond ASCII": (head(1, ("x-gr\xfc\xdfe", "a")), PROTOCOL),
    "8.2.1 an empty name": (head(1, ("", "a")), PROTOCOL),
    "8.2.1 a value with a NUL": (head(1, ("x", "a\0b")), PROTOCOL),
    "8.2.1 a value with a line feed": (head(1, ("x", "a\nb")), PROTOCOL),
    "8.2.1 a value with a carriage return": (head(1, ("x", "a\rb")), PROTOCOL),
    "8.2.1 a value that begins with a blank": (head(1, ("x", " a")), PROTOCOL),
    "8.2.1 a value that ends with a tab": (head(1, ("x", "a\t")), PROTOCOL),
    "8.2.2 connection": (head(1, ("connection", "keep-alive")), PROTOCOL),
    "8.2.2 keep-alive": (head(1, ("keep-alive", "timeout=5")), PROTOCOL),
    "8.2.2 proxy-connection": (head(1, ("proxy-connection", "close")), PROTOCOL),
    "8.2.2 transfer-encoding": (head(1, ("transfer-encoding", "chunked")), PROTOCOL),
    "8.2.2 upgrade": (head(1, ("upgrade", "h2c")), PROTOCOL),
    "8.2.2 te that is not trailers": (head(1, ("te", "trailers, deflate;q=0.5")), PROTOCOL),
    # 8.3: pseudo-fields
    "8.3 one that nobody knows": (head(1, (":test", "ok")), PROTOCOL),
    "8.3 one of responses": (head(1, (":status", "200")), PROTOCOL),
    "8.3 one behind a field": (pairs_of(("x", "y"), *PAIRS), PROTOCOL),
    "8.3 one behind fields, the rest before": (pairs_of(*PAIRS[:3], ("x", "y"), PAIRS[3]), PROTOCOL),
    "8.3.1 no :method": (head(method=None), PROTOCOL),
    "8.3.1 no :scheme": (head(scheme=None), PROTOCOL),
    "8.3.1 no :path": (head(path=None), PROTOCOL),
    "8.3.1 an empty :path": (head(path=""), PROTOCOL),
    "8.3.1 a :scheme that is none": (head(scheme="1http"), PROTOCOL),
    "8.3.1 no :authority and no Host": (head(authority=None), PROTOCOL),
    "8.3.1 another Host": (head(1, ("host", "other")), PROTOCOL),
    "8.3.1 two Hosts": (head(1, ("host", "example"), ("host", "example")), PROTOCOL),
    **{f"8.3.1 {name} twice": (pairs_of(*PAIRS, (name, value)), PROTOCOL) for name, value in PAIRS},
    # 8.5: CONNECT
    "8.5 CONNECT with :scheme": (head(method="CONNECT", path=None), PROTOCOL),
    "8.5 CONNECT with :path": (head(method="CONNECT", scheme=None), PROTOCOL),
    "8.5 CONNECT without :authority": (head(method="CONNECT", scheme=None, path=None, authority=None), PROTOCOL),
    # RFC 7541: HPACK
    "HPACK 2.3.3 an index behind the table": (frame(HEADERS, WHOLE, 1, b"\xc6"), COMPRESSION),
    "HPACK 2.3.3 a name of an index behind the table": (frame(HEADERS, WHOLE, 1, b"\x7f\x10\x01a"), COMPRESSION),
    "HPACK 4.2 a table resized behind a field": (frame(HEADERS, WHOLE, 1, block(*PAIRS) + b"\x20"), COMPRESSION),
    "HPACK 5.1 an integer without end": (frame(HEADERS, WHOLE, 1, b"\x7f" + b"\xff" * 12), COMPRESSION),
    "HPACK 5.2 more than seven bits of padding": (
        frame(HEADERS, WHOLE, 1, b"\x00\x82\xff\xff\x00"),
        COMPRESSION,
    ),
    "HPACK 5.2 padding of zeros": (frame(HEADERS, WHOLE, 1, b"\x00\x81\x18\x00"), COMPRESSION),
    "HPACK 5.2 the end of a string in it": (frame(HEADERS, WHOLE, 1, b"\x00\x84\xff\xff\xff\xff\x00"), COMPRESSION),
    "HPACK 5.2 a string that is longer than its block": (frame(HEADERS, WHOLE, 1, b"\x00\x05ab"), COMPRESSION),
    "HPACK 6.1 index 0": (frame(HEADERS, WHOLE, 1, b"\x80"), COMPRESSION),
    "HPACK 6.3 a table larger than we allow": (frame(HEADERS, WHOLE, 1, b"\x3f\xe2\x1f" + block(*PAIRS)), COMPRESSION),
    # RFC 8441: extended CONNECT
    "RFC 8441 3 ENABLE_CONNECT_PROTOCOL of 2": (settings((8, 2)), PROTOCOL),
    "RFC 8441 4 :protocol without CONNECT": (head(1, (":protocol", "websocket")), PROTOCOL),
    "RFC 8441 4 :protocol without :scheme": (
        pairs_of((":method", "CONNECT"), (":protocol", "websocket"), (":authority", "a"), (":path", "/")),
        PROTOCOL,
    ),
    "RFC 8441 4 :protocol without :path": (
        pairs_of((":method", "CONNECT"), (":protocol", "websocket"), (":authority", "a"), (":scheme", "http")),
        PROTOCOL,
    ),
    # RFC 9218: priorities
    "RFC 9218 2.1 NO_RFC7540_PRIORITIES of 2": (settings((9, 2)), PROTOCOL),
}


@pytest.mark.parametrize(("data", "code"), ERRORS.values(), ids=ERRORS)
def test_errors_of_the_connection(data: bytes, code: int) -> None:
    core = begun()
    said = say(core, data)
    assert said.end == code
    assert not core.receive(head(99), 2.0), "nothing is received any more"


def test_section_5_4_1_the_last_stream_and_why() -> None:
    core = begun(head(1), head(3, flags=END_HEADERS))
    (kind, _, stream, payload) = say(core, frame(PING, 0, 0, b"short")).frames[-1]
    assert (kind, stream) == (GOAWAY, 0)
    assert int.from_bytes(payload[:4]) == 3, "what we may have worked on"
    assert payload[8:] == b"PING of 5 bytes"


STREAMS = {
    "5.1 half-closed: DATA": (head(1), body(1), CLOSED),
    "5.1 half-closed: HEADERS": (head(1), frame(HEADERS, WHOLE, 1, block(("x", "y"))), CLOSED),
    "5.1 half-closed: an empty frame that ends it again": (head(1), body(1, b"", END_STREAM), CLOSED),
    "5.1 half-closed behind a body: DATA": (OPEN + body(1, b"x", END_STREAM), body(1), CLOSED),
    "6.9.1 a window of a stream that is too wide": (OPEN, number(WINDOW_UPDATE, 1, (1 << 31) - 1), FLOW),
}


@pytest.mark.parametrize(("before", "data", "code"), STREAMS.values(), ids=STREAMS)
def test_errors_of_a_stream(before: bytes, data: bytes, code: int) -> None:
    core = begun(before, head(3))
    said = say(core, data)
    assert (said.end, said.resets) == (None, {1: code})
    assert said.events == [Reset(1, code)]
    assert 3 in core.streams


def test_section_5_1_closed() -> None:
    core = begun(head(1), number(RST_STREAM, 1, 8))
    assert (
        say(core, frame(PRIORITY, 0, 1, b"\0\0\0\3\0") + number(WINDOW_UPDATE, 1, 1) + number(RST_STREAM, 1, 8)).end is None
    )
    assert say(core, body(1)).resets == {1: CLOSED}
    assert say(core, frame(HEADERS, WHOLE, 1, block(("x", "y")))).end == CLOSED


def test_section_5_1_closed_by_both_ends() -> None:
    core = begun(head(1))
    core.answer(core.streams[1], [(b":status", b"204")], (), b"")
    core.take()
    assert not core.streams
    assert say(core, number(WINDOW_UPDATE, 1, 1)).end is None
    assert say(core, body(1)).resets == {1: CLOSED}
    assert say(core, head(1)).end == CLOSED


def test_section_5_1_what_is_on_its_way_to_a_stream_that_we_have_reset_is_dropped() -> None:
    core = begun(OPEN)
    core.reset(core.streams[1], CALM)
    core.take()
    said = say(core, body(1) + frame(HEADERS, WHOLE, 1, block(("x", "y"))))
    assert (said.end, said.resets, said.events) == (None, {}, [])
    assert say(core, body(1)).resets == {1: CLOSED}, "it had ended"


def test_section_5_1_2_one_stream_too_many() -> None:
    core = begun(*(head(stream) for stream in range(1, 200, 2)))
    said = say(core, head(201) + head(203, flags=END_HEADERS) + body(203))
    assert (said.end, said.resets, said.events) == (None, {201: REFUSED, 203: REFUSED}, [])


FINE = {
    "4.1 flags that have no meaning": frame(PING, 0xFE, 0, b"12345678") + head(1, flags=WHOLE | 0x52),
    "4.1 the reserved bit": head((1 << 31) + 1) + frame(PING, 0, 1 << 31, b"12345678"),
    "4.1 unknown frames, on any stream": frame(0xEE, 0xFF, 0, b"abc") + frame(0xEF, 0, 77, b"abc") + head(1),
    "4.2 a frame of the largest size": head(1, flags=END_HEADERS) + body(1, LARGE, END_STREAM),
    "5.1 PRIORITY on idle streams": frame(PRIORITY, 0, 9, b"\0\0\0\7\0") + frame(PRIORITY, 0, 2, b"\0\0\0\1\0") + head(1),
    "5.1.1 streams that are left out": head(1),
    "5.3 exclusive dependencies and every weight": frame(PRIORITY, 0, 1, b"\x80\0\0\0\xff")
    + frame(HEADERS, WHOLE | PRIORITIZED, 1, b"\x80\0\0\3\0" + block(*PAIRS)),
    "6.1 padding": head(1, flags=END_HEADERS) + frame(DATA, PADDED | END_STREAM, 1, b"\x04xpppp"),
    "6.1 nothing but padding": head(1, flags=END_HEADERS) + frame(DATA, PADDED | END_STREAM, 1, b"\x04pppp"),
    "6.2 padding and priority": frame(
        HEADERS, WHOLE | PADDED | PRIORITIZED, 1, b"\x02\0\0\0\0\x10" + block(*PAIRS) + b"\0\0"
    ),
    "6.5.2 settings that nobody knows": settings((0x99, 1), (0, 0), (0xFFFF, 0xFFFFFFFF)) + head(1),
    "6.5.2 the bounds of each": settings((1, 0), (2, 0), (3, 0), (4, (1 << 31) - 1), (5, (1 << 24) - 1), (6, 0)) + head(1),
    "6.5.3 an acknowledgement": frame(SETTINGS, ACK) + head(1),
    "6.5.3 an acknowledgement of nothing": frame(SETTINGS, ACK) * 2 + head(1),
    "6.7 an answer to no ping": frame(PING, ACK, 0, b"12345678") + head(1),
    "6.9 the reserved bit of the increment": number(WINDOW_UPDATE, 0, (1 << 31) + 1) + head(1),
    "6.10 a block in frames, an empty one among them": frame(HEADERS, END_STREAM, 1, block(*PAIRS[:2]))
    + frame(CONTINUATION, 0, 1)
    + frame(CONTINUATION, END_HEADERS, 1, block(*PAIRS[2:])),
    "7 codes that nobody knows": head(1) + OPEN.replace(b"\0\0\0\1", b"\0\0\0\3", 1) + number(RST_STREAM, 3, 0xFACE),
    "8.2.1 an empty value, and one beyond ASCII": head(1, ("x", ""), ("y", "gr\xfc\xdfe")),
    "8.2.2 te: trailers": head(1, ("te", "trailers")),
    "8.3.1 Host instead of :authority": head(1, ("host", "example"), authority=None),
    "8.3.1 Host beside the same :authority": head(1, ("host", "example")),
    "8.3.1 another scheme": head(1, scheme="coap+tcp"),
    "8.3.1 the asterisk": head(1, method="OPTIONS", path="*"),
    "8.5 CONNECT": head(1, method="CONNECT", scheme=None, path=None, authority="example:443"),
    "HPACK 4.2 a table resized twice before the first field": frame(HEADERS, WHOLE, 1, b"\x20\x3f\xe1\x1f" + block(*PAIRS)),
    "RFC 8441 4 extended CONNECT": head(1, (":protocol", "websocket"), method="CONNECT"),
    "RFC 9218 2.1 NO_RFC7540_PRIORITIES": settings((9, 1)) + head(1),
    "RFC 9218 4 the field priority": head(1, ("priority", "u=1, i, nonsense=(")),
    "RFC 9218 7.1 PRIORITY_UPDATE": frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=7") + head(1),
    "RFC 7838 ALTSVC, RFC 8336 ORIGIN, which only servers say": frame(ALTSVC, 0, 0, b"\0\0x") + frame(ORIGIN) + head(1),
}


@pytest.mark.parametrize("data", FINE.values(), ids=FINE)
def test_what_is_no_error(data: bytes) -> None:
    said = say(begun(), data)
    assert (said.end, said.resets) == (None, {})
    requests = [event for event in said.events if type(event) is Requested and event.stream == 1]
    assert len(requests) == 1
    pings = [flags for kind, flags, _, _ in said.frames if kind == PING]
    assert all(flags == ACK for flags in pings)


def test_section_3_4_the_preface_and_settings_come_first() -> None:
    for first in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r", b"\0" * 24):
        core = Core()
        core.begin()
        assert cut(core.take())[0][0] == SETTINGS
        assert say(core, first).end == PROTOCOL
    for first in (frame(PING, 0, 0, b"12345678"), head(1), frame(SETTINGS, ACK), frame(0xEE), number(WINDOW_UPDATE, 0, 1)):
        core = Core()
        core.begin()
        core.take()
        assert say(core, PREFACE + first).end == PROTOCOL


def test_section_6_5_3_settings_are_acknowledged_in_their_order() -> None:
    core = begun()
    said = say(core, settings((4, 1)) + frame(PING, 0, 0, b"between!") + settings((4, 2), (4, 3)) + head(1))
    assert [(kind, flags) for kind, flags, _, _ in said.frames] == [(SETTINGS, ACK), (PING, ACK), (SETTINGS, ACK)]
    assert core.streams[1].window == 3, "the last of two values holds"


def test_section_6_7_pings_are_answered_with_what_they_said() -> None:
    said = say(begun(), frame(PING, 0, 0, b"\0\1\2\3\4\5\6\7"))
    assert said.frames == [(PING, ACK, 0, b"\0\1\2\3\4\5\6\7")]


def sizes(said_by: Core) -> list[int]:
    """Of the DATA frames that may go now."""
    said_by.pump(1 << 30)
    return [len(payload) for kind, _, _, payload in cut(said_by.take()) if kind == DATA]


def test_section_6_9_1_a_window_of_one_byte() -> None:
    core = begun(settings((4, 1)), head(1))
    core.answer(core.streams[1], [(b":status", b"200")], (), b"abc")
    assert sizes(core) == [1]
    for _ in range(2):
        say(core, number(WINDOW_UPDATE, 1, 1))
        assert sizes(core) == [1]
    assert not core.streams


def test_section_6_9_2_a_window_below_zero() -> None:
    core = begun(settings((4, 10)), head(1))
    core.answer(core.streams[1], [(b":status", b"200")], (), b"x" * 30)
    assert sizes(core) == [10]
    say(core, settings((4, 4)))
    assert core.streams[1].window == -6
    say(core, number(WINDOW_UPDATE, 1, 6))
    assert sizes(core) == []
    say(core, number(WINDOW_UPDATE, 1, 1))
    assert sizes(core) == [1]
    say(core, settings((4, 100)))
    assert sizes(core) == [19]


def test_section_6_9_2_settings_leave_the_window_of_the_connection() -> None:
    core = begun(settings((4, 1 << 20)), head(1))
    core.answer(core.streams[1], [(b":status", b"200")], (), bytes(100_000))
    assert sum(sizes(core)) == 65535
    say(core, number(WINDOW_UPDATE, 0, 100_000))
    assert sum(sizes(core)) == 100_000 - 65535


def test_section_6_5_2_frames_as_long_as_the_client_takes_and_we_do() -> None:
    core = begun(settings((5, 1 << 20), (4, 1 << 20)), number(WINDOW_UPDATE, 0, 1 << 20), head(1))
    core.answer(core.streams[1], [(b":status", b"200")], (), bytes(40_000))
    assert max(sizes(core)) == 16384


def test_section_6_8_who_leaves_gets_what_it_asked_for() -> None:
    core = begun(head(1), OPEN.replace(b"\0\0\0\1", b"\0\0\0\3", 1))
    said = say(core, frame(GOAWAY, 0, 0, struct.pack(">LL", 0, 0xFACE) + b"because"))
    assert core.leaving
    assert said.end is None
    assert say(core, body(3, b"x", END_STREAM)).events == [Received(3, b"x", 0), Ended(3)]
    assert say(core, head(5)).resets == {5: REFUSED}


def test_section_8_1_a_body_and_trailers() -> None:
    core = begun(OPEN)
    said = say(core, body(1, b"abc") + frame(HEADERS, WHOLE, 1, block(("x-sum", "6"))))
    assert said.events == [Received(1, b"abc", 0), Trailers(1, ((b"x-sum", b"6"),)), Ended(1)]
    assert say(core, body(1)).resets == {1: CLOSED}


def test_section_8_1_an_answer_before_the_end_of_the_request() -> None:
    core = begun(OPEN)
    core.answer(core.streams[1], [(b":status", b"413")], (), b"no")
    frames = cut(core.take())
    assert [kind for kind, _, _, _ in frames] == [HEADERS, DATA, RST_STREAM]
    assert int.from_bytes(frames[-1][3]) == ErrorCodes.NO_ERROR
    assert say(core, body(1)).resets == {}
