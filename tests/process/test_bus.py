"""The bus between workers: real processes that send, read, stop reading, die and are replaced."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from skitai.config.sections.running import Log
from skitai.ipc import bus as buses
from skitai.ipc.bus import Bus
from skitai.ipc.inboxes import Inboxes
from skitai.ipc.parcels import INLINE_BYTES, LARGEST_BYTES, Message
from skitai.ipc.scoreboard import Scoreboard
from skitai.log import journal
from tests.support.dialogue import eventually

pytestmark = pytest.mark.process

Life = Callable[["Station"], Any]


class Station:
    """A worker that knows nothing but its bus.

    :ivar heard: payloads of the topic "news" so far, with their sender.
    """

    def __init__(self, bus: Bus, report: int) -> None:
        self.bus = bus
        self.heard: list[tuple[int, str]] = []
        self._report = report
        bus.subscribe("news", self._hear)

    def _hear(self, message: Message) -> None:
        self.heard.append((message.sender, message.payload.decode()))

    def say(self, *texts: str) -> None:
        for text in texts:
            self.bus.send("news", text.encode())

    async def until(self, true: Callable[[], Any], within_s: float = 20) -> None:
        end_s = time.monotonic() + within_s
        while not true() and time.monotonic() < end_s:
            await asyncio.sleep(0.005)

    def report(self, **values: Any) -> None:
        os.write(self._report, json.dumps(values).encode() + b"\n")


class Street:
    """A master that starts stations and buries them."""

    def __init__(self, count: int = 8) -> None:
        self.inboxes = Inboxes.create(count)
        self.board = Scoreboard.create()
        self.pids: dict[int, int] = {}
        self._reports: dict[int, Any] = {}

    def start(self, slot: int, live: Life) -> int:
        """Fork the station of a row; it lives as long as the coroutine function `live`."""
        row = self.board.row(slot)
        self.inboxes.empty(slot)
        row.clear()
        bus = Bus(self.inboxes, row)
        ours, theirs = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(ours)
                self.inboxes.leave_to(slot)
                asyncio.run(self._live(bus, theirs, live))
                code = 0
            finally:
                os._exit(code)
        os.close(theirs)
        self.pids[slot] = pid
        self._reports[slot] = os.fdopen(ours)
        eventually(lambda: row.inbox == pid or ended(pid), "it listens")
        return pid

    async def _live(self, bus: Bus, report: int, live: Life) -> None:
        bus.open()
        bus.attach(asyncio.get_running_loop())
        await live(Station(bus, report))
        bus.close()

    def hears_of(self, slot: int) -> Any:
        """The next report of a station."""
        line = self._reports[slot].readline()
        assert line, f"the station of row {slot} left without a word"
        return json.loads(line)

    def bury(self, slot: int) -> int:
        """Wait for a station's end; its exit code."""
        _, status = os.waitpid(self.pids.pop(slot), 0)
        self.board.row(slot).clear()
        self._reports.pop(slot).close()
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        for slot, pid in list(self.pids.items()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.bury(slot)
        self.inboxes.close()


def ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


@pytest.fixture
def street() -> Iterator[Street]:
    street = Street()
    yield street
    street.close()


@pytest.fixture
def server_log(tmp_path: Path) -> Path:
    journal.setup(Log(), str(tmp_path), console=False)
    return tmp_path / "server.log"


def listens_for(count: int) -> Life:
    async def live(station: Station) -> None:
        station.report(listens=True)
        await station.until(lambda: len(station.heard) >= count)
        await asyncio.sleep(0.05)  # more than wanted would come now
        station.report(heard=station.heard)

    return live


def says(*texts: str) -> Life:
    async def live(station: Station) -> None:
        station.say(*texts)
        await station.until(lambda: not station.bus.waiting)
        station.report(dropped=station.bus.dropped)

    return live


def test_a_message_reaches_all_others_and_not_its_sender(street: Street) -> None:
    street.start(0, listens_for(2))
    street.start(3, listens_for(2))

    async def speaker(station: Station) -> None:
        station.say("one", "two")
        await station.until(lambda: station.heard, 0.2)
        station.report(heard=station.heard, others=station.bus.send("nobody reads this", b""))

    street.start(1, speaker)

    for slot in (0, 3):
        assert street.hears_of(slot) == {"listens": True}
        assert street.hears_of(slot) == {"heard": [[1, "one"], [1, "two"]]}
    assert street.hears_of(1)["heard"] == []
    assert [street.bury(slot) for slot in (0, 1, 3)] == [0, 0, 0]


def test_ten_thousand_messages_come_complete_and_in_order(street: Street) -> None:
    count = 10_000
    for slot in (0, 1, 2):
        street.start(slot, listens_for(count))

    street.start(3, says(*map(str, range(count))))

    assert street.hears_of(3) == {"dropped": 0}
    for slot in (0, 1, 2):
        street.hears_of(slot)
        assert street.hears_of(slot)["heard"] == [[3, str(number)] for number in range(count)]


def test_all_may_talk_at_once_from_several_threads(street: Street) -> None:
    count = 1000

    async def talker(station: Station) -> None:
        await station.until(lambda: ready(street, 3))
        threads = [
            threading.Thread(target=station.say, args=[f"{name}{number}" for number in range(count)]) for name in "ab"
        ]
        for thread in threads:
            thread.start()
        await station.until(lambda: len(station.heard) >= 4 * count and not station.bus.waiting)
        by_thread = {
            f"{sender}{name}": [text[1:] for who, text in station.heard if (who, text[0]) == (sender, name)]
            for sender in (0, 1, 2)
            for name in "ab"
        }
        wanted = [str(number) for number in range(count)]
        station.report(complete=sorted(who for who, texts in by_thread.items() if texts == wanted))
        await station.until(lambda: False, 0.3)

    for slot in (0, 1, 2):
        street.start(slot, talker)

    assert street.hears_of(0) == {"complete": ["1a", "1b", "2a", "2b"]}
    assert street.hears_of(1) == {"complete": ["0a", "0b", "2a", "2b"]}
    assert street.hears_of(2) == {"complete": ["0a", "0b", "1a", "1b"]}


def ready(street: Street, count: int) -> bool:
    return sum(bool(street.board.row(slot).inbox) for slot in range(count)) == count


def test_a_killed_worker_costs_the_others_nothing_and_its_successor_hears_nothing_old(street: Street) -> None:
    count = 10_000
    street.start(0, listens_for(count))

    async def hangs(station: Station) -> None:
        time.sleep(600)

    killed = street.start(1, hangs)

    async def speaker(station: Station) -> None:
        gone: list[int] = []
        station.bus.when_gone(gone.append)
        station.bus.tick()
        began_s = time.monotonic()
        station.say(*map(str, range(count // 2)))
        station.report(waited_s=time.monotonic() - began_s)
        row = street.board.row(1)
        await station.until(lambda: row.inbox not in (0, killed))
        station.say(*map(str, range(count // 2, count)))
        station.bus.tick()
        await station.until(lambda: not station.bus.waiting)
        station.report(gone=gone, dropped=station.bus.dropped)

    street.start(2, speaker)
    assert street.hears_of(2)["waited_s"] < 5
    os.kill(killed, signal.SIGKILL)
    assert street.bury(1) == -signal.SIGKILL
    street.start(1, listens_for(count // 2))

    assert street.hears_of(2) == {"gone": [1], "dropped": 0}
    street.hears_of(0)
    assert street.hears_of(0)["heard"] == [[2, str(number)] for number in range(count)]
    street.hears_of(1)
    assert street.hears_of(1)["heard"] == [[2, str(number)] for number in range(count // 2, count)]


def test_a_large_payload_comes_whole_and_leaves_no_descriptors(street: Street) -> None:
    large = "x" * (5 << 20)

    async def reader(station: Station) -> None:
        before = len(os.listdir("/proc/self/fd"))
        await station.until(lambda: len(station.heard) == 6)
        left = len(os.listdir("/proc/self/fd")) - before
        station.report(sizes=[len(text) for _, text in station.heard], left=left)

    async def speaker(station: Station) -> None:
        before = len(os.listdir("/proc/self/fd"))
        station.say("small", large, *["y" * (INLINE_BYTES + extra) for extra in (-1, 0, 1)], "end")
        await station.until(lambda: not station.bus.waiting)
        with pytest.raises(ValueError, match="too large: workers take up to 67108864"):
            station.bus.send("news", bytes(LARGEST_BYTES + 1))
        station.report(left=len(os.listdir("/proc/self/fd")) - before)

    street.start(0, reader)
    street.start(1, reader)
    street.start(2, speaker)

    inline = INLINE_BYTES
    for slot in (0, 1):
        assert street.hears_of(slot) == {"sizes": [5, len(large), inline - 1, inline, inline + 1, 3], "left": 0}
    assert street.hears_of(2) == {"left": 0}


def test_a_reader_that_does_not_read_costs_a_bounded_memory_and_a_line(
    street: Street, monkeypatch: pytest.MonkeyPatch, server_log: Path
) -> None:
    monkeypatch.setattr(buses, "BACKLOG_MESSAGES", 2000)
    stopped = street.start(0, listens_for(1))
    street.hears_of(0)
    os.kill(stopped, signal.SIGSTOP)

    async def speaker(station: Station) -> None:
        began_s = time.monotonic()
        station.say(*map(str, range(10_000)))
        took_s = time.monotonic() - began_s
        kept, dropped = station.bus.waiting, station.bus.dropped
        station.bus.tick()
        station.report(took_s=took_s, kept=kept, dropped=dropped)
        await station.until(lambda: not station.bus.waiting)

    street.start(1, speaker)

    told = street.hears_of(1)
    assert told["took_s"] < 5
    assert told["kept"] == 2000
    assert 5000 < told["dropped"] < 8000
    os.kill(stopped, signal.SIGCONT)
    assert street.bury(1) == 0
    assert f"{told['dropped']} messages to the worker of row 0 were dropped: it does not read them" in server_log.read_text()


def test_when_the_system_has_no_room_for_descriptors_one_tries_again_without_haste(street: Street) -> None:
    limit = len(os.listdir("/proc/self/fd")) + 30
    count = limit + 10

    async def late(station: Station) -> None:
        station.report(listens=True)
        time.sleep(1)
        await station.until(lambda: len(station.heard) == count)
        station.report(heard=[text[:4] for _, text in station.heard])

    async def speaker(station: Station) -> None:
        if os.geteuid() == 0:
            os.setuid(65534)  # root may have any number of descriptors under way
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        station.say(*(f"{number:4}" + "x" * INLINE_BYTES for number in range(count)))
        await asyncio.sleep(0.1)
        kept, began_s = station.bus.waiting, time.process_time()
        await asyncio.sleep(0.3)
        spent_s = time.process_time() - began_s
        while station.bus.waiting:
            station.bus.tick()
            await asyncio.sleep(0.05)
        station.report(kept=kept > 0, spent=spent_s > 0.15, dropped=station.bus.dropped)

    street.start(0, late)
    street.hears_of(0)
    street.start(1, speaker)

    assert street.hears_of(1) == {"kept": True, "spent": False, "dropped": 0}
    assert street.hears_of(0)["heard"] == [f"{number:4}" for number in range(count)]


def test_what_comes_while_a_worker_is_busy_is_kept_for_it(street: Street) -> None:
    async def pauses(station: Station) -> None:
        station.bus.pause()
        station.report(listens=True)
        await station.until(lambda: station.heard, 0.3)
        early = list(station.heard)
        station.bus.resume()
        await station.until(lambda: len(station.heard) == 2)
        station.report(early=early, heard=station.heard)

    street.start(0, pauses)
    street.hears_of(0)
    street.start(1, says("one", "two"))

    assert street.hears_of(0) == {"early": [], "heard": [[1, "one"], [1, "two"]]}


def test_a_listener_that_fails_does_not_stop_the_next_message(street: Street, server_log: Path) -> None:
    async def live(station: Station) -> None:
        station.bus.unsubscribe("news")
        station.bus.subscribe("news", lambda message: heard.append(1 // len(message.payload)))
        with pytest.raises(ValueError, match="somebody else listens to 'news'"):
            station.bus.subscribe("news", print)
        await station.until(lambda: heard)
        station.report(heard=heard)

    heard: list[int] = []
    street.start(0, live)
    street.start(1, says("", "x"))

    assert street.hears_of(0) == {"heard": [1]}
    assert "a message of the worker of row 1 about 'news' went wrong" in server_log.read_text()


def test_inboxes_survive_an_exec_with_what_lies_in_them(street: Street) -> None:
    row = street.board.row(0)
    row.inbox = 4711  # it listens, and has not read yet
    street.start(1, says("kept"))
    street.hears_of(1)

    fds = street.inboxes.hand_over()
    assert all(os.get_inheritable(fd) for pair in fds for fd in pair)
    again = Inboxes.adopt([[os.dup(reader), os.dup(writer)] for reader, writer in fds])
    again.grow(12)

    assert len(again) == 12
    assert not any(each.get_inheritable() for _, each in again.writers(0))
    reader = again.reader(0)
    assert reader is not None
    assert reader.recv(100).endswith(b"newskept")
    assert again.reader(12) is None
    again.close()
    street.inboxes.keep()
    assert not any(os.get_inheritable(fd) for pair in fds for fd in pair)


def test_children_whose_rows_are_not_known_any_more_keep_their_inboxes_to_themselves(street: Street) -> None:
    street.start(0, listens_for(1))
    street.hears_of(0)
    new = Inboxes.adopt([[os.dup(fd) for fd in pair] for pair in street.inboxes.hand_over()]).replace()
    street.inboxes.keep()

    street.start(1, says("among the old"))

    assert street.hears_of(0)["heard"] == [[1, "among the old"]]
    assert len(new) == len(street.inboxes)
    reader = new.reader(0)
    assert reader is not None
    with pytest.raises(BlockingIOError):
        reader.recv(1, socket.MSG_DONTWAIT)
    new.close()


def test_a_worker_without_an_inbox_still_sends(street: Street, server_log: Path) -> None:
    street.start(0, listens_for(1))
    bus = Bus(street.inboxes, street.board.row(9))

    bus.open()

    assert "there are only 8 inboxes: messages of other workers do not reach this one" in server_log.read_text()
    assert bus.send("news", b"x") == 1
    street.hears_of(0)
    assert street.hears_of(0)["heard"] == [[9, "x"]]
    bus.close()
    assert bus.send("news", b"x") == 0


def test_what_is_no_message_is_counted_and_passed_over(street: Street, server_log: Path) -> None:
    async def live(station: Station) -> None:
        station.report(listens=True)
        await station.until(lambda: station.heard)
        station.report(heard=station.heard, lost=station.bus.lost)

    street.start(0, live)
    street.hears_of(0)
    (_, writer), *_ = street.inboxes.writers(1)
    for data in (b"", b"\x01", b"\x01\x01\x00\x05\x01x", b"\x63\x00\x00\x05\x04newslater"):
        writer.send(data)
    street.start(1, says("fine"))

    assert street.hears_of(0) == {"heard": [[1, "fine"]], "lost": 3}
    assert "its memfd is missing" in server_log.read_text()
