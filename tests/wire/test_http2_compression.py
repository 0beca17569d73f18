"""Blocks that others send (RFC 7541): its own examples, what it forbids, and any bytes as the hpack library takes them."""

from __future__ import annotations

from typing import Any

import pytest
from hpack import Decoder, Encoder, HPACKError, NeverIndexedHeaderTuple, OversizedHeaderListError
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given, settings
from hypothesis import strategies as st

from skitai.protocols.http2.budget import Limits
from skitai.protocols.http2.compression import KNOWN, KNOWN_FIELDS_BYTES, LONGEST_INTEGER, BlockReader, BlockWriter
from skitai.protocols.http2.events import ErrorCodes, Malformed, Pair, Violation
from skitai.protocols.http2.fields import anything, check_request
from skitai.protocols.http2.huffman import unpacked

Pairs = list[Pair]


def integer(most: int, prefix: int, value: int) -> bytes:
    """In the bits of `most`, and as many bytes as it takes (section 5.1)."""
    data = bytearray((prefix | min(value, most),))
    if value >= most:
        value -= most
        while value >= 128:
            data.append(value & 127 | 128)
            value >>= 7
        data.append(value)
    return bytes(data)


def reading(**limits: int) -> BlockReader:
    return BlockReader(Limits(**limits))


def read(reader: BlockReader, block: bytes) -> Pairs:
    return list(reader.read(block, anything))


def refused(reader: BlockReader, block: bytes) -> ErrorCodes:
    with pytest.raises(Violation) as caught:
        reader.read(block, anything)
    return ErrorCodes(caught.value.code)


def table(reader: BlockReader) -> Pairs:
    """What is in the table, the newest first."""
    found: Pairs = []
    while True:
        try:
            found += read(reader, integer(127, 0x80, 62 + len(found)))
        except Violation:
            return found


# Appendix C

GET: Pairs = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"www.example.com")]
GETS: list[Pairs] = [
    GET,
    [*GET, (b"cache-control", b"no-cache")],
    [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/index.html"),
        (b":authority", b"www.example.com"),
        (b"custom-key", b"custom-value"),
    ],
]
DATES = b"Mon, 21 Oct 2013 20:13:21 GMT", b"Mon, 21 Oct 2013 20:13:22 GMT"
LOCATION = (b"location", b"https://www.example.com")
COOKIE = (b"set-cookie", b"foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1")
ANSWERS: list[Pairs] = [
    [(b":status", b"302"), (b"cache-control", b"private"), (b"date", DATES[0]), LOCATION],
    [(b":status", b"307"), (b"cache-control", b"private"), (b"date", DATES[0]), LOCATION],
    [
        (b":status", b"200"),
        (b"cache-control", b"private"),
        (b"date", DATES[1]),
        LOCATION,
        (b"content-encoding", b"gzip"),
        COOKIE,
    ],
]


@pytest.mark.parametrize(
    ("block", "pair", "kept"),
    [
        ("400a637573746f6d2d6b65790d637573746f6d2d686561646572", (b"custom-key", b"custom-header"), True),
        ("040c2f73616d706c652f70617468", (b":path", b"/sample/path"), False),
        ("100870617373776f726406736563726574", (b"password", b"secret"), False),
        ("82", (b":method", b"GET"), False),
    ],
    ids=["C.2.1", "C.2.2", "C.2.3", "C.2.4"],
)
def test_examples_of_fields(block: str, pair: Pair, kept: bool) -> None:
    reader = reading()
    assert read(reader, bytes.fromhex(block)) == [pair]
    assert table(reader) == ([pair] if kept else [])


@pytest.mark.parametrize(
    "blocks",
    [
        [
            "828684410f7777772e6578616d706c652e636f6d",
            "828684be58086e6f2d6361636865",
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
        ],
        [
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            "828684be5886a8eb10649cbf",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        ],
    ],
    ids=["C.3", "C.4"],
)
def test_examples_of_requests(blocks: list[str]) -> None:
    reader = reading()
    assert [read(reader, bytes.fromhex(block)) for block in blocks] == GETS
    authority = (b":authority", b"www.example.com")
    assert table(reader) == [(b"custom-key", b"custom-value"), (b"cache-control", b"no-cache"), authority]


@pytest.mark.parametrize(
    "blocks",
    [
        [
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f777777"
            "2e6578616d706c652e636f6d",
            "4803333037c1c0bf",
            "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f"
            "5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        ],
        [
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            "4883640effc1c0bf",
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1"
            "ab270fb5291f9587316065c003ed4ee5b1063d5007",
        ],
    ],
    ids=["C.5", "C.6"],
)
def test_examples_of_responses_that_push_each_other_out(blocks: list[str]) -> None:
    reader = reading()
    assert read(reader, b"\x3f\xe1\x01") == []  # a table of 256 bytes
    assert [read(reader, bytes.fromhex(block)) for block in blocks] == ANSWERS
    assert table(reader) == [COOKIE, (b"content-encoding", b"gzip"), (b"date", DATES[1])]


# What is forbidden

WRONG = {
    "index 0": b"\x80",
    "behind the static table": b"\xbe",
    "far behind": b"\xff\x80\x01",
    "a name behind the tables": b"\x7e\x01a",
    "an integer of more bytes than any needs": b"\xff" + b"\x80" * LONGEST_INTEGER + b"\x00",
    "a large integer": b"\x7f" + b"\xff" * 60_000,
    "a length without end": b"\x40\x01a\x7f\xff\xff\xff\xff\x07",
    "an integer without end": b"\xff\xff",
    "a name without end": b"\x40\x05a",
    "a value without end": b"\x40\x01a\x02b",
    "no value": b"\x40\x01a",
    "no name": b"\x40",
    "a larger table than was allowed": b"\x3f\xe2\x1f",
    "a resized table behind a field": b"\x82\x20",
    "padding of eight bits": b"\x00\x82\x1f\xff\x00",
    "padding that is not of ones": b"\x00\x81\x18\x00",
    "padding of a byte": b"\x00\x81\xff\x00",
    "the end of the string within it": b"\x00\x84\xff\xff\xff\xff\x00",
    "the same behind a letter": b"\x00\x85\x1f\xff\xff\xff\xff\x00",
}


@pytest.mark.parametrize("block", WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_decoded(block: bytes) -> None:
    assert refused(reading(), block) == ErrorCodes.COMPRESSION_ERROR


def test_integers_that_end_at_the_bound_of_their_prefix() -> None:
    for size in (0, 1, 126, 127, 128, 254, 255, 256, 16383, 16384):
        value = b"v" * size
        assert read(reading(), Encoder().encode([(b"a", value)], huffman=False)) == [(b"a", value)]


def test_a_field_that_is_cut_off_anywhere() -> None:
    for block in (b"\x1f\xe1\xff\x03\x00", b"\x40\x05short\x84" + packed(b"value"), b"\x3f\xe1\x1f", b"\xff\x80\x80\x00"):
        for end in range(1, len(block)):
            assert refused(reading(), block[:end]) == ErrorCodes.COMPRESSION_ERROR


def test_a_table_may_be_resized_twice_before_the_first_field() -> None:
    reader = reading()
    read(reader, b"\x40\x01a\x01b")
    assert read(reader, b"\x20\x3f\xe1\x1f\x82") == [(b":method", b"GET")]
    assert table(reader) == []


def test_a_field_larger_than_the_table_empties_it() -> None:
    reader = reading()
    read(reader, b"\x40\x01a\x01b")
    large = (b"large", b"x" * 4096)
    assert read(reader, b"\x40\x05large" + integer(127, 0, 4096) + large[1]) == [large]
    assert table(reader) == []


def test_a_field_may_take_its_name_from_the_one_that_it_pushes_out() -> None:
    reader = reading()
    read(reader, b"\x3f\x09\x40\x04name\x04once")  # a table of 40 bytes
    assert read(reader, b"\x7e\x03new") == [(b"name", b"new")]
    assert table(reader) == [(b"name", b"new")]


def test_who_knows_of_a_smaller_table_has_to_say_so() -> None:
    reader = reading(table_bytes=100)
    block = b"\x82\x84"
    assert read(reader, block) == read(reader, block)
    reader.acknowledged()
    assert refused(reader, block) == ErrorCodes.COMPRESSION_ERROR
    reader = reading(table_bytes=100)
    reader.acknowledged()
    assert read(reader, b"\x3f\x45" + block) == [(b":method", b"GET"), (b":path", b"/")]
    assert refused(reader, b"\x3f\x46") == ErrorCodes.COMPRESSION_ERROR


def test_the_table_holds_no_more_than_was_allowed() -> None:
    reader = reading()
    for number in range(1000):
        read(reader, b"\x40\x04%04d\x04%04d" % (number, number))
    assert len(table(reader)) == 4096 // 40 > 64
    assert table(reader)[0] == (b"0999", b"0999")


# What is large


def test_bombs_are_left_alone_before_they_are_unpacked() -> None:
    reader = reading()
    read(reader, Encoder().encode([(b"bomb", b"b" * 4000)], huffman=False))
    assert len(read(reader, b"\xbe" * 16)) == 16  # 16 times 4036 bytes
    assert refused(reader, b"\xbe" * 60_000) == ErrorCodes.ENHANCE_YOUR_CALM


def test_a_head_of_exactly_what_is_allowed() -> None:
    block = b"\x00\x01a\x01b" * 3
    assert len(read(reading(block_bytes=102), block)) == 3
    assert refused(reading(block_bytes=101), block) == ErrorCodes.ENHANCE_YOUR_CALM


def test_what_is_remembered_stays_small() -> None:
    reader = reading()
    for number in range(3 * KNOWN):
        read(reader, b"\x82" * 1000 + b"\x00\x01a\x03%03d" % (number % 1000))
    assert reader._known_bytes <= KNOWN_FIELDS_BYTES
    for number in range(3 * KNOWN):
        read(reader, b"\x00\x01a\x03%03d" % (number % 1000))
    assert len(reader._known) <= KNOWN


# What is remembered


def test_the_same_bytes_mean_something_else_when_the_table_has_changed() -> None:
    reader = reading()
    read(reader, b"\x40\x01a\x01b")
    assert [read(reader, b"\xbe") for _ in range(3)] == [[(b"a", b"b")]] * 3
    read(reader, b"\x40\x01c\x01d")
    assert [read(reader, b"\xbe") for _ in range(3)] == [[(b"c", b"d")]] * 3
    read(reader, b"\x20")
    assert refused(reader, b"\xbe") == ErrorCodes.COMPRESSION_ERROR


def test_a_block_that_was_wrong_for_its_use_changes_the_table_all_the_same() -> None:
    reader = reading()
    read(reader, b"\x40\x01a\x01b")
    read(reader, b"\xbe")
    for _ in range(2):
        with pytest.raises(Malformed):
            reader.read(b"\x40\x01c\x01d", check_request)
    assert read(reader, b"\xbe\xbf\xc0") == [(b"c", b"d"), (b"c", b"d"), (b"a", b"b")]


def test_what_is_right_as_one_thing_is_asked_again_as_another() -> None:
    reader = reading()
    for _ in range(2):
        assert read(reader, b"\x84") == [(b":path", b"/")]
        with pytest.raises(Malformed):
            reader.read(b"\x84", check_request)


# The hpack library has it the same

NAMES = st.one_of(st.sampled_from([b":path", b":status", b"cookie", b"server", b"x-a", b""]), st.binary(max_size=30))
VALUES = st.one_of(st.sampled_from([b"", b"200", b"/", b"x" * 500, b"y" * 5000]), st.binary(max_size=200))
FIELDS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=8)
STEP = st.tuples(FIELDS, st.booleans(), st.one_of(st.none(), st.integers(0, 4096)))


def packed(text: bytes) -> bytes:
    bits = "".join(format(REQUEST_CODES[byte], f"0{REQUEST_CODES_LENGTH[byte]}b") for byte in text)
    bits += "1" * (-len(bits) % 8)
    return int("0" + bits, 2).to_bytes(len(bits) // 8, "big")


SIZES = st.one_of(st.integers(0, 70), st.integers(0, 5000))
STRINGS = st.one_of(
    st.binary(max_size=20).map(lambda text: integer(127, 0, len(text)) + text),
    st.binary(max_size=20).map(lambda text: integer(127, 0x80, len(packed(text))) + packed(text)),
    st.binary(max_size=6).map(lambda text: integer(127, 0x80, len(text)) + text),
    st.just(integer(127, 0, 3000) + b"z" * 3000),
)
KINDS = st.sampled_from([(63, 0x40), (63, 0x40), (15, 0), (15, 0x10)])
PIECES = st.one_of(
    SIZES.map(lambda index: integer(127, 0x80, index)),
    SIZES.map(lambda size: integer(31, 0x20, size)),
    st.builds(lambda kind, index, value: integer(kind[0], kind[1], index) + value, KINDS, st.integers(1, 70), STRINGS),
    st.builds(lambda kind, name, value: integer(kind[0], kind[1], 0) + name + value, KINDS, STRINGS, STRINGS),
)
BLOCKS = st.one_of(
    st.lists(PIECES, max_size=6).map(b"".join),
    st.lists(st.one_of(PIECES, PIECES, PIECES, st.binary(max_size=3)), max_size=6).map(b"".join),
    st.builds(lambda pieces, cut: b"".join(pieces)[:-cut], st.lists(PIECES, min_size=1, max_size=4), st.integers(1, 5)),
)


def same(reader: BlockReader, decoder: Decoder, block: bytes) -> bool:
    """Both have read the same; False when both have refused it."""
    code = None
    try:
        expected = [tuple(pair) for pair in decoder.decode(block, raw=True)]
    except OversizedHeaderListError:
        code = ErrorCodes.ENHANCE_YOUR_CALM
    except HPACKError:
        code = ErrorCodes.COMPRESSION_ERROR
    if code is not None:
        assert refused(reader, block) == code
        return False
    assert read(reader, block) == expected
    return True


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP, max_size=6))
def test_what_the_library_encodes(steps: list[Any]) -> None:
    reader, decoder, encoder = reading(block_bytes=20_000), Decoder(20_000), Encoder()
    for fields, huffman, size in steps:
        if size is not None and size != encoder.header_table_size:
            encoder.header_table_size = size
        pairs = [NeverIndexedHeaderTuple(name, value) if never else (name, value) for name, value, never in fields]
        block = encoder.encode(pairs, huffman=huffman)
        if not same(reader, decoder, block):
            return


@settings(max_examples=300, deadline=None)
@given(st.lists(BLOCKS, max_size=8), st.sampled_from([200, 4000, 65536]), st.sampled_from([0, 100, 4096, 5000]))
def test_blocks_of_any_fields_and_noise(blocks: list[bytes], most: int, table_bytes: int) -> None:
    reader, decoder = reading(block_bytes=most, table_bytes=table_bytes), Decoder(most)
    decoder.max_allowed_table_size = max(4096, table_bytes)
    for block in [*blocks, *blocks, *blocks]:
        if not same(reader, decoder, block):
            return
    decoder.max_allowed_table_size = table_bytes
    reader.acknowledged()
    for block in blocks:
        if not same(reader, decoder, block):
            return


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_any_text_in_huffman_s_code(text: bytes) -> None:
    code = packed(text)
    assert unpacked(code) == text
    assert read(reading(), b"\x00\x01a" + integer(127, 0x80, len(code)) + code) == [(b"a", text)]
    if text:
        block = b"\x00\x01a" + integer(127, 0x80, len(code) + 1) + code + b"\xff"
        assert refused(reading(), block) == ErrorCodes.COMPRESSION_ERROR


def test_every_byte_in_huffman_s_code() -> None:
    for byte in range(256):
        for text in (bytes((byte,)) * count for count in range(1, 9)):
            assert unpacked(packed(text)) == text


def test_values_that_never_come_again_stay_out_of_the_table() -> None:
    writer, decoder = BlockWriter(4096), Decoder()
    asked = [(b":method", b"GET"), (b"user-agent", b"somebody")]
    sizes = []
    for number in range(300):
        pairs = [*asked, (b"traceparent", b"00-%032x-%016x-01" % (number + 1, number + 1)), (b"etag", b'"%d"' % number)]
        block = writer.write(pairs)
        assert decoder.decode(block, raw=True) == pairs
        sizes.append(len(block))
    assert [name for name, _ in decoder.header_table.dynamic_entries] == [b"traceparent", b"user-agent"]
    assert max(sizes[1:]) < 70  # its name went once
