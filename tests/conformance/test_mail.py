"""Mail to Postfix, and the long loop of killed agents."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import pytest
import trustme

from skitai.ipc import rundir
from skitai.ipc.envelope import MailServer
from skitai.was.mail import Email
from tests.conformance.conftest import program
from tests.process.test_smtpda import Desk
from tests.support.dialogue import eventually, open_folder
from tests.support.mailagent import survive
from tests.support.ports import free_ports

__all__ = ["open_folder"]

NOBODY = 65534

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
myhostname = mail.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = mail.test
virtual_mailbox_maps = texthash:{folder}/etc/boxes
virtual_mailbox_base = {folder}/boxes
virtual_uid_maps = static:{nobody}
virtual_gid_maps = static:{nobody}
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/etc/server.pem
smtpd_recipient_restrictions = permit_mynetworks, reject
message_size_limit = 1000000
"""

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A Postfix of its own, with mailboxes ``bob@mail.test`` and ``안녕@mail.test``.

    :ivar server: where it takes mail, with STARTTLS.
    :ivar tls_server: the same with TLS from the first byte.
    :ivar ca_file: who vouches for its certificate.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        port, tls_port = free_ports(2)
        self.server, self.tls_server = MailServer("127.0.0.1", port), MailServer("127.0.0.1", tls_port, ssl=True)
        for name in ("etc", "queue", "data", "boxes"):
            (folder / name).mkdir(mode=0o755)
        os.chown(folder / "boxes", NOBODY, NOBODY)
        subprocess.run(["chown", "postfix", str(folder / "data")], check=True)
        ca = trustme.CA()
        self.ca_file = str(folder / "etc" / "ca.pem")
        ca.cert_pem.write_to_path(self.ca_file)
        ca.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(folder / "etc" / "server.pem"))
        (folder / "etc" / "main.cf").write_text(MAIN.format(folder=folder, nobody=NOBODY))
        (folder / "etc" / "master.cf").write_text(MASTER.format(port=port, tls_port=tls_port))
        (folder / "etc" / "boxes").write_text("bob@mail.test bob/\n안녕@mail.test hello/\n")

    def control(self, verb: str) -> None:
        command = [program("postfix"), "-c", str(self.folder / "etc"), verb]
        subprocess.run(command, check=True, capture_output=True, timeout=60)

    def box(self, name: str) -> list[bytes]:
        return [file.read_bytes() for file in (self.folder / "boxes" / name / "new").glob("*")]


@pytest.fixture
def postfix(open_folder: Path) -> Iterator[Postfix]:
    if os.geteuid() != 0:
        pytest.skip("Postfix is started by root only")
    made = Postfix(open_folder)
    made.control("start")
    yield made
    made.control("stop")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setattr(rundir, "VAR_BASE", str(tmp_path / "skitai"))
    made = Desk(Path(rundir.default_home()))
    yield made
    if made.agent is not None:
        made.leave(0)


@pytest.mark.parametrize("implicit", [True, False])
def test_postfix_takes_what_was_written(postfix, desk, implicit):
    server = postfix.tls_server if implicit else postfix.server
    desk.start(server=str(server), ssl=implicit, starttls="always", ca_file=postfix.ca_file)
    email = Email("Grüße ☃", "Jörg <joerg@client.test>", "bob@mail.test")
    email.add_text("안녕하세요\n.\n.. dots\n" + "long " * 1000)
    email.add_content("<b>안녕하세요</b>", "text/html")
    message_id = email.send()
    (data,) = eventually(lambda: postfix.box("bob"), "the message is in the mailbox")
    message = message_from_bytes(data, policy=default)
    assert (message["Message-ID"], message["Subject"]) == (message_id, "Grüße ☃")
    assert message.get_body(("plain",)).get_content().startswith("안녕하세요\n.\n.. dots\n")
    assert "TLS" in message["Received"] or "ESMTPS" in message["Received"]
    assert desk.is_empty()


def test_postfix_takes_addresses_of_all_scripts(postfix, desk):
    desk.start(server=str(postfix.server))
    Email("☃", "joerg@client.test", "안녕@mail.test").send()
    eventually(lambda: postfix.box("hello"), "the message is in the mailbox")


def test_postfix_refuses_one_and_takes_the_other(postfix, desk):
    desk.start(server=str(postfix.server), bounce=True)
    desk.put("nobody@mail.test", "bob@mail.test", sender="bob@mail.test")
    failures = desk.failures()
    assert list(failures) == ["nobody@mail.test"]
    assert failures["nobody@mail.test"].startswith("550 5.1.1")
    eventually(lambda: len(postfix.box("bob")) == 2, "message and bounce are in the mailbox")
    (bounce,) = [each for each in postfix.box("bob") if b"multipart/report" in each]
    assert b"Status: 5.1.1" in bounce


def test_postfix_is_too_small(postfix, desk):
    desk.start(server=str(postfix.server))
    desk.put("bob@mail.test", body=b"x" * 70 + b"\r\n" + b"line of text\r\n" * 80_000)
    assert desk.failures()["bob@mail.test"].startswith("552")


def test_a_thousand_messages_to_postfix(postfix, desk):
    ids = {desk.put("bob@mail.test") for _ in range(1000)}
    desk.start(server=str(postfix.server))
    eventually(lambda: len(postfix.box("bob")) >= 1000, "all are in the mailbox", 60)
    found = [message_from_bytes(each, policy=default)["Message-ID"] for each in postfix.box("bob")]
    assert len(found) == 1000
    assert set(found) == ids


def test_a_thousand_messages_outlive_two_hundred_kills(tmp_path):
    survive(tmp_path, kills=200, messages=1000, seed=7)
