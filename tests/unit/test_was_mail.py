"""Messages that `was.email` writes, read again by Python's own parser."""

from __future__ import annotations

import io
import re
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import skitai
from skitai import was
from skitai.ipc import rundir
from skitai.ipc.spool import Spool
from skitai.was.mail import Email


@pytest.fixture
def spool(tmp_path, monkeypatch):
    monkeypatch.setattr(rundir, "VAR_BASE", str(tmp_path / "skitai"))
    return Spool(rundir.default_home())


class Sent:
    """The only message in the spool."""

    def __init__(self, spool: Spool) -> None:
        (name,) = spool.scan().names
        lease = spool.lease(name)
        self.raw, self.envelope = lease.message, lease.mail.envelope
        lease.remove()
        self.message = message_from_bytes(self.raw, policy=default)

    def types(self, part=None):
        """The tree of parts as nested tuples of types."""
        part = part or self.message
        inner = tuple(self.types(each) for each in part.iter_parts()) if part.is_multipart() else ()
        return (part.get_content_type(), *inner)


def unix(text: str) -> str:
    return re.sub(r"\r\n|\r", "\n", text).rstrip("\n")


def written() -> Email:
    return Email("Hello", "Ann <ann@example.com>", "bob@example.com")


def test_a_plain_message(spool):
    email = written()
    email.add_text("Hello Bob\n")
    message_id = email.send()
    sent = Sent(spool)
    assert sent.envelope.sender == "ann@example.com"
    assert sent.envelope.recipients == ("bob@example.com",)
    assert sent.envelope.server is None
    assert not sent.envelope.utf8
    assert sent.message["From"] == "Ann <ann@example.com>"
    assert sent.message["To"] == "bob@example.com"
    assert sent.message["Subject"] == "Hello"
    assert sent.message["Message-ID"] == message_id == sent.envelope.message_id
    assert re.fullmatch(r"<[^@<>\s]+@example\.com>", message_id)
    assert sent.message["Date"].datetime.tzinfo is not None
    assert sent.message.get_content() == "Hello Bob\r\n"
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", sent.raw)


def test_every_message_has_an_identity_of_its_own(spool):
    email = written()
    assert email.send() != email.send()


def test_texts_are_alternatives_and_html_shows_what_it_names(spool, tmp_path):
    picture = tmp_path / "001.png"
    picture.write_bytes(b"\x89PNG")
    email = written()
    email.add_content("<img src='cid:ID_A'>", "text/html")
    email.add_text("a picture")
    email.add_attachment(picture, cid="ID_A")
    email.add_attachment(io.BytesIO(b"1,2"), name="table.csv")
    email.send()
    sent = Sent(spool)
    assert sent.types() == (
        "multipart/mixed",
        (
            "multipart/alternative",
            ("text/plain",),
            ("multipart/related", ("text/html",), ("image/png",)),
        ),
        ("text/csv",),
    )
    shown = next(part for part in sent.message.walk() if part.get_content_type() == "image/png")
    assert (shown["Content-ID"], shown.get_content_disposition()) == ("<ID_A>", "inline")
    assert shown.get_content() == b"\x89PNG"
    (table,) = sent.message.iter_attachments()
    assert (table.get_filename(), table.get_content_disposition()) == ("table.csv", "attachment")


def test_html_alone_shows_what_it_names(spool):
    email = written()
    email.add_content("<img src='cid:a'>", "text/html")
    email.add_attachment(io.BytesIO(b"GIF89a"), name="a.gif", cid="a")
    email.send()
    assert Sent(spool).types() == ("multipart/related", ("text/html",), ("image/gif",))


def test_texts_of_one_type_are_all_shown(spool):
    email = written()
    email.add_text("one")
    email.add_text("two")
    email.send()
    sent = Sent(spool)
    assert sent.types() == ("multipart/mixed", ("text/plain",), ("text/plain",))
    assert [part.get_content().strip() for part in sent.message.iter_parts()] == ["one", "two"]


def test_nothing_to_say_is_an_empty_text(spool):
    written().send()
    assert Sent(spool).message.get_content().strip() == ""


def test_recipients_of_all_kinds(spool):
    email = Email("x", "a@example.com", ["b@example.com", "C <c@example.com>, d@example.com"])
    email.cc("e@example.com")
    email.cc(["b@example.com"])
    email.bcc("f@example.com")
    email.reply_to("Office <g@example.com>")
    email.send()
    sent = Sent(spool)
    assert sent.envelope.recipients == tuple(f"{letter}@example.com" for letter in "bcdef")
    assert sent.message["To"] == "b@example.com, C <c@example.com>, d@example.com"
    assert sent.message["Cc"] == "e@example.com, b@example.com"
    assert sent.message["Reply-To"] == "Office <g@example.com>"
    assert b"f@example.com" not in sent.raw


def test_copies_alone_are_enough(spool):
    email = Email("x", "a@example.com", "")
    with pytest.raises(ValueError, match="no recipient"):
        email.send()
    email.bcc("b@example.com")
    email.send()
    assert Sent(spool).message["To"] is None


def test_a_server_of_its_own(spool):
    email = written()
    email.set_smtp("127.0.0.1:465", "username", "password", ssl=True)
    email.send()
    server = Sent(spool).envelope.server
    assert (server.host, server.port, server.user, server.password, server.ssl) == (
        "127.0.0.1",
        465,
        "username",
        "password",
        True,
    )


def test_text_of_all_scripts_goes_as_ascii(spool, tmp_path):
    file = tmp_path / "보고서 №1, final; 'copy'.txt"
    file.write_text("내용")
    email = Email("안녕하세요 ☃ " * 20, "김민수 <kim@example.com>", '"Müller, Jörg" <joerg@example.com>')
    email.add_text("첫 줄\n" + "긴 줄 " * 500)
    email.add_attachment(file)
    email.set_header("X-Note", "привет")
    email.send()
    sent = Sent(spool)
    assert sent.raw.isascii()
    assert max(map(len, sent.raw.split(b"\r\n"))) < 998
    assert sent.message["Subject"] == "안녕하세요 ☃ " * 20
    assert sent.message["From"].addresses[0].display_name == "김민수"
    assert sent.message["To"].addresses[0].display_name == "Müller, Jörg"
    assert sent.message["X-Note"] == "привет"
    assert sent.message.get_body().get_content().startswith("첫 줄\r\n긴 줄")
    (attached,) = sent.message.iter_attachments()
    assert attached.get_filename() == file.name
    assert attached.get_content() == "내용"


def test_domains_have_an_ascii_form_and_local_parts_need_smtputf8(spool):
    Email("x", "a@example.com", "b@bücher.example").send()
    sent = Sent(spool)
    assert sent.envelope.recipients == ("b@xn--bcher-kva.example",)
    assert not sent.envelope.utf8
    Email("☃", "a@example.com", "유저@bücher.example").send()
    sent = Sent(spool)
    assert sent.envelope.utf8
    assert sent.envelope.recipients == ("유저@xn--bcher-kva.example",)
    assert "To: 유저@xn--bcher-kva.example\r\n".encode() in sent.raw


def test_another_charset(spool):
    email = written()
    email.add_content("Grüße", "text/plain", "latin-1")
    email.send()
    assert Sent(spool).message.get_content().strip() == "Grüße"


def test_headers_are_added_and_overridden(spool):
    email = written()
    email.set_header("X-Priority", "3")
    email.set_header("Message-ID", "<mine@example.com>")
    email.set_header("Date", "Mon, 01 Jan 2024 00:00:00 +0000")
    email.set_header("Reply-To", "office@example.com")
    email.set_header("X-Priority", "1")
    assert email.send() == "<mine@example.com>"
    sent = Sent(spool)
    assert sent.message.get_all("X-Priority") == ["1"]
    assert sent.message.get_all("Date") == ["Mon, 01 Jan 2024 00:00:00 +0000"]
    assert sent.message["Reply-To"] == "office@example.com"


def test_a_file_that_vanishes_afterwards_is_still_sent(spool, tmp_path):
    file = tmp_path / "gone.txt"
    file.write_text("here")
    email = written()
    email.add_attachment(file)
    file.unlink()
    email.send()
    (attached,) = Sent(spool).message.iter_attachments()
    assert attached.get_content() == "here"
    with pytest.raises(FileNotFoundError):
        email.add_attachment(file)


def test_names_and_types_of_attachments(spool, tmp_path):
    file = tmp_path / "backup.tar.gz"
    file.write_bytes(b"\x1f\x8b")
    email = written()
    email.add_attachment(file)
    with file.open("rb") as opened:
        email.add_attachment(opened, name="../../etc/passwd")
    email.add_attachment(io.BytesIO(b"Subject: inner\r\n\r\n"), name="letter.eml")
    with pytest.raises(ValueError, match="has none of its own"):
        email.add_attachment(io.BytesIO(b""))
    with pytest.raises(TypeError, match="open it for bytes"):
        email.add_attachment(io.StringIO("text"), name="a.txt")
    email.send()
    parts = [(part.get_filename(), part.get_content_type()) for part in Sent(spool).message.iter_attachments()]
    assert parts == [(name, "application/octet-stream") for name in ("backup.tar.gz", "passwd", "letter.eml")]


def test_saving_writes_a_file_that_mail_programs_open(spool, tmp_path):
    email = Email("x", "a@example.com", "b@example.com")
    email.bcc("c@example.com")
    email.add_text("hello")
    email.save(tmp_path / "x.eml")
    saved = message_from_bytes(Path(tmp_path / "x.eml").read_bytes(), policy=default)
    assert saved.get_content() == "hello\r\n"
    assert b"c@example.com" not in Path(tmp_path / "x.eml").read_bytes()
    assert spool.scan().names == []


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n", "\0", "\x0b", "\x1c", "\x85", "\u2028"])
@pytest.mark.parametrize(
    "write",
    [
        lambda bad: Email(f"x{bad}Bcc: evil@example.com", "a@example.com", "b@example.com"),
        lambda bad: Email("x", f"a@example.com{bad}", "b@example.com"),
        lambda bad: Email("x", f'"A{bad}" <a@example.com>', "b@example.com"),
        lambda bad: Email("x", "a@example.com", f"b@example.com{bad}RCPT TO:<evil@example.com>"),
        lambda bad: Email("x", "a@example.com", ["b@example.com", f"c{bad}@example.com"]),
        lambda bad: written().cc(f"{bad}c@example.com"),
        lambda bad: written().bcc(f"c@example.com{bad}"),
        lambda bad: written().reply_to(f"c@exa{bad}mple.com"),
        lambda bad: written().set_header("X-Note", f"a{bad}b"),
        lambda bad: written().set_header(f"X{bad}Note", "a"),
        lambda bad: written().set_header("Reply-To", f"c@example.com{bad}"),
        lambda bad: written().set_header("Message-ID", f"<a@b>{bad}"),
        lambda bad: written().add_attachment(io.BytesIO(b""), name=f"a{bad}.txt"),
        lambda bad: written().add_attachment(io.BytesIO(b""), name="a.txt", cid=f"a{bad}b"),
        lambda bad: written().add_content("a", f"text/html{bad}"),
        lambda bad: written().set_smtp(f"localhost{bad}"),
        lambda bad: written().set_smtp("localhost", f"user{bad}", "x"),
        lambda bad: written().set_smtp("localhost", "user", f"x{bad}"),
    ],
)
def test_nothing_breaks_out_of_its_line(write, end):
    with pytest.raises(ValueError):
        write(end)


@pytest.mark.parametrize(
    "address",
    [
        "root",
        "a@",
        "@example.com",
        "a@@example.com",
        "a b@example.com",
        "<a@example.com",
        "Kim, Minsu <a@example.com>",
        "a@example..com",
        "a@[> SIZE=1]",
        ":;:",
        "\\@[",
        "a@exa>mple.com",
        "a@\ud800.example",
        f"a@{'ü' * 70}.example",
    ],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError):
        Email("x", "a@example.com", address)


def test_what_is_no_text_is_a_mistake_of_another_kind():
    for address in (None, 7, [None], b"a@example.com"):
        with pytest.raises(TypeError, match="a recipient is .*: it should be text"):
            Email("x", "a@example.com", address)
    with pytest.raises(TypeError):
        Email(None, "a@example.com", "b@example.com")


def test_a_message_has_one_sender():
    for sender in ("", "a@example.com, b@example.com"):
        with pytest.raises(ValueError, match="should be one address"):
            Email("x", sender, "b@example.com")


@pytest.mark.parametrize(
    "name", ["To", "cc", "BCC", "From", "Subject", "MIME-Version", "Content-Type", "", "a b", "a:b", "ä"]
)
def test_headers_of_others_are_refused(name):
    with pytest.raises(ValueError):
        written().set_header(name, "x")


@pytest.mark.parametrize(
    ("mimetype", "charset"), [("image/png", "utf-8"), ("html", "utf-8"), ("text/plain", "klingon"), ("text/plain", "utf-16")]
)
def test_what_is_no_text_is_refused(mimetype, charset):
    with pytest.raises(ValueError):
        written().add_content("x", mimetype, charset)
    with pytest.raises(ValueError):
        written().add_content("☃", "text/plain", "latin-1")


def test_it_is_reached_by_its_two_names(spool):
    for write in (skitai.email, was.email):
        write("x", "a@example.com", "b@example.com").send()
        assert Sent(spool).envelope.sender == "a@example.com"


printable = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=120)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(printable, printable, st.text(st.characters(exclude_categories=("Cs",)), max_size=300))
def test_what_is_written_is_read(spool, subject, note, text):
    email = Email(subject, "a@example.com", "b@example.com")
    email.set_header("X-Note", note)
    email.add_text(text)
    email.send()
    sent = Sent(spool)
    assert sent.raw.isascii()
    assert b"\0" not in sent.raw
    assert " ".join(str(sent.message["Subject"]).split()) == " ".join(subject.split())
    assert " ".join(str(sent.message["X-Note"]).split()) == " ".join(note.split())
    assert unix(sent.message.get_content()) == unix(text)


# What may stand between the brackets of MAIL FROM and RCPT TO (RFC 5321, section 4.1.2; RFC 6531, section 3.3).
_ATOM = r"[^\x00-\x20\x7f\"(),.:;<>@\[\\\]]+"
_MAILBOX = re.compile(rf'(?:{_ATOM}(?:\.{_ATOM})*|"(?:[^\x00-\x1f\x7f\\"]|\\[^\x00-\x1f\x7f])*")@[A-Za-z0-9._:\[\]-]+')


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from('ab.@<>"\\ ,;:[]()é\u3000=?\t'), max_size=25) | st.text(max_size=25))
def test_an_address_that_is_accepted_is_one(text):
    try:
        email = Email("x", "a@example.com", text)
    except ValueError:
        return
    for each in email._to:
        assert _MAILBOX.fullmatch(each.addr_spec)
