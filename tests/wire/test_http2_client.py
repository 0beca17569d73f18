"""The client's side of HTTP/2, in the order of RFC 9113, against h2 as the server and against our own server's side."""

from __future__ import annotations

from typing import Any

import h2.events as its
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from skitai.protocols.http2.budget import Limits
from skitai.protocols.http2.client import ClientCore
from skitai.protocols.http2.core import Core
from skitai.protocols.http2.events import Ended, Event, Leaving, Ponged, Received, Requested, Reset, Responded, Trailers
from skitai.protocols.http2.stream import Stream

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ROOM = 1 << 20

Pairs = list[tuple[bytes, bytes]]


def asking(path: str = "/", method: str = "GET", *more: tuple[bytes, bytes]) -> Pairs:
    return [
        (b":method", method.encode()),
        (b":scheme", b"https"),
        (b":authority", b"example"),
        (b":path", path.encode()),
        *more,
    ]


class Dialogue:
    """A client of ours and h2 as its server.

    :ivar seen: what the client told.
    """

    def __init__(self, limits: Limits | None = None, settings: dict[SettingCodes | int, int] | None = None) -> None:
        self.client = ClientCore(limits) if limits else ClientCore()
        self.server = H2Connection(H2Configuration(client_side=False, header_encoding=None))
        if settings:
            self.server.local_settings = Settings(client=False, initial_values=settings)
        self.server.initiate_connection()
        self.seen: list[Event] = []
        self.heard: list[Any] = []
        self.now = 0.0
        self.client.begin()
        self.exchange()

    def exchange(self) -> list[Event]:
        """Carry bytes both ways until nobody has anything to say; what the client told meanwhile."""
        before = len(self.seen)
        while True:
            self.client.pump(ROOM)
            upward = self.client.take()
            if upward:
                self.heard += self.server.receive_data(upward)
            downward = self.server.data_to_send()
            if downward:
                self.seen += self.client.receive(downward, self.now)
            if not upward and not downward:
                return self.seen[before:]

    def feed(self, *frames: Frame | bytes) -> list[Event]:
        """Frames past h2; what the client tells."""
        data = b"".join(frame if isinstance(frame, bytes) else frame.serialize() for frame in frames)
        events = self.client.receive(data, self.now)
        self.seen += events
        return events

    def ask(self, path: str = "/", method: str = "GET", *, ended: bool = True) -> Stream:
        stream = self.client.request(asking(path, method), ended)
        self.exchange()
        return stream

    def said(self, kind: Any) -> list[Any]:
        """What the server heard, of one kind."""
        return [event for event in self.heard if isinstance(event, kind)]


def ending(client: ClientCore) -> tuple[int, bytes]:
    """Code and reason of the GOAWAY that the client has sent last."""
    frames = list(frames_of(client.take()))
    assert frames
    assert frames[-1][0] == 7
    payload = frames[-1][2]
    return int.from_bytes(payload[4:8], "big"), payload[8:]


def frames_of(data: bytes) -> Any:
    """Type, stream and payload of all frames."""
    while data:
        size = int.from_bytes(data[:3], "big")
        yield data[3], int.from_bytes(data[5:9], "big"), data[9 : 9 + size]
        data = data[9 + size :]


# 3.4 The preface


def test_a_client_begins_with_the_preface_and_its_settings() -> None:
    client = ClientCore(Limits(stream_window=100_000))
    client.begin()
    data = client.take()
    assert data.startswith(PREFACE)
    ((kind, _, payload), (update, _, _)) = frames_of(data[len(PREFACE) :])
    settings = {payload[at + 1]: int.from_bytes(payload[at + 2 : at + 6], "big") for at in range(0, len(payload), 6)}
    assert (kind, update) == (4, 8)
    assert (settings[2], settings[4]) == (0, 100_000)


def test_a_server_begins_with_its_settings() -> None:
    client = ClientCore()
    client.begin()
    client.take()
    client.receive(PingFrame(0, b"12345678").serialize(), 0)
    assert client.broken
    assert ending(client)[0] == ErrorCodes.PROTOCOL_ERROR


# 5, 8.1 Requests and responses


def test_a_request_and_its_response() -> None:
    talk = Dialogue()
    stream = talk.ask("/path")
    (request,) = talk.said(its.RequestReceived)
    assert dict(request.headers)[b":path"] == b"/path"
    talk.server.send_headers(1, [(":status", "200"), ("content-length", "5")])
    talk.server.send_data(1, b"hello", end_stream=True)
    assert talk.exchange() == [
        Responded(1, ((b":status", b"200"), (b"content-length", b"5")), False),
        Received(1, b"hello", 0),
        Ended(1),
    ]
    assert not stream.open
    assert not talk.client.streams


def test_a_response_may_be_a_head_alone_and_have_interim_ones_before() -> None:
    talk = Dialogue()
    talk.ask(method="HEAD")
    talk.server.send_headers(1, [(":status", "103"), ("link", "</style.css>")])
    talk.server.send_headers(1, [(":status", "200"), ("content-length", "1000")], end_stream=True)
    first, second, last = talk.exchange()
    assert first == Responded(1, ((b":status", b"103"), (b"link", b"</style.css>")), False)
    assert isinstance(second, Responded)
    assert second.ended
    assert last == Ended(1)


def test_bodies_and_trailers_go_both_ways() -> None:
    talk = Dialogue()
    body = bytes(range(256)) * 1000
    stream = talk.client.request(asking("/upload", "POST"), False)
    talk.client.data(stream, body)
    talk.client.finish(stream, [(b"x-sum", b"1")])
    while not talk.said(its.StreamEnded):
        talk.exchange()
        for event in talk.said(its.DataReceived):
            talk.server.acknowledge_received_data(event.flow_controlled_length, 1)
            event.flow_controlled_length = 0
    assert b"".join(event.data for event in talk.said(its.DataReceived)) == body
    (trailers,) = talk.said(its.TrailersReceived)
    assert trailers.headers == [(b"x-sum", b"1")]
    talk.server.send_headers(1, [(":status", "200")])
    talk.server.send_data(1, b"done", pad_length=5)
    talk.server.send_headers(1, [("grpc-status", "0")], end_stream=True)
    _, received, behind, last = talk.exchange()
    assert received == Received(1, b"done", 6)
    assert behind == Trailers(1, ((b"grpc-status", b"0"),))
    assert last == Ended(1)


def test_a_server_that_has_said_all_hears_no_more() -> None:
    talk = Dialogue()
    stream = talk.ask(method="POST", ended=False)
    talk.server.send_headers(1, [(":status", "413")], end_stream=True)
    assert talk.exchange()[-1] == Ended(1)
    (reset,) = talk.said(its.StreamReset)
    assert reset.error_code == ErrorCodes.CANCEL
    assert not stream.open
    talk.client.data(stream, b"x" * 10)  # from a writer that has not heard of it
    talk.client.finish(stream)
    talk.exchange()
    assert not talk.said(its.DataReceived)


def test_streams_have_answers_of_their_own() -> None:
    talk = Dialogue()
    for number in range(50):
        talk.ask(f"/{number}")
    for number in reversed(range(1, 100, 2)):
        talk.server.send_headers(number, [(":status", "200")])
        talk.server.send_data(number, b"%d" % number, end_stream=True)
    events = talk.exchange()
    assert {event.stream: event.data for event in events if isinstance(event, Received)} == {
        number: b"%d" % number for number in range(1, 100, 2)
    }
    assert talk.client.room_for_streams == 100


# 5.1.2 Concurrency


def test_no_more_streams_than_the_server_takes() -> None:
    talk = Dialogue(settings={3: 2})
    assert talk.client.room_for_streams == 2
    talk.ask()
    talk.ask()
    assert talk.client.room_for_streams == 0
    with pytest.raises(RuntimeError, match="no room"):
        talk.client.request(asking(), True)
    talk.server.send_headers(1, [(":status", "204")], end_stream=True)
    talk.exchange()
    assert talk.client.room_for_streams == 1


def test_no_more_streams_than_the_limit() -> None:
    assert Dialogue(Limits(streams=7), settings={3: 1000}).client.room_for_streams == 7


# 5.2 Flow control


def test_a_request_body_waits_for_the_windows_and_holds_up_nobody() -> None:
    talk = Dialogue(settings={4: 10})
    slow = talk.ask("/slow", "POST", ended=False)
    talk.client.data(slow, b"0123456789abcdef")
    talk.client.finish(slow)
    talk.exchange()
    assert slow.waiting == 6
    quick = talk.ask("/quick", "POST", ended=False)
    talk.client.data(quick, b"short")
    talk.client.finish(quick)
    talk.exchange()
    assert [event.stream_id for event in talk.said(its.StreamEnded)] == [3]
    talk.server.increment_flow_control_window(100, 1)
    talk.exchange()
    assert [event.stream_id for event in talk.said(its.StreamEnded)] == [3, 1]


def test_a_response_that_nobody_consumes_stops_at_its_window() -> None:
    talk = Dialogue(Limits(stream_window=70_000))
    talk.ask()
    talk.server.send_headers(1, [(":status", "200")])
    while size := min(16384, talk.server.local_flow_control_window(1)):
        talk.server.send_data(1, b"x" * size)
        talk.exchange()
    assert sum(len(event.data) for event in talk.seen if isinstance(event, Received)) == 70_000
    talk.client.acknowledge(1, 70_000)
    talk.exchange()
    assert talk.server.local_flow_control_window(1) == 70_000


def test_a_server_that_sends_more_than_the_window_holds() -> None:
    talk = Dialogue()
    talk.ask()
    talk.feed(HeadersFrame(1, Encoder().encode([(":status", "200")]), flags=["END_HEADERS"]))
    talk.feed(*[DataFrame(1, b"x" * 16384) for _ in range(5)])
    assert ending(talk.client)[0] == ErrorCodes.FLOW_CONTROL_ERROR


def test_what_comes_for_a_stream_that_was_reset_is_dropped_and_given_back() -> None:
    talk = Dialogue()
    stream = talk.ask()
    talk.client.reset(stream, ErrorCodes.CANCEL)
    talk.client.take()
    encoder = Encoder()
    assert not talk.feed(
        HeadersFrame(1, encoder.encode([(":status", "200"), ("x-name", "value")]), flags=["END_HEADERS"]),
        *[DataFrame(1, b"x" * 16384) for _ in range(40)],
    )
    assert {(kind, number) for kind, number, _ in frames_of(talk.client.take())} == {(8, 0)}
    talk.client.request(asking(), True)
    (responded, _) = talk.feed(
        HeadersFrame(3, encoder.encode([(":status", "200"), ("x-name", "value")]), flags=["END_HEADERS", "END_STREAM"])
    )
    assert responded.pairs == ((b":status", b"200"), (b"x-name", b"value"))  # the table was kept


# 5.4, 6.4 What ends a stream


def test_a_reset_by_the_server_tells_its_code() -> None:
    talk = Dialogue()
    talk.ask()
    assert talk.feed(RstStreamFrame(1, error_code=7)) == [Reset(1, ErrorCodes.REFUSED_STREAM)]
    assert not talk.client.streams


@pytest.mark.parametrize(
    "pairs",
    [
        [("x", "no status")],
        [(":status", "20")],
        [(":status", "200"), (":status", "200")],
        [(":status", "200"), (":path", "/")],
        [("x", "y"), (":status", "200")],
        [(":status", "200"), ("Upper", "x")],
        [(":status", "200"), ("x", "a\nb")],
        [(":status", "200"), ("x", " padded")],
        [(":status", "200"), ("connection", "close")],
        [(":status", "200"), ("transfer-encoding", "chunked")],
        [(":status", "200"), ("content-length", "five")],
        [(":status", "200"), ("content-length", "5"), ("content-length", "6")],
        [(":status", "101")],
    ],
)
def test_malformed_responses_end_their_streams_only(pairs: list[tuple[str, str]]) -> None:
    talk = Dialogue()
    talk.ask()
    talk.ask()
    encoder = Encoder()
    assert talk.feed(HeadersFrame(1, encoder.encode(pairs), flags=["END_HEADERS"])) == [Reset(1, ErrorCodes.PROTOCOL_ERROR)]
    events = talk.feed(HeadersFrame(3, encoder.encode([(":status", "200")]), flags=["END_HEADERS", "END_STREAM"]))
    assert events == [Responded(3, ((b":status", b"200"),), True), Ended(3)]


@pytest.mark.parametrize(
    ("pairs", "frames"),
    [
        ([(":status", "200"), ("content-length", "5")], [DataFrame(1, b"four", flags=["END_STREAM"])]),
        ([(":status", "200"), ("content-length", "5")], [DataFrame(1, b"sixsix")]),
        ([(":status", "204")], [DataFrame(1, b"x")]),
        ([(":status", "304"), ("content-length", "5")], [DataFrame(1, b"x")]),
        ([(":status", "200")], [HeadersFrame(1, b"\x88", flags=["END_HEADERS", "END_STREAM"])]),
        ([(":status", "200")], [HeadersFrame(1, b"", flags=["END_HEADERS"])]),
    ],
    ids=["short", "long", "204", "304", "pseudo-trailers", "endless-trailers"],
)
def test_bodies_that_are_not_what_their_heads_say(pairs: list[tuple[str, str]], frames: list[Frame]) -> None:
    talk = Dialogue()
    talk.ask()
    talk.feed(HeadersFrame(1, Encoder().encode(pairs), flags=["END_HEADERS"]))
    assert talk.feed(*frames)[-1] == Reset(1, ErrorCodes.PROTOCOL_ERROR)
    assert not talk.client.broken


def test_a_body_before_its_head() -> None:
    talk = Dialogue()
    talk.ask()
    assert talk.feed(DataFrame(1, b"x")) == [Reset(1, ErrorCodes.PROTOCOL_ERROR)]


# 5.4.1 What ends the connection


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([HeadersFrame(3, b"\x88", flags=["END_HEADERS"])], ErrorCodes.PROTOCOL_ERROR),
        ([HeadersFrame(2, b"\x88", flags=["END_HEADERS"])], ErrorCodes.PROTOCOL_ERROR),
        ([DataFrame(3, b"x")], ErrorCodes.PROTOCOL_ERROR),
        ([RstStreamFrame(2)], ErrorCodes.PROTOCOL_ERROR),
        ([WindowUpdateFrame(3, window_increment=1)], ErrorCodes.PROTOCOL_ERROR),
        ([WindowUpdateFrame(0, window_increment=0x7FFFFFFF)], ErrorCodes.FLOW_CONTROL_ERROR),
        ([PushPromiseFrame(1, 2, b"\x82\x84\x86", flags=["END_HEADERS"])], ErrorCodes.PROTOCOL_ERROR),
        ([SettingsFrame(0, settings={2: 1})], ErrorCodes.PROTOCOL_ERROR),
        ([SettingsFrame(0, settings={5: 1})], ErrorCodes.PROTOCOL_ERROR),
        ([b"\x00\x00\x05\x04\x00\x00\x00\x00\x00abcde"], ErrorCodes.FRAME_SIZE_ERROR),
        ([b"\x00\x00\x03\x06\x00\x00\x00\x00\x00abc"], ErrorCodes.FRAME_SIZE_ERROR),
        ([b"\x00\x40\x01\x00\x00\x00\x00\x00\x01"], ErrorCodes.FRAME_SIZE_ERROR),
        ([HeadersFrame(1, b"\x88"), PingFrame(0, b"12345678")], ErrorCodes.PROTOCOL_ERROR),
        ([ContinuationFrame(1, b"\x88", flags=["END_HEADERS"])], ErrorCodes.PROTOCOL_ERROR),
        ([HeadersFrame(1, b"\xff\xff\xff\xff\xff", flags=["END_HEADERS"])], ErrorCodes.COMPRESSION_ERROR),
    ],
    ids=lambda value: value.name if isinstance(value, ErrorCodes) else "",
)
def test_what_breaks_the_protocol_ends_the_connection(frames: list[Any], code: ErrorCodes) -> None:
    talk = Dialogue()
    talk.ask()
    talk.feed(*frames)
    assert talk.client.broken
    assert ending(talk.client)[0] == code
    assert talk.client.room_for_streams == 0
    assert not talk.feed(PingFrame(0, b"12345678"))


# 6.5 SETTINGS


def test_a_server_may_say_that_it_takes_extended_connect() -> None:
    assert not Dialogue().client.connects
    assert Dialogue(settings={8: 1}).client.connects


def test_a_table_that_the_server_does_not_want() -> None:
    talk = Dialogue(settings={1: 0})
    for _ in range(3):
        talk.client.request(asking("/", "GET", (b"x-agent", b"tester")), True)
    talk.exchange()
    assert len(talk.said(its.RequestReceived)) == 3
    assert {tuple(event.headers) for event in talk.said(its.RequestReceived)} == {
        tuple(asking("/", "GET", (b"x-agent", b"tester")))
    }


# 6.7, 6.8 PING and GOAWAY


def test_a_ping_is_answered_both_ways() -> None:
    talk = Dialogue()
    talk.client.ping(b"12345678")
    assert talk.exchange() == [Ponged(b"12345678")]
    talk.server.ping(b"abcdefgh")
    talk.exchange()
    (pong,) = talk.said(its.PingAckReceived)
    assert pong.ping_data == b"abcdefgh"


def test_a_server_that_leaves_gives_back_what_it_does_not_do() -> None:
    talk = Dialogue()
    talk.ask()
    talk.ask()
    assert talk.feed(GoAwayFrame(0, last_stream_id=0x7FFFFFFF)) == [Leaving(0x7FFFFFFF, 0)]
    assert talk.client.room_for_streams == 0
    assert talk.feed(GoAwayFrame(0, last_stream_id=1)) == [Leaving(1, 0), Reset(3, ErrorCodes.REFUSED_STREAM)]
    events = talk.feed(HeadersFrame(1, b"\x88", flags=["END_HEADERS", "END_STREAM"]))
    assert events == [Responded(1, ((b":status", b"200"),), True), Ended(1)]


def test_a_client_that_leaves_gets_its_answers() -> None:
    talk = Dialogue()
    talk.ask()
    talk.client.leave()
    assert talk.client.room_for_streams == 0
    assert talk.feed(HeadersFrame(1, b"\x88", flags=["END_HEADERS", "END_STREAM"]))[-1] == Ended(1)


# Servers that cost more than they pay


@pytest.mark.parametrize(
    "frame",
    [
        PingFrame(0, b"12345678"),
        SettingsFrame(0, settings={}),
        DataFrame(1, b""),
        WindowUpdateFrame(0, window_increment=1),
        HeadersFrame(1, b"\x08\x03103", flags=["END_HEADERS"]),
        b"\x00\x00\x00\xee\x00\x00\x00\x00\x00",
        HeadersFrame(1, b"\x88"),
    ],
    ids=["ping", "settings", "data", "update", "interim", "unknown", "continuation"],
)
def test_floods(frame: Frame | bytes) -> None:
    talk = Dialogue()
    talk.ask()
    talk.feed(HeadersFrame(1, b"\x88", flags=["END_HEADERS"])) if isinstance(frame, DataFrame) else None
    talk.feed(frame)
    flood = ContinuationFrame(1, b"") if isinstance(frame, HeadersFrame) and not frame.flags else frame
    for _ in range(1100):
        talk.feed(flood)
    assert talk.client.broken
    assert ending(talk.client)[0] == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_bomb_of_indexed_fields() -> None:
    talk = Dialogue()
    talk.ask()
    block = Encoder().encode([(":status", "200"), ("x-bomb", "b" * 4000)])
    talk.feed(HeadersFrame(1, block + b"\xbe" * 10000, flags=["END_HEADERS"]))
    assert ending(talk.client)[0] == ErrorCodes.ENHANCE_YOUR_CALM


# Both roles are ours


def test_our_client_and_our_server() -> None:
    client, server = ClientCore(), Core()
    client.begin()
    server.begin()
    answers: dict[int, bytes] = {}
    bodies: dict[int, bytes] = {}
    for number in range(40):
        stream = client.request(asking(f"/{number}", "POST"), False)
        client.data(stream, b"%d" % number * 5000)
        client.finish(stream)
        bodies[stream.id] = b"%d" % number * 5000
        answers[stream.id] = b""
    for _ in range(1000):
        client.pump(ROOM)
        for event in server.receive(client.take(), 0):
            match event:
                case Requested(number):
                    server.head(server.streams[number], [(b":status", b"200"), (b"server", b"test")])
                case Received(number, data, padding):
                    server.data(server.streams[number], data)
                    server.acknowledge(number, len(data) + padding)
                case Ended(number):
                    server.finish(server.streams[number], [(b"x-end", b"%d" % number)])
        server.pump(ROOM)
        for event in client.receive(server.take(), 0):
            if isinstance(event, Received):
                answers[event.stream] += event.data
                client.acknowledge(event.stream, len(event.data))
        if not client.streams:
            break
    assert answers == bodies
    assert not server.streams
