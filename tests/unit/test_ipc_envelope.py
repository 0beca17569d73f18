"""The form of a file in the mail spool."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.ipc.envelope import (
    DEFAULT_LANE,
    Attempt,
    CorruptMail,
    Envelope,
    Mail,
    MailServer,
    Name,
    decode_attempts,
    decode_head,
    encode_attempt,
    encode_head,
)

texts = st.text(max_size=40)
addresses = texts.filter(lambda text: not re.search(r"[\0\r\n]", text))
servers = st.none() | st.builds(
    MailServer, texts, st.integers(1, 65535), texts, texts, st.booleans(), st.sampled_from(["auto", "always", "never"])
)
envelopes = st.builds(
    Envelope,
    addresses,
    st.lists(addresses, min_size=1, max_size=4).map(tuple),
    servers,
    st.floats(0, 4e9),
    texts,
    st.booleans(),
)
reasons = st.dictionaries(texts, texts, max_size=3)
attempts = st.lists(
    st.builds(Attempt, st.floats(0, 4e9), st.lists(texts, max_size=3).map(tuple), reasons, reasons), max_size=4
)


@given(envelopes, st.binary(max_size=200), attempts, st.integers(0, 60))
def test_what_is_written_is_read(envelope, message, tried, torn):
    head_line = encode_head(envelope, message)
    record = b"".join(map(encode_attempt, tried))
    head = decode_head(head_line)
    assert head.envelope == envelope
    assert (head.offset, head.size) == (len(head_line), len(message))
    head.check(message)
    assert decode_attempts(record) == (tuple(tried), len(record))
    last = encode_attempt(Attempt(1, ("a@x",)))[: torn - 100 or None]
    if not last.endswith(b"\n"):
        assert decode_attempts(record + last) == (tuple(tried), len(record))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"From: a@b\r\n",
        b"\x80\x04\x95pickle\n",
        b"[1]\n",
        b'{"skitai_mail": 2}\n',
        b'{"skitai_mail": 1}\n',
        encode_head(Envelope("a@x", ("b@y",)), b"m")[:-1],
        encode_head(Envelope("a@x", ()), b"m"),
        encode_head(Envelope("a@x", ("b@y",)), b"m").replace(b'"a@x"', b"7"),
        encode_head(Envelope("a@x", ("b@y",)), b"m").replace(b'["b@y"]', b"[7]"),
        encode_head(Envelope("a@x", ("b@y",), MailServer("h", 25)), b"m").replace(b'"h", 25', b'"h"'),
        encode_head(Envelope("a@x", ("b@y",)), b"m").replace(b'"size": 1', b'"size": -1'),
        encode_head(Envelope("a@x", ("b@y",)), b"m").replace(b'"size": 1', b'"size": Infinity'),
        encode_head(Envelope("a@x", ("b@y",)), b"m").replace(b'"made_s": 0', b'"made_s": ' + b"9" * 400),
        encode_head(Envelope("a@x>\r\nRCPT TO:<c@z", ("b@y",)), b"m"),
        encode_head(Envelope("a@x", ("b@y", "c@z\n")), b"m"),
        encode_head(Envelope("a@x", ("b@y\0",)), b"m"),
        b"[" * 100_000 + b"\n",
    ],
)
def test_what_is_no_envelope_is_corrupt(line):
    with pytest.raises(CorruptMail):
        decode_head(line)


@pytest.mark.parametrize(
    "line", [b'{"at_s": ' + b"9" * 400 + b"}\n", b"[" * 100_000 + b"\n", b'{"at_s": 1, "delivered": [7]}\n']
)
def test_a_record_ends_where_it_cannot_be_read(line):
    good = encode_attempt(Attempt(1, ("a@x",)))
    assert decode_attempts(good + line + good) == ((Attempt(1, ("a@x",)),), len(good))


def test_a_message_that_is_not_what_was_put_there_is_corrupt():
    head = decode_head(encode_head(Envelope("a@x", ("b@y",)), b"message"))
    with pytest.raises(CorruptMail, match="6 of the 7 bytes"):
        head.check(b"messag")
    with pytest.raises(CorruptMail, match="another message"):
        head.check(b"massage")


def test_names_sort_by_when_they_are_due_and_are_read_back():
    early, late = Name(1_700_000_000_000, 12, DEFAULT_LANE, "0" * 32), Name(1_700_000_000_001, 0, "0badcafe", "f" * 32)
    assert sorted([str(late), str(early)]) == [str(early), str(late)]
    assert Name.parse(str(late)) == late
    assert late.due_s == 1_700_000_000.001


@pytest.mark.parametrize("text", ["3.D41D8CD98F00B204E9800998ECF8427E", "x.mail", ".new-1", "1-00-00000000-0.mail", ""])
def test_other_names_are_none_of_ours(text):
    assert Name.parse(text) is None


def test_pending_are_those_that_neither_have_it_nor_were_refused():
    mail = Mail(
        Envelope("a@x", ("b@y", "c@y", "d@y")),
        (Attempt(1, deferred={"b@y": "451 later"}), Attempt(2, ("b@y",), {"c@y": "550 no"}, {"d@y": "450 full"})),
    )
    assert mail.pending == ("d@y",)
    assert mail.refused == {"c@y": "550 no"}
    assert mail.reason == "550 no"


@pytest.mark.parametrize(
    ("text", "ssl", "host", "port"),
    [
        ("mail.example.com", False, "mail.example.com", 25),
        ("mail.example.com", True, "mail.example.com", 465),
        ("127.0.0.1:2525", True, "127.0.0.1", 2525),
        ("[::1]:587", False, "::1", 587),
        ("[::1]", False, "::1", 25),
    ],
)
def test_servers_are_read(text, ssl, host, port):
    server = MailServer.parse(text, "user", "secret", ssl)
    assert (server.host, server.port) == (host, port)
    assert "secret" not in repr(server)


@pytest.mark.parametrize(
    "text", ["", ":25", "a:b", "a:0", "a:65536", "a b", "http://a", "::1", "user@host", "a\r\nb", "a\n"]
)
def test_what_is_no_server_is_refused(text):
    with pytest.raises(ValueError, match="no mail server"):
        MailServer.parse(text)


def test_an_unknown_word_for_starttls_is_refused():
    with pytest.raises(ValueError, match="auto, always, never"):
        MailServer.parse("a", starttls="yes")


def test_lanes_tell_servers_apart_but_not_passwords():
    assert MailServer("a", 25).lane == MailServer("a", 25, password="x").lane
    assert MailServer("a", 25).lane != MailServer("a", 26).lane
    assert Envelope("a@x", ("b@y",)).lane == DEFAULT_LANE
