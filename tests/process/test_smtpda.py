"""The mail agent against real servers: those that do as they should, and those that do not."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from skitai.config.tree import Smtpda
from skitai.helpers.smtpda.agent import Agent
from skitai.ipc.envelope import Envelope, MailServer, Name
from skitai.ipc.scoreboard import Scoreboard
from skitai.ipc.spool import Spool
from tests.support.dialogue import eventually
from tests.support.mailserver import Behaviour, mail_server, read_until, scripted

pytestmark = pytest.mark.process


class Desk:
    """A spool and an agent in a thread of this process."""

    def __init__(self, folder: Path) -> None:
        self.spool = Spool(str(folder))
        self.row = Scoreboard.create().row(0)
        self.agent: Agent | None = None
        self._thread: threading.Thread | None = None
        self._numbers = 0

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
        self.agent.close()
        self.agent = None
        return time.monotonic() - began_s


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    if made.agent is not None:
        made.leave(0)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    caplog.set_level(logging.INFO, "skitai.server")
    logging.getLogger("skitai.server").addHandler(caplog.handler)
    yield lambda: caplog.text
    logging.getLogger("skitai.server").removeHandler(caplog.handler)


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
        assert (desk.row.done, desk.row.failed) == (1, 0)


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
