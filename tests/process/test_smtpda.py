"""The mail agent against real servers: those that do as they should, and those that do not."""

from __future__ import annotations

import base64
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import dkim
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from skitai.config.sections.helping import Smtpda
from skitai.errors import StartError
from skitai.helpers.smtpda.agent import Agent
from skitai.helpers.smtpda.watch import Watch
from skitai.ipc.envelope import Attempt, Envelope, MailServer, Name, encode_head
from skitai.ipc.scoreboard import Scoreboard
from skitai.ipc.spool import Spool
from tests.support.dialogue import eventually
from tests.support.mailserver import Behaviour, mail_server, read_until, scripted

pytestmark = pytest.mark.process


class Desk:
    """A spool and an agent in a thread of this process.

    :ivar left: what was in the spool when the agent had left.
    """

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(str(folder))
        self.row = Scoreboard.create().row(0)
        self.agent: Agent | None = None
        self._thread: threading.Thread | None = None
        self._numbers = 0
        self.left: list[Name] = []

    def start(self, **options: Any) -> Desk:
        given = {"retry_s": 0.2, "timeout_s": 5, "helo": "client.test", "keep_days": 1} | options
        self.agent = Agent(Smtpda(**given), self.spool, self.row)
        self.agent.prepare()
        self._thread = threading.Thread(target=self.agent.run)
        self._thread.start()
        return self

    def put(self, *recipients: str, server: MailServer | None = None, body: bytes = b"hello\r\n", **envelope: Any) -> str:
        """Put a message into the spool; its Message-ID."""
        self._numbers += 1
        message_id = f"<{self._numbers}@client.test>"
        message = b"Message-ID: %s\r\nFrom: a@client.test\r\nSubject: hello\r\n\r\n%s" % (message_id.encode(), body)
        sender = envelope.pop("sender", "a@client.test")
        to = recipients or ("b@mail.test",)
        self.spool.put(Envelope(sender, to, server, message_id=message_id, **envelope), message)
        return message_id

    @property
    def waiting(self) -> list[Name]:
        return self.spool.scan().names

    @property
    def given_up(self) -> list[Name]:
        return self.spool.given_up().names

    def failures(self) -> dict[str, str]:
        """Why, by recipient, for the only message that was given up."""
        (name,) = eventually(lambda: self.given_up, "a message is given up")
        mail = self.spool.peek(name, given_up=True)
        return mail.refused | dict(mail.attempts[-1].deferred)

    def is_empty(self) -> bool:
        return not self.waiting

    def leave(self, grace_s: float = 5) -> float:
        """Tell the agent to leave; how long it took."""
        began_s = time.monotonic()
        self.agent.soon(lambda: self.agent.leave(grace_s))
        self._thread.join(20)
        assert not self._thread.is_alive()
        took_s = time.monotonic() - began_s
        self.left = self.waiting
        for each in self.agent._threads:
            each.join(10)
        self.agent.close()
        self.agent = None
        return took_s


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    if made.agent is not None:
        made.leave(0)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    caplog.set_level(logging.INFO, "skitai.smtpda")
    logging.getLogger("skitai.smtpda").addHandler(caplog.handler)
    yield lambda: caplog.text
    logging.getLogger("skitai.smtpda").removeHandler(caplog.handler)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(ca: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(path)
    return str(path)


def certificate(ca: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(*(names or ("127.0.0.1",))).configure_cert(context)
    return context


# Delivery


@pytest.mark.parametrize("pipelining", [False, True])
def test_a_message_arrives_as_it_was_put(desk, pipelining):
    with mail_server(Behaviour(pipelining=pipelining)) as (server, address):
        body = b".\r\n..two\r\n.three\r\n\r\nFrom here\r\n.\r\n"
        desk.put("b@mail.test", "c@mail.test", body=body)
        desk.start(server=str(address))
        eventually(lambda: server.got, "the message arrives")
        eventually(desk.is_empty, "it leaves the spool")
        (got,) = server.got
        assert (got.sender, got.recipients) == ("a@client.test", ["b@mail.test", "c@mail.test"])
        assert got.data.endswith(b"Subject: hello\r\n\r\n" + body)
        eventually(lambda: desk.row.done == 1, "it is counted")
        assert desk.given_up == []


def test_it_goes_as_soon_as_it_is_put(desk):
    with mail_server() as (server, address):
        desk.start(server=str(address))
        time.sleep(0.1)
        took_s = []
        for number in range(5):
            began_s = time.monotonic()
            desk.put()
            eventually(lambda number=number: len(server.got) > number, "the message arrives")
            took_s.append(time.monotonic() - began_s)
        assert min(took_s) < 0.3


def test_many_go_over_few_connections(desk):
    with mail_server(Behaviour(pipelining=True)) as (server, address):
        ids = {desk.put() for _ in range(100)}
        desk.start(server=str(address), concurrency=4)
        eventually(desk.is_empty, "the spool is empty", 20)
        assert {got.message_id for got in server.got} == ids
        assert len(server.got) == 100
        assert server.connections <= 4


def test_ten_thousand_waiting_messages_are_known_within_a_second(desk):
    desk.put()
    (name,) = desk.waiting
    later_ms = int((time.time() + 600) * 1000)
    for number in range(10_000):
        other = Name(later_ms + number, 1, name.lane, f"{number:032x}")
        os.link(Path(desk.spool.folder, str(name)), Path(desk.spool.folder, str(other)))
    with mail_server() as (server, address):
        began_s = time.monotonic()
        desk.start(server=str(address))
        assert time.monotonic() - began_s < 1
        eventually(lambda: server.got, "the one that is due arrives")
        eventually(lambda: desk.row.waiting == 10_000, "the others are counted")


def test_each_message_may_name_its_server(desk):
    with mail_server() as (one, first), mail_server() as (two, second):
        desk.start(server=str(first))
        for_two, for_one = desk.put(server=second), desk.put()
        eventually(lambda: one.got and two.got, "both arrive")
        assert (one.got[0].message_id, two.got[0].message_id) == (for_one, for_two)


def test_without_any_server_it_waits_and_says_so(desk, said):
    desk.start(max_retry=0)
    desk.put()
    assert "no mail server is configured" in desk.failures()["b@mail.test"]


def test_a_server_with_an_ipv6_address(desk):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 here")
    with mail_server(host="::1") as (server, address):
        desk.start(server=str(address))
        desk.put()
        eventually(lambda: server.got, "the message arrives")
        assert str(address).startswith("[::1]:")


def test_addresses_of_all_scripts(desk):
    with mail_server() as (server, address):
        desk.start(server=str(address))
        desk.put("유저@mail.test", utf8=True)
        eventually(lambda: server.got, "the message arrives")
        assert server.got[0].recipients == ["유저@mail.test"]
        assert "SMTPUTF8" in server.got[0].options


def test_an_address_that_the_server_cannot_take_is_refused_at_once(desk):
    def talk(client):
        client.sendall(b"220 mail.test\r\n")
        read_until(client, b"\r\n")
        client.sendall(b"250-mail.test\r\n250 SIZE 1000\r\n")
        read_until(client, b"QUIT\r\n")

    with scripted(talk) as address:
        desk.start(server=str(address), idle_s=0)
        desk.put("유저@mail.test", utf8=True)
        assert "SMTPUTF8" in desk.failures()["유저@mail.test"]


def test_a_message_that_is_too_large_is_refused_at_once(desk):
    with mail_server(data_size_limit=1000) as (server, address):
        desk.start(server=str(address))
        desk.put(body=b"x" * 2000 + b"\r\n")
        assert desk.failures()["b@mail.test"].startswith("552")
        assert server.got == []


# Refusals


def test_every_recipient_gets_what_is_his(desk, said):
    answers = {"no@mail.test": "550 5.1.1 no such user", "busy@mail.test": "450 4.2.1 busy"}
    with mail_server(Behaviour(rcpt=answers.get)) as (server, address):
        desk.start(server=str(address))
        message_id = desk.put("yes@mail.test", "no@mail.test", "busy@mail.test")
        eventually(lambda: desk.waiting and desk.waiting[0].attempts == 1, "it waits for the busy one")
        answers.pop("busy@mail.test")
        assert desk.failures() == {"no@mail.test": "550 5.1.1 no such user"}
        assert [got.recipients for got in server.got] == [["yes@mail.test"], ["busy@mail.test"]]
        assert {got.message_id for got in server.got} == {message_id}
        assert "<no@mail.test>" not in said() or "given up: 550 5.1.1 no such user" in said()


@pytest.mark.parametrize("pipelining", [False, True])
def test_a_greylisting_server_takes_it_the_second_time(desk, pipelining):
    answers = ["451 4.7.1 come back later"]
    behaviour = Behaviour(rcpt=lambda address: answers.pop() if answers else None, pipelining=pipelining)
    with mail_server(behaviour) as (server, address):
        desk.start(server=str(address), retry_s=0.5)
        began_s = time.monotonic()
        desk.put()
        eventually(lambda: server.got, "the message arrives")
        assert 0.45 <= server.got[0].at_s - began_s < 3
        eventually(desk.is_empty, "it leaves the spool")
        eventually(lambda: (desk.row.done, desk.row.failed) == (1, 0), "it is counted")


@pytest.mark.parametrize("pipelining", [False, True])
def test_a_refused_message_is_given_up_with_the_reason(desk, said, pipelining):
    behaviour = Behaviour(taken=lambda: "554 5.7.1 we do not like it", pipelining=pipelining)
    with mail_server(behaviour) as (_, address):
        desk.start(server=str(address))
        desk.put()
        assert desk.failures() == {"b@mail.test": "554 5.7.1 we do not like it"}
        eventually(lambda: desk.row.failed == 1, "it is counted")
        assert "given up: 554 5.7.1 we do not like it" in said()
        assert desk.is_empty()


@pytest.mark.parametrize("pipelining", [False, True])
def test_a_connection_is_good_for_more_after_refusals(desk, pipelining):
    behaviour = Behaviour(rcpt=lambda address: "550 no" if "no" in address else None, pipelining=pipelining)
    with mail_server(behaviour) as (server, address):
        desk.start(server=str(address), concurrency=1)
        for _ in range(3):
            desk.put("no@mail.test")
            desk.put("yes@mail.test")
        eventually(lambda: len(server.got) == 3 and len(desk.given_up) == 3, "all are dealt with")
        assert server.connections == 1


def test_attempts_end(desk):
    asked = []
    behaviour = Behaviour(rcpt=lambda address: asked.append(address) or "451 later")
    with mail_server(behaviour) as (_, address):
        desk.start(server=str(address), max_retry=2, retry_s=0.05)
        desk.put()
        assert desk.failures() == {"b@mail.test": "451 later"}
        assert len(asked) == 3
        (name,) = desk.given_up
        assert len(desk.spool.peek(name, given_up=True).attempts) == 3


def test_undelivered_mail_is_kept_for_some_days(desk):
    with mail_server(Behaviour(rcpt=lambda address: "550 no")) as (_, address):
        desk.start(server=str(address))
        desk.put()
        (name,) = eventually(lambda: desk.given_up, "it is given up")
        desk.leave()
        desk.start(server=str(address), keep_days=0.001)
        time.sleep(0.1)
        assert desk.given_up == [name]
        desk.leave()
        desk.start(server=str(address), keep_days=0)
        eventually(lambda: not desk.given_up, "it is removed")


# TLS and passwords


@pytest.mark.parametrize("implicit", [True, False])
def test_tls_to_a_server_whose_certificate_is_good(desk, ca, ca_file, implicit):
    with mail_server(tls=certificate(ca), implicit=implicit, require_starttls=not implicit) as (server, address):
        desk.start(server=str(address), ssl=implicit, starttls="always", ca_file=ca_file, concurrency=1)
        for number in (1, 2):
            desk.put()
            eventually(lambda number=number: len(server.got) == number and desk.is_empty(), "the message arrives")
        assert all(got.secured for got in server.got)
        assert len({got.peer for got in server.got}) == 1


def test_the_trust_store_may_be_named_by_the_environment(desk, ca, ca_file, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", ca_file)
    with mail_server(tls=certificate(ca), implicit=True) as (server, address):
        desk.start(server=str(address), ssl=True)
        desk.put()
        eventually(lambda: server.got, "the message arrives")


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize(("names", "trusted"), [(("127.0.0.1",), False), (("other.test",), True)])
def test_nothing_goes_to_a_server_whose_certificate_is_not(desk, ca, ca_file, implicit, names, trusted):
    with mail_server(tls=certificate(ca, *names), implicit=implicit) as (server, address):
        desk.start(server=str(address), ssl=implicit, starttls="always", ca_file=ca_file if trusted else "", max_retry=0)
        desk.put()
        assert "its certificate is not to be trusted" in desk.failures()["b@mail.test"]
        assert server.got == []


def test_checking_certificates_can_be_turned_off_by_name(desk, ca):
    with mail_server(tls=certificate(ca), implicit=True) as (server, address):
        desk.start(server=str(address), ssl=True, verify=False)
        desk.put()
        eventually(lambda: server.got, "the message arrives")
        assert server.got[0].secured


def test_starttls_that_is_demanded_and_not_offered_is_a_failure(desk):
    with mail_server() as (server, address):
        desk.start(server=str(address), starttls="always", max_retry=0)
        desk.put()
        assert "does not offer STARTTLS" in desk.failures()["b@mail.test"]
        assert server.got == []


@pytest.mark.parametrize("password", ["secret", "pass wörd ☃"])
def test_a_server_that_asks_for_a_password_gets_it(desk, ca, ca_file, password):
    behaviour = Behaviour(users={"user": password})
    with mail_server(behaviour, tls=certificate(ca), implicit=True, auth_require_tls=False) as (server, address):
        desk.start(server=str(address), ssl=True, ca_file=ca_file, user="user", password=password)
        desk.put()
        eventually(lambda: server.got, "the message arrives")


@pytest.mark.parametrize("mechanism", ["LOGIN", "PLAIN"])
def test_each_way_to_give_it(desk, mechanism):
    other = {"LOGIN": "PLAIN", "PLAIN": "LOGIN"}[mechanism]
    behaviour = Behaviour(users={"user": "secret"})
    with mail_server(behaviour, auth_require_tls=False, auth_exclude_mechanism=[other]) as (server, address):
        desk.start(server=str(address), user="user", password="secret")
        desk.put()
        eventually(lambda: server.got, "the message arrives")


def test_a_wrong_password_keeps_the_mail_for_later(desk, said):
    behaviour = Behaviour(users={"user": "right"})
    with mail_server(behaviour, auth_require_tls=False) as (server, address):
        desk.start(server=str(address), user="user", password="wr0ng-secret", retry_s=0.5)
        desk.put()
        eventually(lambda: desk.waiting and desk.waiting[0].attempts == 1, "it is put off")
        assert "535" in desk.spool.peek(desk.waiting[0]).reason
        assert "wr0ng-secret" not in said()
        behaviour.users = {"user": "wr0ng-secret"}
        eventually(lambda: server.got, "the message arrives")


def test_a_password_for_a_server_that_does_not_ask(desk):
    def talk(client):
        client.sendall(b"220 mail.test\r\n")
        read_until(client, b"\r\n")
        client.sendall(b"250 mail.test\r\n")
        client.recv(100)

    with scripted(talk) as address:
        desk.start(server=str(address), user="user", password="secret", max_retry=0)
        desk.put()
        assert "does not offer AUTH" in desk.failures()["b@mail.test"]


# Servers that fail


def test_a_connection_that_breaks_after_the_message_is_no_delivery(desk):
    with mail_server(Behaviour(drop_after_data=1)) as (server, address):
        desk.start(server=str(address))
        message_id = desk.put()
        eventually(lambda: len(server.got) == 2, "it is sent again")
        assert {got.message_id for got in server.got} == {message_id}
        eventually(desk.is_empty, "it leaves the spool")


def test_a_server_that_is_not_there_is_tried_again(desk):
    with mail_server() as (_, address):
        pass
    desk.start(server=str(address), retry_s=1)
    desk.put()
    eventually(lambda: desk.waiting and desk.waiting[0].attempts == 1, "it is put off")
    assert "refused" in desk.spool.peek(desk.waiting[0]).reason
    with mail_server(port=address.port) as (server, _):
        eventually(lambda: server.got, "the message arrives")


@pytest.mark.parametrize("host", ["mail.invalid", "a..b", ".", "x" * 300])
def test_a_name_that_nobody_has(desk, host):
    desk.start(max_retry=0)
    desk.put(server=MailServer(host, 25))
    assert desk.failures()["b@mail.test"].startswith(f"{host}:25: ")


def test_a_hanging_server_holds_up_nobody_else(desk):
    hang = threading.Event()
    asked = []

    def talk(client):
        asked.append(client)
        hang.wait(10)

    with scripted(talk) as hanging, mail_server() as (server, address):
        desk.start(server=str(address), timeout_s=2, retry_s=60, concurrency=4)
        for _ in range(50):
            desk.put(server=hanging)
        time.sleep(0.2)
        desk.put()
        began_s = time.monotonic()
        eventually(lambda: server.got, "the other server's message arrives")
        assert time.monotonic() - began_s < 1.5
        eventually(lambda: all(name.attempts for name in desk.waiting), "the others are put off", 8)
        assert len(desk.waiting) == 50
        assert "no answer in time" in desk.spool.peek(desk.waiting[0]).reason
        hang.set()
        assert len(asked) <= 3  # what waited together failed together


def test_a_slow_server_is_waited_for(desk):
    with mail_server(Behaviour(pause_s=2)) as (server, address):
        desk.start(server=str(address), timeout_s=1)
        desk.put()
        eventually(desk.is_empty, "it leaves the spool")
        assert len(server.got) == 1


@pytest.mark.parametrize("greeting", [b"554 go away\r\n", b"421 too busy\r\n", b"SSH-2.0-OpenSSH\r\n", b""])
def test_a_server_that_does_not_want_us(desk, greeting):
    with scripted(lambda client: client.sendall(greeting)) as address:
        desk.start(server=str(address), max_retry=1, retry_s=0.05)
        desk.put()
        eventually(lambda: desk.given_up, "it is given up")
        assert len(desk.spool.peek(desk.given_up[0], given_up=True).attempts) == 2


def test_an_idle_connection_that_was_closed_is_no_failure(desk):
    with mail_server() as (server, address):
        desk.start(server=str(address), concurrency=1)
        desk.put()
        eventually(lambda: server.got, "the first arrives")
        eventually(lambda: desk.row.connections == 1, "its connection is kept")
    with mail_server(port=address.port) as (server, _):
        desk.put()
        eventually(lambda: server.got, "the second arrives")
        eventually(desk.is_empty, "it leaves the spool")
        assert desk.row.failed == 0


def test_a_connection_that_has_had_enough_is_no_failure(desk):
    with mail_server(Behaviour(per_connection=3)) as (server, address):
        desk.start(server=str(address), concurrency=1, max_retry=0)
        for _ in range(10):
            desk.put()
        eventually(desk.is_empty, "all have left the spool")
        assert len(server.got) == 10
        assert server.connections == 4
        assert desk.given_up == []


def test_idle_connections_are_closed_in_time(desk):
    with mail_server() as (server, address):
        desk.start(server=str(address), idle_s=0.1)
        desk.put()
        eventually(lambda: server.got, "it arrives")
        eventually(lambda: desk.agent._sessions.open == 0, "the connection is closed", 5)


def test_with_pipelining_the_envelope_goes_in_one_piece(desk):
    heard = []

    def talk(client):
        client.sendall(b"220 mail.test\r\n")
        read_until(client, b"\r\n")
        client.sendall(b"250-mail.test\r\n250 PIPELINING\r\n")
        heard.append(read_until(client, b"DATA\r\n"))  # says nothing before it has heard all
        client.sendall(b"250 ok\r\n550 not you\r\n250 ok\r\n354 go ahead\r\n")
        heard.append(read_until(client, b"\r\n.\r\n"))
        client.sendall(b"250 taken\r\n")
        heard.append(read_until(client, b"DATA\r\n"))
        client.sendall(b"250 ok\r\n550 not you\r\n354 go ahead\r\n")
        heard.append(read_until(client, b".\r\n"))  # the way out when nobody wants it (RFC 2920, section 3.1)
        client.sendall(b"554 no recipients\r\n")
        heard.append(read_until(client, b"QUIT\r\n"))

    with scripted(talk) as address:
        desk.start(server=str(address), concurrency=1)
        desk.put("b@mail.test", "c@mail.test")
        eventually(lambda: desk.given_up, "the first is over")
        desk.put("d@mail.test")
        eventually(lambda: len(desk.given_up) == 2, "the second is over")
        desk.leave()
    assert heard[0] == b"MAIL FROM:<a@client.test>\r\nRCPT TO:<b@mail.test>\r\nRCPT TO:<c@mail.test>\r\nDATA\r\n"
    assert heard[3] == b".\r\n"


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (b"552 too much\r\n503 first MAIL\r\n503 first MAIL\r\n", "552 too much"),
        (b"421 closing\r\n421 closing\r\n421 closing\r\n", "421 closing"),
        (b"250 ok\r\n250 ok\r\n250 odd\r\n", "an answer that is none: to DATA"),
        (b"250 ok\r\n250 ok\r\n451 no space\r\n", "451 no space"),
        (b"250 ok\r\n550-5.1.1 no\r\n550 5.1.1 really\r\n554 nobody\r\n", "550 5.1.1 no 5.1.1 really"),
        (b"250 ok\r\n250 ok\r\n", "Connection unexpectedly closed"),
        (b"250 " + b"x" * 10_000 + b"\r\n", "Line too long"),
    ],
)
def test_answers_of_all_kinds(desk, answers, why):
    def talk(client):
        client.sendall(b"220 mail.test\r\n")
        read_until(client, b"\r\n")
        client.sendall(b"250-mail.test\r\n250 PIPELINING\r\n")
        read_until(client, b"DATA\r\n")
        client.sendall(answers)

    with scripted(talk) as address:
        desk.start(server=str(address), max_retry=0)
        desk.put()
        assert why in desk.failures()["b@mail.test"]


def test_a_server_that_takes_a_hundred_recipients_at_a_time(desk):
    taken = []

    def rcpt(address):
        taken.append(address)
        return "452 4.5.3 too many recipients" if len(taken) % 150 == 0 else None

    everybody = [f"r{number}@mail.test" for number in range(250)]
    with mail_server(Behaviour(rcpt=rcpt, pipelining=True)) as (server, address):
        desk.start(server=str(address), retry_s=0.05)
        desk.put(*everybody)
        eventually(desk.is_empty, "it leaves the spool")
        got = [each for message in server.got for each in message.recipients]
        assert sorted(got) == sorted(everybody)


# What should not be in a spool


def test_files_that_are_no_messages_are_set_aside_and_the_queue_goes_on(desk, tmp_path, said):
    desk.spool.make()
    spool = Path(desk.spool.folder)
    names = [Name(1_700_000_000_000 + number, 0, "00000000", f"{number:032x}") for number in range(6)]
    (tmp_path / "secret").write_text("secret")
    (spool / str(names[0])).write_bytes(b"\x80\x04\x95 a pickle")
    (spool / str(names[1])).symlink_to(tmp_path / "secret")
    (spool / str(names[2])).mkdir()
    (spool / str(names[3])).write_bytes(b"")
    (spool / str(names[4])).write_bytes(b"[" * 100_000 + b"\n")
    (spool / str(names[5])).write_bytes(encode_head(Envelope("a@x>\r\nQUIT\r\n<", ("b@y",)), b"x") + b"x")
    (spool / "3.D41D8CD98F00B204E9800998ECF8427E").write_bytes(b"\x80\x04\x95 a pickle")
    cut = desk.put()
    (path,) = [each for each in spool.iterdir() if cut.encode() in (each.read_bytes() if each.is_file() else b"")]
    path.write_bytes(path.read_bytes()[:-3])
    good = desk.put()
    with mail_server() as (server, address):
        desk.start(server=str(address))
        eventually(lambda: server.got, "the good one arrives")
        eventually(lambda: not list(spool.iterdir()), "the spool is empty")
        assert [got.message_id for got in server.got] == [good]
    assert len(list(Path(desk.spool.undeliver).iterdir())) == 8
    assert (tmp_path / "secret").read_text() == "secret"
    for why in (
        "is no message",
        "symbolic link",
        "is a folder",
        "begin with an envelope",
        "control character",
        "of its message",
    ):
        assert why in said()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_message_of_another_user_is_set_aside(desk, said):
    desk.put()
    (path,) = Path(desk.spool.folder).iterdir()
    os.chown(path, 65534, 65534)
    with mail_server() as (server, address):
        desk.start(server=str(address))
        good = desk.put()
        eventually(lambda: server.got, "the good one arrives")
        assert [got.message_id for got in server.got] == [good]
        eventually(lambda: "belongs to another user" in said(), "it is said")


def test_a_spool_that_was_removed_is_made_again(desk):
    with mail_server() as (server, address):
        desk.start(server=str(address))
        desk.put()
        eventually(lambda: server.got, "the first arrives")
        eventually(desk.is_empty, "it leaves the spool")
        os.rmdir(desk.spool.folder)
        eventually(lambda: os.path.isdir(desk.spool.folder), "the folder is there again")
        desk.put()
        eventually(lambda: len(server.got) == 2, "the second arrives")


def test_without_inotify_it_looks_every_second(desk, monkeypatch):
    def unable(folder):
        raise OSError("no watches left")

    monkeypatch.setattr(Watch, "open", unable)
    with mail_server() as (server, address):
        desk.start(server=str(address))
        time.sleep(0.2)
        desk.put()
        eventually(lambda: server.got, "the message arrives", 3)


def test_a_message_whose_recipients_all_have_their_answers_is_only_put_away(desk):
    with mail_server() as (server, address):
        for attempt in (Attempt(1, ("b@mail.test",)), Attempt(1, refused={"b@mail.test": "550 no"})):
            desk.put()
            (name,) = desk.waiting
            lease = desk.spool.lease(name)
            lease.note(attempt)
            lease.release()
            desk.start(server=str(address))
            eventually(desk.is_empty, "it leaves the spool")
            desk.leave()
        assert server.got == []
        assert desk.failures() == {"b@mail.test": "550 no"}


# Leaving


def test_leaving_waits_for_a_message_that_is_on_its_way(desk):
    with mail_server(Behaviour(pause_s=1)) as (server, address):
        desk.start(server=str(address), concurrency=1)
        desk.put()
        desk.put()
        eventually(lambda: desk.agent._work.committed, "one is on its way")
        assert 0.2 < desk.leave(grace_s=5) < 3
        assert len(server.got) == 1
        assert len(desk.waiting) == 1


def test_leaving_waits_no_longer_than_it_may(desk, said):
    with mail_server(Behaviour(pause_s=2)) as (_, address):
        desk.start(server=str(address))
        desk.put()
        eventually(lambda: desk.agent._work.committed, "it is on its way")
        assert desk.leave(grace_s=0.3) < 1.5
        assert "leaves 1 deliveries behind" in said()
        assert len(desk.left) == 1


def test_leaving_does_not_begin_to_send(desk):
    asked = threading.Event()
    release = threading.Event()

    def rcpt(address):
        asked.set()
        release.wait(5)

    with mail_server(Behaviour(rcpt=rcpt)) as (server, address):
        desk.start(server=str(address))
        desk.put()
        assert asked.wait(5)
        threading.Timer(2.5, release.set).start()
        assert desk.leave() < 2
        assert server.got == []
        assert [name.attempts for name in desk.waiting] == [0]


# Bounces and signatures


def test_senders_are_told_when_that_is_wanted(desk):
    behaviour = Behaviour(rcpt=lambda address: "550 5.1.1 no such user" if "no" in address else None)
    with mail_server(behaviour) as (server, address):
        desk.start(server=str(address), bounce=True)
        message_id = desk.put("no@mail.test", "yes@mail.test")
        eventually(lambda: len(server.got) == 2, "message and bounce arrive")
        bounce = next(got for got in server.got if got.sender == "<>")
        assert bounce.recipients == ["a@client.test"]
        report = message_from_bytes(bounce.data, policy=default)
        assert report.get_content_type() == "multipart/report"
        text, status, headers = report.iter_parts()
        assert "no@mail.test" in text.get_content()
        assert "yes@mail.test" not in text.get_content()
        assert [block["Status"] for block in status.get_payload()] == [None, "5.1.1"]
        assert status.get_payload()[1]["Final-Recipient"] == "rfc822; no@mail.test"
        assert message_id in headers.get_content()
        assert report["In-Reply-To"] == message_id


def test_a_bounce_is_never_bounced(desk):
    with mail_server(Behaviour(rcpt=lambda address: "550 no")) as (_, address):
        desk.start(server=str(address), bounce=True)
        desk.put()
        eventually(lambda: len(desk.given_up) == 2, "message and bounce are given up")
        time.sleep(0.3)
        assert desk.is_empty()
        assert len(desk.given_up) == 2


@pytest.fixture(scope="module")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """The file of a private key, and the DNS record of its public one."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path = tmp_path_factory.mktemp("dkim") / "key.pem"
    forms = serialization
    path.write_bytes(key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.TraditionalOpenSSL, forms.NoEncryption()))
    public = key.public_key().public_bytes(forms.Encoding.DER, forms.PublicFormat.SubjectPublicKeyInfo)
    return str(path), b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


def test_messages_are_signed(desk, signing_key):
    key, record = signing_key
    with mail_server() as (server, address):
        desk.start(server=str(address), dkim_key=key, dkim_selector="mail")
        desk.put(body=b".dots\r\n  and spaces  \r\n\r\n\r\n")
        eventually(lambda: server.got, "the message arrives")
        data = server.got[0].data
        assert data.startswith(b"DKIM-Signature: ")
        asked = []
        assert dkim.verify(data, dnsfunc=lambda name, **_: asked.append(name) or record)
        assert asked == [b"mail._domainkey.client.test."]
        assert not dkim.verify(data.replace(b"hello", b"hallo"), dnsfunc=lambda name, **_: record)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"dkim_key": "KEY"}, "smtpda_dkim_selector"),
        ({"dkim_key": "missing.pem", "dkim_selector": "mail"}, "missing.pem: No such file"),
        ({"dkim_key": "ca.pem", "dkim_selector": "mail"}, "cannot sign"),
        ({"server": "not a server"}, "smtpda_server"),
        ({"ca_file": "missing.pem"}, "smtpda_ca_file"),
    ],
)
def test_what_cannot_work_is_said_at_the_start(desk, tmp_path, signing_key, ca_file, options, why):
    files = {"KEY": signing_key[0], "ca.pem": ca_file}
    options = {name: files.get(value, value) for name, value in options.items()}
    agent = Agent(Smtpda(**options), desk.spool, desk.row)
    with pytest.raises(StartError, match=why):
        agent.prepare()


def test_a_message_that_cannot_be_signed_goes_without(desk, signing_key, said):
    with mail_server() as (server, address):
        desk.start(server=str(address), dkim_key=signing_key[0], dkim_selector="mail")
        desk.spool.put(Envelope("a@client.test", ("b@mail.test",)), b"no header\r\nat all\r\n")
        eventually(lambda: server.got, "the message arrives")
        assert "goes without" in said()
