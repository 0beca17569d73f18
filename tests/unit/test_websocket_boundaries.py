"""Frames that are passed on unread: where they begin and end (RFC 6455, section 5.2)."""

from __future__ import annotations

import random

import pytest

from skitai.protocols.websocket.boundaries import Boundaries
from skitai.protocols.websocket.outgoing import close
from tests.support.websocket import frame

SIZES = (0, 1, 125, 126, 127, 65535, 65536, 70_000)


@pytest.mark.parametrize("mask", [True, False])
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000, 1 << 20])
def test_a_boundary_is_found_wherever_the_bytes_are_cut(mask: bool, step: int) -> None:
    sizes = SIZES if step > 3 else SIZES[:5]
    frames = [frame(2, bytes(size), fin=bool(size % 2), mask=mask) for size in sizes]
    said, ends, end = b"".join(frames), set(), 0
    for each in frames:
        end += len(each)
        ends.add(end)
    found = Boundaries()
    assert found.between
    for at in range(0, len(said), step):
        found.take(said[at : at + step])
        assert found.between == (min(at + step, len(said)) in ends)
    assert not found.closing


def test_a_close_frame_is_seen() -> None:
    found = Boundaries()
    found.take(frame(2, b"\x88\x00\x88\x00") + frame(9, b"\x88"))
    assert not found.closing, "what only looks like one, amid a payload, is none"
    closing = frame(8, b"\x03\xe8bye")
    found.take(closing[:5])
    assert not found.closing
    found.take(closing[5:8])
    assert found.closing and not found.between
    found.take(closing[8:])
    assert found.between
    other = Boundaries()
    other.take(frame(1, b"x", mask=False) + close(1000))
    assert other.closing and other.between


def test_only_the_frame_under_way_is_finished() -> None:
    chance = random.Random(1)
    for _ in range(500):
        first = frame(2, bytes(chance.choice(SIZES[:5])), mask=chance.random() < 0.5)
        cut = chance.randrange(1, len(first))
        found = Boundaries()
        found.take(first[:cut])
        assert not found.between
        rest, size = first[cut:] + frame(1, b"next"), 0
        while not found.between:
            step = rest[size : size + chance.randrange(1, 50)]
            size += found.finish(step)
        assert size == len(first) - cut
        assert found.finish(b"\x81\x00") == 0, "nothing is under way"
