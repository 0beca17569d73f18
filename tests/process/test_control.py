"""The control socket and the link, with their real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from skitai.config.sections.serving import Timeouts
from skitai.config.tree import Config
from skitai.errors import StartError
from skitai.ipc import link as links
from skitai.ipc.bus import Bus
from skitai.ipc.control import ControlServer, NotRunning, Outcome, ask, call
from skitai.ipc.inboxes import Inboxes
from skitai.ipc.lastupdate import Table
from skitai.ipc.link import LOST_CODE, Child, Link
from skitai.ipc.messages import Failed, Ready, Restart, Shutdown
from skitai.ipc.rundir import Places
from skitai.ipc.scoreboard import Scoreboard, State
from skitai.master.desk import Desk

pytestmark = pytest.mark.process


class Office:
    """A server that answers in a thread, as the master does in its loop."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.server = ControlServer.listen(self.folder)
        self.desk = Desk(self.server)
        self.closing = False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self) -> None:
        while not self.closing:
            for request, client in self.desk.requests(time.monotonic()):
                if request.verb == "reload":
                    client.progress("one")
                    client.progress("two")
                    client.finish(True, "done", arguments=request.arguments)
                elif request.verb == "stop":
                    client.close()
                else:
                    client.finish(False, f"no {request.verb}")
            time.sleep(0.005)

    def close(self) -> None:
        self.closing = True
        self.thread.join()
        self.desk.close()
        self.server.remove()


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    open_office = Office(tmp_path)
    yield open_office
    open_office.close()


def raw(office: Office, data: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(f"{office.folder}/control")
        sock.sendall(data)
        received = b""
        try:
            while chunk := sock.recv(4096):
                received += chunk
        except ConnectionResetError:
            pass
        return received


def test_progress_streams_and_the_outcome_ends_it(office: Office) -> None:
    assert list(call(office.folder, "reload", pace=3)) == ["one", "two", Outcome(True, "done", {"arguments": {"pace": 3}})]
    heard: list[str] = []
    assert ask(office.folder, "reload", on_progress=heard.append).ok
    assert heard == ["one", "two"]


def test_the_socket_is_ours_alone(office: Office) -> None:
    assert stat.S_IMODE(os.stat(f"{office.folder}/control").st_mode) == 0o600


def test_a_failure_is_an_outcome_too(office: Office) -> None:
    assert ask(office.folder, "status") == Outcome(False, "no status")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"verb": "dance"}\n', "unknown verb 'dance'"),
        (b'{"verb": ["status"]}\n', "unknown verb"),
        (b"[1]\n", "a request is one line"),
        (b"nonsense\n", "a request is one line"),
        (b'{"verb": 1', ""),
        (b"\xff\xfe\n", "a request is one line"),
        (b"x" * 5000, "at most 4096 bytes"),
    ],
)
def test_nonsense_is_answered_and_harms_nobody(office: Office, line: bytes, why: str) -> None:
    if why:
        answer = json.loads(raw(office, line))
        assert answer["ok"] is False
        assert why in answer["text"]
    else:
        with socket.socket(socket.AF_UNIX) as sock:  # leaves before the end of its line
            sock.connect(f"{office.folder}/control")
            sock.sendall(line)
    assert ask(office.folder, "reload").ok


def test_a_server_that_goes_without_an_outcome_was_not_running(office: Office) -> None:
    with pytest.raises(NotRunning, match="has gone"):
        ask(office.folder, "stop")


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="no server is running"):
        ask(str(tmp_path), "status")
    server = ControlServer.listen(str(tmp_path))
    server.close()  # the file of a dead server
    with pytest.raises(NotRunning, match="no server is running"):
        ask(str(tmp_path), "status")
    ControlServer.listen(str(tmp_path)).remove()
    assert os.listdir(tmp_path) == []


def test_a_server_that_is_silent(tmp_path: Path) -> None:
    server = ControlServer.listen(str(tmp_path))
    with pytest.raises(NotRunning, match="does not answer"):
        ask(str(tmp_path), "status", timeout_s=0.1)
    server.remove()


def test_a_client_that_says_nothing_is_dropped(tmp_path: Path) -> None:
    server = ControlServer.listen(str(tmp_path))
    desk = Desk(server)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(f"{tmp_path}/control")
        assert list(desk.requests(time.monotonic())) == []
        assert len(list(desk.filenos())) == 2

        assert list(desk.requests(time.monotonic() + 6)) == []

        assert len(list(desk.filenos())) == 1
        assert sock.recv(1) == b""
    server.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_not_heard(open_folder: Path) -> None:
    office = Office(open_folder)
    os.chmod(f"{office.folder}/control", 0o666)  # even if the mode were wrong
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            os.write(theirs, raw(office, b'{"verb": "reload"}\n'))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(theirs)
    with open(ours, "rb") as pipe:
        answer = json.loads(pipe.read())
    office.close()
    assert answer == {"ok": False, "text": "only the server's user and root may control it"}


def test_a_folder_that_cannot_hold_a_socket(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="cannot make the control socket"):
        ControlServer.listen(str(tmp_path / "no"))


# The link


def child(link: Link, grace_s: float = 0) -> Child:
    config = Config(timeouts=Timeouts(grace_s=grace_s))
    row = Scoreboard.create().row(0)
    return Child(config, [], 3, 1, row, Table.create([], 0), link, Places("/nowhere"), Bus(Inboxes([]), row))


def test_a_child_speaks_and_the_master_hears() -> None:
    ours, theirs = Link.pair()
    speaker = child(theirs)
    assert ours.receive() == ([], True)

    speaker.failed("no app")
    speaker.restart()
    speaker.shutdown()
    speaker.ready()

    assert ours.receive() == ([Failed("no app"), Restart(), Shutdown(), Ready()], True)
    assert speaker.row.state is State.SERVING
    assert repr(speaker) == "<Child #3 generation=1 SERVING>"
    speaker.ready()
    theirs.close()
    assert ours.receive() == ([Ready()], False)
    ours.close()


def test_a_child_whose_master_has_gone_may_still_speak() -> None:
    ours, theirs = Link.pair()
    ours.close()
    child(theirs).ready()
    theirs.close()


def lost(on_lost: str) -> tuple[int, float]:
    """How a child leaves whose master dies, and after how long."""
    ours, theirs = Link.pair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        links.LEAVING_S = 0.5
        orphan = child(theirs, grace_s=0.2)
        orphan.start_watching()
        if on_lost == "leaves":
            orphan.watch(lambda: os._exit(0))
        elif on_lost == "raises":
            orphan.watch(lambda: 1 / 0)
            threading.excepthook = lambda args: None
        elif on_lost == "hangs":
            orphan.watch(lambda: time.sleep(60))
        orphan.ready()
        while True:
            time.sleep(60)
    theirs.close()
    while ours.receive() != ([Ready()], True):
        time.sleep(0.01)
    began_s = time.monotonic()
    ours.close()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), time.monotonic() - began_s


@pytest.mark.parametrize(
    ("on_lost", "code", "least_s"),
    [("leaves", 0, 0), ("hangs", LOST_CODE, 0.7), ("raises", LOST_CODE, 0.7), ("default", -signal.SIGTERM, 0)],
)
def test_a_child_that_loses_its_master_leaves_in_any_case(on_lost: str, code: int, least_s: float) -> None:
    found, after_s = lost(on_lost)

    assert found == code
    assert least_s <= after_s < least_s + 5


def test_who_begins_to_watch_too_late_is_told_at_once() -> None:
    ours, theirs = Link.pair()
    orphan = child(theirs, grace_s=1e6)  # it would end the process that runs the tests
    told = threading.Event()
    orphan.watch(told.set)
    orphan.start_watching()
    ours.close()
    assert told.wait(5)

    again = threading.Event()
    orphan.watch(again.set)

    assert again.is_set()
