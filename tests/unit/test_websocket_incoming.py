"""What clients send, read beside `websockets`: random frames, cut anywhere, mean the same to both."""

from __future__ import annotations

import codecs
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.protocol import State
from websockets.server import ServerProtocol

from skitai.protocols.websocket import deflate
from skitai.protocols.websocket.codes import CLOSE, CONTINUATION, INVALID, PING, PONG, TEXT
from skitai.protocols.websocket.incoming import Broken, Closed, Incoming, Ping, Pong
from tests.support.websocket import close, frame

LIMITS = {"most_bytes": 1 << 20, "most_fragments": 1000}

Events = list[Any]
"""Messages, and of the rest: pings, pongs, the close's code and reason, the code of a failure."""

texts = st.text(max_size=30).map(str.encode)
payloads = texts | st.binary(max_size=150) | st.integers(1, 70_000).map(lambda size: b"x" * size)
single = st.builds(frame, st.sampled_from([1, 2]), payloads)
control = st.builds(frame, st.sampled_from([9, 10]), st.binary(max_size=125))
closes = st.builds(close, st.integers(0, 5000), st.text(max_size=20)) | st.just(frame(8)) | st.just(frame(8, b"1"))
anything = st.builds(
    frame,
    st.integers(0, 15),
    payloads,
    fin=st.booleans(),
    bits=st.sampled_from([0, 0, 0, 0, 0x40, 0x10]),
    mask=st.sampled_from([True, True, True, False]),
)


@st.composite
def fragmented(draw: Any) -> bytes:
    """A message in pieces, compressed or not, with control frames between."""
    opcode, bits = draw(st.sampled_from([1, 2])), draw(st.sampled_from([0, 0x40]))
    content = draw(texts if bits and opcode == TEXT else payloads)  # that it is none shows only at the end
    if bits:
        content = deflate.compress(content, 15)
    cuts = sorted(draw(st.lists(st.integers(0, len(content)), max_size=5)))
    pieces = [content[at:end] for at, end in zip([0, *cuts], [*cuts, len(content)], strict=True)]
    made = b""
    for number, piece in enumerate(pieces):
        first, last = number == 0, number == len(pieces) - 1
        made += frame(opcode if first else CONTINUATION, piece, fin=last, bits=bits if first else 0)
        if not last and draw(st.booleans()):
            made += draw(control)
    return made


talks = st.lists(single | control | fragmented() | anything | closes, min_size=1, max_size=12)
pace = st.lists(st.integers(1, 4000), max_size=40)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [*pieces, data[at:]]


def ours(pieces: list[bytes], most_events: int, deflates: bool) -> Events:
    incoming = Incoming(deflates=deflates, most_events=most_events, **LIMITS)
    found: Events = []
    for piece in pieces:
        found += incoming.receive(piece)
        while incoming.pending and (len(piece) % 2 or piece is pieces[-1]):  # else the next piece comes before
            more = incoming.more()
            assert len(more) <= most_events
            found += more
    assert not incoming.receive(b"") or not incoming.ended
    return [each.code if isinstance(each, Broken) else each for each in found]


def theirs(pieces: list[bytes], deflates: bool) -> Events:
    protocol = ServerProtocol(state=State.OPEN, max_size=LIMITS["most_bytes"])
    if deflates:
        protocol.extensions = [PerMessageDeflate(True, True, 15, 15)]
    for piece in pieces:
        protocol.receive_data(piece)
    found: Events = []
    decoder: codecs.IncrementalDecoder | None = None
    opcode, parts = 0, []
    for each in protocol.events_received():
        assert isinstance(each, Frame)
        if each.opcode in (PING, PONG):
            found.append((Ping if each.opcode == PING else Pong)(bytes(each.data)))
        elif each.opcode == CLOSE:
            code = int.from_bytes(each.data[:2]) if each.data else 1005
            found.append(Closed(code, bytes(each.data[2:]).decode()))
        else:
            if each.opcode:
                opcode, parts = each.opcode, []
                decoder = codecs.getincrementaldecoder("utf-8")() if opcode == TEXT else None
            parts.append(bytes(each.data))
            if decoder is not None:
                try:
                    decoder.decode(parts[-1], each.fin)
                except UnicodeDecodeError:
                    return [*found, INVALID]
            if each.fin:
                message = b"".join(parts)
                found.append(message.decode() if opcode == TEXT else message)
    if protocol.parser_exc is not None:
        assert protocol.close_sent is not None
        within = "incomplete fragmented message" in str(protocol.parser_exc)
        found.append(WITHIN if within else protocol.close_sent.code)
    return found


WITHIN = "a close within a message"
"""Allowed like every control frame (RFC 6455, section 5.4), but not by websockets."""


def compare(mine: Events, others: Events) -> None:
    if others and others[-1] == WITHIN:
        assert isinstance(mine[-1], (Closed, int))
        mine, others = mine[:-1], others[:-1]
    assert mine == others


@given(talks, pace, st.integers(1, 70))
def test_what_both_make_of_frames(frames: list[bytes], sizes: list[int], most_events: int) -> None:
    pieces = cut(b"".join(frames), sizes)
    compare(ours(pieces, most_events, deflates=False), theirs(pieces, deflates=False))


@given(st.lists(single | control | fragmented(), min_size=1, max_size=6), pace, st.integers(1, 70))
def test_what_both_make_of_compressed_messages(frames: list[bytes], sizes: list[int], most_events: int) -> None:
    pieces = cut(b"".join(frames), sizes)
    assert ours(pieces, most_events, deflates=True) == theirs(pieces, deflates=True)
