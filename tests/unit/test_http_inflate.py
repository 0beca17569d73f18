"""Bodies that clients have compressed, and those that are bombs."""

from __future__ import annotations

import gzip
import os
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.errors import Answerable, BadRequest, TooLarge
from skitai.http.inflate import inflate

TEXT = b"some text of no great length, " * 200


def unpack(data: bytes, coding: str = "gzip", most_bytes: int = 1 << 20, most_ratio: int = 100, piece: int = 65536) -> bytes:
    return b"".join(inflate((data[at : at + piece] for at in range(0, len(data), piece)), coding, most_bytes, most_ratio))


@pytest.mark.parametrize("piece", [1, 7, 65536])
def test_codings(piece: int) -> None:
    assert unpack(TEXT, "", piece=piece) == unpack(TEXT, " Identity ", piece=piece) == TEXT
    assert unpack(gzip.compress(TEXT), piece=piece) == unpack(gzip.compress(TEXT), "X-GZIP", piece=piece) == TEXT
    assert unpack(zlib.compress(TEXT), "deflate", piece=piece) == TEXT
    assert unpack(gzip.compress(b"one, ") + gzip.compress(b"two"), piece=piece) == b"one, two"


@settings(max_examples=40)
@given(st.integers(-3, 3), st.integers(1, 4), st.sampled_from([b"ab", bytes(range(256))]), st.integers(100, 3000))
def test_sizes_about_those_of_the_pieces(more: int, pieces: int, pattern: bytes, piece: int) -> None:
    text = (pattern * 200_000)[: 65536 * pieces + more]
    assert unpack(gzip.compress(text), most_ratio=10_000, piece=piece) == text


@pytest.mark.parametrize("coding", ["br", "compress", "gzip, gzip", "nonsense" * 50])
def test_a_coding_that_is_not_taken(coding: str) -> None:
    with pytest.raises(Answerable, match="not known here") as refused:
        unpack(TEXT, coding)
    assert refused.value.status == 415 and refused.value.fields == [("Accept-Encoding", "gzip, deflate")]


@pytest.mark.parametrize(
    ("data", "coding"),
    [
        (b"", "gzip"),
        (TEXT, "gzip"),
        (gzip.compress(TEXT, mtime=0)[:-1], "gzip"),
        (gzip.compress(TEXT, mtime=0)[:20], "gzip"),
        (gzip.compress(TEXT, mtime=0)[:-8] + bytes(8), "gzip"),
        (gzip.compress(TEXT, mtime=0) + b"rubbish", "gzip"),
        (zlib.compress(TEXT) + b"rubbish", "deflate"),
        (gzip.compress(TEXT, mtime=0), "deflate"),
    ],
)
def test_what_is_malformed(data: bytes, coding: str) -> None:
    with pytest.raises(BadRequest):
        unpack(data, coding)


def test_limits() -> None:
    noise = os.urandom(100_000)
    assert unpack(gzip.compress(noise), most_bytes=100_000) == noise
    with pytest.raises(TooLarge):
        unpack(gzip.compress(noise), most_bytes=99_999)
    blanks = b" " * 65536
    assert unpack(gzip.compress(blanks)) == blanks
    with pytest.raises(TooLarge):
        unpack(gzip.compress(blanks * 2))
    with pytest.raises(TooLarge):
        unpack(gzip.compress(bytes(50_000_000)), most_bytes=1 << 40)
