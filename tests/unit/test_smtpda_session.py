"""What goes over the wire, and what a bounce says."""

from __future__ import annotations

import smtplib
import ssl
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skitai.helpers.smtpda.bounce import bounce
from skitai.helpers.smtpda.session import Reply, Result, dotted, explain
from skitai.ipc.envelope import Envelope, Mail, MailServer

lines = st.lists(st.text(st.sampled_from(".\r\nab"), max_size=6), max_size=8).map(lambda parts: "".join(parts).encode())


@given(lines)
def test_a_message_ends_where_it_ends(message):
    """RFC 5321, section 4.5.2, read from the other side."""
    wire = dotted(message)
    end = wire.index(b"\r\n.\r\n") if wire != b".\r\n" else -2
    assert end + len(b"\r\n.\r\n") == len(wire)
    received = [line[1:] if line.startswith(b".") else line for line in wire[: end + 2].split(b"\r\n")]
    sent = message.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    assert received == (sent if not sent[-1] else [*sent, b""])


def test_bare_line_ends_become_whole_ones():
    assert dotted(b"a\n.\nb\r.\rc") == b"a\r\n..\r\nb\r\n..\r\nc\r\n.\r\n"


@pytest.mark.parametrize(
    ("code", "where"),
    [
        (250, "delivered"),
        (251, "delivered"),
        (450, "deferred"),
        (421, "deferred"),
        (550, "refused"),
        (-1, "deferred"),
        (354, "deferred"),
    ],
)
def test_what_an_answer_means(code, where):
    result = Result()
    result.add(["b@y"], Reply(code, "text"))
    found = {"delivered": result.delivered, "refused": [*result.refused], "deferred": [*result.deferred]}
    assert found.pop(where) == ["b@y"]
    assert not any(found.values())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (TimeoutError("timed out"), "no answer in time"),
        (smtplib.SMTPAuthenticationError(535, b"5.7.8 wrong\nreally"), "535 5.7.8 wrong really"),
        (smtplib.SMTPServerDisconnected("Connection unexpectedly closed"), "Connection unexpectedly closed"),
        (ValueError("no name"), "no name"),
        (OSError(), "OSError"),
    ],
)
def test_errors_in_a_line(error, said):
    assert explain(error) == said


def test_a_certificate_that_is_not_to_be_trusted_says_why():
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    assert explain(error) == "its certificate is not to be trusted: self-signed certificate"


MESSAGE = "From: Jörg <유저@x.example>\r\nSubject: =?utf-8?q?hello?=\r\nX-Raw: ü\r\n\r\nbody\r\n".encode()


def test_a_bounce_in_all_scripts():
    server = MailServer("mail.test", 25)
    mail = Mail(Envelope("유저@x.example", ("오류@y.example", "c@y.example"), server, message_id="<1@x.example>"))
    failures = {"오류@y.example": "550 5.1.1 <오류@y.example> unknown", "c@y.example": "mail.test:25: no answer in time"}
    envelope, data = bounce(mail, MESSAGE, failures, "client.test", 1_700_000_000)
    assert (envelope.sender, envelope.recipients, envelope.server, envelope.utf8) == ("", ("유저@x.example",), server, True)
    report = message_from_bytes(data, policy=default)
    assert report["Message-ID"] == envelope.message_id
    assert report["From"].addresses[0].addr_spec == "mailer-daemon@client.test"
    assert report["Auto-Submitted"] == "auto-replied"
    text, status, headers = report.iter_parts()
    assert "오류@y.example\n        550 5.1.1" in text.get_content().replace("\r", "")
    _, first, second = status.get_payload()
    assert (first["Final-Recipient"], first["Status"]) == (r"utf-8; \x{C624}\x{B958}@y.example", "5.1.1")
    assert (second["Final-Recipient"], second["Status"]) == ("rfc822; c@y.example", "4.4.7")
    assert "X-Raw: ü" in headers.get_content()
    assert "body" not in headers.get_content()


def test_a_bounce_from_a_host_without_a_name_comes_from_the_senders_domain():
    mail = Mail(Envelope("a@x.example", ("b@y.example",)))
    _, data = bounce(mail, b"\r\n", {"b@y.example": "550 no"}, "[127.0.0.1]", 0)
    assert b"From: Mail Delivery <mailer-daemon@x.example>\r\n" in data
    assert b"In-Reply-To" not in data
    assert data.isascii()
