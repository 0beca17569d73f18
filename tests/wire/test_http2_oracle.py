"""Our HTTP/2 and the h2 library take any frames in any order alike: the same events, the same resets, the same end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import h2.events as its
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import Decoder, Encoder, HPACKError
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.protocols.http2.budget import Limits
from skitai.protocols.http2.compression import BlockReader, BlockWriter
from skitai.protocols.http2.core import Core
from skitai.protocols.http2.events import Ended, Event, Received, Requested, Reset, Trailers, Violation
from skitai.protocols.http2.fields import anything

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
ACK = END_STREAM = 1
END_HEADERS, PADDED, PRIORITIZED = 4, 8, 32

Pairs = list[tuple[bytes, bytes]]
Step = Callable[["Both"], None]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


class Oracle:
    """h2 as a server that tells what our core would.

    :ivar ended: it has ended the connection.
    """

    def __init__(self) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding=None, validate_outbound_headers=False))
        self.h2.local_settings = Settings(client=False, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 65536})
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window((1 << 20) - 65535)
        self.ended = False

    def receive(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        try:
            for event in self.h2.receive_data(data):
                self._tell(event, events)
        except ProtocolError:
            self.ended = True
        return events

    @staticmethod
    def _tell(event: its.Event, events: list[Event]) -> None:
        match event:
            case its.RequestReceived():
                events.append(Requested(event.stream_id, tuple(event.headers), event.stream_ended is not None))
            case its.TrailersReceived() if event.headers:
                events.append(Trailers(event.stream_id, tuple(event.headers)))
            case its.DataReceived() if event.flow_controlled_length:
                events.append(Received(event.stream_id, event.data, event.flow_controlled_length - len(event.data)))
            case its.StreamEnded():
                events.append(Ended(event.stream_id))
            case its.StreamReset():
                events.append(Reset(event.stream_id, event.error_code))


class Both:
    """Our core and the oracle on one connection, and the client's state that both have seen.

    :ivar live: streams that are not over; whether their requests are complete.
    :ivar reset: streams that were reset. What a head means there is left to each side (section 5.1): it is not sent.
    """

    def __init__(self) -> None:
        self.ours, self.theirs = Core(Limits(resets=10_000)), Oracle()
        self.encoder = Encoder()
        self.live: dict[int, bool] = {}
        self.reset: set[int] = set()
        self.highest = 0
        self.ours.begin()
        self.feed(PREFACE + frame(SETTINGS, 0, 0) + frame(SETTINGS, ACK, 0))

    @property
    def ended(self) -> bool:
        return self.theirs.ended

    def feed(self, data: bytes) -> None:
        if self.ended:
            return
        ours, theirs = self.ours.receive(data, 0), self.theirs.receive(data)
        assert bool(self.ours.broken) == self.theirs.ended, self.ours.broken
        if self.ended:
            return
        theirs = [event for event in theirs if not self._known(event)]
        assert [told(event) for event in ours] == [told(event) for event in theirs]
        for event in ours:
            match event:
                case Requested(number, _, ended):
                    self.live[number] = ended
                    self.highest = number
                case Ended(number):
                    self.live[number] = True
                case Reset(number):
                    self.live.pop(number, None)
                    self.reset.add(number)

    def _known(self, event: Event) -> bool:
        """h2 tells at once of a head that its stream ends, and goes on telling of streams that are over."""
        return isinstance(event, Ended) and self.live.get(event.stream) is None and event.stream > self.highest

    def answer(self, number: int, ended: bool) -> None:
        """Respond on both sides, if that stream can be."""
        if self.ended or not self.live.get(number):
            return
        stream = self.ours.streams[number]
        if stream.sent:
            self.ours.finish(stream)
            self.ours.pump(1 << 20)
            self.theirs.h2.end_stream(number)
        else:
            self.ours.head(stream, [(b":status", b"200")], ended)
            self.theirs.h2.send_headers(number, [(b":status", b"200")], end_stream=ended)
        if ended or not stream.open:
            del self.live[number]

    def consume(self) -> None:
        """Acknowledge all that was received."""
        for number, stream in self.ours.streams.items():
            if stream.held and not self.ended:
                self.theirs.h2.acknowledge_received_data(stream.held, number)
                self.ours.acknowledge(number, stream.held)


def told(event: Event) -> Any:
    """An event as both tell it: h2 puts crumbs of cookies last, and says REFUSED or CLOSED in its own way."""
    match event:
        case Requested(number, pairs, ended):
            return "head", number, sorted(pairs, key=lambda pair: pair[0] == b"cookie"), ended
        case Reset(number):
            return "reset", number
    return tuple(event)


REQUEST: Pairs = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"a"), (b":path", b"/")]
NAMES = st.one_of(
    st.sampled_from(
        [b"x", b"te", b"host", b"cookie", b":path", b":method", b":status", b":protocol", b"upgrade", b"X", b":", b""]
    ),
    st.binary(max_size=4),
)
VALUES = st.one_of(st.sampled_from([b"", b"a", b"trailers", b"/", b"CONNECT", b"websocket", b" a"]), st.binary(max_size=4))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=3)


@st.composite
def heads(draw: st.DrawFn) -> Pairs:
    """Fields of requests, most of them right."""
    pairs = list(REQUEST)
    if draw(st.integers(0, 3)) == 0:
        del pairs[draw(st.integers(0, 3))]
    if draw(st.integers(0, 5)) == 0:
        pairs[0] = (b":method", b"CONNECT")
    if draw(st.integers(0, 2)) == 0:
        pairs[draw(st.integers(0, len(pairs))) :] += draw(FIELDS)
    return [pair for pair in pairs if pair[0] != b"cookie" or pairs.count(pair) == 1]


STREAMS = st.sampled_from([0, 1, 1, 1, 2, 3, 3, 5, 7])
FLAGS = st.sampled_from([0, END_STREAM, PADDED, END_STREAM | PADDED])


@st.composite
def head_step(draw: st.DrawFn) -> Step:
    number, pairs, flags = draw(STREAMS), draw(st.one_of(st.just(REQUEST), heads(), FIELDS)), draw(FLAGS)
    before = draw(st.sampled_from([b"", b"", b"\0\0\0\0\x10", number.to_bytes(4, "big") + b"\x10"]))
    cut = draw(st.sampled_from([None, None, 0, 1, 5]))
    whole = draw(st.booleans())

    def step(both: Both) -> None:
        block = both.encoder.encode(pairs, huffman=whole)
        if number in both.reset:
            return
        priority = before if number > both.highest else b""  # of two faults at once, each side sees another first
        said = flags | (PRIORITIZED if priority else 0)
        body, rest = (block, b"") if cut is None else (block[:cut], block[cut:])
        body = priority + body
        if said & PADDED:  # hyperframe wants more head than padding
            body = b"\x02" + body + b"\0\0" if body else b"\0"
        data = frame(HEADERS, said | (END_HEADERS if cut is None else 0), number, body)
        both.feed(data if cut is None else data + frame(CONTINUATION, END_HEADERS, number, rest))

    return step


def plain(kind: int, flags: st.SearchStrategy[int], payload: st.SearchStrategy[bytes]) -> st.SearchStrategy[Step]:
    """Steps that send one frame."""

    def make(flags: int, number: int, payload: bytes) -> Step:
        def step(both: Both) -> None:
            if kind != RST_STREAM or number in both.live:  # h2 lets those pass that mean nothing; section 6.4 does not
                both.feed(frame(kind, flags, number, payload))

        return step

    return st.builds(make, flags, STREAMS if kind not in {SETTINGS, PING} else st.sampled_from([0, 0, 0, 1]), payload)


NUMBERS = st.one_of(st.sampled_from([0, 1, 8, 0x7FFFFFFF]), st.integers(0, 0x7FFFFFFF)).map(
    lambda number: number.to_bytes(4, "big")
)
SETTING = st.builds(
    lambda name, value: name.to_bytes(2, "big") + value.to_bytes(4, "big"),
    st.sampled_from([1, 2, 3, 4, 5, 6, 8, 99]),
    st.sampled_from([0, 1, 2, 100, 16384, 65535, 1 << 20, 1 << 24, 1 << 31]),
)

STEPS = st.one_of(
    head_step(),
    head_step(),
    plain(DATA, FLAGS, st.one_of(st.binary(max_size=5), st.just(b"\1" + b"x" * 16383))),
    plain(RST_STREAM, st.just(0), NUMBERS),
    plain(WINDOW_UPDATE, st.just(0), NUMBERS),
    plain(SETTINGS, st.sampled_from([0, 0, ACK]), st.one_of(SETTING, st.just(b""), st.binary(max_size=13))),
    plain(PING, st.sampled_from([0, ACK]), st.one_of(st.just(b"12345678"), st.binary(max_size=9))),
    plain(PRIORITY, st.just(0), st.one_of(st.just(b"\0\0\0\0\x10"), st.just(b"\0\0\0\1\x10"), st.binary(max_size=6))),
    plain(CONTINUATION, st.just(END_HEADERS), st.binary(max_size=3)),
    plain(0xEE, st.integers(0, 255), st.binary(max_size=9)),
    st.builds(lambda number, ended: lambda both: both.answer(number, ended), STREAMS, st.booleans()),
    st.just(Both.consume),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=25))
def test_any_frames_in_any_order(steps: list[Step]) -> None:
    both = Both()
    for step in steps:
        step(both)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 40), max_size=60))
def test_frames_may_come_in_any_pieces(sizes: list[int]) -> None:
    encoder = Encoder()
    data = PREFACE + frame(SETTINGS, 0, 0)
    for number in (1, 3, 5):
        data += frame(HEADERS, 0, number, encoder.encode(REQUEST)) + frame(CONTINUATION, END_HEADERS, number)
        data += frame(DATA, END_STREAM | PADDED, number, b"\x03body\0\0\0")
    core, events = Core(), []
    for at, size in zip(itertools.accumulate(sizes, initial=0), [*sizes, len(data)], strict=True):
        events += core.receive(data[at : at + size], 0)
    assert events == Core().receive(data, 0)
    assert len(events) == 9


# HPACK (RFC 7541)

COMMON = st.sampled_from([b":path", b":status", b"a", b"cookie", b"server", b"set-cookie", b"x-long" * 5])
LISTS = st.lists(st.tuples(COMMON, st.sampled_from([b"", b"1", b"200", b"x" * 200, b"y" * 1000, b"z" * 127])), max_size=8)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 5000), st.lists(st.one_of(st.integers(0, 5000), LISTS)))
def test_what_we_encode_means_the_same_to_hpack(table_bytes: int, steps: list[Any]) -> None:
    writer, decoder = BlockWriter(table_bytes), Decoder(1 << 20)
    for step in steps:
        if isinstance(step, int):
            writer.resize(step)
            decoder.max_allowed_table_size = step
        else:
            assert [tuple(pair) for pair in decoder.decode(writer.write(step), raw=True)] == step


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(LISTS, st.integers(0, 4096)), max_size=30))
def test_what_hpack_encodes_means_the_same_to_us(steps: list[Any]) -> None:
    reader, encoder = BlockReader(Limits(block_bytes=1 << 20)), Encoder()
    for step in steps:
        if isinstance(step, int):
            if step != encoder.header_table_size:  # told the same twice, hpack forgets to tell us
                encoder.header_table_size = step
        else:
            assert list(reader.read(encoder.encode(step), anything)) == step


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=12), max_size=10))
def test_blocks_of_noise(blocks: list[bytes]) -> None:
    reader, decoder = BlockReader(Limits()), Decoder()
    for block in [*blocks, *blocks]:
        try:
            expected = [tuple(pair) for pair in decoder.decode(block, raw=True)]
        except HPACKError:
            with pytest.raises(Violation):
                reader.read(block, anything)
            return
        assert list(reader.read(block, anything)) == expected
