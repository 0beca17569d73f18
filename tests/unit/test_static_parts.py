"""Answers with several parts of a file, as one file that is read piece by piece."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.config.mounted import AppFile, Mount
from skitai.http.byteranges import Parts, length, multipart
from skitai.worker.apps.entries import Stamp, Variant
from skitai.worker.apps.static import Static

CONTENT = bytes(range(100))


def make_parts() -> Parts:
    return Parts(io.BytesIO(CONTENT), [b"<", (10, 20), b"", b"><", (0, 3), (99, 100), b">"])


WHOLE = b"<" + CONTENT[10:20] + b"><" + CONTENT[:3] + CONTENT[99:] + b">"


def test_parts_are_read_as_one_file() -> None:
    with io.BufferedReader(make_parts()) as file:
        assert file.read() == WHOLE


@given(st.lists(st.integers(1, 30), min_size=20, max_size=20), st.integers(0, len(WHOLE) + 5))
def test_pieces_of_any_size_from_any_position_join_to_the_whole(sizes: list[int], start: int) -> None:
    parts = make_parts()
    parts.seek(start)
    pieces = [parts.read(size) or b"" for size in sizes]
    assert WHOLE[start:].startswith(b"".join(pieces))
    assert b"".join(pieces) + (parts.readall() or b"") == WHOLE[start:]
    assert parts.read(1) == b""


def test_closing_it_closes_the_file() -> None:
    file = io.BytesIO(CONTENT)
    parts = Parts(file, [(0, 1)])
    parts.close()
    assert file.closed
    assert parts.closed


def test_it_has_no_descriptor_and_only_positions_from_the_beginning() -> None:
    parts = make_parts()
    with pytest.raises(OSError, match="fileno"):
        parts.fileno()
    with pytest.raises(OSError, match="beginning"):
        parts.seek(0, io.SEEK_END)


def test_14_6_the_length_of_a_multipart_body_is_known_before_it_is_read() -> None:
    variant = Variant("/srv/a.bin", Stamp(1, 2, len(CONTENT), 10**18, 10**18))
    variant.describe("application/octet-stream", 0, False, 10**9)
    fields, pieces = multipart(variant.fields, variant.size, ((0, 10), (50, 100)))
    body = Parts(io.BytesIO(CONTENT), pieces).readall()
    assert body is not None
    assert dict(fields)["Content-Length"] == str(len(body)) == str(sum(map(length, pieces)))
    boundary = dict(fields)["Content-Type"].removeprefix("multipart/byteranges; boundary=").encode()
    assert body.startswith(b"\r\n--" + boundary + b"\r\n")
    assert body.endswith(b"\r\n--" + boundary + b"--\r\n")
    assert b"Content-Range: bytes 50-99/100\r\n\r\n" + CONTENT[50:] in body


def test_only_folders_are_served() -> None:
    with pytest.raises(TypeError, match="is not a folder"):
        Static(Mount("/", AppFile("/srv/app.py")))
